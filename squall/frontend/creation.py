"""New tensors: from data, filled, counted, and like others."""

from __future__ import annotations

import math
from typing import Any

from squall.base.dim import Dim, larger
from squall.base.dtypes import DType, as_dtype, category_default, default_dtype, int64, numpy_dtype
from squall.base.errors import ArgumentError, DeviceError, ShapeError
from squall.base.formats import check_format
from squall.frontend.arrays import array_view, computed, literal
from squall.frontend.by_values import by_values
from squall.frontend.core import Handle, cast, category_of, operand, record, result, scalar_node, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.factories import factory
from squall.frontend.interop import from_numpy
from squall.frontend.movement import shape_argument
from squall.frontend.out import into
from squall.frontend.tape import Leaf
from squall.frontend.tracing import check_no_value
from squall.ir.op import make, ops


def check_device(device: Any, function: str = "tensor") -> str:
    """The name of a device that exists; DeviceError names it otherwise."""
    name = "cpu" if device is None else str(device)
    if name.partition(":")[0] != "cpu":
        raise DeviceError(f"{function}: device {name!r} is not available; this build has 'cpu'")
    return "cpu"


def require_grad(tensor: Any, wanted: bool, function: str = "tensor") -> Any:
    """The Tensor, made a leaf that gathers gradients when wanted."""
    if wanted:
        if tensor.node.dtype.category < 2:
            raise ShapeError(
                f"{function}: only Tensors of floating point dtype can require gradients, not {tensor.node.dtype}"
            )
        tensor._edge = Leaf(tensor.node.type)
    return tensor


@factory
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A new Tensor that copies data.

    Args:
        data: a number, nested sequences, an ndarray, or another Tensor. dtype: default: PyTorch's inference (Python
            floats become the default dtype, ints int64). device: "cpu". requires_grad: gather gradients.

    Raises:
        TypeError: for data of no shape or dtype squall has.

    Example:
        >>> import squall as sq
        >>> sq.tensor([[1.0, 2.0], [3.0, 4.0]]).sum().item()
        10.0
    """
    check_device(device)
    out = wrap(computed(_array(data, None if dtype is None else as_dtype(dtype))))
    return require_grad(out, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """A Tensor that shares memory where it can: Tensors as they are, ndarrays through `from_numpy`."""
    check_device(device, "as_tensor")
    import numpy

    if isinstance(data, Handle):
        return data if dtype is None else cast(data, as_dtype(dtype))
    if (
        isinstance(data, numpy.ndarray)
        and data.flags.writeable
        and (dtype is None or numpy_dtype(as_dtype(dtype)) == data.dtype)
    ):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def _array(data: Any, dtype: DType | None) -> Any:
    if isinstance(data, Handle):
        check_no_value("tensor()")
        evaluate_tensors((data,))
        return literal(array_view(data.node), dtype)
    if isinstance(data, (list, tuple)):
        first = _first(data)
        if isinstance(first, Handle):
            return literal(_plain(data), dtype or first.node.dtype)
        if dtype is None and hasattr(first, "dtype"):
            return literal(data, as_dtype(first.dtype))
    return literal(data, dtype)


def _first(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _plain(data: Any) -> Any:
    return (
        data.tolist()
        if isinstance(data, Handle)
        else [_plain(d) for d in data]
        if isinstance(data, (list, tuple))
        else data
    )


def filled(shape: tuple, value: Any, dtype: DType, device: str = "cpu", requires_grad: bool = False) -> Any:
    """A Tensor of one run-time value, not computed yet."""
    if any(isinstance(size, int) and size < 0 for size in shape):
        raise ShapeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    if value.__class__ is not int and (value.__class__ is not float or dtype.category != 2):
        value = _fitting(value, dtype)
    base = value if isinstance(value, Handle) else wrap(scalar_node(value, dtype, device))
    out = record(ops.expand, (base,), (shape,))
    return require_grad(out, requires_grad)


def _fitting(value: Any, dtype: DType) -> Any:
    """A value of another class than its dtype's, as one of that dtype: whole numbers lose what is behind the point."""
    if isinstance(value, Handle):
        if value.node.shape:
            raise ShapeError(f"full: fill_value must have no dimensions, got shape {list(value.node.shape)}")
        return cast(value, dtype)
    if dtype.category != 3 and isinstance(value, complex):
        raise ArgumentError(f"full: fill_value {value} cannot be converted to {dtype} without overflow")
    if dtype.category == 1 and isinstance(value, float) and not math.isfinite(value):
        raise ArgumentError(f"full: fill_value {value} cannot be converted to {dtype} without overflow")
    if dtype.category < 2 and isinstance(value, float):
        return operand(value, dtype)
    return value


