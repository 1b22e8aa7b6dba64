"""Reductions over dimensions. Attributes begin with `dims` (sorted, from 0) and `keepdim`."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from math import prod as product_of
from typing import Any

from squall.base.dtypes import bool_, int64
from squall.base.errors import IndexRangeError, ShapeError
from squall.base.shapes import reduced_shape
from squall.ir.families import reduce, result_dtype
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, ByFamily, Context, Op, Sample, declare, ops
from squall.ops import codes, parts
from squall.ops.common import widened
from squall.ops.samples import floats


def restore(value: Any, shape: tuple, dims: tuple[int, ...], keepdim: bool) -> Any:
    """A reduced value put back over the shape it was reduced from."""
    if not keepdim:
        value = ops.reshape(value, shape=reduced_shape(shape, dims, True))
    return ops.expand(value, shape=tuple(shape))


def reduction_samples(empty: bool = True, low: float = -2.0, whole: bool = False) -> list[Sample]:
    """Inner, outer, middle and all dimensions, kept and dropped; size 0 and 1; past several vectors; special values.

    Args:
        empty: with reduced sizes of 0. low: the least ordinary value. whole: integers and bools too.
    """
    import numpy

    cases = [((3, 4), (1,), False), ((3, 4), (0,), True), ((3, 4), (0, 1), False), ((2, 3, 5), (1,), False),
             ((2, 3, 5), (0, 2), True), ((), (), False), ((2, 1), (1,), False), ((3, 130), (1,), False),
             ((130, 3), (0,), False), ((0, 3), (1,), False), *([((0, 3), (0,), False)] * empty)]
    out = [Sample((floats(s, i, low),), {"dims": d, "keepdim": k}, f"{s} over {d}")
           for i, (s, d, k) in enumerate(cases)]
    nan, inf = numpy.nan, numpy.inf
    special = numpy.array([[1.0, nan, 2.0], [inf, 1.0, -inf], [-inf, 1.0, 0.0], [-inf, -inf, -inf], [inf, inf, 1.0]])
    out += [Sample((special,), {"dims": (d,), "keepdim": False}, f"special values over {d}") for d in (0, 1)]
    if whole:
        small = numpy.array([[1, 0, 3, 0], [2, 2, -2, 1]], numpy.int8)
        out += [Sample((small.astype(t),), {"dims": (1,), "keepdim": False}, t) for t in ("int8", "int64", "bool")]
    return out


def attributes_of(context: Context) -> tuple[tuple, tuple, bool]:
    """The operand's shape, the dims and keepdim."""
    return tuple(context.types[0].shape), context.attrs[0], context.attrs[1]


# ---------------------------------------------------------------- sum
def _sum_grad(context: Context, g: Any) -> Any:
    return restore(g, *attributes_of(context))


def _sum_dtype(types: tuple, attrs: tuple) -> Any:
    dtype = types[0].dtype
    return dtype if dtype.category else int64


def _accumulated(name: str) -> Callable:
    def reference(x: Any, dims: tuple, keepdim: bool) -> Any:
        import numpy

        return getattr(numpy, name)(x, axis=dims, keepdims=keepdim, dtype=x.dtype if x.dtype != bool else numpy.int64)

    return reference


sum = declare(
    "sum", reduce, parts="each",
    attributes=("dims", "keepdim"), grad=_sum_grad, lowering=ByFamily("sum"), promotion="sum",
    dtype=_sum_dtype, jvp=lambda context, t: ops.sum(t, **context.op.named(context.attrs)),
    reference=_accumulated("sum"),
    samples=lambda: reduction_samples(whole=True),
    doc="Sum over dims, in an order fixed by the extents alone. 16-bit floats accumulate in float32.")


# ---------------------------------------------------------------- prod
def _other_factors(x: Any, dims: tuple[int, ...]) -> Any:
    """At each element the product of all others reduced with it; right where factors are 0, to any derivative."""
    shape, rank = tuple(x.shape), len(x.shape)
    kept = tuple(i for i in range(rank) if i not in dims)
    order = kept + dims
    moved = ops.permute(x, dims=order)
    rows = tuple(shape[i] for i in kept)
    count = product_of([shape[i] for i in dims])
    flat = ops.reshape(moved, shape=(*rows, count))
    last = len(rows)

    def before(value: Any) -> Any:
        shifted = ops.pad(value, low=(0,) * last + (1,), high=(0,) * last + (-1,), interior=(0,) * (last + 1),
                          value=1)
        return ops.cumprod(shifted, dim=last)

    after = ops.flip(before(ops.flip(flat, dims=(last,))), dims=(last,))
    both = ops.reshape(ops.mul(before(flat), after), shape=tuple(shape[i] for i in order))
    return ops.permute(both, dims=tuple(order.index(i) for i in range(rank)))


@widened
def _prod_grad(context: Context, g: Any) -> Any:
    shape, dims, keepdim = attributes_of(context)
    return ops.mul(restore(g, shape, dims, keepdim), _other_factors(context.inputs[0], dims))


def _prod_tangent(context: Context, tangent: Any) -> Any:
    x, (dims, keepdim) = context.inputs[0], context.attrs
    return ops.sum(ops.mul(tangent, _other_factors(x, dims)), dims=dims, keepdim=keepdim)


