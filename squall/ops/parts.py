"""How ops act on complex numbers, written over real values: the `parts` rules of op records.

A complex operand arrives as a `Pair` of real values and a complex result is given as one; a rule is called when a plan
is compiled, so a complex program becomes a real one before anything else looks at it. Formulas with branch cuts
follow W. Kahan, "Branch cuts for complex elementary functions" (1987), those that can overflow are scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log as logarithm
from typing import Any

from squall.base.dtypes import bool_, int64, real_of
from squall.base.shapes import broadcast
from squall.ir.op import Pair, constant, ops


def _number(value: float, like: Any) -> Any:
    return ops.full_like(like, value=value)


def _map(function: Callable, z: Pair) -> Pair:
    return Pair(function(z.re), function(z.im))


# ---------------------------------------------------------------- building and taking apart
def joined(re: Any, im: Any) -> Pair:
    """A pair of parts that broadcast."""
    shape = broadcast(tuple(re.shape), tuple(im.shape), "complex")
    return Pair(*(v if tuple(v.shape) == shape else ops.expand(v, shape=shape) for v in (re, im)))


def real(z: Pair) -> Any:
    """The real part."""
    return z.re


def imag(z: Pair) -> Any:
    """The imaginary part."""
    return z.im


def conj(z: Pair) -> Pair:
    """The complex conjugate."""
    return Pair(z.re, ops.neg(z.im))


def cast(x: Any, dtype: Any) -> Any:
    """From real to complex, complex to real (which drops the imaginary part; bool asks for not 0), or either."""
    if x.__class__ is not Pair:
        re = ops.cast(x, dtype=real_of(dtype))
        return Pair(re, _number(0.0, re))
    if dtype is bool_:
        return truth(x)
    if dtype.category < 3:
        return ops.cast(x.re, dtype=dtype)
    return _map(lambda v: ops.cast(v, dtype=real_of(dtype)), x)


def where(condition: Any, x: Pair, y: Pair) -> Pair:
    """Chosen together."""
    return Pair(ops.where(condition, x.re, y.re), ops.where(condition, x.im, y.im))


def pad(z: Pair, low: tuple, high: tuple, interior: tuple, value: complex) -> Pair:
    """Padded by a number, which may be complex."""
    return Pair(ops.pad(z.re, low=low, high=high, interior=interior, value=value.real),
                ops.pad(z.im, low=low, high=high, interior=interior, value=value.imag))


# ---------------------------------------------------------------- comparison
def truth(x: Any) -> Any:
    """Whether a value is not 0."""
    if x.__class__ is not Pair:
        return ops.ne(x, 0)
    return ops.logical_or(ops.ne(x.re, 0.0), ops.ne(x.im, 0.0))


def eq(x: Pair, y: Pair) -> Any:
    """Whether both parts are equal."""
    return ops.logical_and(ops.eq(x.re, y.re), ops.eq(x.im, y.im))


def ne(x: Pair, y: Pair) -> Any:
    """Whether a part differs."""
    return ops.logical_or(ops.ne(x.re, y.re), ops.ne(x.im, y.im))


def isnan(z: Pair) -> Any:
    """Whether a part is NaN."""
    return ops.logical_or(ops.isnan(z.re), ops.isnan(z.im))


def isinf(z: Pair) -> Any:
    """Whether a part is infinite."""
    return ops.logical_or(ops.isinf(z.re), ops.isinf(z.im))


def isfinite(z: Pair) -> Any:
    """Whether both parts are finite."""
    return ops.logical_and(ops.isfinite(z.re), ops.isfinite(z.im))


def logical_and(x: Any, y: Any) -> Any:
    """Whether neither is 0."""
    return ops.logical_and(truth(x), truth(y))


def logical_or(x: Any, y: Any) -> Any:
    """Whether one is not 0."""
    return ops.logical_or(truth(x), truth(y))


def logical_xor(x: Any, y: Any) -> Any:
    """Whether exactly one is not 0."""
    return ops.logical_xor(truth(x), truth(y))


def logical_not(x: Any) -> Any:
    """Whether both parts are 0."""
    return ops.logical_not(truth(x))


def any(z: Pair, dims: tuple, keepdim: bool) -> Any:
    """Whether one is not 0."""
    return ops.any(truth(z), dims=dims, keepdim=keepdim)


def all(z: Pair, dims: tuple, keepdim: bool) -> Any:
    """Whether none is 0."""
    return ops.all(truth(z), dims=dims, keepdim=keepdim)


# ---------------------------------------------------------------- arithmetic
def add(x: Pair, y: Pair) -> Pair:
    """Sum."""
    return Pair(ops.add(x.re, y.re), ops.add(x.im, y.im))


def sub(x: Pair, y: Pair) -> Pair:
    """Difference."""
    return Pair(ops.sub(x.re, y.re), ops.sub(x.im, y.im))


def mul(x: Pair, y: Pair) -> Pair:
    """Product, by the four products of parts."""
    return Pair(ops.sub(ops.mul(x.re, y.re), ops.mul(x.im, y.im)), ops.add(ops.mul(x.re, y.im), ops.mul(x.im, y.re)))


def div(x: Pair, y: Pair) -> Pair:
    """Quotient by Smith's method (R. L. Smith, Algorithm 116, 1962): no part of y is squared."""
    wide = ops.ge(ops.abs(y.re), ops.abs(y.im))
    large, small = ops.where(wide, y.re, y.im), ops.where(wide, y.im, y.re)
    zero = ops.eq(large, 0.0)
    ratio = ops.where(zero, ops.mul(small, 0.0), ops.div(small, large))
    below = ops.add(large, ops.mul(small, ratio))
    below = ops.where(zero, ops.abs(below), below)
    re = ops.where(wide, ops.add(x.re, ops.mul(x.im, ratio)), ops.add(ops.mul(x.re, ratio), x.im))
    im = ops.where(wide, ops.sub(x.im, ops.mul(x.re, ratio)), ops.sub(ops.mul(x.im, ratio), x.re))
    return Pair(ops.div(re, below), ops.div(im, below))


