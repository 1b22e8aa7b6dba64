"""Powers and what belongs to division: pow, rsqrt, reciprocal, floordiv, floormod, fmod, round; floats and integers.

pow: log2(x) as an unevaluated sum of two float64 numbers, times y, and 2 to that. For float32 one float64 number
suffices. fmod is exact: the divisor is scaled by powers of two so that each quotient fits a float64, until the
remainder is less than the divisor; how often is decided by the lanes' largest exponent difference, and more rounds
than a lane needs leave it as it is.
"""

from __future__ import annotations

import math

from squall.compiler.math_exp import EXP2_RANGE, exp2_sum, halved_powers
from squall.compiler.math_lanes import Lanes
from squall.compiler.math_log import PER_LN, prepare
from squall.ir.linear import I64, Builder, Reg

# log((1 + s) / (1 - s)) = 2 s + s z P(z), z = s**2 <= 0.0295; 2**-44.9.
LOG_SHORT = (
    0.6666666667586711, 0.39999995594899707, 0.2857211244597083, 0.22176034612882028,
    0.19586596254719887,
)
# The same with 2/3 apart: 2 s + 2/3 s z + s z**2 P(z); 2**-73.3.
LOG_LONG = (
    0.39999999999999974, 0.2857142857144705, 0.22222222217067583, 0.18181818927551907,
    0.1538455298685094, 0.13336466034844655, 0.11671818662253214, 0.12013852798111953,
)
# 2**r = 1 + r P(r), |r| <= 0.5; 2**-39.4.
EXP2_SHORT = (
    0.69314718054123, 0.24022650694743106, 0.05550410959263493, 0.009618129558652409,
    0.0013333434082274, 0.000154030824930152, 1.5314183667023006e-05, 1.334978471981587e-06,
)
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def two_sum(lanes: Lanes, a: Reg, b: Reg) -> tuple[Reg, Reg]:
    """`a + b` and what rounding took, for |a| >= |b|."""
    total = lanes.add(a, b)
    return total, lanes.add(lanes.sub(a, total), b)


def two_product(lanes: Lanes, a: Reg, b: Reg) -> tuple[Reg, Reg]:
    """`a * b` and what rounding took."""
    product = lanes.mul(a, b)
    return product, lanes.fma(a, b, lanes.neg(product))


