"""Which device to run on, and a model size for it that makes a long prefill cost at least ten decode steps."""

import os
import re
from dataclasses import dataclass

import torch

from course_lib.model import ModelConfig, ToyTransformer
from course_lib.short import show


@dataclass(frozen=True)
class DeviceProfile:
    """A device, a model shape and number format that suit it, and the length in tokens of a long prompt on it."""

    name: str
    device: torch.device
    dtype: torch.dtype
    config: ModelConfig
    long_prompt: int

    def new_model(self, seed: int = 0) -> ToyTransformer:
        """A model of this shape with random weights, on the device."""
        return ToyTransformer(self.config, seed, self.device, self.dtype)


def choose_device(device: str | torch.device | None = None) -> DeviceProfile:
    """The profile of `device` ("cpu", "cuda", "cuda:1"; default: a GPU if there is one).

    A small model on a large GPU is bound by the launching of kernels: a long prefill is then hardly slower than
    a decode step, and there is no stall to see. So the model grows with the device.
    """
    try:
        chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device is None else device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'cpu' or 'cuda', got {show(device)}; choose_device() picks one for you") \
            from error
    if chosen.type == "cpu":
        # On shared cores, a second thread that has to wait for its core stalls every matrix product.
        threads = os.environ.get("COURSE_THREADS", "1")
        if not re.fullmatch("[1-9][0-9]{0,3}", threads):
            raise ValueError(f"the environment variable COURSE_THREADS must be a number of threads from 1 on, got "
                             f"{threads!r}; unset it, or set it to 1")
        torch.set_num_threads(int(threads))
        return DeviceProfile("CPU", chosen, torch.float32, ModelConfig(), long_prompt=2048)
    if chosen.type != "cuda":
        raise ValueError(f"device must be 'cpu' or 'cuda', got {chosen.type!r}; choose_device() picks one for you")
    if not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here; use choose_device('cpu')")
    if chosen.index is not None and chosen.index >= torch.cuda.device_count():
        raise ValueError(f"there is no CUDA device {chosen.index} here, only {torch.cuda.device_count()} of them, from "
                         "0 on; choose_device('cuda') takes the first")
    properties = torch.cuda.get_device_properties(chosen)
    if properties.total_memory > 60e9:
        config = ModelConfig(32000, 4096, 8, 32, 8, 14336, max_position_embeddings=16384)
        return DeviceProfile(properties.name, chosen, torch.bfloat16, config, long_prompt=8192)
    # A T4 has 16 GB and no fast bfloat16.
    config = ModelConfig(32000, 2048, 8, 16, 4, 5632, max_position_embeddings=16384)
    return DeviceProfile(properties.name, chosen, torch.float16, config, long_prompt=8192)
