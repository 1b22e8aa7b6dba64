"""Composite reductions: mean, var, std, logsumexp, norm."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from squall.base.shapes import reduced_shape
from squall.ir.families import check_float, reduce
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.common import count_over, number, unmasked, widened, widened_expand, zeros_like
from squall.ops.reduction import attributes_of, reduction_samples, restore


def _floating(name: str) -> Callable:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        (operand,) = types
        check_float(name, operand.dtype)
        return operand.with_shape(reduced_shape(operand.shape, attrs[0], attrs[1]))

    return infer


# ---------------------------------------------------------------- mean
def average(x: Any, dims: tuple, keepdim: bool) -> Any:
    """The sum over the count, in the operand's dtype."""
    return ops.div(ops.sum(x, dims=dims, keepdim=keepdim), count_over(tuple(x.shape), dims, x))


@widened
def _mean_grad(context: Context, g: Any) -> Any:
    shape, dims, keepdim = attributes_of(context)
    return restore(ops.div(g, count_over(shape, dims, g)), shape, dims, keepdim)


mean = declare(
    "mean", reduce, parts="composite", attributes=("dims", "keepdim"), infer=_floating("mean"), grad=_mean_grad,
    lowering=Decompose(widened_expand(average)), jvp=lambda context,
    t: ops.mean(t, **context.op.named(context.attrs)),
    reference=lambda x, dims, keepdim: x.mean(axis=dims, keepdims=keepdim), samples=reduction_samples,
    doc="Sum over dims divided by the count; NaN of none.")


# ---------------------------------------------------------------- var, std
def _freedom(shape: tuple, dims: tuple, correction: float, like: Any) -> Any:
    """Count minus correction, at least 0."""
    count = count_over(shape, dims, like)
    if isinstance(count, int):
        return max(count - correction, 0)
    return ops.maximum(ops.sub(count, correction), 0.0)


def _var_expand(x: Any, dims: tuple, keepdim: bool, correction: float) -> Any:
    centred = ops.sub(x, average(x, dims, True))
    total = ops.sum(ops.mul(centred, centred), dims=dims, keepdim=keepdim)
    return ops.div(total, _freedom(tuple(x.shape), dims, correction, x))


def _var_slope(context: Context, g: Any) -> Any:
    """The gradient of the variance: 2 / (n - correction) * (x - mean) * g."""
    x, (shape, dims, keepdim) = context.inputs[0], attributes_of(context)
    scaled = ops.div(ops.mul(g, 2.0), _freedom(shape, dims, context.attrs[2], g))
    return ops.mul(restore(scaled, shape, dims, keepdim), ops.sub(x, average(x, dims, True)))


def _var_tangent(context: Context, t: Any) -> Any:
    x, (dims, keepdim, correction) = context.inputs[0], context.attrs
    moved = ops.sum(ops.mul(t, ops.sub(x, average(x, dims, True))), dims=dims, keepdim=keepdim)
    return ops.div(ops.mul(moved, 2.0), _freedom(tuple(x.shape), dims, correction, x))


def _half_slope(context: Context, value: Any) -> Any:
    """value / (2 std), 0 where std is 0, as PyTorch has it."""
    return unmasked(ops.eq(context.output, 0.0), ops.div(value, ops.mul(context.output, 2.0)))


def _var_reference(x: Any, dims: tuple, keepdim: bool, correction: float) -> Any:
    import numpy

    centred = x - x.mean(axis=dims, keepdims=True)
    count = x.size / max(centred.mean(axis=dims).size, 1) if x.size else 0
    free = numpy.asarray(max(count - correction, 0), x.dtype)
    return numpy.asarray((centred * centred).sum(axis=dims, keepdims=keepdim) / free)


def _var_samples() -> list[Sample]:
    return [Sample(s.inputs, {**s.attributes, "correction": c}, s.name) for c in (1.0,
                                                                                  0.0) for s in reduction_samples()]


var = declare(
    "var", reduce, attributes=("dims", "keepdim", "correction"), defaults={"correction": 1.0}, infer=_floating("var"),
    saves=(0,), grad=widened(_var_slope), jvp=_var_tangent, lowering=Decompose(widened_expand(_var_expand)),
    reference=_var_reference, samples=_var_samples,
    doc="Variance over dims in two passes: the sum of (x - mean)^2 over max(n - correction, 0).")

std = declare(
    "std", reduce, attributes=("dims", "keepdim", "correction"), defaults={"correction": 1.0}, infer=_floating("std"),
    saves=(0, "out"), grad=widened(lambda context, g: _var_slope(context, _half_slope(context, g))),
    jvp=lambda context, t: _half_slope(context, _var_tangent(context, t)),
    lowering=Decompose(widened_expand(lambda x, **attributes: ops.sqrt(_var_expand(x, **attributes)))),
    reference=lambda x, **attributes: _var_reference(x, **attributes) ** 0.5, samples=_var_samples,
    doc="The square root of the variance; the gradient where it is 0 is 0.")


# ---------------------------------------------------------------- logsumexp
def _finite_peak(x: Any, dims: tuple) -> Any:
    """The largest over dims, kept; 0 where it is infinite, so that it can be subtracted, and of no elements."""
    if any(x.shape[d] == 0 for d in dims):
        return ops.sum(x, dims=dims, keepdim=True)
    peak = ops.amax(x, dims=dims, keepdim=True)
    return unmasked(ops.isinf(peak), peak)


