"""Copies, casts, devices, pickling and reading values out: what `Tensor`'s conversion methods do."""

from __future__ import annotations

import copy
import sys
from typing import Any

from squall.base import pytree
from squall.base.dtypes import DType, as_dtype, dtype_named, numpy_dtype
from squall.base.errors import ArgumentError, AutogradError, DeviceError, ShapeError
from squall.base.formats import channels_last, channels_last_3d, check_format, contiguous_format
from squall.frontend import creation, indexing, interop
from squall.frontend.core import Handle, cast, require_no_grad_leaf, result, scalar_node, wrap
from squall.frontend.entries import Native
from squall.frontend.evaluation import value_of
from squall.frontend.movement import permute
from squall.frontend.state import local
from squall.frontend.tape import GradRecord, Leaf
from squall.frontend.tracing import check_no_value
from squall.frontend.views import overwrite, untracked
from squall.ir.node import Node, tensor_type
from squall.ir.op import make, ops
from squall.runtime.peek import read


class Device(str):
    """The name of a device, such as `cpu`; equal to its string."""

    __slots__ = ()

    def __new__(cls, device: Any = None, index: Any = None, *, type: Any = None) -> Device:
        """The device of a name with a number or without, or of another device."""
        if (device is None) == (type is None):
            raise TypeError("device(): expected one of device, as 'cpu' or 'cpu:0', and type")
        name = str(device) if type is None else str(type)
        if index is not None and ":" in name:
            raise ArgumentError(f"device(): {name!r} has a number already; index={index} is one too many")
        return str.__new__(cls, name if index is None else f"{name}:{int(index)}")

    @property
    def type(self) -> str:
        """The kind of device, without a number."""
        return str.__str__(self).partition(":")[0]

    @property
    def index(self) -> int | None:
        """The number of the device, or None."""
        number = str.__str__(self).partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        return (
            f"device(type={self.type!r})"
            if self.index is None
            else f"device(type={self.type!r}, index={self.index})"
        )


def read_item(tensor: Any) -> Any:
    """The one value of a tensor, as a Python number."""
    check_no_value("item()", tensor)
    node = value_of(tensor)
    return read(node.buffer.pointer, node.dtype.short)


def own_memory(made: Any, source: Any) -> Any:
    """A result, cloned where it is or shows what it was made of: what promises a new Tensor gives one."""
    shares = made is source or (made._cell is not None and made._cell is source._cell)
    return clone(made) if shares else made


def clone(tensor: Any) -> Any:
    """A handle with storage of its own. Nodes are values, so nothing is copied until somebody writes."""
    edge = tensor.edge
    node = tensor.node
    state = local.state
    if state.trace is not None:
        state.trace.saw((tensor,), (node,))
    history = None
    if edge is not None and state.grad and not state.inference:
        history = GradRecord(ops.reshape, (tuple(node.shape),), (edge,), (node.type,), node.type)
    if state.trace is not None:  # a Node of its own: what is written to the copy is not written to the original
        node = Node(ops.reshape, (node,), (tuple(node.shape),), tensor_type(tuple(node.shape), node.dtype, node.device))
    if node.type.__class__ is not interop.SharedType:
        out = result(node, history) if node.buffer is None else wrap(node, history)
        if state.trace is not None:
            state.trace.made(out)
        return out
    copy = wrap(interop.computed(interop.array_view(node).copy(order="C")))
    copy._edge = history
    return copy


def copy_(target: Any, source: Any) -> Any:
    """Write values in place: cast, broadcast, with history."""
    node = target.node
    shape = node.type.shape
    if source.__class__ in (int, float) and node.type.dtype.category == 2 and shape and Native.write is not None:
        if Native.write((target,), (make(ops.expand, (scalar_node(source, node.type.dtype),), (shape,)),)):
            return target
    require_no_grad_leaf(target)
    overwrite(target, indexing.fitted(source, tuple(node.shape), node.dtype, "copy_"), not untracked(target))
    return target


