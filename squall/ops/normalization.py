"""Normalization over trailing dimensions: layer_norm and rms_norm; and the parts that `channel_normalization` shares.

Each has its gradient as one fused formula: with h = (x - mean) / std and d the gradient of h, the operand's is
(d - mean(d) - h * mean(d * h)) / std. Statistics are not saved: they are computed again from x by the same expressions,
which merge with the forward pass where both are in one program.
"""

from __future__ import annotations

from typing import Any

from squall.base.errors import ShapeError
from squall.ir.families import check_float, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Op, Sample, declare, ops
from squall.ops.common import as_dtype_of, widen, widened
from squall.ops.movement import sum_to
from squall.ops.samples import floats
from squall.ops.statistics import average


def standardized(x: Any, dims: tuple, eps: float) -> tuple:
    """(x - mean, 1 / sqrt(variance + eps), mean, variance), the last three kept over dims."""
    mean = average(x, dims, True)
    centred = ops.sub(x, mean)
    variance = average(ops.mul(centred, centred), dims, True)
    return centred, ops.rsqrt(ops.add(variance, eps)), mean, variance


def through_rows(d: Any, h: Any, scale: Any, dims: tuple) -> Any:
    """The derivative of standardizing: symmetric, so it takes gradients back and tangents forward."""
    inner = ops.sub(d, average(d, dims, True))
    return ops.mul(scale, ops.sub(inner, ops.mul(h, average(ops.mul(d, h), dims, True))))


def _through_scale(d: Any, h: Any, scale: Any, dims: tuple) -> Any:
    """The derivative of dividing by the root mean square."""
    return ops.mul(scale, ops.sub(d, ops.mul(h, average(ops.mul(d, h), dims, True))))


def affine(h: Any, parameters: tuple) -> Any:
    """h * weight + bias, as far as they are given; parameters broadcast against h and take its dtype."""
    if parameters:
        h = ops.mul(h, as_dtype_of(parameters[0], h.dtype))
    return ops.add(h, as_dtype_of(parameters[1], h.dtype)) if len(parameters) > 1 else h


def _parameter_gradients(context: Context, g: Any, h: Any, parameters: tuple) -> tuple:
    """Gradients of weight and bias, shaped as the parameters broadcast."""
    made: list = [None] * len(parameters)
    for i, (parameter, needed) in enumerate(zip(parameters, context.needs[1:], strict=True)):
        if needed:
            made[i] = sum_to(g if i else ops.mul(g, h), tuple(parameter.shape))
    return tuple(made)


def _needed_inputs(needs: tuple[bool, ...]) -> tuple:
    return (0, 1) if len(needs) > 1 else (0,)


# ---------------------------------------------------------------- layer_norm, rms_norm
def _trailing(shape: tuple, rank: int) -> tuple[int, ...]:
    return tuple(range(len(shape) - rank, len(shape)))


def _trailing_type(name: str) -> Any:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        x, rank = types[0], attrs[0]
        check_float(name, x.dtype)
        if not 1 <= rank <= len(x.shape):
            raise ShapeError(f"{name}: rank {rank} of the normalized dimensions does not fit shape {tuple(x.shape)}")
        for parameter in types[1:]:
            if tuple(parameter.shape) != tuple(x.shape[-rank:]):
                raise ShapeError(f"{name}: weight and bias must have shape {tuple(x.shape[-rank:])}, not "
                                 f"{tuple(parameter.shape)}")
        return x

    return infer