def _logsumexp_expand(x: Any, dims: tuple, keepdim: bool) -> Any:
    peak = _finite_peak(x, dims)
    total = ops.sum(ops.exp(ops.sub(x, peak)), dims=dims, keepdim=keepdim)
    return ops.add(ops.log(total), peak if keepdim else ops.reshape(peak, shape=tuple(total.shape)))


def _logsumexp_weights(context: Context) -> Any:
    """The derivative by each element: exp(x - out)."""
    return ops.exp(ops.sub(context.inputs[0], restore(context.output, *attributes_of(context))))


@widened
def _logsumexp_grad(context: Context, g: Any) -> Any:
    return ops.mul(restore(g, *attributes_of(context)), _logsumexp_weights(context))


def _logsumexp_reference(x: Any, dims: tuple, keepdim: bool) -> Any:
    import numpy

    peak = numpy.max(x, axis=dims, keepdims=True)
    peak = numpy.where(numpy.isinf(peak), 0, peak)
    total = numpy.log(numpy.exp(x - peak).sum(axis=dims, keepdims=True)) + peak
    return total if keepdim else total.reshape(reduced_shape(x.shape, dims, False))


logsumexp = declare(
    "logsumexp", reduce, attributes=("dims", "keepdim"), infer=_floating("logsumexp"), saves=(0, "out"),
    grad=_logsumexp_grad, lowering=Decompose(widened_expand(_logsumexp_expand)), reference=_logsumexp_reference,
    jvp=lambda context, t: ops.sum(ops.mul(t, _logsumexp_weights(context)), **context.op.named(context.attrs)),
    samples=lambda: reduction_samples(empty=False),
    doc="log of the sum of exp over dims, with the largest subtracted first; rows of -inf give -inf.")


# ---------------------------------------------------------------- norm
def _norm_expand(x: Any, dims: tuple, keepdim: bool, ord: float) -> Any:
    def total(value: Any) -> Any:
        return ops.sum(value, dims=dims, keepdim=keepdim)

    if ord == 2:
        return ops.sqrt(total(ops.mul(x, x)))
    if ord == 1:
        return total(ops.abs(x))
    if ord == 0:
        return total(ops.cast(ops.ne(x, 0.0), dtype=x.dtype))
    if ord == inf:
        return ops.amax(ops.abs(x), dims=dims, keepdim=keepdim)
    if ord == -inf:
        return ops.amin(ops.abs(x), dims=dims, keepdim=keepdim)
    return ops.pow_scalar(total(ops.pow_scalar(ops.abs(x), exponent=ord)), exponent=1 / ord)


def _norm_direction(context: Context) -> Any:
    """The derivative by each element; 0 where the norm, or the element, is 0."""
    x, (shape, dims, keepdim), ord = context.inputs[0], attributes_of(context), context.attrs[2]
    if ord == 0:
        return zeros_like(x)
    if ord == 1:
        return ops.sign(x)
    length = restore(context.output, shape, dims, keepdim)
    if ord in (inf, -inf):
        hit = ops.cast(ops.eq(ops.abs(x), length), dtype=x.dtype)
        return ops.mul(ops.sign(x), ops.div(hit, ops.sum(hit, dims=dims, keepdim=True)))
    if ord == 2:
        return unmasked(ops.eq(length, 0.0), ops.div(x, length))
    # At 0 both factors may be infinite; 1 stands in for the operand there, and 0 for the result.
    flat = ops.eq(x, 0.0)
    safe = ops.where(flat, number(1.0, x), x)
    power = ops.mul(ops.sign(safe), ops.pow_scalar(ops.abs(safe), exponent=ord - 1))
    return unmasked(flat, ops.mul(power, ops.pow_scalar(length, exponent=1 - ord)))


@widened
def _norm_grad(context: Context, g: Any) -> Any:
    return ops.mul(restore(g, *attributes_of(context)), _norm_direction(context))


def _norm_tangent(context: Context, t: Any) -> Any:
    dims, keepdim, _ = context.attrs
    return ops.sum(ops.mul(t, _norm_direction(context)), dims=dims, keepdim=keepdim)


def _norm_reference(x: Any, dims: tuple, keepdim: bool, ord: float) -> Any:
    import numpy

    size = numpy.abs(x)
    if ord in (inf, -inf):
        return (size.max if ord > 0 else size.min)(axis=dims, keepdims=keepdim)
    if ord == 0:
        return (x != 0).sum(axis=dims, keepdims=keepdim).astype(x.dtype)
    return numpy.asarray((size**ord).sum(axis=dims, keepdims=keepdim) ** (1 / ord))


def _norm_samples() -> list[Sample]:
    import numpy

    out = [Sample(s.inputs, {**s.attributes, "ord": o}, s.name) for o in (2.0, 1.0, inf, -inf, 3.0, 0.5, 0.0)
           for s in reduction_samples(empty=False)[: 20 if o == 2 else 3]]
    zeros = numpy.array([[0.0, 0.0], [3.0, 4.0]])
    return out + [Sample((zeros,), {"dims": (1,), "keepdim": False, "ord": o}, "ties at zero") for o in (2.0, 3.0)]


norm = declare(
    "norm", reduce, attributes=("dims", "keepdim", "ord"), defaults={"ord": 2.0}, infer=_floating("norm"),
    saves=(0, "out"),
    grad=_norm_grad, jvp=_norm_tangent, lowering=Decompose(widened_expand(_norm_expand)), reference=_norm_reference,
    samples=_norm_samples,
    doc="The vector norm over dims: (sum |x|^ord)^(1/ord), the largest or smallest |x| for inf or -inf, the count of "
    "nonzeros for 0. The gradient at a zero vector is 0.")
