"""max_pool: the maxima of windows and their positions.

Small windows are written out as a chain over strided slices, which fuses with what is around it; large ones reduce a
window view. Gradients compare positions instead of scattering, so they are exact, ordered and fuse as well.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from squall.base.dtypes import DType, int32, int64
from squall.ir.families import opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.common import number
from squall.ops.convolution import fold, unfold
from squall.ops.correlation import check_spatial, from_last, is_last, pad_last, pad_spatial, strided, to_last
from squall.ops.samples import floats
from squall.ops.slicing import arange, is_int, position
from squall.ops.windows import window_count

# Windows of up to so many elements are written out.
_WRITTEN_OUT = 16


def lowest(dtype: DType) -> float | int:
    """The value that is below or equal to every other of a dtype."""
    if dtype.category == 2:
        return float("-inf")
    return -(1 << (8 * dtype.itemsize - 1)) if dtype.signed and dtype.category else 0


def pooled_counts(
    name: str, shape: tuple, size: tuple, stride: tuple, padding: tuple, dilation: tuple
) -> tuple:
    """How many windows there are along each spatial dimension."""
    return tuple(
        window_count(name, n + low + high, k, s, d, i + 2)
        for i, (n, k, s, (low, high), d) in enumerate(
            zip(shape[2:], size, stride, padding, dilation, strict=True)
        )
    )


def _max_pool_type(types: tuple, attrs: tuple) -> tuple:
    (x,), (size, stride, padding, dilation) = types, attrs
    check_spatial("max_pool", x.shape, size, stride=stride, padding=padding, dilation=dilation)
    shape = (*x.shape[:2], *pooled_counts("max_pool", x.shape, *attrs))
    return x.with_shape(shape), TensorType(shape, int64, x.device)


def _row_strides(shape: tuple) -> tuple:
    """How far apart neighbours along each spatial dimension are in the flattened plane."""
    return tuple(prod(shape[i + 1 :]) for i in range(2, len(shape)))


def _counter(shape: tuple) -> DType:
    """The dtype that plane positions are counted in."""
    plane = prod(shape[2:])
    return int32 if is_int(plane) and plane < 1 << 30 else int64


def _step(size: Any, like: Any, dtype: DType) -> Any:
    """A distance in the plane as an operand: positions are counted in int64 where sizes are symbolic."""
    return number(size, like, dtype) if is_int(size) else position(size, like.device)


def _axis(values: Any, dim: int, rank: int) -> Any:
    """A vector as a value of `rank` dimensions that varies along one of them."""
    return ops.reshape(values, shape=tuple(values.shape[0] if i == dim else 1 for i in range(rank)))


def _starts(x: Any, counts: tuple, stride: tuple, padding: tuple) -> list:
    """Where windows start along each spatial dimension: vectors, negative inside the padding."""
    dtype = _counter(tuple(x.shape))
    out = []
    for count, s, (low, _) in zip(counts, stride, padding, strict=True):
        start = arange(count, x.device, dtype)
        start = ops.mul(start, s) if s != 1 else start
        out.append(ops.sub(start, low) if low else start)
    return out


def _plane_sum(vectors: list, strides: tuple, rank: int, first: int = 0) -> Any:
    """The sum of vectors times strides, each varying along its own of `rank` dimensions."""
    total = None
    for i, (vector, stride) in enumerate(zip(vectors, strides, strict=True)):
        part = _axis(
            ops.mul(vector, _step(stride, vector, vector.dtype)) if stride != 1 else vector, first + i, rank
        )
        total = part if total is None else ops.add(total, part)
    return total


def _first_valid(starts: list, strides: tuple, padding: tuple, dilation: tuple) -> Any:
    """The offset from a window's start to its first element outside of the padding; None where there is none."""
    if not any(low for low, _ in padding):
        return None
    skips = []
    for start, d in zip(starts, dilation, strict=True):
        missing = ops.maximum(ops.neg(start), 0)
        skips.append(missing if d == 1 else ops.mul(ops.floor_divide(ops.add(missing, d - 1), d), d))
    return _plane_sum(skips, strides, len(starts))


def _greater(candidate: Any, best: Any) -> Any:
    """Whether a candidate replaces the best so far: it is greater, or the first NaN."""
    if best.dtype.category < 2:
        return ops.gt(candidate, best)
    return ops.logical_and(ops.logical_not(ops.le(candidate, best)), ops.eq(best, best))


