"""Reductions over dimensions. Attributes begin with `dims` (sorted, from 0) and `keepdim`."""

from __future__ import annotations

from typing import Any

from squall.base.shapes import reduced_shape
from squall.ir.families import reduce
from squall.ir.op import ByFamily, Context, Sample, declare, ops
from squall.ops.samples import floats


def restore(value: Any, shape: tuple, dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduced value put back over the shape it was reduced from."""
    if not keepdim:
        value = ops.reshape(value, shape=reduced_shape(shape, dims, True))
    return ops.expand(value, shape=tuple(shape))


def reduction_samples() -> list[Sample]:
    """Inner, outer, middle and all dimensions, kept and dropped; size 0 and 1; past several vectors."""
    cases = [((3, 4), (1,), False), ((3, 4), (0,), True), ((3, 4), (0, 1), False), ((2, 3, 5), (1,), False),
             ((2, 3, 5), (0, 2), True), ((), (), False), ((0, 3), (0,), False), ((2, 1), (1,), False), ((3, 130), (1,), False),
             ((130, 3), (0,), False)]
    return [Sample((floats(s, i),), {"dims": d, "keepdim": k}, f"{s} over {d}") for i, (s, d, k) in enumerate(cases)]


def _sum_grad(context: Context, g: Any) -> Any:
    dims, keepdim = context.attrs
    return restore(g, context.types[0].shape, dims, keepdim)


sum = declare(
    "sum", reduce, attributes=("dims", "keepdim"), grad=_sum_grad, lowering=ByFamily("sum"), promotion="sum",
    jvp=lambda context, t: ops.sum(t, **context.op.named(context.attrs)),
    reference=lambda x, dims, keepdim: x.sum(axis=dims, keepdims=keepdim), samples=reduction_samples,
    doc="Sum over dims, in an order fixed by the extents alone. 16-bit floats accumulate in float32.")
