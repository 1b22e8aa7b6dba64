"""NumPy's functions that are not ufuncs: rounding, limits, parts of complex numbers, comparison, differences."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, float64
from squall.frontend import arithmetic, functions_complex
from squall.numpy import elementwise as el
from squall.numpy import joining, shaping, statistics
from squall.numpy.core import arr, cast, check_range, is_array, lift, of_dtype, one_axis, write_out
from squall.numpy.creation import _device
from squall.numpy.kinds import common, dtype_of, finfo, iinfo, number_category


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """The array in another dtype; itself when it has it and `copy` is False."""
    _device(device, "astype")
    x, kind = arr(x), dtype_of(dtype)
    if kind is x.node.dtype:
        return lift(x.clone()) if copy else x
    if x.node.dtype.category == 3 and kind.category < 3 and kind is not bool_:
        x = x.real
    return lift(cast(x, kind))


def round(a: Any, /, decimals: int = 0, out: Any = None) -> Any:
    """The nearest number of so many decimals, halves to even; integers stay integers."""
    x = arr(a)
    kind = x.node.dtype
    if kind.category < 2:
        if decimals >= 0:
            made = cast(x, dtype_of("float16")) if kind is bool_ else x.clone()
        else:
            unit = 10**-decimals
            low = x.floor_divide(unit)
            rest = x - low * unit
            up = (rest * 2 > unit) | ((rest * 2 == unit) & (low.remainder(2) == 1))
            made = cast((low + cast(up, kind)) * unit, kind)
    elif not decimals:
        made = arr(el.rint(x))
    else:
        scale = 10.0 ** abs(decimals)
        scaled = x * scale if decimals > 0 else x / scale
        near = arr(el.rint(scaled))
        made = near / scale if decimals > 0 else near * scale
        made = arithmetic.where(arr(el.isfinite(x)), made, x)
    return write_out(out, lift(made), "same_kind", "round")


around = round


def fix(x: Any, /, out: Any = None) -> Any:
    """Whole part, toward zero."""
    return el.trunc(x, out=out)


def clip(
    a: Any,
    /,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    dtype: Any = None,
    casting: str = "same_kind",
    where: Any = True,
) -> Any:
    """Limited to [min, max]; NaN stays.

    Args:
        a_min, a_max: NumPy's names for min and max; None: no limit.
    """
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    x = arr(a)
    limits = [v if v is None or number_category(v) is not None else arr(v) for v in (low, high)]
    if x.node.dtype.category == 1:  # Python integers out of the dtype's range limit nothing, or everything
        limits = [_within(limits[0], x.node.dtype, True), _within(limits[1], x.node.dtype, False)]
    kind = common([x, *[v for v in limits if v is not None]]) if dtype is None else dtype_of(dtype)
    made = cast(x, kind)
    if limits[0] is not None:
        made = el.maximum._compute(made, of_dtype(limits[0], kind))
    if limits[1] is not None:
        made = el.minimum._compute(made, of_dtype(limits[1], kind))
    return write_out(out, lift(made.clone() if made is x else made), casting, "clip")


def _within(value: Any, dtype: Any, lower: bool) -> Any:
    """A limit, None when no number of the dtype is beyond it; OverflowError when all are."""
    if value.__class__ is not int:
        return value
    ends = iinfo(dtype)
    if value < ends.min if lower else value > ends.max:
        return None
    check_range(value, dtype)
    return value


def nan_to_num(x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and the infinities replaced, by 0 and the dtype's largest numbers unless given."""
    a = arr(x)
    kind = a.node.dtype
    if kind.category < 2:
        made = a.clone()
    elif kind.category == 3:
        made = functions_complex.complex(
            *[arr(nan_to_num(p, True, nan, posinf, neginf)) for p in (a.real, a.imag)]
        )
    else:
        limits = finfo(kind)
        made = arithmetic.where(
            a.isnan(), of_dtype(nan, kind) if number_category(nan) else cast(arr(nan), kind), a
        )
        for infinite, value in (
            (float("inf"), limits.max if posinf is None else posinf),
            (float("-inf"), limits.min if neginf is None else neginf),
        ):
            made = arithmetic.where(a == infinite, cast(arr(value), kind), made)
    if not copy and is_array(x):
        a.copy_(made)
        return lift(a)
    return lift(made)


# ---------------------------------------------------------------- parts of complex numbers
def real(val: Any, /) -> Any:
    """The real parts."""
    return lift(functions_complex.real(arr(val)).clone())


