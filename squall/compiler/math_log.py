"""Logarithms: log, log2, log10, log1p, log_sigmoid, asinh, acosh, atanh, rounded once at the end of short sums.

x = 2**e m with m in [sqrt(1/2), sqrt(2)), f = m - 1 exactly; log(m) = f + u with u a polynomial in f (float32) or in
s = f / (2 + f) (float64). Bases other than e multiply f exactly as a pair.
"""

from __future__ import annotations

import math

from squall.compiler.math_exp import LN2, exp
from squall.compiler.math_lanes import MANTISSA, Lanes
from squall.ir.linear import Reg

# log(1 + f) = f - f**2 / 2 + f**3 P(f), f in [-0.293, 0.4143]; 2**-27.3.
LOG = (
    0.3333333, -0.25000823, 0.20001261, -0.16623332, 0.1420096, -0.13159773, 0.12767424,
    -0.076428905,
)
# log((1 + s) / (1 - s)) = 2 s + s z P(z), z = s**2 <= 0.0295; 2**-59.5.
LOG_RATIO = (
    0.6666666666666735, 0.39999999999409114, 0.2857142874379893, 0.22222198411452898,
    0.18183573563075234, 0.15313794005673623, 0.1479870986204565,
)
# The bits of sqrt(1/2), of 1, of the smallest normal number and of infinity.
ROOT_BITS = {"f32": 0x3F3504F3, "f64": 0x3FE6A09E667F3BCD}
INFINITY_BITS = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}
SMALLEST = {"f32": 2.0**-126, "f64": 2.0**-1022}
LIFT = {"f32": 24, "f64": 54}
# 1 / ln(base) and log_base(2) as pairs of each precision.
PER_LN = {
    "log2": {"f32": (1.4426950216293335, 1.925963033500011e-08), "f64": (1.4426950408889634, 2.0355273740931033e-17)},
    "log10": {"f32": (0.4342944920063019, -1.0103049952192578e-08),
              "f64": (0.4342944819032518, 1.098319650216765e-17)},
}  # fmt: skip
OF_TWO = {
    "log2": {"f32": (1.0, 0.0), "f64": (1.0, 0.0)},
    "log10": {"f32": (0.3010300099849701, -1.432098883924482e-08),
              "f64": (0.3010299956639812, -2.8037281277851704e-18)},
}  # fmt: skip


