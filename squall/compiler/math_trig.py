"""Trigonometry: sin, cos, tan for every finite argument, and asin, acos, atan, atan2.

sin, cos, tan: x = n pi/2 + r. Up to a limit n pi/2 is subtracted as three parts by fma, which leaves r to its full
relative accuracy. Beyond, in float64: the window of 192 bits of 2/pi that matters for x's exponent is read from a
table, multiplied by x's mantissa modulo 4, and the fraction of the product scaled by pi/2 (Payne and Hanek). That
part is skipped unless a lane needs it, and then done lane after lane: wide products of whole vectors are no faster, and
were four fifths of what LLVM took for a kernel with a sine in it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from squall.compiler.math_lanes import SIGN, Lanes
from squall.ir.linear import Reg, Type

# sin(r) = r + r z P(z) and cos(r) = 1 - z / 2 + z**2 P(z), z = r**2 <= 0.618; 2**-27.9, 2**-57.9; 2**-33.0, 2**-63.9.
SIN = {
    "f32": (
        -0.16666655, 0.008332188, -0.00019518063,
    ),
    "f64": (
        -0.1666666666666663, 0.00833333333332184, -0.00019841269829358278, 2.7557313538316892e-06,
        -2.5050734338208892e-08, 1.5895429067708472e-10,
    ),
}
COS = {
    "f32": (
        0.041666646, -0.001388731, 2.4432318e-05,
    ),
    "f64": (
        0.041666666666666595, -0.001388888888887331, 2.48015872889676e-05, -2.755731420400129e-07,
        2.087570329118394e-09, -1.1358625975165377e-11,
    ),
}
# atan(q) = q + q z P(z), z = q**2 <= 0.172; 2**-59.4.
ATAN = (
    -0.3333333333333319, 0.19999999999952184, -0.14285714280054068, 0.11111110776296064,
    -0.09090897550780347, 0.07692056517964814, -0.06663061842577465, 0.05847580789680151,
    -0.05037907952892405, 0.03802890108664125, -0.01786796740659306,
)
# asin(x) = x + x z P(z), z = x**2 <= 0.2501; 2**-59.9.
ASIN = (
    0.1666666666666676, 0.07499999999970812, 0.04464285717464446, 0.030381942704742006,
    0.022372215105221124, 0.01735160943736735, 0.013980856130774868, 0.011398587605622339,
    0.010782239556592016, 0.0036983303115611624, 0.02172838939068304, -0.021030396849685447,
    0.032649218678172276,
)
HALF_PI = {"f32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
           "f64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)}  # fmt: skip
QUARTER_PI = (0.7853981633974483, 3.061616997868383e-17)
LIMIT = {"f32": 65536.0, "f64": 2.0**28}
# 2/pi in words of 64 bits, from 128 bits above the binary point on.
TWO_OVER_PI = (
    0x0, 0x0,
    0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4,
    0x9C845F8BBDF9283B, 0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB,
)  # fmt: skip


# Words of the table that float32 arguments reach.
SINGLE_WORDS = 7


class _Window:
    """The bits of 2/pi that matter for a float64 |x| >= 2**14, and x's mantissa. All of one lane.

    x is mantissa times 2**(exponent - 1075), and the first bit of 2/pi that counts modulo 4 is number exponent - 1076
    behind the point; the table begins 128 bits earlier.
    """

    def __init__(self, lanes: Lanes, x: Reg, words: int, parts: int):
        builder: Any = lanes.builder  # the one of expand.py, which has tables and imports this file
        u64 = lanes.type.with_scalar("u64")

        def word(value: int) -> Reg:
            return builder.const(value, u64)

        bits = builder.bitcast(lanes.abs(x), u64)
        self.mantissa = lanes.op("or", lanes.op("and", bits, word((1 << 52) - 1)), word(1 << 52))
        first = lanes.sub(lanes.shr(bits, 52), word(1076 - 127))
        table, place = builder.table(TWO_OVER_PI[:words], "u64"), lanes.shr(first, 6)
        shift = lanes.op("and", first, word(63))
        back = lanes.op("xor", shift, word(63))  # after a shift by one
        read = []
        for offset in range(parts + 1):
            index = builder.cast(lanes.add(place, word(offset)), lanes.integer)
            read.append(builder.load(u64, builder.gep(table, index, "u64")))
        self.parts = [lanes.op("or", lanes.op("shl", a, shift), lanes.op("shr", lanes.shr(b, 1), back))
                      for a, b in pairwise(read)]


def reduce_large(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`(r, n)` of a float64 |x| >= 2**14 in one lane: the reduced argument and the quadrant as an i64."""
    window = _Window(lanes, x, len(TWO_OVER_PI), 3)
    mantissa, parts = window.mantissa, window.parts
    low = lanes.mul(mantissa, parts[2])
    over = lanes.op("mulhi", mantissa, parts[2])
    middle = lanes.add(lanes.mul(mantissa, parts[1]), over)
    carry = lanes.builder.cast(lanes.compare("lt", middle, over), lanes.type.with_scalar("u64"))
    high = lanes.add(lanes.mul(mantissa, parts[0]), lanes.op("mulhi", mantissa, parts[1]))
    high = lanes.add(high, carry)
    return fraction_of(lanes, x, high, middle, low)


