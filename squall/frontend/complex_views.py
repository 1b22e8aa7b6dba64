"""Parts of complex Tensors as users see them: views, through which the Tensor can be written in place.

The library itself takes parts as values (`functions_complex.real`), which needs no storage.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float32, float64
from squall.base.errors import DtypeError, ShapeError
from squall.frontend.declaring import of_tensor
from squall.frontend.functions_complex import is_complex_tensor
from squall.frontend.out import checked, into
from squall.frontend.views import make_view
from squall.ir.op import ops


@of_tensor
def real(input: Any) -> Any:
    """The real part, as a view; a real Tensor itself.

    Example:
        >>> import squall as sq
        >>> z = sq.tensor([1 + 2j])
        >>> sq.real(z).mul_(3)
        tensor([3.])
        >>> z
        tensor([3.+2.j])
    """
    return make_view(input, ops.real, ()) if is_complex_tensor(input) else input


@of_tensor
def imag(input: Any) -> Any:
    """The imaginary part of complex numbers, as a view.

    Raises:
        DtypeError: for real Tensors, as in PyTorch.
    """
    if not is_complex_tensor(input):
        raise DtypeError(f"imag: expected a complex tensor, got {input.node.dtype}")
    return make_view(input, ops.imag, ())


def view_as_real(input: Any) -> Any:
    """Real and imaginary part as a last dimension of size 2, as a view.

    Args:
        input: a complex Tensor.

    Returns:
        Tensor: float32 or float64 of shape (..., 2).

    Raises:
        DtypeError: for real Tensors.
    """
    z = checked(input, "view_as_real")
    if not is_complex_tensor(z):
        raise DtypeError(f"view_as_real: expected a complex tensor, got {z.node.dtype}")
    return make_view(z, ops.as_real, ())


def view_as_complex(input: Any) -> Any:
    """Complex numbers from a last dimension of size 2 that holds real and imaginary part, as a view.

    Raises:
        DtypeError: unless float32 or float64. ShapeError: when the last dimension has not size 2, or when its two
        numbers do not lie side by side at an even place of the memory.
    """
    x = checked(input, "view_as_complex")
    if x.node.dtype not in (float32, float64):
        raise DtypeError(f"view_as_complex: argument 'input' must be float32 or float64, got {x.node.dtype}")
    if not x.node.shape or x.node.shape[-1] != 2:
        raise ShapeError(f"view_as_complex: the last dimension must have size 2, got shape {list(x.node.shape)}")
    made = make_view(x, ops.as_complex, ()) if x.storage_offset() % 2 == 0 else None
    if made is None:
        raise ShapeError("view_as_complex: Tensor must have a last dimension with stride 1, other strides and a "
                         f"storage offset divisible by 2, got strides {list(x.stride())} and offset "
                         f"{x.storage_offset()}; use .contiguous()")
    return made


__all__ = ["imag", "real", "view_as_complex", "view_as_real"]


def view_as_real_copy(input: Any, *, out: Any = None) -> Any:
    """Real and imaginary parts as a last dimension of 2, with memory of its own; see `view_as_real`."""
    return into(out, view_as_real(input).clone(), "view_as_real_copy")


def view_as_complex_copy(input: Any, *, out: Any = None) -> Any:
    """Complex numbers of a last dimension of 2, with memory of their own; see `view_as_complex`."""
    return into(out, view_as_complex(input).clone(), "view_as_complex_copy")
