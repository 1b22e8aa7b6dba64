"""What universal functions compute where squall's op alone does not do: division by 0, complex order, signs."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.frontend import arithmetic, creation
from squall.frontend import functions_complex as planes
from squall.frontend import functions_elementwise as more
from squall.frontend.core import record
from squall.frontend.state import local
from squall.ir.op import ops
from squall.numpy.core import cast


def op(name: str) -> Any:
    """The op of a name, as a function of Tensors."""
    op = getattr(ops, name)
    return lambda *operands: record(op, operands, ())


def method(name: str) -> Any:
    """The method of a name, as a function of one Tensor."""
    return lambda x: getattr(x, name)()


# ---------------------------------------------------------------- arithmetic
def sum(x: Any, dims: tuple, keepdims: bool) -> Any:
    """Sum over dims, which may be none."""
    return x.sum(dims, keepdims) if dims else x


def prod(x: Any, dims: tuple, keepdims: bool) -> Any:
    """Product over dims, which may be none."""
    return x.prod(dims, keepdims) if dims else x


def extreme(name: str) -> Any:
    """The reduction `amax` or `amin`, over dims that may be none."""
    return lambda x, dims, keepdims: getattr(x, name)(dims, keepdims) if dims else x


def of_bool(on_bool: str, otherwise: str) -> Any:
    """An op of numbers that is another one of booleans."""
    first, second = op(on_bool), op(otherwise)
    return lambda a, b: first(a, b) if a.node.dtype is bool_ else second(a, b)


def power(a: Any, b: Any) -> Any:
    """Power; integers refuse negative exponents that are known."""
    dtype = a.node.dtype
    is_known = b.node.buffer is not None and local.state.trace is None
    if dtype.category == 1 and dtype.signed and is_known and bool((b < 0).any()):
        raise ValueError("Integers to negative integer powers are not allowed.")
    return arithmetic.power(a, b)


def zero_divided(quotient: Any) -> Any:
    """Integer division with 0 where the divisor is 0."""

    def compute(a: Any, b: Any) -> Any:
        if a.node.dtype.category == 2:
            return quotient(a, b)
        return arithmetic.where(b == 0, 0, quotient(a, arithmetic.where(b == 0, 1, b)))

    return compute


def float_floor_divide(a: Any, b: Any) -> Any:
    """Quotient rounded down; infinite, or NaN, where the divisor is 0."""
    out = record(ops.floor_divide, (a, b), ())
    if a.node.dtype.category != 2:
        return out
    return arithmetic.where(b == 0, a / b, out)


def float_remainder(a: Any, b: Any) -> Any:
    """Remainder; zeros have the sign of the divisor."""
    out = record(ops.remainder, (a, b), ())
    if a.node.dtype.category != 2:
        return out
    return arithmetic.where(
        out == 0, record(ops.copysign, (out, b), ()), out
    )  # zeros have the divisor's sign


floored, remaindered = zero_divided(float_floor_divide), zero_divided(float_remainder)


def divmod(a: Any, b: Any) -> tuple:
    """(quotient rounded down, remainder)."""
    return floored(a, b), remaindered(a, b)


def floored_one(x: Any) -> Any:
    """1 over each element; of integers rounded toward zero, and 0 of 0."""
    if x.node.dtype.category >= 2:
        return x.reciprocal()
    size = arithmetic.where(x == 0, 0, 1) * x
    return cast(
        arithmetic.where((size == 1) | (size == -1 if x.node.dtype.signed else size == 1), x, 0), x.node.dtype
    )


def sign(x: Any) -> Any:
    """-1, 0 or 1, NaN of NaN; z over its size for complex numbers."""
    if x.node.dtype.category < 2:
        return x.sign()
    if x.node.dtype.category == 2:
        return arithmetic.where(x.isnan(), x, x.sign())
    real, imag = x.real, x.imag
    endless = real.isinf() != imag.isinf()  # in one direction: the quotient would be NaN
    ends = planes.complex(
        arithmetic.where(real.isinf(), real.sign(), 0.0), arithmetic.where(imag.isinf(), imag.sign(), 0.0)
    )
    made = arithmetic.where(x == 0, 0.0, x / x.abs())
    return arithmetic.where(endless & missing(x).logical_not(), ends, made)


# ---------------------------------------------------------------- extremes
def complex_extreme(op: Any, larger: bool) -> Any:
    """The larger or smaller of two; complex numbers are ordered by their real, then imaginary parts; NaN wins."""

    def compute(a: Any, b: Any) -> Any:
        if a.node.dtype.category != 3:
            return op(a, b)
        first = complex_less(b, a) if larger else complex_less(a, b)
        return arithmetic.where(missing(a) | (first & missing(b).logical_not()), a, b)

    return compute


def known_extreme(name: str, larger: bool) -> Any:
    """`fmax` or `fmin`: the larger or smaller of two, NaN only where both are."""
    of_floats = getattr(more, name)
    otherwise = complex_extreme(
        of_bool("logical_or" if larger else "logical_and", name.replace("f", "") + "imum"), larger
    )

    def compute(a: Any, b: Any) -> Any:
        if a.node.dtype.category == 2:
            return of_floats(a, b)
        if a.node.dtype.category == 3:
            a, b = arithmetic.where(missing(a), b, a), arithmetic.where(missing(b), a, b)
        return otherwise(a, b)

    return compute


def missing(x: Any) -> Any:
    """Where a part is NaN."""
    return x.real.isnan() | x.imag.isnan() if x.node.dtype.category == 3 else x.isnan()


def complex_less(a: Any, b: Any) -> Any:
    """Whether less, by the real, then the imaginary parts."""
    known = (a.imag == a.imag) & (b.imag == b.imag)
    return ((a.real < b.real) & known) | ((a.real == b.real) & (a.imag < b.imag))


def ordered(name: str) -> Any:
    """A comparison that orders complex numbers by their real, then imaginary parts."""
    compare = op(name)
    flipped = name.startswith("g")
    equal = name.endswith("e")

    def compute(a: Any, b: Any) -> Any:
        if a.node.dtype.category != 3:
            return compare(a, b)
        a, b = (b, a) if flipped else (a, b)
        less = complex_less(a, b)
        return less | (a == b) if equal else less

    return compute


def shift(name: str) -> Any:
    """A shift of bits, by any number of places."""
    shifted = op(name)

    def compute(a: Any, b: Any) -> Any:
        bits = a.node.dtype.itemsize * 8
        gone = (b < 0) | (b >= bits) if b.node.dtype.signed else b >= bits
        moved = shifted(a, arithmetic.where(gone, 0, b))
        rest = arithmetic.where(a < 0, -1, 0) if name == "shift_right" and a.node.dtype.signed else 0
        return cast(arithmetic.where(gone, rest, moved), a.node.dtype)

    return compute


# ---------------------------------------------------------------- exponentials and angles
def of_degrees(factor: float) -> Any:
    """Multiplication by a number."""
    return lambda x: x * factor


def cbrt(x: Any) -> Any:
    """The cube root, corrected once."""
    root = x.sign() * arithmetic.power(x.abs(), 1.0 / 3.0)
    return arithmetic.where(
        (x == 0) | x.isfinite().logical_not(), x, root - (root * root * root - x) / (3 * root * root)
    )


def fraction(x: Any) -> Any:
    """What is left without the whole part; 0 of infinities."""
    return arithmetic.where(x.isinf(), 0.0, x - x.trunc()).copysign(x)


def scaled(x: Any, exponent: Any) -> Any:
    """x 2^n in two steps, so that neither factor overflows."""
    half = (exponent / 2).trunc()
    return x * half.exp2() * (exponent - half).exp2()


# ---------------------------------------------------------------- rounding and tests
def whole(name: str) -> Any:
    """Rounding of floats; integers as they are."""
    return lambda x: getattr(x, name)() if x.node.dtype.category == 2 else x.clone()


def no(x: Any) -> Any:
    """False everywhere."""
    return creation.zeros_like(x, dtype=bool_)


def test(name: str, of_integers: bool) -> Any:
    """A test of floats, its answer for integers, and for a part of complex numbers."""

    def compute(x: Any) -> Any:
        if x.node.dtype.category < 2:
            return no(x).logical_not() if of_integers else no(x)
        if x.node.dtype.category == 3:
            parts = getattr(x.real, name)(), getattr(x.imag, name)()
            return parts[0] & parts[1] if of_integers else parts[0] | parts[1]
        return getattr(x, name)()

    return compute


def rounded(x: Any) -> Any:
    """The nearest whole number, of both parts of complex numbers."""
    return planes.complex(x.real.round(), x.imag.round()) if x.node.dtype.category == 3 else x.round()


def bits(x: Any) -> Any:
    """How many bits of the size are set."""
    width = x.node.dtype.itemsize * 8
    size = cast(x.abs() if x.node.dtype.signed else x, int64 if x.node.dtype.signed else x.node.dtype)
    total = size & 1
    for _ in range(width - 1):
        size = size >> 1
        total = total + (size & 1)
    return cast(total, creation.as_dtype("uint8"))
