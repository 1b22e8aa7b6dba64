"""The handwritten digits in the package: 1,797 scans of 8 x 8 pixels, and a fixed split into training and
test part.

The test part of the UCI "Optical Recognition of Handwritten Digits" data set (E. Alpaydin, C. Kaynak; CC BY
4.0, see NOTICE), values and order unchanged.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import squall as sq
from squall.base.errors import SquallError
from squall.data.dataset import TensorDataset

FILE = Path(__file__).with_name("digits.npz")
CHECKSUM = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
CLASSES = 10
TEST_EVERY = 5  # of each class, the share that is held out
_STRIDE = 7919  # walks through each class in an order without pattern, the same for ever


class Digits(NamedTuple):
    """The two parts of the digits; items are (image, label).

    Images are float32 of shape (1, 8, 8) with values from 0 to 1, labels int64 scalars.
    """

    train: TensorDataset
    test: TensorDataset


def arrays() -> tuple[Any, Any]:
    """All scans as uint8 (1797, 8, 8) with values 0 to 16, and labels (1797,), checked against their
    checksum."""
    import numpy

    with numpy.load(FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    if hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() != CHECKSUM:
        raise SquallError(
            f"{FILE.name} in the package is damaged: its checksum differs; install squall again"
        )
    return images, labels


def held_out_indices(labels: Any) -> list[int]:
    """Which samples are held out: a fifth of each class, fixed for ever."""
    chosen: list[int] = []
    for label in range(CLASSES):
        members = [int(i) for i in (labels == label).nonzero()[0]]
        count = round(len(members) / TEST_EVERY)
        chosen += [members[(k * _STRIDE) % len(members)] for k in range(count)]
    return sorted(chosen)


def digits() -> Digits:
    """The training part (1,438 scans) and the test part (359 scans), with the same share of every digit.

    Example:
        >>> import squall as sq
        >>> train, test = sq.data.digits()
        >>> image, label = train[0]
        >>> image.shape, image.max().item() <= 1
        (squall.Size([1, 8, 8]), True)
    """
    import numpy

    images, labels = arrays()
    held_out = numpy.zeros(len(labels), bool)
    held_out[held_out_indices(labels)] = True
    scaled = (images.astype(numpy.float32) / 16.0)[:, None]
    parts = []
    for rows in (~held_out, held_out):
        parts.append(
            TensorDataset(sq.from_numpy(scaled[rows]), sq.from_numpy(labels[rows].astype(numpy.int64)))
        )
    return Digits(*parts)
