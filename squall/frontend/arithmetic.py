"""Arithmetic that needs more than an op: alpha factors, rounding modes, structural exponents, matrix products."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import bool_, promote
from squall.base.errors import ArgumentError, ShapeError
from squall.frontend.autocast import lowered, once_rounded
from squall.frontend.core import (
    Handle,
    Native,
    apply,
    as_tensor_operand,
    cast,
    common_dtype,
    operand,
    record,
    require_no_grad_leaf,
)
from squall.frontend.movement import unsqueeze
from squall.frontend.views import write_op
from squall.ir.op import Op, ops, refuse_float8


def in_place(target: Any, out: Any, name: str) -> Any:
    """Finish an in-place op on a tensor."""
    if Native.in_place is not None and Native.in_place(target, out):
        return target
    require_no_grad_leaf(target)
    return write_op(target, out, name)


def add(x: Any, other: Any, alpha: float = 1) -> Any:
    """x + alpha * other."""
    if alpha == 1 and isinstance(x, Handle):
        return x + other  # type: ignore[operator]
    return apply(ops.add, (x, other if alpha == 1 else scaled(other, alpha)))


def sub(x: Any, other: Any, alpha: float = 1) -> Any:
    """x - alpha * other."""
    if alpha == 1 and isinstance(x, Handle):
        return x - other  # type: ignore[operator]
    return apply(ops.sub, (x, other if alpha == 1 else scaled(other, alpha)))


def scaled(value: Any, factor: float) -> Any:
    """A number or Tensor times a factor."""
    return value * factor


def div(x: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """Quotient: true, rounded down ("floor") or toward zero ("trunc")."""
    if rounding_mode is None:
        return x / other if isinstance(x, Handle) else apply(ops.div, (x, other))  # type: ignore[operator]
    if rounding_mode == "floor":
        return apply(ops.floor_divide, (x, other))
    if rounding_mode == "trunc":
        return apply(ops.trunc_divide, (x, other))
    raise ValueError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")


def power(x: Any, exponent: Any) -> Any:
    """x ** exponent; a Python number is structural (DESIGN S10)."""
    if isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
        if isinstance(x, Handle) and x.node.dtype.category == 2:
            return record(ops.pow_scalar, (x,), (exponent,))
        dtype = common_dtype((x, exponent))
        x = cast(as_tensor_operand(x), dtype)
        if dtype.category == 1 and exponent < 0:
            raise ShapeError("Integers to negative integer powers are not allowed.")
        return record(ops.pow_scalar, (x,), (exponent,))
    return apply(ops.pow, (x, exponent))


def logical(op: Op, x: Any, other: Any) -> Any:
    """A logical op: operands as booleans."""
    x = as_tensor_operand(x)
    refuse_float8(op.name, x.node.type)
    return record(op, (cast(x, bool_), operand(as_bool(other), bool_)), ())


def as_bool(value: Any) -> Any:
    """A number as bool; other operands as they are."""
    return bool(value) if isinstance(value, (int, float)) else cast(as_tensor_operand(value), bool_)


def where(condition: Any, x: Any, other: Any) -> Any:
    """x where condition, else other; dtypes promoted."""
    dtype = common_dtype((x, other))
    x, other = operand(x, dtype), operand(other, dtype)
    return record(ops.where, (cast(condition, bool_), x, other), ())


def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """value where mask, else x; the dtype stays that of x."""
    if isinstance(value, Handle) and value.node.shape:
        raise ShapeError(
            f"masked_fill: value must be a number or a 0-dimensional tensor, got shape {list(value.node.shape)}"
        )
    dtype = x.node.dtype
    if dtype.category != 3 and _is_complex(value):
        raise ArgumentError(f"masked_fill: argument 'value' is complex, which cannot be converted to {dtype} without "
                            "overflow; give a real number")
    return record(ops.where, (cast(mask, bool_), operand(value, dtype), x), ())


def _is_complex(value: Any) -> bool:
    """Whether a number or a Tensor is complex."""
    return isinstance(value, complex) or (isinstance(value, Handle) and value.node.dtype.category == 3)


def clamp(x: Any, low: Any, high: Any) -> Any:
    """Limited to [low, high]; NaN stays; when low exceeds high the result is high."""
    if low is None and high is None:
        raise ArgumentError("clamp: at least one of min or max must not be None")
    if low is None:
        return apply(ops.minimum, (x, high))
    if high is None:
        return apply(ops.maximum, (x, low))
    return apply(ops.clamp, (x, low, high))


def maximum(x: Any, other: Any) -> Any:
    """The larger of two; NaN if one is."""
    return apply(ops.maximum, (x, other))


def minimum(x: Any, other: Any) -> Any:
    """The smaller of two; NaN if one is."""
    return apply(ops.minimum, (x, other))


def lerp(x: Any, end: Any, weight: Any) -> Any:
    """x + weight * (end - x)."""
    return apply(ops.lerp, (x, end, weight))


@once_rounded
def addcmul(x: Any, a: Any, b: Any, value: float) -> Any:
    """x + value * a * b."""
    return apply(ops.add, (x, scaled(apply(ops.mul, (a, b)), value) if value != 1 else apply(ops.mul, (a, b))))


@once_rounded
def addcdiv(x: Any, a: Any, b: Any, value: float) -> Any:
    """x + value * a / b."""
    quotient = apply(ops.div, (a, b))
    return apply(ops.add, (x, quotient if value == 1 else scaled(quotient, value)))


def matmul(a: Any, b: Any) -> Any:
    """Matrix product: vectors, matrices and broadcast batches by NumPy's rules; dtypes must agree."""
    native = Native.record
    if native is not None and a.__class__ is b.__class__ and isinstance(a, Handle):
        out = native(ops.matmul, (a, b), ())  # None unless operands of these types were multiplied before
        if out is not None:
            return out
    if not (isinstance(a, Handle) and isinstance(b, Handle)):
        a, b = as_tensor_operand(a), as_tensor_operand(b)
    return product(*lowered(a, b))