def _trailing_batch(op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    x, parameters = operands[0], operands[1:]
    if not any(batched[1:]):
        return op(*operands, **op.named(attrs)), True
    out = op(x, **op.named(attrs))
    rank = len(out.shape) + (not batched[0])
    aligned = []
    for parameter, is_batched in zip(parameters, batched[1:], strict=True):
        shape = tuple(parameter.shape)
        ones = (1,) * (rank - len(shape))
        aligned.append(ops.reshape(parameter, shape=(size, *ones, *shape[1:])) if is_batched else parameter)
    return affine(out, tuple(aligned)), True


def _trailing_samples(parameters: int) -> list[Sample]:
    import numpy

    cases = [((3, 4), 1), ((2, 3, 5), 1), ((2, 3, 5), 2), ((7,), 1), ((0, 3), 1), ((2, 130), 1), ((4, 1), 1)]
    out = []
    for i, (shape, rank) in enumerate(cases):
        operands = [floats(shape, i), floats(shape[-rank:], i + 10, 0.5, 1.5), floats(shape[-rank:], i + 20)]
        for count in range(parameters + 1) if i < 2 else (parameters,):
            out.append(Sample(tuple(operands[: count + 1]), {"rank": rank, "eps": 1e-5},
                              f"{shape} with {count} parameters"))
    offset = floats((2, 6), 3) * 1e-2 + 1e3
    special = numpy.array([[1.0, 1.0, 1.0], [numpy.inf, 1.0, 0.0], [numpy.nan, 1.0, 2.0]])
    return [*out, Sample((offset,), {"rank": 1, "eps": 1e-5}, "large mean"),
            Sample((special,), {"rank": 1, "eps": 1e-5}, "special values")]


def _layer_norm_expand(x: Any, *parameters: Any, rank: int, eps: float) -> Any:
    centred, scale, _, _ = standardized(widen(x), _trailing(x.shape, rank), eps)
    return as_dtype_of(affine(ops.mul(centred, scale), parameters), x.dtype)


@widened
def _layer_norm_grad(context: Context, g: Any) -> tuple:
    x, (rank, eps) = context.inputs[0], context.attrs
    dims = _trailing(x.shape, rank)
    centred, scale, _, _ = standardized(x, dims, eps)
    h = ops.mul(centred, scale)
    d = affine(g, context.inputs[1:2]) if len(context.inputs) > 1 else g
    over_x = through_rows(d, h, scale, dims) if context.needs[0] else None
    return over_x, *_parameter_gradients(context, g, h, context.types[1:])


def _layer_norm_tangent(context: Context, t: Any, *parameter_tangents: Any) -> Any:
    x, (rank, eps) = context.inputs[0], context.attrs
    dims = _trailing(x.shape, rank)
    centred, scale, _, _ = standardized(x, dims, eps)
    return affine_tangent(context, t, parameter_tangents, ops.mul(centred, scale), scale, dims, through_rows)


def affine_tangent(context: Context, t: Any, others: tuple, h: Any, scale: Any, dims: tuple, through: Any) -> Any:
    """The tangent of `through` rows times weight plus bias; None tangents are zero."""
    parts = []
    if t is not None:
        parts.append(affine(through(t, h, scale, dims), context.inputs[1:2]))
    if others and others[0] is not None:
        parts.append(ops.mul(h, others[0]))
    if len(others) > 1 and others[1] is not None:
        parts.append(ops.expand(others[1], shape=tuple(h.shape)))
    total = parts[0]
    for part in parts[1:]:
        total = ops.add(total, part)
    return total


def standard_reference(x: Any, dims: tuple, eps: float) -> Any:
    """The reference of standardizing over dims."""
    mean, var = x.mean(axis=dims, keepdims=True), x.var(axis=dims, keepdims=True)
    return (x - mean) / (var + eps) ** 0.5


def _layer_norm_reference(x: Any, *parameters: Any, rank: int, eps: float) -> Any:
    return affine_reference(standard_reference(x, _trailing(x.shape, rank), eps), parameters)


def affine_reference(h: Any, parameters: tuple) -> Any:
    """The reference of an optional weight and bias that broadcast."""
    h = h * parameters[0] if parameters else h
    return h + parameters[1] if len(parameters) > 1 else h


layer_norm = declare(
    "layer_norm", opaque, attributes=("rank", "eps"), defaults={"eps": 1e-5}, infer=_trailing_type("layer_norm"),
    saves=_needed_inputs, grad=_layer_norm_grad, jvp=_layer_norm_tangent, vmap=_trailing_batch, promotion="none",
    lowering=Decompose(_layer_norm_expand), reference=_layer_norm_reference, samples=lambda: _trailing_samples(2),
    doc="(x - mean) / sqrt(variance + eps) over the last `rank` dimensions, times an optional weight, plus an "
    "optional bias. "
    "The variance is taken in a second pass; 16-bit operands are computed in float32.")


def _mean_square_scale(x: Any, dims: tuple, eps: float) -> Any:
    return ops.rsqrt(ops.add(average(ops.mul(x, x), dims, True), eps))


def _rms_norm_expand(x: Any, *parameters: Any, rank: int, eps: float) -> Any:
    wide = widen(x)
    scaled = ops.mul(wide, _mean_square_scale(wide, _trailing(x.shape, rank), eps))
    return as_dtype_of(affine(scaled, parameters), x.dtype)


@widened
def _rms_norm_grad(context: Context, g: Any) -> tuple:
    x, (rank, eps) = context.inputs[0], context.attrs
    dims = _trailing(x.shape, rank)
    scale = _mean_square_scale(x, dims, eps)
    h = ops.mul(x, scale)
    over_x = _through_scale(affine(g, context.inputs[1:2]), h, scale, dims) if context.needs[0] else None
    return over_x, *_parameter_gradients(context, g, h, context.types[1:])


def _rms_norm_tangent(context: Context, t: Any, *parameter_tangents: Any) -> Any:
    x, (rank, eps) = context.inputs[0], context.attrs
    dims = _trailing(x.shape, rank)
    scale = _mean_square_scale(x, dims, eps)
    return affine_tangent(context, t, parameter_tangents, ops.mul(x, scale), scale, dims, _through_scale)


def _rms_norm_reference(x: Any, *parameters: Any, rank: int, eps: float) -> Any:
    scale = ((x * x).mean(axis=_trailing(x.shape, rank), keepdims=True) + eps) ** 0.5
    return affine_reference(x / scale, parameters)


rms_norm = declare(
    "rms_norm", opaque, attributes=("rank", "eps"), defaults={"eps": 1e-6}, infer=_trailing_type("rms_norm"),
    saves=_needed_inputs, grad=_rms_norm_grad, jvp=_rms_norm_tangent, vmap=_trailing_batch, promotion="none",
    lowering=Decompose(_rms_norm_expand), reference=_rms_norm_reference, samples=lambda: _trailing_samples(1),
    doc="x / sqrt(mean(x^2) + eps) over the last `rank` dimensions, times an optional weight.")

