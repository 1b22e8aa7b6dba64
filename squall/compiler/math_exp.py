"""Exponentials: exp, exp2, expm1, and what is made of them (sigmoid, tanh, sinh, cosh).

exp: x = 2 m ln2 + r with |r| <= ln2, so that 2**m is a normal number for every finite result and multiplying by it
twice gives overflow, denormals and their rounding by themselves; only the polynomial is longer than with 2**n.

Coefficients here and in the other `math_*` modules: Remez exchange in 50 to 60 decimal digits for the least maximum
of the relative error of the function (not of the polynomial's own), on an interval slightly larger than the reduced
one; then rounded one by one from the lowest degree, the rest fitted again after each. Where that does not converge
(long polynomials around zero), all were rounded at once. The error given is that of the rounded coefficients.
"""

from __future__ import annotations

from squall.compiler.math_lanes import BIAS, MAGIC, Lanes
from squall.ir.linear import Reg

LOG2_E = 1.4426950408889634
# ln2 in two parts of each precision.
LN2 = {"f32": (0.6931471824645996, -1.9046542121259336e-09),
       "f64": (0.6931471805599453, 2.3190468138462996e-17)}  # fmt: skip

# e**r = 1 + r + r**2 P(r), |r| <= 0.6938; 2**-26.0, 2**-55.6.
EXP = {
    "f32": (
        0.50000036, 0.16666616, 0.041661166, 0.008335897, 0.0014106119, 0.00019644386,
    ),
    "f64": (
        0.4999999999999993, 0.16666666666666957, 0.041666666666702296, 0.008333333333264846,
        0.0013888888883542255, 0.00019841269897137993, 2.4801590850291343e-05,
        2.7557298962902652e-06, 2.7556153092002787e-07, 2.5055337431432797e-08,
        2.106276669670804e-09, 1.5914931807340361e-10,
    ),
}
# The same on |r| <= 0.3472; 2**-28.2.
EXP_NEAR = (
    0.49999994, 0.16666515, 0.041668095, 0.008369266, 0.0013836382,
)
# 2**r = 1 + r P(r), |r| <= 0.5; 2**-27.4, 2**-59.3.
EXP2 = {
    "f32": (
        0.69314724, 0.24022655, 0.055502728, 0.00961707, 0.0013417384, 0.00015807376,
    ),
    "f64": (
        0.6931471805599453, 0.2402265069591007, 0.05550410866482338, 0.00961812910763023,
        0.0013333558146032755, 0.00015403530388881194, 1.5252734168662507e-05,
        1.3215491354428485e-06, 1.0177930752088425e-07, 7.05292786358941e-09, 4.473693453661572e-10,
        2.8783508353519758e-11,
    ),
}
# e**r - 1 = r + r**2 / 2 + r**3 P(r), |r| <= 0.3472; 2**-31.0, 2**-59.8.
EXPM1 = {
    "f32": (
        0.16666666, 0.041666467, 0.008333644, 0.001393491, 0.00019668134,
    ),
    "f64": (
        0.16666666666666677, 0.041666666666666304, 0.008333333333320835, 0.0013888888889131762,
        0.0001984126988915951, 2.4801586765100848e-05, 2.75572405916602e-06, 2.7557775483798594e-07,
        2.511040535044169e-08, 2.076082018985289e-09,
    ),
}
# tanh(x) = x + x z P(z), z = x**2 <= 0.305; 2**-24.6.
TANH = (
    -0.33332935, 0.13320445, -0.05265312, 0.016400736,
)
# Beyond these the result is 0 or infinite.
EXP_RANGE = {"f32": (-104.0, 89.0), "f64": (-746.0, 710.0)}
EXP2_RANGE = {"f32": (-151.0, 129.0), "f64": (-1076.0, 1025.0)}
EXPM1_RANGE = {"f32": (-18.0, 89.0), "f64": (-40.0, 710.0)}


def exp_parts(lanes: Lanes, x: Reg, low: Reg | None = None) -> tuple[Reg, Reg]:
    """`(p, s)` with e**(x + low) = p s s; x within `EXP_RANGE`."""
    high_part, low_part = LN2[lanes.scalar]
    number, held = lanes.rounded(x, LOG2_E / 2, BIAS[lanes.scalar])
    rest = lanes.fma(number, lanes.at(-2 * high_part), x)
    rest = lanes.fma(number, lanes.at(-2 * low_part), rest)
    if low is not None:
        rest = lanes.add(rest, low)
    return lanes.polynomial(rest, EXP[lanes.scalar], (1.0, 1.0)), lanes.power_of_two(held)


def exp(lanes: Lanes, x: Reg) -> Reg:
    """e**x. Where it is 0 (masked attention scores), nothing underflows: that costs processors a hundred cycles."""
    low, high = EXP_RANGE[lanes.scalar]
    nothing, zero = lanes.below(x, low), lanes.at(0.0)
    if lanes.scales:
        return lanes.select(nothing, zero, exp_near(lanes, lanes.least(high, x)))
    p, s = exp_parts(lanes, lanes.least(high, lanes.select(nothing, zero, x)))
    return lanes.select(nothing, zero, lanes.mul(lanes.mul(p, s), s))


def exp_near(lanes: Lanes, x: Reg) -> Reg:
    """e**x in float32 for |x| <= 80, where nothing can overflow or be lost; with `scale` within `EXP_RANGE`."""
    high_part, low_part = LN2["f32"]
    number, held = lanes.rounded(x, LOG2_E, BIAS["f32"])
    rest = lanes.fma(number, lanes.at(-high_part), x)
    rest = lanes.fma(number, lanes.at(-low_part), rest)
    return lanes.scaled(lanes.polynomial(rest, EXP_NEAR, (1.0, 1.0)), number, held)