def _log2_pair(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """log2 of positive finite float64, as a sum good to some 66 bits."""
    exponent, f = prepare(lanes, x)
    bottom = lanes.add(f, lanes.at(2.0))
    lost = lanes.sub(f, lanes.sub(bottom, lanes.at(2.0)))
    s = lanes.div(f, bottom)
    rest = lanes.fma(lanes.neg(s), lost, lanes.fma(lanes.neg(s), bottom, f))
    s_low = lanes.div(rest, bottom)
    z, z_low = two_product(lanes, s, s)
    z_low = lanes.fma(lanes.add(s, s), s_low, z_low)
    third, third_low = TWO_THIRDS
    curve, curve_low = two_sum(lanes, lanes.at(third), lanes.mul(z, lanes.polynomial(z, LOG_LONG)))
    curve_low = lanes.add(curve_low, lanes.at(third_low))
    # s * z * curve, then 2 s + that.
    first, first_low = two_product(lanes, s, z)
    first_low = lanes.add(first_low, lanes.fma(s, z_low, lanes.mul(s_low, z)))
    third_part, third_part_low = two_product(lanes, first, curve)
    third_part_low = lanes.add(third_part_low, lanes.fma(first, curve_low, lanes.mul(first_low, curve)))
    high, low = two_sum(lanes, lanes.add(s, s), third_part)
    low = lanes.add(low, lanes.add(lanes.add(s_low, s_low), third_part_low))
    # In base 2, plus the exponent.
    factor, factor_low = PER_LN["log2"]["f64"]
    product, product_low = two_product(lanes, high, lanes.at(factor))
    product_low = lanes.add(product_low, lanes.fma(high, lanes.at(factor_low), lanes.mul(low, lanes.at(factor))))
    large = lanes.select(lanes.equal(exponent, 0.0), product, exponent)
    small = lanes.select(lanes.equal(exponent, 0.0), exponent, product)
    total, total_low = two_sum(lanes, large, small)
    return two_sum(lanes, total, lanes.add(total_low, product_low))


def _power_long(lanes: Lanes, base: Reg, y: Reg) -> Reg:
    high, low = _log2_pair(lanes, base)
    product, product_low = two_product(lanes, y, high)
    product_low = lanes.fma(y, low, product_low)
    least, most = EXP2_RANGE["f64"]
    inside = lanes.both(lanes.above(product, least), lanes.below(product, most))
    product_low = lanes.select(inside, product_low, lanes.at(0.0))
    return exp2_sum(lanes, lanes.least(most, lanes.most(least, product)), product_low)


def _power_short(lanes: Lanes, base: Reg, y: Reg) -> Reg:
    exponent, f = prepare(lanes, base)
    s = lanes.div(f, lanes.add(f, lanes.at(2.0)))
    z = lanes.mul(s, s)
    logarithm = lanes.mul(s, lanes.polynomial(z, LOG_SHORT, (2.0,)))
    logarithm = lanes.fma(logarithm, lanes.at(PER_LN["log2"]["f64"][0]), exponent)
    product = lanes.least(300.0, lanes.most(-300.0, lanes.mul(logarithm, y)))
    number = lanes.op("rint", product)
    rest = lanes.sub(product, number)
    p = lanes.polynomial(rest, EXP2_SHORT, (1.0,))
    first, second = halved_powers(lanes, number)
    return lanes.mul(lanes.mul(p, first), second)


def power(lanes: Lanes, x: Reg, y: Reg) -> Reg:
    """x to the y, with every special case of IEEE 754."""
    if not lanes.single:
        return _power(lanes, x, y, _power_long)
    return lanes.doubled(lambda wide, a, b: _power(wide, a, b, _power_short), x, y)


def _power(lanes: Lanes, x: Reg, y: Reg, positive) -> Reg:
    one, size = lanes.at(1.0), lanes.abs(x)
    finite = lanes.both(lanes.above(size, 0.0), lanes.below(size, math.inf))
    result = positive(lanes, lanes.select(finite, size, one), y)
    # 0 and inf: to a positive power themselves, to a negative one each other.
    flipped = lanes.select(lanes.equal(size, 0.0), lanes.at(math.inf), lanes.at(0.0))
    edge = lanes.select(lanes.above(y, 0.0), size, flipped)
    result = lanes.select(finite, result, edge)
    whole = lanes.compare("eq", lanes.op("trunc", y), y)
    half = lanes.mul(y, lanes.at(0.5))
    odd = lanes.both(whole, lanes.compare("ne", lanes.op("trunc", half), half))
    result = lanes.select(odd, lanes.copysign(result, x), result)
    root = lanes.both(lanes.below(x, 0.0), finite)
    fraction = lanes.both(root, lanes.compare("ne", lanes.op("trunc", y), y))
    unordered = lanes.either(lanes.compare("ne", x, x), lanes.compare("ne", y, y))
    result = lanes.select(lanes.either(fraction, unordered), lanes.at(math.nan), result)
    level = lanes.both(lanes.equal(size, 1.0), lanes.equal(lanes.abs(y), math.inf))
    certain = lanes.either(lanes.either(lanes.equal(y, 0.0), lanes.equal(x, 1.0)), level)
    return lanes.select(certain, one, result)


def reciprocal(lanes: Lanes, x: Reg) -> Reg:
    """1 / x."""
    return lanes.div(lanes.at(1.0), x)


def rsqrt(lanes: Lanes, x: Reg) -> Reg:
    """1 / sqrt(x)."""
    return lanes.div(lanes.at(1.0), lanes.sqrt(x))


def round_even(lanes: Lanes, x: Reg) -> Reg:
    """The nearest integer, halves to even."""
    return lanes.op("rint", x)


def _exponents(lanes: Lanes, x: Reg) -> Reg:
    """The exponent of positive float64 as an i64, right for denormals too."""
    tiny = lanes.below(x, 2.0**-1022)
    lifted = lanes.select(tiny, lanes.mul(x, lanes.at(2.0**54)), x)
    exponent = lanes.shr(lanes.bits(lifted), 52)
    return lanes.select(tiny, lanes.sub(exponent, lanes.whole(54)), exponent)


def remainder(lanes: Lanes, x: Reg, y: Reg) -> Reg:
    """x - trunc(x / y) y, exactly; the sign is that of x."""
    if lanes.single:
        return lanes.doubled(remainder, x, y)
    builder = lanes.builder
    size, divisor = lanes.abs(x), lanes.abs(y)
    left = builder.var(size)
    divisor_exponent = _exponents(lanes, divisor)
    apart = builder.reduce(lanes.sub(_exponents(lanes, size), divisor_exponent), "max")
    apart = builder.op("max", apart, builder.int(0))
    rounds = builder.add(builder.op("div", apart, builder.int(50)), builder.int(1))
    with builder.loop(builder.int(0), rounds):
        now = builder.get(left)
        shift = lanes.sub(lanes.sub(_exponents(lanes, now), divisor_exponent), lanes.whole(50))
        scaled = divisor
        # A power of two may exceed what one number holds: in three parts of at most 1000.
        for _ in range(3):
            part = lanes.op("min", lanes.op("max", shift, lanes.whole(0)), lanes.whole(1000))
            shift = lanes.sub(shift, part)
            factor = lanes.real(lanes.shl(lanes.add(part, lanes.whole(1023)), 52))
            scaled = lanes.mul(scaled, factor)
        # The rounded quotient's whole part is never too small, and at most one too large.
        quotient = lanes.op("trunc", lanes.div(now, scaled))
        rest = lanes.fma(lanes.neg(quotient), scaled, now)
        builder.set(left, lanes.select(lanes.below(rest, 0.0), lanes.add(rest, scaled), rest))
    result = lanes.copysign(builder.get(left), x)
    result = lanes.select(lanes.equal(divisor, math.inf), x, result)
    valid = lanes.both(lanes.below(size, math.inf), lanes.above(divisor, 0.0))
    return lanes.select(valid, result, lanes.at(math.nan))


def _adjusted(lanes: Lanes, x: Reg, y: Reg) -> tuple[Reg, Reg]:
    """fmod, and whether it lies on the other side of zero than the divisor."""
    rest = remainder(lanes, x, y)
    zero = lanes.at(0.0)
    signs = lanes.op("xor", lanes.below(rest, 0.0), lanes.below(y, 0.0))
    return rest, lanes.both(lanes.compare("ne", rest, zero), signs)


def floor_modulo(lanes: Lanes, x: Reg, y: Reg) -> Reg:
    """Python's %: the sign is that of the divisor."""
    rest, other = _adjusted(lanes, x, y)
    return lanes.select(other, lanes.add(rest, y), rest)


def floor_divide(lanes: Lanes, x: Reg, y: Reg) -> Reg:
    """Python's //, from the exact remainder, so that it agrees with %; by 0 it is x / y."""
    rest, other = _adjusted(lanes, x, y)
    plain, zero = lanes.div(x, y), lanes.at(0.0)
    quotient = lanes.div(lanes.sub(x, rest), y)
    quotient = lanes.select(other, lanes.sub(quotient, lanes.at(1.0)), quotient)
    floored = lanes.op("floor", quotient)
    above = lanes.above(lanes.sub(quotient, floored), 0.5)
    floored = lanes.select(above, lanes.add(floored, lanes.at(1.0)), floored)
    result = lanes.select(lanes.equal(quotient, 0.0), lanes.copysign(zero, plain), floored)
    return lanes.select(lanes.equal(y, 0.0), plain, result)


EXPANSIONS = {
    "pow": power, "reciprocal": reciprocal, "rsqrt": rsqrt, "round": round_even, "rem": remainder,
    "floordiv": floor_divide, "floormod": floor_modulo,
}  # fmt: skip


# Integers.


def integer_power(builder: Builder, x: Reg, y: Reg) -> Reg:
    """x to the y, wrapping; a negative exponent leaves 1 and -1 their powers and makes anything else 0."""
    kind, zero, one = x.type, builder.const(0, x.type), builder.const(1, x.type)
    exponent = builder.op("max", y, zero) if kind.is_signed else y
    largest = builder.cast(builder.reduce(exponent, "or"), I64)
    rounds = builder.select(
        builder.compare("lt", largest, builder.int(0)), builder.int(64), _bit_length(builder, largest)
    )
    result, square, left = builder.var(one), builder.var(x), builder.var(exponent)
    with builder.loop(builder.int(0), rounds):
        now, base = builder.get(left), builder.get(square)
        odd = builder.compare("ne", builder.op("and", now, builder.const(1, kind)), builder.const(0, kind))
        total = builder.get(result)
        builder.set(result, builder.select(odd, builder.mul(total, base), total))
        builder.set(square, builder.mul(base, base))
        # A logical shift is the same here: what is signed is not negative.
        builder.set(left, builder.op("shr", now, builder.const(1, kind)))
    made = builder.get(result)
    if not kind.is_signed:
        return made
    minus = builder.const(-1, kind)
    even = builder.compare("eq", builder.op("and", y, one), zero)
    unit = builder.select(builder.compare("eq", x, minus), builder.select(even, one, minus), zero)
    unit = builder.select(builder.compare("eq", x, one), one, unit)
    return builder.select(builder.compare("lt", y, zero), unit, made)


def _bit_length(builder: Builder, value: Reg) -> Reg:
    """One more than the exponent of an i64 as a double: at least the bits of a positive number."""
    real = builder.cast(value, value.type.with_scalar("f64"))
    exponent = builder.op("shr", builder.bitcast(real, I64), builder.int(52))
    return builder.op("max", builder.op("sub", exponent, builder.int(1022)), builder.int(0))


def integer_floor(builder: Builder, name: str, x: Reg, y: Reg) -> Reg:
    """Python's // and % on integers; by 0 the quotient is 0 and the remainder x."""
    plain = builder.op("div" if name == "floordiv" else "rem", x, y)
    if not x.type.is_signed:
        return plain
    rest = plain if name == "floormod" else builder.sub(x, builder.mul(plain, y))
    zero = builder.const(0, x.type)
    signs = builder.compare("lt", builder.op("xor", rest, y), zero)
    other = builder.op("and", signs, builder.compare("ne", rest, zero))
    other = builder.op("and", other, builder.compare("ne", y, zero))
    change = builder.sub(plain, builder.const(1, x.type)) if name == "floordiv" else builder.add(plain, y)
    return builder.select(other, change, plain)


