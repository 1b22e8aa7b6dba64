"""Exact float64 references of the special functions, over the standard library's `math`: no other package needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

# The Bernoulli numbers B(2), B(4), ... of asymptotic tails.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _elementwise(function: Callable[[float], float]) -> Callable:
    """A scalar function as one over arrays; float32 in, float64 out, so that the caller rounds once."""

    def reference(x: Any) -> Any:
        import numpy

        wide = numpy.asarray(x, dtype=numpy.float64)
        made = numpy.array([function(v) for v in wide.ravel().tolist()], dtype=numpy.float64)
        return made.reshape(wide.shape)

    return reference


erf_reference = _elementwise(math.erf)
erfc_reference = _elementwise(math.erfc)


def _erfinv(y: float) -> float:
    if math.isnan(y) or abs(y) > 1:
        return math.nan
    if abs(y) == 1:
        return math.copysign(math.inf, y)
    # A start from the logarithmic bound, then Newton steps corrected to third order (Halley).
    bound = math.log1p(-y * y)
    middle = 2 / (math.pi * 0.147) + bound / 2
    x = math.copysign(math.sqrt(max(math.sqrt(middle * middle - bound / 0.147) - middle, 0.0)), y)
    for _ in range(4):
        error = math.erf(x) - y if abs(x) < 1 else math.copysign(1.0, y) * (1 - abs(y) - math.erfc(abs(x)))
        step = error / (2 / math.sqrt(math.pi) * math.exp(-x * x))
        x -= step / (1 + x * step)
    return x


erfinv_reference = _elementwise(_erfinv)


def _lgamma(x: float) -> float:
    if math.isinf(x):
        return math.inf
    if x <= 0 and x == math.floor(x):
        return math.inf
    return math.lgamma(x)


lgamma_reference = _elementwise(_lgamma)


def _digamma(x: float) -> float:
    if x == 0:
        return math.copysign(math.inf, -x)
    if math.isnan(x) or x == -math.inf or (x < 0 and x == math.floor(x)):
        return math.nan
    if x == math.inf:
        return x
    if x < 0.5:
        return _digamma(1 - x) - math.pi / math.tan(math.pi * math.remainder(x, 1.0))
    total = 0.0
    while x < 12:
        total -= 1 / x
        x += 1
    inverse, power = 1 / (x * x), 1.0
    for k, b in enumerate(BERNOULLI, 1):
        power *= inverse
        total -= b / (2 * k) * power
    return total + math.log(x) - 0.5 / x


digamma_reference = _elementwise(_digamma)


def cotangent_coefficients(order: int) -> list[float]:
    """The derivative of an order of cot(pi x), over pi**order, as a polynomial in the cotangent, lowest power first."""
    poly = [0.0, 1.0]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(poly)][1:]
        poly = [-a - b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return poly


def _polygamma(order: int, x: float) -> float:
    if math.isnan(x) or x == -math.inf:
        return math.nan
    if x == math.inf:
        return 0.0
    sign = 1.0 if order % 2 else -1.0
    if x <= 0 and x == math.floor(x):
        return sign * math.inf
    if x < 0.5:
        cotangent = 1 / math.tan(math.pi * math.remainder(x, 1.0))
        value = sum(c * cotangent**k for k, c in enumerate(cotangent_coefficients(order)))
        return (-1.0) ** order * _polygamma(order, 1 - x) - math.pi ** (order + 1) * value
    total = 0.0
    while x < 20:
        total += x ** -(order + 1)
        x += 1
    total += x**-order / order + 0.5 * x ** -(order + 1)
    rising = float(order + 1)
    power = x ** -(order + 2)
    for k, b in enumerate(BERNOULLI, 1):
        total += b / math.factorial(2 * k) * rising * power
        rising *= (order + 2 * k) * (order + 2 * k + 1)
        power /= x * x
    return sign * math.factorial(order) * total


def polygamma_reference(x: Any, n: int) -> Any:
    """The n-th derivative of digamma."""
    return _elementwise(lambda v: _polygamma(n, v))(x)