def _prod_samples() -> list[Sample]:
    import numpy

    zeros = numpy.array([[1.5, 0.0, -2.0], [0.0, 3.0, 0.0], [1.0, 2.0, 3.0]])
    return [*reduction_samples(low=0.5, whole=True), Sample((zeros,), {"dims": (1,), "keepdim": False}, "zeros")]


prod = declare(
    "prod", reduce, parts=parts.prod,
    attributes=("dims", "keepdim"), saves=(0,), grad=_prod_grad, jvp=_prod_tangent, dtype=_sum_dtype,
    lowering=ByFamily("prod"), promotion="sum", reference=_accumulated("prod"), samples=_prod_samples,
    doc="Product over dims. The gradient is the product of the other factors, right where some are 0.")


# ---------------------------------------------------------------- extremes
def _needs_elements(op: Op, types: tuple, attrs: tuple) -> TensorType:
    (operand,), (dims, keepdim) = types, attrs
    if builtins.any(operand.shape[d] == 0 for d in dims):
        raise IndexRangeError(f"{op.name}: a dimension of size 0 in shape {tuple(operand.shape)} has no largest or "
                         f"smallest element")
    return TensorType(reduced_shape(operand.shape, dims, keepdim), result_dtype(op, types, attrs), operand.device)


def _at_extreme(context: Context) -> tuple[Any, Any]:
    """Where the extreme is, as 0 and 1, and how often, over the operand's shape."""
    x, (shape, dims, keepdim) = context.inputs[0], attributes_of(context)
    hit = ops.cast(ops.eq(x, restore(context.output, shape, dims, keepdim)), dtype=x.dtype)
    return hit, ops.sum(hit, dims=dims, keepdim=True)


@widened
def _extreme_grad(context: Context, g: Any) -> Any:
    hit, count = _at_extreme(context)
    return ops.div(ops.mul(restore(g, *attributes_of(context)), hit), count)


def _extreme_tangent(context: Context, tangent: Any) -> Any:
    hit, count = _at_extreme(context)
    dims, keepdim = context.attrs
    return ops.sum(ops.div(ops.mul(tangent, hit), count), dims=dims, keepdim=keepdim)


def _by_name(name: str) -> Callable:
    def reference(x: Any, dims: tuple, keepdim: bool) -> Any:
        import numpy

        return getattr(numpy, name)(x, axis=dims, keepdims=keepdim)

    return reference


def _extreme_samples() -> list[Sample]:
    import numpy

    ties = numpy.array([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    return [*reduction_samples(empty=False, whole=True), Sample((ties,), {"dims": (1,), "keepdim": False}, "ties")]


def _extreme(name: str, doc: str) -> Op:
    return declare(name, reduce, attributes=("dims", "keepdim"), saves=(0, "out"), grad=_extreme_grad,
                   jvp=_extreme_tangent, infer=lambda types, attrs: _needs_elements(getattr(ops, name), types, attrs),
                   lowering=ByFamily(name), reference=_by_name(name), samples=_extreme_samples, doc=doc)


amax = _extreme("amax", "The largest over dims; NaN if there is one. Elements that tie share the gradient evenly.")
amin = _extreme("amin", "The smallest over dims; NaN if there is one. Elements that tie share the gradient evenly.")


# ---------------------------------------------------------------- positions
def _position_reference(name: str) -> Callable:
    def reference(x: Any, dims: tuple, keepdim: bool) -> Any:
        import numpy

        return getattr(numpy, name)(x, axis=dims[0], keepdims=keepdim) if dims else numpy.zeros(x.shape, numpy.int64)

    return reference


def _position_type(name: str) -> Callable:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        if len(attrs[0]) > 1:
            raise ShapeError(f"{name}: one dimension at a time, not {attrs[0]}: flatten first")
        return _needs_elements(getattr(ops, name), types, attrs)

    return infer


def _position(name: str, doc: str) -> Op:
    return declare(name, reduce, attributes=("dims", "keepdim"), grad=NON_DIFFERENTIABLE, dtype=int64,
                   infer=_position_type(name), lowering=ByFamily(name), reference=_position_reference(name),
                   samples=lambda: [s for s in _extreme_samples() if len(s.attributes["dims"]) < 2], doc=doc)


argmax = _position("argmax", "The index of the first largest element along one dimension, as int64; of the "
                             "first NaN if any.")
argmin = _position("argmin", "The index of the first smallest element along one dimension, as int64; of the "
                             "first NaN if any.")


# ---------------------------------------------------------------- logic
def _logical(name: str, doc: str) -> Op:
    return declare(name, reduce, attributes=("dims", "keepdim"), grad=NON_DIFFERENTIABLE, dtype=bool_,
                   lowering=ByFamily(name), reference=_by_name(name),
                   parts=getattr(parts, name), codes=codes.reduced_truth,
                   samples=lambda: reduction_samples(whole=True), doc=doc)


any = _logical("any", "Whether any element is other than 0, as bool; False of none.")
all = _logical("all", "Whether every element is other than 0, as bool; True of none.")
