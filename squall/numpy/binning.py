"""Padding, histograms, interpolation, convolution and gradients under NumPy's names."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64, int64
from squall.frontend import arithmetic, creation
from squall.frontend import functions_complex as planes
from squall.frontend.by_values import by_values
from squall.frontend.core import record
from squall.ir.op import ops
from squall.numpy import elementwise as el
from squall.numpy import joining, linear, sorting, statistics
from squall.numpy.core import arr, axis_tuple, cast, int_value, lift, of_dtype, taken
from squall.numpy.creation import linspace
from squall.numpy.kinds import common


# ---------------------------------------------------------------- padding
def _pairs(value: Any, rank: int, name: str) -> list[tuple]:
    """(before, after) for each axis, from a number, one pair, or a pair for each."""
    import numpy

    if isinstance(value, dict):
        found = [(0, 0)] * rank
        for axis, width in value.items():
            found[axis] = tuple(width) if hasattr(width, "__len__") else (width, width)
        return found
    given = numpy.asarray(arr(value).detach_array() if hasattr(value, "node") else value)
    if name == "pad_width" and given.dtype.kind not in "iu" and given.size:
        raise TypeError("`pad_width` must be of integral type.")
    if given.ndim < 3 and given.size == 1:
        pairs = [(given.item(), given.item())] * rank
    else:
        try:
            pairs = [tuple(row) for row in numpy.broadcast_to(given, (rank, 2)).tolist()]
        except ValueError:
            raise ValueError(
                f"operands could not be broadcast together with remapped shapes: {name} of shape "
                f"{given.shape} for {rank} axes"
            ) from None
    if name in ("pad_width", "stat_length") and any(v is not None and v < 0 for pair in pairs for v in pair):
        raise ValueError("index can't contain negative values")
    return pairs


def _joined(x: Any, axis: int, before: Any, after: Any) -> Any:
    parts = [p for p in (before, x, after) if p is not None]
    return record(ops.concat, tuple(parts), (axis,)) if len(parts) > 1 else x


def _filled(x: Any, axis: int, width: int, value: Any) -> Any:
    shape = tuple(width if i == axis else n for i, n in enumerate(x.node.shape))
    return (
        value.broadcast_to(shape) if hasattr(value, "node") else creation.filled(shape, value, x.node.dtype)
    )


def _mirror(size: int, low: int, high: int, mode: str) -> Any:
    """Positions of an axis and what is reflected, or wraps around, at its ends."""
    import numpy

    places = numpy.arange(-low, size + high)
    if mode == "wrap":
        return places % size
    if mode == "symmetric":
        turn = places % (2 * size)
        return numpy.where(turn < size, turn, 2 * size - 1 - turn)
    if size == 1:
        return places * 0
    turn = places % (2 * size - 2)
    return numpy.where(turn < size, turn, 2 * size - 2 - turn)


_MODES = {
    "constant": {"constant_values"},
    "edge": set(),
    "linear_ramp": {"end_values"},
    "maximum": {"stat_length"},
    "mean": {"stat_length"},
    "median": {"stat_length"},
    "minimum": {"stat_length"},
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    "wrap": set(),
    "empty": set(),
}


def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    """The array with margins.

    Args:
        pad_width: a number, (before, after), or such a pair for each axis. mode: what the margins hold: "constant"
            (`constant_values`), "edge", "linear_ramp" (to `end_values`), "maximum", "mean", "median", "minimum" (of the
            outer `stat_length` elements), "reflect", "symmetric" (`reflect_type` "even" or "odd"), "wrap", "empty".
    """
    x = arr(array)
    widths = _pairs(pad_width, x.ndim, "pad_width")
    if mode not in _MODES:
        raise ValueError(f"mode '{mode}' is not supported")
    unknown = set(options) - _MODES[mode]
    if unknown:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    values = _pairs(options.get("constant_values", options.get("end_values", 0)), x.ndim, "values")
    lengths = _pairs(options.get("stat_length"), x.ndim, "stat_length")
    for axis, (low, high) in enumerate(widths):
        low, high = int(low), int(high)
        size = x.node.shape[axis]
        if not low and not high:
            continue
        if not size and mode not in ("constant", "empty"):
            raise ValueError(f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'")
        if mode in ("constant", "empty"):
            fills = values[axis] if mode == "constant" else (0, 0)
            parts = [
                _filled(x, axis, n, arr(v, x.node.dtype)) if n else None for n, v in zip((low, high), fills)
            ]
            x = _joined(x, axis, *parts)
        elif mode in ("reflect", "symmetric", "wrap", "edge"):
            x = _extended(x, axis, size, low, high, mode, options.get("reflect_type", "even"))
        elif mode == "linear_ramp":
            x = _ramped(x, axis, size, low, high, values[axis])
        else:
            x = _with_statistic(x, axis, size, low, high, mode, lengths[axis])
    return lift(x if x is not arr(array) else x.clone())


def _extended(x: Any, axis: int, size: int, low: int, high: int, mode: str, kind: str) -> Any:
    import numpy

    if mode == "edge":
        return taken(x, arr(numpy.arange(-low, size + high).clip(0, size - 1)), axis)
    if kind == "odd" and mode != "wrap":
        return _odd(x, axis, low, high, mode)
    return taken(x, arr(_mirror(size, low, high, mode)), axis)


def _odd(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    """Margins of 2 edge - reflection, again and again until they are wide enough."""
    while low > 0 or high > 0:
        size = x.node.shape[axis]
        skip = 1 if mode == "reflect" and size > 1 else 0
        most = size - skip
        if mode == "reflect" and size == 1:
            return taken(x, arr(_mirror(1, low, high, "symmetric")), axis)
        take_low, take_high = min(low, most), min(high, most)
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
        before = 2 * first - x.narrow(axis, skip, take_low).flip(axis) if take_low else None
        after = (
            2 * last - x.narrow(axis, size - skip - take_high, take_high).flip(axis) if take_high else None
        )
        x = _joined(x, axis, before, after)
        low, high = low - take_low, high - take_high
    return x


def _ramped(x: Any, axis: int, size: int, low: int, high: int, ends: tuple) -> Any:
    parts = []
    for width, edge, end, turned in ((low, 0, ends[0], False), (high, size - 1, ends[1], True)):
        if not width:
            parts.append(None)
            continue
        start = x.narrow(axis, edge, 1).squeeze(axis)
        ramp = arr(linspace(end, start, width, False, dtype=x.node.dtype, axis=axis))
        parts.append(ramp.flip(axis) if turned else ramp)
    return _joined(x, axis, *parts)


def _with_statistic(x: Any, axis: int, size: int, low: int, high: int, mode: str, lengths: tuple) -> Any:
    from_name = {
        "maximum": statistics.max,
        "minimum": statistics.min,
        "mean": statistics.mean,
        "median": _median,
    }[mode]
    parts = []
    for width, length, front in ((low, lengths[0], True), (high, lengths[1], False)):
        if not width:
            parts.append(None)
            continue
        count = size if length is None else min(int(length), size)
        if not count and mode in ("maximum", "minimum"):
            raise ValueError("stat_length of 0 yields no value for padding")
        chunk = x.narrow(axis, 0 if front else size - count, count)
        value = arr(from_name(chunk, axis, keepdims=True))
        if x.node.dtype.category == 1:
            value = arr(el.rint(value)) if value.node.dtype.category == 2 else value
        parts.append(_filled(x, axis, width, cast(value, x.node.dtype)))
    return _joined(x, axis, *parts)


def _median(x: Any, axis: int, keepdims: bool) -> Any:
    ordered = arr(sorting.sort(x, axis))
    size = ordered.node.shape[axis]
    return statistics.mean(ordered.narrow(axis, (size - 1) // 2, 2 - size % 2), axis, keepdims=True)


# ---------------------------------------------------------------- histograms
_RULES = ("auto", "fd", "doane", "scott", "stone", "rice", "sturges", "sqrt")


def _limits(x: Any, given: Any) -> tuple[float, float]:
    if given is not None:
        low, high = (float(v) for v in given)
        if low > high:
            raise ValueError("max must be larger than min in range parameter.")
        if abs(low) == float("inf") or abs(high) == float("inf") or low != low or high != high:
            raise ValueError(f"supplied range of [{low}, {high}] is not finite")
    elif not x.numel():
        low, high = 0.0, 1.0
    else:
        low, high = float(x.min()), float(x.max())
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            raise ValueError(f"autodetected range of [{low}, {high}] is not finite")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _chosen_bins(x: Any, rule: str, given: Any, weights: Any) -> int:
    """How many bins a rule takes (NumPy's own rules, on the host: they are numbers, not arrays)."""
    import numpy

    if rule not in _RULES:
        raise ValueError(f"'{rule}' is not a valid estimator for `bins`")
    if weights is not None:
        raise TypeError("Automated estimation of the number of bins is not supported for weighted data")
    return len(numpy.histogram_bin_edges(x.detach_array(), rule, given)) - 1


@by_values("histogram_bin_edges")
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of the bins that `histogram` uses."""
    x = arr(a).reshape(-1)
    if isinstance(bins, str):
        bins = _chosen_bins(x, bins, range, weights)
    edges = arr(bins)
    if not edges.ndim:
        if not hasattr(bins, "__index__"):
            raise TypeError("`bins` must be an integer, a string, or an array")
        if int_value(bins) < 1:
            raise ValueError("`bins` must be positive, when an integer")
        low, high = _limits(x, range)
        kind = common((x, 1.0)) if x.node.dtype.category < 3 else float64
        return linspace(low, high, int_value(bins) + 1, dtype=kind if kind.itemsize > 2 else float64)
    if edges.ndim != 1:
        raise ValueError("`bins` must be 1d, when an array")
    if bool((edges[1:] < edges[:-1]).any()):
        raise ValueError("`bins` must increase monotonically, when an array")
    return lift(edges)


@by_values("histogram")
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> tuple:
    """(counts, edges): how many elements lie in each bin; the last one is closed.

    Args:
        bins: how many even ones, their edges, or the name of a rule. density: divide by the total and each bin's width.
            weights: how much each element counts.
    """
    x = arr(a)
    w = None if weights is None else arr(weights)
    if w is not None and tuple(w.node.shape) != tuple(x.node.shape):
        raise ValueError("weights should have the same shape as a.")
    x = cast(x, dtype_of_bool()) if x.node.dtype.category == 0 else x
    x = x.reshape(-1)
    edges = histogram_bin_edges(x, bins, range, weights)
    marks = arr(edges)
    count = marks.node.shape[0] - 1
    place = arr(sorting.searchsorted(marks, x, "right")) - 1
    kind = common((marks, x))
    wide, ends = cast(x, kind), cast(marks, kind)
    place = arithmetic.where(wide == ends[-1], count - 1, place)
    inside = (wide >= ends[0]) & (wide <= ends[-1])
    place = arithmetic.where(inside, place, count)
    each = creation.ones_like(place) if w is None else w.reshape(-1)
    each = cast(each, int64) if each.node.dtype.category == 0 else each
    counts = creation.filled((count + 1,), 0, each.node.dtype).index_add(0, place, each).narrow(0, 0, count)
    if density:
        made = el.divide(el.divide(counts, el.subtract(edges[1:], edges[:-1])), statistics.sum(counts))
        return made, edges
    return lift(counts), edges


def dtype_of_bool() -> Any:
    """The dtype booleans are counted in."""
    return creation.as_dtype("uint8")


@by_values("bincount")
def bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    """How often each non-negative integer occurs in a vector, or the sums of its weights."""
    values = arr(x)
    if minlength is None:
        raise TypeError("'NoneType' object cannot be interpreted as an integer")
    if values.node.dtype.category > 1 and values.numel():
        raise TypeError(
            f"Cannot cast array data from {values.node.dtype} to int64 according to the rule 'safe'"
        )
    if values.ndim != 1:
        raise ValueError(
            "object of too small depth for desired array"
            if not values.ndim
            else "object too deep for desired array"
        )
    if int_value(minlength) < 0:
        raise ValueError("'minlength' must not be negative")
    values = cast(values, int64)
    if values.numel() and int(values.min()) < 0:
        raise ValueError("'list' argument must have no negative elements")
    size = max(int(values.max()) + 1 if values.numel() else 0, int_value(minlength))
    if weights is None:
        each = creation.ones_like(values)
    else:
        each = cast(arr(weights), float64)
        if tuple(each.node.shape) != tuple(values.node.shape):
            raise ValueError("The weights and list don't have the same length.")
    return lift(creation.filled((size,), 0, each.node.dtype).index_add(0, values, each))


# ---------------------------------------------------------------- interpolation and convolution
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Straight lines between points: their values at x.

    Args:
        xp, fp: where the points are (rising, unless there is a period) and their values. left, right: beyond them.
    """
    at, points, values = cast(arr(x), float64), cast(arr(xp), float64), arr(fp)
    values = cast(values, creation.as_dtype("complex128") if values.node.dtype.category == 3 else float64)
    if points.ndim != 1 or values.ndim != 1:
        raise ValueError("Data points must be 1-D sequences")
    if points.node.shape[0] != values.node.shape[0]:
        raise ValueError("fp and xp are not of the same length.")
    if not points.node.shape[0]:
        raise ValueError("array of sample points is empty")
    if period is not None:
        if period == 0:
            raise ValueError("period must be a non-zero value")
        span = abs(period)
        at, points = at.remainder(span), points.remainder(span)
        order = arr(sorting.argsort(points))
        points, values = taken(points, order, 0), taken(values, order, 0)
        points = arr(joining.concat([points[-1:] - span, points, points[:1] + span]))
        values = arr(joining.concat([values[-1:], values, values[:1]]))
        left = right = None
    size = points.node.shape[0]
    if size == 1:
        made = values[0].broadcast_to(tuple(at.node.shape))
    else:
        place = (arr(sorting.searchsorted(points, at, "right")) - 1).clamp(0, size - 2)
        x0, x1 = taken(points, place, 0), taken(points, place + 1, 0)
        y0, y1 = taken(values, place, 0), taken(values, place + 1, 0)
        if values.node.dtype.category == 3:  # infinities of one part are no business of the other
            parts = [_line(at, x0, x1, getattr(y0, name), getattr(y1, name)) for name in ("real", "imag")]
            made = planes.complex(*parts)
        else:
            made = _line(at, x0, x1, y0, y1)
    low = values[0] if left is None else of_dtype(left, values.node.dtype)
    high = values[-1] if right is None else of_dtype(right, values.node.dtype)
    made = arithmetic.where(at < points[0], low, arithmetic.where(at > points[-1], high, made))
    made = arithmetic.where(at == points[-1], values[-1], made)
    return lift(arithmetic.where(at.isnan(), float("nan"), made))


def _line(at: Any, x0: Any, x1: Any, y0: Any, y1: Any) -> Any:
    """Values between two points; what is lost to infinities going from the first is sought going from the second."""
    slope = (y1 - y0) / (x1 - x0)
    first, second = slope * (at - x0) + y0, slope * (at - x1) + y1
    second = arithmetic.where(second.isnan() & (y0 == y1), y0, second)
    made = arithmetic.where(first.isnan(), second, first)
    return arithmetic.where(at == x1, y1, arithmetic.where(at == x0, y0, made))


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The convolution of two vectors: "full", "same" (the longer one's size) or "valid" (where they overlap wholly)."""
    x, w = arr(a), arr(v)
    x, w = (t.reshape(1) if not t.ndim else t for t in (x, w))
    if not x.numel():
        raise ValueError("a cannot be empty")
    if not w.numel():
        raise ValueError("v cannot be empty")
    x, w = (w, x) if w.node.shape[0] > x.node.shape[0] else (x, w)
    return _slid(x, w.flip(0), mode, False)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The correlation of two vectors, the second conjugated: see `convolve`."""
    x, w = arr(a), arr(v)
    if not x.numel() or not w.numel():
        raise ValueError("correlate: the vectors cannot be empty")
    w = arr(el.conjugate(w))
    turned = w.node.shape[0] > x.node.shape[0]
    return _slid(w, x, mode, True) if turned else _slid(x, w, mode, False)


def _slid(x: Any, w: Any, mode: str, turned: bool) -> Any:
    kind = common((x, w))
    work = int64 if kind.category == 0 else kind
    x, w = cast(x, work), cast(w, work)
    m = w.node.shape[0]
    margins = {"full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2), "valid": (0, 0)}
    if mode not in margins:
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    low, high = margins[mode]
    if mode == "same" and turned:
        low, high = high, low
    wide = record(ops.pad, (x,), ((low,), (high,), (0,), 0))
    windows = record(ops.window, (wide,), ((0,), (m,), (1,), (1,)))
    made = arr(linear.matmul(windows, w))
    return lift(cast(made.flip(0) if turned else made, kind))


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Derivatives by differences of neighbours along axes: a tuple of them when there are several.

    Args:
        varargs: the distance of points, or where they are, for each axis. edge_order: 1 or 2: how many neighbours the
            ends use beyond one.
    """
    x = arr(f)
    axes = axis_tuple(axis, x.ndim, "gradient")
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError("invalid number of arguments")
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    given = list(varargs) * len(axes) if len(varargs) == 1 else list(varargs) or [1.0] * len(axes)
    x = cast(x, float64) if x.node.dtype.category < 2 else x
    found = tuple(lift(_derivative(x, h, d, edge_order)) for h, d in zip(given, axes, strict=True))
    return found[0] if len(found) == 1 else found


def _derivative(x: Any, h: Any, d: int, edge_order: int) -> Any:
    size = x.node.shape[d]
    if size < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) elements "
            "are required."
        )
    spacing = arr(h)
    kind = x.node.dtype
    if spacing.ndim > 1:
        raise ValueError("distances must be either scalars or 1d")
    if spacing.ndim and spacing.node.shape[0] != size:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    steps = cast(spacing, kind)
    steps = (steps[1:] - steps[:-1]) if spacing.ndim else steps.broadcast_to((size - 1,))
    steps = steps.reshape(tuple(-1 if i == d else 1 for i in range(x.ndim)))
    slopes = (x.narrow(d, 1, size - 1) - x.narrow(d, 0, size - 1)) / steps
    first, last = slopes.narrow(d, 0, 1), slopes.narrow(d, size - 2, 1)
    if size == 2:
        return _joined(first, d, None, last)
    h0, h1 = steps.narrow(d, 0, size - 2), steps.narrow(d, 1, size - 2)
    s0, s1 = slopes.narrow(d, 0, size - 2), slopes.narrow(d, 1, size - 2)
    inner = (
        (x.narrow(d, 2, size - 2) - x.narrow(d, 0, size - 2)) / (2 * h0)
        if not spacing.ndim
        else (s0 * h1 + s1 * h0) / (h0 + h1)
    )
    if edge_order == 2:
        a, b = steps.narrow(d, 0, 1), steps.narrow(d, 1, 1)
        first = first - (slopes.narrow(d, 1, 1) - first) * a / (a + b)
        a, b = steps.narrow(d, size - 2, 1), steps.narrow(d, size - 3, 1)
        last = last + (last - slopes.narrow(d, size - 3, 1)) * a / (a + b)
    return _joined(inner, d, first, last)
