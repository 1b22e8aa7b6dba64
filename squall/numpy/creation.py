"""New arrays under NumPy's and the Array API's names: float64 unless another dtype is given."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, float64, int64, numpy_dtype
from squall.base.shapes import broadcast
from squall.frontend import arithmetic, creation, interop
from squall.frontend.core import record
from squall.frontend.creation import check_device, filled
from squall.frontend.movement import expand
from squall.ir.op import ops
from squall.numpy.core import arr, cast, check_range, fresh, int_value, is_array, lift, of_dtype, shape_of
from squall.numpy.kinds import common, dtype_of, number_category


def _device(device: Any, function: str) -> None:
    try:
        check_device(device, function)
    except Exception as error:
        raise ValueError(f"{function}: {error}") from None


def _kind(dtype: Any) -> DType | None:
    return None if dtype is None else dtype_of(dtype)


def asarray(
    a: Any,
    /,
    dtype: Any = None,
    order: Any = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: Any = None,
) -> Any:
    """The ndarray of an array, number or nested sequences; memory is shared with arrays of the dtype asked for.

    Args:
        copy: True: always copy; False: never, and ValueError when that cannot be; None: copy when needed.

    Raises:
        TypeError: for data of no dtype squall has. ValueError: see copy.

    Example:
        >>> import squall.numpy as snp
        >>> snp.asarray([[1, 2], [3, 4]]).mean()
        array(2.5)
    """
    _device(device, "asarray")
    kind = _kind(dtype)
    if is_array(a):
        x = arr(a)
        if kind is not None and kind is not x.node.dtype:
            if copy is False:
                raise ValueError("asarray: a copy is needed to change the dtype, and copy=False was given")
            return lift(cast(x, kind))
        return lift(x.clone() if copy else x)
    import numpy

    if isinstance(a, numpy.ndarray) and not copy and a.flags.writeable and a.dtype.isnative:
        usable = all(s >= 0 and s % a.dtype.itemsize == 0 for s in a.strides)
        if usable and a.dtype.kind in "?biufc" and (kind is None or numpy_dtype(kind) == a.dtype):
            if a.dtype.itemsize <= (16 if a.dtype.kind == "c" else 8):
                return lift(interop.from_numpy(a))
    if copy is False:
        raise ValueError(
            f"asarray: {type(a).__name__} data cannot be held without a copy, and copy=False was given"
        )
    return lift(arr(a, kind))


def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = None,
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
) -> Any:
    """A new ndarray of data; see `asarray`.

    Args:
        ndmin: sizes of 1 are put in front up to that many dimensions.
    """
    x = asarray(object, dtype, copy=copy)
    return x.reshape((1,) * (ndmin - x.ndim) + tuple(x.node.shape)) if x.ndim < ndmin else x


asanyarray = asarray


def ascontiguousarray(a: Any, dtype: Any = None) -> Any:
    """The array with row-major strides and at least one dimension."""
    x = arr(a, _kind(dtype))
    return lift((x if x.ndim else x.reshape(1)).contiguous())


def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    """`asarray`; ValueError for NaN and infinities."""
    x = asarray(a, dtype)
    if x.node.dtype.category >= 2 and not bool(arr(x).detach().isfinite().all()):
        raise ValueError("array must not contain infs or NaNs")
    return x


def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """A copy with memory of its own."""
    return lift(arr(a).clone())


def full(
    shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None
) -> Any:
    """An array of one value; the dtype follows the value unless given."""
    _device(device, "full")
    sizes = shape_of(shape)
    if number_category(fill_value) is None and fill_value.__class__ is not bool:
        value = arr(fill_value, _kind(dtype))
        return lift(record(ops.expand, (value,), (sizes,)) if sizes else value.reshape(()).clone())
    kind = _kind(dtype) or common((fill_value,))
    check_range(fill_value, kind)
    return lift(filled(sizes, fill_value, kind) if sizes else arr(fill_value, kind))


def zeros(shape: Any, dtype: Any = float64, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
    """An array of zeros."""
    _device(device, "zeros")
    return lift(filled(shape_of(shape), 0, dtype_of(dtype)))


def ones(shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
    """An array of ones."""
    _device(device, "ones")
    return lift(filled(shape_of(shape), 1, dtype_of(dtype)))


def empty(shape: Any, dtype: Any = float64, order: str = "C", *, device: Any = None, like: Any = None) -> Any:
    """An array whose values mean nothing yet (they are zeros)."""
    return zeros(shape, dtype, device=device)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """An array of one value with the shape and dtype of another."""
    x = arr(a)
    return full(x.node.shape if shape is None else shape, fill_value, dtype or x.node.dtype, device=device)


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """Zeros with the shape and dtype of another array."""
    x = arr(a)
    return zeros(x.node.shape if shape is None else shape, dtype or x.node.dtype, device=device)


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    """Ones with the shape and dtype of another array."""
    x = arr(a)
    return ones(x.node.shape if shape is None else shape, dtype or x.node.dtype, device=device)


empty_like = zeros_like


def arange(
    start: Any, stop: Any = None, step: Any = 1, dtype: Any = None, *, device: Any = None, like: Any = None
) -> Any:
    """Numbers from start (0 if one number is given) below stop, in steps.

    Raises:
        ZeroDivisionError: for a step of 0.
    """
    _device(device, "arange")
    start, stop = (0, start) if stop is None else (start, stop)
    given: tuple[Any, ...] = (start, stop, 1 if step is None else step)
    values = [v.item() if hasattr(v, "item") else v for v in given]
    import numpy

    kind = _kind(dtype)
    made = numpy.arange(*values) if kind is None else numpy.arange(*values).astype(numpy_dtype(kind))
    if all(isinstance(v, int) for v in values) and made.dtype == "int64" and abs(values[1]) < 1 << 62:
        count = max(0, -(-(values[1] - values[0]) // values[2]))
        if (count - 1) * values[2] + values[0] < 1 << 62:
            counted = creation.arange(count)
            out = counted * values[2] + values[0] if (values[0], values[2]) != (0, 1) else counted
            return lift(out.clone() if kind is None else cast(out, kind))
    return lift(fresh(made))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Evenly spaced numbers from start to stop, along a new axis when these are arrays.

    Args:
        endpoint: whether stop is the last of them. retstep: also give the distance.
    """
    _device(device, "linspace")
    count = int_value(num)
    if count < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    kind = _kind(dtype)
    first, last = arr(start), arr(stop)
    real = common((first, last, 1.0))
    work = float64 if real.category == 2 and real.itemsize < 8 and kind is None and not first.ndim else real
    a, b = cast(first, work), cast(last, work)
    parts = count - 1 if endpoint else count
    ramp = cast(creation.arange(count), work)
    shape = broadcast(tuple(a.node.shape), tuple(b.node.shape), "linspace")
    ramp = ramp.reshape((-1,) + (1,) * len(shape))
    gap = b - a
    step = gap / parts if parts > 0 else gap * float("nan")
    even = ramp * step + a if parts > 0 else ramp * gap + a
    if parts > 0:  # steps too small to be held
        even = arithmetic.where(step == 0, ramp / parts * gap + a, even)
    if endpoint and count > 1:
        even = arithmetic.where(ramp == count - 1, b, even)
    if kind is not None and kind.category == 1 and work.category == 2:
        even = even.floor()
    even = cast(even, kind or real)
    out = lift(even if axis == 0 else even.movedim(0, axis))
    return (out, lift(step)) if retstep else out


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """base to the power of evenly spaced numbers."""
    ramp = arr(linspace(start, stop, num, endpoint, axis=axis))
    foot = arr(base)
    if foot.ndim:
        foot = foot.unsqueeze(axis)
    kind = common((ramp, foot))
    out = arithmetic.power(cast(foot, kind), cast(ramp, kind))
    return lift(out if dtype is None else cast(out, dtype_of(dtype)))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """Numbers evenly spaced on a logarithmic scale, from start to stop."""
    first, last = arr(start), arr(stop)
    if bool((first == 0).any()) or bool((last == 0).any()):
        raise ValueError("Geometric sequence cannot include zero")
    kind = common((first, last, 1.0))
    a, b = cast(first, kind), cast(last, kind)
    sign = a.sign() if kind.category == 2 else a / a.abs()
    if kind.category == 2 and bool((a * b < 0).any()):
        raise ValueError("geomspace: start and stop must have one sign; give complex numbers for a spiral")
    logs = arr(linspace((a / sign).log10(), (b / sign).log10(), num, endpoint, axis=0))
    out = arithmetic.power(of_dtype(10.0, logs.node.dtype), logs) * sign
    ramp = creation.arange(int_value(num)).reshape((-1,) + (1,) * (out.ndim - 1))
    if int_value(num) > 0:
        out = arithmetic.where(ramp == 0, a, out)
        if endpoint and int_value(num) > 1:
            out = arithmetic.where(ramp == int_value(num) - 1, b, out)
    out = out if axis == 0 else out.movedim(0, axis)
    return lift(cast(out, kind if dtype is None else dtype_of(dtype)))


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = float64,
    order: str = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> Any:
    """A matrix with ones on a diagonal, zeros elsewhere."""
    _device(device, "eye")
    rows, columns = int_value(N), int_value(N if M is None else M)
    place, diagonal = _diagonals(rows, columns, k)
    return lift(cast(place == diagonal, dtype_of(dtype)))


