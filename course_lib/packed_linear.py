"""Linear layers whose weights lie in memory the way one product reads them best."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__: list[str] = []  # the model's own


class PackedLinear:
    """Linear layers over the same input, one or several, computed as one matrix product.

    Their weights stand in one tensor, of which each layer's weight is made a view, so that what is written into it is
    in the product. A weight that was replaced, or moved, lies elsewhere: then all are packed anew.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        self.layers = layers
        self.places: list[int] = []

    def __call__(self, hidden: Tensor) -> Tensor:
        """(num_tokens, in_features) -> (num_tokens, all out_features), in the order of the layers."""
        return linear(hidden, self.weight())

    def weight(self) -> Tensor:
        """(all out_features, in_features), in the order of the layers."""
        if [layer.weight.data_ptr() for layer in self.layers] != self.places:
            self._pack()
        return self._weight

    @torch.inference_mode(False)  # else nobody could write into the weights afterwards
    def _pack(self) -> None:
        weight = torch.cat([layer.weight.data for layer in self.layers])
        # In memory the weights of one input lie side by side, not those of one output. On a CPU the product of few
        # rows, a decode step, is up to a quarter faster so; a GPU's kernels read either.
        self._weight = weight.t().contiguous().t() if weight.device.type == "cpu" else weight
        sizes = [layer.out_features for layer in self.layers]
        for layer, rows in zip(self.layers, self._weight.split(sizes), strict=True):
            layer.weight.data = rows
        self.places = [layer.weight.data_ptr() for layer in self.layers]