def square(z: Pair) -> Pair:
    """z z."""
    return mul(z, z)


def reciprocal(z: Pair) -> Pair:
    """1 / z."""
    return div(Pair(_number(1.0, z.re), _number(0.0, z.re)), z)


def absolute(z: Pair) -> Any:
    """The distance from 0; no square overflows."""
    return ops.hypot(z.re, z.im)


def lerp(start: Pair, end: Pair, weight: Pair) -> Pair:
    """start + weight (end - start)."""
    return add(start, mul(weight, sub(end, start)))


def addcmul(x: Pair, a: Pair, b: Pair, value: float = 1.0) -> Pair:
    """x + value a b."""
    return add(x, _map(lambda v: ops.mul(v, value), mul(a, b)))


def addcdiv(x: Pair, a: Pair, b: Pair, value: float = 1.0) -> Pair:
    """x + value a / b."""
    return add(x, _map(lambda v: ops.mul(v, value), div(a, b)))


# ---------------------------------------------------------------- powers, exponentials, logarithms
def sqrt(z: Pair) -> Pair:
    """The root with a real part of at least 0."""
    size = ops.sqrt(ops.mul(ops.add(ops.abs(z.re), absolute(z)), 0.5))
    other = ops.where(ops.eq(size, 0.0), _number(0.0, size), ops.div(ops.mul(ops.abs(z.im), 0.5), size))
    right = ops.ge(z.re, 0.0)
    return _root_of_infinite(z, Pair(ops.where(right, size, other),
                                     ops.copysign(ops.where(right, other, size), z.im)))


def _root_of_infinite(z: Pair, root: Pair) -> Pair:
    """Values of the root where a part of z is infinite (C99, annex G)."""
    infinite = _number(float("inf"), z.re)
    of_real = Pair(ops.where(ops.gt(z.re, 0.0), infinite, _number(0.0, z.re)),
                   ops.where(ops.gt(z.re, 0.0), ops.copysign(_number(0.0, z.re), z.im), ops.copysign(infinite, z.im)))
    plain = ops.logical_and(ops.isinf(z.re), ops.logical_not(ops.isnan(z.im)))
    return where(ops.isinf(z.im), Pair(infinite, z.im), where(plain, of_real, root))


def rsqrt(z: Pair) -> Pair:
    """1 over the root."""
    return reciprocal(sqrt(z))


def exp(z: Pair) -> Pair:
    """e^re (cos im + i sin im); a real number stays real, and where e^re is 0 so is the result."""
    size = ops.exp(z.re)
    nothing, flat = ops.eq(size, 0.0), ops.eq(z.im, 0.0)
    re = ops.where(flat, size, ops.mul(size, ops.cos(z.im)))
    im = ops.where(flat, z.im, ops.mul(size, ops.sin(z.im)))
    return Pair(ops.where(nothing, size, re), ops.where(nothing, ops.copysign(size, z.im), im))


def exp2(z: Pair) -> Pair:
    """2 to the power z."""
    return exp(_map(lambda v: ops.mul(v, logarithm(2.0)), z))