@factory
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Any:
    """A Tensor of one value; the dtype follows the value unless given."""
    if dtype is None:
        dtype = fill_value.node.dtype if isinstance(fill_value, Handle) else category_default(category_of(fill_value))
    shape = shape_argument((size,), "full")
    check_format(None, layout, "full")
    made = filled(shape, fill_value, as_dtype(dtype), check_device(device, "full"), requires_grad)
    return into(out, made, "full")


@factory
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
          layout: Any = None, pin_memory: bool = False, memory_format: Any = None) -> Any:
    """A Tensor of zeros.

    Example:
        >>> import squall as sq
        >>> sq.zeros(2, 3).shape
        squall.Size([2, 3])
    """
    check_format(memory_format, layout, "zeros")
    made = filled(shape_argument(size, "zeros"), 0, _float_dtype(dtype), check_device(device, "zeros"), requires_grad)
    return into(out, made, "zeros")


@factory
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
         layout: Any = None, pin_memory: bool = False, memory_format: Any = None) -> Any:
    """A Tensor of ones."""
    check_format(memory_format, layout, "ones")
    made = filled(shape_argument(size, "ones"), 1, _float_dtype(dtype), check_device(device, "ones"), requires_grad)
    return into(out, made, "ones")


@factory
def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
          layout: Any = None, pin_memory: bool = False, memory_format: Any = None) -> Any:
    """A Tensor whose values mean nothing yet (they are zeros: results never depend on old memory)."""
    check_format(memory_format, layout, "empty")
    made = filled(shape_argument(size, "empty"), 0, _float_dtype(dtype), check_device(device, "empty"), requires_grad)
    return into(out, made, "empty")


def _float_dtype(dtype: Any) -> DType:
    return default_dtype() if dtype is None else as_dtype(dtype)


@factory
def full_like(input: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
              layout: Any = None, memory_format: Any = None) -> Any:
    """A Tensor of one value, shaped and typed like another."""
    node = input.node
    check_device(device, "full_like")
    check_format(memory_format, layout, "full_like")
    return filled(node.shape, fill_value, node.dtype if dtype is None else as_dtype(dtype), node.device, requires_grad)


@factory
def zeros_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
               memory_format: Any = None) -> Any:
    """Zeros, shaped and typed like another Tensor."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad, layout=layout,
                     memory_format=memory_format)


@factory
def ones_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
              memory_format: Any = None) -> Any:
    """Ones, shaped and typed like another Tensor."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad, layout=layout,
                     memory_format=memory_format)


