"""Which device and model are chosen. GPUs are described, not used."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from course_lib.device import choose_device
from course_lib.layers import ModelConfig
from course_lib.model import SequenceChunk


@pytest.fixture(autouse=True)
def keep_num_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_cpu_profile(no_gpu: None, monkeypatch: pytest.MonkeyPatch, device: str | torch.device | None) -> None:
    monkeypatch.delenv("COURSE_THREADS", raising=False)
    profile = choose_device(device)
    assert (profile.name, profile.device, profile.dtype) == ("CPU", torch.device("cpu"), torch.float32)
    assert (profile.config, profile.long_prompt) == (ModelConfig(), 2048)
    assert torch.get_num_threads() == 1


def test_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_THREADS", "2")
    choose_device("cpu")
    assert torch.get_num_threads() == 2


def test_new_model_has_the_profile_s_shape() -> None:
    profile = choose_device("cpu")
    model = profile.new_model(seed=3)
    assert model.config == profile.config
    assert (model.device, model.lm_head.weight.dtype) == (profile.device, profile.dtype)
    assert model([SequenceChunk([1, 2], model.new_cache(2))]).isfinite().all()


@pytest.mark.parametrize("name, gigabytes, dtype, hidden_size", [
    ("Tesla T4", 16, torch.float16, 2048),
    ("NVIDIA H200", 140, torch.bfloat16, 4096),
])
def test_the_model_grows_with_the_gpu(monkeypatch: pytest.MonkeyPatch, name: str, gigabytes: int, dtype: torch.dtype,
                                      hidden_size: int) -> None:
    properties = SimpleNamespace(name=name, total_memory=gigabytes * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    profile = choose_device()
    assert (profile.name, profile.device.type, profile.dtype) == (name, "cuda", dtype)
    assert (profile.config.hidden_size, profile.config.num_hidden_layers) == (hidden_size, 8)
    assert profile.long_prompt < profile.config.max_position_embeddings


@pytest.mark.parametrize("device, message", [
    ("mps", "device must be 'cpu' or 'cuda', got 'mps'"),
    ("gpu", "device must be 'cpu' or 'cuda', got 'gpu'"),
    ("cuda:one", "device must be 'cpu' or 'cuda', got 'cuda:one'"),
    ("cuda", r"there is no CUDA device here; use choose_device\('cpu'\)"),
    ("cuda:1", "there is no CUDA device here"),
])
def test_other_devices_are_refused(no_gpu: None, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_device(device)
