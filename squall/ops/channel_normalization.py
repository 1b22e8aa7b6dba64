"""Normalization per channel: batch_norm over all dimensions but 1, group_norm over groups of channels."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float32
from squall.base.errors import ShapeError
from squall.ir.families import check_float, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.common import as_dtype_of, count_over, is_narrow, widen, widened
from squall.ops.correlation import from_last, is_last, to_last
from squall.ops.normalization import (
    affine,
    affine_reference,
    affine_tangent,
    standard_reference,
    standardized,
    through_rows,
)
from squall.ops.samples import floats


def _others(shape: tuple) -> tuple[int, ...]:
    """All dimensions but that of the channels."""
    return (0, *range(2, len(shape)))


def _spread(parameters: tuple, rank: int) -> tuple:
    """Values of shape [C] as [C, 1, ...], which broadcast against dimension 1; None stays."""
    return tuple(p if p is None else ops.reshape(p, shape=(p.shape[0],) + (1,) * (rank - 2)) for p in parameters)


def _check_channels(name: str, types: tuple) -> TensorType:
    x = types[0]
    check_float(name, x.dtype)
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: expected at least 2 dimensions, got shape {tuple(x.shape)}")
    for parameter in types[1:]:
        if tuple(parameter.shape) != (x.shape[1],):
            raise ShapeError(f"{name}: weight and bias must have shape {(x.shape[1],)}, not {tuple(parameter.shape)}")
    return x


def _saved(needs: tuple[bool, ...]) -> tuple:
    return (0, 1) if len(needs) > 1 else (0,)


def _channel_gradients(context: Context, g: Any, h: Any, dims: tuple) -> tuple:
    """Gradients of weight and bias, as far as they are given and needed; `dims` are those of all but the channels."""
    sums = (ops.sum(g if i else ops.mul(g, h), dims=dims, keepdim=True) if needed else None
            for i, needed in enumerate(context.needs[1:]))
    return tuple(s if s is None else ops.reshape(s, shape=(context.types[1].shape[0],)) for s in sums)


def _channel_samples(attributes: dict) -> list[Sample]:
    cases = [(4, 6), (2, 4, 3), (2, 6, 3, 2), (3, 2, 40)]
    out = []
    for i, shape in enumerate(cases):
        operands = (floats(shape, i), floats(shape[1:2], i + 10, 0.5, 1.5), floats(shape[1:2], i + 20))
        out += [Sample(operands[: n + 1], attributes,
                       f"{shape} with {n} parameters") for n in ((0, 1, 2) if i == 1 else (2,))]
    return out


# ---------------------------------------------------------------- batch_norm
class _Layout:
    """How batch_norm computes on values of a shape: with the channels last where `is_last` says so."""

    def __init__(self, shape: tuple):
        self.last = len(shape) > 2 and is_last(shape[1])
        self.rank = len(shape)
        self.dims = tuple(range(self.rank - 1)) if self.last else _others(shape)

    def turned(self, value: Any) -> Any:
        """A value in this layout; None stays."""
        return to_last(value) if self.last and value is not None else value

    def back(self, value: Any) -> Any:
        """The value as users see it."""
        return from_last(value) if self.last else value

    def spread(self, parameters: tuple) -> tuple:
        """Values of shape [C] so that they broadcast; None stays."""
        return parameters if self.last else _spread(parameters, self.rank)


def _batch_norm_type(types: tuple, attrs: tuple) -> tuple:
    x = _check_channels("batch_norm", types)
    statistic = TensorType((x.shape[1],), float32 if is_narrow(x.dtype) else x.dtype, x.device)
    return x, statistic, statistic


def _batch_norm_expand(x: Any, *parameters: Any, eps: float) -> tuple:
    layout, flat = _Layout(tuple(x.shape)), (x.shape[1],)
    centred, scale, mean, variance = standardized(layout.turned(widen(x)), layout.dims, eps)
    y = layout.back(affine(ops.mul(centred, scale), layout.spread(parameters)))
    return as_dtype_of(y, x.dtype), ops.reshape(mean, shape=flat), ops.reshape(variance, shape=flat)


@widened
def _batch_norm_grad(context: Context, g: tuple) -> tuple:
    layout, (eps,), (gy, gmean, gvar) = _Layout(tuple(context.types[0].shape)), context.attrs, g
    x, gy, dims = layout.turned(context.inputs[0]), layout.turned(gy), layout.dims
    centred, scale, _, _ = standardized(x, dims, eps)
    h = ops.mul(centred, scale)
    parameters: tuple = (None,) * (len(context.inputs) - 1)
    over_x = None
    if gy is not None:
        parameters = _channel_gradients(context, gy, h, dims)
        # A channel's weight is one factor of all its terms: outside of the sums, they are those of the parameters.
        over_x = through_rows(gy, h, affine(scale, layout.spread(context.inputs[1:2])), dims)
    if gmean is not None:
        share = ops.expand(layout.spread((ops.div(gmean, count_over(tuple(x.shape), dims, gmean)),))[0],
                           shape=tuple(x.shape))
        over_x = share if over_x is None else ops.add(over_x, share)
    if gvar is not None:
        slope = ops.div(ops.mul(gvar, 2.0), count_over(tuple(x.shape), dims, gvar))
        share = ops.mul(centred, layout.spread((slope,))[0])
        over_x = share if over_x is None else ops.add(over_x, share)
    return over_x if over_x is None else layout.back(over_x), *parameters


def _batch_norm_tangent(context: Context, t: Any, *parameter_tangents: Any) -> tuple:
    layout, (eps,) = _Layout(tuple(context.types[0].shape)), context.attrs
    x, t, dims = layout.turned(context.inputs[0]), layout.turned(t), layout.dims
    centred, scale, _, _ = standardized(x, dims, eps)
    spread = Context(context.op, context.attrs, context.types, context.out_type,
                     (x, *layout.spread(context.inputs[1:])),
                     None, context.needs)
    y = affine_tangent(spread, t, layout.spread(parameter_tangents), ops.mul(centred, scale), scale, dims,
                       through_rows)
    y = y if y is None else layout.back(y)
    if t is None:
        return y, None, None
    count = count_over(tuple(x.shape), dims, x)
    moved = ops.sum(ops.mul(t, centred), dims=dims, keepdim=False)
    return y, ops.div(ops.sum(t, dims=dims, keepdim=False), count), ops.div(ops.mul(moved, 2.0), count)


def _batch_norm_reference(x: Any, *parameters: Any, eps: float) -> tuple:
    dims = _others(x.shape)
    spread = tuple(p.reshape((-1,) + (1,) * (x.ndim - 2)) for p in parameters)
    return affine_reference(standard_reference(x, dims, eps), spread), x.mean(axis=dims), x.var(axis=dims)


batch_norm = declare(
    "batch_norm", opaque, attributes=("eps",), defaults={"eps": 1e-5}, infer=_batch_norm_type, saves=_saved,
    grad=_batch_norm_grad, jvp=_batch_norm_tangent, promotion="none", lowering=Decompose(_batch_norm_expand),
    reference=_batch_norm_reference, samples=lambda: _channel_samples({"eps": 1e-5}),
    doc="(x - mean) / sqrt(variance + eps) with statistics over all dimensions but 1, times an optional weight "
    "and plus an "
    "optional bias per channel. Results are y, the mean, and the biased variance, which update running statistics.")


# ---------------------------------------------------------------- group_norm
def _group_norm_type(types: tuple, attrs: tuple) -> TensorType:
    x, groups = _check_channels("group_norm", types), attrs[0]
    if x.shape[1] % groups:
        raise ShapeError(f"group_norm: {x.shape[1]} channels do not divide into {groups} groups")
    return x


def _grouped(x: Any, groups: int) -> Any:
    """[N, C, ...] as [N, groups, elements of a group]."""
    size = x.shape[1] // groups
    for n in x.shape[2:]:
        size = size * n
    return ops.reshape(x, shape=(x.shape[0], groups, size))


def _group_norm_expand(x: Any, *parameters: Any, groups: int, eps: float) -> Any:
    centred, scale, _, _ = standardized(_grouped(widen(x), groups), (2,), eps)
    h = ops.reshape(ops.mul(centred, scale), shape=tuple(x.shape))
    return as_dtype_of(affine(h, _spread(parameters, len(x.shape))), x.dtype)


@widened
def _group_norm_grad(context: Context, g: Any) -> tuple:
    x, (groups, eps) = context.inputs[0], context.attrs
    shape = tuple(x.shape)
    centred, scale, _, _ = standardized(_grouped(x, groups), (2,), eps)
    h = ops.mul(centred, scale)
    d = _grouped(affine(g, _spread(context.inputs[1:2], len(shape))), groups)
    over_x = ops.reshape(through_rows(d, h, scale, (2,)), shape=shape) if context.needs[0] else None
    return over_x, *_channel_gradients(context, g, ops.reshape(h, shape=shape), _others(shape))


def _group_norm_tangent(context: Context, t: Any, *parameter_tangents: Any) -> Any:
    x, (groups, eps) = context.inputs[0], context.attrs
    shape, rank = tuple(x.shape), len(x.shape)
    centred, scale, _, _ = standardized(_grouped(x, groups), (2,), eps)
    h = ops.mul(centred, scale)
    spread = Context(context.op, context.attrs, context.types, context.out_type,
                     (x, *_spread(context.inputs[1:], rank)),
                     None, context.needs)

    def through(tangent: Any, *_: Any) -> Any:
        return ops.reshape(through_rows(_grouped(tangent, groups), h, scale, (2,)), shape=shape)

    return affine_tangent(spread, t, _spread(parameter_tangents, rank), ops.reshape(h, shape=shape), scale,
                          (2,), through)


def _group_norm_reference(x: Any, *parameters: Any, groups: int, eps: float) -> Any:
    h = standard_reference(x.reshape(x.shape[0], groups, -1), (2,), eps).reshape(x.shape)
    return affine_reference(h, tuple(p.reshape((-1,) + (1,) * (x.ndim - 2)) for p in parameters))


group_norm = declare(
    "group_norm", opaque, attributes=("groups", "eps"), defaults={"eps": 1e-5}, infer=_group_norm_type, saves=_saved,
    grad=_group_norm_grad, jvp=_group_norm_tangent, promotion="none", lowering=Decompose(_group_norm_expand),
    reference=_group_norm_reference, samples=lambda: _channel_samples({"groups": 2, "eps": 1e-5}),
    doc="(x - mean) / sqrt(variance + eps) with statistics over each sample's groups of channels, times an "
    "optional weight "
    "and plus an optional bias per channel. As many groups as channels make it instance_norm.")
