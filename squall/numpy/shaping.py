"""Shapes, joining, splitting and reordering under NumPy's and the Array API's names."""

from __future__ import annotations

from typing import Any

from squall.base.shapes import broadcast
from squall.frontend import functions_movement as moving
from squall.frontend.movement import expand
from squall.numpy.core import (
    arr,
    axis_tuple,
    int_value,
    is_array,
    lift,
    one_axis,
    shape_of,
)


def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """The elements in another shape; one size may be -1.

    Args:
        order: "C" (the last index runs fastest) or "F" (the first). copy: True: with memory of its own; False: never
            copy, ValueError when that cannot be.
    """
    x = arr(a)
    given = (
        tuple(shape.tolist()) if is_array(shape) else tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    )
    sizes = tuple(s if hasattr(s, "terms") else int_value(s) for s in given)
    if order == "F":
        back = (x.permute(*range(x.ndim - 1, -1, -1)) if x.ndim > 1 else x).reshape(-1)
        if -1 in sizes:
            rest = 1
            for s in sizes:
                rest *= s if s != -1 else 1
            sizes = tuple(back.node.shape[0] // max(rest, 1) if s == -1 else s for s in sizes)
        made = back.reshape(sizes[::-1])
        return lift(made.permute(*range(len(sizes) - 1, -1, -1)) if len(sizes) > 1 else made)
    try:
        made = moving.reshape(x, sizes)
    except Exception as error:
        raise ValueError(f"cannot reshape array of size {x.numel()} into shape {sizes} ({error})") from None
    if copy is False and made._cell is not x._cell and made is not x:
        raise ValueError("reshape: a copy is needed for this shape, and copy=False was given")
    return lift(made.clone() if copy else made)


def ravel(a: Any, order: str = "C") -> Any:
    """The elements as a vector."""
    return reshape(a, (-1,), order if order in "CF" else "C")


def squeeze(a: Any, /, axis: Any = None) -> Any:
    """Sizes of 1 dropped: all of them, or of the axes given.

    Raises:
        ValueError: for an axis of another size.
    """
    x = arr(a)
    shape = tuple(x.node.shape)
    axes = (
        tuple(i for i, n in enumerate(shape) if n == 1)
        if axis is None
        else axis_tuple(axis, x.ndim, "squeeze")
    )
    if any(shape[i] != 1 for i in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return lift(moving.reshape(x, tuple(n for i, n in enumerate(shape) if i not in axes)))


def expand_dims(a: Any, /, axis: Any = 0) -> Any:
    """Sizes of 1 put in at the axes of the result that are given."""
    x = arr(a)
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = axis_tuple(given, x.ndim + len(given), "expand_dims")
    sizes = iter(x.node.shape)
    return lift(moving.reshape(x, tuple(1 if i in axes else next(sizes) for i in range(x.ndim + len(given)))))


def permute_dims(a: Any, /, axes: Any = None) -> Any:
    """The dimensions in another order; reversed unless given."""
    x = arr(a)
    order = tuple(range(x.ndim))[::-1] if axes is None else axis_tuple(tuple(axes), x.ndim, "transpose")
    if len(order) != x.ndim:
        raise ValueError(f"axes don't match array: {x.ndim} dimensions and {len(order)} axes")
    return lift(moving.permute(x, order) if order else x.clone())


transpose = permute_dims


def matrix_transpose(x: Any, /) -> Any:
    """The last two dimensions exchanged."""
    x = arr(x)
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return lift(moving.transpose(x, -2, -1))


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two dimensions exchanged."""
    x = arr(a)
    return lift(moving.transpose(x, one_axis(axis1, x.ndim), one_axis(axis2, x.ndim)))


def moveaxis(a: Any, source: Any, destination: Any, /) -> Any:
    """Axes moved to other places; the others keep their order."""
    x = arr(a)
    start, stop = axis_tuple(source, x.ndim, "moveaxis"), axis_tuple(destination, x.ndim, "moveaxis")
    if len(start) != len(stop):
        raise ValueError("`source` and `destination` arguments must have the same number of elements")
    order = [i for i in range(x.ndim) if i not in start]
    for to, of in sorted(zip(stop, start, strict=True)):
        order.insert(to, of)
    return permute_dims(x, order)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved back until it stands before another."""
    x = arr(a)
    d = one_axis(axis, x.ndim)
    if not -x.ndim <= start <= x.ndim:
        one_axis(start, x.ndim + 1)
    start = start + x.ndim if start < 0 else start
    return moveaxis(x, d, start - 1 if d < start else start)


def broadcast_to(array: Any, /, shape: Any, subok: bool = False) -> Any:
    """The array repeated along sizes of 1 and new leading dimensions, by stride."""
    x, sizes = arr(array), shape_of(shape)
    if broadcast(tuple(x.node.shape), sizes, "broadcast_to") != sizes:
        raise ValueError(
            f"operands could not be broadcast together: input shape {tuple(x.node.shape)} and requested "
            f"shape {sizes}"
        )
    return lift(expand(x, *sizes) if sizes else x.clone())


def broadcast_shapes(*args: Any) -> tuple:
    """The shape that arrays of these shapes are broadcast to."""
    shape: tuple = ()
    for given in args:
        shape = broadcast(shape, shape_of(given), "broadcast_shapes")
    return shape


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple:
    """Arrays broadcast to their common shape."""
    arrays = [arr(a) for a in args]
    shape = broadcast_shapes(*[tuple(a.node.shape) for a in arrays])
    return tuple(broadcast_to(a, shape) for a in arrays)


# ---------------------------------------------------------------- reordering and repeating
def flip(m: Any, /, axis: Any = None) -> Any:
    """The order reversed along axes, all of them unless given."""
    x = arr(m)
    axes = axis_tuple(axis, x.ndim, "flip")
    return lift(moving.flip(x, axes) if axes else x.clone())


def fliplr(m: Any) -> Any:
    """The second axis reversed."""
    x = arr(m)
    if x.ndim < 2:
        raise ValueError("Input must be >= 2-d.")
    return flip(x, 1)


def flipud(m: Any) -> Any:
    """The first axis reversed."""
    x = arr(m)
    if x.ndim < 1:
        raise ValueError("Input must be >= 1-d.")
    return flip(x, 0)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """The plane of two axes turned by 90 degrees, k times, from the first towards the second."""
    x = arr(m)
    if len(axes) != 2 or (len(axes) == 2 and axes[0] == axes[1]) or abs(axes[0] - axes[1]) == x.ndim:
        raise ValueError("Axes must be different.")
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise ValueError(f"Axes={axes} out of range for array of ndim={x.ndim}.")
    a, b = (one_axis(i, x.ndim) for i in axes)
    turns = k % 4
    if turns == 0:
        return lift(x.clone())
    if turns == 2:
        return flip(x, (a, b))
    return swapaxes(flip(x, b), a, b) if turns == 1 else flip(swapaxes(x, a, b), b)


def roll(a: Any, /, shift: Any, axis: Any = None) -> Any:
    """Elements moved along axes, those that fall off coming in at the other end; flattened when axis is None."""
    x = arr(a)
    if axis is None:
        return lift(
            moving.reshape(
                moving.roll(moving.reshape(x, (-1,)), int_value(_only(shift)), 0), tuple(x.node.shape)
            )
        )
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,)
    if len(axes) == 1:
        axes = axes * len(shifts)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    if len(shifts) != len(axes):
        raise ValueError("'shift' and 'axis' should be scalars or 1D sequences")
    total: dict[int, int] = {}
    for s, d in zip(shifts, axes, strict=True):
        d = one_axis(d, x.ndim)
        total[d] = total.get(d, 0) + int_value(s)
    if not x.numel() or not total:
        return lift(x.clone())
    return lift(moving.roll(x, tuple(total.values()), tuple(total)))


def _only(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return sum(int_value(v) for v in value)
    return value
