"""What functions share: arguments that must be Tensors, and results written to `out=`."""

from __future__ import annotations

from typing import Any

from squall.base.errors import AutogradError, DtypeError, ShapeError
from squall.base.shapes import numel
from squall.frontend.core import Handle, as_tensor_operand, cast
from squall.frontend.state import local
from squall.frontend.views import write


def checked(value: Any, function: str, name: str = "input") -> Any:
    """The value as a Tensor (arrays are converted); TypeError names function and argument otherwise."""
    if isinstance(value, Handle):
        return value
    if isinstance(value, (bool, int, float)) or not (hasattr(value, "__array__") or hasattr(value, "__dlpack__")):
        raise TypeError(f"{function}(): argument {name!r} must be Tensor, not {type(value).__name__}")
    return as_tensor_operand(value)


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
    write(out, cast(value, wanted.dtype))
    return out
