"""Convolution layers over one, two and three spatial dimensions: one implementation, three names."""

from __future__ import annotations

from math import prod
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.functional.core import many
from squall.nn.module import Module
from squall.nn.parameter import Parameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def check_groups(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    """ValueError unless the groups divide both numbers of channels."""
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{name}: groups={groups} must be positive and divide in_channels={in_channels} and "
            f"out_channels={out_channels}"
        )


def draw(layer: Any) -> None:
    """Draw the parameters of a convolution: uniform in +-1 / sqrt(fan in)."""
    init.kaiming_uniform_(layer.weight, a=5**0.5)
    if layer.bias is not None:
        fan_in = prod(layer.weight.shape[1:])
        bound = fan_in**-0.5 if fan_in else 0
        init.uniform_(layer.bias, -bound, bound)


class _Convolution(Module):
    """What the three layers share; see `Conv2d`."""

    spatial = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = self._get_name()
        check_groups(name, in_channels, out_channels, groups)
        if isinstance(padding, str) and padding not in ("valid", "same"):
            raise ValueError(f"{name}: padding={padding!r} is neither 'valid' nor 'same' nor a number")
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{name}: padding_mode must be one of {', '.join(PADDING_MODES)}, not {padding_mode!r}"
            )
        self.in_channels, self.out_channels, self.groups, self.padding_mode = (
            in_channels,
            out_channels,
            groups,
            padding_mode,
        )
        self.kernel_size = many(kernel_size, self.spatial, name, "kernel_size")
        self.stride = many(stride, self.spatial, name, "stride")
        self.dilation = many(dilation, self.spatial, name, "dilation")
        self.padding: Any = padding if isinstance(padding, str) else many(padding, self.spatial, name, "padding")
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f"{name}: padding='same' is not supported for strided convolutions")
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(sq.empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(sq.empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        draw(self)

    def _around(self) -> tuple[int, ...]:
        """The padding as `F.pad` takes it, for the modes that do not pad with zeros."""
        if self.padding == "valid":
            return (0,) * (2 * self.spatial)
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return tuple(part for t in reversed(total) for part in (t // 2, t - t // 2))
        return tuple(part for p in reversed(self.padding) for part in (p, p))

    def forward(self, input: Any) -> Any:
        if (
            input.dim() not in (self.spatial + 1, self.spatial + 2)
            or input.shape[-self.spatial - 1] != self.in_channels
        ):
            raise ShapeError(
                f"{self._get_name()}: argument 'input' must have shape (batch, {self.in_channels}, "
                f"{self.spatial} sizes), in_channels={self.in_channels}; got {tuple(input.shape)}"
            )
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._around(), self.padding_mode), 0
        return getattr(F, f"conv{self.spatial}d")(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """Channels, kernel and what differs from the defaults."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if self.padding != (0,) * self.spatial:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.spatial:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else text + f", padding_mode={self.padding_mode}"


class Conv1d(_Convolution):
    """Cross-correlation over one dimension: input (batch, in_channels, length); arguments as `Conv2d`."""

    spatial = 1


class Conv2d(_Convolution):
    """Cross-correlation of images with learned kernels.

    Args:
        in_channels, out_channels: sizes of dimension 1 of input and result. kernel_size, stride, dilation: an
        int or a pair. padding: the same, or "valid" or "same". groups: channels are split into so many
        independent parts. bias: whether something is added. padding_mode: "zeros", "reflect", "replicate" or
        "circular". device, dtype: of the parameters.

    Attributes:
        weight: shape (out_channels, in_channels / groups, rows, columns). bias: shape (out_channels,) or
            None. Both begin uniform in +-1 / sqrt(fan in).

    Raises:
        ShapeError: for an input that is not (batch, in_channels, height, width), or that without the batch.

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> nn.Conv2d(1, 8, 3, padding=1)(sq.zeros(2, 1, 5, 5)).shape
        squall.Size([2, 8, 5, 5])
    """

    spatial = 2


class Conv3d(_Convolution):
    """Cross-correlation over three dimensions: input (batch, in_channels, depth, height, width);
    arguments as `Conv2d`."""

    spatial = 3
