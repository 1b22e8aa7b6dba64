"""NumPy's rules of dtypes (NEP 50): promotion, what Python numbers count as, casting, families of dtypes.

They differ from PyTorch's: arrays without dimensions count like all others, int32 and float32 make float64, and
functions such as `sin` turn integers into the float that holds them. Python numbers only decide the family.
"""

from __future__ import annotations

from typing import Any

from squall.base import dtypes
from squall.base.dtypes import (
    BY_NAME,
    DType,
    bfloat16,
    bool_,
    complex64,
    complex128,
    complex_of,
    float16,
    float32,
    float64,
    int64,
    real_of,
    uint64,
)
from squall.frontend import functions

_CHARS = dict(
    zip(
        "?bhilqBHILQefdFD",
        [
            "bool",
            "int8",
            "int16",
            "int32",
            "int64",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "uint64",
            "float16",
            "float32",
            "float64",
            "complex64",
            "complex128",
        ],
        strict=True,
    )
)
_PYTHON = {bool: bool_, int: int64, float: float64, complex: complex128}
_SINGLE_FLOAT = {1: float16, 2: float32, 4: float64, 8: float64}


def dtype_of(value: Any) -> DType:
    """The DType of anything that names one in NumPy: a DType, a NumPy dtype, a Python type, "f4", "float64".

    Raises:
        TypeError: when it names none that squall has.
    """
    if isinstance(value, DType):
        return value
    if value is None:
        return float64
    if isinstance(value, type) and value in _PYTHON:
        return _PYTHON[value]
    if isinstance(value, str) and value in BY_NAME and value not in _PYTHON_NAMES:
        return BY_NAME[value]
    import numpy

    return dtypes.as_dtype(numpy.dtype(value).name)


_PYTHON_NAMES = {"int", "float", "long", "short", "half", "double"}


def float_of(dtype: DType) -> DType:
    """The inexact dtype that functions such as `sin` compute a dtype in: float16 for int8, float64 for int64."""
    if dtype.category >= 2:
        return dtype
    return _SINGLE_FLOAT[dtype.itemsize]


