"""Reductions and statistics under NumPy's and the Array API's names."""

from __future__ import annotations

import functools
from typing import Any

from squall.base.dtypes import bool_, float32, float64, int64, real_of, uint64
from squall.frontend import arithmetic
from squall.frontend.creation import filled
from squall.frontend.functions_movement import cat
from squall.numpy import elementwise as el
from squall.numpy.core import arr, axis_tuple, cast, lift, of_dtype, one_axis, write_out
from squall.numpy.kinds import dtype_of


def kept_shape(x: Any, axes: tuple, keepdims: bool) -> tuple:
    """The shape that is left of an array after a reduction over axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(x.node.shape) if keepdims or i not in axes)


def _summed(x: Any, dtype: Any) -> Any:
    """The array in the dtype of its sum: 64-bit integers for smaller ones and booleans."""
    if dtype is not None:
        return cast(x, dtype_of(dtype))
    kind = x.node.dtype
    if kind.category < 2:
        kind = uint64 if kind.category == 1 and not kind.signed else int64
    return cast(x, kind)


def _masked(x: Any, where: Any, neutral: Any) -> Any:
    return x if where is True else arithmetic.where(arr(where, bool_), x, of_dtype(neutral, x.node.dtype))


def sum(
    a: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """Sum over axes; small integers are added in 64 bits."""
    x = _masked(_summed(arr(a), dtype), where, 0)
    axes = axis_tuple(axis, x.ndim, "sum")
    made = (
        x.sum(axes, bool(keepdims))
        if axes and x.node.dtype is not bool_
        else x.any(axes, bool(keepdims))
        if axes
        else x.clone()
    )
    made = made if initial is None else made + of_dtype(initial, made.node.dtype)
    return write_out(out, lift(cast(made, x.node.dtype)), "same_kind", "sum")


def prod(
    a: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """Product over axes; small integers are multiplied in 64 bits."""
    x = _masked(_summed(arr(a), dtype), where, 1)
    axes = axis_tuple(axis, x.ndim, "prod")
    made = x.prod(axes[0], keepdims) if len(axes) == 1 else _several(x, axes, keepdims, "prod")
    made = made if initial is None else made * of_dtype(initial, made.node.dtype)
    return write_out(out, lift(cast(made, x.node.dtype)), "same_kind", "prod")


def _several(x: Any, axes: tuple, keepdims: bool, name: str) -> Any:
    if not axes:
        return x.clone()
    flat = flattened(x, axes)
    return getattr(flat, name)(-1).reshape(kept_shape(x, axes, keepdims))


def flattened(x: Any, axes: tuple) -> Any:
    """The axes moved to the end and joined into one."""
    rest = [i for i in range(x.ndim) if i not in axes]
    moved = x.permute(*rest, *axes) if x.ndim else x
    count = 1
    for i in axes:
        count *= x.node.shape[i]
    return moved.reshape(tuple(x.node.shape[i] for i in rest) + (count,))


def _extreme(a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any, name: str) -> Any:
    x = arr(a)
    function, ufunc = ("amax", el.maximum) if name == "max" else ("amin", el.minimum)
    axes = axis_tuple(axis, x.ndim, name)
    if where is not True and initial is None:
        raise ValueError(
            f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a where mask one "
            "has to specify 'initial'"
        )
    x = _masked(x, where, initial)
    kind = x.node.dtype
    if 0 in [x.node.shape[i] for i in axes]:
        if initial is None:
            raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
        made = filled(kept_shape(x, axes, keepdims), initial, kind)
    elif kind.category == 3:
        made = ufunc._folded(x, axes, keepdims, None)
    elif kind is bool_ and axes:
        made = (x.any if name == "max" else x.all)(axes, bool(keepdims))
    else:
        made = getattr(x, function)(axes, bool(keepdims)) if axes else x.clone()
    if initial is not None:
        made = ufunc(made, initial)
    return write_out(out, lift(made), "same_kind", ufunc.__name__)


def max(
    a: Any,
    /,
    axis: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """The largest over axes; NaN if there is one."""
    return _extreme(a, axis, out, keepdims, initial, where, "max")


def min(
    a: Any,
    /,
    axis: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """The smallest over axes; NaN if there is one."""
    return _extreme(a, axis, out, keepdims, initial, where, "min")


amax, amin = max, min


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """The largest less the smallest over axes."""
    return el.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims), out=out)


def _truth(a: Any, axis: Any, out: Any, keepdims: bool, where: Any, name: str) -> Any:
    x = _masked(cast(arr(a), bool_), where, name == "all")
    axes = axis_tuple(axis, x.ndim, name)
    made = getattr(x, name)(axes, bool(keepdims)) if axes else x.clone()
    return write_out(out, lift(made), "unsafe", name)


def any(a: Any, /, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """Whether an element is nonzero, over axes."""
    return _truth(a, axis, out, keepdims, where, "any")


def all(a: Any, /, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    """Whether all elements are nonzero, over axes."""
    return _truth(a, axis, out, keepdims, where, "all")


def _count(x: Any, axes: tuple, keepdims: bool, where: Any) -> Any:
    """How many elements a reduction has, as a number or an array."""
    if where is not True:
        mask = cast(arr(where), bool_).broadcast_to(tuple(x.node.shape))
        return cast(sum(mask, axes, keepdims=keepdims), real_of(x.node.dtype))
    count = 1
    for i in axes:
        count *= x.node.shape[i]
    return count


def _inexact(a: Any, dtype: Any) -> Any:
    x = arr(a)
    return cast(
        x, (float64 if x.node.dtype.category < 2 else x.node.dtype) if dtype is None else dtype_of(dtype)
    )


def _wide(x: Any) -> Any:
    """16-bit floats are averaged in float32."""
    return cast(x, float32) if x.node.dtype.category == 2 and x.node.dtype.itemsize == 2 else x


def mean(
    a: Any,
    /,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    *,
    where: Any = True,
) -> Any:
    """Mean over axes; float64 of integers.

    Example:
        >>> import squall.numpy as snp
        >>> snp.mean([[1, 2], [3, 6]], axis=0)
        array([2., 4.])
    """
    x = _inexact(a, dtype)
    axes = axis_tuple(axis, x.ndim, "mean")
    wide = _wide(x)
    total = arr(sum(wide, axes, keepdims=keepdims, where=where))
    made = (
        total / _count(wide, axes, keepdims, where)
        if dtype is None or x.node.dtype.category >= 2
        else el.divide(total, _count(wide, axes, keepdims, where))
    )
    return write_out(out, lift(cast(made, x.node.dtype)), "same_kind", "mean")


def corrected(ddof: float, correction: float | None) -> float:
    """What is taken from the count, given under either of its names."""
    if correction is not None and ddof:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    return ddof if correction is None else correction


def var(
    a: Any,
    /,
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
    """Variance over axes, dividing by the count minus `ddof` (or `correction`, its other name)."""
    ddof = corrected(ddof, correction)
    x = _inexact(a, dtype)
    axes = axis_tuple(axis, x.ndim, "var")
    wide = _wide(x)
    count = _count(wide, axes, True, where)
    centre = arr(sum(wide, axes, keepdims=True, where=where)) / count if mean is None else arr(mean)
    away = wide - centre
    squares = away.real * away.real + away.imag * away.imag if wide.node.dtype.category == 3 else away * away
    total = arr(sum(squares, axes, keepdims=keepdims, where=where))
    left = _count(wide, axes, keepdims, where) - ddof
    left = arithmetic.where(left < 0, 0.0, left) if hasattr(left, "node") else (left if left > 0 else 0)
    made = total / (left if hasattr(left, "node") else of_dtype(float(left), total.node.dtype))
    return write_out(out, lift(cast(made, real_of(x.node.dtype))), "same_kind", "var")


def rooted(variance: Any, name: str, doc: str) -> Any:
    """The standard deviation that belongs to a variance, with its arguments."""

    @functools.wraps(variance)
    def deviation(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *args: Any, **options: Any
    ) -> Any:
        return write_out(out, arr(variance(a, axis, dtype, None, *args, **options)).sqrt(), "same_kind", name)

    return renamed(deviation, name, doc)


def renamed(function: Any, name: str, doc: str) -> Any:
    """A function made of another one, under its own name."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


