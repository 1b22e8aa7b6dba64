"""Error functions and gamma functions: erf, erfc, erfinv, lgamma, digamma.

erf and erfc are computed in both precisions' own terms where it pays (erf in float32); everything else is float64
rounded once for float32.
"""

from __future__ import annotations

import math

from squall.compiler.math_exp import exp_near, exp_parts
from squall.compiler.math_lanes import Lanes
from squall.compiler.math_log import log
from squall.compiler.math_trig import cos_near, sin_near, tan
from squall.ir.linear import Reg

# erf(x) = x + x P(z), z = x**2 <= 0.5626; 2**-29.2, 2**-56.3.
ERF = {
    "f32": (
        0.12837917, -0.3761262, 0.11283379, -0.026834335, 0.005113157, -0.00067375816,
    ),
    "f64": (
        0.1283791670955126, -0.37612638903184176, 0.1128379167097885, -0.026866170650279093,
        0.005223977681841562, -0.0008548330530891342, 0.0001205546272341919, -1.4928476955993001e-05,
        1.6494719600549536e-06, -1.6471000573077838e-07, 1.3345155365568845e-08,
    ),
}
# log(erfc(t)) = t P(t), t in [0.75, 4], weighted by erfc(t) / erf(t); 2**-28.1 of erf.
ERFC_LOG = (
    -1.1285349, -0.63564754, -0.10535668, 0.022951717, -0.003234489, 0.00021638558,
)
# erfc(a) e**(a**2) (1 + 2 a) = P(q), q = (a - 3) / (a + 3), a in [0.49, 28]; 2**-54.5.
ERFC_SCALED = (
    1.2530080582697296, -0.1356211061245812, -0.047562294353451155, 0.12964515870276397,
    -0.11927366341527675, 0.06830802734385673, -0.023770514919566745, 0.002529391818209248,
    0.0018886903719251683, -0.000779832294363505, -0.00010515989652297501, 0.000125099502079849,
    4.949919225947987e-06, -2.0101247263534744e-05, -7.326895159235652e-07, 3.474509249301501e-06,
    3.586626243498065e-07, -6.209638373763096e-07, -1.427342809350892e-07, 1.0753517088640862e-07,
    4.094145120989639e-08, -1.760594567650812e-08, -6.6397942067416e-09, 2.4018484772235718e-09,
)
# erfinv(x) / x = P(u), w = -log(1 - x**2): u = w - 3.125 for w < 6.25; sqrt(w) - 3.25 below 4; sqrt(w) - 5 below 6.08.
# 2**-54.
ERFINV_CENTRE = (
    1.6536545626831027, 0.24015818242558826, -0.0060336708714277595, -0.0007407025341539637,
    0.0001867342080242794, -1.3882523395767497e-05, -1.3654691844742882e-06, 4.2347881904665313e-07,
    -2.907038274056217e-08, -4.112661955290732e-09, 1.0512183810917742e-09, -5.4142400033988343e-11,
    -1.2976952849714462e-11, 2.630357472412913e-12, -8.117117826600107e-14, -3.9990325389633194e-14,
    6.594840469771077e-15, -4.279854424685663e-17, -1.3005027832736998e-16, 1.5754631907346537e-17,
    1.1449160464264353e-18, -3.573254892046804e-19, -1.0188718574759662e-21, 3.371510114436601e-21,
)
ERFINV_MIDDLE = (
    3.0838856104922208, 1.0052589676941657, 0.005370914553571337, -0.0037512085082640617,
    0.0024914420969968333, -0.0016882755342232062, 0.0009532893634965011, -0.0003550378311743318,
    2.4031258988460527e-05, 6.828725110864801e-05, -4.7318992716943415e-05, 1.2464424085130914e-05,
    2.925750372742099e-06, -3.984056096729277e-06, 1.4986842986829868e-06, -3.029478325954502e-08,
    -2.713259033615655e-07, 1.3396310382474753e-07, 6.925386969728631e-10, -1.619344459555334e-08,
)
ERFINV_TAIL = (
    4.849906401408584, 1.0103004648645455, -0.00013871931837722404, -0.00021503011984026435,
    7.59952780131153e-05, -1.9681770527121803e-05, 4.526053430243242e-06, -9.93030471604707e-07,
    2.2904799411191222e-07, -6.755256692938806e-08, 2.9032945229279955e-08, -1.5261949776497326e-08,
    7.79675295973036e-09, -3.4639081418853285e-09, 1.3406778369590004e-09, -4.417953228118127e-10,
    5.631552020210466e-11, 4.3859266599569776e-11, -1.7436730525264855e-11,
)
# lgamma(2 + y) / y = P(y), |y| <= 0.5; 2**-55.1.
LGAMMA = (
    0.42278433509846713, 0.3224670334241133, -0.06735230105319576, 0.02058080842776591,
    -0.00738555102892598, 0.0028905103318445815, -0.0011927539013012805, 0.0005096694950436513,
    -0.0002231549727480847, 9.945794504688644e-05, -4.4923767418485526e-05, 2.05035379606485e-05,
    -9.456101858238836e-06, 4.393544415648427e-06, -1.9747659334755824e-06, 8.998534291821059e-07,
    -5.806766998041606e-07, 2.9774599541218117e-07,
)
# Terms of Stirling's series: Bernoulli numbers B_2k / (2k (2k - 1)), and B_2k / 2k for its derivative.
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
HALF_LOG_TWO_PI = 0.9189385332046728
NEAR = 0.75


