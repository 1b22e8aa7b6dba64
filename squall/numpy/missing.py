"""Statistics of what is not NaN, and quantiles, under NumPy's names."""

from __future__ import annotations

import functools
from typing import Any

from squall.base.dtypes import float64, int64
from squall.frontend import arithmetic
from squall.frontend.core import record
from squall.ir.op import ops
from squall.numpy import elementwise as el
from squall.numpy import searching, sorting, statistics
from squall.numpy.core import arr, axis_tuple, cast, lift, of_dtype, write_out
from squall.numpy.kinds import common, dtype_of, number_category


def _filled(a: Any, value: Any) -> tuple[Any, Any]:
    """The Tensor with NaN replaced, and where it was (None: nowhere, for integers)."""
    x = arr(a)
    if x.node.dtype.category < 2:
        return x, None
    gone = arr(el.isnan(x))
    return arithmetic.where(gone, of_dtype(value, x.node.dtype), x), gone


def _warn(message: str) -> None:
    import warnings

    warnings.warn(message, RuntimeWarning, stacklevel=3)


def _known(gone: Any, where: Any) -> Any:
    """Which elements count, as an argument `where`."""
    if gone is None:
        return where
    here = gone.logical_not()
    return lift(here) if where is True else el.logical_and(here, where)


def _counting_as(value: int, function: Any, name: str, doc: str) -> Any:
    """A function of the array with NaN replaced."""

    @functools.wraps(function)
    def filled(a: Any, *args: Any, **options: Any) -> Any:
        return function(_filled(a, value)[0], *args, **options)

    return statistics.renamed(filled, name, doc)


nansum = _counting_as(0, statistics.sum, "nansum", "Sum of what is not NaN.")
nanprod = _counting_as(1, statistics.prod, "nanprod", "Product of what is not NaN.")
nancumsum = _counting_as(0, statistics.cumsum, "nancumsum", "Running sums, NaN counted as 0.")
nancumprod = _counting_as(1, statistics.cumprod, "nancumprod", "Running products, NaN counted as 1.")


def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True
) -> Any:
    """Mean of what is not NaN; NaN with a RuntimeWarning where nothing else is."""
    x, gone = _filled(a, 0)
    if gone is None:
        return statistics.mean(x, axis, dtype, out, keepdims, where=where)
    _floating(x, dtype, out, "mean")
    known = _known(gone, where)
    made = statistics.mean(x, axis, dtype, out, keepdims, where=known)
    count = statistics.sum(known, axis, keepdims=keepdims)
    if bool(statistics.any(el.equal(count, 0))):
        _warn("Mean of empty slice")
    return made


def _floating(x: Any, dtype: Any, out: Any, name: str) -> None:
    if dtype is not None and dtype_of(dtype).category < 2:
        raise TypeError(f"If a is inexact, then dtype must be inexact (nan{name})")
    if out is not None and dtype_of(out.dtype).category < 2:
        raise TypeError(f"If a is inexact, then out must be inexact (nan{name})")


def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """Variance of what is not NaN; NaN with a RuntimeWarning where too little else is."""
    x, gone = _filled(a, 0)
    ddof = statistics.corrected(ddof, correction)
    if gone is None:
        return statistics.var(x, axis, dtype, out, ddof, keepdims, where=where, mean=mean)
    _floating(x, dtype, out, "var")
    known = _known(gone, where)
    made = statistics.var(x, axis, dtype, None, ddof, keepdims, where=known, mean=mean)
    short = el.less_equal(statistics.sum(known, axis, keepdims=keepdims), ddof)
    if bool(statistics.any(short)):
        _warn("Degrees of freedom <= 0 for slice.")
        made = lift(arithmetic.where(arr(short), float("nan"), arr(made)))
    return write_out(out, made, "same_kind", "nanvar")


nanstd = statistics.rooted(
    nanvar,
    "nanstd",
    "Standard deviation of what is not NaN; NaN with a RuntimeWarning where too little else is.",
)


def _nan_extreme(a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any, largest: bool) -> Any:
    x = arr(a)
    chosen = statistics.max if largest else statistics.min
    if x.node.dtype.category < 2:
        return chosen(x, axis, out, keepdims, initial, where)
    limit = float("-inf") if largest else float("inf")
    filled, gone = _filled(x, limit)
    made = chosen(filled, axis, None, keepdims, initial, where)
    if initial is None:
        empty = (
            statistics.all(gone, axis, keepdims=keepdims)
            if where is True
            else statistics.all(el.logical_or(gone, el.logical_not(where)), axis, keepdims=keepdims)
        )
        if bool(statistics.any(empty)):
            _warn("All-NaN slice encountered")
            made = lift(arithmetic.where(arr(empty), float("nan"), arr(made)))
    return write_out(out, made, "same_kind", "nanmax" if largest else "nanmin")


