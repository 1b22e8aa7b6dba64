"""Complex numbers under PyTorch's names: parts, conjugates, polar form, and complex memory seen as real.

Functions of real Tensors are there too, as PyTorch has them: the real part of a real Tensor is the Tensor itself.
"""

from __future__ import annotations

from math import pi
from typing import Any

from squall.base.dtypes import bool_, complex_of, float32, float64
from squall.base.errors import DtypeError
from squall.frontend import arithmetic, creation
from squall.frontend.autocast import full_precision
from squall.frontend.core import cast, record
from squall.frontend.declaring import floating, of_tensor, with_exact_out, with_out
from squall.frontend.out import checked
from squall.ir.op import ops


def is_complex_tensor(x: Any) -> bool:
    """Whether a Tensor holds complex numbers."""
    return x.node.dtype.category == 3


def _complex(x: Any, function: str) -> Any:
    x = checked(x, function)
    if x.node.dtype.category != 3:
        raise DtypeError(f"{function}: argument 'input' must be complex, got {x.node.dtype}")
    return x


@with_exact_out
def complex(real: Any, imag: Any) -> Any:
    """Complex numbers from their parts.

    Args:
        real, imag: float32 or float64, both alike; shapes broadcast. out: where to write the result.

    Returns:
        Tensor: complex64 or complex128.

    Raises:
        DtypeError: for other dtypes, or two that differ.

    Example:
        >>> import squall as sq
        >>> sq.complex(sq.tensor([1.0, 2.0]), sq.tensor([0.0, -1.0]))
        tensor([1.+0.j, 2.-1.j])
    """
    real, imag = checked(real, "complex", "real"), checked(imag, "complex", "imag")
    if real.node.dtype is not imag.node.dtype or real.node.dtype not in (float32, float64):
        raise DtypeError("complex: arguments 'real' and 'imag' must both be float32 or both float64, got "
                         f"{real.node.dtype} and {imag.node.dtype}")
    return record(ops.complex, (real, imag), ())


@with_out
@full_precision
def polar(abs: Any, angle: Any) -> Any:
    """Complex numbers from distances from 0 and angles.

    Args:
        abs, angle: float32 or float64, both alike; shapes broadcast. Angles are in radians.

    Example:
        >>> import squall as sq
        >>> sq.polar(sq.tensor([2.0]), sq.tensor([0.0]))
        tensor([2.+0.j])
    """
    abs, angle = checked(abs, "polar", "abs"), checked(angle, "polar", "angle")
    return complex(abs * angle.cos(), abs * angle.sin())


@of_tensor
def real(input: Any) -> Any:
    """The real part; a real Tensor itself."""
    return record(ops.real, (input,), ()) if is_complex_tensor(input) else input


@of_tensor
def imag(input: Any) -> Any:
    """The imaginary part of complex numbers.

    Raises:
        DtypeError: for real Tensors, as in PyTorch.
    """
    if not is_complex_tensor(input):
        raise DtypeError(f"imag: expected a complex tensor, got {input.node.dtype}")
    return record(ops.imag, (input,), ())


@of_tensor
def conj(input: Any) -> Any:
    """The complex conjugate; a real Tensor itself."""
    return record(ops.conj, (input,), ()) if is_complex_tensor(input) else input


@of_tensor
def resolve_conj(input: Any) -> Any:
    """The Tensor itself: a conjugate is a value of its own, never left undone."""
    return input


resolve_neg = resolve_conj


@of_tensor
def conj_physical(input: Any) -> Any:
    """The complex conjugate, in memory of its own."""
    return conj(input) if is_complex_tensor(input) else input.clone()


@of_tensor
def angle(input: Any) -> Any:
    """The angle in the complex plane; of real numbers 0, or pi for negative ones, and NaN stays."""
    if is_complex_tensor(input):
        return record(ops.atan2, (imag(input), real(input)), ())
    x = floating(input)
    return arithmetic.where(x.isnan(), x, arithmetic.where(x < 0, creation.full_like(x, pi), creation.zeros_like(x)))


@of_tensor
def isreal(input: Any) -> Any:
    """Whether the imaginary part is 0."""
    return imag(input) == 0 if is_complex_tensor(input) else creation.ones_like(input, dtype=bool_)


@of_tensor
def sgn(input: Any) -> Any:
    """The sign; of complex numbers z / |z|, and 0 for 0."""
    if not is_complex_tensor(input):
        return input.sign()
    size = input.abs()
    one = arithmetic.where(size == 0, creation.ones_like(size), size)
    return input / cast(one, input.node.dtype)


def as_complex(x: Any) -> Any:
    """A Tensor in the complex dtype that holds its values."""
    return cast(x, complex_of(x.node.dtype))


__all__ = ["angle", "as_complex", "complex", "conj", "conj_physical", "imag", "is_complex_tensor", "isreal", "polar",
           "real", "resolve_conj", "resolve_neg", "sgn"]
