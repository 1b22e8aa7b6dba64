"""Piecewise linear and quadratic activations: hardtanh (relu6 too), hardsigmoid, hardswish."""

from __future__ import annotations

from typing import Any

from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.op import Context, Scalar, declare, ops
from squall.ops.arithmetic import only_float
from squall.ops.common import unmasked, widened
from squall.ops.samples import unary_samples


def _hardtanh_grad(context: Context, g: Any) -> Any:
    x, (low, high) = context.inputs[0], context.attrs
    return unmasked(ops.logical_or(ops.le(x, low), ops.ge(x, high)), g)


def _hardtanh(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.op("min", b.const(attrs[1], x.type), b.op("max", b.const(attrs[0], x.type), x))


def _hardtanh_reference(x: Any, low: float, high: float) -> Any:
    import numpy

    return numpy.clip(x, numpy.asarray(low, x.dtype), numpy.asarray(high, x.dtype))


hardtanh = declare(
    "hardtanh", elementwise, dtype=only_float, attributes=("low", "high"), defaults={"low": -1.0, "high": 1.0},
    saves=(0,),
    grad=_hardtanh_grad, lowering=Scalar(_hardtanh), reference=_hardtanh_reference,
    samples=lambda: [*unary_samples(), *unary_samples(attributes={"low": 0.0, "high": 6.0})],
    doc="x limited to [low, high]; the gradient at and beyond the limits is 0. With 0 and 6 it is relu6.")


def _hard_gate(b: Builder, x: Reg) -> Reg:
    """min(max(x + 3, 0), 6)."""
    lifted = b.add(x, b.const(3.0, x.type))
    return b.op("min", b.const(6.0, x.type), b.op("max", b.const(0.0, x.type), lifted))


def _inside(x: Any) -> Any:
    return ops.logical_and(ops.gt(x, -3.0), ops.lt(x, 3.0))


def _hardsigmoid_reference(x: Any) -> Any:
    import numpy

    return numpy.clip(x + 3, 0, 6) / 6


hardsigmoid = declare(
    "hardsigmoid", elementwise, dtype=only_float, saves=(0,), reference=_hardsigmoid_reference,
    samples=lambda: unary_samples(-5.0, 5.0),
    grad=widened(lambda context, g: unmasked(ops.logical_not(_inside(context.inputs[0])), ops.div(g, 6.0))),
    lowering=Scalar(lambda b, attrs, x: b.op("div", _hard_gate(b, x), b.const(6.0, x.type))),
    doc="min(max(x + 3, 0), 6) / 6; the gradient at -3 and 3 is 0.")


@widened
def _hardswish_grad(context: Context, g: Any) -> Any:
    x = context.inputs[0]
    middle = ops.mul(g, ops.add(ops.div(x, 3.0), 0.5))
    return unmasked(ops.le(x, -3.0), ops.where(ops.lt(x, 3.0), middle, g))


hardswish = declare(
    "hardswish", elementwise, dtype=only_float, saves=(0,), grad=_hardswish_grad,
    reference=lambda x: x * _hardsigmoid_reference(x),
    samples=lambda: unary_samples(-5.0, 5.0),
    lowering=Scalar(lambda b, attrs, x: b.op("div", b.mul(x, _hard_gate(b, x)), b.const(6.0, x.type))),
    doc="x * min(max(x + 3, 0), 6) / 6; the gradient is 0 at -3 and 1 at 3.")
