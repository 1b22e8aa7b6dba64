"""Logarithms of probabilities and odds: log_ndtr, logit, entr."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from squall.ir.families import elementwise
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.bessel_reference import erfcx as erfcx_reference
from squall.ops.common import number, widened, widened_expand
from squall.ops.samples import unary_samples
from squall.ops.special_reference import erfc_reference


# ---------------------------------------------------------------- log_ndtr
def _log_ndtr(x: Any) -> Any:
    scaled = ops.mul(x, sqrt(0.5))
    low = ops.minimum(scaled, 0.0)  # keeps erfcx finite where it is not used
    tail = ops.sub(ops.log(ops.mul(ops.erfcx(ops.neg(low)), 0.5)), ops.mul(low, low))
    body = ops.log1p(ops.mul(ops.erfc(scaled), -0.5))
    return ops.where(ops.lt(x, -1.0), tail, body)


@widened
def _log_ndtr_grad(context: Context, g: Any) -> Any:
    return ops.mul(g, ops.div(sqrt(2 / pi), ops.erfcx(ops.mul(context.inputs[0], -sqrt(0.5)))))


def _log_ndtr_reference(x: Any) -> Any:
    import numpy

    scaled = x * sqrt(0.5)
    tail = numpy.log(erfcx_reference(-numpy.minimum(scaled, 0.0)) / 2) - scaled**2
    return numpy.where(x < -1, tail, numpy.log1p(-erfc_reference(scaled) / 2))


def _log_ndtr_samples() -> list[Sample]:
    import numpy

    special = numpy.array([0.0, -1.0, -1.1, -8.0, -30.0, 9.0, 40.0, numpy.inf, numpy.nan])
    return [*unary_samples(-6.0, 3.0, special=False), Sample((special,), {}, "special values")]


log_ndtr = declare(
    "log_ndtr", elementwise, promotion="float", saves=(0,), grad=_log_ndtr_grad,
    lowering=Decompose(widened_expand(_log_ndtr)), reference=_log_ndtr_reference, samples=_log_ndtr_samples,
    doc="The logarithm of the area below the standard normal density left of x, exact far in the left tail.")


# ---------------------------------------------------------------- logit
def _logit(x: Any) -> Any:
    return ops.log(ops.div(x, ops.sub(1.0, x)))


@widened
def _logit_grad(context: Context, g: Any) -> Any:
    x = context.inputs[0]
    outside = ops.logical_or(ops.lt(x, 0.0), ops.gt(x, 1.0))
    slope = ops.div(g, ops.mul(x, ops.sub(1.0, x)))
    return ops.where(outside, number(float("nan"), g), slope)


def _logit_reference(x: Any) -> Any:
    import numpy

    return numpy.log(x / (1 - x))


logit = declare(
    "logit", elementwise, promotion="float", saves=(0,), grad=_logit_grad, lowering=Decompose(widened_expand(_logit)),
    reference=_logit_reference, samples=lambda: unary_samples(0.05, 0.95),
    doc="log(x / (1 - x)), the inverse of sigmoid; infinite at 0 and 1, NaN beyond.")


# ---------------------------------------------------------------- entr
def _entr(x: Any) -> Any:
    product = ops.neg(ops.xlogy(x, ops.where(ops.gt(x, 0.0), x, number(1.0, x))))
    value = ops.where(ops.lt(x, 0.0), number(float("-inf"), x), product)
    return ops.where(ops.isnan(x), x, value)


def _entr_reference(x: Any) -> Any:
    import numpy

    safe = numpy.where(x > 0, x, 1.0)
    return numpy.where(numpy.isnan(x), x, numpy.where(x < 0, -numpy.inf, -numpy.maximum(x, 0) * numpy.log(safe)))


entr = declare(
    "entr", elementwise, promotion="float", saves=(0,), lowering=Decompose(widened_expand(_entr)),
    grad=widened(lambda context, g: ops.mul(g, ops.sub(-1.0, ops.log(context.inputs[0])))),
    reference=_entr_reference, samples=lambda: unary_samples(0.1, 3.0),
    doc="-x log(x): 0 at 0, -inf below.")