def _chain(
    x: Any, counts: tuple, strides: tuple, first: Any, size: tuple, stride: tuple, dilation: tuple, lead: int = 2
) -> tuple:
    """The maximum of written-out windows of a padded input, whose spatial dimensions come after `lead` others, and its
    offset from the window's start."""
    best = offset = None
    counter = _counter((1, 1, *x.shape[lead : lead + len(size)]))
    for tap in product(*map(range, size)):
        part = strided(x, lead, counts, stride, tuple(t * d for t, d in zip(tap, dilation, strict=True)))
        if best is None:
            best, offset = part, number(0, x, counter) if first is None else first
            continue
        reach = sum(t * d * s for t, d, s in zip(tap, dilation, strides, strict=True))
        at = _step(reach, x, counter)
        better = _greater(part, best)
        best, offset = ops.where(better, part, best), ops.where(better, at, offset)
    return best, offset


def _reduced(x: Any, strides: tuple, first: Any, size: tuple, stride: tuple, dilation: tuple) -> tuple:
    """The same for large windows, by reducing a window view."""
    rank = len(size)
    view = ops.window(x, dims=tuple(range(2, 2 + rank)), sizes=size, steps=stride, dilations=dilation)
    view = ops.reshape(view, shape=(*view.shape[: 2 + rank], prod(size)))
    last = (2 + rank,)
    best, tap = ops.amax(view, dims=last, keepdim=False), ops.argmax(view, dims=last, keepdim=False)
    tap, offset = ops.cast(tap, dtype=_counter(tuple(x.shape))), None
    for i in reversed(range(rank)):
        element = ops.remainder(tap, size[i]) if i else tap
        part = ops.mul(element, _step(dilation[i] * strides[i], tap, tap.dtype))
        offset, tap = part if offset is None else ops.add(offset, part), ops.floor_divide(tap, size[i])
    if first is not None:  # nothing but padding's value: the padding must not win
        offset = ops.where(ops.eq(best, lowest(best.dtype)), first, offset)
    return best, offset


