"""Loading what Hugging Face's transformers writes, and refusing by name what the toy transformer is not."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from course_lib.model import SequenceChunk, ToyTransformer

TOKEN_IDS = torch.randint(96, (150,), generator=torch.Generator().manual_seed(0)).tolist()


def save_llama(folder: Path, dtype: torch.dtype = torch.float32, max_shard_size: str = "1GB",
               **changes: Any) -> LlamaForCausalLM:
    """A small Llama with random weights, norms included, saved to `folder`."""
    settings = {"vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2, "intermediate_size": 80, "max_position_embeddings": 256,
                "initializer_range": 0.2}
    torch.manual_seed(0)
    llama = LlamaForCausalLM(LlamaConfig(**settings | changes)).eval()
    for name, weight in llama.named_parameters():
        if "norm" in name:
            weight.data.uniform_(0.5, 1.5)
    llama.to(dtype).save_pretrained(folder, max_shard_size=max_shard_size)
    return llama


@torch.no_grad()
def assert_same_logits(model: ToyTransformer, llama: LlamaForCausalLM, atol: float) -> None:
    expected = llama(torch.tensor([TOKEN_IDS])).logits[0, -1]
    assert expected.std() > 50 * atol, "logits this small would be within the tolerance of anything"
    cache = model.new_cache(len(TOKEN_IDS))
    model([SequenceChunk(TOKEN_IDS[:100], cache)])
    [logits] = model([SequenceChunk(TOKEN_IDS[100:], cache)])
    torch.testing.assert_close(logits, expected, atol=atol, rtol=0.0)


# Of a head's 8 frequencies at theta 500, two stay, one lies between, five are divided by the factor.
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

KINDS = {
    "untied": {},
    "tied": {"tie_word_embeddings": True},
    "rope_theta": {"rope_theta": 500.0},
    "one KV head": {"num_key_value_heads": 1},
    "rms_norm_eps": {"rms_norm_eps": 0.5},
    "linear RoPE": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
    "llama3 RoPE": {"rope_parameters": LLAMA3_ROPE},
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_loaded_model_equals_hugging_face(tmp_path: Path, changes: dict[str, Any]) -> None:
    llama = save_llama(tmp_path, **changes)
    assert_same_logits(ToyTransformer.from_pretrained(tmp_path), llama, atol=1e-4)


def test_shards_are_put_together(tmp_path: Path) -> None:
    llama = save_llama(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_same_logits(ToyTransformer.from_pretrained(str(tmp_path)), llama, atol=1e-4)


def test_only_the_files_of_the_index_are_read(tmp_path: Path) -> None:
    llama = save_llama(tmp_path, max_shard_size="50KB")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"not one of the index")
    assert_same_logits(ToyTransformer.from_pretrained(tmp_path), llama, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision_is_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    llama = save_llama(tmp_path, dtype)
    model = ToyTransformer.from_pretrained(tmp_path)
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    assert model.new_cache(4).storage.dtype == dtype
    for name, weight in llama.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    widened = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert_same_logits(model.float(), widened, atol=1e-4)


def test_old_checkpoints_may_carry_rope_frequencies(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    llama = save_llama(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}, tmp_path / "model.safetensors")
    assert_same_logits(ToyTransformer.from_pretrained(tmp_path), llama, atol=1e-4)


def edit_config(folder: Path, **changes: Any) -> None:
    """Sets these entries of config.json; None removes one."""
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))


def test_settings_of_older_transformers_are_read(tmp_path: Path) -> None:
    llama = save_llama(tmp_path, rope_theta=500.0)
    edit_config(tmp_path, rope_parameters=None, rope_theta=500.0, head_dim=None)
    assert_same_logits(ToyTransformer.from_pretrained(tmp_path), llama, atol=1e-4)


def test_scaled_rope_of_older_transformers_is_read(tmp_path: Path) -> None:
    llama = save_llama(tmp_path, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0})
    edit_config(tmp_path, rope_parameters=None, rope_theta=500.0, rope_scaling={"type": "linear", "factor": 4.0})
    assert_same_logits(ToyTransformer.from_pretrained(tmp_path), llama, atol=1e-4)


@pytest.mark.parametrize("changes, message", [
    ({"model_type": "mistral"}, "a 'mistral' model; only 'llama'"),
    ({"model_type": None}, "a None model; only 'llama'"),
    ({"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None},
     "RoPE of type 'dynamic'; supported are default, linear, llama3"),
    ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 500.0}}, "RoPE of type 'yarn'; supported"),
    ({"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0}}, "RoPE of type 'linear' and lacks its factor"),
    ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "'llama3' and lacks its low_freq_factor"),
    ({"attention_bias": True}, "sets attention_bias; the toy transformer has no biases"),
    ({"mlp_bias": True}, "sets mlp_bias; the toy transformer has no biases"),
    ({"hidden_act": "gelu"}, "hidden_act='gelu'; only 'silu'"),
    ({"head_dim": 32}, "head_dim=32; only hidden_size / num_attention_heads = 16"),
    ({"vocab_size": None}, "lacks vocab_size"),
    ({"num_hidden_layers": 3}, "the first is model.layers.2."),
    ({"num_hidden_layers": 1}, "weights that a Llama does not have, the first is model.layers.1."),
    ({"intermediate_size": 64}, "shape (80, 64); config.json makes it (64, 64)"),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else "")
def test_other_architectures_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    save_llama(tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        ToyTransformer.from_pretrained(tmp_path)


def weight_file(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[0]


DAMAGES: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), FileNotFoundError,
                  r"config\.json is not there; give the folder"),
    "config cut short": (lambda folder: (folder / "config.json").write_text("{"), ValueError,
                         r"config\.json is not JSON"),
    "config is a list": (lambda folder: (folder / "config.json").write_text("[]"), ValueError,
                         r"config\.json must hold a JSON object of settings, got a list"),
    "no weights": (lambda folder: [path.unlink() for path in folder.glob("*.safetensors*")], FileNotFoundError,
                   r"holds no \*\.safetensors"),
    "a shard missing": (lambda folder: weight_file(folder).unlink(), FileNotFoundError,
                        r"00001-of-\d+\.safetensors is not there, though model\.safetensors\.index\.json names it"),
    "a shard cut short": (lambda folder: weight_file(folder).write_bytes(weight_file(folder).read_bytes()[:-9]),
                          ValueError, r"00001-of-\d+\.safetensors cannot be read as safetensors"),
    "a shard empty": (lambda folder: weight_file(folder).write_bytes(b""), ValueError, "cannot be read as safetensors"),
    "index cut short": (lambda folder: (folder / "model.safetensors.index.json").write_text("{"), ValueError,
                        r"index\.json is not a safetensors index"),
    "index without a map": (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), ValueError,
                            r"index\.json is not a safetensors index"),
}


@pytest.mark.parametrize("damage, error, message", DAMAGES.values(), ids=DAMAGES)
def test_damaged_folders_are_refused(tmp_path: Path, damage: Callable[[Path], object], error: type[Exception],
                                     message: str) -> None:
    save_llama(tmp_path, max_shard_size="50KB")
    damage(tmp_path)
    with pytest.raises(error, match=message):
        ToyTransformer.from_pretrained(tmp_path)


def test_missing_weight_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_llama(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks 1 of the \d+ weights, the first is lm_head\.weight"):
        ToyTransformer.from_pretrained(tmp_path)
