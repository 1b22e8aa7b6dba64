"""Functions of two and more operands, element by element, and matrix products, under PyTorch's names.

Operands are Tensors, arrays or, where PyTorch's function takes them, numbers; dtypes are promoted as PyTorch does.
"""

from __future__ import annotations

from typing import Any

from squall.frontend import arithmetic
from squall.frontend.core import Handle, apply
from squall.frontend.entries import Native
from squall.frontend.older_forms import alpha_second, with_beta_and_alpha, with_value_second
from squall.frontend.out import checked, into
from squall.ir.op import ops


def _both(input: Any, other: Any, function: str) -> tuple[Any, Any]:
    """Two operands that must both be Tensors, as PyTorch asks of this function."""
    return checked(input, function), checked(other, function, "other")


def _either(input: Any, other: Any, function: str) -> tuple[Any, Any]:
    """Two operands of which one may be a number."""
    return (checked(input, function) if isinstance(other, (bool, int, float)) else input), other


def add(input: Any, other: Any, *older: Any, alpha: float = 1, out: Any = None) -> Any:
    """input + alpha * other; `add(input, alpha, other)`, PyTorch's older form, is taken too."""
    if older:
        other, alpha = alpha_second(other, older, alpha, "add")
    return into(out, arithmetic.add(input, other, alpha), "add")


def sub(input: Any, other: Any, *older: Any, alpha: float = 1, out: Any = None) -> Any:
    """input - alpha * other; `sub(input, alpha, other)`, PyTorch's older form, is taken too."""
    if older:
        other, alpha = alpha_second(other, older, alpha, "sub")
    return into(out, arithmetic.sub(input, other, alpha), "sub")


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """Quotient: true, rounded down ("floor") or toward zero ("trunc")."""
    return into(out, arithmetic.div(input, other, rounding_mode), "div")


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """Power of two Tensors, or of a Tensor and a number."""
    if isinstance(input, Handle):
        made = arithmetic.power(input, exponent)
    else:
        made = apply(ops.pow, (input if isinstance(exponent, Handle) else checked(input, "pow"), exponent))
    return into(out, made, "pow")


def mul(input: Any, other: Any, *, out: Any = None) -> Any:
    """Product, element by element."""
    return into(out, apply(ops.mul, (input, other)), "mul")


def fmod(input: Any, other: Any, *, out: Any = None) -> Any:
    """Remainder with the sign of the dividend."""
    return into(out, apply(ops.fmod, (checked(input, "fmod"), other)), "fmod")


def remainder(input: Any, other: Any, *, out: Any = None) -> Any:
    """Remainder with the sign of the divisor."""
    return into(out, apply(ops.remainder, _either(input, other, "remainder")), "remainder")


def floor_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """Quotient rounded down."""
    return into(out, apply(ops.floor_divide, (input, other)), "floor_divide")


def atan2(input: Any, other: Any, *, out: Any = None) -> Any:
    """The angle of the point (other, input)."""
    return into(out, apply(ops.atan2, _both(input, other, "atan2")), "atan2")


def copysign(input: Any, other: Any, *, out: Any = None) -> Any:
    """The size of input with the sign of other."""
    return into(out, apply(ops.copysign, (checked(input, "copysign"), other)), "copysign")


def maximum(input: Any, other: Any, *, out: Any = None) -> Any:
    """The larger of two; NaN if one is."""
    return into(out, Native.call(arithmetic.maximum, *_both(input, other, "maximum")), "maximum")


def minimum(input: Any, other: Any, *, out: Any = None) -> Any:
    """The smaller of two; NaN if one is."""
    return into(out, Native.call(arithmetic.minimum, *_both(input, other, "minimum")), "minimum")