def nanmax(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """The largest that is not NaN."""
    return _nan_extreme(a, axis, out, keepdims, initial, where, True)


def nanmin(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """The smallest that is not NaN."""
    return _nan_extreme(a, axis, out, keepdims, initial, where, False)


def _nan_position(a: Any, axis: Any, out: Any, keepdims: bool, largest: bool) -> Any:
    x, gone = _filled(a, float("-inf") if largest else float("inf"))
    if gone is not None and bool(statistics.any(statistics.all(gone, axis))):
        raise ValueError("All-NaN slice encountered")
    return (searching.argmax if largest else searching.argmin)(x, axis, out, keepdims=keepdims)


def nanargmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the largest that is not NaN; ValueError where all are."""
    return _nan_position(a, axis, out, keepdims, True)


def nanargmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    """The position of the smallest that is not NaN; ValueError where all are."""
    return _nan_position(a, axis, out, keepdims, False)


# ---------------------------------------------------------------- quantiles
_BETWEEN = {
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
}
_ALPHA_BETA = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _place(q: Any, count: Any, method: str) -> tuple[Any, Any]:
    """Where quantiles lie among `count` sorted values, counted from 0: the whole places below and the weights above."""
    if method in _ALPHA_BETA:
        alpha, beta = _ALPHA_BETA[method]
        virtual = count * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method in ("lower", "higher", "midpoint", "nearest"):
        virtual = (count - 1) * q
    elif method == "closest_observation":
        virtual = count * q - 1 - 0.5
    else:
        virtual = count * q - 1
    virtual = (
        arithmetic.where(virtual < 0, 0.0, arithmetic.where(virtual > count - 1, count - 1, virtual))
        if method in _ALPHA_BETA
        else virtual
    )
    low = virtual.floor()
    weight = virtual - low
    if method == "lower":
        return low, weight * 0
    if method == "higher":
        return virtual.ceil(), weight * 0
    if method == "nearest":
        return arr(el.rint(virtual)), weight * 0
    if method == "midpoint":
        return low, arithmetic.where(weight > 0, 0.5, 0.0)
    if method == "inverted_cdf":
        return low, arithmetic.where(weight > 0, 1.0, 0.0)
    if method == "averaged_inverted_cdf":
        return low, arithmetic.where(weight > 0, 1.0, 0.5)
    if method == "closest_observation":
        even = (weight == 0) & (low.remainder(2) == 1)
        return low, arithmetic.where(even, 0.0, 1.0)
    return low, weight


def _quantiles(
    a: Any, q: Any, axis: Any, out: Any, method: str, keepdims: bool, skip: bool, name: str, weights: Any
) -> Any:
    if method not in _BETWEEN:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {', '.join(sorted(_BETWEEN))}")
    x, share = arr(a), arr(q)
    if x.node.dtype.category == 3:
        raise TypeError("a must be an array of real numbers")
    if share.numel() and not (bool((share >= 0).all()) and bool((share <= 1).all())):
        raise ValueError(
            f"{name.capitalize()}s must be in the range [0, {100 if name == 'percentile' else 1}]"
        )
    axes = axis_tuple(axis, x.ndim, name)
    exact = method not in _ALPHA_BETA and method not in ("midpoint", "averaged_inverted_cdf")
    kind = x.node.dtype if exact else common((x, q if number_category(q) is not None else share))
    wide = cast(x, float64 if x.node.dtype.category < 2 else x.node.dtype)
    flat = statistics.flattened(wide, axes) if axes else wide.unsqueeze(-1)
    size = flat.node.shape[-1]
    gone = flat.isnan()
    if not size:
        _warn("Mean of empty slice") if skip else None
        raise (
            IndexError("index -1 is out of bounds for axis 0 with size 0")
            if not skip
            else ValueError("empty")
        )
    ordered = arr(sorting.sort(flat))
    each = share.reshape((-1,) + (1,) * (flat.ndim - 1) + (1,))
    if weights is None:
        count = cast(size - gone.sum(-1, True), float64) if skip else float(size)
        low, weight = _place(cast(each, float64), count, method)
    else:
        beside = statistics.weights_beside(x, weights, axis, axes).broadcast_to(tuple(x.node.shape))
        heavy = (
            statistics.flattened(cast(beside, float64), axes) if axes else cast(beside, float64).unsqueeze(-1)
        )
        low = _weighted_place(
            cast(each, float64), flat, arithmetic.where(gone, 0.0, heavy) if skip else heavy
        )
        weight = low * 0
    made = _chosen(ordered, low, weight, size, share.numel())
    missing = gone.all(-1) if skip else gone.any(-1)
    if skip and bool(missing.any()):
        _warn("All-NaN slice encountered")
    made = arithmetic.where(missing, float("nan"), made)
    shape = statistics.kept_shape(x, axes, keepdims)
    made = cast(made, kind if kind.category >= 2 or method not in _ALPHA_BETA else float64)
    return write_out(out, made.reshape(tuple(share.node.shape) + shape), "same_kind", name)


def _weighted_place(share: Any, values: Any, weights: Any) -> Any:
    """Where the sorted values' share of all weights reaches a share, past those without weight."""
    if bool((weights < 0).any()):
        raise ValueError("Weights must be non-negative.")
    reached = record(
        ops.gather, (weights, cast(arr(sorting.argsort(values)), int64)), (values.ndim - 1,)
    ).cumsum(-1)
    reached = reached / reached.narrow(-1, reached.node.shape[-1] - 1, 1)
    if bool(reached.isnan().any()):
        raise ValueError("Weights included NaN, inf or were all zero.")
    before = arithmetic.where(share == 0, reached <= 0, reached < share)
    return cast(before.sum(-1, True), float64)


def _chosen(ordered: Any, low: Any, weight: Any, size: int, count: int) -> Any:
    """Values between sorted ones, the quantiles in front."""
    wide = (count, *ordered.node.shape[:-1], 1)
    low = low.clamp(-1, size - 1)
    below = cast(low.clamp(min=0).broadcast_to(wide), int64)
    above = cast((low + 1).clamp(max=size - 1).broadcast_to(wide), int64)
    spread = ordered.unsqueeze(0).broadcast_to((count, *ordered.node.shape))
    first, second = (
        record(ops.gather, (spread, at), (spread.ndim - 1,)).squeeze(-1) for at in (below, above)
    )
    part = cast(weight.broadcast_to(wide).squeeze(-1), ordered.node.dtype)
    gap = second - first
    near = arithmetic.where(part < 0.5, first + gap * part, second - gap * (1 - part))
    return arithmetic.where(
        first == second, first, arithmetic.where(part == 0, first, arithmetic.where(part == 1, second, near))
    )


def _quantile_function(name: str, doc: str) -> Any:
    """`quantile` or one of its three relatives: of hundredths, of what is not NaN, of both."""
    hundredths, skip = name.endswith("percentile"), name.startswith("nan")

    def function(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: bool = False,
        *,
        weights: Any = None,
    ) -> Any:
        if weights is not None and method != "inverted_cdf":
            raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
        share = q
        if hundredths:
            share = q / 100.0 if number_category(q) is not None else el.divide(q, 100.0)
        return _quantiles(a, share, axis, out, method, keepdims, skip, name.removeprefix("nan"), weights)

    return statistics.renamed(function, name, doc)


quantile = _quantile_function(
    "quantile",
    """Values below which fractions q of the elements lie, over axes; the shape of q comes first.

    Args:
        method: how to choose between neighbours; see NumPy's list. weights: how often each element counts, of the
            array's shape or of the axes'; with method "inverted_cdf" only.
    """,
)
percentile = _quantile_function("percentile", "`quantile` of hundredths.")
nanquantile = _quantile_function("nanquantile", "`quantile` of what is not NaN.")
nanpercentile = _quantile_function("nanpercentile", "`percentile` of what is not NaN.")


def median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The middle of the sorted elements over axes, or the mean of the two in the middle."""
    x = arr(a)
    axes = axis_tuple(axis, x.ndim, "median")
    flat = statistics.flattened(x, axes) if axes else x.unsqueeze(-1)
    size = flat.node.shape[-1]
    if not size:
        _warn("Mean of empty slice.")
        return write_out(out, statistics.mean(flat, -1), "same_kind", "median")
    ordered = arr(sorting.sort(flat))
    middle = ordered.narrow(ordered.ndim - 1, (size - 1) // 2, 2 - size % 2)
    made = arr(statistics.mean(middle, -1))
    if x.node.dtype.category >= 2:
        made = arithmetic.where(arr(el.isnan(flat)).any(-1), float("nan"), made)
    return write_out(out, made.reshape(statistics.kept_shape(x, axes, keepdims)), "same_kind", "median")


def nanmedian(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """`median` of what is not NaN."""
    x = arr(a)
    if x.node.dtype.category < 2:
        return median(x, axis, out, keepdims=keepdims)
    axes = axis_tuple(axis, x.ndim, "nanmedian")
    flat = statistics.flattened(x, axes) if axes else x.unsqueeze(-1)
    size = flat.node.shape[-1]
    if not size:
        _warn("Mean of empty slice")
        return write_out(out, statistics.mean(flat, -1).reshape(statistics.kept_shape(x, axes, keepdims)))
    gone = arr(el.isnan(flat))
    ordered = arr(sorting.sort(flat))
    count = size - gone.sum(-1, True)
    places = [((count - 1) // 2).clamp(min=0), (count // 2).clamp(max=size - 1)]
    low, high = (
        record(ops.gather, (ordered, cast(p, int64)), (ordered.ndim - 1,)).squeeze(-1) for p in places
    )
    made = arithmetic.where(low == high, low, (low + high) / 2)
    if bool(gone.all(-1).any()):
        _warn("All-NaN slice encountered")
        made = arithmetic.where(gone.all(-1), float("nan"), made)
    return write_out(out, made.reshape(statistics.kept_shape(x, axes, keepdims)), "same_kind", "nanmedian")
