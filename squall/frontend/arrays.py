"""NumPy arrays and Nodes: memory as arrays, arrays as computed Nodes. No Tensors here."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import FOREIGN, DType, as_dtype, complex_of, default_dtype, numpy_dtype
from squall.base.errors import ArgumentError
from squall.engine.copying import copy_array
from squall.engine.oracle import array_of
from squall.frontend.evaluation import retained
from squall.frontend.state import local
from squall.ir.node import Node, tensor_type
from squall.ir.op import ops
from squall.ops.conversion import to_float8
from squall.runtime.buffer import Buffer


def array_view(node: Node) -> Any:
    """A NumPy view of a computed Node's memory, for squall's own use."""
    if node.op is ops.scalar:
        import numpy

        with numpy.errstate(all="ignore"):
            return numpy.asarray(node.buffer).astype(numpy_dtype(node.dtype))
    return array_of(node)


def computed(array: Any, device: str = "cpu") -> Node:
    """A leaf Node over a private row-major array (nobody else may keep it)."""
    import numpy

    array = numpy.ascontiguousarray(array) if array.ndim else numpy.array(array)
    dtype = as_dtype(array.dtype)
    node = Node(ops.buffer, (), (), tensor_type(tuple(array.shape), dtype, device),
                Buffer(array, array.__array_interface__["data"][0]))
    state = local.state
    if state.trace is not None:
        state.trace.constant(node)
    else:
        retained(state, array.nbytes)
    return node


class NotNumbersError(ArgumentError, TypeError):
    """Data that no dtype holds: PyTorch raises TypeError, ValueError or RuntimeError by what it met first."""


def literal(data: Any, dtype: DType | None = None) -> Any:
    """A new ndarray of numbers, nested sequences or arrays; Python floats become the default dtype.

    Raises:
        TypeError: for data of no shape or dtype squall has.
    """
    import numpy

    from_array = isinstance(data, (numpy.ndarray, numpy.generic)) or hasattr(data, "__array__")
    try:
        array = copy_array(data) if isinstance(data, numpy.ndarray) and data.dtype.kind != "O" else numpy.array(data)
    except ValueError as error:
        raise ValueError(f"tensor: expected sequences of equal lengths at every depth ({error})") from None
    if array.dtype.kind == "f" and not from_array and array.dtype.name == "float64":
        if dtype is None:
            array = array.astype(numpy_dtype(default_dtype()), copy=False)
        elif dtype.category == 2 and dtype.itemsize <= 2:  # as PyTorch, which knows no way from doubles to few bits
            with numpy.errstate(over="ignore"):
                array = array.astype(numpy.float32)
    if array.dtype.kind == "c" and not from_array and dtype is None:
        array = array.astype(numpy_dtype(complex_of(default_dtype())), copy=False)
    if array.dtype.kind in "OUSVMm" and array.dtype.name not in FOREIGN:
        raise NotNumbersError(
            f"tensor: cannot make a tensor of {type(data).__name__} data (NumPy sees dtype {array.dtype}); "
            "give numbers in sequences of equal lengths"
        )
    wanted = None if dtype is None else numpy_dtype(dtype)
    if dtype is not None and array.dtype != wanted:
        with numpy.errstate(all="ignore"):
            array = to_float8(array, dtype) if dtype.is_float8 else array.astype(wanted)
    return array
