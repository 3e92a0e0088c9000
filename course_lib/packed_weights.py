"""Weights of linear layers, in memory the way one product reads them best."""

import torch
from torch import Tensor, nn

__all__: list[str] = []  # the model's own


@torch.inference_mode(False)  # else nobody could write into the weights afterwards
def packed(*layers: nn.Linear) -> Tensor:
    """The weights of layers that have the same input, as one matrix, (in_features, all out_features), for one product.

    Each layer's weight becomes a view of it, so that what is written into the weight is in the product. A weight that
    is replaced or moved afterwards lies elsewhere: then they have to be packed anew.
    """
    weight = torch.cat([layer.weight.data for layer in layers])
    # The weights of one input lie side by side in memory, not those of one output. On a CPU the product of few rows, a
    # decode step, is up to a quarter faster so; a GPU's kernels read either.
    weight = weight.t().contiguous().t() if weight.device.type == "cpu" else weight
    for layer, rows in zip(layers, weight.split([layer.out_features for layer in layers]), strict=True):
        layer.weight.data = rows
    return weight.t()
