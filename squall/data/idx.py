"""IDX files, the format of MNIST and its kin: read from a folder, compressed by gzip or not, and checked.

    2 zero bytes, a byte for the type of the numbers, a byte for how many dimensions there are
    for each dimension its size, 4 bytes, big endian
    the numbers, big endian, the last dimension fastest
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import squall as sq
from squall.base.errors import SquallError
from squall.data.collate import own
from squall.data.dataset import TensorDataset

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
RANK_LIMIT = 16
SIZE_LIMIT = 1 << 34  # bytes after inflating
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# SHA-256 of what the files hold once they are inflated.
FASHION_MNIST = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
CLASSES = 10


class DataFileError(SquallError, ValueError):
    """A file of a data set that is missing, damaged or not what it should be."""


class ImageSets(NamedTuple):
    """The two parts of a data set of images; items are (image, label).

    Images have shape (channels, rows, columns), labels are int64 scalars.
    """

    train: TensorDataset
    test: TensorDataset


def contents(path: Path, limit: int = SIZE_LIMIT) -> bytes:
    """The bytes of a file, inflated when they are compressed by gzip.

    Raises:
        DataFileError: when the file is missing, cut off or damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataFileError(f"cannot read {path}: {error.strerror or error}") from None
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        engine = zlib.decompressobj(31)
        out = engine.decompress(data, limit + 1)
        if len(out) > limit:
            raise DataFileError(f"{path} holds more than {limit} bytes")
        if not engine.eof:
            raise DataFileError(f"{path} is truncated: its compressed contents have no end")
        if engine.unused_data.startswith(b"\x1f\x8b"):  # several members one after the other
            out = gzip.decompress(data)
    except (zlib.error, OSError, EOFError) as error:
        raise DataFileError(f"{path} is damaged: {error}") from None
    return out


def checked(path: Path, wanted: str | None) -> bytes:
    """`contents`, compared with a SHA-256 where there is one.

    Raises:
        DataFileError: when they differ.
    """
    data = contents(path)
    found = hashlib.sha256(data).hexdigest()
    if wanted not in (None, found):
        raise DataFileError(
            f"{path} is damaged or another file: its contents have the SHA-256 {found}, expected {wanted}"
        )
    return data


def parse(data: bytes, name: str = "the file") -> Any:
    """The ndarray in the bytes of an IDX file.

    Args:
        name: what messages call it.

    Raises:
        DataFileError: naming what is wrong.

    Example:
        >>> parse(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])).tolist()
        [7, 8, 9]
    """
    import numpy

    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or data[3] > RANK_LIMIT:
        raise DataFileError(f"{name} is not an IDX file: it begins with {data[:4]!r}")
    dtype, rank = numpy.dtype(_TYPES[data[2]]), data[3]
    begin = 4 + 4 * rank
    if len(data) < begin:
        raise DataFileError(f"{name} is truncated: {len(data)} bytes, and its head alone has {begin}")
    shape = tuple(int.from_bytes(data[4 + 4 * d : 8 + 4 * d], "big") for d in range(rank))
    expected = begin + prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise DataFileError(f"{name} has {len(data)} bytes, and {expected} belong to shape {shape}")
    return numpy.frombuffer(data, dtype, offset=begin).reshape(shape).astype(dtype.newbyteorder("="))


def read(path: Any) -> Any:
    """The Tensor in an IDX file, compressed by gzip or not.

    Raises:
        DataFileError: when the file is missing, damaged, truncated or of another kind.
    """
    path = Path(path)
    return own(parse(contents(path), str(path)))


def write(path: Any, array: Any) -> Path:
    """Write an array or Tensor as an IDX file; compressed when the name ends in `.gz`.

    Raises:
        TypeError: for a dtype that the format does not have.
    """
    import numpy

    array = numpy.asarray(array.detach_array() if isinstance(array, sq.Tensor) else array)
    kinds = {numpy.dtype(name).newbyteorder("="): kind for kind, name in _TYPES.items()}
    kind = kinds.get(array.dtype.newbyteorder("="))
    if kind is None:
        raise TypeError(f"idx.write: dtype {array.dtype} is none of {', '.join(str(k) for k in kinds)}")
    head = bytes([0, 0, kind, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    data = head + array.astype(_TYPES[kind]).tobytes()
    path = Path(path)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def _find(folder: Path, name: str) -> Path:
    """A file with or without `.gz`, under either spelling that mirrors use."""
    names = [name, name.replace("-idx", ".idx")]
    for candidate in (f"{n}{suffix}" for n in names for suffix in ("", ".gz")):
        if (folder / candidate).is_file():
            return folder / candidate
    where = f"{folder} holds neither" if folder.is_dir() else f"there is no folder {folder}, so neither"
    raise DataFileError(f"{where} {name} nor {name}.gz")


def _part(folder: Path, names: tuple[str, str], checksums: dict[str, str], scale: bool) -> TensorDataset:
    import numpy

    arrays = []
    for name in names:
        path = _find(folder, name)
        arrays.append(parse(checked(path, checksums.get(name)), str(path)))
    images, labels = arrays
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataFileError(f"{folder}: images of shape {images.shape} and labels of shape {labels.shape}")
    images = images[:, None].astype(numpy.float32) / numpy.float32(255) if scale else images[:, None]
    return TensorDataset(own(images), own(labels.astype(numpy.int64)))


def load(folder: Any, checksums: dict[str, str] | None = None, scale: bool = True) -> ImageSets:
    """A data set in MNIST's four files, each compressed or not: training and test part.

    Args:
        folder: where the files are. checksums: SHA-256 of their inflated contents by name, such as `FASHION_MNIST`;
            those that are not named are not checked. scale: float32 images with values from 0 to 1; False keeps uint8.

    Raises:
        DataFileError: when a file is missing, damaged, truncated, or another one than its checksum says.
    """
    folder = Path(folder)
    parts = (_part(folder, _FILES[part], checksums or {}, scale) for part in ("train", "test"))
    return ImageSets(*parts)


def fashion_mnist(folder: Any, scale: bool = True) -> ImageSets:
    """Fashion-MNIST (60,000 and 10,000 images of clothing, 28 x 28, ten classes) from a folder with its four files.

    Args:
        folder: where they are; Debian's package `dataset-fashion-mnist` has them in its share/datasets/fashion-mnist.
            scale: as in `load`.

    Raises:
        DataFileError: when a file is missing, damaged, or not that of Fashion-MNIST.
    """
    return load(folder, FASHION_MNIST, scale)
