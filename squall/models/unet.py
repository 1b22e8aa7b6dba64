"""U-Net: an encoder that halves the picture, a decoder that doubles it again, and links between equal sizes.

Ronneberger, Fischer, Brox: "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015; convolutions are
padded and followed by batch normalisation, so that the result has the size of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import squall as sq
from squall import nn
from squall.base.errors import ShapeError


class DoubleConv(nn.Sequential):
    """Two 3 x 3 convolutions, each with normalisation and ReLU.

    Args:
        inside, outside: channels.
    """

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
        )  # fmt: skip


class UNet(nn.Module):
    """Segments pictures: a class score for every pixel.

    Args:
        in_channels: of the pictures. num_classes: channels of the result. widths: channels of each level, the
        coarsest last.

    Example:
        >>> import squall as sq
        >>> UNet(1, 2, widths=(4, 8))(sq.zeros(1, 1, 8, 12)).shape
        squall.Size([1, 2, 8, 12])
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 2, widths: Sequence[int] = (64, 128, 256, 512, 1024)
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        inside = in_channels
        for width in widths:
            self.down.append(DoubleConv(inside, width))
            inside = width
        self.pool = nn.MaxPool2d(2)
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(inside, width, 2, stride=2))
            self.merge.append(DoubleConv(2 * width, width))
            inside = width
        self.head = nn.Conv2d(inside, num_classes, 1)

    def forward(self, x: Any) -> Any:
        """Class scores.

        Args:
            x: shape (batch, in_channels, height, width); both sizes multiples of 2 to the number of poolings.

        Returns:
            Shape (batch, num_classes, height, width).

        Raises:
            ShapeError: for other sizes.
        """
        multiple = 2 ** (len(self.down) - 1)
        if any(isinstance(size, int) and size % multiple for size in x.shape[2:]):
            raise ShapeError(
                f"UNet: height and width must be multiples of {multiple}, got {tuple(x.shape[2:])}; pad the picture"
            )
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            kept.append(x)
        kept.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(sq.cat([kept.pop(), up(x)], 1))
        return self.head(x)
