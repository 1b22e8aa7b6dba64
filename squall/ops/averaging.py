"""Average pooling: avg_pool over windows, adaptive_avg_pool over bins that cover the input."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from squall.base.errors import ShapeError
from squall.ir.families import opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.common import number, widened, widened_expand
from squall.ops.correlation import check_spatial, from_last, is_last, pad_last, pad_spatial, strided, to_last
from squall.ops.pooling import _WRITTEN_OUT, _axis, _folded_batch, pooled_counts
from squall.ops.samples import floats
from squall.ops.slicing import arange, is_int, position


def _avg_pool_type(types: tuple, attrs: tuple) -> TensorType:
    (x,), (size, stride, padding, counted, divisor) = types, attrs
    check_spatial("avg_pool", x.shape, size, stride=stride, padding=padding, counted=counted)
    if divisor is not None and divisor == 0:
        raise ShapeError("avg_pool: the divisor must not be 0")
    return x.with_shape(
        (*x.shape[:2], *pooled_counts("avg_pool", x.shape, size, stride, padding, (1,) * len(size)))
    )


def _extents(n: int, count: int, k: int, s: int, low: int, counted: tuple) -> list[int]:
    """How many elements of each window count: those in the input and the counted part of its padding."""
    starts = [i * s - low for i in range(count)]
    return [max(min(start + k, n + counted[1]) - max(start, -counted[0]), 0) for start in starts]


def _counts(n: Any, count: Any, k: int, s: int, sides: tuple, counted: tuple, like: Any) -> Any:
    """`_extents` as a vector, of an input whose size varies: windows over ones, with zeros where nothing counts."""
    ones = ops.expand(number(1, like), shape=(n,))
    rest = (sides[0] - counted[0], sides[1] - counted[1])
    for (low, high), value in ((counted, 1), (rest, 0)):
        ones = ops.pad(ones, low=(low,), high=(high,), interior=(0,), value=value)
    total = None
    for tap in range(k):
        part = strided(ones, 0, (count,), (s,), (tap,))
        total = part if total is None else ops.add(total, part)
    return total


def _vector(values: list[int], like: Any) -> Any:
    """A vector of counts: computed from its position, by the runs of equal values it consists of."""
    places = arange(len(values), like.device)
    out = number(values[0], like)
    for i in range(1, len(values)):
        if values[i] != values[i - 1]:
            out = ops.where(ops.ge(places, i), number(values[i], like), out)
    return out


def _over_count(
    value: Any, shape: tuple, size: tuple, stride: tuple, padding: tuple, counted: tuple, divisor: Any
) -> Any:
    """The value, one element a window, divided by how many elements of the input its window counts."""
    if divisor is not None:
        return ops.div(value, divisor)
    constant = 1
    for i, (n, k, s, (low, high), c) in enumerate(
        zip(shape[2:], size, stride, padding, counted, strict=True)
    ):
        if tuple(c) == (low, high):
            constant *= k
            continue
        if not is_int(n):
            counts = _counts(n, value.shape[2 + i], k, s, (low, high), c, value)
            value = ops.div(value, _axis(counts, 2 + i, len(value.shape)))
            continue
        values = _extents(n, value.shape[2 + i], k, s, low, c)
        if len(set(values)) <= 1:
            constant *= values[0] if values else 1
        else:
            value = ops.div(value, _axis(_vector(values, value), 2 + i, len(value.shape)))
    return ops.div(value, constant) if constant != 1 else value


@widened_expand
def _avg_pool(x: Any, size: tuple, stride: tuple, padding: tuple, counted: tuple, divisor: Any) -> Any:
    rank, shape, last = len(size), tuple(x.shape), is_last(x.shape[1])
    counts, lead = pooled_counts("avg_pool", shape, size, stride, padding, (1,) * rank), 1 if last else 2
    x = pad_last(to_last(x), padding) if last else pad_spatial(x, padding)
    if prod(size) <= _WRITTEN_OUT:
        total = None
        for tap in product(*map(range, size)):
            part = strided(x, lead, counts, stride, tap)
            total = part if total is None else ops.add(total, part)
    elif last and counts == (1,) * rank:  # one window: a sum of rows, as long as vectors are
        x = strided(x, lead, tuple(size), (1,) * rank)
        total = ops.sum(x, dims=tuple(range(1, 1 + rank)), keepdim=True)
    else:
        view = ops.window(
            x, dims=tuple(range(lead, lead + rank)), sizes=size, steps=stride, dilations=(1,) * rank
        )
        total = ops.sum(view, dims=tuple(range(2 + rank, 2 + 2 * rank)), keepdim=False)
    total = from_last(total) if last else total
    return _over_count(total, shape, size, stride, padding, counted, divisor)


@widened
def _avg_pool_grad(context: Context, g: Any) -> Any:
    shape, (size, stride, padding, counted, divisor) = tuple(context.types[0].shape), context.attrs
    rank = len(size)
    g = _over_count(g, shape, size, stride, padding, counted, divisor)
    full = tuple(n + low + high for n, (low, high) in zip(shape[2:], padding, strict=True))
    g = ops.expand(ops.reshape(g, shape=(*g.shape, *(1 for _ in size))), shape=(*g.shape, *size))
    back = ops.unwindow(
        g,
        shape=(*shape[:2], *full),
        dims=tuple(range(2, 2 + rank)),
        sizes=size,
        steps=stride,
        dilations=(1,) * rank,
    )
    return pad_spatial(back, tuple((-low, -high) for low, high in padding))


def _avg_pool_reference(
    x: Any, size: tuple, stride: tuple, padding: tuple, counted: tuple, divisor: Any
) -> Any:
    import numpy

    rank = len(size)
    xp = numpy.pad(x, ((0, 0), (0, 0), *padding))
    view = ops.window.reference(xp, tuple(range(2, 2 + rank)), size, stride, (1,) * rank)
    total = view.sum(tuple(range(2 + rank, 2 + 2 * rank)))
    if divisor is not None:
        return total / divisor
    for i in range(rank):
        values = _extents(x.shape[2 + i], total.shape[2 + i], size[i], stride[i], padding[i][0], counted[i])
        total = total / numpy.asarray(values, total.dtype).reshape(
            [-1 if j == 2 + i else 1 for j in range(total.ndim)]
        )
    return total


def _avg_pool_samples() -> list[Sample]:
    none, one = ((0, 0), (0, 0)), ((1, 1), (1, 1))
    cases = [
        ((2, 3, 4, 6), (2, 2), (2, 2), none, none, None),
        ((1, 2, 5, 7), (3, 2), (2, 1), one, one, None),
        ((1, 2, 5, 7), (3, 3), (2, 2), one, none, None),
        ((1, 1, 9), (3,), (2,), ((1, 2),), ((1, 1),), None),
        ((1, 2, 6, 6), (5, 5), (1, 1), ((2, 2), (2, 2)), none, None),
        ((1, 1, 5), (2,), (2,), ((0, 1),), ((0, 0),), None),
        ((1, 1, 3, 4, 3), (2, 2, 2), (1, 2, 1), none + ((0, 0),), none + ((0, 0),), 3),
        ((0, 2, 4), (2,), (2,), ((0, 0),), ((0, 0),), None),
    ]
    keys = ("size", "stride", "padding", "counted", "divisor")
    return [
        Sample((floats(s, i),), dict(zip(keys, rest)), f"{s} by {rest[0]}")
        for i, (s, *rest) in enumerate(cases)
    ]


avg_pool = declare(
    "avg_pool",
    opaque,
    attributes=("size", "stride", "padding", "counted", "divisor"),
    defaults={"divisor": None},
    infer=_avg_pool_type,
    grad=_avg_pool_grad,
    vmap=_folded_batch,
    lowering=Decompose(_avg_pool),
    promotion="none",
    jvp=lambda context, t: ops.avg_pool(t, **context.op.named(context.attrs)),
    reference=_avg_pool_reference,
    samples=_avg_pool_samples,
    doc="The mean of each window of x [batch, channels, sizes]. `counted` says how far around the input elements count "
    "in the divisor: (0, 0) leaves padding out, the declared padding counts it, and what ceil_mode adds beyond never "
    "counts. `divisor` replaces the count.",
)


def _bins(n: int, out: int) -> tuple[list[int], list[int]]:
    """Where the bins of adaptive pooling start and end."""
    return [i * n // out for i in range(out)], [-(-(i + 1) * n // out) for i in range(out)]


def _adaptive_type(types: tuple, attrs: tuple) -> TensorType:
    (x,), (size,) = types, attrs
    check_spatial("adaptive_avg_pool", x.shape, size)
    if any(is_int(n) and n < 1 for n in x.shape[2:]) or any(is_int(n) and n < 0 for n in size):
        raise ShapeError(
            f"adaptive_avg_pool: input of shape {tuple(x.shape)} cannot be pooled to sizes {tuple(size)}"
        )
    return x.with_shape((*x.shape[:2], *size))


def _divides(n: Any, out: Any) -> bool:
    """Whether all bins are known to be equally long, and how long they are."""
    return bool(is_int(n // out) and n % out == 0) if not is_int(out) or out else False


def _membership(n: int, out: int, device: str) -> tuple[Any, Any]:
    """Which of n elements each bin holds, as a [out, n] bool value, and how many, as a [out] int64 value."""
    numbers, (size, bins, rest) = arange(out, device), (position(v, device) for v in (n, out, out - 1))
    starts = ops.floor_divide(ops.mul(numbers, size), bins)
    ends = ops.floor_divide(ops.add(ops.mul(ops.add(numbers, 1), size), rest), bins)
    places = ops.reshape(arange(n, device), shape=(1, n))
    column = lambda v: ops.reshape(v, shape=(out, 1))
    inside = ops.logical_and(ops.ge(places, column(starts)), ops.lt(places, column(ends)))
    return inside, ops.sub(ends, starts)


def _bin_counts(value: Any, counts: Any, d: int) -> Any:
    """The value divided by the counts of bins, which are its dimension d."""
    return ops.div(value, _axis(ops.cast(counts, dtype=value.dtype), d, len(value.shape)))


def _over_bins(value: Any, d: int, n: int, out: int, back: bool) -> Any:
    """Bin means along dimension d, or their transpose: each element takes the shares of the bins that hold it."""
    shape = tuple(value.shape)
    inside, counts = _membership(n, out, str(value.device))
    if back:
        value = _bin_counts(value, counts, d)
    apart = shape[:d] + ((out, 1) if back else (1, n)) + shape[d + 1 :]
    mask = ops.reshape(inside, shape=(1,) * d + (out, n) + (1,) * (len(shape) - d - 1))
    value = ops.where(mask, ops.reshape(value, shape=apart), number(0, value))
    value = ops.sum(value, dims=(d if back else d + 1,), keepdim=False)
    return value if back else _bin_counts(value, counts, d)


@widened_expand
def _adaptive(x: Any, size: tuple) -> Any:
    shape = tuple(x.shape)
    if all(_divides(n, out) for n, out in zip(shape[2:], size, strict=True)):
        window = tuple(n // out for n, out in zip(shape[2:], size, strict=True))
        none = ((0, 0),) * len(size)
        return ops.avg_pool(x, size=window, stride=window, padding=none, counted=none)
    for i, out in enumerate(size):
        if out != shape[2 + i]:
            x = _over_bins(x, 2 + i, shape[2 + i], out, False)
    return x


@widened
def _adaptive_grad(context: Context, g: Any) -> Any:
    shape, (size,) = tuple(context.types[0].shape), context.attrs
    for i in reversed(range(len(size))):
        n, out = shape[2 + i], size[i]
        if _divides(n, out):
            k = n // out
            apart = (*g.shape[: 2 + i], out, 1, *g.shape[3 + i :])
            full = (*g.shape[: 2 + i], out, k, *g.shape[3 + i :])
            g = ops.expand(ops.reshape(ops.div(g, k) if k > 1 else g, shape=apart), shape=full)
            g = ops.reshape(g, shape=(*g.shape[: 2 + i], n, *g.shape[4 + i :]))
        else:
            g = _over_bins(g, 2 + i, n, out, True)
    return g


def _adaptive_reference(x: Any, size: tuple) -> Any:
    import numpy

    for i, out in enumerate(size):
        parts = [
            numpy.take(x, range(a, b), axis=2 + i).mean(2 + i, keepdims=True)
            for a, b in zip(*_bins(x.shape[2 + i], out), strict=True)
        ]
        shape = (*x.shape[: 2 + i], 0, *x.shape[3 + i :])
        x = numpy.concatenate(parts, axis=2 + i) if parts else numpy.zeros(shape, x.dtype)
    return x


adaptive_avg_pool = declare(
    "adaptive_avg_pool",
    opaque,
    attributes=("size",),
    infer=_adaptive_type,
    grad=_adaptive_grad,
    vmap=_folded_batch,
    lowering=Decompose(_adaptive),
    promotion="none",
    reference=_adaptive_reference,
    jvp=lambda context, t: ops.adaptive_avg_pool(t, **context.op.named(context.attrs)),
    samples=lambda: [
        Sample((floats(s, i),), {"size": n}, f"{s} to {n}")
        for i, (s, n) in enumerate(
            (
                ((2, 3, 4, 6), (2, 3)),
                ((1, 2, 5, 7), (3, 2)),
                ((1, 2, 5, 7), (1, 1)),
                ((1, 1, 4), (7,)),
                ((2, 1, 6), (6,)),
                ((1, 1, 3, 4, 5), (2, 2, 3)),
                ((1, 1, 4), (0,)),
            )
        )
    ],
    doc="Means of bins that cover the input evenly: bin i of m goes from floor(i n / m) to ceil((i + 1) n / m).",
)