def imag(val: Any, /) -> Any:
    """The imaginary parts; zeros of real numbers."""
    x = arr(val)
    return lift(functions_complex.imag(x).clone() if x.node.dtype.category == 3 else x * 0)


def angle(z: Any, deg: bool = False) -> Any:
    """The angles of complex numbers."""
    x = arr(z)
    if x.node.dtype.category == 3:
        made = el.arctan2(functions_complex.imag(x), functions_complex.real(x))
    else:
        made = el.arctan2(0.0, x)
    return el.rad2deg(made) if deg else made


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    return arr(x).node.dtype.category == 3


def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def iscomplex(x: Any) -> Any:
    """Whether the imaginary part is not 0."""
    return el.not_equal(imag(x), 0)


def isreal(x: Any) -> Any:
    """Whether the imaginary part is 0."""
    return el.equal(imag(x), 0)


def real_if_close(a: Any, tol: float = 100) -> Any:
    """The real parts when all imaginary ones are below tol times eps, else the array."""
    x = arr(a)
    if x.node.dtype.category != 3:
        return lift(x)
    bound = tol * finfo(x).eps if tol > 1 else tol
    return real(x) if bool(statistics.all(el.absolute(imag(x)) < bound)) else lift(x)


def isposinf(x: Any, /, out: Any = None) -> Any:
    """Whether infinite and positive."""
    return _infinite(x, float("inf"), out)


def isneginf(x: Any, /, out: Any = None) -> Any:
    """Whether infinite and negative."""
    return _infinite(x, float("-inf"), out)


def _infinite(x: Any, value: float, out: Any) -> Any:
    a = arr(x)
    if a.node.dtype.category == 3:
        raise TypeError(
            "This operation is not supported for complex128 values because it would be ambiguous."
        )
    return write_out(out, el.equal(cast(a, float64) if a.node.dtype.category < 2 else a, value), "unsafe")


def isscalar(element: Any) -> bool:
    """Whether it is a number or text, not an array."""
    import numbers

    return isinstance(element, (numbers.Number, str, bytes)) or (
        hasattr(element, "dtype") and not hasattr(element, "__setitem__") and hasattr(element, "item")
    )


