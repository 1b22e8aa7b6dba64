"""Row composites: softmax and log_softmax along a dimension."""

from __future__ import annotations

from typing import Any

from squall.ir.families import check_float, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Op, Sample, declare, ops
from squall.ops.common import widened, widened_expand
from squall.ops.samples import floats


def along_type(name: str) -> Any:
    """The rule of floating ops along `dim` that keep the shape."""

    def infer(types: tuple, attrs: tuple) -> TensorType:
        check_float(name, types[0].dtype)
        return types[0]

    return infer


def along_samples() -> list[Sample]:
    """Last, first and middle dimension, zero-dim, sizes 0 and 1, past several vectors, large, infinite, NaN values."""
    import numpy

    cases = [((3, 4), 1), ((3, 4), 0), ((2, 3, 5), 1), ((7,), 0), ((), 0), ((0, 3), 1), ((3, 0), 1),
             ((4, 1), 1), ((2, 130), 1)]
    out = [Sample((floats(s, i, -3.0, 3.0),), {"dim": d}, f"{s} along {d}") for i, (s, d) in enumerate(cases)]
    inf, nan = numpy.inf, numpy.nan
    special = numpy.array([[-inf, -inf, -inf], [inf, 1.0, 0.0], [-inf, 0.0, 1.0], [nan, 0.0, 1.0], [1e5, 1e5, -1e5]])
    return [*out, Sample((special,), {"dim": 1}, "special values"),
            Sample((floats((2, 4), 5) + 1e6,), {"dim": 1}, "large values")]


def along_batch(op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """Batching of ops of one operand along `dim`, which is the last attribute."""
    x, dim = operands[0], attrs[-1]
    if len(x.shape) == 1:  # a batch of zero-dim operands
        return ops.reshape(op(ops.reshape(x, shape=(size, 1)), **{**op.named(attrs), "dim": 1}), shape=(size,)), True
    return op(x, **{**op.named(attrs), "dim": dim + 1}), True


def dims_of(value: Any, dim: int) -> tuple[int, ...]:
    """The dimension as reductions take it: none for a zero-dim value."""
    return (dim,) if value.shape else ()


def centred(x: Any, dim: int) -> Any:
    """x minus the largest along the dimension."""
    if 0 in x.shape:
        return x
    return ops.sub(x, ops.amax(x, dims=dims_of(x, dim), keepdim=True))


def total(x: Any, dim: int) -> Any:
    """The sum along the dimension, kept."""
    return ops.sum(x, dims=dims_of(x, dim), keepdim=True)


def _centred_reference(x: Any, dim: int) -> Any:
    return x - x.max(axis=dim, keepdims=True) if x.ndim and x.size else x - x


# ---------------------------------------------------------------- softmax
def _softmax_expand(x: Any, dim: int) -> Any:
    e = ops.exp(centred(x, dim))
    return ops.mul(e, ops.reciprocal(total(e, dim)))  # one division a row; the sum is at least 1, or NaN


def _softmax_slope(context: Context, g: Any) -> Any:
    """(g - sum(g * out)) * out: the derivative is symmetric, so this serves forward and backward."""
    out, (dim,) = context.output, context.attrs
    return ops.mul(ops.sub(g, total(ops.mul(g, out), dim)), out)


def _softmax_reference(x: Any, dim: int) -> Any:
    import numpy

    e = numpy.exp(_centred_reference(x, dim))
    return e / (e.sum(axis=dim, keepdims=True) if x.ndim else e)


softmax = declare(
    "softmax", opaque, attributes=("dim",), infer=along_type("softmax"), saves=("out",), grad=widened(_softmax_slope),
    jvp=widened(_softmax_slope), vmap=along_batch, lowering=Decompose(widened_expand(_softmax_expand)),
    reference=_softmax_reference, samples=along_samples,
    doc="exp(x) over its sum along a dimension, with the largest subtracted first. A row of -inf gives NaN.")


# ---------------------------------------------------------------- log_softmax
def _log_softmax_expand(x: Any, dim: int) -> Any:
    c = centred(x, dim)
    return ops.sub(c, ops.log(total(ops.exp(c), dim)))


@widened
def _log_softmax_grad(context: Context, g: Any) -> Any:
    return ops.sub(g, ops.mul(ops.exp(context.output), total(g, context.attrs[0])))


@widened
def _log_softmax_tangent(context: Context, t: Any) -> Any:
    return ops.sub(t, total(ops.mul(ops.exp(context.output), t), context.attrs[0]))


def _log_softmax_reference(x: Any, dim: int) -> Any:
    import numpy

    c = _centred_reference(x, dim)
    return c - numpy.log(numpy.exp(c).sum(axis=dim, keepdims=True)) if x.ndim else c


log_softmax = declare(
    "log_softmax", opaque, attributes=("dim",), infer=along_type("log_softmax"), saves=("out",),
    grad=_log_softmax_grad,
    jvp=_log_softmax_tangent, vmap=along_batch, lowering=Decompose(widened_expand(_log_softmax_expand)),
    reference=_log_softmax_reference, samples=along_samples,
    doc="log(softmax(x)) as x - max - log(sum(exp(x - max))), which neither overflows nor loses small probabilities.")