std = rooted(
    var,
    "std",
    "Standard deviation over axes, dividing by the count minus `ddof` (or `correction`, its other name).",
)


def _running(a: Any, axis: Any, dtype: Any, out: Any, name: str) -> Any:
    x = _summed(arr(a), dtype)
    if axis is None:
        x, axis = x.reshape(-1), 0
    made = getattr(x, name)(one_axis(axis, x.ndim)) if x.ndim else x.clone()
    return write_out(out, lift(cast(made, x.node.dtype)), "same_kind", name)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Running sums along an axis, or of the flattened array."""
    return _running(a, axis, dtype, out, "cumsum")


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Running products along an axis, or of the flattened array."""
    return _running(a, axis, dtype, out, "cumprod")


def _cumulative(x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool, name: str) -> Any:
    x = arr(x)
    if axis is None:
        if x.ndim != 1:
            raise ValueError(
                f"For arrays which have more than one dimension ``axis`` argument is required "
                f"(cumulative_{name})"
            )
        axis = 0
    made = arr(_running(x, axis, dtype, None, f"cum{name}"))
    if include_initial:
        d = one_axis(axis, made.ndim)
        first = filled(
            tuple(1 if i == d else n for i, n in enumerate(made.node.shape)),
            int(name == "prod"),
            made.node.dtype,
        )
        made = cat((first, made), d)
    return write_out(out, made, "same_kind", f"cumulative_{name}")


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """Running sums along an axis, 0 in front of them with `include_initial`."""
    return _cumulative(x, axis, dtype, out, include_initial, "sum")


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """Running products along an axis, 1 in front of them with `include_initial`."""
    return _cumulative(x, axis, dtype, out, include_initial, "prod")


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements are nonzero, over axes."""
    return sum(cast(arr(a), bool_), axis, keepdims=keepdims)


def weights_beside(x: Any, weights: Any, axis: Any, axes: tuple) -> Any:
    """Weights of an array's shape, or of its axes alone, in a shape that broadcasts against the array.

    Raises:
        TypeError, ValueError: when their shape does not fit.
    """
    w = arr(weights)
    if tuple(w.node.shape) == tuple(x.node.shape):
        return w
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    if tuple(w.node.shape) != tuple(x.node.shape[i] for i in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    w = w.permute(*order) if w.ndim > 1 else w
    return w.reshape(tuple(n if i in axes else 1 for i, n in enumerate(x.node.shape)))


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """Weighted mean over axes.

    Args:
        weights: of the array's shape, or one for each position of the axes. returned: also give their sum.

    Raises:
        ZeroDivisionError: when weights sum to 0. TypeError, ValueError: when their shape does not fit.
    """
    x = arr(a)
    axes = axis_tuple(axis, x.ndim, "average")
    if weights is None:
        made = mean(x, axis, keepdims=keepdims)
        scale = lift(filled(tuple(made.node.shape), _count(x, axes, keepdims, True), made.node.dtype))
        return (made, scale) if returned else made
    w = weights_beside(x, weights, axis, axes)
    kind = el.divide.resolve((x, w))
    values, w = cast(x, kind), cast(w, kind).broadcast_to(tuple(x.node.shape))
    scale = sum(w, axes, keepdims=keepdims)
    if bool((scale == 0).any()):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    made = el.divide(sum(values * w, axes, keepdims=keepdims), scale)
    return (made, scale) if returned else made
