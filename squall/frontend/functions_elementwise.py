"""More functions element by element, under PyTorch's names: extremes, logarithms of sums, signs, steps, bits.

Operands are Tensors or numbers, promoted as PyTorch does. Each is a method of Tensor too (`methods_more.py`).
"""

from __future__ import annotations

from math import pi
from typing import Any

from squall.base.dtypes import as_dtype, bool_
from squall.base.errors import ArgumentError, DtypeError
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import once_rounded
from squall.frontend.core import Handle, apply, cast, operand, record
from squall.frontend.declaring import (
    floating,
    of_operands,
    of_tensor,
    of_two_tensors,
    only_floating,
    pair,
    with_out,
)
from squall.frontend.functions import finfo
from squall.frontend.named_results import Frexp
from squall.frontend.out import checked
from squall.ir.op import ops, refuse_float8

_LONG = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}


# ---------------------------------------------------------------- two operands
@of_two_tensors
def fmax(input: Any, other: Any) -> Any:
    """The larger of two; where one is NaN, the other."""
    a, b = pair(input, other)
    if a.node.dtype.category < 2:
        return a.maximum(b)
    return arithmetic.where((a >= b) | b.isnan(), a, b)


@of_two_tensors
def fmin(input: Any, other: Any) -> Any:
    """The smaller of two; where one is NaN, the other."""
    a, b = pair(input, other)
    if a.node.dtype.category < 2:
        return a.minimum(b)
    return arithmetic.where((a <= b) | b.isnan(), a, b)


@of_two_tensors
def hypot(input: Any, other: Any) -> Any:
    """sqrt(x^2 + y^2), without overflow in between."""
    return apply(ops.hypot, (input, other))


@of_two_tensors
def logaddexp(input: Any, other: Any) -> Any:
    """log(exp(x) + exp(y)), without overflow."""
    return apply(ops.logaddexp, (input, other))


@of_two_tensors
def logaddexp2(input: Any, other: Any) -> Any:
    """log2(2^x + 2^y), without overflow."""
    return apply(ops.logaddexp2, (input, other))


@of_operands
def xlogy(input: Any, other: Any) -> Any:
    """x log(y), and 0 where x is 0."""
    return apply(ops.xlogy, (input, other))


@of_two_tensors
def heaviside(input: Any, values: Any) -> Any:
    """0 below 0, 1 above, and `values` at 0."""
    x, at_zero = input, values
    if x.node.dtype is not at_zero.node.dtype:
        raise DtypeError(f"heaviside: input and values must have one dtype, got {x.node.dtype} and "
                         f"{at_zero.node.dtype}")
    return arithmetic.where(x == 0, at_zero, cast(x > 0, x.node.dtype))


@of_two_tensors
def ldexp(input: Any, other: Any) -> Any:
    """input * 2^other."""
    return apply(ops.mul, (input, apply(ops.pow, (2.0, other)) if isinstance(other, Handle) else 2.0 ** other))


def _is_complex(value: Any) -> bool:
    return value.node.dtype.category == 3 if isinstance(value, Handle) else isinstance(value, complex)


@of_operands
def float_power(input: Any, exponent: Any) -> Any:
    """The power in float64, or complex128 where an operand is complex."""
    wide = as_dtype("complex128" if any(map(_is_complex, (input, exponent))) else "float64")
    base, power = (cast(v, wide) if isinstance(v, Handle) else v for v in (input, exponent))
    return apply(ops.pow, (operand(base, wide), power)) if isinstance(power, Handle) else arithmetic.power(base, power)


@of_two_tensors
def gcd(input: Any, other: Any) -> Any:
    """The greatest common divisor of integers."""
    return apply(ops.gcd, (input, other))


@of_two_tensors
def lcm(input: Any, other: Any) -> Any:
    """The least common multiple of integers; 0 with 0."""
    a, b = pair(input, other)
    shared = gcd(a, b)
    return (a.floor_divide(arithmetic.where(shared == 0, 1, shared)) * b).abs()


@of_two_tensors
def nextafter(input: Any, other: Any) -> Any:
    """The number after input in the direction of other."""
    a, b = (t.detach() for t in pair(input, other))
    whole = _LONG.get(only_floating(a, "nextafter").node.dtype.itemsize)
    dtype, kind = a.node.dtype, as_dtype(whole)
    bits = record(ops.bitcast, (a.broadcast_to((a + b).node.shape),), (kind,))
    away = (b > a) == (a > 0)
    moved = record(ops.bitcast, (bits + arithmetic.where(away, 1, -1).to(kind),), (dtype,))
    least = record(ops.bitcast, (operand(1, kind),), (dtype,))
    out = arithmetic.where(a == 0, least.copysign(b), moved)
    out = arithmetic.where(a == b, b, out)
    return arithmetic.where(a.isnan() | b.isnan(), a + b, out)


