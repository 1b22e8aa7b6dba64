"""A multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall import nn


class MLP(nn.Module):
    """Linear layers with an activation between them; inputs are flattened.

    Args:
        in_features: elements of a sample. hidden: sizes of the layers between. out_features: size of the
        result. activation: makes the layer between two linear ones. dropout: probability after each activation.

    Example:
        >>> import squall as sq
        >>> MLP(64, (32,), 10)(sq.zeros(5, 1, 8, 8)).shape
        squall.Size([5, 10])
    """

    def __init__(
        self,
        in_features: int = 64,
        hidden: Sequence[int] = (256, 256),
        out_features: int = 10,
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        size = in_features
        for width in hidden:
            layers += [nn.Linear(size, width), activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(size, out_features))

    def forward(self, x: Any) -> Any:
        return self.layers(x)
