"""Tensor methods: dtypes by name, new Tensors like one, shapes changed in place, and facts about a Tensor."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from squall.base.dtypes import as_dtype
from squall.base.errors import AutogradError, ShapeError
from squall.base.formats import check_format, strided
from squall.base.shapes import numel
from squall.frontend import (
    complex_views,
    conversion,
    creation,
    creation_more,
    functions,
    functions_movement,
    movement,
    reductions,
    typed,
)
from squall.frontend.core import cast
from squall.frontend.declaring import in_place
from squall.frontend.state import local, set_grad_enabled
from squall.frontend.tape import GradRecord, Leaf
from squall.frontend.views import alias, same_handle

if TYPE_CHECKING:
    from squall.frontend.tensor import Tensor


def _to(method: str, name: str) -> Any:
    def convert(self: Any, memory_format: Any = None) -> Any:
        out = cast(self, as_dtype(name))
        return out if memory_format is None else conversion.laid_out(out, memory_format, method)

    convert.__name__ = convert.__qualname__ = method
    convert.__doc__ = f"The values as {name}."
    return convert


def _check_order(x: Any, formats: Any) -> None:
    """RuntimeError where the order of dimensions is not the only one: by equal strides or sizes of 1."""
    strides = x.stride()
    several = 1 in x.node.shape or any(a == b for a, b in pairwise(strides))
    fitting = [f for f in formats if x.is_contiguous(memory_format=f)] if isinstance(formats, list) else []
    if several and len(fitting) != 1:
        raise RuntimeError(f"dim_order: strides {strides} of shape {tuple(x.node.shape)} fit several orders")


class DtypeMethods:
    """Mixed into Tensor: conversion by the names of dtypes, and new Tensors."""

    __slots__ = ()
    float, double, half = _to("float", "float32"), _to("double", "float64"), _to("half", "float16")
    int, long, short = _to("int", "int32"), _to("long", "int64"), _to("short", "int16")
    byte, char, bool = _to("byte", "uint8"), _to("char", "int8"), _to("bool", "bool")
    bfloat16 = _to("bfloat16", "bfloat16")
    cfloat, cdouble = _to("cfloat", "complex64"), _to("cdouble", "complex128")

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False,
                  layout: Any = None, pin_memory: Any = False) -> Tensor:
        """Zeros of this dtype."""
        return _new(self, size, 0, dtype, device, requires_grad, layout, "new_zeros")

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False,
                 layout: Any = None, pin_memory: Any = False) -> Tensor:
        """Ones of this dtype."""
        return _new(self, size, 1, dtype, device, requires_grad, layout, "new_ones")

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False,
                  layout: Any = None, pin_memory: Any = False) -> Tensor:
        """Values that mean nothing yet (they are zeros), of this dtype."""
        return _new(self, size, 0, dtype, device, requires_grad, layout, "new_empty")

    def new_full(self, size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False,
                 layout: Any = None, pin_memory: Any = False) -> Tensor:
        """One value of this dtype."""
        return _new(self, (size,), fill_value, dtype, device, requires_grad, layout, "new_full")

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """New data of this dtype."""
        return creation.tensor(data, dtype=dtype or self.node.dtype, device=device,  # type: ignore[attr-defined]
                               requires_grad=requires_grad)

    def new_empty_strided(self, size: Any, stride: Any, dtype: Any = None, device: Any = None,
                          requires_grad: Any = False, layout: Any = None, pin_memory: Any = False) -> Tensor:
        """Values that mean nothing yet, of this dtype, with logical strides of a permuted row-major order."""
        return creation_more.empty_strided(size, stride, dtype=dtype or self.node.dtype,  # type: ignore[attr-defined]
                                           device=device, requires_grad=requires_grad, layout=layout)


def _new(x: Any, size: tuple, value: Any, dtype: Any, device: Any, requires_grad: Any, layout: Any, name: str) -> Any:
    check_format(None, layout, name)
    kind = x.node.dtype if dtype is None else as_dtype(dtype)
    shape = movement.shape_argument(size, name)
    return creation.filled(shape, value, kind, creation.check_device(device, name), requires_grad)


def become(target: Any, shown: Any, name: str) -> Any:
    """Let a handle show what a view of it shows: how shapes change in place. Memory and history are the view's."""
    if local.state.trace is not None:
        local.state.trace.rebinds(target, name)
    if target._edge.__class__ is Leaf and local.state.grad:
        raise AutogradError("a leaf Variable that requires grad is being used in an in-place operation.")
    target._cell, target._view, target._node, target._edge = shown._cell, shown._view, shown._node, shown._edge
    return target