def _promote(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if a.category < 2 and b.category < 2:
        mixed = a.category == b.category == 1 and a.signed is not b.signed
        return float64 if mixed and uint64 in (a, b) else dtypes.promote(a, b)
    parts = [
        real_of(d) if d.category >= 2 else None if d is bool_ else _SINGLE_FLOAT[d.itemsize] for d in (a, b)
    ]
    known = [p for p in parts if p is not None]
    if bfloat16 in known and float16 in known and 1 in (a.category, b.category):
        joined = bfloat16  # of an integer of 8 bits
    else:
        joined = known[0] if len(known) == 1 else dtypes.promote(*known)
    return complex_of(joined) if 3 in (a.category, b.category) else joined


PROMOTION = dtypes.Promotion(_promote)


def promote_types(type1: Any, type2: Any) -> DType:
    """The smallest dtype that values of both can be cast to safely.

    Example:
        >>> import squall.numpy as snp
        >>> snp.promote_types("i4", "f4")
        squall.float64
    """
    return PROMOTION[dtype_of(type1), dtype_of(type2)]


def number_category(value: Any) -> int | None:
    """The family of a Python number (1 int, 2 float, 3 complex), which has no dtype of its own; None otherwise."""
    kind = value.__class__
    return 1 if kind is int else 2 if kind is float else 3 if kind is complex else None


def with_number(dtype: DType | None, category: int) -> DType:
    """What a dtype becomes beside a Python number of a family."""
    if dtype is None or dtype.category < category:
        if category == 3:
            return complex128 if dtype is None or dtype.category < 2 else complex_of(dtype)
        return int64 if category == 1 else float64
    return dtype


def common(values: Any) -> DType:
    """The dtype of Tensors, dtypes and Python numbers together."""
    dtype: DType | None = None
    number = None
    for value in values:
        category = number_category(value)
        if category is not None:
            number = category if number is None else max(number, category)
            continue
        one = (
            value.node.dtype
            if hasattr(value, "node")
            else bool_
            if value.__class__ is bool
            else strong(value)
        )
        dtype = one if dtype is None else PROMOTION[dtype, one]
    if number is not None:
        dtype = with_number(dtype, number)
    assert dtype is not None
    return dtype


def strong(value: Any) -> DType:
    """The dtype of an array, a NumPy scalar or a name of a dtype."""
    if isinstance(value, (list, tuple)):
        import numpy

        return dtype_of(numpy.array(value).dtype)
    if hasattr(value, "__array__") and hasattr(value, "dtype") and not isinstance(value, type):
        return dtype_of(value.dtype)
    return dtype_of(value)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that arithmetic of arrays, dtypes and Python numbers gives.

    Raises:
        ValueError: without arguments.

    Example:
        >>> import squall.numpy as snp
        >>> snp.result_type(snp.ones(2, dtype="f4"), 2.0), snp.result_type(snp.int64, 2.0)
        (squall.float32, squall.float64)
    """
    if not arrays_and_dtypes:
        raise ValueError("result_type: at least one array or dtype is required")
    return common(arrays_and_dtypes)


_SAME_KIND = {0: (0, 1, 2, 3), 1: (1, 2, 3), 2: (2, 3), 3: (3,)}


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    """Whether a cast is allowed: "no" or "equiv" (the same), "safe" (values stay), "same_kind", "unsafe" (all).

    Example:
        >>> import squall.numpy as snp
        >>> snp.can_cast("i8", "f4"), snp.can_cast("i8", "f4", "same_kind")
        (False, True)
    """
    if number_category(from_) is not None:
        raise TypeError("can_cast: Python numbers have no dtype; give a dtype or an array")
    source, target = strong(from_), dtype_of(to)
    if casting == "unsafe" or source is target:
        return True
    if casting in ("no", "equiv"):
        return False
    if casting not in ("safe", "same_kind"):
        raise ValueError(f"can_cast: casting must be no, equiv, safe, same_kind or unsafe, got {casting!r}")
    if PROMOTION[source, target] is target:
        return True
    if casting == "safe" or target.category not in _SAME_KIND[source.category]:
        return False
    return not (source.category == target.category == 1 and source.signed and not target.signed)


_FAMILIES = {
    "bool": lambda d: d.category == 0,
    "signed integer": lambda d: d.category == 1 and d.signed,
    "unsigned integer": lambda d: d.category == 1 and not d.signed,
    "integral": lambda d: d.category == 1,
    "real floating": lambda d: d.category == 2,
    "complex floating": lambda d: d.category == 3,
    "numeric": lambda d: d.category > 0,
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is another, or of a family such as "real floating", or of one of several of these.

    Raises:
        ValueError: for a family that does not exist.

    Example:
        >>> import squall.numpy as snp
        >>> snp.isdtype(snp.float32, "real floating"), snp.isdtype(snp.int8, (snp.int16, "bool"))
        (True, False)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _FAMILIES:
            raise ValueError(f"isdtype: kind must be one of {', '.join(_FAMILIES)}, got {kind!r}")
        return _FAMILIES[kind](dtype_of(dtype))
    return dtype_of(dtype) is dtype_of(kind)


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether a dtype is another one, or belongs to one of NumPy's families.

    Args:
        arg2: a dtype, or a family: `number`, `integer`, `signedinteger`, `unsignedinteger`, `inexact`, `floating`,
            `complexfloating`, `generic`.

    Example:
        >>> import squall.numpy as snp
        >>> snp.issubdtype(snp.int8, snp.integer), snp.issubdtype(snp.float32, snp.float64)
        (True, False)
    """
    import numpy

    def numpys(kind: Any) -> Any:
        return dtypes.numpy_dtype(kind) if isinstance(kind, DType) else kind

    return numpy.issubdtype(numpys(arg1), numpys(arg2))


def _limited(value: Any) -> DType:
    return value.node.dtype if hasattr(value, "node") else strong(value)


class finfo(functions.finfo):
    """Limits of an inexact dtype, or of an array's: `finfo(float32).eps`.

    Attributes:
        bits, eps, max, min, smallest_normal, tiny, resolution: numbers. dtype: the real floating dtype they are of.
    """

    def __init__(self, type: Any = None):
        kind = real_of(_limited(type))
        if kind.category != 2:
            raise ValueError(f"finfo: data type {kind} not inexact")
        super().__init__(kind)
        self.dtype = kind


class iinfo(functions.iinfo):
    """Limits of an integer dtype, or of an array's: `iinfo(int8).max`.

    Attributes:
        bits, max, min: numbers. dtype: the dtype they are of.
    """

    def __init__(self, type: Any):
        kind = _limited(type)
        if kind.category != 1:
            raise ValueError(f"iinfo: Invalid integer data type {kind}")
        super().__init__(kind)
        self.dtype = kind


def complex_like(dtype: DType) -> DType:
    """The complex dtype that a real one becomes: complex64 for float32 and smaller floats, else complex128."""
    return (
        dtype if dtype.category == 3 else complex64 if dtype in (float16, bfloat16, float32) else complex128
    )


__all__ = [
    "PROMOTION", "can_cast", "common", "complex_like", "dtype_of", "finfo", "float_of", "iinfo", "isdtype",
    "issubdtype", "number_category", "promote_types", "result_type", "strong", "with_number",
]  # fmt: skip
