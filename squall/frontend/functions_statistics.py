"""Statistics of values, under PyTorch's names: means that skip NaN, quantiles, modes, counts, histograms."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import as_dtype, bool_, float64, int64
from squall.base.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import full_precision
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, record
from squall.frontend.declaring import of_tensor, only_floating, with_exact_out, with_out
from squall.frontend.functions_complex import is_complex_tensor
from squall.frontend.functions_elementwise import logaddexp
from squall.frontend.functions_movement import cat
from squall.frontend.functions_searching import searchsorted
from squall.frontend.named_results import Histogram, MinMax
from squall.frontend.out import checked
from squall.frontend.reductions import ValuesIndices
from squall.ir.op import ops, refuse_float8


# ---------------------------------------------------------------- pairs of results
@of_tensor
def var_mean(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
             correction: float | None = None) -> tuple:
    """(variance, mean) over dims."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return input.var(dim, unbiased, keepdim, correction=correction), input.mean(dim, keepdim)


@of_tensor
def std_mean(input: Any, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
             correction: float | None = None) -> tuple:
    """(standard deviation, mean) over dims."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return input.std(dim, unbiased, keepdim, correction=correction), input.mean(dim, keepdim)


@with_exact_out
def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """(smallest, largest), of everything or along dim; ties share the gradient."""
    input = checked(input, "aminmax")
    dims = () if dim is None else (dim,)
    if not input.ndim:
        return MinMax(input.amin(), input.amax())
    if 0 in input.node.shape and (dim is None or input.node.shape[normalize_dim(dim, input.ndim, "aminmax")] == 0):
        raise IndexRangeError("aminmax: expected reduction dim to have non-zero size")
    return MinMax(input.amin(dims, keepdim), input.amax(dims, keepdim))


# ---------------------------------------------------------------- without NaN
@of_tensor
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Sum over dims, NaN counting as 0."""
    x = input if dtype is None else cast(input, as_dtype(dtype))
    return arithmetic.where(x.isnan(), creation.zeros((), dtype=x.node.dtype), x).sum(dim, keepdim, dtype=dtype)


@of_tensor
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Mean over dims of what is not NaN."""
    x = only_floating(input if dtype is None else cast(input, as_dtype(dtype)), "nanmean")
    present = x.isnan().logical_not()
    return nansum(x, dim, keepdim) / present.sum(dim, keepdim)


@of_tensor
def count_nonzero(input: Any, dim: Any = None, *more: int) -> Any:
    """How many elements are not 0: in all, or along one dimension or several."""
    refuse_float8("count_nonzero", input.node.type)
    return (input != 0).sum((dim, *more) if more else dim)


# ---------------------------------------------------------------- medians, modes, quantiles
def _along(x: Any, dim: int | None, function: str) -> tuple[Any, int]:
    """The Tensor with at least one dimension, and the dimension."""
    d = normalize_dim(-1 if dim is None else dim, x.ndim, function)
    refuse_float8(function, x.node.type)
    x = x if x.ndim else x.reshape(1)
    if x.node.shape[d] == 0:
        raise IndexRangeError(f"{function}: expected reduction dim {d} to have non-zero size")
    return x, d


def _picked(values: Any, indices: Any, at: Any, d: int, keepdim: bool, rank: int) -> ValuesIndices:
    """Sorted values and their indices at one place of each row."""
    pair = [t.gather(d, at) for t in (values, indices)]
    if not rank:
        return ValuesIndices(*(t.reshape(()) for t in pair))
    return ValuesIndices(*(pair if keepdim else [t.squeeze(d) for t in pair]))


@of_tensor
def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of what is not NaN, or (values, indices) along dim; NaN where there is nothing else."""
    if input.node.dtype.category < 2:
        return input.median(dim, keepdim)
    if dim is None:
        return nanmedian(input.reshape(-1), 0).values
    x, d = _along(input, dim, "nanmedian")
    values, indices = x.sort(d)
    count = x.isnan().logical_not().sum(d, True)
    return _picked(values, indices, ((count - 1) // 2).clamp(min=0), d, keepdim, input.ndim)


@of_tensor
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The k-th smallest along dim, from 1, and its position."""
    x, d = _along(input, dim, "kthvalue")
    if not 1 <= k <= x.node.shape[d]:
        raise IndexRangeError(f"kthvalue: k={k} is out of range for dimension {d} of size {x.node.shape[d]}")
    values, indices = x.sort(d)
    pair = [t.narrow(d, k - 1, 1) for t in (values, indices)]
    if not input.ndim:
        return ValuesIndices(*(t.reshape(()) for t in pair))
    return ValuesIndices(*(pair if keepdim else [t.squeeze(d) for t in pair]))


@of_tensor
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent value along dim, the smallest of ties, and the last position it stands at."""
    x, d = _along(input, dim, "mode")
    values, indices = x.sort(d)
    size = x.node.shape[d]
    equal = values.unsqueeze(d) == values.unsqueeze(d + 1)
    count = equal.sum(d + 1)
    first = count.argmax(d, True)
    last = first + count.gather(d, first) - 1
    return _picked(values, indices, last.clamp(max=size - 1), d, keepdim, input.ndim)


_numbers = range
_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@of_tensor
@full_precision
def quantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
             interpolation: str = "linear") -> Any:
    """Values below which fractions q of the elements lie, along dim or of everything; NaN where there is one.

    Args:
        q: a number in [0, 1] or a vector of them, which becomes the first dimension of the result.
        interpolation: between two elements: "linear", "lower", "higher", "midpoint" or "nearest".
    """
    return _quantile(input, q, dim, keepdim, interpolation, False)


@of_tensor
@full_precision
def nanquantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
                interpolation: str = "linear") -> Any:
    """`quantile` of what is not NaN."""
    return _quantile(input, q, dim, keepdim, interpolation, True)