def eq(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether equal, element by element."""
    return into(out, apply(ops.eq, (checked(input, "eq"), other)), "eq")


def ne(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether different, element by element."""
    return into(out, apply(ops.ne, (checked(input, "ne"), other)), "ne")


def lt(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether less, element by element."""
    return into(out, apply(ops.lt, (checked(input, "lt"), other)), "lt")


def le(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether less or equal, element by element."""
    return into(out, apply(ops.le, (checked(input, "le"), other)), "le")


def gt(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether greater, element by element."""
    return into(out, apply(ops.gt, (checked(input, "gt"), other)), "gt")


def ge(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether greater or equal, element by element."""
    return into(out, apply(ops.ge, (checked(input, "ge"), other)), "ge")


def logical_and(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether both are nonzero."""
    return into(out, arithmetic.logical(ops.logical_and, *_both(input, other, "logical_and")), "logical_and")


def logical_or(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether one is nonzero."""
    return into(out, arithmetic.logical(ops.logical_or, *_both(input, other, "logical_or")), "logical_or")


def logical_xor(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether exactly one is nonzero."""
    return into(out, arithmetic.logical(ops.logical_xor, *_both(input, other, "logical_xor")), "logical_xor")


def bitwise_and(input: Any, other: Any, *, out: Any = None) -> Any:
    """Bits set in both."""
    return into(out, apply(ops.bitwise_and, _either(input, other, "bitwise_and")), "bitwise_and")


def bitwise_or(input: Any, other: Any, *, out: Any = None) -> Any:
    """Bits set in one or both."""
    return into(out, apply(ops.bitwise_or, _either(input, other, "bitwise_or")), "bitwise_or")


def bitwise_xor(input: Any, other: Any, *, out: Any = None) -> Any:
    """Bits set in one only."""
    return into(out, apply(ops.bitwise_xor, _either(input, other, "bitwise_xor")), "bitwise_xor")


def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """Matrix product: vectors, matrices and broadcast batches by NumPy's rules."""
    return into(out, arithmetic.matmul(input, other), "matmul")


def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """Product of two matrices."""
    return into(out, arithmetic.mm(checked(input, "mm"), checked(mat2, "mm", "mat2")), "mm")


def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """Products of two batches of matrices."""
    return into(out, arithmetic.bmm(checked(input, "bmm"), checked(mat2, "bmm", "mat2")), "bmm")


def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """Inner product of two vectors of one length."""
    return into(out, arithmetic.dot(checked(input, "dot"), checked(tensor, "dot", "tensor")), "dot")


def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """Outer product of two vectors."""
    return into(out, arithmetic.outer(checked(input, "outer"), checked(vec2, "outer", "vec2")), "outer")


@with_beta_and_alpha
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1, out: Any = None) -> Any:
    """beta * input + alpha * mat1 @ mat2."""
    return into(out, arithmetic.addmm(checked(input, "addmm"), mat1, mat2, beta, alpha), "addmm")


@with_value_second
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1, out: Any = None) -> Any:
    """input + value * tensor1 * tensor2."""
    return into(out, arithmetic.addcmul(checked(input, "addcmul"), tensor1, tensor2, value), "addcmul")


@with_value_second
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1, out: Any = None) -> Any:
    """input + value * tensor1 / tensor2."""
    return into(out, arithmetic.addcdiv(checked(input, "addcdiv"), tensor1, tensor2, value), "addcdiv")


def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:
    """input + weight * (end - input)."""
    return into(out, arithmetic.lerp(checked(input, "lerp"), end, weight), "lerp")


def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """Limited to [min, max]; NaN stays."""
    return into(out, Native.call(arithmetic.clamp, checked(input, "clamp"), min, max), "clamp")


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """input where condition, else other; with a condition alone, the positions where it holds (one Tensor a dimension).

    Example:
        >>> import squall as sq
        >>> sq.where(sq.tensor([True, False]), 1, 2).tolist()
        [1, 2]
    """
    condition = checked(condition, "where", "condition")
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if isinstance(input, Handle) or isinstance(other, Handle):
        return into(out, Native.call(arithmetic.where, condition, input, other), "where")
    return into(out, arithmetic.where(condition, input, other), "where")


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """value where mask, else input."""
    return checked(input, "masked_fill").masked_fill(checked(mask, "masked_fill", "mask"), value)


clip, subtract, multiply, divide = clamp, sub, mul, div
true_divide, arctan2 = div, atan2
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
