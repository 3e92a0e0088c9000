"""Which device and model are chosen. GPUs are described, not used."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from course_lib import spans
from course_lib.device import DeviceProfile, choose_device
from course_lib.layers import ModelConfig
from course_lib.model import SequenceChunk, ToyTransformer


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


@pytest.fixture
def t4(monkeypatch: pytest.MonkeyPatch) -> DeviceProfile:
    """The profile of the GPU that Colab lends, as described: 15.8e9 bytes are what a T4 reports of its 16 GB."""
    properties = SimpleNamespace(name="Tesla T4", total_memory=15_800_000_000)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return choose_device()


def test_what_the_notebooks_run_fits_a_t4(t4: DeviceProfile) -> None:
    """Arithmetic, not a measurement: weights, caches of ten long requests, and the widest activations of a prefill."""
    config, size = t4.config, torch.finfo(t4.dtype).bits // 8
    with torch.device("meta"):
        weights = sum(one.numel() for one in ToyTransformer(config, device="meta").parameters())
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    # Joining them takes a second copy for a moment, and slots as large as the largest half as much again.
    caches = (1.5 + 1.5) * 10 * t4.long_prompt * per_token
    # Per token: gate, up and their product, the residual and its norm. The scores of a chunk, in case a kernel
    # without a fused path writes them out: all heads, half of a long prompt at a time.
    activations = t4.long_prompt * (3 * config.intermediate_size + 4 * config.hidden_size)
    mask_scores = config.num_attention_heads * (t4.long_prompt // 2) * t4.long_prompt
    bytes_needed = size * (weights + caches + activations) + 4 * 2 * mask_scores
    # The weights are made in float32, then narrowed one by one: that is the peak while a model is made.
    assert max(bytes_needed, 4 * weights + size * weights) < 0.75 * 15_800_000_000


def test_half_precision_runs_and_agrees_with_single(t4: DeviceProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The T4's number format through prefill, chunk and decode, on the CPU and on a small model of the same kind."""
    assert t4.dtype is torch.float16  # a T4 has no bfloat16 units
    calls: list[dict] = []
    plain = spans.scaled_dot_product_attention

    def watched(*tensors: torch.Tensor, **options: object) -> torch.Tensor:
        calls.append(options)
        return plain(*tensors, **options)

    monkeypatch.setattr(spans, "scaled_dot_product_attention", watched)
    half = ToyTransformer(ModelConfig(), dtype=t4.dtype)
    single = ToyTransformer(ModelConfig())
    single.load_state_dict({name: value.float() for name, value in half.state_dict().items()})
    logits = {}
    for model in (half, single):
        caches = [model.new_cache(40), model.new_cache(40)]
        model([SequenceChunk(list(range(16)), caches[0]), SequenceChunk(list(range(20)), caches[1])])
        logits[model] = model([SequenceChunk(list(range(16, 32)), caches[0]), SequenceChunk([7], caches[1])])
    assert logits[half].dtype is torch.float16 and logits[half].isfinite().all()
    assert torch.allclose(logits[half].float(), logits[single], atol=0.02)
    # `enable_gqa` has no fused kernel on a T4: the heads of a group are rows, or share their keys without a copy.
    assert calls and not any("enable_gqa" in options for options in calls)