def _shaped(target: Any, view: Any, name: str, *given: Any, **named: Any) -> Any:
    """`become` a view of itself, whose history goes on where none is recorded."""
    leaf = target._edge if target._edge.__class__ is Leaf else None
    with set_grad_enabled(local.state.grad or target._edge.__class__ is GradRecord):
        shown = view(target, *given, **named)
    if shown._view.base is target:  # other views go on to be views of what it was
        shown._view.base = None if leaf is not None else same_handle(target)
    become(target, shown, name)
    target._cell.version += 1  # as PyTorch counts it: what was saved had another shape
    target._view.epoch = target._cell.version
    if leaf is not None:
        leaf.type = target.node.type
        target._edge = leaf
    return target


class ShapingMethods:
    """Mixed into Tensor: shapes changed in place."""

    __slots__ = ()

    def squeeze_(self, *dims: Any, dim: Any = None) -> Tensor:
        """In place: sizes of 1 dropped."""
        return _shaped(self, movement.squeeze, "squeeze_()", *dims, dim=dim)

    def unsqueeze_(self, dim: int) -> Tensor:
        """In place: a size of 1 put in."""
        return _shaped(self, movement.unsqueeze, "unsqueeze_()", dim)

    def transpose_(self, dim0: int, dim1: int) -> Tensor:
        """In place: two dimensions exchanged."""
        return _shaped(self, movement.transpose, "transpose_()", dim0, dim1)

    swapaxes_ = swapdims_ = transpose_  # `methods_with_other_names` gives the first one names of its own

    def t_(self) -> Tensor:
        """In place: a matrix transposed."""
        return _shaped(self, movement.matrix_transpose, "t_()")

    def resize_(self, *sizes: Any, size: Any = None, memory_format: Any = None) -> Tensor:
        """In place: another number of elements; those that stay keep their values, new ones are zeros."""
        check_format(memory_format, None, "resize_")
        shape = movement.shape_argument(sizes if size is None else (size,), "resize_")
        if self.edge is not None:  # type: ignore[attr-defined]
            raise AutogradError("cannot resize variables that require grad")
        flat, count = movement.reshape(self, -1), numel(shape)
        have = flat.node.shape[0]
        if count > have:
            flat = functions_movement.cat((flat, creation.zeros(count - have, dtype=flat.node.dtype)))
        return become(self, movement.view(alias(flat.narrow(0, 0, count)), *shape), "resize_()")

    def resize_as_(self, the_template: Tensor, memory_format: Any = None) -> Tensor:
        """In place: the shape of another Tensor; see `resize_`."""
        return self.resize_(the_template.node.shape, memory_format=memory_format)

    def fill_diagonal_(self, fill_value: Any, wrap: bool = False) -> Tensor:
        """In place: one value along the main diagonal; with `wrap` again below it in tall matrices."""
        shape = self.node.shape  # type: ignore[attr-defined]
        if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
            raise ShapeError(f"fill_diagonal_: expected a matrix, or equal sizes, got shape {list(shape)}")
        step = sum(self.stride()) if len(shape) > 2 else shape[1] + 1  # type: ignore[attr-defined]
        rows = shape[0] if wrap or len(shape) > 2 else min(shape[:2])
        count = min(-(-rows * (numel(shape) // shape[0]) // step), -(-numel(shape) // step))
        places = creation.arange(count) * step
        value = creation.full((count,), fill_value, dtype=self.node.dtype)  # type: ignore[attr-defined]
        return in_place(_put_flat)(self, places, value)

    def tril_(self, diagonal: int = 0) -> Tensor:
        """In place: the lower triangle."""
        return in_place(creation.tril)(self, diagonal)

    def triu_(self, diagonal: int = 0) -> Tensor:
        """In place: the upper triangle."""
        return in_place(creation.triu)(self, diagonal)

    def cumsum_(self, dim: int, *, dtype: Any = None) -> Tensor:
        """In place: running sums along dim."""
        return in_place(reductions.running_sum)(self, dim, dtype)

    def cumprod_(self, dim: int, *, dtype: Any = None) -> Tensor:
        """In place: running products along dim."""
        return in_place(reductions.running_product)(self, dim, dtype)

    def repeat_interleave(self, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
        """Each position repeated next to itself."""
        return functions_movement.repeat_interleave(self, repeats, dim, output_size=output_size)

    def unsafe_split_with_sizes(self, split_sizes: Any, dim: int = 0) -> tuple:
        """Consecutive parts of the listed sizes, each by itself."""
        return tuple(v.clone() for v in movement.split(self, list(split_sizes), dim))


def _put_flat(x: Any, places: Any, value: Any) -> Any:
    return x.put(places, value)


class FactMethods:
    """Mixed into Tensor: what is known without its values, and comparison as a whole."""

    __slots__ = ()
    is_cpu = True
    is_cuda = is_sparse = is_quantized = is_meta = is_mps = is_nested = False
    is_xpu = is_xla = is_mtia = is_maia = is_ipu = is_vulkan = is_mkldnn = is_sparse_csr = False
    allclose, isclose, equal = functions.allclose, functions.isclose, functions.equal
    layout = strided

    @property
    def itemsize(self) -> int:
        """Bytes an element takes."""
        return self.node.dtype.itemsize  # type: ignore[attr-defined]

    @property
    def nbytes(self) -> int:
        """Bytes all elements take."""
        return self.itemsize * numel(self.node.shape)  # type: ignore[attr-defined]

    @property
    def real(self) -> Tensor:
        """The real part, as a view; a real Tensor itself."""
        return complex_views.real(self)

    @real.setter
    def real(self, value: Any) -> None:
        self.real.copy_(value)

    @property
    def imag(self) -> Tensor:
        """The imaginary part of a complex Tensor, as a view."""
        return complex_views.imag(self)

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag.copy_(value)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was asked of a Tensor that is not a leaf."""
        return self.edge is not None and self.edge.__class__ is not Leaf and bool(  # type: ignore[attr-defined]
            getattr(self, "_rare", {}).get("retains"))

    def ndimension(self) -> int:
        """The number of dimensions."""
        return len(self.node.shape)  # type: ignore[attr-defined]

    def dim_order(self, *, ambiguity_check: Any = False) -> tuple:
        """The dimensions from the largest logical stride to the smallest.

        Args:
            ambiguity_check: whether to raise where several orders fit, as with sizes of 1; or a list of memory
                formats, of which at most one may fit.

        Raises:
            RuntimeError: for an ambiguous order, when that is asked for.
        """
        if ambiguity_check:
            _check_order(self, ambiguity_check)
        strides = self.stride()  # type: ignore[attr-defined]
        return tuple(sorted(range(len(strides)), key=lambda d: -strides[d]))

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        dtype = self.node.dtype  # type: ignore[attr-defined]
        return dtype.category >= 2 or (dtype.category == 1 and dtype.signed)

    def is_nonzero(self) -> bool:
        """Whether the one element is not 0."""
        return bool(self)

    def is_same_size(self, other: Tensor) -> bool:
        """Whether another Tensor has the same shape."""
        return tuple(self.node.shape) == tuple(other.node.shape)  # type: ignore[attr-defined]

    def is_conj(self) -> bool:
        """False: a conjugate is a value of its own, never left undone."""
        return False

    def is_neg(self) -> bool:
        """False: negation is never left undone."""
        return False

    def is_inference(self) -> bool:
        """False: Tensors made in inference mode are ordinary ones."""
        return False

    def is_pinned(self, device: Any = None) -> bool:
        """False: there is no page-locked memory, for whatever device."""
        return False

    def is_shared(self) -> bool:
        """Whether NumPy or another library sees the memory."""
        cell = self._cell  # type: ignore[attr-defined]
        return cell is not None and bool(cell.shared)

    def get_device(self) -> int:
        """-1, the number of the CPU."""
        return -1

    def apply_(self, callable: Any) -> Tensor:
        """In place: a Python function of each number (evaluates the Tensor; for small ones)."""
        values = [callable(v) for v in movement.reshape(self.detach(), -1).tolist()]  # type: ignore[attr-defined]
        made = creation.tensor(values, dtype=self.node.dtype)  # type: ignore[attr-defined]
        return self.copy_(made.reshape(self.node.shape))  # type: ignore[attr-defined]

    def map2_(self, x: Tensor, y: Tensor, callable: Any) -> Tensor:
        """In place: a Python function of each number and those of two other Tensors (evaluates all; for small ones)."""
        shape = self.node.shape  # type: ignore[attr-defined]
        given = [movement.reshape(t.detach().expand(*shape), -1).tolist() for t in (self, x, y)]  # type: ignore[attr-defined]
        made = [callable(a, b, c) for a, b, c in zip(*given, strict=True)]
        return self.copy_(creation.tensor(made, dtype=self.node.dtype).reshape(shape))  # type: ignore[attr-defined]

    def to_dense(self, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
        """Itself, as every Tensor is dense; in another dtype when one is given."""
        return self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]

    def as_subclass(self, cls: type) -> Any:
        """The same memory and history as an instance of a subclass of Tensor."""
        if not (isinstance(cls, type) and issubclass(cls, FactMethods)):
            raise TypeError(f"as_subclass: expected a subclass of Tensor, got {cls}")
        shown = movement.view(self, *self.node.shape)  # type: ignore[attr-defined]
        out = object.__new__(cls)
        out._node, out._cell, out._view, out._edge = shown._node, shown._cell, shown._view, shown._edge  # type: ignore[attr-defined]
        return out

    def module_load(self, other: Tensor, assign: bool = False) -> Any:
        """What `load_state_dict` puts in its place: itself with the other's values, or with `assign` the other."""
        return other.detach() if assign else self.copy_(other).detach()  # type: ignore[attr-defined]

    def new(self, *args: Any, other: Any = None, size: Any = None, device: Any = None) -> Tensor:
        """A Tensor of this dtype of sizes (values mean nothing) or data, as `torch.Tensor(...)` makes it."""
        creation.check_device(device, "new")
        given = args if other is None and size is None else (tuple(size),) if other is None else (other,)
        if size is not None:
            return creation.empty(tuple(size), dtype=self.node.dtype)  # type: ignore[attr-defined]
        return typed.made(given, self.node.dtype)  # type: ignore[attr-defined]

    def map_(self, tensor: Tensor, callable: Any) -> Tensor:
        """In place: a Python function of each number and that of another Tensor (evaluates both; for small ones)."""
        pairs = zip(movement.reshape(self.detach(), -1).tolist(),  # type: ignore[attr-defined]
                    movement.reshape(tensor.detach().expand(*self.node.shape), -1).tolist(),  # type: ignore[attr-defined]
                    strict=True)
        made = creation.tensor([callable(a, b) for a, b in pairs], dtype=self.node.dtype)  # type: ignore[attr-defined]
        return self.copy_(made.reshape(self.node.shape))  # type: ignore[attr-defined]


__all__ = ["DtypeMethods", "FactMethods", "ShapingMethods"]
