"""Running reductions along a dimension: cumsum, cumprod, and the linear recurrence that differentiates products."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import ShapeError
from squall.base.shapes import broadcast
from squall.ir.families import scan
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Decompose, Sample, declare, ops
from squall.ops import parts
from squall.ops.common import widened, widened_expand
from squall.ops.samples import floats


def _scan_type(types: tuple, attrs: tuple) -> TensorType:
    operand, (dim,) = types[0], attrs
    if not 0 <= dim < max(len(operand.shape), 1):
        raise ShapeError(f"cumulative: dim {dim} is not a dimension of shape {tuple(operand.shape)}")
    return operand if operand.dtype.category else operand.with_dtype(int64)


def _scan_samples() -> list[Sample]:
    import numpy

    cases = [((3, 4), 1), ((3, 4), 0), ((2, 3, 5), 1), ((7,), 0), ((0, 3), 0), ((2, 0), 0), ((1,), 0), ((), 0),
             ((2, 70), 1)]
    out = [Sample((floats(s, i, 0.5, 1.5),), {"dim": d}, f"{s} along {d}") for i, (s, d) in enumerate(cases)]
    special = numpy.array([1.0, numpy.inf, 2.0, -numpy.inf, 1.0, numpy.nan, 1.0])
    zeros = numpy.array([[1.5, 0.0, 2.0, 0.5], [0.0, 3.0, 0.0, 1.0]])
    return [*out, Sample((special,), {"dim": 0}, "special values"), Sample((zeros,), {"dim": 1}, "zeros"),
            Sample((numpy.arange(-3, 3),), {"dim": 0}, "integers"),
            Sample((numpy.array([True, False, True]),), {"dim": 0}, "bools")]


def _running(name: str) -> Any:
    def reference(x: Any, dim: int) -> Any:
        import numpy

        dtype = numpy.int64 if x.dtype == bool else x.dtype
        return getattr(numpy, name)(x, axis=dim, dtype=dtype) if x.ndim else x.astype(dtype)

    return reference


def _batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (x,), (dim,) = operands, attrs
    if len(x.shape) == 1:  # a batch of zero-dim operands: nothing runs along them
        return ops.reshape(op(ops.reshape(x, shape=(size, 1)), dim=1), shape=(size,)), True
    return op(x, dim=dim + 1), True


def backwards(function: Any, *values: Any, dim: int) -> Any:
    """A scan from the end of a dimension to its beginning."""
    if not values[0].shape:
        return function(*values, dim=dim)
    return ops.flip(function(*(ops.flip(v, dims=(dim,)) for v in values), dim=dim), dims=(dim,))


def shifted(value: Any, dim: int, by: int, fill: float) -> Any:
    """Elements moved along a dimension by a distance, `fill` moving in; the shape stays."""
    rank = len(value.shape)
    if not rank:
        return ops.full_like(value, value=fill)
    low = tuple(by if d == dim else 0 for d in range(rank))
    return ops.pad(value, low=low, high=tuple(-n for n in low), interior=(0,) * rank, value=fill)


cumsum = declare(
    "cumsum", scan, parts="each",
    attributes=("dim",), infer=_scan_type, lowering=ByFamily("cumsum"), promotion="sum", vmap=_batch,
    grad=widened(lambda context, g: backwards(ops.cumsum, g, dim=context.attrs[0])),
    jvp=lambda context, t: ops.cumsum(t, dim=context.attrs[0]), reference=_running("cumsum"), samples=_scan_samples,
    doc="Sums of everything up to each element along a dimension. 16-bit floats accumulate in float32.")


def _cumprod_grad(context: Context, g: Any) -> Any:
    x, (dim,) = context.inputs[0], context.attrs
    before = shifted(ops.cumprod(x, dim=dim), dim, 1, 1.0)
    after = backwards(ops.linear_recurrence, shifted(x, dim, -1, 0.0), g, dim=dim)
    return ops.mul(before, after)


def _cumprod_tangent(context: Context, t: Any) -> Any:
    x, (dim,) = context.inputs[0], context.attrs
    return ops.linear_recurrence(x, ops.mul(t, shifted(ops.cumprod(x, dim=dim), dim, 1, 1.0)), dim=dim)


cumprod = declare(
    "cumprod", scan, parts=parts.cumprod,
    attributes=("dim",), infer=_scan_type, saves=(0,), lowering=ByFamily("cumprod"), promotion="sum",
    vmap=_batch, grad=widened(_cumprod_grad), jvp=_cumprod_tangent, reference=_running("cumprod"),
    samples=_scan_samples,
    doc="Products of everything up to each element along a dimension. The gradient is right where factors are 0.")


# ---------------------------------------------------------------- linear recurrence
def _recurrence_type(types: tuple, attrs: tuple) -> TensorType:
    a, b = types
    if tuple(a.shape) != tuple(b.shape):
        broadcast(tuple(a.shape), tuple(b.shape), "linear_recurrence")
        raise ShapeError(f"linear_recurrence: factors {a} and terms {b} must have one shape")
    return b


def _recurrence_expand(a: Any, b: Any, dim: int) -> Any:
    """Doubling: after k rounds each element holds the recurrence over the 2**k elements up to it."""
    reach, size = 1, b.shape[dim] if b.shape else 1
    if not isinstance(size, int):
        raise ShapeError(f"linear_recurrence: the size {size} of dim {dim} must be known")
    while reach < size:
        b = ops.add(b, ops.mul(a, shifted(b, dim, reach, 0.0)))
        a = ops.mul(a, shifted(a, dim, reach, 1.0))
        reach *= 2
    return b


def _recurrence_grad(context: Context, g: Any) -> tuple:
    a, (dim,) = context.inputs[0], context.attrs
    after = backwards(ops.linear_recurrence, shifted(a, dim, -1, 0.0), g, dim=dim)
    return ops.mul(after, shifted(context.output, dim, 1, 0.0)) if context.needs[0] else None, after


def _recurrence_tangent(context: Context, ta: Any, tb: Any) -> Any:
    a, (dim,) = context.inputs[0], context.attrs
    moved = None if ta is None else ops.mul(ta, shifted(context.output, dim, 1, 0.0))
    terms = tb if moved is None else moved if tb is None else ops.add(moved, tb)
    return ops.linear_recurrence(a, terms, dim=dim)


def _recurrence_reference(a: Any, b: Any, dim: int) -> Any:
    import numpy

    if not b.ndim:
        return b
    out = numpy.moveaxis(b.copy(), dim, 0)
    factors = numpy.moveaxis(a, dim, 0)
    for i in range(1, len(out)):
        out[i] += factors[i] * out[i - 1]
    return numpy.moveaxis(out, 0, dim)


def _recurrence_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    whole = [o if b else ops.expand(o, shape=(size, *o.shape)) for o, b in zip(operands, batched, strict=True)]
    if len(whole[1].shape) == 1:
        return whole[1], True
    return ops.linear_recurrence(*whole, dim=attrs[0] + 1), True


linear_recurrence = declare(
    "linear_recurrence", scan, parts="composite",
    attributes=("dim",), infer=_recurrence_type, saves=(0, "out"), vmap=_recurrence_batch,
    lowering=Decompose(widened_expand(_recurrence_expand)), grad=widened(_recurrence_grad), jvp=_recurrence_tangent,
    reference=_recurrence_reference,
    samples=lambda: [Sample((floats(s, 1), floats(s, 2)), {"dim": d}, f"{s} along {d}") for s, d in (
        ((3, 4), 1), ((5, 2), 0), ((7,), 0), ((1,), 0), ((), 0), ((0, 2), 0))],
    doc="h[i] = a[i] * h[i - 1] + b[i] along a dimension, from h[0] = b[0]. It is its own transpose, backwards.")
