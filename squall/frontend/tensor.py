"""Tensor: the class users hold. Its slots and recording are in `core.py`, its method families in `methods_*.py`."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, default_dtype
from squall.base.errors import ArgumentError, AutogradError, DtypeError, ShapeError
from squall.base.formats import channels_last, channels_last_3d, contiguous_format, preserve_format
from squall.base.shapes import is_contiguous, normalize_dim, numel
from squall.frontend import autograd, conversion, creation, interop, tracing, typed
from squall.frontend.core import Handle, apply, cast, record, set_tensor_class, wrap
from squall.frontend.declaring import methods_with_other_names
from squall.frontend.display import render
from squall.frontend.evaluation import value_of
from squall.frontend.methods_arithmetic import ArithmeticMethods
from squall.frontend.methods_conversion import DtypeMethods, FactMethods, ShapingMethods
from squall.frontend.methods_more import ElementwiseMethods, MatrixMethods, PlacingMethods
from squall.frontend.methods_movement import MovementMethods
from squall.frontend.methods_of_layers import LayerMethods
from squall.frontend.methods_random import RandomMethods
from squall.frontend.methods_reduction import ReductionMethods
from squall.frontend.methods_unary import UnaryMethods
from squall.frontend.size import Size
from squall.frontend.state import local
from squall.frontend.storage import StorageMethods
from squall.frontend.tape import Leaf
from squall.frontend.views import alias, layout_of, rare, write
from squall.ir.op import ops


class Tensor(Handle, ArithmeticMethods, UnaryMethods, ReductionMethods, MovementMethods, RandomMethods,
             ElementwiseMethods, MatrixMethods, PlacingMethods, DtypeMethods, ShapingMethods, FactMethods,
             StorageMethods, LayerMethods):
    """A multi-dimensional array that records what is done with it, with PyTorch's names and semantics.

    Made by `sq.tensor`, `sq.zeros`, `sq.from_numpy` and every operation.

    Example:
        >>> import squall as sq
        >>> x = sq.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    __slots__ = ()
    __array_priority__ = 1000

    def __new__(cls, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        """A Tensor of the default dtype of nested data, or of sizes (values mean nothing), as `torch.Tensor(...)`."""
        made = typed.made(() if data is None else (data, *args), default_dtype())
        out = object.__new__(cls)
        out._node, out._cell, out._view, out._edge = made._node, None, None, None
        return out

    # ------------------------------------------------------------ what it is
    @property
    def shape(self) -> Size:
        """The sizes."""
        return Size(self.node.shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.node.type.dtype

    @property
    def device(self) -> conversion.Device:
        """Where the values live."""
        return conversion.Device(self.node.type.device)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.node.shape)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made it."""
        edge = self.edge
        return edge is None or edge.__class__ is Leaf

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it. Settable on leaves."""
        return self.edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Make it a leaf that gathers gradients, or stop that."""
        edge = self.edge
        if local.state.trace is not None and requires_grad is (edge is None):
            local.state.trace.rebinds(self, "requires_grad_()")
        if requires_grad and edge is None:
            creation.require_grad(self, True, "requires_grad_")
        elif not requires_grad and edge is not None:
            if edge.__class__ is not Leaf:
                raise AutogradError("you can only change requires_grad flags of leaf variables.")
            self._edge = None
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient gathered by backward, or None."""
        edge = self.edge
        if edge.__class__ is not Leaf:
            return getattr(self, "_rare", {}).get("grad")
        if local.state.trace is not None:
            local.state.trace.leaf(edge)
        return edge.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and value.node.shape != self.node.shape:
            raise ShapeError(
                f"assigned grad has data of a different size: {list(value.node.shape)} for {list(self.node.shape)}"
            )
        edge = self.edge
        if edge.__class__ is not Leaf:
            rare(self)["grad"] = value
            return
        if local.state.trace is not None:
            local.state.trace.leaf(edge)
        edge.grad = value

    @property
    def grad_fn(self) -> Any:
        """The record of the op that made it, or None for leaves."""
        edge = self.edge
        return None if edge.__class__ is Leaf else edge

    @property
    def data(self) -> Tensor:
        """The same memory without history; writes to it do not count as in-place modifications."""
        return alias(self, "data")

    @data.setter
    def data(self, value: Tensor) -> None:
        if local.state.trace is not None:
            local.state.trace.rebinds(self, "setting .data")
        if self._edge is not None and value.node.dtype.category < 2:
            raise DtypeError("data set to a tensor that requires gradients must be floating point or complex dtype")
        shown = alias(value)
        self._cell, self._view, self._node = shown._cell, shown._view, shown._node

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or that of one dimension."""
        shape = self.node.shape
        return Size(shape) if dim is None else shape[normalize_dim(dim, len(shape), "size")]

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.node.shape)

    def numel(self) -> int:
        """The number of elements."""
        return numel(self.node.shape)  # type: ignore[return-value]

    nelement = numel

    def element_size(self) -> int:
        """Bytes an element takes."""
        return self.node.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Logical strides in elements, or that of one dimension."""
        strides = tuple(layout_of(self)[0])
        return strides if dim is None else strides[normalize_dim(dim, len(strides), "stride")]

    def storage_offset(self) -> int:
        """Elements between the start of the storage and this tensor's first."""
        return layout_of(self)[1]

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """Whether the logical layout is row-major, or that of a memory format."""
        x = self
        if memory_format in (channels_last, channels_last_3d):
            rank = len(self.node.shape)
            if rank != (4 if memory_format is channels_last else 5):
                return False
            x = self.permute(0, *range(2, rank), 1)
        return is_contiguous(tuple(x.node.shape), layout_of(x)[0])

    def contiguous(self, memory_format: Any = contiguous_format) -> Tensor:
        """Itself when row-major (or of the memory format), else a copy that is."""
        return self if self.is_contiguous(memory_format) else conversion.laid_out(self, memory_format, "contiguous")

    def is_floating_point(self) -> bool:
        """Whether the dtype is floating."""
        return self.node.dtype.category == 2

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self.node.dtype.category == 3

    # ------------------------------------------------------------ differentiation
    def backward(self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
                 inputs: Any = None) -> None:
        """Add its gradients to the `.grad` of every leaf; see `sq.autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach(self) -> Tensor:
        """The same memory without history."""
        trace = local.state.trace
        cut = None if trace is None else trace.detached(self)
        return alias(self) if cut is None else cut

    def detach_(self) -> Tensor:
        """Forget the history."""
        if self._edge is not None and local.state.trace is not None:
            local.state.trace.rebinds(self, "detach_()")
        self._edge = None
        return self

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is not a leaf."""
        autograd.retain_grad(self)

    def register_hook(self, hook: Any) -> autograd.RemovableHandle:
        """Call `hook(grad)` when the gradient is recorded; what it returns takes its place."""
        return autograd.register_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Any) -> autograd.RemovableHandle:
        """Call `hook(tensor)` after a gradient was added to `.grad`."""
        if self.edge.__class__ is not Leaf:
            raise AutogradError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return autograd.add_hook(self._edge, "after", lambda leaf: hook(self))

    # ------------------------------------------------------------ values
    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item: a Tensor with {self.numel()} elements cannot be converted to Scalar")
        return conversion.read_item(self)

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.detach_array().tolist()

    def detach_array(self) -> Any:
        """The values as an ndarray that must not be written or kept (no sharing is set up)."""
        tracing.check_no_value("reading values", self)
        return interop.array_view(value_of(self))

    def numpy(self, *, force: bool = False) -> Any:
        """The values as an ndarray that shares the memory."""
        return interop.to_numpy(self, force)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return conversion.as_array(self, dtype, copy)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        return conversion.array_function(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The Array API's namespace: `squall.numpy`, whose functions take Tensors and give ndarrays."""
        return conversion.array_namespace(api_version)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """Itself: there is only the CPU."""
        return conversion.to_device(self, device, stream)

    def __dlpack__(self, **options: Any) -> Any:
        return interop.to_dlpack(self, **options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"Boolean value of Tensor with {self.numel()} values is ambiguous; use .any() or .all()")
        return bool(self.item())

    def _number(self) -> Any:
        if self.numel() != 1:
            raise ArgumentError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __int__(self) -> int:
        return int(self._number())

    def __float__(self) -> float:
        return float(self._number())

    def __complex__(self) -> complex:
        return complex(self._number())

    def __index__(self) -> int:
        if self.node.dtype.category > 1 or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.node.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.node.shape[0]  # type: ignore[return-value]

    def __iter__(self) -> Any:
        if not self.node.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        return render(self)

    def __format__(self, spec: str) -> str:
        return (
            format(self.item(), spec)
            if not self.node.shape and spec
            else repr(self)
            if not spec
            else format(str(self), spec)
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        return conversion.pickled(self)

    def __deepcopy__(self, memo: dict) -> Tensor:
        return conversion.deep_copy(self, memo)

    # ------------------------------------------------------------ copies and types
    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy with its own memory; gradients flow through."""
        out = conversion.clone(self)
        return out if memory_format is None else conversion.laid_out(out, memory_format, "clone")

    def copy_(self, src: Any, non_blocking: bool = False) -> Tensor:
        """Write values, cast and broadcast, in place."""
        return conversion.copy_(self, src)

    def fill_(self, value: Any) -> Tensor:
        """Write one value everywhere, in place."""
        if isinstance(value, Handle) and value.node.shape != ():
            raise ShapeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {len(value.node.shape)} dimensions."
            )
        return conversion.copy_(self, value)

    def zero_(self) -> Tensor:
        """Write zeros, in place."""
        return conversion.copy_(self, 0)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Another dtype or device: `to(dtype)`, `to(device)`, `to(other)`."""
        return conversion.to(self, *args, **kwargs)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of its type, such as "squall.FloatTensor"; with a dtype or such a name, the Tensor in it."""
        return typed.type_of(self, dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """The dtype of another tensor."""
        return cast(self, other.node.dtype)

    def cpu(self, memory_format: Any = preserve_format) -> Tensor:
        """Itself: this is the CPU."""
        return self if memory_format is preserve_format else self.contiguous(memory_format)


methods_with_other_names(Tensor)
set_tensor_class(Tensor)
__all__ = ["Tensor", "apply", "ops", "record", "wrap", "write"]
