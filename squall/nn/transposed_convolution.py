"""Transposed convolution layers over one, two and three spatial dimensions."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn.convolution import check_groups, draw
from squall.nn.functional.core import many
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class _ConvTranspose(Module):
    """What the three layers share; see `ConvTranspose2d`."""

    spatial = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = self._get_name()
        if padding_mode != "zeros":
            raise ValueError(f'{name}: Only "zeros" padding mode is supported, not {padding_mode!r}')
        check_groups(name, in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.padding_mode = padding_mode
        self.kernel_size = many(kernel_size, self.spatial, name, "kernel_size")
        self.stride = many(stride, self.spatial, name, "stride")
        self.padding = many(padding, self.spatial, name, "padding")
        self.output_padding = many(output_padding, self.spatial, name, "output_padding")
        self.dilation = many(dilation, self.spatial, name, "dilation")
        made = {"device": device, "dtype": dtype}
        self.weight = Parameter(sq.empty((in_channels, out_channels // groups, *self.kernel_size), **made))
        self.register_parameter("bias", Parameter(sq.empty(out_channels, **made)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        draw(self)

    def _extra(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """The output padding that leads to a wanted size."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)
        if len(wanted) == input.dim():
            wanted = wanted[-self.spatial :]
        if len(wanted) != self.spatial:
            raise ValueError(
                f"{self._get_name()}: for {input.dim()}D input, output_size must have {self.spatial} or "
                f"{input.dim()} elements (got {len(wanted)})"
            )
        out = []
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(input.shape[-self.spatial :], self.stride, self.padding, self.dilation,
                                     self.kernel_size, strict=True)
        ]
        for size, low, s in zip(wanted, least, self.stride, strict=True):
            if not low <= size < low + s:
                raise ValueError(
                    f"{self._get_name()}: requested an output size of {wanted}, but valid sizes range from {least} "
                    f"to {[n + s - 1 for n, s in zip(least, self.stride, strict=True)]} (for an input of "
                    f"{tuple(input.shape[-self.spatial :])})"
                )
            out.append(size - low)
        return tuple(out)

    def forward(self, input: Any, output_size: Any = None) -> Any:
        rank, channels = self.spatial + 2, self.in_channels
        if input.dim() not in (rank - 1, rank) or input.shape[-self.spatial - 1] != channels:
            raise ShapeError(
                f"{self._get_name()}: argument 'input' must have shape (batch, {channels}, {self.spatial} sizes), "
                f"in_channels={channels}; got {tuple(input.shape)}"
            )
        return getattr(F, f"conv_transpose{self.spatial}d")(
            input, self.weight, self.bias, self.stride, self.padding, self._extra(input, output_size),
            self.groups, self.dilation,
        )

    def extra_repr(self) -> str:
        """Channels, kernel and what differs from the defaults."""
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        for name, default in (("padding", 0), ("output_padding", 0), ("dilation", 1)):
            if getattr(self, name) != (default,) * self.spatial:
                text += f", {name}={getattr(self, name)}"
        text += f", groups={self.groups}" if self.groups != 1 else ""
        return text + (", bias=False" if self.bias is None else "")


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over (batch, in_channels, length); arguments as `ConvTranspose2d`."""

    spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of a convolution of images, which enlarges them by the stride.

    Args:
        in_channels, out_channels: sizes of dimension 1 of input and result. kernel_size, stride, padding,
            dilation: an int or a pair, of the convolution that is transposed. output_padding: rows and
            columns added at the end, to choose among sizes that the stride leaves open. groups: channels are
            split into so many independent parts. bias: whether something is added. padding_mode: "zeros".
            device, dtype: of the parameters.

    Attributes:
        weight: shape (in_channels, out_channels / groups, rows, columns). bias: shape (out_channels,) or None.

    Example:
        >>> import squall as sq
        >>> sq.nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)(sq.zeros(1, 3, 5, 5)).shape
        squall.Size([1, 2, 10, 10])
    """

    spatial = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over (batch, in_channels, depth, height, width); arguments as
    `ConvTranspose2d`."""

    spatial = 3