def erf(lanes: Lanes, x: Reg) -> Reg:
    """The error function."""
    size, square = lanes.abs(x), lanes.mul(x, x)
    near = lanes.fma(lanes.polynomial(square, ERF[lanes.scalar]), size, size)
    if lanes.single:
        t = lanes.least(4.0, size)
        far = exp_near(lanes, lanes.mul(lanes.polynomial(t, ERFC_LOG), t))
    else:
        far = _erfc_far(lanes, lanes.least(6.0, size))
    far = lanes.sub(lanes.at(1.0), far)
    return lanes.copysign(lanes.select(lanes.below(size, NEAR), near, far), x)


def _erfc_far(lanes: Lanes, a: Reg) -> Reg:
    """erfc of float64 a in [0.49, 28]; the square's rounding error goes into the exponential."""
    three = lanes.at(3.0)
    q = lanes.div(lanes.sub(a, three), lanes.add(a, three))
    scaled = lanes.div(lanes.polynomial(q, ERFC_SCALED), lanes.fma(a, lanes.at(2.0), lanes.at(1.0)))
    square = lanes.mul(a, a)
    error = lanes.fma(a, a, lanes.neg(square))
    p, s = exp_parts(lanes, lanes.neg(square), lanes.neg(error))
    return lanes.mul(lanes.mul(lanes.mul(p, scaled), s), s)


def erfc(lanes: Lanes, x: Reg) -> Reg:
    """1 - erf(x), to full relative accuracy where it is small."""
    if lanes.single:
        return lanes.doubled(erfc, x)
    size, square = lanes.abs(x), lanes.mul(x, x)
    far = _erfc_far(lanes, lanes.least(28.0, lanes.most(0.49, size)))
    far = lanes.select(lanes.below(x, 0.0), lanes.sub(lanes.at(2.0), far), far)
    near = lanes.sub(lanes.at(1.0), lanes.fma(lanes.polynomial(square, ERF["f64"]), x, x))
    return lanes.select(lanes.below(size, 0.5), near, far)


def erfinv(lanes: Lanes, x: Reg) -> Reg:
    """The inverse of erf; infinite at -1 and 1, NaN beyond."""
    if lanes.single:
        return lanes.doubled(erfinv, x)
    one = lanes.at(1.0)
    inside = lanes.mul(lanes.sub(one, x), lanes.add(one, x))
    w = lanes.neg(log(lanes, inside))
    root = lanes.sqrt(lanes.most(1.0, w))
    centre = lanes.polynomial(lanes.sub(w, lanes.at(3.125)), ERFINV_CENTRE)
    middle = lanes.polynomial(lanes.sub(root, lanes.at(3.25)), ERFINV_MIDDLE)
    tail = lanes.polynomial(lanes.sub(root, lanes.at(5.0)), ERFINV_TAIL)
    ratio = lanes.select(lanes.below(root, 4.0), middle, tail)
    ratio = lanes.select(lanes.below(w, 6.25), centre, ratio)
    result = lanes.mul(ratio, x)
    return lanes.select(lanes.equal(lanes.abs(x), 1.0), lanes.copysign(lanes.at(math.inf), x), result)


def _sin_pi(lanes: Lanes, x: Reg) -> Reg:
    """|sin(pi x)| in float64, zero exactly at integers."""
    part = lanes.abs(lanes.sub(x, lanes.op("rint", x)))
    upper = lanes.above(part, 0.25)
    angle = lanes.mul(lanes.select(upper, lanes.sub(lanes.at(0.5), part), part), lanes.at(math.pi))
    square = lanes.mul(angle, angle)
    return lanes.select(upper, cos_near(lanes, square), sin_near(lanes, angle, square))


