"""Residual networks with torchvision's parameter names, for ImageNet-sized pictures and for small ones.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", 2015; the bottleneck's stride sits in its 3 x 3
convolution, as in torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall import nn


def _conv3x3(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)


def _conv1x1(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and the input added to what they give.

    Args:
        in_channels: of the input. channels: of the result. stride: of the first convolution. downsample: fits the
        input to the result where sizes differ.

    Example:
        >>> import squall as sq
        >>> BasicBlock(8, 8)(sq.zeros(1, 8, 6, 6)).shape
        squall.Size([1, 8, 6, 6])
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        past = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + past)


class Bottleneck(nn.Module):
    """A 1 x 1 convolution to fewer channels, a 3 x 3 one, and a 1 x 1 one to four times as many.

    Args:
        in_channels: of the input. channels: of the middle. stride: of the middle convolution. downsample: fits the
        input to the result where sizes differ.

    Example:
        >>> import squall as sq
        >>> Bottleneck(32, 8)(sq.zeros(1, 32, 6, 6)).shape
        squall.Size([1, 32, 6, 6])
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: Any = None) -> None:
        super().__init__()
        self.conv1 = _conv1x1(in_channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv3x3(channels, channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv1x1(channels, channels * self.expansion)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        past = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + past)


class ResNet(nn.Module):
    """Four stages of residual blocks between a stem and a linear layer.

    Args:
        block: `BasicBlock` or `Bottleneck`. layers: blocks in each of the four stages. num_classes: size of the
        result. stem: "imagenet" (7 x 7 with stride 2, then max pooling) or "cifar" (3 x 3, for pictures of 32 x 32
        and less). in_channels: of the pictures. width: channels of the first stage. zero_init_residual: let every
        block begin as the identity.

    Raises:
        ValueError: for another stem, or when there are not four stages.

    Example:
        >>> import squall as sq
        >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, stem="cifar", width=8).eval()
        >>> model(sq.zeros(2, 3, 16, 16)).shape
        squall.Size([2, 10])
    """

    def __init__(
        self,
        block: Any,
        layers: Sequence[int],
        num_classes: int = 1000,
        stem: str = "imagenet",
        in_channels: int = 3,
        width: int = 64,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"ResNet: argument 'stem' must be 'imagenet' or 'cifar', got {stem!r}")
        if len(layers) != 4:
            raise ValueError(f"ResNet: argument 'layers' must name four stages, got {len(layers)}: {tuple(layers)}")
        large = stem == "imagenet"
        self.conv1 = (
            nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            if large
            else _conv3x3(in_channels, width)
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        self._channels = width
        self.layer1 = self._stage(block, width, layers[0], 1)
        self.layer2 = self._stage(block, 2 * width, layers[1], 2)
        self.layer3 = self._stage(block, 4 * width, layers[2], 2)
        self.layer4 = self._stage(block, 8 * width, layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width * block.expansion, num_classes)
        self._initialise(zero_init_residual)

    def _stage(self, block: Any, channels: int, count: int, stride: int) -> nn.Sequential:
        outside = channels * block.expansion
        downsample = None
        if stride != 1 or self._channels != outside:
            downsample = nn.Sequential(_conv1x1(self._channels, outside, stride), nn.BatchNorm2d(outside))
        blocks = [block(self._channels, channels, stride, downsample)]
        self._channels = outside
        return nn.Sequential(*blocks, *(block(outside, channels) for _ in range(count - 1)))

    def _initialise(self, zero_last: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_last and isinstance(module, (BasicBlock, Bottleneck)):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(**options: Any) -> ResNet:
    """A ResNet of 18 layers; options as of `ResNet`: num_classes, stem, in_channels, width, zero_init_residual.

    Example:
        >>> len(resnet18(width=8).state_dict())
        122
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), **options)


def resnet34(**options: Any) -> ResNet:
    """A ResNet of 34 layers; options as of `ResNet`.

    Example:
        >>> len(resnet34(width=8).state_dict())
        218
    """
    return ResNet(BasicBlock, (3, 4, 6, 3), **options)


def resnet50(**options: Any) -> ResNet:
    """A ResNet of 50 layers, of bottlenecks; options as of `ResNet`.

    Example:
        >>> len(resnet50(width=8).state_dict())
        320
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), **options)


def resnet101(**options: Any) -> ResNet:
    """A ResNet of 101 layers, of bottlenecks; options as of `ResNet`.

    Example:
        >>> len(resnet101(width=8).state_dict())
        626
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), **options)


def resnet152(**options: Any) -> ResNet:
    """A ResNet of 152 layers, of bottlenecks; options as of `ResNet`.

    Example:
        >>> len(resnet152(width=8).state_dict())
        932
    """
    return ResNet(Bottleneck, (3, 8, 36, 3), **options)
