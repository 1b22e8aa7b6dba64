"""CIFAR-10 and CIFAR-100 in their binary versions, read from a folder.

Each sample is one byte for its class (CIFAR-100: one for the coarse, one for the fine class) and 3,072 for the image:
red, green and blue, 32 rows of 32 pixels each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from squall.data.collate import own
from squall.data.dataset import TensorDataset
from squall.data.idx import DataFileError, ImageSets, checked

SIDE, CHANNELS = 32, 3
PIXELS = CHANNELS * SIDE * SIDE
TRAIN_10 = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_10 = ("test_batch.bin",)
TRAIN_100, TEST_100 = ("train.bin",), ("test.bin",)


def parse(data: bytes, classes: int, name: str = "the file") -> tuple[Any, Any]:
    """Images (n, 3, 32, 32) as uint8 and labels (n,) as int64, of the bytes of one file.

    Args:
        classes: 10 or 100; of 100 the fine ones. name: what messages call it.

    Raises:
        DataFileError: when the bytes are no whole number of samples, or a label is no class.
    """
    import numpy

    width = 1 if classes == 10 else 2
    size = width + PIXELS
    if not data or len(data) % size:
        raise DataFileError(f"{name} has {len(data)} bytes, which is no whole number of samples of {size} bytes")
    rows = numpy.frombuffer(data, numpy.uint8).reshape(-1, size)
    labels = rows[:, width - 1].astype(numpy.int64)
    if labels.max() >= classes:
        place = int((labels >= classes).argmax())
        raise DataFileError(
            f"{name} has the class {labels[place]} at byte {place * size + width - 1}; there are {classes}"
        )
    return rows[:, width:].reshape(-1, CHANNELS, SIDE, SIDE), labels


def _part(folder: Path, names: tuple[str, ...], classes: int, checksums: dict[str, str], scale: bool) -> TensorDataset:
    import numpy

    images, labels = [], []
    for name in names:
        path = folder / name
        packed = folder / f"{name}.gz"
        if not path.is_file() and packed.is_file():
            path = packed
        some, classes_of = parse(checked(path, checksums.get(name)), classes, str(path))
        images.append(some)
        labels.append(classes_of)
    whole = numpy.concatenate(images)
    if scale:
        whole = whole.astype(numpy.float32) / numpy.float32(255)
    return TensorDataset(own(whole), own(numpy.concatenate(labels)))


def cifar10(folder: Any, checksums: dict[str, str] | None = None, scale: bool = True) -> ImageSets:
    """CIFAR-10 (50,000 and 10,000 images, 32 x 32 in colour, ten classes) from `data_batch_1.bin` to `data_batch_5.bin`
    and `test_batch.bin`.

    Args:
        folder: where the files are, compressed by gzip or not. checksums: SHA-256 of their inflated contents by name;
            those that are not named are not checked. scale: float32 images with values from 0 to 1; False keeps uint8.

    Raises:
        DataFileError: when a file is missing, damaged, or another one than its checksum says.
    """
    place = Path(folder)
    parts = (_part(place, names, 10, checksums or {}, scale) for names in (TRAIN_10, TEST_10))
    return ImageSets(*parts)


def cifar100(folder: Any, checksums: dict[str, str] | None = None, scale: bool = True) -> ImageSets:
    """CIFAR-100 (50,000 and 10,000 images, 32 x 32 in colour, a hundred classes) from `train.bin` and `test.bin`.

    Args:
        folder, checksums, scale: as in `cifar10`.

    Raises:
        DataFileError: when a file is missing, damaged, or another one than its checksum says.
    """
    place = Path(folder)
    parts = (_part(place, names, 100, checksums or {}, scale) for names in (TRAIN_100, TEST_100))
    return ImageSets(*parts)