@factory
def empty_like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
               memory_format: Any = None) -> Any:
    """Values that mean nothing yet (they are zeros), shaped and typed like another Tensor."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad, layout=layout,
                     memory_format=memory_format)


@by_values("arange")
@factory
def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Any:
    """Numbers from start (0 when one argument is given) below end by step; float32 when any is a float, else int64.

    With an integer dtype the arguments are cut to integers first, as in PyTorch; `out`, where to write the numbers,
    gives its dtype.
    """
    import math

    if dtype is None and isinstance(out, Handle):
        dtype = out.node.dtype
    if start is None or end is None:
        if start is end:
            raise TypeError("arange() missing 1 required positional argument: 'end'")
        start, end = 0, start if end is None else end
    if any(isinstance(v, Dim) for v in (start, end, step)):
        return _symbolic_arange(start, end, step, dtype, requires_grad)
    if dtype is not None and as_dtype(dtype).category == 1:
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise ArgumentError("arange: step must be nonzero")
    if any(isinstance(v, float) and not math.isfinite(v) for v in (start, end)):
        raise ArgumentError(f"arange: unsupported range: {start} -> {end}")
    count = math.ceil((end - start) / step)
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise ArgumentError(f"arange: upper bound and lower bound inconsistent with step sign: {start}, {end}, {step}")
    floating = any(isinstance(v, float) for v in (start, end, step))
    kind = as_dtype(dtype) if dtype is not None else default_dtype() if floating else int64
    check_device(device, "arange")
    import numpy

    wide = numpy.float64 if floating or kind.category == 2 else numpy.int64
    values = numpy.arange(count, dtype=wide) * wide(step) + wide(start)
    made = require_grad(wrap(computed(values.astype(numpy_dtype(kind)))), requires_grad, "arange")
    return made if out is None else into(out, made, "arange")


def _symbolic_arange(start: Any, end: Any, step: Any, dtype: Any, requires_grad: bool) -> Any:
    """Whole numbers between sizes that a compiled function's arguments have when it is called."""
    if not isinstance(step, int) or step < 1 or isinstance(start, float) or isinstance(end, float):
        raise ArgumentError(f"arange: of symbolic sizes the step must be a positive int, got {start}, {end}, {step}")
    count = larger((end - start + step - 1) // step, 0)
    kind = int64 if dtype is None else as_dtype(dtype)
    numbers = result(make(ops.iota, (), (count, int64, "cpu")))
    if step != 1:
        numbers = record(ops.mul, (numbers, wrap(scalar_node(step, int64))), ())
    if not (isinstance(start, int) and start == 0):
        numbers = record(ops.add, (numbers, wrap(scalar_node(start, int64))), ())
    return require_grad(cast(numbers, kind), requires_grad, "arange")


def check_ends(function: str, start: Any, end: Any, steps: Any) -> None:
    """Errors unless both ends are single numbers and `steps` is an int."""
    if isinstance(steps, float):
        raise TypeError(f"{function}: argument 'steps' must be an int, got {steps}")
    for name, value in (("start", start), ("end", end)):
        if getattr(value, "ndim", 0):
            raise ShapeError(f"{function}: argument {name!r} must be a number or a 0-dimensional tensor, got shape "
                             f"{list(value.shape)}")


@factory
def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """`steps` evenly spaced numbers from start to end, both included."""
    import numpy

    check_device(device, "linspace")
    check_ends("linspace", start, end, steps)
    if steps < 0:
        raise ArgumentError(f"linspace: argument 'steps' must not be negative, got {steps}")
    values = numpy.linspace(float(start), float(end), int(steps)).astype(numpy_dtype(_float_dtype(dtype)))
    return require_grad(wrap(computed(values)), requires_grad, "linspace")


@factory
def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Ones on the diagonal of an n by m matrix."""
    import numpy

    check_device(device, "eye")
    for name, size in (("n", n), ("m", m)):
        if size is not None and size < 0:
            raise ArgumentError(f"eye: argument {name!r} must be greater or equal to 0, got {size}")
    if isinstance(n, Dim) or isinstance(m, Dim):
        same = arange(n).unsqueeze(1) == arange(n if m is None else m)
        return require_grad(cast(same, _float_dtype(dtype)), requires_grad, "eye")
    values = numpy.eye(n, m, dtype=numpy_dtype(_float_dtype(dtype)))
    return require_grad(wrap(computed(values)), requires_grad, "eye")


def tril(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """The lower triangle of the last two dimensions; zeros above."""
    return into(out, _triangle(input, diagonal, "le", "tril"), "tril")


def triu(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """The upper triangle of the last two dimensions; zeros below."""
    return into(out, _triangle(input, diagonal, "ge", "triu"), "triu")


def _triangle(input: Any, diagonal: int, comparison: str, function: str) -> Any:
    if input.ndim < 2:
        raise ShapeError(f"{function}: argument 'input' must have at least 2 dimensions, got shape "
                         f"{list(input.node.shape)}")
    rows, columns = input.node.shape[-2:]
    i = arange(rows).unsqueeze(1)
    j = arange(columns).unsqueeze(0)
    keep = (j - i <= diagonal) if comparison == "le" else (j - i >= diagonal)
    return record(ops.where, (keep, input, wrap(scalar_node(0, input.node.dtype))), ())