def _quantile(x: Any, q: Any, dim: int | None, keepdim: bool, method: str, skip: bool) -> Any:
    only_floating(x, "quantile")
    if method not in _METHODS:
        raise ValueError(f"quantile: interpolation must be one of {', '.join(_METHODS)}, got {method!r}")
    if not isinstance(q, Handle):
        if not 0 <= q <= 1:
            raise ArgumentError(f"quantile: q must be in the range [0, 1] but got {q}")
        q = creation.tensor(q, dtype=x.node.dtype)
    if q.ndim > 1:
        raise ShapeError(f"quantile: q must be a number or a vector, got shape {list(q.node.shape)}")
    rank = x.ndim
    d = 0 if dim is None else normalize_dim(dim, rank, "quantile")
    flat = x.reshape(-1) if dim is None else x
    last = (flat if flat.ndim else flat.reshape(1)).movedim(d if rank or dim is None else 0, -1)
    ordered = last.sort(-1).values
    missing = last.isnan()
    size = last.node.shape[-1]
    if size == 0:
        raise IndexRangeError("quantile: input tensor must be non-empty")
    top = ((missing.logical_not().sum(-1, True) - 1).clamp(min=0) if skip
           else creation.full_like(missing.any(-1, True), size - 1, dtype=int64))
    out = _between(ordered, cast(q.reshape(-1), x.node.dtype) * cast(top, x.node.dtype), method)
    if not skip:
        out = arithmetic.where(missing.any(-1, True), float("nan"), out)
    out = out.movedim(-1, 0)
    if keepdim:
        kept = (1,) * rank if dim is None else tuple(1 if i == d else n for i, n in enumerate(x.node.shape))
        return out.reshape(-1, *kept) if q.ndim else out.reshape(kept)
    return out if q.ndim else out.squeeze(0)


def _between(ordered: Any, place: Any, method: str) -> Any:
    """Sorted values at places that may lie between two."""
    if method == "nearest":
        return ordered.gather(-1, cast(place.round(), int64))
    below, above = cast(place.floor(), int64), cast(place.ceil(), int64)
    if method == "lower":
        return ordered.gather(-1, below)
    high = ordered.gather(-1, above)
    if method == "higher":
        return high
    weight = creation.full_like(place, 0.5) if method == "midpoint" else place - below
    return arithmetic.lerp(ordered.gather(-1, below), high, weight)


