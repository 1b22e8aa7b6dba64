"""Normalisation of rows, of groups of channels, and across neighbouring channels."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.described import Described
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class LayerNorm(Module):
    """Normalises each row over its last dimensions.

    Args:
        normalized_shape: the sizes of those dimensions, or one int. eps: added to the variance.
            elementwise_affine: learn a scale. bias: and a shift. device, dtype: of the parameters.
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.eps, self.elementwise_affine = eps, elementwise_affine
        made = {"device": device, "dtype": dtype}
        self.register_parameter(
            "weight", Parameter(sq.ones(self.normalized_shape, **made)) if elementwise_affine else None
        )
        self.register_parameter(
            "bias",
            Parameter(sq.zeros(self.normalized_shape, **made)) if elementwise_affine and bias else None,
        )

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        _check_trailing(self, input)
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes and options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """Divides each row by the root of its mean square over the last dimensions; arguments as `LayerNorm`,
    without a shift."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = (
            Parameter(sq.ones(self.normalized_shape, device=device, dtype=dtype))
            if elementwise_affine
            else None
        )
        self.register_parameter("weight", weight)

    def reset_parameters(self) -> None:
        """Scale 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        _check_trailing(self, input)
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Sizes and options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _check_trailing(layer: Any, input: Any) -> None:
    shape = layer.normalized_shape
    if input.dim() < len(shape) or tuple(input.shape[input.dim() - len(shape) :]) != shape:
        raise ShapeError(
            f"{layer._get_name()}: argument 'input' of shape {tuple(input.shape)} must end in "
            f"normalized_shape={shape}"
        )


class GroupNorm(Module):
    """Normalises groups of channels of each sample.

    Args:
        num_groups: divides num_channels. num_channels: the size of dimension 1. eps: added to the variance.
            affine: learn a scale and, with `bias`, a shift a channel. device, dtype: of the parameters.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} must be divisible by num_groups={num_groups}"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        made = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(sq.ones(num_channels, **made)) if affine else None)
        self.register_parameter("bias", Parameter(sq.zeros(num_channels, **made)) if affine and bias else None)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        if input.dim() < 2 or input.shape[1] != self.num_channels:
            raise ShapeError(
                f"GroupNorm: argument 'input' must have num_channels={self.num_channels} in dimension 1, got shape "
                f"{tuple(input.shape)}"
            )
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Groups, channels and options."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Described):
    """Divides each element by a power of the mean square of neighbouring channels.

    Args:
        size: how many channels count as neighbours. alpha: factor of the mean square. beta: the power. k:
            what is added to it.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Neighbours and constants."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
