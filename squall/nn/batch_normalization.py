"""Normalisation of channels over the batch, with running statistics, and of channels of each sample."""

from __future__ import annotations

import warnings
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class _Tracking(Module):
    """Scale, shift and running statistics of channels: what batch and instance normalisations share."""

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
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        made = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(sq.ones(num_features, **made)) if affine else None)
        self.register_parameter("bias", Parameter(sq.zeros(num_features, **made)) if affine and bias else None)
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
            if self.bias is not None:
                init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """Channels and options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracking):
    """What the batch normalisations share; see `BatchNorm2d`."""

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


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (batch, channels) or (batch, channels, length); arguments as `BatchNorm2d`."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalises each channel of (batch, channels, height, width) over the batch, or by running statistics.

    Args:
        num_features: channels. eps: added to the variance. momentum: how far the running statistics move each
            batch; None averages over all batches. affine: learn a scale and, with `bias`, a shift. track_running_stats:
            keep statistics for evaluation; without, every batch is normalised by its own.

    Attributes:
        weight, bias, running_mean, running_var: shape (num_features,). num_batches_tracked: int64 scalar.

    Raises:
        ShapeError: for another rank or number of channels. ValueError: for one value a channel while training.
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (batch, channels, depth, height, width); arguments as `BatchNorm2d`."""

    ranks = (5,)


class _InstanceNorm(_Tracking):
    """What the instance normalisations share; see `InstanceNorm2d`."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        whole = self.ranks[0]
        if input.dim() not in (whole, whole - 1):
            raise ValueError(
                f"{self._get_name()}: expected {whole - 1}D or {whole}D input (got {input.dim()}D input)"
            )
        if input.shape[1 - whole] != self.num_features:
            what = f"{self._get_name()}: argument 'input' of shape {tuple(input.shape)}"
            if self.affine:
                raise ValueError(f"{what} must have num_features={self.num_features} channels")
            warnings.warn(f"{what} has other than num_features={self.num_features} channels", stacklevel=2)
        batched = input.dim() == whole
        momentum = 0.0 if self.momentum is None else self.momentum
        out = F.instance_norm(
            input if batched else input.unsqueeze(0), self.running_mean, self.running_var, self.weight,
            self.bias, self.training or not self.track_running_stats, momentum, self.eps,
        )
        return out if batched else out.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (batch, channels, length), or of that without the batch; arguments as
    `InstanceNorm2d`."""

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each sample of (batch, channels, height, width).

    Args:
        num_features: channels. eps: added to the variance. momentum: how far running statistics move. affine:
            learn a scale and, with `bias`, a shift. track_running_stats: keep statistics and evaluate by them.
            device, dtype: of the parameters.

    Attributes:
        weight, bias, running_mean, running_var: shape (num_features,), or None.

    Example:
        >>> import squall as sq
        >>> sq.nn.InstanceNorm2d(3)(sq.zeros(2, 3, 4, 4)).shape
        squall.Size([2, 3, 4, 4])
    """

    ranks = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (batch, channels, depth, height, width), or of that without the batch;
    arguments as `InstanceNorm2d`."""

    ranks = (5,)
