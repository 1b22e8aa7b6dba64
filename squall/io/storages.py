"""Storages: the memory that the Tensors of a file share, and Tensors rebuilt over it with their strides.

Tensors of one storage stay views of one Tensor, so tied weights stay tied and a write to one is seen by the others.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import squall as sq
from squall.base.dtypes import DType, dtype_named, numpy_dtype
from squall.base.errors import CheckpointError
from squall.base.shapes import contiguous_strides
from squall.frontend.arrays import computed
from squall.frontend.core import wrap
from squall.frontend.views import see_through
from squall.ir.op import ops

NUMBER_LIMIT = 1 << 62  # sizes, strides and products of them
RANK_LIMIT = 64
_ALIGNMENT = 16


class Kind(NamedTuple):
    """An element type as files name it: what squall calls it (None: it has none), and bytes an element takes."""

    name: str
    dtype: DType | None
    itemsize: int


def _kinds() -> dict[str, Kind]:
    ours = {
        "Bool": "bool", "Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64",
        "Half": "float16", "BFloat16": "bfloat16", "Float": "float32", "Double": "float64",
        "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    }  # fmt: skip
    kinds = {}
    for name, ours_name in ours.items():
        dtype = dtype_named(ours_name)
        kinds[f"{name}Storage"] = Kind(ours_name, dtype, dtype.itemsize)
    foreign = {
        "QUInt8": ("quint8", 1), "QInt8": ("qint8", 1), "QInt32": ("qint32", 4), "QUInt4x2": ("quint4x2", 1),
        "QUInt2x4": ("quint2x4", 1),
    }  # fmt: skip
    for name, (theirs, size) in foreign.items():
        kinds[f"{name}Storage"] = Kind(theirs, None, size)
    kinds["UntypedStorage"] = Kind("untyped", None, 1)
    return kinds


# By the class names of PyTorch's storages.
KINDS = _kinds()


def aligned_array(raw: Any, dtype: Any) -> Any:
    """A writable ndarray over bytes: over the same memory when it is writable and aligned, else a copy."""
    import numpy

    array = numpy.frombuffer(raw, dtype)
    if array.flags.writeable and array.flags.aligned:
        return array
    return array.copy()


def swapped(array: Any, itemsize: int) -> Any:
    """A copy of bytes (ndarray of uint8) with the order within each element reversed."""
    return array.reshape(-1, itemsize)[:, ::-1].reshape(-1).copy()


class Storage:
    """Memory of one or several Tensors of a file, read when the first of them is rebuilt.

    Args:
        kind: of its elements. count: how many. read: gives its bytes, writable where they may be kept; None while
            only the descriptions of Tensors are checked. big_endian: whether the file has the bytes of each element
            in that order.
    """

    def __init__(self, kind: Kind, count: int, read: Callable[[], Any] | None, big_endian: bool = False) -> None:
        self.kind, self.count, self._read, self.big_endian = kind, count, read, big_endian
        self._bases: dict[str, Any] = {}
        self._raw: Any = None

    def __repr__(self) -> str:
        return f"<a torch.storage of {self.count} {self.kind.name}>"

    def base(self, dtype: DType, shape: tuple[int, ...] | None = None) -> Any:
        """The Tensor that the others see; of shape (count,), or `shape` when it is made by this call."""
        found = self._bases.get(dtype.name)
        if found is None:
            array = aligned_array(self._bytes(dtype.itemsize), numpy_dtype(dtype))
            if dtype.name == "bool" and array.size and array.view("u1").max() > 1:
                array = array.view("u1") != 0  # any other byte would be neither true nor false
            found = self._bases[dtype.name] = wrap(computed(array if shape is None else array.reshape(shape)))
        return found

    @property
    def described_only(self) -> bool:
        """Whether there are no bytes behind it."""
        return self._read is None

    def _bytes(self, itemsize: int) -> Any:
        import numpy

        if self._raw is None:
            assert self._read is not None
            self._raw = self._read()
        if (self.big_endian != (sys.byteorder == "big")) and itemsize > 1:
            part = itemsize // 2 if self.kind.dtype is not None and self.kind.dtype.is_complex else itemsize
            return swapped(numpy.frombuffer(self._raw, numpy.uint8), part)
        return self._raw


def _numbers(values: Any, what: str) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > RANK_LIMIT:
        raise CheckpointError(f"the {what} of a tensor are {type(values).__name__}, not at most {RANK_LIMIT} numbers")
    for value in values:
        if type(value) is not int or not 0 <= value < NUMBER_LIMIT:
            raise CheckpointError(f"the {what} of a tensor hold {str(value)[:40]}")
    return tuple(values)


def rebuild(storage: Any, offset: Any, size: Any, stride: Any, dtype: DType | None = None) -> Any:
    """A Tensor that sees a storage.

    Args:
        offset, stride: in elements. size: its shape. dtype: when the storage has no type of its own.

    Raises:
        CheckpointError: when it would reach beyond the storage, or has a dtype squall does not have.
    """
    if not isinstance(storage, Storage):
        raise CheckpointError(f"a tensor lies in a {type(storage).__name__}, not in a storage")
    shape, strides = _numbers(size, "sizes"), _numbers(stride, "strides")
    (offset,) = _numbers((offset,), "offset")
    if len(shape) != len(strides):
        raise CheckpointError(f"a tensor has {len(shape)} sizes and {len(strides)} strides")
    kind = storage.kind.dtype if dtype is None else dtype
    if kind is None:
        raise CheckpointError(f"a tensor of shape {shape} has dtype {storage.kind.name}, which squall does not have")
    count = storage.count * storage.kind.itemsize // kind.itemsize
    elements = prod(shape)
    if elements >= NUMBER_LIMIT:
        raise CheckpointError(f"a tensor of shape {shape} has too many elements")
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if elements and last >= count:
        raise CheckpointError(
            f"a tensor of shape {shape}, strides {strides} and offset {offset} needs {last + 1} elements, and its "
            f"storage has {count}"
        )
    if storage.described_only:
        return sq.zeros(0, dtype=kind)
    return _see(storage, kind, count, offset, shape, strides)


def _see(storage: Storage, dtype: DType, count: int, offset: int, shape: tuple, strides: tuple) -> Any:
    """The Tensor itself; everything was checked."""
    if 0 in shape:
        import numpy

        return wrap(computed(numpy.empty(shape, numpy_dtype(dtype))))
    plain = contiguous_strides(shape)
    matters = tuple(d for d, n in enumerate(shape) if n > 1)
    dense = all(strides[d] == plain[d] for d in matters)
    if dense and offset == 0 and prod(shape) == count:
        base = storage.base(dtype, shape)
        return base.detach() if tuple(base.shape) == shape else base.view(shape)
    base = storage.base(dtype)
    flat = base if base.dim() == 1 else base.view(-1)
    if dense:
        return flat[offset : offset + prod(shape)].view(shape)
    out = _strided(flat, count, offset, shape, strides)
    out._view.strides = strides  # also of dimensions of size 1, which are free
    return out


def _strided(flat: Any, count: int, offset: int, shape: tuple, strides: tuple) -> Any:
    """A view of a flat Tensor with any strides: dimensions from the widest stride inwards, sizes 1 and strides 0 put
    in at the end."""
    real = sorted((d for d, n in enumerate(shape) if n > 1 and strides[d]), key=lambda d: -strides[d])
    view = _nested(flat, count, offset, [(shape[d], strides[d]) for d in real])
    if view is None:
        view = _windows(flat, offset, [(shape[d], strides[d]) for d in real])
    view = view.permute(tuple(sorted(range(len(real)), key=lambda i: real[i])))
    for d in range(len(shape)):
        if d not in real:
            view = view.unsqueeze(d)
    return view.expand(shape)


def _nested(flat: Any, count: int, offset: int, dims: list[tuple[int, int]]) -> Any:
    """By slices and reshapes, which can be written through; None when a stride is no multiple of what lies in it."""
    for (_, outer), (size, inner) in itertools.pairwise(dims):
        if outer % inner or size * inner > outer:
            return None
    view, room = flat, count
    for size, stride in dims:
        start, offset = divmod(offset, stride)
        rows = room // stride
        if start + size > rows:  # the last row is not whole
            return None
        cut = view[..., : rows * stride]
        view = cut.reshape(*cut.shape[:-1], rows, stride)[..., start : start + size, :]
        room = stride
    return view[..., offset]


def _windows(flat: Any, offset: int, dims: list[tuple[int, int]]) -> Any:
    """By windows over the flat Tensor: any strides, but writes through such a view are refused."""
    view = flat[offset:]
    for size, stride in dims:
        view = see_through(view, ((ops.window, ((0,), (size,), (1,), (stride,)), ()),))
    return view[0]
