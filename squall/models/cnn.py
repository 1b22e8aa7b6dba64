"""A small residual network for 8 x 8 scans."""

from __future__ import annotations

from typing import Any

import squall.nn.functional as F
from squall import nn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation around which the input goes past.

    Args:
        in_channels, out_channels: when they differ, a 1 x 1 convolution fits the input.

    Example:
        >>> import squall as sq
        >>> ResidualBlock(4, 8)(sq.zeros(2, 4, 6, 6)).shape
        squall.Size([2, 8, 6, 6])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        fits = in_channels == out_channels
        self.shortcut = nn.Identity() if fits else nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Any) -> Any:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class DigitsCNN(nn.Module):
    """Classifies the handwritten digits: a stem, two residual blocks with pooling, and a linear layer.

    Args:
        width: channels of the first half; the second has twice as many. classes: size of the result.
            dropout: probability before the last layer.

    Example:
        >>> import squall as sq
        >>> DigitsCNN(width=8)(sq.zeros(2, 1, 8, 8)).shape
        squall.Size([2, 10])
    """

    def __init__(self, width: int = 32, classes: int = 10, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.block1 = ResidualBlock(width, width)
        self.block2 = ResidualBlock(width, 2 * width)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width * 2 * 2, classes)

    def forward(self, x: Any) -> Any:
        x = self.pool(self.block1(self.stem(x)))
        x = self.pool(self.block2(x))
        return self.head(self.dropout(x.flatten(1)))
