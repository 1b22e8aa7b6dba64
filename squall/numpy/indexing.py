"""`x[...]` of ndarrays: what NumPy's indexing has beyond PyTorch's, brought into the form that Tensors take.

Negative steps become a slice and a flip; integers beside index arrays take part in their broadcasting; NumPy arrays,
lists and booleans are index arrays.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, int64
from squall.base.errors import IndexRangeError, ShapeError
from squall.base.shapes import numel
from squall.frontend import functions_complex, functions_movement, indexing
from squall.frontend.core import Handle
from squall.frontend.creation import arange, filled
from squall.numpy.core import arr, cast, is_array
from squall.numpy.shaping import broadcast_to


def _item(item: Any) -> Any:
    """An index as slice, int, None, Ellipsis, bool or ndarray."""
    if item is None or item is Ellipsis or item.__class__ in (int, bool, slice):
        return item
    if is_array(item):
        made = arr(item)
    elif isinstance(item, (list, tuple)) or hasattr(item, "__array__"):
        made = arr(item)
        if not made.numel() and made.node.dtype.category == 2 and isinstance(item, (list, tuple)):
            made = cast(made, int64)
    elif hasattr(item, "__index__"):
        return item.__index__()
    else:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean "
            "arrays are valid indices"
        )
    kind = made.node.dtype
    if kind.category > 1:
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    if not made.node.shape:
        return bool(made) if kind is bool_ else int(made.item())
    return made if kind is bool_ else cast(made, int64)


def _spread(x: Any, items: Any) -> list:
    """One entry for each dimension, the ellipsis written out."""
    given = [_item(i) for i in (items if isinstance(items, tuple) else (items,))]
    used = sum(_width(i) for i in given if i is not Ellipsis)
    if used > x.ndim:
        raise IndexError(
            f"too many indices for array: array is {x.ndim}-dimensional, but {used} were indexed"
        )
    dots = [k for k, i in enumerate(given) if i is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    place = dots[0] if dots else len(given)
    spread = given[:place] + [slice(None)] * (x.ndim - used) + given[place + len(dots) :]
    return _fitting_masks(x.node.shape, spread)


def _fitting_masks(shape: tuple, items: list) -> list:
    """Masks that choose nothing in the shape of what they index: NumPy lets a size of 0 stand beside any other."""
    out, source = [], 0
    for item in items:
        if isinstance(item, Handle) and item.node.dtype is bool_:
            own, wanted = tuple(item.node.shape), tuple(shape[source : source + item.ndim])
            if own != wanted and 0 in own and all(a in (0, b) for a, b in zip(own, wanted, strict=True)):
                item = filled(wanted, False, bool_)
        out.append(item)
        source += _width(item)
    return out


def _width(item: Any) -> int:
    """How many dimensions an index takes of the array."""
    if item is None or item.__class__ is bool:
        return 0
    return item.ndim if isinstance(item, Handle) and item.node.dtype is bool_ else 1


def _forward(item: slice, size: int) -> tuple[slice, bool]:
    """The slice with a positive step, and whether its result is to be flipped."""
    start, stop, step = (
        v if v is None or v.__class__ is int else v.__index__() for v in (item.start, item.stop, item.step)
    )
    if step is None or step > 0:
        return slice(start, stop, step), False
    if step == 0:
        raise ValueError("slice step cannot be zero")
    first, last, _ = slice(start, stop, step).indices(size)
    count = len(range(first, last, step))
    if not count:
        return slice(0, 0, 1), False
    low = first + (count - 1) * step
    return slice(low, first + 1, -step), True


def _normal(x: Any, items: Any) -> tuple[list, list[int]]:
    """The index with forward slices only, and the dimensions of the result of its basic part that are to be flipped."""
    spread = _spread(x, items)
    source = result = 0
    flips, out = [], []
    for item in spread:
        if item.__class__ is slice:
            item, turned = _forward(item, x.node.shape[source])
            flips += [result] if turned else []
        source += _width(item)
        result += _result_width(item)
        out.append(item)
    return out, flips


def _result_width(item: Any) -> int:
    """How many dimensions the basic part of the result has for an index; masks and index arrays keep theirs."""
    return 0 if item.__class__ is int else _width(item) or 1


def _mixed(x: Any, items: list) -> list:
    """Integers beside index arrays as arrays of one element."""
    arrays = [i for i in items if isinstance(i, Handle)]
    if not arrays:
        return items
    rank = max(1 if i.node.dtype is bool_ else i.ndim for i in arrays)
    out, source = [], 0
    for item in items:
        if item.__class__ is int:
            size = x.node.shape[source]
            if not -size <= item < size:
                raise IndexError(f"index {item} is out of bounds for axis {source} with size {size}")
            out.append(filled((1,) * rank, item, int64))
        else:
            out.append(item)
        source += _width(item)
    return out


def get(x: Any, items: Any) -> Any:
    """What `x[items]` of a Tensor gives, as a Tensor."""
    if items.__class__ is int and x.node.shape:
        try:
            return indexing.getitem(x, items)
        except IndexRangeError as error:
            raise IndexError(str(error)) from None
    plain, flips = _normal(x, items)
    if flips and any(isinstance(i, Handle) for i in plain):  # slices first, then what is left
        only = [
            i if i.__class__ is slice else None if i is None else slice(None) for i in _whole_ranks(plain)
        ]
        x = get(x, tuple(i for i in only if i is not None))
        x = functions_movement.flip(x, tuple(_source_flips(plain, flips)))
        return get(x, tuple(slice(None) if i.__class__ is slice else i for i in plain))
    made = indexing.getitem(x, tuple(_mixed(x, plain)))
    return functions_movement.flip(made, tuple(flips)) if flips else made


def _whole_ranks(items: list) -> list:
    out = []
    for item in items:
        out += [slice(None)] * item.ndim if isinstance(item, Handle) and item.node.dtype is bool_ else [item]
    return out


def _source_flips(items: list, flips: list[int]) -> list[int]:
    """The source dimensions of the slices that are to be flipped."""
    source = result = 0
    out = []
    for item in items:
        if item.__class__ is slice and result in flips:
            out.append(source)
        source += _width(item)
        result += _result_width(item)
    return out


def _places(x: Any, items: Any) -> list:
    """The coordinates of what an index reads, as index arrays."""
    shape = tuple(x.node.shape)
    number = get(arange(numel(shape)).reshape(shape), items)
    places: list = []
    for size in shape[::-1]:
        places.append(number % size)
        number = number // size
    return places[::-1]


def put(x: Any, items: Any, value: Any) -> None:
    """`x[items] = value` in place: the value is cast and broadcast to what is written."""
    kind = x.node.dtype
    if value.__class__ not in (int, float, bool):
        value = arr(value)
    if isinstance(value, Handle) and value.node.dtype.category == 3 and kind.category < 3:
        value = functions_complex.real(value)
    elif value.__class__ is complex and kind.category < 3:
        raise TypeError(
            f"int() argument must be a string or a real number, not 'complex' (array of {kind.name})"
        )
    plain, flips = _normal(x, items)
    if flips:
        if any(isinstance(i, Handle) for i in plain):
            plain = _places(x, items)
        else:
            target = indexing.getitem(x, tuple(plain))
            value = functions_movement.flip(arr(broadcast_to(value, tuple(target.node.shape))), tuple(flips))
    try:
        indexing.setitem(
            x, tuple(_mixed(x, plain)), cast(value, kind) if isinstance(value, Handle) else value
        )
    except ShapeError as error:
        raise ValueError(str(error)) from None