def expm1(z: Pair) -> Pair:
    """exp(z) - 1, accurate near 0."""
    half = ops.sin(ops.mul(z.im, 0.5))
    re = ops.sub(ops.mul(ops.expm1(z.re), ops.cos(z.im)), ops.mul(ops.mul(half, half), 2.0))
    return Pair(re, ops.mul(ops.exp(z.re), ops.sin(z.im)))


def log(z: Pair) -> Pair:
    """ln |z| + i angle; near |z| = 1 by log1p of |z|^2 - 1, which is taken from the parts."""
    re, im = ops.abs(z.re), ops.abs(z.im)
    large, small = ops.maximum(re, im), ops.minimum(re, im)
    excess = ops.add(ops.mul(ops.sub(large, 1.0), ops.add(large, 1.0)), ops.mul(small, small))
    near = ops.mul(ops.log1p(excess), 0.5)
    is_near = ops.logical_and(ops.gt(large, 0.5), ops.lt(large, 2.0))
    return Pair(ops.where(is_near, near, ops.log(absolute(z))), ops.atan2(z.im, z.re))


def log2(z: Pair) -> Pair:
    """Logarithm to base 2."""
    return _map(lambda v: ops.div(v, logarithm(2.0)), log(z))


def log10(z: Pair) -> Pair:
    """Logarithm to base 10."""
    return _map(lambda v: ops.div(v, logarithm(10.0)), log(z))


def log1p(z: Pair) -> Pair:
    """log(1 + z), accurate near 0."""
    beyond = ops.add(z.re, 1.0)
    excess = ops.add(ops.mul(z.re, ops.add(z.re, 2.0)), ops.mul(z.im, z.im))
    near = ops.lt(ops.abs(excess), 0.5)
    size = ops.where(near, ops.mul(ops.log1p(ops.where(near, excess, _number(0.0, excess))), 0.5),
                     ops.log(absolute(Pair(beyond, z.im))))
    return Pair(size, ops.atan2(z.im, beyond))


def pow(z: Pair, w: Pair) -> Pair:
    """exp(w log z); z^0 is 1, and 0 to a power of positive real part is 0."""
    found = exp(mul(w, log(z)))
    one, zero = _number(1.0, z.re), _number(0.0, z.re)
    nothing = ops.logical_and(ops.logical_not(truth(z)), ops.gt(w.re, 0.0))
    return where(truth(w), where(nothing, Pair(zero, zero), found), Pair(one, zero))


def sigmoid(z: Pair) -> Pair:
    """1 / (1 + exp(-z))."""
    below = exp(_map(ops.neg, z))
    return reciprocal(Pair(ops.add(below.re, 1.0), below.im))


# ---------------------------------------------------------------- trigonometry
def _turned(z: Pair) -> Pair:
    """i z."""
    return Pair(ops.neg(z.im), z.re)


def _back(z: Pair) -> Pair:
    """-i z."""
    return Pair(z.im, ops.neg(z.re))


def sinh(z: Pair) -> Pair:
    """Hyperbolic sine."""
    return Pair(ops.mul(ops.sinh(z.re), ops.cos(z.im)), ops.mul(ops.cosh(z.re), ops.sin(z.im)))


def cosh(z: Pair) -> Pair:
    """Hyperbolic cosine."""
    return Pair(ops.mul(ops.cosh(z.re), ops.cos(z.im)), ops.mul(ops.sinh(z.re), ops.sin(z.im)))


def tanh(z: Pair) -> Pair:
    """Hyperbolic tangent by Kahan's formula; far from the imaginary axis by its limit."""
    tangent, sine = ops.tan(z.im), ops.sinh(z.re)
    beta, rho = ops.add(ops.mul(tangent, tangent), 1.0), ops.sqrt(ops.add(ops.mul(sine, sine), 1.0))
    below = ops.add(ops.mul(beta, ops.mul(sine, sine)), 1.0)
    far = ops.gt(ops.abs(z.re), 10.0)
    fading = ops.exp(ops.mul(ops.abs(z.re), -2.0))
    limit = Pair(ops.copysign(_number(1.0, z.re), z.re),
                 ops.mul(ops.mul(ops.mul(ops.sin(z.im), ops.cos(z.im)), 4.0), fading))
    near = Pair(ops.div(ops.mul(beta, ops.mul(rho, sine)), below), ops.div(tangent, below))
    return where(far, limit, near)


def sin(z: Pair) -> Pair:
    """Sine."""
    return _back(sinh(_turned(z)))


def cos(z: Pair) -> Pair:
    """Cosine."""
    return cosh(_turned(z))


def tan(z: Pair) -> Pair:
    """Tangent."""
    return _back(tanh(_turned(z)))


