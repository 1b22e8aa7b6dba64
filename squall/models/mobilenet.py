"""MobileNet V2 and V3 with torchvision's parameter names: inverted residuals of depthwise convolutions.

Sandler and others: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018. Howard and others: "Searching for
MobileNetV3", 2019.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from squall import nn


def _rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at most 10 % less than asked."""
    near = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return near if near >= 0.9 * channels else near + divisor


def _convolution(
    inside: int,
    outside: int,
    size: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Any = nn.ReLU6,
    norm: Any = nn.BatchNorm2d,
    dilation: int = 1,
) -> nn.Sequential:
    """A convolution that keeps its size, normalisation, and an activation if one is given."""
    padding = (size - 1) // 2 * dilation
    conv = nn.Conv2d(inside, outside, size, stride, padding, dilation=dilation, groups=groups, bias=False)
    layers: list[nn.Module] = [conv, norm(outside)]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


class InvertedResidualV2(nn.Module):
    """Widen by a 1 x 1 convolution, filter each channel, and narrow without an activation.

    Args:
        inside, outside: channels. stride: 1 or 2. expand: how many times wider the middle is.

    Example:
        >>> import squall as sq
        >>> InvertedResidualV2(8, 8, 1, 2)(sq.zeros(1, 8, 4, 4)).shape
        squall.Size([1, 8, 4, 4])
    """

    def __init__(self, inside: int, outside: int, stride: int, expand: int) -> None:
        super().__init__()
        middle = inside * expand
        layers: list[nn.Module] = [_convolution(inside, middle)] if expand != 1 else []
        layers.append(_convolution(middle, middle, 3, stride, groups=middle))
        layers += [nn.Conv2d(middle, outside, 1, bias=False), nn.BatchNorm2d(outside)]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.adds else self.conv(x)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)


class MobileNetV2(nn.Module):
    """MobileNet V2.

    Args:
        num_classes: size of the result. width_mult: scales all channels. dropout: probability before the last layer.

    Example:
        >>> import squall as sq
        >>> MobileNetV2(num_classes=5, width_mult=0.1).eval()(sq.zeros(1, 3, 32, 32)).shape
        squall.Size([1, 5])
    """

    # expansion, channels, blocks, stride of the first
    _STAGES = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    )  # fmt: skip

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        channels = _rounded(32 * width_mult)
        last = _rounded(1280 * max(1.0, width_mult))
        layers: list[nn.Module] = [_convolution(3, channels, 3, 2)]
        for expand, size, count, stride in self._STAGES:
            outside = _rounded(size * width_mult)
            for i in range(count):
                layers.append(InvertedResidualV2(channels, outside, stride if i == 0 else 1, expand))
                channels = outside
        layers.append(_convolution(channels, last))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        self.apply(_initialise)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean((2, 3)))


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the means of all (Hu and others, 2017).

    Args:
        channels: of the input. squeezed: of the layer between.

    Example:
        >>> import squall as sq
        >>> SqueezeExcitation(8, 4)(sq.ones(1, 8, 3, 3)).shape
        squall.Size([1, 8, 3, 3])
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Any) -> Any:
        gate = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(gate))


class InvertedResidualV3(nn.Module):
    """MobileNet V3's block: widen, filter, weigh the channels, narrow.

    Args:
        inside, middle, outside: channels. size: of the filter. gated: with `SqueezeExcitation`. swish: Hardswish
        instead of ReLU. stride: of the filter.

    Example:
        >>> import squall as sq
        >>> InvertedResidualV3(8, 16, 8, 3, True, True, 1).eval()(sq.zeros(1, 8, 4, 4)).shape
        squall.Size([1, 8, 4, 4])
    """

    def __init__(self, inside: int, middle: int, outside: int, size: int, gated: bool, swish: bool, stride: int):
        super().__init__()
        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        activation = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if middle != inside:
            layers.append(_convolution(inside, middle, activation=activation, norm=norm))
        layers.append(_convolution(middle, middle, size, stride, middle, activation, norm))
        if gated:
            layers.append(SqueezeExcitation(middle, _rounded(middle // 4)))
        layers.append(_convolution(middle, outside, activation=None, norm=norm))
        self.block = nn.Sequential(*layers)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Any) -> Any:
        return x + self.block(x) if self.adds else self.block(x)


# filter size, middle and outer channels, gated, Hardswish, stride
_LARGE = (
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)  # fmt: skip
_SMALL = (
    (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
    (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2), (5, 576, 96, 1, 1, 1),
    (5, 576, 96, 1, 1, 1),
)  # fmt: skip


class MobileNetV3(nn.Module):
    """MobileNet V3.

    Args:
        size: "small" or "large". num_classes: size of the result. width_mult: scales all channels but the last
        hidden ones. dropout: probability before the last layer.

    Raises:
        ValueError: for another size.

    Example:
        >>> import squall as sq
        >>> MobileNetV3("small", num_classes=5, width_mult=0.25).eval()(sq.zeros(1, 3, 32, 32)).shape
        squall.Size([1, 5])
    """

    def __init__(
        self, size: str = "large", num_classes: int = 1000, width_mult: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if size not in ("small", "large"):
            raise ValueError(f"MobileNetV3: argument 'size' must be 'small' or 'large', got {size!r}")
        def scaled(channels: int) -> int:
            return _rounded(channels * width_mult)

        norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        channels = scaled(16)
        layers: list[nn.Module] = [_convolution(3, channels, 3, 2, activation=nn.Hardswish, norm=norm)]
        for filter, middle, outside, gated, swish, stride in _LARGE if size == "large" else _SMALL:
            wide, narrow = scaled(middle), scaled(outside)
            layers.append(InvertedResidualV3(channels, wide, narrow, filter, bool(gated), bool(swish), stride))
            channels = narrow
        layers.append(_convolution(channels, 6 * channels, activation=nn.Hardswish, norm=norm))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        hidden = scaled(1280 if size == "large" else 1024)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, hidden), nn.Hardswish(inplace=True), nn.Dropout(dropout, inplace=True),
            nn.Linear(hidden, num_classes),
        )  # fmt: skip
        self.apply(_initialise)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))
