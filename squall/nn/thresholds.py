"""Activation layers with thresholds, gates, and slopes that are learned or drawn."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.nn import functional as F
from squall.nn import init
from squall.nn.described import Described
from squall.nn.parameter import Parameter


class Threshold(Described):
    """x where it is above `threshold`, else `value`.

    Args:
        threshold: what x is compared with. value: what stands elsewhere. inplace: write over the input.
    """

    shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Any) -> Any:
        return F.threshold(input, self.threshold, self.value, self.inplace)


class _Shrink(Described):
    """A function that is 0 between -lambd and lambd."""

    shown = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd


class Hardshrink(_Shrink):
    """0 where |x| is at most lambd, else x."""

    def forward(self, input: Any) -> Any:
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by lambd, and 0 where that would cross it."""

    def forward(self, input: Any) -> Any:
        return F.softshrink(input, self.lambd)


class Tanhshrink(Described):
    """x - tanh(x)."""

    def forward(self, input: Any) -> Any:
        return F.tanhshrink(input)


class CELU(Described):
    """x where positive, else alpha * (exp(x / alpha) - 1).

    Args:
        alpha: where the negative part saturates. inplace: write over the input.
    """

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        return F.celu(input, self.alpha, self.inplace)


class GLU(Described):
    """The first half along `dim` times the sigmoid of the second.

    Example:
        >>> import squall as sq
        >>> sq.nn.GLU()(sq.zeros(2, 6)).shape
        squall.Size([2, 3])
    """

    shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        return F.glu(input, self.dim)


class PReLU(Described):
    """x where positive, else a learned slope times x.

    Args:
        num_parameters: 1, or as many as there are channels (dimension 1). init: where the slopes begin.
            device, dtype: of the parameter.

    Attributes:
        weight: shape (num_parameters,).
    """

    shown = ("num_parameters",)

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(sq.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The slopes as they began."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)


class RReLU(Described):
    """x where positive, else x times a slope drawn between lower and upper for each element; when evaluating,
    times their mean.

    Args:
        lower, upper: the limits of the slope. inplace: write over the input.
    """

    shown = ("lower", "upper")

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)
