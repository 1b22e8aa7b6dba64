"""NumPy's `.npy` and `.npz` files. Arrays of Python objects are pickles inside and are never read or written."""

from __future__ import annotations

import ast
import io
from math import prod
from pathlib import Path
from typing import Any

import squall as sq
from squall.base.dtypes import dtype_named
from squall.base.errors import CheckpointError
from squall.frontend.arrays import computed
from squall.frontend.core import wrap
from squall.io import atomic
from squall.io.sources import mapped
from squall.io.storages import aligned_array
from squall.io.zip_files import STORED, ZipReader, ZipWriter

MAGIC = b"\x93NUMPY"
HEADER_LIMIT = 1 << 16
RANK_LIMIT = 64


def parse_header(data: Any) -> tuple[Any, bool, tuple[int, ...], int]:
    """dtype, whether in Fortran's order, shape, and where the numbers begin, of a `.npy` file.

    Raises:
        CheckpointError: naming what is wrong with the header.
    """
    start = bytes(data[:12])
    if len(start) < 10 or not start.startswith(MAGIC):
        raise CheckpointError("it is not a .npy file" if start else "it is empty")
    if start[6] not in (1, 2, 3):
        raise CheckpointError(f"it has format version {start[6]}; 1 to 3 are known")
    width = 2 if start[6] == 1 else 4
    length, begin = int.from_bytes(start[8 : 8 + width], "little"), 8 + width
    if length > min(HEADER_LIMIT, len(data) - begin):
        raise CheckpointError(f"its header at byte {begin} should have {length} bytes: truncated or damaged")
    text = bytes(data[begin : begin + length]).decode("utf-8" if start[6] == 3 else "latin-1", "replace")
    try:
        header = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise CheckpointError(f"its header at byte {begin} is damaged") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise CheckpointError(f"its header at byte {begin} does not have descr, fortran_order and shape")
    shape = header["shape"]
    if not isinstance(shape, tuple) or len(shape) > RANK_LIMIT or any(type(n) is not int or n < 0 for n in shape):
        raise CheckpointError(f"its header at byte {begin} has the shape {str(shape)[:80]}")
    return _dtype(header["descr"]), header["fortran_order"] is True, shape, begin + length


def _dtype(descr: Any) -> Any:
    import numpy

    try:
        dtype = numpy.dtype(descr) if isinstance(descr, str) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.hasobject:
        raise CheckpointError(f"it holds values of dtype {str(descr)[:80]!r}, which are not plain numbers")
    return dtype


def parse(data: Any) -> Any:
    """The Tensor of a `.npy` file's bytes; over the same memory where it can be.

    Raises:
        CheckpointError: naming what is wrong, or a dtype squall does not have.
    """
    dtype, fortran, shape, begin = parse_header(data)
    try:
        dtype_named(dtype.name)
    except KeyError:
        raise CheckpointError(f"it holds values of dtype {dtype}, which squall does not have") from None
    expected = prod(shape) * dtype.itemsize
    if len(data) - begin < expected:
        raise CheckpointError(
            f"it is truncated: {expected} bytes from byte {begin} expected, {len(data) - begin} there"
        )
    array = aligned_array(memoryview(data)[begin : begin + expected], dtype)
    if not array.dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    if array.dtype == bool:
        array = array.view("u1") != 0
    if not fortran:
        return wrap(computed(array.reshape(shape)))
    return wrap(computed(array.reshape(shape[::-1]))).permute(tuple(range(len(shape)))[::-1])


def load_npy(path: Any, mmap: bool = False) -> Any:
    """The Tensor in a `.npy` file.

    Args:
        path: the file. mmap: leave its bytes on the disk until they are touched; writes stay in this process.

    Raises:
        CheckpointError: when the file is missing, damaged, truncated or holds Python objects.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = sq.io.save_npy(os.path.join(folder, "x.npy"), sq.arange(3))
        ...     sq.io.load_npy(path)
        tensor([0, 1, 2])
    """
    data = mapped(path) if mmap else bytearray(atomic.read_file(path))
    try:
        return parse(data)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}") from None


def save_npy(path: Any, tensor: Any) -> Path:
    """Write a Tensor to a `.npy` file, atomically.

    Args:
        path: where. tensor: a Tensor or an array.

    Returns:
        The path.

    Raises:
        TypeError: for bfloat16, which NumPy's files cannot name, and for what is no array of numbers.
    """
    return atomic.atomic_write(path, _npy("save_npy", "the tensor", tensor))


def _npy(function: str, name: str, value: Any) -> bytes:
    import numpy

    if isinstance(value, sq.Tensor):
        array = value.detach_array()
    elif hasattr(value, "__array__"):
        array = numpy.asarray(value)
    else:
        array = sq.tensor(value).detach_array()
    if array.dtype.kind not in "biufcSU" or array.dtype.hasobject:
        raise TypeError(
            f"{function}: {name} has dtype {array.dtype}, which NumPy's files cannot hold; convert it first, such as "
            "with .float()"
        )
    out = io.BytesIO()
    numpy.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def load_npz(path: Any, mmap: bool = False) -> dict[str, Any]:
    """The Tensors of a `.npz` archive by name.

    Args:
        path: the file, as numpy.savez or numpy.savez_compressed writes it. mmap: leave what is not compressed on the
            disk until it is touched.

    Raises:
        CheckpointError: when the file is missing, damaged, truncated, or a member holds Python objects or a dtype that
            squall does not have.

    Example:
        >>> import os, tempfile
        >>> import squall as sq
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = sq.io.save_npz(os.path.join(folder, "x.npz"), {"a": sq.arange(2), "b": sq.ones(1)})
        ...     sq.io.load_npz(path)
        {'a': tensor([0, 1]), 'b': tensor([1.])}
    """
    out = {}
    try:
        archive = ZipReader(mapped(path))
        for name, member in archive.members.items():
            if not name.endswith(".npy"):
                raise CheckpointError(f"it holds {name[:200]!r}, and a .npz archive holds .npy files")
            whole = mmap and member.method == STORED
            try:
                out[name[:-4]] = parse(archive.window(member) if whole else archive.read(member))
            except CheckpointError as error:
                raise CheckpointError(f"in {name[:200]!r} {error}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}") from None
    return out


def save_npz(path: Any, tensors: dict[str, Any], compress: bool = False) -> Path:
    """Write Tensors by name to a `.npz` archive, atomically.

    Args:
        path: where. tensors: Tensors or arrays. compress: make the file smaller, which takes time.

    Returns:
        The path.

    Raises:
        TypeError: for names that are not strings, and for bfloat16, which NumPy's files cannot name.
    """
    if any(not isinstance(name, str) for name in tensors):
        raise TypeError("save_npz: names are strings")
    members = {name: _npy("save_npz", repr(name), value) for name, value in tensors.items()}

    def write(file: Any) -> None:
        archive = ZipWriter(file)
        for name, data in members.items():
            archive.add(f"{name}.npy", data, compress)
        archive.finish()

    return atomic.atomic_write(path, write)