@of_tensor
def msort(input: Any) -> Any:
    """Sorted along the first dimension."""
    return input.sort(0).values


# ---------------------------------------------------------------- counting into bins
@by_values("bincount")
@of_tensor
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each non-negative integer occurs in a vector, or the sums of its weights (evaluates the largest)."""
    if input.ndim != 1 or input.node.dtype.category != 1:
        raise DtypeError(f"bincount: expected a vector of integers, got shape {list(input.node.shape)} of "
                         f"{input.node.dtype}")
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength should be >= 0, got {minlength}")
    if input.node.shape[0] == 0:
        return creation.zeros(minlength, dtype=int64 if weights is None else _weights_dtype(weights))
    if int(input.min()) < 0:
        raise ArgumentError("bincount: expected non-negative integers")
    size = max(int(input.max()) + 1, minlength)
    if weights is None:
        weights, kind = creation.ones_like(input, dtype=int64), int64
    else:
        kind = _weights_dtype(weights)
    return creation.zeros(size, dtype=kind).index_add(0, cast(input, int64), cast(weights, kind))


def _weights_dtype(weights: Any) -> Any:
    return weights.node.dtype if weights.node.dtype is as_dtype("float32") else float64


def _range_of(x: Any, low: float, high: float, function: str, around: float = 1) -> tuple[float, float]:
    if low == high and x.numel():
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - around, high + around
    if not (low < high and abs(low) != float("inf") and abs(high) != float("inf")):
        raise ArgumentError(f"{function}: range of [{low}, {high}] is not finite, or max is less than min")
    return low, high


@by_values("histc")
@of_tensor
def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements lie in each of so many even bins between min and max (of the data when both are equal)."""
    if bins <= 0:
        raise ArgumentError(f"histc: bins must be > 0, got {bins}")
    x = input.detach().reshape(-1)
    kind = x.node.dtype
    low, high = _range_of(x, min, max, "histc")
    wide = cast(x, float64) if kind.category < 2 else x
    inside = (wide >= low) & (wide <= high)
    place = cast(((wide - low) / (high - low) * bins), int64).clamp(0, bins - 1)
    place = arithmetic.where(inside, place, bins)
    counts = creation.zeros(bins + 1, dtype=int64).index_add(0, place, creation.ones_like(place))
    return cast(counts.narrow(0, 0, bins), kind)


def _edges(x: Any, bins: Any, range: Any) -> Any:
    if isinstance(bins, Handle):
        return bins
    low, high = range or (0.0, 0.0)
    if low == high and not x.numel():
        high = low + 1.0
    low, high = _range_of(x, low, high, "histogram", 0.5)
    return creation.linspace(low, high, bins + 1, dtype=x.node.dtype)


def _bin_of(x: Any, edges: Any) -> Any:
    """The bin each value lies in; the last one is closed; outside: the number of bins."""
    count = edges.node.shape[0] - 1
    place = searchsorted(edges, x, right=True) - 1
    place = arithmetic.where(x == edges[-1], count - 1, place)
    inside = (x >= edges[0]) & (x <= edges[-1])
    return arithmetic.where(inside, place, count)