def _diagonals(rows: Any, columns: Any, k: Any) -> tuple[Any, Any]:
    """The number of each element's diagonal, and k brought to the next one outside when it lies farther away."""
    chosen = int_value(k)
    if isinstance(rows, int) and isinstance(columns, int):
        chosen = max(-rows, min(columns, chosen))
    return creation.arange(columns) - creation.arange(rows).unsqueeze(1), chosen


def identity(n: int, dtype: Any = None, *, like: Any = None) -> Any:
    """The square matrix of ones on the diagonal."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float64, *, like: Any = None) -> Any:
    """Ones on and below a diagonal, zeros above."""
    place, diagonal = _diagonals(int_value(N), int_value(N if M is None else M), k)
    return lift(cast(place <= diagonal, dtype_of(dtype)))


def _triangle(m: Any, k: int, lower: bool) -> Any:
    x = arr(m)
    rows, columns = (1, *x.node.shape)[-2:] if x.ndim < 2 else x.node.shape[-2:]
    rows = columns if x.ndim == 1 else rows
    place, diagonal = _diagonals(rows, columns, k)
    keep = place <= diagonal if lower else place >= diagonal
    return lift(arithmetic.where(keep, x, of_dtype(0 if x.node.dtype.category else False, x.node.dtype)))


def tril(m: Any, /, k: int = 0) -> Any:
    """The elements on and below a diagonal of the last two dimensions; zeros above."""
    return _triangle(m, k, True)


def triu(m: Any, /, k: int = 0) -> Any:
    """The elements on and above a diagonal of the last two dimensions; zeros below."""
    return _triangle(m, k, False)


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple:
    """Vectors as coordinates of a grid: one array for each.

    Args:
        sparse: sizes of 1 instead of repeated values. indexing: "xy" (the first vector runs along the second
            dimension) or "ij".
    """
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    flat = [arr(x).reshape(-1) for x in xi]
    rank = len(flat)
    out = []
    for i, x in enumerate(flat):
        place = 1 - i if indexing == "xy" and i < 2 and rank > 1 else i
        out.append(x.reshape(tuple(-1 if d == place else 1 for d in range(rank))))
    if not sparse:
        shape = _joint(out)
        out = [expand(o, *shape) if shape else o for o in out]
    return tuple(lift(o.clone() if copy else o) for o in out)


def _joint(parts: list) -> tuple:
    shape: tuple = ()
    for part in parts:
        shape = broadcast(shape, tuple(part.node.shape), "meshgrid")
    return shape


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """The ndarray over the memory of another library's array.

    Args:
        copy: True: a copy of it; False and None: never.
    """
    _device(device, "from_dlpack")
    made = interop.from_dlpack(x)
    return lift(made.clone() if copy else made)


def fromfunction(function: Any, shape: Any, *, dtype: Any = float64, like: Any = None, **options: Any) -> Any:
    """What a function makes of the coordinates of a shape."""
    return function(*indices(shape, dtype), **options)


def indices(dimensions: Any, dtype: Any = int64, sparse: bool = False) -> Any:
    """The coordinates of each element of a shape: the first axis counts the dimensions."""
    sizes = shape_of(dimensions)
    rank, kind = len(sizes), dtype_of(dtype)
    parts = [
        cast(creation.arange(n), kind).reshape(tuple(-1 if d == i else 1 for d in range(rank)))
        for i, n in enumerate(sizes)
    ]
    if sparse:
        return tuple(lift(p) for p in parts)
    parts_wide = [expand(p, *sizes).unsqueeze(0) for p in parts]
    if not parts_wide:
        return zeros((0,), kind)
    return lift(record(ops.concat, tuple(parts_wide), (0,)) if rank > 1 else parts_wide[0].clone())


def frombuffer(buffer: Any, dtype: Any = float64, count: int = -1, offset: int = 0) -> Any:
    """A copy of bytes read as numbers of a dtype."""
    import numpy

    return lift(fresh(numpy.frombuffer(buffer, numpy_dtype(dtype_of(dtype)), count, offset).copy()))


def fromiter(iter: Any, dtype: Any, count: int = -1) -> Any:
    """A vector of what an iterator gives."""
    import numpy

    return lift(fresh(numpy.fromiter(iter, numpy_dtype(dtype_of(dtype)), count)))
