"""What every function of `squall.numpy` begins and ends with: Tensors of anything NumPy accepts, results as ndarrays.

An ndarray holds a Tensor and has NumPy's methods (`array_class.py`). Functions unwrap their arguments (`arr`), compute
on Tensors, and wrap what they give (`lift`).
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, bool_, complex128, float64, int64, numpy_dtype, uint64
from squall.frontend.arrays import computed
from squall.frontend.core import Handle, record, scalar_node, wrap
from squall.frontend.core import cast as tensor_cast
from squall.frontend.joining import stack
from squall.ir.op import ops
from squall.numpy.kinds import can_cast, common, dtype_of, number_category


class Wrapped:
    """What an ndarray holds: its Tensor. `array_class.ndarray` adds the methods."""

    __slots__ = ("__weakref__", "tensor")
    tensor: Any

    @property
    def node(self) -> Any:
        """The Tensor's current value."""
        return self.tensor.node

    @property
    def __squall_tensor__(self) -> Any:
        """The Tensor, for squall's functions that take Tensors."""
        return self.tensor


_class: list[type] = [Wrapped]
_new = object.__new__


def set_array_class(cls: type) -> None:
    """Called once by `array_class.py`: the class of results."""
    _class[0] = cls


def lift(made: Any) -> Any:
    """The ndarray around a Tensor, or a tuple of them; ndarrays as they are."""
    if isinstance(made, Handle):
        out = _new(_class[0])
        out.tensor = made
        return out
    if isinstance(made, (tuple, list)):
        return tuple(lift(m) for m in made)
    return made


def is_array(x: Any) -> bool:
    """Whether it is a Tensor or an ndarray."""
    return isinstance(x, (Handle, Wrapped))


def cast(x: Any, dtype: DType) -> Any:
    """The Tensor of another dtype; itself when it already is."""
    return tensor_cast(x.tensor if isinstance(x, Wrapped) else x, dtype)


def fresh(array: Any) -> Any:
    """A Tensor over a NumPy array that nobody else holds."""
    return wrap(computed(array))


def _holds_tensor(data: Any) -> bool:
    return is_array(data) or (isinstance(data, (list, tuple)) and any(_holds_tensor(d) for d in data))


def plain_array(data: Any) -> Any:
    """A NumPy array of a dtype squall has, newly made of data; TypeError names what cannot be held."""
    import numpy

    try:
        array = numpy.array(data)
    except OverflowError as error:
        raise OverflowError(f"asarray: {error}") from None
    if array.dtype.name == "bfloat16":
        return array
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "?biufc" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        raise TypeError(
            f"asarray: data of {type(data).__name__} has NumPy dtype {array.dtype}, which squall does not "
            "have; numbers and booleans up to 64 bits (complex: 128) can be held"
        )
    return array


def arr(data: Any, dtype: DType | None = None) -> Any:
    """The Tensor of an array, a number or nested sequences of them; cast when a dtype is given."""
    if isinstance(data, Wrapped):
        data = data.tensor
    if isinstance(data, Handle):
        return data if dtype is None else tensor_cast(data, dtype)
    category = number_category(data)
    if category is not None and (dtype is None or dtype.category >= category):
        kind = dtype or _number_dtype(data, category)
        check_range(data, kind)
        import numpy

        with numpy.errstate(all="ignore"):
            return fresh(numpy.asarray(data).astype(numpy_dtype(kind)))
    if isinstance(data, (list, tuple)) and data and _holds_tensor(data):
        parts = [arr(d) for d in data]
        joined = dtype or common(parts)
        return stack([tensor_cast(p, joined) for p in parts])
    array = plain_array(data)
    if dtype is not None and array.dtype != numpy_dtype(dtype):
        import numpy

        if number_category(data) is not None:
            check_range(data, dtype)
        if isinstance(data, (list, tuple)) and dtype.category == 1 and array.dtype.kind in "iu":
            array = numpy.array(data, dtype=numpy_dtype(dtype))  # out of range: NumPy's OverflowError
        elif array.dtype.kind == "c" and dtype.category in (1, 2) and not hasattr(data, "__array__"):
            raise TypeError(f"asarray: complex numbers cannot become {dtype}")
        else:
            with numpy.errstate(all="ignore"):
                array = array.astype(numpy_dtype(dtype))
    return fresh(array)