def exponent_of(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`(e, m)` of a positive normal number: the exponent as an integer, m in [sqrt(1/2), sqrt(2))."""
    root, width = lanes.whole(ROOT_BITS[lanes.scalar]), MANTISSA[lanes.scalar]
    moved = lanes.sub(lanes.bits(x), root)
    exponent = lanes.shr(moved, width)
    kept = lanes.op("and", moved, lanes.whole((1 << width) - 1))
    return exponent, lanes.real(lanes.add(kept, root))


def log_curve(lanes: Lanes, f: Reg) -> Reg:
    """u with log(1 + f) = f + u."""
    half = lanes.mul(lanes.mul(f, f), lanes.at(0.5))
    if lanes.single:
        return lanes.fma(lanes.mul(lanes.mul(f, f), f), lanes.polynomial(f, LOG), lanes.neg(half))
    s = lanes.div(f, lanes.add(f, lanes.at(2.0)))
    z = lanes.mul(s, s)
    r = lanes.mul(z, lanes.polynomial(z, LOG_RATIO))
    return lanes.fma(s, lanes.add(half, r), lanes.neg(half))


def prepare(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`(e, f)` of positive numbers, denormals included: e as a float, f = m - 1."""
    tiny = lanes.below(x, SMALLEST[lanes.scalar])
    lift = LIFT[lanes.scalar]
    exponent, m = exponent_of(lanes, lanes.select(tiny, lanes.mul(x, lanes.at(2.0**lift)), x))
    exponent = lanes.select(tiny, lanes.sub(exponent, lanes.whole(lift)), exponent)
    return lanes.cast(exponent, lanes.scalar), lanes.sub(m, lanes.at(1.0))


def special(lanes: Lanes, x: Reg, result: Reg) -> Reg:
    """The logarithm where x is positive and finite; -inf at 0, NaN below, x where it is infinite or NaN."""
    unsigned = lanes.cast(lanes.sub(lanes.bits(x), lanes.whole(1)), "u32" if lanes.single else "u64")
    limit = lanes.builder.const(INFINITY_BITS[lanes.scalar] - 1, unsigned.type)
    other = lanes.select(lanes.below(x, 0.0), lanes.at(math.nan), x)
    other = lanes.select(lanes.equal(x, 0.0), lanes.at(-math.inf), other)
    return lanes.select(lanes.compare("lt", unsigned, limit), result, other)


def natural(lanes: Lanes, exponent: Reg, f: Reg) -> Reg:
    """exponent ln2 + log(1 + f)."""
    high, low = LN2[lanes.scalar]
    curve = lanes.fma(exponent, lanes.at(low), log_curve(lanes, f))
    if lanes.single:
        return lanes.fma(exponent, lanes.at(high), lanes.add(curve, f))
    # In float64 the product's own rounding is kept.
    product = lanes.mul(exponent, lanes.at(high))
    error = lanes.fma(exponent, lanes.at(high), lanes.neg(product))
    total = lanes.add(product, f)
    error = lanes.add(error, lanes.sub(f, lanes.sub(total, product)))
    return lanes.add(total, lanes.add(error, curve))


def log(lanes: Lanes, x: Reg) -> Reg:
    """The natural logarithm."""
    return special(lanes, x, natural(lanes, *prepare(lanes, x)))


def _based(name: str):
    def logarithm(lanes: Lanes, x: Reg) -> Reg:
        exponent, f = prepare(lanes, x)
        high, low = PER_LN[name][lanes.scalar]
        two_high, two_low = OF_TWO[name][lanes.scalar]
        curve = lanes.mul(log_curve(lanes, f), lanes.at(high))
        product = lanes.mul(f, lanes.at(high))
        rest = lanes.fma(f, lanes.at(high), lanes.neg(product))
        rest = lanes.add(lanes.fma(f, lanes.at(low), rest), curve)
        if two_low:
            rest = lanes.fma(exponent, lanes.at(two_low), rest)
        # The sum of the two large parts, its rounding, then all that is small.
        scaled = lanes.mul(exponent, lanes.at(two_high))
        error = lanes.fma(exponent, lanes.at(two_high), lanes.neg(scaled))
        total = lanes.add(scaled, product)
        back = lanes.sub(total, scaled)
        error = lanes.add(error, lanes.add(lanes.sub(scaled, lanes.sub(total, back)), lanes.sub(product, back)))
        return special(lanes, x, lanes.add(total, lanes.add(error, rest)))

    return logarithm


def log1p(lanes: Lanes, x: Reg) -> Reg:
    """log(1 + x), to full relative accuracy around 0."""
    one, width = lanes.at(1.0), MANTISSA[lanes.scalar]
    whole = lanes.add(x, one)
    lost = lanes.select(
        lanes.below(x, 1.0), lanes.sub(x, lanes.sub(whole, one)), lanes.sub(one, lanes.sub(whole, x))
    )
    exponent, m = exponent_of(lanes, whole)
    # What 1 + x lost, brought to the scale of m: 2**-e, or 0 for the largest, where nothing is lost.
    bias = 127 if lanes.single else 1023
    small = lanes.op("min", exponent, lanes.whole(bias))
    scale = lanes.real(lanes.shl(lanes.sub(lanes.whole(bias), small), width))
    f = lanes.fma(lost, scale, lanes.sub(m, one))
    result = natural(lanes, lanes.cast(exponent, lanes.scalar), f)
    result = special(lanes, whole, result)
    return lanes.select(lanes.below(lanes.abs(x), 1e-9 if lanes.single else 1e-18), x, result)


def log_sigmoid(lanes: Lanes, x: Reg) -> Reg:
    """log(1 / (1 + e**-x))."""
    power = exp(lanes, lanes.neg(lanes.abs(x)))
    return lanes.sub(lanes.least(0.0, x), log1p(lanes, power))


def asinh(lanes: Lanes, x: Reg) -> Reg:
    """log(x + sqrt(x**2 + 1)), odd."""
    if lanes.single:
        return lanes.doubled(asinh, x)
    one, size = lanes.at(1.0), lanes.abs(x)
    bounded = lanes.least(1e9, size)
    square = lanes.mul(bounded, bounded)
    grown = lanes.div(square, lanes.add(lanes.sqrt(lanes.add(square, one)), one))
    large = lanes.above(size, 1e9)
    argument = lanes.select(large, lanes.sub(size, one), lanes.add(bounded, grown))
    result = log1p(lanes, argument)
    return lanes.copysign(lanes.select(large, lanes.add(result, lanes.at(LN2["f64"][0])), result), x)


def acosh(lanes: Lanes, x: Reg) -> Reg:
    """log(x + sqrt(x**2 - 1)) for x >= 1."""
    if lanes.single:
        return lanes.doubled(acosh, x)
    large = lanes.above(x, 1e9)
    one = lanes.at(1.0)
    over = lanes.sub(lanes.least(1e9, x), one)
    root = lanes.sqrt(lanes.fma(over, over, lanes.add(over, over)))
    result = log1p(lanes, lanes.select(large, lanes.sub(x, one), lanes.add(over, root)))
    result = lanes.select(large, lanes.add(result, lanes.at(LN2["f64"][0])), result)
    return lanes.select(lanes.below(x, 1.0), lanes.at(math.nan), result)


def atanh(lanes: Lanes, x: Reg) -> Reg:
    """log((1 + x) / (1 - x)) / 2, odd."""
    if lanes.single:
        return lanes.doubled(atanh, x)
    size = lanes.abs(x)
    ratio = lanes.div(lanes.add(size, size), lanes.sub(lanes.at(1.0), size))
    result = lanes.mul(log1p(lanes, ratio), lanes.at(0.5))
    # Half of a denormal would lose its last bit.
    return lanes.copysign(lanes.select(lanes.below(size, 1e-9), size, result), x)


EXPANSIONS = {
    "log": log, "log2": _based("log2"), "log10": _based("log10"), "log1p": log1p, "log_sigmoid": log_sigmoid,
    "asinh": asinh, "acosh": acosh, "atanh": atanh,
}  # fmt: skip
