"""The regularised incomplete gamma functions, as a host step: a series below, a continued fraction above."""

from __future__ import annotations

from typing import Any

from squall.base.shapes import broadcast
from squall.ir.families import check_float, elementwise, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Library, Sample, declare, ops
from squall.ops.common import widened
from squall.ops.movement import sum_to
from squall.ops.samples import floats

_ROUNDS = 400


def _type(types: tuple, attrs: tuple) -> TensorType:
    a, x = types
    check_float("gammainc", a.dtype)
    return TensorType(broadcast(tuple(a.shape), tuple(x.shape), "gammainc"), a.dtype, a.device)


def _log_gamma(a: Any) -> Any:
    import numpy

    return ops.lgamma.reference(numpy.asarray(a))


def _gammainc(a: Any, x: Any, upper: bool) -> Any:
    import numpy

    kind = numpy.result_type(a, x)
    a, x = numpy.broadcast_arrays(numpy.asarray(a, numpy.float64), numpy.asarray(x, numpy.float64))
    valid = (a > 0) & (x > 0) & numpy.isfinite(a) & numpy.isfinite(x)
    p, y = numpy.where(valid, a, 1.0), numpy.where(valid, x, 1.0)
    with numpy.errstate(all="ignore"):
        front = numpy.exp(p * numpy.log(y) - y - _log_gamma(p))
        term = total = 1 / p
        for k in range(1, _ROUNDS):
            term = term * y / (p + k)
            total = total + term
        lower = front * total
        tail = numpy.zeros_like(y)  # Legendre's continued fraction, from its end
        for k in range(_ROUNDS, 0, -1):
            tail = k * (k - p) / (y + 2 * k + 1 - p - tail)
        higher = front / (y + 1 - p - tail)
        small = y < p + 1
        out = numpy.where(small, 1 - lower, higher) if upper else numpy.where(small, lower, 1 - higher)
    at_zero, at_end = (1.0, 0.0) if upper else (0.0, 1.0)
    out = numpy.where(x == 0, at_zero, numpy.where(numpy.isposinf(x), at_end, out))
    out = numpy.where((a == 0) & (x > 0), at_end, out)
    out = numpy.where((a < 0) | (x < 0) | ((a == 0) & (x == 0)) | numpy.isnan(a) | numpy.isnan(x), numpy.nan, out)
    return numpy.asarray(numpy.where(numpy.isposinf(a) & numpy.isfinite(x), at_zero, out), kind)


def _slope(context: Context) -> Any:
    """The derivative by x: x^(a-1) exp(-x) / gamma(a), negative of the upper function."""
    a, x = context.inputs
    logs = ops.sub(ops.sub(ops.mul(ops.sub(a, 1.0), ops.log(x)), x), ops.lgamma(a))
    return ops.neg(ops.exp(logs)) if context.attrs[0] else ops.exp(logs)


@widened
def _grad(context: Context, g: Any) -> tuple:
    if not context.needs[1]:
        return None, None
    return None, sum_to(ops.mul(g, _slope(context)), tuple(context.types[1].shape))


def _samples() -> list[Sample]:
    import numpy

    cases = [((3, 4), (3, 4)), ((), ()), ((2, 1), (3,)), ((0, 2), (2,))]
    special = numpy.array([0.0, 0.5, 3.0, 30.0, numpy.inf, numpy.nan, -1.0])
    return [Sample((floats(a, 1, 0.3, 5.0), floats(b, 2, 0.2, 8.0)), {"upper": u}, f"{a} with {b}")
            for a, b in cases for u in (False, True)] + [
        Sample((special[:, None], special[None, :]), {"upper": u}, "special values") for u in (False, True)]


gammainc = declare(
    "gammainc", opaque, attributes=("upper",), infer=_type, saves=(0, 1), grad=_grad, promotion="float",
    jvp=lambda context, ta, tx: None if tx is None else ops.mul(tx, _slope(context)), lowering=Library(_gammainc),
    vmap=elementwise.batch, reference=_gammainc, samples=_samples,
    doc="The regularised lower, or upper, incomplete gamma function of a and x. The gradient is that of x only.")
