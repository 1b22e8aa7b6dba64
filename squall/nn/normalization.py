"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class _BatchNorm(Module):
    """What the batch normalisations share; see `BatchNorm2d`."""

    ranks: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        made = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(sq.ones(num_features, **made)) if affine else None)
        self.register_parameter("bias", Parameter(sq.zeros(num_features, **made)) if affine else None)
        self.register_buffer("running_mean", sq.zeros(num_features, **made) if track_running_stats else None)
        self.register_buffer("running_var", sq.ones(num_features, **made) if track_running_stats else None)
        self.register_buffer(
            "num_batches_tracked", sq.tensor(0, dtype=sq.int64) if track_running_stats else None
        )

    def reset_running_stats(self) -> None:
        """Forget the statistics of past batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, statistics forgotten."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        if input.dim() not in self.ranks or input.shape[1] != self.num_features:
            ranks = " or ".join(map(str, self.ranks))
            raise ShapeError(
                f"{self._get_name()}: argument 'input' must have {ranks} dimensions and num_features="
                f"{self.num_features} channels in dimension 1, got shape {tuple(input.shape)}"
            )
        momentum: Any = self.momentum
        update = self.training and self.track_running_stats
        if update:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / self.num_batches_tracked.to(self.running_mean.dtype)
        training = self.training or self.running_mean is None
        mean, variance = (self.running_mean, self.running_var) if not training or update else (None, None)
        return F.batch_norm(input, mean, variance, self.weight, self.bias, training, momentum, self.eps)

    def extra_repr(self) -> str:
        """Channels and options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (batch, channels) or (batch, channels, length); arguments as `BatchNorm2d`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of (batch, channels, height, width) over the batch, or by running statistics.

    Args:
        num_features: channels. eps: added to the variance. momentum: how far the running statistics move each
            batch; None averages over all batches. affine: learn a scale and a shift. track_running_stats:
            keep statistics for evaluation; without, every batch is normalised by its own.

    Attributes:
        weight, bias, running_mean, running_var: shape (num_features,). num_batches_tracked: int64 scalar.

    Raises:
        ShapeError: for another rank or number of channels. ValueError: for one value a channel while training.
    """

    ranks = (4,)


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
            affine: learn a scale and a shift a channel. device, dtype: of the parameters.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} must be divisible by num_groups={num_groups}"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        made = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(sq.ones(num_channels, **made)) if affine else None)
        self.register_parameter("bias", Parameter(sq.zeros(num_channels, **made)) if affine else None)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        if self.affine:
            init.ones_(self.weight)
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