def to(tensor: Any, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, non_blocking: bool = False,
       memory_format: Any = None) -> Any:
    """Another dtype or device from PyTorch's argument forms."""
    for value in args:
        if isinstance(value, Handle):
            dtype = value.node.dtype
        elif isinstance(value, DType) or value in (float, int, bool):
            dtype = value
        elif isinstance(value, str) and not isinstance(value, bool):
            device = value
        elif value is not None and not isinstance(value, bool):
            dtype = as_dtype(value)
    if device is not None:
        creation.check_device(device, "to")
    out = tensor if dtype is None else cast(tensor, as_dtype(dtype))
    out = clone(out) if copy and out is tensor else out
    return out if memory_format is None else laid_out(out, memory_format, "to")


def laid_out(x: Any, memory_format: Any, function: str) -> Any:
    """The Tensor with logical strides of a memory format: itself, or a copy whose channels lie last."""
    if memory_format not in (channels_last, channels_last_3d):
        check_format(memory_format, None, function)
        return clone(x) if memory_format is contiguous_format and not x.is_contiguous() else x
    rank = 4 if memory_format is channels_last else 5
    if len(x.node.shape) != rank:
        raise ShapeError(f"{function}: {memory_format} needs {rank} dimensions, got shape {list(x.node.shape)}")
    moved = permute(x, (0, *range(2, rank), 1))
    return permute(moved if moved.is_contiguous() else clone(moved), (0, rank - 1, *range(1, rank - 1)))


def as_array(tensor: Any, dtype: Any, copy: bool | None) -> Any:
    """NumPy's `__array__` protocol."""
    array = interop.to_numpy(tensor)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError("a copy is needed to convert the dtype")
        return array.astype(dtype)
    return array.copy() if copy else array


def array_function(function: Any, args: tuple, kwargs: dict) -> Any:
    """NumPy's `__array_function__` protocol: NumPy's functions of Tensors work on their memory and give arrays."""
    arrays = pytree.map_leaves(lambda x: interop.to_numpy(x) if isinstance(x, Handle) else x, (args, kwargs))
    return function(*arrays[0], **arrays[1])


_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


def array_namespace(api_version: str | None) -> Any:
    """The Array API's namespace. It is found through the package, whose table of contents loads it on first touch."""
    if api_version is not None and api_version not in _VERSIONS:
        served = ", ".join(_VERSIONS)
        raise ValueError(f"__array_namespace__: version {api_version!r} is not served; there are {served}")
    return sys.modules["squall"].numpy


def to_device(tensor: Any, device: Any, stream: Any) -> Any:
    """The Array API's move to a device; ValueError for one that is not there, and for any stream."""
    if stream is not None:
        raise ValueError("to_device: the CPU has no streams; leave 'stream' out")
    try:
        creation.check_device(device, "to_device")
    except DeviceError as error:
        raise ValueError(str(error)) from None
    return tensor


def pickled(tensor: Any) -> tuple:
    """How a Tensor is pickled: bytes, shape, dtype; history is not kept."""
    if tensor.edge is not None and tensor.edge.__class__ is not Leaf:
        raise AutogradError(
            "Only Tensors created explicitly by the user (graph leaves) support pickling; detach() first"
        )
    array = tensor.detach_array()
    return rebuild, (array.tobytes(), tuple(tensor.node.shape), tensor.node.dtype.name, tensor.edge is not None)


def rebuild(data: bytes, shape: tuple[int, ...], dtype: str, requires_grad: bool) -> Any:
    """A Tensor from what `pickled` gave."""
    import numpy

    array = numpy.frombuffer(data, dtype=numpy_dtype(dtype_named(dtype))).reshape(shape).copy()
    return creation.require_grad(wrap(interop.computed(array)), requires_grad)


def deep_copy(tensor: Any, memo: dict) -> Any:
    """A leaf with the same values, flags and class."""
    if id(tensor) in memo:
        return memo[id(tensor)]
    edge = tensor.edge
    if edge is not None and edge.__class__ is not Leaf:
        raise AutogradError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                            "at the moment; detach() first")
    out = object.__new__(type(tensor))
    fresh = clone(tensor.detach())
    out._node, out._cell, out._view, out._edge = fresh._node, fresh._cell, fresh._view, None
    if edge is not None:
        out._edge = Leaf(tensor.node.type)
        if edge.grad is not None:
            out._edge.grad = deep_copy(edge.grad.detach(), memo)
    if hasattr(tensor, "__dict__"):
        out.__dict__.update(copy.deepcopy(tensor.__dict__, memo))
    memo[id(tensor)] = out
    return out
