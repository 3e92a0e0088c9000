"""Weights that are packed into one product are never stale, whichever way they change."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.packed_weights import packed

CONFIG = ModelConfig(64, 32, 1, 4, 2, 48, max_position_embeddings=32)


def logits(model: ToyTransformer) -> torch.Tensor:
    return model([SequenceChunk([1, 2, 3], model.new_cache(3))])


def write(model: ToyTransformer, name: str) -> ToyTransformer:
    model.get_parameter(name).mul_(-3.0)
    return model


def replace(model: ToyTransformer, name: str) -> ToyTransformer:
    layer = model.get_submodule(name.removesuffix(".weight"))
    layer.weight = nn.Parameter(layer.weight * -3.0, requires_grad=False)
    return model


def set_data(model: ToyTransformer, name: str) -> ToyTransformer:
    weight = model.get_parameter(name)
    weight.data = weight * -3.0
    return model


def load(model: ToyTransformer, name: str, assign: bool = False) -> ToyTransformer:
    state = {key: weight.clone() for key, weight in model.state_dict().items()}
    state[name] *= -3.0
    model.load_state_dict(state, assign=assign)
    return model


CHANGES: dict[str, Callable[[ToyTransformer, str], ToyTransformer]] = {
    "written into": write, "replaced": replace, "data set": set_data, "loaded": load,
    "loaded and assigned": lambda model, name: load(model, name, assign=True),
    "moved, then written into": lambda model, name: write(model.double().float(), name),
    "copied, then written into": lambda model, name: write(copy.deepcopy(model), name),
}
WEIGHTS = [f"model.layers.0.{name}_proj.weight" for name in (
    "self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")]


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_weight_is_in_the_product(change: Callable[[ToyTransformer, str], ToyTransformer],
                                            name: str) -> None:
    model = ToyTransformer(CONFIG)
    before = logits(model)
    changed = change(model, name)
    fresh = ToyTransformer(CONFIG)
    write(fresh, name)
    torch.testing.assert_close(logits(changed), logits(fresh))
    assert (logits(changed) - before).abs().max() > 1e-3


def test_a_copy_keeps_its_weights_when_the_original_changes() -> None:
    model = ToyTransformer(CONFIG)
    before = logits(model)
    other = copy.deepcopy(model)
    write(model, WEIGHTS[1])
    torch.testing.assert_close(logits(other), before)


def test_packing_changes_neither_names_nor_values() -> None:
    model, untouched = ToyTransformer(CONFIG), ToyTransformer(CONFIG)
    logits(model)
    state = model.state_dict()
    assert list(state) == list(untouched.state_dict())
    assert all(torch.equal(state[name], weight) for name, weight in untouched.state_dict().items())


def test_one_product_gives_the_layers_outputs_side_by_side() -> None:
    layers = [nn.Linear(8, size, bias=False) for size in (6, 2, 3)]
    expected = [layer.weight.detach().clone() for layer in layers]
    hidden = torch.randn(5, 8)
    for _ in range(2):
        weight = packed(*layers)
        assert weight.shape == (8, 11)
        torch.testing.assert_close(hidden @ weight, torch.cat([layer(hidden) for layer in layers], dim=1))
    assert all(torch.equal(layer.weight, one) for layer, one in zip(layers, expected, strict=True))
    assert {layer.weight.untyped_storage().data_ptr() for layer in layers} == {weight.untyped_storage().data_ptr()}