def _number_dtype(value: Any, category: int) -> DType:
    if category == 1:
        if -(1 << 63) <= value < 1 << 63:
            return int64
        if 0 <= value < 1 << 64:
            return uint64
        raise OverflowError(f"asarray: Python integer {value} is out of bounds for int64 and uint64")
    return float64 if category == 2 else complex128


def check_range(value: Any, dtype: DType) -> None:
    """OverflowError for a Python integer that an integer dtype does not hold."""
    if value.__class__ is int and dtype.category == 1:
        bits = dtype.itemsize * 8
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype.signed else (0, (1 << bits) - 1)
        if not low <= value <= high:
            raise OverflowError(f"Python integer {value} out of bounds for {dtype.name}")


def of_dtype(value: Any, dtype: DType) -> Any:
    """An operand as a Tensor of a dtype; Python numbers become run-time scalars."""
    category = number_category(value)
    if category is None and value.__class__ is bool:
        category = 0
    if category is not None:
        check_range(value, dtype)
        if dtype is bool_:
            value = bool(value)
        elif dtype.category < category:
            value = complex(value).real if dtype.category == 2 else int(value)
        if value.__class__ is int and dtype.category >= 2:
            value = float(value)
        return wrap(scalar_node(value, dtype))
    return cast(value, dtype)


def write_out(out: Any, made: Any, casting: str = "same_kind", function: str = "") -> Any:
    """A result as an ndarray, written into `out` when that is given: an ndarray, a Tensor or a NumPy array.

    Raises:
        TypeError: when the cast is not allowed. ValueError: when the shapes differ.
    """
    if isinstance(out, tuple):
        if len(out) != 1:
            raise ValueError(f"{function}: 'out' must be an array or a tuple of one")
        out = out[0]
    if out is None:
        return lift(made)
    if tuple(out.shape) != tuple(made.node.shape):
        raise ValueError(
            f"{function}: output array has the wrong shape {tuple(out.shape)}; the result has shape "
            f"{tuple(made.node.shape)}"
        )
    if not can_cast(made.node.dtype, dtype_of(out.dtype), casting):
        raise TypeError(
            f"Cannot cast ufunc '{function}' output from dtype('{made.node.dtype.name}') to "
            f"dtype('{dtype_of(out.dtype).name}') with casting rule '{casting}'"
        )
    if is_array(out):
        if made is not out:
            arr(out).copy_(cast(made, out.node.dtype))
        return out
    out[...] = arr(made).detach_array()
    return out


def axis_tuple(axis: Any, rank: int, function: str) -> tuple[int, ...]:
    """Axes as non-negative ints, all of them for None.

    Raises:
        AxisError: NumPy's, for an axis out of range. ValueError: for one given twice.
    """
    if axis is None:
        return tuple(range(rank))
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    found = tuple(one_axis(a, rank) for a in given)
    if len(set(found)) != len(found):
        raise ValueError(f"{function}: duplicate value in 'axis': {given}")
    return found


def one_axis(axis: Any, rank: int) -> int:
    """An axis as a non-negative int; NumPy's AxisError when it is out of range."""
    from numpy.exceptions import AxisError

    if isinstance(axis, float):
        raise TypeError(f"axis must be an integer, got {axis!r}")
    index = axis.__index__()
    if not -rank <= index < rank:
        raise AxisError(index, rank)
    return index % rank if rank else 0


def int_value(x: Any) -> int:
    """An integer given as a number or an array of one element."""
    return x.__index__() if hasattr(x, "__index__") else int(x)


def shape_of(shape: Any) -> tuple:
    """A shape given as an int or a sequence."""
    if is_array(shape):
        shape = shape.tolist()
    given = tuple(shape) if hasattr(shape, "__iter__") else (shape,)
    if any(isinstance(s, float) for s in given):
        raise TypeError(f"'float' object cannot be interpreted as an integer: shape {given}")
    sizes = tuple(s if hasattr(s, "terms") else int_value(s) for s in given)
    if any(isinstance(s, int) and s < 0 for s in sizes):
        raise ValueError(f"negative dimensions are not allowed, got shape {sizes}")
    return sizes


def taken(x: Any, index: Any, axis: int) -> Any:
    """Elements of positions along an axis; positions are checked when the plan runs."""
    return record(ops.take, (x, cast(index, int64)), (axis,))