def halved_powers(lanes: Lanes, number: Reg) -> tuple[Reg, Reg]:
    """Two normal numbers whose product is 2**number, for an integral float within `EXP2_RANGE`."""
    half, held = lanes.rounded(number, 0.5, BIAS[lanes.scalar])
    other = lanes.add(lanes.sub(number, half), lanes.at(MAGIC[lanes.scalar] + BIAS[lanes.scalar]))
    return lanes.power_of_two(held), lanes.power_of_two(other)


def exp2(lanes: Lanes, x: Reg) -> Reg:
    """2**x, exact for integers."""
    low, high = EXP2_RANGE[lanes.scalar]
    return exp2_sum(lanes, lanes.least(high, lanes.most(low, x)), None)


def exp2_sum(lanes: Lanes, x: Reg, low: Reg | None) -> Reg:
    """2**(x + low) for x within `EXP2_RANGE`."""
    number = lanes.op("rint", x)
    rest = lanes.sub(x, number)
    if low is not None:
        rest = lanes.add(rest, low)
    p = lanes.polynomial(rest, EXP2[lanes.scalar], (1.0,))
    first, second = halved_powers(lanes, number)
    return lanes.mul(lanes.mul(p, first), second)


def expm1(lanes: Lanes, x: Reg) -> Reg:
    """e**x - 1, to full relative accuracy around 0."""
    low, high = EXPM1_RANGE[lanes.scalar]
    within = lanes.least(high, lanes.most(low, x))
    high_part, low_part = LN2[lanes.scalar]
    # Half of 2**n is what fits when n is largest; the result is doubled at the end.
    number, held = lanes.rounded(within, LOG2_E, BIAS[lanes.scalar] - 1)
    rest = lanes.fma(number, lanes.at(-high_part), within)
    rest = lanes.fma(number, lanes.at(-low_part), rest)
    curve = lanes.mul(lanes.mul(rest, rest), lanes.polynomial(rest, EXPM1[lanes.scalar], (0.5,)))
    scale = lanes.power_of_two(held)
    # 2**n r + (2**n - 1) is nearly exact where the two cancel; the small rest comes last.
    total = lanes.fma(scale, rest, lanes.sub(scale, lanes.at(0.5)))
    total = lanes.fma(scale, curve, total)
    total = lanes.add(total, total)
    near = lanes.select(lanes.below(lanes.abs(x), 1e-9 if lanes.single else 1e-18), x, lanes.add(rest, curve))
    return lanes.select(lanes.equal(number, 0.0), near, total)


def sigmoid(lanes: Lanes, x: Reg) -> Reg:
    """1 / (1 + e**-x), without overflow and with the relative accuracy of its own on both sides."""
    power = exp(lanes, lanes.neg(lanes.abs(x)))
    above = lanes.select(lanes.below(x, 0.0), power, lanes.at(1.0))
    return lanes.div(above, lanes.add(power, lanes.at(1.0)))


def tanh(lanes: Lanes, x: Reg) -> Reg:
    """tanh: an odd polynomial around 0 (float32), elsewhere by e**(2 |x|)."""
    size = lanes.abs(x)
    if not lanes.single:
        grown = expm1(lanes, lanes.least(44.0, lanes.add(size, size)))
        far = lanes.sub(lanes.at(1.0), lanes.div(lanes.at(2.0), lanes.add(grown, lanes.at(2.0))))
        near = lanes.div(grown, lanes.add(grown, lanes.at(2.0)))
        return lanes.copysign(lanes.select(lanes.below(size, 0.55), near, far), x)
    square = lanes.mul(x, x)
    near = lanes.fma(lanes.mul(lanes.polynomial(square, TANH), square), size, size)
    power = exp_near(lanes, lanes.least(20.0, lanes.add(size, size)))
    far = lanes.sub(lanes.at(1.0), lanes.div(lanes.at(2.0), lanes.add(power, lanes.at(1.0))))
    return lanes.copysign(lanes.select(lanes.below(size, 0.55), near, far), x)


def sinh(lanes: Lanes, x: Reg) -> Reg:
    """(e**x - e**-x) / 2."""
    if lanes.single:
        return lanes.doubled(sinh, x)
    size = lanes.abs(x)
    grown = expm1(lanes, lanes.least(40.0, size))
    near = lanes.fma(lanes.div(grown, lanes.add(grown, lanes.at(1.0))), lanes.at(0.5), lanes.mul(grown, lanes.at(0.5)))
    return lanes.copysign(lanes.select(lanes.below(size, 40.0), near, half_exp(lanes, size)), x)


def half_exp(lanes: Lanes, x: Reg) -> Reg:
    """e**x / 2 of positive float64, finite where that is."""
    p, s = exp_parts(lanes, lanes.least(712.0, x))
    return lanes.mul(lanes.mul(lanes.mul(p, lanes.at(0.5)), s), s)


def cosh(lanes: Lanes, x: Reg) -> Reg:
    """(e**x + e**-x) / 2."""
    if lanes.single:
        return lanes.doubled(cosh, x)
    half = half_exp(lanes, lanes.abs(x))
    return lanes.add(half, lanes.div(lanes.at(0.25), half))


EXPANSIONS = {"exp": exp, "exp2": exp2, "expm1": expm1, "sigmoid": sigmoid, "tanh": tanh, "sinh": sinh, "cosh": cosh}
