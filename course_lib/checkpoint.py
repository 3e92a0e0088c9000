"""Loading a Llama checkpoint from a folder in Hugging Face's format: config.json and *.safetensors."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.model import ModelConfig, ToyTransformer
from course_lib.rotary import RopeScaling
from course_lib.validate import DTYPES, check_type

# What config.json must say about each kind of scaled RoPE, in the names of RopeScaling.
ROPE_SETTINGS = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


def load_pretrained(folder: str | Path) -> ToyTransformer:
    """The model in `folder`, in the number format of its weights, on the CPU.

    FileNotFoundError when something is missing; ValueError when the checkpoint asks for something that the toy
    transformer does not have (another architecture, another kind of RoPE, biases), naming it.
    """
    check_type("folder", folder, (str, Path), "the path of a folder")
    folder = Path(folder)
    config = _read_config(folder / "config.json")
    weights = _read_weights(folder)
    embedding = weights.get("model.embed_tokens.weight")
    if config.tie_word_embeddings:
        weights.setdefault("lm_head.weight", embedding)
    dtype = torch.float32 if embedding is None else embedding.dtype
    if dtype not in DTYPES:
        raise ValueError(f"{folder} holds weights of {dtype}; supported are {', '.join(map(str, DTYPES))}")
    model = ToyTransformer(config, device="meta", dtype=dtype)  # shapes only: the weights are there already
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if missing := [name for name in expected if weights.get(name) is None]:
        raise ValueError(f"{folder} lacks {len(missing)} of the {len(expected)} weights, the first is {missing[0]}")
    # Old checkpoints carry the RoPE frequencies along; they follow from rope_theta.
    unknown = [name for name in weights if name not in expected and not name.endswith("rotary_emb.inv_freq")]
    if unknown:
        raise ValueError(f"{folder} holds weights that a Llama does not have, the first is {unknown[0]}")
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(weights[name].shape)}; config.json makes it {shape}")
    model.load_state_dict({name: weights[name].to(dtype) for name in expected}, assign=True)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.rotary = config.rotary_table()
    return model.requires_grad_(False).eval()


def _read_config(path: Path) -> ModelConfig:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; give the folder that holds config.json and *.safetensors")
    try:
        settings = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold a JSON object of settings, got a {type(settings).__name__}")
    model_type = settings.get("model_type")
    if model_type != "llama":
        raise ValueError(f"{path} describes a {model_type!r} model; only 'llama' is supported")
    for name in ("attention_bias", "mlp_bias"):
        if settings.get(name):
            raise ValueError(f"{path} sets {name}; the toy transformer has no biases")
    if settings.get("hidden_act", "silu") != "silu":
        raise ValueError(f"{path} sets hidden_act={settings['hidden_act']!r}; only 'silu' is supported")
    required = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    if missing := [name for name in required if name not in settings]:
        raise ValueError(f"{path} lacks {missing[0]}")
    num_key_value_heads = settings.get("num_key_value_heads")
    try:
        rope = {**(settings.get("rope_scaling") or {}), **(settings.get("rope_parameters") or {})}
        config = ModelConfig(
            **{name: settings[name] for name in required},
            num_key_value_heads=settings["num_attention_heads"] if num_key_value_heads is None else num_key_value_heads,
            max_position_embeddings=settings.get("max_position_embeddings", 2048),
            # Older `transformers` write the base beside the other settings, newer ones among RoPE's.
            rope_theta=rope.get("rope_theta", settings.get("rope_theta", 10000.0)),
            rms_norm_eps=settings.get("rms_norm_eps", 1e-6),
            tie_word_embeddings=settings.get("tie_word_embeddings", False),
            rope_scaling=_rope_scaling(rope),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} has a setting that is not supported: {error}") from error
    if settings.get("head_dim") not in (None, config.head_dim):
        raise ValueError(f"{path} sets head_dim={settings['head_dim']}; only hidden_size / num_attention_heads = "
                         f"{config.head_dim} is supported")
    return config


def _rope_scaling(rope: dict[str, Any]) -> RopeScaling | None:
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope_type not in ROPE_SETTINGS:
        raise ValueError(f"RoPE of type {rope_type!r}; supported are {', '.join(ROPE_SETTINGS)}")
    if missing := [name for name in ROPE_SETTINGS[rope_type] if name not in rope]:
        raise ValueError(f"RoPE of type {rope_type!r} and lacks its {missing[0]}")
    scaling = {name: rope[name] for name in ROPE_SETTINGS[rope_type]}
    return RopeScaling(**scaling) if scaling else None


def _read_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError  # late: only loading needs this package
    from safetensors.torch import load_file

    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            check_type("the first file in weight_map", names[0], str, "a file's name")
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{index} is not a safetensors index: {error!r}") from error
    else:
        names = sorted(path.name for path in folder.glob("*.safetensors"))
    if not names:
        raise FileNotFoundError(f"{folder} holds no *.safetensors file")
    weights: dict[str, Tensor] = {}
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is not there, though {index.name} names it")
        try:
            weights.update(load_file(folder / name))
        except SafetensorError as error:
            raise ValueError(f"{folder / name} cannot be read as safetensors: {error}") from error
    return weights