# ---------------------------------------------------------------- comparison of arrays
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether |a - b| <= atol + rtol |b|, element by element; equal infinities are close."""
    x, y = arr(a), arr(b)
    wide = common((x, y, 1.0))
    x, y = cast(x, wide), cast(y, wide)
    bound = el.add(atol, el.multiply(rtol, el.absolute(y)))
    near = el.less_equal(el.absolute(el.subtract(x, y)), bound) & el.isfinite(y)
    near = near | el.equal(x, y)
    return near | (el.isnan(x) & el.isnan(y)) if equal_nan else near


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close; see `isclose`."""
    return bool(statistics.all(isclose(a, b, rtol, atol, equal_nan)))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Whether two arrays have one shape and equal elements."""
    try:
        x, y = arr(a1), arr(a2)
    except (TypeError, ValueError):
        return False
    if tuple(x.node.shape) != tuple(y.node.shape):
        return False
    same = el.equal(x, y)
    return bool(statistics.all(same | (el.isnan(x) & el.isnan(y)) if equal_nan else same))


def array_equiv(a1: Any, a2: Any) -> bool:
    """Whether two arrays are equal once broadcast."""
    try:
        return bool(statistics.all(el.equal(a1, a2)))
    except (TypeError, ValueError):
        return False


# ---------------------------------------------------------------- differences and areas
def diff(a: Any, /, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, n times.

    Args:
        prepend, append: values put at the ends first.
    """
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    x = arr(a)
    if not x.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    d = one_axis(axis, x.ndim)
    if n == 0:
        return lift(x)
    parts = []
    for given, front in ((prepend, True), (append, False)):
        if given is not None:
            extra = arr(given)
            if not extra.ndim:
                extra = arr(
                    shaping.broadcast_to(extra, tuple(1 if i == d else s for i, s in enumerate(x.node.shape)))
                )
            parts.append((front, extra))
    if parts:
        x = arr(joining.concat([*[p for f, p in parts if f], x, *[p for f, p in parts if not f]], d))
    step = el.not_equal if x.node.dtype is bool_ else el.subtract
    for _ in range(n):
        size = x.node.shape[d]
        if size < 2:
            return lift(x.narrow(d, 0, 0).clone())
        x = arr(step(x.narrow(d, 1, size - 1), x.narrow(d, 0, size - 1)))
    return lift(x)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The area under a curve of straight lines along an axis.

    Args:
        x: where the points are; dx: their distance when x is not given.
    """
    values = arr(y)
    axis_ = one_axis(axis, values.ndim)
    size = values.node.shape[axis_]
    if x is None:
        width: Any = dx
    else:
        width = diff(x) if arr(x).ndim == 1 else diff(x, axis=axis_)
        if arr(x).ndim == 1:
            width = width.reshape(tuple(-1 if i == axis_ else 1 for i in range(values.ndim)))
    sums = el.add(values.narrow(axis_, 1, size - 1), values.narrow(axis_, 0, size - 1))
    return statistics.sum(el.divide(el.multiply(width, sums), 2.0), axis_)


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 6.283185307179586) -> Any:
    """Angles without jumps: each larger than half a period is replaced by what complements it to the period."""
    x = arr(p)
    d = one_axis(axis, x.ndim)
    kind = common((x, arr(period).node.dtype if not isinstance(period, (int, float)) else period))
    steps = diff(x, axis=d)
    whole = kind.category == 1
    half = period // 2 if whole else period / 2
    edge = period % 2 == 0 if whole else True
    turned = el.add(el.remainder(el.add(steps, half), period), -half)
    if edge:
        turned = arithmetic.where(
            arr(el.equal(turned, -half) & el.greater(steps, 0)), of_dtype(half, kind), cast(turned, kind)
        )
    corrected = el.subtract(turned, steps)
    bound = half if discont is None else discont
    corrected = arithmetic.where(
        arr(el.less(el.absolute(steps), bound)), of_dtype(0, kind), cast(corrected, kind)
    )
    first = x.narrow(d, 0, 1)
    total = statistics.cumsum(corrected, d)
    size = x.node.shape[d]
    return joining.concat([cast(first, kind), cast(el.add(x.narrow(d, 1, size - 1), total), kind)], d)


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Covariances of variables, which are rows unless `rowvar` is False."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    x = _observations(m, rowvar)
    if not x.node.shape[0]:
        return lift(x.new_zeros((0, 0)))
    if y is not None:
        x = arr(joining.concat([x, _observations(y, rowvar)], 0))
    kind = common((x, 1.0)) if dtype is None else dtype_of(dtype)
    x = cast(x, kind)
    free = (0 if bias else 1) if ddof is None else ddof
    weights = None
    for given, name in ((fweights, "fweights"), (aweights, "aweights")):
        if given is not None:
            w = arr(given)
            if (
                name == "fweights"
                and w.node.dtype.category == 2
                and not bool(statistics.all(el.equal(w, el.rint(w))))
            ):
                raise TypeError("fweights must be integer")
            if w.ndim > 1:
                raise RuntimeError(f"cannot handle multidimensional {name}")
            if w.node.shape[0] != x.node.shape[1]:
                raise RuntimeError(f"incompatible numbers of samples and {name}")
            if bool(statistics.any(el.less(w, 0))):
                raise ValueError(f"{name} cannot be negative")
            weights = w if weights is None else el.multiply(weights, w)
    centre, total = statistics.average(x, 1, weights, True)
    total = arr(total)[0]
    if weights is None:
        count: Any = x.node.shape[1] - free
    elif free == 0:
        count = total
    elif aweights is None:
        count = total - free
    else:
        count = total - free * arr(statistics.sum(el.multiply(weights, arr(aweights)))) / total
    away = arr(el.subtract(x, arr(centre).unsqueeze(1)))
    scaled = away if weights is None else el.multiply(away, weights)
    made = arithmetic.matmul(away, cast(el.conjugate(scaled), away.node.dtype).mT)
    return shaping.squeeze(
        el.divide(
            made, statistics.max(joining.stack([arr(count).reshape(()), arr(0.0 * arr(count).reshape(()))]))
        )
    )


def _observations(m: Any, rowvar: bool) -> Any:
    x = arr(m)
    if x.ndim > 2:
        raise ValueError("m has more than 2 dimensions")
    x = x.reshape(1, -1) if x.ndim < 2 else x
    return arr(shaping.permute_dims(x)) if not rowvar and x.node.shape[0] != 1 else x


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Correlation coefficients of variables, which are rows unless `rowvar` is False."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return el.divide(c, c)
    deviation = arr(el.sqrt(real(c.diagonal())))
    made = el.divide(el.divide(c, deviation.unsqueeze(1)), deviation.unsqueeze(0))
    if made.node.dtype.category == 3:
        return lift(functions_complex.complex(arr(clip(real(made), -1, 1)), arr(clip(imag(made), -1, 1))))
    return clip(made, -1, 1)