def _max_pool(x: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    counts = pooled_counts("max_pool", tuple(x.shape), size, stride, padding, dilation)
    if is_last(x.shape[1]) and prod(size) <= _WRITTEN_OUT:
        return _max_pool_last(x, counts, size, stride, padding, dilation)
    strides, starts = _row_strides(tuple(x.shape)), _starts(x, counts, stride, padding)
    first = _first_valid(starts, strides, padding, dilation)
    padded = pad_spatial(x, padding, value=lowest(x.dtype))
    if prod(size) <= _WRITTEN_OUT:
        best, offset = _chain(padded, counts, strides, first, size, stride, dilation)
    else:
        best, offset = _reduced(padded, strides, first, size, stride, dilation)
    indices = ops.add(_plane_sum(starts, strides, len(size)), offset)
    shape = tuple(best.shape)
    indices = indices if tuple(indices.shape) == shape else ops.expand(indices, shape=shape)
    return best, ops.cast(indices, dtype=int64) if indices.dtype is not int64 else indices


def _max_pool_last(x: Any, counts: tuple, size: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    """The same with the channels last: vectors run along them, whatever the stride."""
    strides, starts, rank = _row_strides(tuple(x.shape)), _starts(x, counts, stride, padding), len(size)
    first = _first_valid(starts, strides, padding, dilation)
    first = None if first is None else ops.reshape(first, shape=(*first.shape, 1))
    padded = pad_last(to_last(x), padding, value=lowest(x.dtype))
    best, offset = _chain(padded, counts, strides, first, size, stride, dilation, 1)
    indices = ops.add(_plane_sum(starts, strides, rank + 1), offset)
    shape = tuple(best.shape)
    indices = indices if tuple(indices.shape) == shape else ops.expand(indices, shape=shape)
    indices = ops.cast(indices, dtype=int64) if indices.dtype is not int64 else indices
    return from_last(best), from_last(indices)


def _max_pool_grad(context: Context, g: tuple) -> Any:
    """Each window gives its gradient to the element at the saved position."""
    (values, _), (size, stride, padding, dilation), shape = g, context.attrs, tuple(context.types[0].shape)
    if values is None:
        return None
    indices, rank, last = context.output[1], len(size), is_last(shape[1])
    counts, counter = tuple(values.shape[2:]), _counter(shape)
    x = context.types[0]
    strides, places, lead = _row_strides(shape), 2 * rank + last, 1 if last else 2
    at = _plane_sum(_starts(x, counts, stride, padding), strides, places)
    reach = [ops.mul(arange(k, x.device, counter), d) for k, d in zip(size, dilation, strict=True)]
    at = ops.add(at, _plane_sum(reach, strides, places, rank + last))
    chosen = ops.cast(indices, dtype=counter) if counter is not int64 else indices
    if last:
        values, chosen = to_last(values), to_last(chosen)
    apart = (*values.shape, *(1 for _ in size))
    mine = ops.eq(ops.reshape(chosen, shape=apart), at)
    spread = ops.where(mine, ops.reshape(values, shape=apart), number(0, values))
    full = tuple(n + low + high for n, (low, high) in zip(shape[2:], padding, strict=True))
    back = ops.unwindow(
        spread,
        shape=(shape[0], *full, shape[1]) if last else (*shape[:2], *full),
        dims=tuple(range(lead, lead + rank)),
        sizes=size,
        steps=stride,
        dilations=dilation,
    )
    cropped = tuple((-low, -high) for low, high in padding)
    return from_last(pad_last(back, cropped)) if last else pad_spatial(back, cropped)


def _max_pool_tangent(context: Context, tangent: Any) -> tuple:
    indices = context.output[1]
    shape = tuple(indices.shape)
    plane = ops.reshape(tangent, shape=(*shape[:2], prod(tangent.shape[2:])))
    out = ops.gather(plane, ops.reshape(indices, shape=(*shape[:2], prod(shape[2:]))), dim=2)
    return ops.reshape(out, shape=shape), None


def _folded_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """Pooling treats every plane alike: the batch joins dimension 0."""
    out = op(fold(operands[0], size, 0), **op.named(attrs))
    several = out.__class__ is tuple
    return (tuple(unfold(o, size, 0) for o in out) if several else unfold(out, size, 0)), True


def _max_pool_reference(x: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    import numpy

    low = -numpy.inf if x.dtype.kind == "f" else numpy.iinfo(x.dtype).min
    xp = numpy.pad(x, ((0, 0), (0, 0), *padding), constant_values=low)
    rank, plane = len(size), x.shape[2:]
    view = ops.window.reference(xp, tuple(range(2, 2 + rank)), size, stride, dilation)
    flat = view.reshape(*view.shape[: 2 + rank], prod(size))
    best, tap = flat.max(-1), flat.argmax(-1)
    starts = numpy.indices(view.shape[2 : 2 + rank])
    place = []
    for d, element in enumerate(numpy.unravel_index(tap, size)):
        start = starts[d] * stride[d] - padding[d][0]
        first = -(-numpy.maximum(-start, 0) // dilation[d]) * dilation[d]
        place.append(start + numpy.where(best == low, first, element * dilation[d]))
    indices = numpy.zeros(best.shape, numpy.int64)
    for coordinate, extent in zip(place, plane, strict=True):
        indices = indices * extent + coordinate
    return best, indices


def _max_pool_samples() -> list[Sample]:
    import numpy

    cases = [
        ((2, 3, 4, 6), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
        ((1, 2, 5, 7), (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 1)),
        ((1, 1, 9), (3,), (2,), ((1, 0),), (2,)),
        ((1, 2, 6, 6), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
        ((1, 1, 3, 4, 3), (2, 2, 2), (1, 2, 1), ((0, 0), (0, 0), (1, 1)), (1, 1, 1)),
        ((0, 2, 4), (2,), (2,), ((0, 0),), (1,)),
        ((1, 1, 7), (2,), (3,), ((0, 0),), (1,)),
        ((1, 1, 3, 30), (1, 20), (1, 4), ((0, 0), (0, 0)), (1, 1)),
    ]
    keys = ("size", "stride", "padding", "dilation")
    out = [
        Sample((floats(s, i),), dict(zip(keys, rest)), f"{s} by {rest[0]}")
        for i, (s, *rest) in enumerate(cases)
    ]
    special = numpy.array([1.0, numpy.nan, 2.0, 2.0, -numpy.inf, -numpy.inf, numpy.inf, 0.0]).reshape(1, 1, 8)
    out.append(
        Sample(
            (special,),
            {"size": (2,), "stride": (2,), "padding": ((0, 0),), "dilation": (1,)},
            "NaN, inf, ties",
        )
    )
    out.append(
        Sample(
            (special,),
            {"size": (3,), "stride": (1,), "padding": ((1, 1),), "dilation": (1,)},
            "NaN and padding",
        )
    )
    return out


max_pool = declare(
    "max_pool",
    opaque,
    attributes=("size", "stride", "padding", "dilation"),
    infer=_max_pool_type,
    saves=("out",),
    grad=_max_pool_grad,
    jvp=_max_pool_tangent,
    vmap=_folded_batch,
    lowering=Decompose(_max_pool),
    promotion="none",
    reference=_max_pool_reference,
    samples=_max_pool_samples,
    doc="The maximum of each window of x [batch, channels, sizes], and its position in the flattened plane. The first "
    "of equal maxima counts, NaN above all. Padding is a (low, high) pair a dimension and never wins.",
)