def lgamma(lanes: Lanes, x: Reg) -> Reg:
    """The logarithm of |gamma(x)|.

    x > 8 by Stirling's series. Below, x is moved by whole steps n to within 1/2 of 2, where a polynomial serves, and
    the logarithm of the product passed over is added. Negative arguments by reflection.
    """
    if lanes.single:
        return lanes.doubled(lgamma, x)
    size, one = lanes.abs(x), lanes.at(1.0)
    steps = lanes.op("rint", lanes.sub(lanes.least(8.0, size), lanes.at(2.0)))
    y = lanes.sub(lanes.sub(lanes.least(8.0, size), lanes.at(2.0)), steps)
    # Below 1.5 two is added first, so that nothing of a small argument is lost.
    y = lanes.select(lanes.below(size, 0.5), size, lanes.select(lanes.below(size, 1.5), lanes.sub(size, one), y))
    low, lower = lanes.below(size, 1.5), lanes.below(size, 0.5)
    product = lanes.select(lower, lanes.fma(size, size, size), lanes.select(low, size, one))
    for step in range(1, 7):
        passed = lanes.mul(product, lanes.sub(size, lanes.at(float(step))))
        product = lanes.select(lanes.above(steps, step - 0.5), passed, product)
    large = lanes.above(size, 8.0)
    logarithm = log(lanes, lanes.select(large, size, product))
    bent = lanes.mul(y, lanes.polynomial(y, LGAMMA))
    near = lanes.add(bent, lanes.select(low, lanes.neg(logarithm), logarithm))
    inverse = lanes.div(one, lanes.most(8.0, size))
    tail = lanes.mul(inverse, lanes.polynomial(lanes.mul(inverse, inverse), STIRLING))
    tail = lanes.add(tail, lanes.at(HALF_LOG_TWO_PI - 0.5))
    half = lanes.sub(size, lanes.at(0.5))
    far = lanes.fma(half, lanes.sub(logarithm, one), tail)
    result = lanes.select(large, far, near)
    return _reflected(lanes, x, size, result)


def _reflected(lanes: Lanes, x: Reg, size: Reg, result: Reg) -> Reg:
    sine = _sin_pi(lanes, size)
    tiny = lanes.below(size, 1e-100)
    below = lanes.select(tiny, size, lanes.mul(size, lanes.mul(sine, lanes.at(1 / math.pi))))
    mirrored = lanes.sub(lanes.neg(log(lanes, below)), lanes.select(tiny, lanes.at(0.0), result))
    mirrored = lanes.select(lanes.equal(sine, 0.0), lanes.at(math.inf), mirrored)
    chosen = lanes.select(lanes.either(lanes.below(x, 0.0), tiny), mirrored, result)
    return lanes.select(lanes.equal(size, math.inf), size, chosen)


def digamma(lanes: Lanes, x: Reg) -> Reg:
    """The derivative of lgamma: by its series above 10, after steps up to there; below 0 by reflection."""
    if lanes.single:
        return lanes.doubled(digamma, x)
    one, zero = lanes.at(1.0), lanes.at(0.0)
    negative = lanes.below(x, 0.0)
    moved = lanes.select(negative, lanes.sub(one, x), x)
    total = zero
    for _ in range(10):
        low = lanes.below(moved, 10.0)
        total = lanes.sub(total, lanes.select(low, lanes.div(one, moved), zero))
        moved = lanes.add(moved, lanes.select(low, one, zero))
    inverse = lanes.div(one, moved)
    square = lanes.mul(inverse, inverse)
    series = lanes.mul(square, lanes.polynomial(square, DIGAMMA))
    total = lanes.add(total, lanes.sub(lanes.sub(log(lanes, moved), lanes.mul(inverse, lanes.at(0.5))), series))
    whole = lanes.op("rint", x)
    angle = lanes.mul(lanes.sub(x, whole), lanes.at(math.pi))
    mirrored = lanes.sub(total, lanes.div(lanes.at(math.pi), tan(lanes, angle)))
    result = lanes.select(negative, mirrored, total)
    integral = lanes.both(negative, lanes.compare("eq", x, whole))
    result = lanes.select(integral, lanes.at(math.nan), result)
    pole = lanes.copysign(lanes.at(math.inf), lanes.neg(x))
    result = lanes.select(lanes.equal(x, 0.0), pole, result)
    return lanes.select(lanes.equal(x, math.inf), x, result)


EXPANSIONS = {"erf": erf, "erfc": erfc, "erfinv": erfinv, "lgamma": lgamma, "digamma": digamma}
