"""Running extremes and sums of exponentials along a dimension: positions as a host step, logcumsumexp by doubling."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import ShapeError
from squall.ir.families import check_float, scan
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Context, Decompose, Library, Op, Sample, declare, ops
from squall.ops.common import number, widened, widened_expand
from squall.ops.indexing import check_dim
from squall.ops.rows import along_batch
from squall.ops.samples import floats
from squall.ops.scan import backwards, shifted


# ---------------------------------------------------------------- where the extreme so far stands
def _position_type(types: tuple, attrs: tuple) -> TensorType:
    (x,), (dim,) = types, attrs
    check_dim("running extreme", x.shape, dim)
    return TensorType(x.shape, int64, x.device)


def _positions(name: str) -> Any:
    def find(x: Any, dim: int) -> Any:
        import numpy

        narrow = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
        rows = numpy.moveaxis(x.astype(numpy.float32) if narrow else x, dim, -1)
        function = numpy.maximum if name == "cummax" else numpy.minimum
        best = function.accumulate(rows, axis=-1)
        # a value takes over where it equals the extreme so far; once that is NaN, only further NaN do
        takes = (rows == best) | (rows != rows)
        places = numpy.where(takes, numpy.arange(rows.shape[-1]), 0)
        found = numpy.maximum.accumulate(places, axis=-1)
        return numpy.ascontiguousarray(numpy.moveaxis(found, -1, dim)).astype(numpy.int64)

    return find


def _samples() -> list[Sample]:
    import numpy

    special = numpy.array([1.0, 1.0, -numpy.inf, 2.0, numpy.nan, 3.0, numpy.nan, numpy.inf])
    cases = [((3, 4), 1), ((3, 4), 0), ((2, 3, 5), 1), ((7,), 0), ((1,), 0)]
    return [*(Sample((floats(s, i),), {"dim": d}, f"{s} along {d}") for i, (s, d) in enumerate(cases)),
            Sample((special,), {"dim": 0}, "special values"),
            Sample((numpy.array([[3, 1, 3, 5], [-1, -1, -2, 0]]),), {"dim": 1}, "integers")]


def _extreme(name: str, doc: str) -> Op:
    return declare(
        f"{name}_index", scan, attributes=("dim",), infer=_position_type, grad=NON_DIFFERENTIABLE, promotion="none",
        lowering=Library(_positions(name)), reference=_positions(name), samples=_samples, vmap=along_batch, doc=doc)


cummax_index = _extreme("cummax", "Where the largest element so far stands along a dimension, the last of ties; NaN "
                                  "counts as largest.")
cummin_index = _extreme("cummin", "Where the smallest element so far stands along a dimension, the last of ties; NaN "
                                  "counts as smallest.")


# ---------------------------------------------------------------- logcumsumexp
def _log_type(types: tuple, attrs: tuple) -> TensorType:
    check_float("logcumsumexp", types[0].dtype)
    check_dim("logcumsumexp", types[0].shape, attrs[0])
    return types[0]


def _log_expand(x: Any, dim: int) -> Any:
    """Doubling: after k rounds each element holds the sum over the 2**k elements up to it."""
    reach, size = 1, x.shape[dim]
    if not isinstance(size, int):
        raise ShapeError(f"logcumsumexp: the size {size} of dim {dim} must be known")
    while reach < size:
        x = ops.logaddexp(x, shifted(x, dim, reach, float("-inf")))
        reach *= 2
    return x


def _log_weights(x: Any, out: Any, dim: int) -> tuple:
    """exp(out[i-1] - out[i]) and exp(x[i] - out[i]): what a step of the running sum keeps and what it adds."""
    # where everything so far is exp(-inf) there is nothing to add, and no difference of infinities
    safe = ops.where(ops.eq(out, number(float("-inf"), out)), number(0.0, out), out)
    return ops.exp(ops.sub(shifted(out, dim, 1, 0.0), safe)), ops.exp(ops.sub(x, safe))


@widened
def _log_grad(context: Context, g: Any) -> Any:
    """sum over later j of g[j] exp(x[i] - out[j]), by a recurrence from the end: linear in g, also where it is 0."""
    (dim,) = context.attrs
    decay, weight = _log_weights(context.inputs[0], context.output, dim)
    return ops.mul(weight, backwards(ops.linear_recurrence, shifted(decay, dim, -1, 0.0), g, dim=dim))


def _log_tangent(context: Context, t: Any) -> Any:
    """sum over earlier j of t[j] exp(x[j] - out[i]), by a linear recurrence with factors exp(out[i-1] - out[i])."""
    (dim,) = context.attrs
    decay, weight = _log_weights(context.inputs[0], context.output, dim)
    return ops.linear_recurrence(decay, ops.mul(t, weight), dim=dim)


def _log_reference(x: Any, dim: int) -> Any:
    import numpy

    return numpy.logaddexp.accumulate(x, axis=dim)


def _log_samples() -> list[Sample]:
    import numpy

    special = numpy.array([-numpy.inf, 1.0, 700.0, 710.0, -numpy.inf, 5.0])
    cases = [((3, 4), 1), ((3, 4), 0), ((2, 3, 5), 1), ((7,), 0), ((1,), 0)]
    return [*(Sample((floats(s, i),), {"dim": d}, f"{s} along {d}") for i, (s, d) in enumerate(cases)),
            Sample((special,), {"dim": 0}, "special values")]


logcumsumexp = declare(
    "logcumsumexp", scan, attributes=("dim",), infer=_log_type, saves=(0, "out"), grad=_log_grad, jvp=_log_tangent,
    vmap=along_batch, lowering=Decompose(widened_expand(_log_expand)), reference=_log_reference, samples=_log_samples,
    doc="The logarithm of the sum of exp of everything up to each element along a dimension, without overflow.")