def product(a: Any, b: Any) -> Any:
    """`matmul` of Tensors in the dtype they have, whatever autocast says."""
    x, y = a.node.type.dtype, b.node.type.dtype
    if x is not y:
        raise ShapeError(
            f"expected m1 and m2 to have the same dtype, but got: {x} != {y} (promotes to {promote(x, y)}); "
            "cast one with .to()"
        )
    for t, side in ((a, "first"), (b, "second")):
        if not t.node.shape:
            raise ShapeError(f"matmul: both arguments need at least 1 dimension, but the {side} has none")
    return record(ops.matmul, (a, b), ())


def mm(a: Any, b: Any) -> Any:
    """Product of two matrices."""
    if len(a.node.shape) != 2 or len(b.node.shape) != 2:
        raise ShapeError(f"mm: expected two matrices, got shapes {list(a.node.shape)} and {list(b.node.shape)}")
    return matmul(a, b)


def bmm(a: Any, b: Any) -> Any:
    """Products of two batches of matrices."""
    x, y = a.node.shape, b.node.shape
    if len(x) != 3 or len(y) != 3 or x[0] != y[0]:
        raise ShapeError(f"bmm: expected two batches of as many matrices, got shapes {list(x)} and {list(y)}")
    return matmul(a, b)


def dot(a: Any, b: Any) -> Any:
    """Inner product of two vectors of one length."""
    if len(a.node.shape) != 1 or a.node.shape != b.node.shape:
        raise ShapeError(
            f"dot: expected two vectors of one size, got shapes {list(a.node.shape)} and {list(b.node.shape)}"
        )
    return product(a, b)


def outer(a: Any, b: Any) -> Any:
    """Outer product of two vectors."""
    return apply(ops.mul, (unsqueeze(a, 1), b))


def addmm(x: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
    """beta * x + alpha * a @ b."""
    x, a, b = lowered(x, a, b)
    made = mm(a, b)
    return add(x if beta == 1 else scaled(x, beta), made if alpha == 1 else scaled(made, alpha))