@of_operands
def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha * input."""
    input = checked(input, "rsub")
    return arithmetic.sub(operand(other, arithmetic.common_dtype((input, other))), input, alpha)


@of_operands
def bitwise_left_shift(input: Any, other: Any) -> Any:
    """The bits moved up."""
    return apply(ops.shift_left, (input, other))


@of_operands
def bitwise_right_shift(input: Any, other: Any) -> Any:
    """The bits moved down, the sign staying."""
    return apply(ops.shift_right, (input, other))


@of_tensor
def clamp_min(input: Any, min: Any) -> Any:
    """At least min; NaN stays."""
    return apply(ops.clamp_min, (input, min))


@of_tensor
def clamp_max(input: Any, max: Any) -> Any:
    """At most max; NaN stays."""
    return apply(ops.clamp_max, (input, max))


# ---------------------------------------------------------------- one operand
@of_tensor
def frac(input: Any) -> Any:
    """What is left of each number without its whole part."""
    return input - only_floating(input, "frac").trunc()


@of_tensor
def signbit(input: Any) -> Any:
    """Whether the sign is negative, that of -0.0 too."""
    dtype = input.node.dtype
    refuse_float8("signbit", input.node.type)
    if dtype.category < 2:
        return input < 0 if dtype.category else creation.zeros_like(input)
    return record(ops.bitcast, (input,), (as_dtype(_LONG[dtype.itemsize]),)) < 0


@of_tensor
def positive(input: Any) -> Any:
    """The Tensor itself; bools are refused."""
    if input.node.dtype is bool_:
        raise DtypeError("positive: the + operator, on a bool tensor is not supported")
    return input


@of_tensor
def deg2rad(input: Any) -> Any:
    """Degrees as radians."""
    return floating(input) * (pi / 180)


@of_tensor
def rad2deg(input: Any) -> Any:
    """Radians as degrees."""
    return floating(input) * (180 / pi)


@of_tensor
@once_rounded
def sinc(input: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0."""
    x = floating(input)
    flat = x == 0
    angle = arithmetic.where(flat, 1.0, x * pi)
    return arithmetic.where(flat, 1.0, angle.sin() / angle)


@of_tensor
def logit(input: Any, eps: float | None = None) -> Any:
    """log(x / (1 - x)), of x limited to [eps, 1 - eps] when eps is given."""
    x = floating(input)
    return record(ops.logit, (x if eps is None else x.clamp(eps, 1 - eps),), ())


@of_tensor
def nan_to_num(input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """NaN and the infinities replaced, by 0 and the dtype's largest numbers unless given."""
    dtype = input.node.dtype
    if dtype.category < 2:
        return input.clone()
    limits = finfo(dtype)
    high = limits.max if posinf is None else posinf
    return record(ops.nan_to_num, (input,), (nan or 0.0, float(high), float(limits.min if neginf is None else neginf)))


@of_tensor
def isposinf(input: Any) -> Any:
    """Whether infinite and positive."""
    refuse_float8("isposinf", input.node.type)
    return input == float("inf") if input.node.dtype.category == 2 else creation.zeros_like(input, dtype=bool_)


@of_tensor
def isneginf(input: Any) -> Any:
    """Whether infinite and negative."""
    refuse_float8("isneginf", input.node.type)
    return input == float("-inf") if input.node.dtype.category == 2 else creation.zeros_like(input, dtype=bool_)


@with_out
def frexp(input: Any) -> Any:
    """Mantissas of size in [1/2, 1) and int32 exponents of 2: (mantissa, exponent)."""
    return Frexp(*record(ops.frexp, (only_floating(input, "frexp"),), ()))


@of_tensor
def i0(input: Any) -> Any:
    """The modified Bessel function of the first kind of order 0."""
    return apply(ops.i0, (input,))


@with_out
def polygamma(n: int, input: Any) -> Any:
    """The derivative of order n of digamma."""
    if n < 0:
        raise ArgumentError(f"polygamma: n must not be negative, got {n}")
    x = floating(input)
    return x.digamma() if n == 0 else record(ops.polygamma, (x,), (int(n),))


@of_tensor
def mvlgamma(input: Any, p: int) -> Any:
    """The logarithm of the gamma function of dimension p, without the sign."""
    from math import log

    if p < 1:
        raise ArgumentError(f"mvlgamma: p has to be greater than or equal to 1, got {p}")
    x = floating(input)
    shifts = creation.arange(p, dtype=x.node.dtype) / 2
    return (x.unsqueeze(-1) - shifts).lgamma().sum(-1) + p * (p - 1) / 4 * log(pi)
