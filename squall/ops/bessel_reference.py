"""What the Bessel functions of `bessel.py` are measured against: their integrals, by the trapezoid rule in NumPy.

The integrands are periodic or decay doubly exponentially, so that the rule converges to all digits.
"""

from __future__ import annotations

from math import pi
from typing import Any

_POINTS = 600


def _mean(x: Any, integrand: Any) -> Any:
    """The mean over [0, pi] of integrand(x, angle), for each x."""
    import numpy

    angle = (numpy.arange(_POINTS) + 0.5) * pi / _POINTS
    return numpy.asarray(integrand(numpy.asarray(x)[..., None], angle).mean(-1))


def i0e(x: Any) -> Any:
    """exp(-|x|) I0(x)."""
    import numpy

    return _mean(x, lambda v, t: numpy.exp(numpy.abs(v) * (numpy.cos(t) - 1)))


def i1e(x: Any) -> Any:
    """exp(-|x|) I1(x)."""
    import numpy

    mean = _mean(x, lambda v, t: numpy.exp(numpy.abs(v) * (numpy.cos(t) - 1)) * numpy.sin(t) ** 2)
    return numpy.where(numpy.isinf(x), numpy.copysign(0.0, x), x * mean)


def i0(x: Any) -> Any:
    """I0(x)."""
    import numpy

    return i0e(x) * numpy.exp(numpy.abs(x))


def i1(x: Any) -> Any:
    """I1(x)."""
    import numpy

    return i1e(x) * numpy.exp(numpy.abs(x))


def bessel_j0(x: Any) -> Any:
    """J0(x)."""
    import numpy

    return _mean(x, lambda v, t: numpy.cos(v * numpy.sin(t)))


def bessel_j1(x: Any) -> Any:
    """J1(x)."""
    import numpy

    return _mean(x, lambda v, t: numpy.cos(t - v * numpy.sin(t)))


def _tail(x: Any, integrand: Any, far: float) -> Any:
    """The integral over [0, far] of integrand(x, t), which is even in t and vanishes at the far end."""
    import numpy

    t = numpy.linspace(0.0, far, int(far * 500) + 1)
    values = integrand(numpy.asarray(x)[..., None], t)
    return numpy.asarray((values.sum(-1) - values[..., 0] / 2) * t[1])


def _positive(x: Any, value: Any, at_zero: float) -> Any:
    """The value for positive x, its limit at 0, NaN below."""
    import numpy

    return numpy.where(x > 0, value, numpy.where(x == 0, at_zero, numpy.nan))


def _second_kind(x: Any, order: int) -> Any:
    import numpy

    safe = numpy.where((x > 0) & numpy.isfinite(x), x, 1.0)
    value = _tail(safe, lambda v, t: numpy.exp(-v * (numpy.cosh(t) - 1)) * numpy.cosh(order * t), 16.0)
    return _positive(x, numpy.where(numpy.isinf(x), 0.0, value), numpy.inf)


def scaled_modified_bessel_k0(x: Any) -> Any:
    """exp(x) K0(x)."""
    return _second_kind(x, 0)


def scaled_modified_bessel_k1(x: Any) -> Any:
    """exp(x) K1(x)."""
    return _second_kind(x, 1)


def modified_bessel_k0(x: Any) -> Any:
    """K0(x)."""
    import numpy

    return _second_kind(x, 0) * numpy.exp(-x)


def modified_bessel_k1(x: Any) -> Any:
    """K1(x)."""
    import numpy

    return _second_kind(x, 1) * numpy.exp(-x)


def _nodes(low: float, high: float, pieces: int) -> tuple:
    """Gauss-Legendre nodes and weights of an interval in pieces."""
    import numpy

    node, weight = numpy.polynomial.legendre.leggauss(40)
    edges = numpy.linspace(low, high, pieces + 1)
    half = (edges[1:] - edges[:-1])[:, None] / 2
    return ((edges[:-1] + edges[1:])[:, None] / 2 + half * node).ravel(), (half * weight).ravel()


def _bessel_y(x: Any, order: int) -> Any:
    import numpy

    safe = numpy.where(x > 0, x, 1.0)[..., None]
    t, w = _nodes(0.0, pi, 8)
    value = (numpy.sin(safe * numpy.sin(t) - order * t) * w).sum(-1) / pi
    t, w = _nodes(0.0, 20.0, 80)
    growth = numpy.exp(order * t) + (-1) ** order * numpy.exp(-order * t)
    value = value - (growth * numpy.exp(-safe * numpy.sinh(t)) * w).sum(-1) / pi
    return _positive(x, value, -numpy.inf)


def bessel_y0(x: Any) -> Any:
    """Y0(x)."""
    return _bessel_y(x, 0)


def bessel_y1(x: Any) -> Any:
    """Y1(x)."""
    return _bessel_y(x, 1)


def erfcx(x: Any) -> Any:
    """exp(x^2) erfc(x)."""
    import numpy

    size = numpy.abs(numpy.asarray(x))[..., None]
    t, w = _nodes(0.0, 9.0, 60)
    # in u = t (1 + x): the integrand's width hardly depends on x
    scale = 1 + size
    right = 2 / pi**0.5 * (numpy.exp(-((t / scale) ** 2) - 2 * size / scale * t) * w).sum(-1)
    wide, weight = _nodes(9.0, 60.0, 60)
    right = right + 2 / pi**0.5 * (numpy.exp(-((wide / scale) ** 2) - 2 * size / scale * wide) * weight).sum(-1)
    right = numpy.where(numpy.isinf(size[..., 0]), 0.0, right / scale[..., 0])
    return numpy.where(x < 0, 2 * numpy.exp(numpy.asarray(x) ** 2) - right, right)
