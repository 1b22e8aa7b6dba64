"""Airy's function Ai and its derivative, by Chebyshev series: near 0, decaying on the right, waves on the left."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Sample, Scalar, declare, ops
from squall.ops import airy_series as series
from squall.ops.clenshaw import chebyshev, inverted, mapped, within
from squall.ops.common import widened
from squall.ops.samples import unary_samples


def _stretched(b: Builder, x: Reg) -> Reg:
    """2/3 x^(3/2)."""
    return b.mul(b.mul(x, b.op("sqrt", x)), b.const(2 / 3, x.type))


def _fourth_root(b: Builder, x: Reg) -> Reg:
    return b.op("sqrt", b.op("sqrt", x))


def _decaying(b: Builder, x: Reg, slope: bool) -> Reg:
    """Of x from 1 on; 0 at infinity."""
    x = within(b, x, 1.0, 1e6)
    z = _stretched(b, x)
    value = chebyshev(b, series.SLOPE_DECAY if slope else series.DECAY, inverted(b, z, 4 / 3))
    value = b.mul(b.mul(value, b.op("exp", b.op("neg", z))), b.const(0.5 / sqrt(pi), x.type))
    root = _fourth_root(b, x)
    return b.op("neg", b.mul(value, root)) if slope else b.op("div", value, root)


def _waves(b: Builder, x: Reg, slope: bool) -> Reg:
    """Of -x from 3 on."""
    z = _stretched(b, x)
    inverse = b.op("reciprocal", z)
    at = mapped(b, b.mul(inverse, inverse), 24.0)
    cosine, sine = (series.SLOPE_COSINE, series.SLOPE_SINE) if slope else (series.COSINE, series.SINE)
    p, q = chebyshev(b, cosine, at), b.mul(chebyshev(b, sine, at), inverse)
    phase = b.add(z, b.const(pi / 4, x.type))
    c, s = b.op("cos", phase), b.op("sin", phase)
    root, scale = _fourth_root(b, x), b.const(1 / sqrt(pi), x.type)
    if slope:
        return b.op("neg", b.mul(b.mul(b.add(b.mul(c, p), b.mul(s, q)), scale), root))
    return b.op("div", b.mul(b.sub(b.mul(s, p), b.mul(c, q)), scale), root)


def _airy(slope: bool) -> Any:
    def build(b: Builder, attrs: tuple, x: Reg) -> Reg:
        half = b.const(0.5, x.type)
        inner = within(b, x, -3.0, 1.0)
        near = chebyshev(b, series.SLOPE_NEAR if slope else series.NEAR, b.add(b.mul(inner, half), half))
        left = _waves(b, within(b, b.op("neg", x), 3.0, None), slope)
        value = b.select(b.compare("lt", x, b.const(-3.0, x.type)), left, near)
        return b.select(b.compare("gt", x, b.const(1.0, x.type)), _decaying(b, x, slope), value)

    return build


# ---------------------------------------------------------------- the reference
_POINTS = 40000


def _integral(x: Any, slope: bool) -> Any:
    """The integral of exp(i (t^3 / 3 + x t)) / (2 pi) along a line above the real axis, by the trapezoid rule."""
    import numpy

    x = numpy.asarray(x, numpy.float64)
    flat = numpy.where(numpy.isfinite(x), x, 0.0).ravel()
    out = numpy.empty(flat.shape)
    for i, v in enumerate(flat):
        above = sqrt(v) if v > 1 else 1.0 if v > -4 else -4 / v
        end = sqrt(45 / above)
        t = numpy.linspace(-end, end, _POINTS + 1)
        phase = t**3 / 3 - t * above**2 + v * t
        wave = -t * numpy.sin(phase) - above * numpy.cos(phase) if slope else numpy.cos(phase)
        size = numpy.exp(above**3 / 3 - v * above)
        out[i] = size * (numpy.exp(-above * t**2) * wave).sum() * (end / _POINTS) / pi
    return numpy.where(numpy.isposinf(x), 0.0, numpy.where(numpy.isfinite(x), out.reshape(x.shape), numpy.nan))


def _samples() -> list[Sample]:
    import numpy

    special = (0.0, -0.0, 1.0, 1.1, -3.0, -3.1, 9.5, -12.0, float("inf"), float("nan"))
    return [*unary_samples(-5.0, 4.0, special=False), Sample((numpy.array(special),), {}, "special values")]


def _slope_grad(context: Context, g: Any) -> Any:
    return ops.mul(g, ops.mul(context.inputs[0], ops.airy_ai(context.inputs[0])))


airy_ai = declare(
    "airy_ai", elementwise, promotion="float", saves=(0,), lowering=Scalar(_airy(False)), samples=_samples,
    grad=widened(lambda context, g: ops.mul(g, ops.airy_ai_slope(context.inputs[0]))),
    reference=lambda x: _integral(x, False), doc="Airy's function Ai.")
airy_ai_slope = declare(
    "airy_ai_slope", elementwise, promotion="float", saves=(0,), lowering=Scalar(_airy(True)), samples=_samples,
    grad=widened(_slope_grad), reference=lambda x: _integral(x, True), doc="The derivative of Airy's function Ai.")
