"""Functions about Tensors as wholes: comparison, types, limits of number types."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import FOREIGN, DType, as_dtype, default_dtype, numpy_dtype, promote, real_of
from squall.base.errors import ArgumentError, DtypeError
from squall.frontend.core import Handle, cast, common_dtype
from squall.frontend.out import checked


def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Handle)


def numel(input: Any) -> int:
    """The number of elements."""
    return checked(input, "numel").numel()


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype arithmetic on two Tensors or numbers gives, by PyTorch's promotion."""
    return common_dtype((tensor1, tensor2))


def promote_types(type1: Any, type2: Any) -> DType:
    """The dtype that holds values of both."""
    return promote(as_dtype(type1), as_dtype(type2))


def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """Whether |input - other| <= atol + rtol * |other|, element by element; equal infinities are close.

    Raises:
        DtypeError: when dtypes differ, as in PyTorch.
    """
    a, b = checked(input, "isclose"), checked(other, "isclose", "other")
    if a.node.dtype is not b.node.dtype:
        raise DtypeError(f"isclose: {a.node.dtype} did not match {b.node.dtype}")
    if rtol < 0 or atol < 0:
        raise ArgumentError(f"isclose: rtol and atol must not be negative, got {rtol} and {atol}")
    close = a == b
    if a.node.dtype.category == 0:
        return close
    exact = a.node.dtype.category == 1
    x, y = (cast(a, as_dtype("float64")), cast(b, as_dtype("float64"))) if exact else (a, b)
    near = (x - y).abs() <= atol + rtol * y.abs()
    if not exact:
        near = near & (x - y).isfinite() & y.isfinite()
        if equal_nan:
            close = close | (a.isnan() & b.isnan())
    return close | near


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close (see `isclose`); the values are evaluated.

    Example:
        >>> import squall as sq
        >>> sq.allclose(sq.tensor([1.0]), sq.tensor([1.0 + 1e-7]))
        True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Any, other: Any) -> bool:
    """Whether two Tensors have one shape and equal elements; the values are evaluated."""
    a, b = checked(input, "equal"), checked(other, "equal", "other")
    return tuple(a.node.shape) == tuple(b.node.shape) and bool((a == b).all())


class finfo:
    """Limits of a floating dtype (the default one unless given): `sq.finfo(sq.float32).eps`.

    Attributes:
        bits: its width. eps: the step above 1. max, min: the largest and the most negative. tiny, smallest_normal: the
        least positive normal number. resolution: the decimal one. dtype: its name.
    """

    def __init__(self, type: Any = None):
        import numpy

        kind = real_of(default_dtype() if type is None else as_dtype(type))
        if kind.category != 2:
            raise TypeError(f"finfo() requires a floating point input type, not {kind}. Use sq.iinfo")
        if kind.name in FOREIGN:
            import ml_dtypes

            found: Any = ml_dtypes.finfo(numpy_dtype(kind))
        else:
            found = numpy.finfo(numpy_dtype(kind))  # type: ignore[call-overload]
        self.bits, self.dtype = kind.itemsize * 8, kind.name
        self.eps, self.max, self.min = float(found.eps), float(found.max), float(found.min)
        self.tiny = self.smallest_normal = float(found.smallest_normal)
        self.resolution = float(found.resolution)

    def __repr__(self) -> str:
        return (f"finfo(resolution={self.resolution}, min={self.min}, max={self.max}, eps={self.eps}, "
                f"dtype={self.dtype})")


class iinfo:
    """Limits of an integer dtype: `sq.iinfo(sq.int8).max`.

    Attributes:
        bits: its width. max, min: the largest and smallest value. dtype: its name.
    """

    def __init__(self, type: Any):
        kind = as_dtype(type)
        if kind.category != 1:
            raise TypeError(f"iinfo() requires an integer input type, not {kind}. Use sq.finfo")
        self.bits, self.dtype = kind.itemsize * 8, kind.name
        span = 1 << self.bits
        self.min, self.max = (-(span >> 1), (span >> 1) - 1) if kind.signed else (0, span - 1)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
