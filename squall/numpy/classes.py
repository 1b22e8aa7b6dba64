"""Which dtype serves values, and what an array is, under NumPy's names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.base.dtypes import float16, float64, promote
from squall.numpy.core import arr, cast, is_array, lift
from squall.numpy.creation import copy
from squall.numpy.kinds import dtype_of


def common_type(*arrays: Any) -> Any:
    """The floating dtype that arrays have in common; integers count as float64.

    Example:
        >>> import squall.numpy as snp
        >>> snp.common_type(snp.ones(1, snp.float32), snp.ones(1, snp.int8)) is snp.float64
        True
    """
    found = float16
    for a in arrays:
        kind = arr(a).node.dtype
        if kind.category == 0:
            raise TypeError("can't get common type for non-numeric array")
        found = promote(found, float64 if kind.category == 1 else kind)
    return found


_WHOLE = ("uint8", "uint16", "uint32", "uint64"), ("int8", "int16", "int32", "int64")


def min_scalar_type(a: Any) -> Any:
    """The smallest dtype that holds a number; of an array with dimensions its own.

    Example:
        >>> import squall.numpy as snp
        >>> snp.min_scalar_type(10), snp.min_scalar_type(-300), snp.min_scalar_type(1e50)
        (squall.uint8, squall.int16, squall.float64)
    """
    x = arr(a)
    if x.ndim or x.node.dtype.category == 0:
        return x.node.dtype
    value = x.item()
    if isinstance(value, int):
        signed = value < 0
        bits = max((-value - 1 if signed else value).bit_length() + signed, 1)
        return dtype_of(next(name for name in _WHOLE[signed] if int(name.lstrip("uint")) >= bits))
    names = ("complex64", "complex128") if isinstance(value, complex) else ("float16", "float32", "float64")
    limits = {"float16": 65000.0, "float32": 3.4e38, "complex64": 3.4e38}
    parts = (abs(value.real), abs(value.imag))
    inside = (n for n in names if all(not p < float("inf") or p < limits.get(n, float("inf")) for p in parts))
    return dtype_of(next(inside))


def iterable(y: Any) -> bool:
    """Whether one can go through something; arrays without dimensions are not.

    Example:
        >>> import squall.numpy as snp
        >>> snp.iterable([1]), snp.iterable(snp.array(1))
        (True, False)
    """
    return arr(y).ndim > 0 if is_array(y) else isinstance(y, Iterable)


def isfortran(a: Any) -> bool:
    """Whether a matrix lies in memory column after column.

    Example:
        >>> import squall.numpy as snp
        >>> snp.isfortran(snp.ones((2, 3)).T), snp.isfortran(snp.ones((2, 3)))
        (True, False)
    """
    x = arr(a)
    return not x.is_contiguous() and x.permute(*reversed(range(x.ndim))).is_contiguous()


def asfortranarray(a: Any, dtype: Any = None) -> Any:
    """An array that lies column after column: itself where it does, or a view of a copy that does.

    Example:
        >>> import squall.numpy as snp
        >>> snp.isfortran(snp.asfortranarray([[1, 2], [3, 4]]))
        True
    """
    x = arr(a)
    x = x.reshape(1) if not x.ndim else x if dtype is None else cast(x, dtype_of(dtype))
    back = tuple(reversed(range(x.ndim)))
    turned = x.permute(*back)
    return lift(x if turned.is_contiguous() else turned.contiguous().permute(*back))


def require(a: Any, dtype: Any = None, requirements: Any = None) -> Any:
    """An array of a dtype that lies as asked for: a copy where it does not.

    Args:
        requirements: "C" or "F" (or their long names) for how it lies; "O", "A", "W", "E", which always hold.

    Raises:
        ValueError: for "C" and "F" together.

    Example:
        >>> import squall.numpy as snp
        >>> snp.isfortran(snp.require([[1, 2], [3, 4]], requirements="F"))
        True
    """
    wanted = {str(r)[0].upper() for r in ([requirements] if isinstance(requirements, str) else requirements or ())}
    if {"C", "F"} <= wanted:
        raise ValueError('Cannot specify both "C" and "F" order')
    x = arr(a) if dtype is None else cast(arr(a), dtype_of(dtype))
    if "F" in wanted:
        return asfortranarray(x)
    return copy(x) if "C" in wanted and not x.is_contiguous() else lift(x)


_TYPE_NAMES = {
    "?": "bool", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "integer",
    "I": "unsigned integer", "l": "long integer", "L": "unsigned long integer", "q": "long long integer",
    "Q": "unsigned long long integer", "f": "single precision", "d": "double precision",
    "F": "complex single precision", "D": "complex double precision",
}  # fmt: skip


def typename(char: str) -> str:
    """What a letter for a dtype stands for.

    Example:
        >>> import squall.numpy as snp
        >>> snp.typename("d")
        'double precision'
    """
    return _TYPE_NAMES[char]