@by_values("histogram")
@with_out
def histogram(
    input: Any, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """(counts, edges) of bins that are given by their number or their edges.

    Args:
        range: (low, high) of even bins; of the data unless given. weight: how much each element counts.
            density: divide by the total and each bin's width.
    """
    x = only_floating(checked(input, "histogram"), "histogram").detach()
    edges = _edges(x, bins, range)
    place = _bin_of(x.reshape(-1), edges)
    count = edges.node.shape[0] - 1
    each = creation.ones_like(x.reshape(-1)) if weight is None else weight.detach().reshape(-1)
    counts = creation.zeros(count + 1, dtype=x.node.dtype).index_add(0, place, each).narrow(0, 0, count)
    if density:
        counts = counts / counts.sum() / (edges[1:] - edges[:-1])
    return Histogram(counts, edges)


@by_values("histogramdd")
def histogramdd(input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False) -> Histogram:
    """(counts, edges of each dimension) of points, which are the last dimension of input.

    Args:
        bins: the number of bins, one for each dimension, or the edges of each. range: (low, high) of each in turn.
    """
    x = only_floating(checked(input, "histogramdd"), "histogramdd").detach()
    dims = x.node.shape[-1]
    points = x.reshape(-1, dims)
    given = [bins] * dims if isinstance(bins, int) else list(bins)
    if len(given) != dims:
        raise ShapeError(f"histogramdd: argument 'bins' must have one entry for each of {dims} dimensions, got "
                         f"{len(given)}")
    spans = [None if range is None else tuple(range[2 * i:2 * i + 2]) for i in _numbers(dims)]
    edges = [_edges(points[:, i], given[i], spans[i]) for i in _numbers(dims)]
    sizes = tuple(e.node.shape[0] - 1 for e in edges)
    place, inside = creation.zeros(points.node.shape[0], dtype=int64), creation.ones(points.node.shape[0], dtype=bool_)
    for i in _numbers(dims):
        part = _bin_of(points[:, i], edges[i])
        inside = inside & (part < sizes[i])
        place = place * sizes[i] + part
    total = 1
    for size in sizes:
        total *= size
    each = creation.ones(points.node.shape[0], dtype=x.node.dtype) if weight is None else weight.detach().reshape(-1)
    place = arithmetic.where(inside, place, total)
    counts = creation.zeros(total + 1, dtype=x.node.dtype).index_add(0, place, each).narrow(0, 0, total).reshape(sizes)
    if density:
        counts = counts / counts.sum()
        for i, edge in enumerate(edges):
            counts = counts / (edge[1:] - edge[:-1]).reshape(tuple(-1 if i == j else 1 for j in _numbers(dims)))
    return Histogram(counts, tuple(edges))


# ---------------------------------------------------------------- running
def _running_extreme(x: Any, dim: int, name: str) -> ValuesIndices:
    d = normalize_dim(dim, x.ndim, name)
    if not x.ndim:
        return ValuesIndices(x.clone(), creation.zeros((), dtype=int64))
    if 0 in x.node.shape:
        return ValuesIndices(x.clone(), creation.zeros_like(x, dtype=int64))
    indices = record(getattr(ops, name), (x.detach(),), (d,))
    return ValuesIndices(x.gather(d, indices), indices)


@of_tensor
def cummax(input: Any, dim: int) -> ValuesIndices:
    """The largest so far along dim, the last of ties, and where it stands."""
    return _running_extreme(input, dim, "cummax_index")


@of_tensor
def cummin(input: Any, dim: int) -> ValuesIndices:
    """The smallest so far along dim, the last of ties, and where it stands."""
    return _running_extreme(input, dim, "cummin_index")


def _complex_logcumsumexp(x: Any, d: int) -> Any:
    """By doubling: each element takes in the one so many places before it, and then twice as many."""
    n, reach = (x.node.shape[d] if x.ndim else 1), 1
    if n.__class__ is not int:
        raise ShapeError(f"logcumsumexp: the size {n} of dim {d} must be known")
    while reach < n:
        x = cat((x.narrow(d, 0, reach), logaddexp(x.narrow(d, reach, n - reach), x.narrow(d, 0, n - reach))), d)
        reach *= 2
    return x.clone() if n < 2 else x


@of_tensor
def logcumsumexp(input: Any, dim: int) -> Any:
    """log(cumsum(exp(x))) along dim, without overflow."""
    d = normalize_dim(dim, input.ndim, "logcumsumexp")
    if is_complex_tensor(input):
        return _complex_logcumsumexp(input, d)
    only_floating(input, "logcumsumexp")
    return record(ops.logcumsumexp, (input,), (d,)) if input.ndim else input.clone()