def _around_one(z: Pair) -> tuple[Pair, Pair]:
    """The roots of 1 - z and of 1 + z."""
    return sqrt(Pair(ops.sub(1.0, z.re), ops.neg(z.im))), sqrt(Pair(ops.add(z.re, 1.0), z.im))


def _cross(x: Pair, y: Pair) -> Any:
    """The imaginary part of conj(x) y."""
    return ops.sub(ops.mul(x.re, y.im), ops.mul(x.im, y.re))


def _inner(x: Pair, y: Pair) -> Any:
    """The real part of x y."""
    return ops.sub(ops.mul(x.re, y.re), ops.mul(x.im, y.im))


def asin(z: Pair) -> Pair:
    """Arc sine."""
    low, high = _around_one(z)
    return Pair(ops.atan2(z.re, _inner(low, high)), ops.asinh(_cross(low, high)))


def acos(z: Pair) -> Pair:
    """Arc cosine."""
    low, high = _around_one(z)
    return Pair(ops.mul(ops.atan2(low.re, high.re), 2.0), ops.asinh(_cross(high, low)))


def acosh(z: Pair) -> Pair:
    """Inverse hyperbolic cosine."""
    low, high = sqrt(Pair(ops.sub(z.re, 1.0), z.im)), sqrt(Pair(ops.add(z.re, 1.0), z.im))
    return Pair(ops.asinh(_inner(conj(low), high)), ops.mul(ops.atan2(low.im, high.re), 2.0))


def asinh(z: Pair) -> Pair:
    """Inverse hyperbolic sine."""
    return _back(asin(_turned(z)))


def atanh(z: Pair) -> Pair:
    """Inverse hyperbolic tangent."""
    square = ops.mul(z.im, z.im)
    beyond = ops.sub(1.0, z.re)
    re = ops.mul(ops.log1p(ops.div(ops.mul(z.re, 4.0), ops.add(ops.mul(beyond, beyond), square))), 0.25)
    im = ops.mul(ops.atan2(ops.mul(z.im, 2.0), ops.sub(ops.mul(beyond, ops.add(z.re, 1.0)), square)), 0.5)
    return Pair(re, im)


def atan(z: Pair) -> Pair:
    """Arc tangent."""
    return _back(atanh(_turned(z)))


# ---------------------------------------------------------------- reductions, scans, products
def _taken(v: Any, dim: int, start: int, count: int) -> Any:
    return ops.slice(v, constant(start, int64), dims=(dim,), sizes=(count,), steps=(1,))


def _join_halves(z: Pair, dim: int) -> Pair:
    """The product of all along a dimension, two halves at a time."""
    while (size := z.re.shape[dim]) > 1:
        half = size // 2
        low, high = (Pair(*(_taken(v, dim, at, half) for v in z)) for at in (0, half))
        made = mul(low, high)
        if size % 2:
            made = Pair(*(ops.concat(a, _taken(v, dim, size - 1, 1), dim=dim) for a, v in zip(made, z, strict=True)))
        z = made
    return z


def prod(z: Pair, dims: tuple, keepdim: bool) -> Pair:
    """The product over dims."""
    shape, rank = tuple(z.re.shape), len(z.re.shape)
    for dim in dims:
        if not z.re.shape[dim]:  # the empty product is 1
            one = tuple(int(d == dim) for d in range(rank))
            z = pad(z, low=one, high=(0,) * rank, interior=(0,) * rank, value=1.0)
        z = _join_halves(z, dim)
    left = tuple(n for d, n in enumerate(shape) if d not in dims)
    return z if keepdim or not rank else _map(lambda v: ops.reshape(v, shape=left), z)


def _shifted(v: Any, dim: int, by: int, fill: float) -> Any:
    low = tuple(by if d == dim else 0 for d in range(len(v.shape)))
    return ops.pad(v, low=low, high=tuple(-n for n in low), interior=(0,) * len(low), value=fill)


def cumprod(z: Pair, dim: int) -> Pair:
    """Running products, by doubling (W. D. Hillis and G. L. Steele, "Data parallel algorithms", 1986)."""
    step, size = 1, z.re.shape[dim] if z.re.shape else 1
    while step < size:
        z = mul(z, Pair(_shifted(z.re, dim, step, 1.0), _shifted(z.im, dim, step, 0.0)))
        step *= 2
    return z


def contract(a: Pair, b: Pair, **attributes: Any) -> Pair:
    """Sums of complex products, by four real contractions."""

    def product(x: Any, y: Any) -> Any:
        return ops.contract(x, y, **attributes)

    return Pair(ops.sub(product(a.re, b.re), product(a.im, b.im)), ops.add(product(a.re, b.im), product(a.im, b.re)))
