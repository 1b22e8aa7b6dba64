"""What functions share: arguments that must be Tensors, and results written to `out=`."""

from __future__ import annotations

from typing import Any

from squall.base.errors import AutogradError, DtypeError, ShapeError
from squall.base.shapes import numel
from squall.frontend.core import Handle, as_tensor_operand, cast, ensure_cell
from squall.frontend.state import local
from squall.frontend.views import layout_of, write


def checked(value: Any, function: str, name: str = "input") -> Any:
    """The value as a Tensor (arrays are converted); TypeError names function and argument otherwise."""
    if isinstance(value, Handle):
        return value
    if isinstance(value, (bool, int, float)) or not (hasattr(value, "__array__") or hasattr(value, "__dlpack__")):
        raise TypeError(f"{function}(): argument {name!r} must be Tensor, not {type(value).__name__}")
    return as_tensor_operand(value)


def apart(out: Any, function: str, *read: Any) -> None:
    """Refuse an `out` that shows memory of what the function reads, where PyTorch does: in functions that pick.

    Only spans of memory are compared, so interleaved views count as overlapping.

    Raises:
        ShapeError: when an element of `out` lies between the first and last element of a Tensor that is read.
    """
    if not isinstance(out, Handle):
        return
    for x in read:
        if isinstance(x, Handle) and ensure_cell(x) is ensure_cell(out) and _meet(_span(x), _span(out)):
            raise ShapeError(
                f"{function}(): unsupported operation: argument 'out' of shape {list(out.node.shape)} shares memory "
                f"with an argument of shape {list(x.node.shape)}; give another tensor, or a clone() of the argument.")


def _span(x: Any) -> tuple[int, int] | None:
    """Positions in the storage from the first element to behind the last; None without elements, or when unknown."""
    strides, offset = layout_of(x)
    shape = tuple(x.node.shape)
    if 0 in shape or any(n.__class__ is not int for n in (*shape, *strides, offset)):
        return None
    return offset, offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))


def _meet(a: tuple[int, int] | None, b: tuple[int, int] | None) -> bool:
    return a is not None and b is not None and a[0] < b[1] and b[0] < a[1]


def into(out: Any, value: Any, function: str, exact: bool = False) -> Any:
    """The value, written to `out` when that is given; with `exact` their dtypes must be the same.

    Raises:
        ShapeError: when shapes differ, unless `out` is empty and has storage of its own; then it takes the new shape.
        DtypeError: when the value's kind of number does not fit. AutogradError: when history would be lost.
    """
    if out is None:
        return value
    if isinstance(value, tuple):
        parts = [into(o, v, function, exact) for o, v in zip(out, value, strict=True)]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if not isinstance(out, Handle):
        raise TypeError(f"{function}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if local.state.grad and (value.edge is not None or out.edge is not None):
        raise AutogradError(f"{function}(): functions with out=... arguments don't support automatic differentiation, "
                            "but one of the arguments requires grad.")
    given, wanted = value.node.type, out.node.type
    if given.dtype.category > wanted.dtype.category:
        raise DtypeError(f"{function}(): result type {given.dtype} can't be cast to the desired output type "
                         f"{wanted.dtype}")
    if exact and given.dtype is not wanted.dtype:
        raise DtypeError(f"{function}(): argument 'out' must have dtype {given.dtype}, got {wanted.dtype}")
    resized = out._view is None and numel(wanted.shape) == 0
    if tuple(given.shape) != tuple(wanted.shape) and not resized:
        raise ShapeError(f"{function}(): out has shape {list(wanted.shape)}, the result has shape {list(given.shape)}")
    if 0 in layout_of(out)[0] and any(s == 0 and n != 1 for n, s in zip(wanted.shape, layout_of(out)[0], strict=True)):
        raise ShapeError(f"{function}(): unsupported operation: more than one element of argument 'out', of shape "
                         f"{list(wanted.shape)}, refers to a single memory location; give a clone() of it.")
    write(out, cast(value, wanted.dtype))
    return out
