"""Bessel functions of orders 0 and 1, plain, modified and scaled, and the scaled complementary error function.

Each is a Chebyshev series near 0 and another far from it (`chebyshev_series.py`), evaluated by Clenshaw's recurrence.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Op, Sample, Scalar, declare, ops
from squall.ops import bessel_reference as reference
from squall.ops import chebyshev_series as series
from squall.ops.clenshaw import chebyshev, inverted, mapped, within
from squall.ops.common import number, widened
from squall.ops.samples import unary_samples


def _negated(b: Builder, x: Reg, value: Reg) -> Reg:
    """The value with the sign of x: for odd functions of |x|."""
    return b.select(b.compare("lt", x, b.const(0.0, x.type)), b.op("neg", value), value)


# ---------------------------------------------------------------- modified, of the first kind
def _scaled_i(b: Builder, x: Reg, order: int) -> Reg:
    """exp(-|x|) I(|x|)."""
    size = b.op("abs", x)
    near_series, far_series = ((series.I0_NEAR, series.I0_FAR), (series.I1_NEAR, series.I1_FAR))[order]
    near_at, far_at = within(b, size, None, 8.0), within(b, size, 8.0, None)
    near = chebyshev(b, near_series, mapped(b, near_at, 0.25))
    near = b.mul(near, near_at) if order else near
    far = b.op("div", chebyshev(b, far_series, inverted(b, far_at, 16.0)), b.op("sqrt", far_at))
    return b.select(b.compare("le", size, b.const(8.0, x.type)), near, far)


def _modified_i(order: int, scaled: bool) -> Callable:
    def build(b: Builder, attrs: tuple, x: Reg) -> Reg:
        value = _scaled_i(b, x, order)
        if not scaled:
            half = b.op("exp", b.mul(b.op("abs", x), b.const(0.5, x.type)))
            value = b.mul(b.mul(value, half), half)
        return _negated(b, x, value) if order else value

    return build


def _over_x(value: Any, x: Any, at_zero: float) -> Any:
    """value / x; at 0 its limit."""
    flat = ops.eq(x, 0.0)
    return ops.where(flat, number(at_zero, x), ops.div(value, ops.where(flat, number(1.0, x), x)))


def _i1_slope(context: Context, g: Any) -> Any:
    x, out = context.inputs[0], context.output
    return ops.mul(g, ops.sub(ops.i0(x), _over_x(out, x, 0.5)))


def _i1e_slope(context: Context, g: Any) -> Any:
    x, out = context.inputs[0], context.output
    inner = ops.add(ops.mul(out, ops.sign(x)), _over_x(out, x, 0.5))
    return ops.mul(g, ops.sub(ops.i0e(x), inner))


def _i0e_slope(context: Context, g: Any) -> Any:
    x, out = context.inputs[0], context.output
    return ops.mul(g, ops.sub(ops.i1e(x), ops.mul(ops.sign(x), out)))


def _declared(name: str, build: Callable, grad: Callable, doc: str, low: float = -3.0, high: float = 3.0,
              more: tuple = (), saves: tuple = (0, "out")) -> Op:
    def samples() -> list[Sample]:
        import numpy

        return [*unary_samples(low, high, special=False), Sample((numpy.array(more),), {}, "special values")]

    return declare(name, elementwise, promotion="float", saves=saves, grad=widened(grad), lowering=Scalar(build),
                   reference=getattr(reference, name), samples=samples, doc=doc)


_FAR = (0.0, -0.0, 7.5, 8.0, 8.5, -12.0, 60.0, -60.0, float("nan"))
i0 = _declared("i0", _modified_i(0, False), lambda c, g: ops.mul(g, ops.i1(c.inputs[0])),
               "The modified Bessel function of the first kind of order 0.", more=_FAR, saves=(0,))
i0e = _declared("i0e", _modified_i(0, True), _i0e_slope, "exp(-|x|) i0(x), which does not overflow.", more=_FAR)
i1 = _declared("i1", _modified_i(1, False), _i1_slope, "The modified Bessel function of the first kind of order 1.",
               more=_FAR)
i1e = _declared("i1e", _modified_i(1, True), _i1e_slope, "exp(-|x|) i1(x), which does not overflow.", more=_FAR)


# ---------------------------------------------------------------- modified, of the second kind
def _modified_k(order: int, scaled: bool) -> Callable:
    def build(b: Builder, attrs: tuple, x: Reg) -> Reg:
        near_series, far_series = ((series.K0_NEAR, series.K0_FAR), (series.K1_NEAR, series.K1_FAR))[order]
        near_at, far_at = within(b, x, None, 2.0), within(b, x, 2.0, None)
        near = chebyshev(b, near_series, mapped(b, b.mul(near_at, near_at), 0.5))
        growing = b.mul(_scaled_i(b, near_at, order), b.op("exp", near_at))
        logarithm = b.mul(b.op("log", b.mul(near_at, b.const(0.5, x.type))), growing)
        near = b.add(b.op("div", near, near_at), logarithm) if order else b.sub(near, logarithm)
        far = b.op("div", chebyshev(b, far_series, inverted(b, far_at, 4.0)), b.op("sqrt", far_at))
        if scaled:
            near = b.mul(near, b.op("exp", near_at))
        else:
            far = b.mul(far, b.op("exp", b.op("neg", far_at)))
        value = b.select(b.compare("le", x, b.const(2.0, x.type)), near, far)
        zero = b.const(0.0, x.type)
        value = b.select(b.compare("eq", x, zero), b.const(float("inf"), x.type), value)
        return b.select(b.compare("lt", x, zero), b.const(float("nan"), x.type), value)

    return build


_POSITIVE = (0.0, 0.1, 1.9, 2.0, 2.1, 8.5, 30.0, -1.0, float("nan"))
modified_bessel_k0 = _declared(
    "modified_bessel_k0", _modified_k(0, False),
    lambda c, g: ops.neg(ops.mul(g, ops.modified_bessel_k1(c.inputs[0]))),
    "The modified Bessel function of the second kind of order 0; infinite at 0, NaN below.", 0.3, 6.0, _POSITIVE, (0,))
modified_bessel_k1 = _declared(
    "modified_bessel_k1", _modified_k(1, False),
    lambda c, g: ops.neg(ops.mul(g, ops.add(ops.modified_bessel_k0(c.inputs[0]), ops.div(c.output, c.inputs[0])))),
    "The modified Bessel function of the second kind of order 1; infinite at 0, NaN below.", 0.3, 6.0, _POSITIVE)
scaled_modified_bessel_k0 = _declared(
    "scaled_modified_bessel_k0", _modified_k(0, True),
    lambda c, g: ops.mul(g, ops.sub(c.output, ops.scaled_modified_bessel_k1(c.inputs[0]))),
    "exp(x) modified_bessel_k0(x), which does not vanish.", 0.3, 6.0, _POSITIVE)
scaled_modified_bessel_k1 = _declared(
    "scaled_modified_bessel_k1", _modified_k(1, True),
    lambda c, g: ops.mul(g, ops.sub(ops.sub(c.output, ops.scaled_modified_bessel_k0(c.inputs[0])),
                                    ops.div(c.output, c.inputs[0]))),
    "exp(x) modified_bessel_k1(x), which does not vanish.", 0.3, 6.0, _POSITIVE)


# ---------------------------------------------------------------- plain
def _waves(b: Builder, x: Reg, order: int, sine: bool) -> Reg:
    """J, or with `sine` Y, of x at least 8, by amplitude and phase."""
    cosines, sines = ((series.P0_FAR, series.Q0_FAR), (series.P1_FAR, series.Q1_FAR))[order]
    inverse = b.op("reciprocal", x)
    at = mapped(b, b.mul(inverse, inverse), 128.0)
    p, q = chebyshev(b, cosines, at), b.mul(chebyshev(b, sines, at), inverse)
    phase = b.sub(x, b.const(pi / 4 + order * pi / 2, x.type))
    c, s = b.op("cos", phase), b.op("sin", phase)
    wave = b.add(b.mul(p, s), b.mul(q, c)) if sine else b.sub(b.mul(p, c), b.mul(q, s))
    return b.mul(wave, b.op("sqrt", b.mul(inverse, b.const(2 / pi, x.type))))


def _near_j(b: Builder, x: Reg, order: int) -> Reg:
    value = chebyshev(b, (series.J0_NEAR, series.J1_NEAR)[order], mapped(b, b.mul(x, x), 1 / 32))
    return b.mul(value, x) if order else value


def _bessel_j(order: int) -> Callable:
    def build(b: Builder, attrs: tuple, x: Reg) -> Reg:
        size = b.op("abs", x)
        near = _near_j(b, within(b, size, None, 8.0), order)
        far = _waves(b, within(b, size, 8.0, None), order, False)
        value = b.select(b.compare("le", size, b.const(8.0, x.type)), near, far)
        return _negated(b, x, value) if order else value

    return build


def _bessel_y(order: int) -> Callable:
    def build(b: Builder, attrs: tuple, x: Reg) -> Reg:
        at = within(b, x, None, 8.0)
        near = chebyshev(b, (series.Y0_NEAR, series.Y1_NEAR)[order], mapped(b, b.mul(at, at), 1 / 32))
        near = b.op("div", near, at) if order else near
        logarithm = b.mul(b.op("log", b.mul(at, b.const(0.5, x.type))), b.const(2 / pi, x.type))
        near = b.add(near, b.mul(logarithm, _near_j(b, at, order)))
        far = _waves(b, within(b, x, 8.0, None), order, True)
        value = b.select(b.compare("le", x, b.const(8.0, x.type)), near, far)
        zero = b.const(0.0, x.type)
        value = b.select(b.compare("eq", x, zero), b.const(float("-inf"), x.type), value)
        return b.select(b.compare("lt", x, zero), b.const(float("nan"), x.type), value)

    return build


bessel_j0 = _declared("bessel_j0", _bessel_j(0), lambda c, g: ops.neg(ops.mul(g, ops.bessel_j1(c.inputs[0]))),
                      "The Bessel function of the first kind of order 0.", more=_FAR, saves=(0,))
bessel_j1 = _declared(
    "bessel_j1", _bessel_j(1),
    lambda c, g: ops.mul(g, ops.sub(ops.bessel_j0(c.inputs[0]), _over_x(c.output, c.inputs[0], 0.5))),
    "The Bessel function of the first kind of order 1.", more=_FAR)
bessel_y0 = _declared("bessel_y0", _bessel_y(0), lambda c, g: ops.neg(ops.mul(g, ops.bessel_y1(c.inputs[0]))),
                      "The Bessel function of the second kind of order 0; -inf at 0, NaN below.", 0.3, 6.0, _POSITIVE,
                      (0,))
bessel_y1 = _declared(
    "bessel_y1", _bessel_y(1),
    lambda c, g: ops.mul(g, ops.sub(ops.bessel_y0(c.inputs[0]), ops.div(c.output, c.inputs[0]))),
    "The Bessel function of the second kind of order 1; -inf at 0, NaN below.", 0.3, 6.0, _POSITIVE)


# ---------------------------------------------------------------- scaled complementary error function
def _erfcx(b: Builder, attrs: tuple, x: Reg) -> Reg:
    size = b.op("abs", x)
    four = b.const(4.0, x.type)
    at = b.sub(b.op("div", b.const(8.0, x.type), b.add(four, size)), b.const(1.0, x.type))
    right = chebyshev(b, series.ERFCX, at)
    far = b.op("div", b.const(1 / sqrt(pi), x.type), size)  # where the series ends in its last place
    right = b.select(b.compare("gt", size, b.const(1e8, x.type)), far, right)
    left = b.sub(b.mul(b.const(2.0, x.type), b.op("exp", b.mul(x, x))), right)
    return b.select(b.compare("lt", x, b.const(0.0, x.type)), left, right)


def _erfcx_grad(context: Context, g: Any) -> Any:
    return ops.mul(g, ops.sub(ops.mul(ops.mul(context.inputs[0], context.output), 2.0), 2 / sqrt(pi)))


erfcx = _declared("erfcx", _erfcx, _erfcx_grad, "exp(x^2) erfc(x), which does not vanish for large x.",
                  more=(0.0, 5.0, 30.0, 1e9, float("inf"), -4.0, float("nan")))
