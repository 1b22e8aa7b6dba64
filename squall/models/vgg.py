"""VGG networks with torchvision's parameter names.

Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014.
"""

from __future__ import annotations

from typing import Any

from squall import nn

# Channels of the 3 x 3 convolutions; 0 is a max pooling.
_STAGES = {
    11: (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    13: (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0),
    16: (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0),
    19: (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0),
}


class VGG(nn.Module):
    """3 x 3 convolutions in five stages with pooling between them, and three linear layers.

    Args:
        depth: 11, 13, 16 or 19 layers with weights. batch_norm: after every convolution. num_classes: size of the
        result. dropout: probability between the linear layers. in_channels: of the pictures. hidden: features between
        the linear layers. divide: use this many times fewer channels than the paper.

    Raises:
        ValueError: for another depth.

    Example:
        >>> import squall as sq
        >>> model = VGG(11, num_classes=10, hidden=16, divide=16).eval()
        >>> model(sq.zeros(1, 3, 32, 32)).shape
        squall.Size([1, 10])
    """

    def __init__(
        self,
        depth: int = 16,
        batch_norm: bool = False,
        num_classes: int = 1000,
        dropout: float = 0.5,
        in_channels: int = 3,
        hidden: int = 4096,
        divide: int = 1,
    ) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ValueError(f"VGG: argument 'depth' must be one of {sorted(_STAGES)}, got {depth!r}")
        layers: list[nn.Module] = []
        channels = in_channels
        for size in _STAGES[depth]:
            if not size:
                layers.append(nn.MaxPool2d(2, stride=2))
                continue
            layers.append(nn.Conv2d(channels, size // divide, 3, padding=1))
            channels = size // divide
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, num_classes),
        )  # fmt: skip
        self.apply(self._initialise)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg11(**options: Any) -> VGG:
    """VGG with 11 layers; options as of `VGG`, for all of these.

    Example:
        >>> len(vgg11(divide=16, hidden=16).state_dict())
        22
    """
    return VGG(11, **options)


def vgg13(**options: Any) -> VGG:
    """VGG with 13 layers; options as of `VGG`."""
    return VGG(13, **options)


def vgg16(**options: Any) -> VGG:
    """VGG with 16 layers; options as of `VGG`."""
    return VGG(16, **options)


def vgg19(**options: Any) -> VGG:
    """VGG with 19 layers; options as of `VGG`."""
    return VGG(19, **options)


def vgg16_bn(**options: Any) -> VGG:
    """VGG with 16 layers and batch normalisation; options as of `VGG`.

    Example:
        >>> len(vgg16_bn(divide=16, hidden=16).state_dict())
        97
    """
    return VGG(16, batch_norm=True, **options)