def reduce_large_single(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`reduce_large` of a float32 given as float64, accurate to float32: 62 bits of the fraction are enough, since none
    comes nearer to a multiple of pi/2 than 2**-33."""
    builder, window = lanes.builder, _Window(lanes, x, SINGLE_WORDS, 2)
    high = lanes.add(lanes.mul(window.mantissa, window.parts[0]), lanes.op("mulhi", window.mantissa, window.parts[1]))
    top = lanes.shl(high, 2)
    # A fraction from one half on belongs to the next quadrant, from below: that is its sign.
    quadrant = builder.cast(lanes.add(lanes.shr(high, 62), lanes.shr(top, 63)), lanes.integer)
    r = lanes.mul(builder.cast(builder.cast(top, lanes.integer), lanes.type), lanes.at(HALF_PI["f64"][0] * 2.0**-64))
    negative = lanes.below(x, 0.0)
    quadrant = lanes.select(negative, lanes.sub(lanes.whole(0), quadrant), quadrant)
    return lanes.select(negative, lanes.neg(r), r), quadrant


def fraction_of(lanes: Lanes, x: Reg, high: Reg, middle: Reg, low: Reg) -> tuple[Reg, Reg]:
    """`(r, n)` from the product's 192 bits, of which the first two are the quadrant."""
    builder, u64 = lanes.builder, lanes.type.with_scalar("u64")
    top = lanes.op("or", lanes.shl(high, 2), lanes.shr(middle, 62))
    rest = lanes.op("or", lanes.shl(middle, 2), lanes.shr(low, 62))
    signed = builder.cast(top, lanes.integer)
    # A fraction from one half on belongs to the next quadrant, from below: that is the sign of its first word.
    quadrant = lanes.add(lanes.shr(high, 62), lanes.shr(top, 63))
    kept = lanes.op("and", signed, lanes.whole(-2048))
    left = lanes.op("or", lanes.shl(top, 53), lanes.shr(rest, 11))
    a = lanes.mul(builder.cast(kept, lanes.type), lanes.at(2.0**-64))
    b = lanes.mul(builder.cast(left, lanes.type), lanes.at(2.0**-117))
    value = lanes.add(a, b)
    error = lanes.add(lanes.sub(a, value), b)
    first, second, _ = HALF_PI["f64"]
    product = lanes.mul(value, lanes.at(first))
    r = lanes.fma(value, lanes.at(first), lanes.neg(product))
    r = lanes.fma(value, lanes.at(second), lanes.fma(error, lanes.at(first), r))
    r = lanes.add(product, r)
    negative = lanes.below(x, 0.0)
    quadrant = builder.cast(quadrant, u64._replace(scalar="i64"))
    quadrant = lanes.select(negative, lanes.sub(lanes.whole(0), quadrant), quadrant)
    return lanes.select(negative, lanes.neg(r), r), quadrant


def reduce_angle(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`(r, n)`: |r| <= pi/4 and an integer whose two last bits are the quadrant."""
    builder = lanes.builder
    number, held = lanes.rounded(x, 2 / math.pi)
    r = x
    for part in HALF_PI[lanes.scalar]:
        r = lanes.fma(number, lanes.at(-part), r)
    size = lanes.abs(x)
    large = lanes.both(lanes.above(size, LIMIT[lanes.scalar]), lanes.below(size, math.inf))
    angle, quadrant = builder.var(r), builder.var(lanes.bits(held))
    with builder.when(lanes.any(large)):
        if x.type.lanes == 1:
            far, turns = _reduced(lanes, x)
        else:
            far, turns = _lane_by_lane(lanes, x)
        builder.set(angle, lanes.select(large, far, builder.get(angle)))
        builder.set(quadrant, lanes.select(large, turns, builder.get(quadrant)))
    return builder.get(angle), builder.get(quadrant)


def _reduced(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`reduce_large` of one lane in its own types."""
    reduce = reduce_large_single if lanes.single else reduce_large
    far, turns = reduce(lanes.wide(), lanes.cast(x, "f64"))
    return lanes.cast(far, lanes.scalar), lanes.builder.cast(turns, lanes.integer)


def _lane_by_lane(lanes: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """`_reduced` of each lane that needs it, in turn, through memory; what others get means nothing."""
    builder, count = lanes.builder, x.type.lanes
    one = Lanes(builder, Type(lanes.scalar))
    angles, turns = builder.alloca(x.type), builder.alloca(lanes.integer)
    builder.store(x, angles)
    builder.store(builder.const(0, lanes.integer), turns)
    with builder.loop(builder.int(0), builder.int(count)) as lane:
        place = builder.gep(angles, lane, lanes.scalar)
        value = builder.load(one.type, place)
        size = one.abs(value)
        needed = one.both(one.above(size, LIMIT[lanes.scalar]), one.below(size, math.inf))
        with builder.when(needed):
            far, turn = _reduced(one, value)
            builder.store(far, place)
            builder.store(turn, builder.gep(turns, lane, one.integer.scalar))
    return builder.load(x.type, angles), builder.load(lanes.integer, turns)


def sin_near(lanes: Lanes, r: Reg, square: Reg) -> Reg:
    """sin for |r| <= pi/4, without the sign of zero."""
    return lanes.fma(lanes.mul(r, square), lanes.polynomial(square, SIN[lanes.scalar]), r)


def cos_near(lanes: Lanes, square: Reg) -> Reg:
    """cos by the square of |r| <= pi/4."""
    return lanes.polynomial(square, COS[lanes.scalar], (-0.5, 1.0))


def _circular(lanes: Lanes, x: Reg, turn: int) -> Reg:
    r, quadrant = reduce_angle(lanes, x)
    square = lanes.mul(r, r)
    sine = sin_near(lanes, r, square)
    cosine = cos_near(lanes, square)
    if turn:
        quadrant = lanes.add(quadrant, lanes.whole(turn))
    odd = lanes.compare("eq", lanes.op("and", quadrant, lanes.whole(1)), lanes.whole(1))
    sign = lanes.op("and", lanes.shl(quadrant, 30 if lanes.single else 62), lanes.whole(SIGN[lanes.scalar]))
    return lanes.real(lanes.op("xor", lanes.bits(lanes.select(odd, cosine, sine)), sign))


def sin(lanes: Lanes, x: Reg) -> Reg:
    """The sine of radians."""
    return lanes.select(lanes.equal(x, 0.0), x, _circular(lanes, x, 0))


def cos(lanes: Lanes, x: Reg) -> Reg:
    """The cosine of radians."""
    return _circular(lanes, x, 1)


def tan(lanes: Lanes, x: Reg) -> Reg:
    """The tangent of radians."""
    if lanes.single:
        return lanes.doubled(tan, x)
    r, quadrant = reduce_angle(lanes, x)
    square = lanes.mul(r, r)
    sine = sin_near(lanes, r, square)
    cosine = cos_near(lanes, square)
    odd = lanes.compare("eq", lanes.op("and", quadrant, lanes.whole(1)), lanes.whole(1))
    ratio = lanes.div(lanes.select(odd, lanes.neg(cosine), sine), lanes.select(odd, sine, cosine))
    return lanes.select(lanes.equal(x, 0.0), x, ratio)


def _atan_ratio(lanes: Lanes, small: Reg, large: Reg) -> tuple[Reg, Reg, Reg]:
    """atan(small / large), 0 <= small <= large, as main part, what is added to it first, and a tiny correction."""
    middle = lanes.compare("gt", small, lanes.mul(large, lanes.at(math.sqrt(2) - 1)))
    top = lanes.select(middle, lanes.sub(small, large), small)
    bottom = lanes.select(middle, lanes.add(small, large), large)
    q = lanes.div(top, bottom)
    z = lanes.mul(q, q)
    value = lanes.fma(lanes.mul(q, z), lanes.polynomial(z, ATAN), q)
    zero = lanes.at(0.0)
    high, low = (lanes.select(middle, lanes.at(part), zero) for part in QUARTER_PI)
    return value, high, low


def _plus(lanes: Lanes, value: Reg, high: Reg, low: Reg) -> Reg:
    return lanes.add(high, lanes.add(value, low))


def atan(lanes: Lanes, x: Reg) -> Reg:
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    if lanes.single:
        return lanes.doubled(atan, x)
    size, one = lanes.abs(x), lanes.at(1.0)
    over = lanes.above(size, 1.0)
    value, high, low = _atan_ratio(lanes, lanes.select(over, one, size), lanes.select(over, size, one))
    first, second, _ = HALF_PI["f64"]
    flipped = _plus(
        lanes, lanes.neg(value), lanes.sub(lanes.at(first), high), lanes.sub(lanes.at(second), low)
    )
    result = lanes.select(over, flipped, _plus(lanes, value, high, low))
    return lanes.copysign(result, x)


def atan2(lanes: Lanes, y: Reg, x: Reg) -> Reg:
    """The angle of the point (x, y), in [-pi, pi]."""
    if lanes.single:
        return lanes.doubled(atan2, y, x)
    tall, broad = lanes.abs(y), lanes.abs(x)
    # Two infinities make a diagonal, two zeros no angle; what is huge is halved, so that a sum stays finite.
    unbounded = lanes.both(lanes.equal(tall, math.inf), lanes.equal(broad, math.inf))
    one = lanes.at(1.0)
    tall, broad = lanes.select(unbounded, one, tall), lanes.select(unbounded, one, broad)
    steep = lanes.compare("gt", tall, broad)
    small, large = lanes.select(steep, broad, tall), lanes.select(steep, tall, broad)
    huge = lanes.above(large, 2.0**1020)
    half = lanes.select(huge, lanes.at(0.25), one)
    small, large = lanes.mul(small, half), lanes.mul(large, half)
    large = lanes.select(lanes.equal(large, 0.0), one, large)
    value, high, low = _atan_ratio(lanes, small, large)
    first, second, _ = HALF_PI["f64"]
    flipped = lanes.sub(lanes.at(first), high), lanes.sub(lanes.at(second), low)
    value = lanes.select(steep, lanes.neg(value), value)
    high, low = lanes.select(steep, flipped[0], high), lanes.select(steep, flipped[1], low)
    behind = lanes.compare("lt", lanes.bits(x), lanes.whole(0))
    value = lanes.select(behind, lanes.neg(value), value)
    high = lanes.select(behind, lanes.sub(lanes.at(2 * first), high), high)
    low = lanes.select(behind, lanes.sub(lanes.at(2 * second), low), low)
    result = lanes.copysign(_plus(lanes, value, high, low), y)
    unordered = lanes.either(lanes.compare("ne", x, x), lanes.compare("ne", y, y))
    return lanes.select(unordered, lanes.at(math.nan), result)


def _asin_curve(lanes: Lanes, z: Reg) -> Reg:
    return lanes.mul(z, lanes.polynomial(z, ASIN))


def asin(lanes: Lanes, x: Reg) -> Reg:
    """The angle in [-pi/2, pi/2] whose sine is x."""
    if lanes.single:
        return lanes.doubled(asin, x)
    size = lanes.abs(x)
    far = lanes.above(size, 0.5)
    halved = lanes.mul(lanes.sub(lanes.at(1.0), size), lanes.at(0.5))
    z = lanes.select(far, halved, lanes.mul(x, x))
    root = lanes.select(far, lanes.sqrt(halved), size)
    value = lanes.fma(root, _asin_curve(lanes, z), root)
    first, second, _ = HALF_PI["f64"]
    turned = lanes.sub(lanes.at(first), lanes.sub(lanes.add(value, value), lanes.at(second)))
    return lanes.copysign(lanes.select(far, turned, value), x)


def acos(lanes: Lanes, x: Reg) -> Reg:
    """The angle in [0, pi] whose cosine is x."""
    if lanes.single:
        return lanes.doubled(acos, x)
    size = lanes.abs(x)
    far = lanes.above(size, 0.5)
    halved = lanes.mul(lanes.sub(lanes.at(1.0), size), lanes.at(0.5))
    z = lanes.select(far, halved, lanes.mul(x, x))
    root = lanes.select(far, lanes.sqrt(halved), x)
    value = lanes.fma(root, _asin_curve(lanes, z), root)
    first, second, _ = HALF_PI["f64"]
    near = lanes.sub(lanes.at(first), lanes.sub(value, lanes.at(second)))
    twice = lanes.add(value, value)
    behind = lanes.sub(lanes.at(2 * first), lanes.sub(twice, lanes.at(2 * second)))
    return lanes.select(far, lanes.select(lanes.below(x, 0.0), behind, twice), near)


EXPANSIONS = {"sin": sin, "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan": atan, "atan2": atan2}
