"""Pooling layers over one, two and three spatial dimensions: maxima, means, p-norms; fixed and adaptive windows.

A layer's function is the one of `squall.nn.functional` that has its name in small letters.
"""

from __future__ import annotations

from typing import Any

from squall.nn import functional as F
from squall.nn.described import Described
from squall.nn.functional.core import many


class _MaxPool(Described):
    """What the layers share; see `MaxPool2d`."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    function = ""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of (batch, channels, length); arguments as `MaxPool2d`."""

    function = "max_pool1d"


class MaxPool2d(_MaxPool):
    """The largest element of each window of (batch, channels, height, width).

    Args:
        kernel_size, stride, padding, dilation: an int or one a dimension; the stride is the kernel size by
            default. return_indices: also give flat indices into (height, width). ceil_mode: windows may reach
            over the end.

    Example:
        >>> import squall as sq
        >>> sq.nn.MaxPool2d(2)(sq.zeros(1, 3, 8, 6)).shape
        squall.Size([1, 3, 4, 3])
    """

    function = "max_pool2d"


class MaxPool3d(_MaxPool):
    """The largest element of each window of (batch, channels, depth, height, width); arguments as
    `MaxPool2d`."""

    function = "max_pool3d"


class _MaxUnpool(Described):
    """What the layers share; see `MaxUnpool2d`."""

    shown = ("kernel_size", "stride", "padding")
    function = ""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return getattr(F, self.function)(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool1d(_MaxUnpool):
    """Puts maxima of (batch, channels, length) back where they were; arguments as `MaxUnpool2d`."""

    function = "max_unpool1d"


class MaxUnpool2d(_MaxUnpool):
    """Puts the maxima that `MaxPool2d(return_indices=True)` gave back where they were; all else is 0.

    Args:
        kernel_size, stride, padding: of the pooling that is undone.
    """

    function = "max_unpool2d"


class MaxUnpool3d(_MaxUnpool):
    """Puts maxima of (batch, channels, depth, height, width) back; arguments as `MaxUnpool2d`."""

    function = "max_unpool3d"


class AvgPool1d(Described):
    """The mean of each window of (batch, channels, length).

    Args:
        kernel_size, stride, padding: an int; the stride is the kernel size by default. ceil_mode: windows may
            reach over the end. count_include_pad: whether padding counts.
    """

    shown = ("kernel_size", "stride", "padding")
    function = "avg_pool1d"

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode, self.count_include_pad = padding, ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(AvgPool1d):
    """The mean of each window of (batch, channels, height, width).

    Args:
        kernel_size, stride, padding: an int or a pair; the stride is the kernel size by default. ceil_mode:
            windows may reach over the end. count_include_pad: whether padding counts. divisor_override:
            divide by this instead.
    """

    function = "avg_pool2d"

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(AvgPool2d):
    """The mean of each window of (batch, channels, depth, height, width); arguments as `AvgPool2d`."""

    function = "avg_pool3d"


class _LPPool(Described):
    """What the layers share; see `LPPool2d`."""

    shown = ("norm_type", "kernel_size", "stride", "ceil_mode")
    function = ""

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool1d(_LPPool):
    """The p-norm of each window of (batch, channels, length); arguments as `LPPool2d`."""

    function = "lp_pool1d"


class LPPool2d(_LPPool):
    """The p-norm of each window of (batch, channels, height, width).

    Args:
        norm_type: p. kernel_size, stride: an int or a pair; the stride is the kernel size by default.
            ceil_mode: windows may reach over the end.
    """

    function = "lp_pool2d"


class LPPool3d(_LPPool):
    """The p-norm of each window of (batch, channels, depth, height, width); arguments as `LPPool2d`."""

    function = "lp_pool3d"


class _AdaptiveAvgPool(Described):
    """What the layers share; see `AdaptiveAvgPool2d`."""

    shown = ("output_size",)
    function = ""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of windows chosen so that the result has the given length."""

    function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of windows chosen so that the result has the given height and width.

    Args:
        output_size: an int or a pair; None keeps a size.
    """

    function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of windows chosen so that the result has the given depth, height and width."""

    function = "adaptive_avg_pool3d"


class _AdaptiveMaxPool(Described):
    """What the layers share; see `AdaptiveMaxPool2d`."""

    shown = ("output_size",)
    function = ""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Any) -> Any:
        return getattr(F, self.function)(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The maxima of windows chosen so that the result has the given length."""

    function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The maxima of windows chosen so that the result has the given height and width.

    Args:
        output_size: an int or a pair; None keeps a size. return_indices: also give flat indices.
    """

    function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The maxima of windows chosen so that the result has the given depth, height and width."""

    function = "adaptive_max_pool3d"


class _FractionalMaxPool(Described):
    """What the layers share; see `FractionalMaxPool2d`."""

    shown = ("kernel_size", "output_size", "output_ratio")
    spatial = 0

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{self._get_name()}: give one of output_size and output_ratio")
        self.kernel_size = many(kernel_size, self.spatial, self._get_name(), "kernel_size")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = output_size if output_size is None else many(
            output_size, self.spatial, self._get_name(), "output_size")
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * self.spatial
        self.output_ratio = None if output_ratio is None else tuple(float(r) for r in ratios)
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Any) -> Any:
        return getattr(F, f"fractional_max_pool{self.spatial}d")(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """The maxima of windows whose places are drawn so that the result has a given size.

    Args:
        kernel_size: an int or a pair. output_size: of the result, or output_ratio: its size over the input's, between 0
            and 1. return_indices: also give flat indices.
    """

    spatial = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """As `FractionalMaxPool2d`, over three dimensions."""

    spatial = 3
