"""Layers that are linear maps, and the one that does nothing."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class Identity(Module):
    """Gives back its input; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """input @ weight.T + bias.

    Args:
        in_features, out_features: the last sizes of input and result. bias: whether something is added.
        device, dtype: of the parameters.

    Attributes:
        weight: shape (out_features, in_features). bias: shape (out_features,) or None. Both begin uniform in
            +-1 / sqrt(in_features).

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> nn.Linear(3, 4)(sq.zeros(2, 3)).shape
        squall.Size([2, 4])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(sq.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(sq.empty(out_features, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=5**0.5)
        if self.bias is not None:
            bound = self.in_features**-0.5 if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        if not input.shape or input.shape[-1] != self.in_features:
            raise ShapeError(
                f"Linear: argument 'input' of shape {tuple(input.shape)} must end in in_features={self.in_features}"
            )
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes and whether there is a bias."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """x1 @ weight[k] @ x2 + bias[k] for each output k.

    Args:
        in1_features, in2_features, out_features: the last sizes of both inputs and of the result. bias:
            whether something is added. device, dtype: of the parameters.

    Attributes:
        weight: shape (out_features, in1_features, in2_features). bias: shape (out_features,) or None. Both
            begin uniform in +-1 / sqrt(in1_features).

    Example:
        >>> import squall as sq
        >>> sq.nn.Bilinear(2, 3, 4)(sq.zeros(5, 2), sq.zeros(5, 3)).shape
        squall.Size([5, 4])
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got {in1_features}")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        made = {"device": device, "dtype": dtype}
        self.weight = Parameter(sq.empty(out_features, in1_features, in2_features, **made))
        self.register_parameter("bias", Parameter(sq.empty(out_features, **made)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = self.in1_features**-0.5
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes and whether there is a bias."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
