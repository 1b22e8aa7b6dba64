"""What declarations share: constants beside an operand, 16-bit rules run in float32, counts of symbolic extents.

Rules run on Nodes and on Tensors alike, so nothing here looks further than `shape`, `dtype` and `device`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any

from squall.base.dtypes import DType, float32
from squall.ir.op import Context, constant, make, ops


def is_narrow(dtype: DType) -> bool:
    """Whether a dtype is a 16-bit float, whose formulas of several steps are computed in float32."""
    return dtype.itemsize == 2 and dtype.category == 2


def device_of(value: Any) -> str:
    """The device of a Node or Tensor, as types spell it."""
    device = value.device
    return device if isinstance(device, str) else str(device)


def number(value: float | int | bool, like: Any, dtype: DType | None = None) -> Any:
    """A zero-dim constant of the dtype and device of `like`.

    Needed where an operand of another dtype comes first, as in `where(condition, g, number(0.0, g))`.
    """
    return constant(value, dtype or like.dtype, device_of(like))


def masked(condition: Any, value: Any) -> Any:
    """The value where a condition holds, else 0."""
    return ops.where(condition, value, number(0, value))


def unmasked(condition: Any, value: Any) -> Any:
    """0 where a condition holds, else the value."""
    return ops.where(condition, number(0, value), value)


def zeros_like(value: Any) -> Any:
    """Zeros of the shape, dtype and device of a value, which is not read."""
    return ops.full_like(value, value=0.0)


def zero_gradient(context: Context, g: Any) -> Any:
    """The rule of steps: their gradient is 0 where it exists, and PyTorch gives 0 everywhere."""
    return zeros_like(g)


def widen(value: Any) -> Any:
    """A 16-bit float value in float32; any other as it is."""
    return ops.cast(value, dtype=float32) if value is not None and is_narrow(value.dtype) else value


def as_dtype_of(value: Any, dtype: DType) -> Any:
    """The value cast to a dtype, if it has another."""
    return value if value is None or value.dtype is dtype else ops.cast(value, dtype=dtype)


def widened(rule: Callable) -> Callable:
    """A gradient rule of several steps that computes 16-bit floats in float32 and rounds once, as PyTorch does."""

    @wraps(rule)
    def run(context: Context, g: Any) -> Any:
        several = g.__class__ is tuple
        if not is_narrow(context.types[0].dtype):
            return rule(context, g)
        output = context.output
        output = tuple(map(widen, output)) if output.__class__ is tuple else widen(output)
        inner = Context(context.op, context.attrs, context.types, context.out_type, tuple(map(widen, context.inputs)),
                        output, context.needs)
        parts = rule(inner, tuple(map(widen, g)) if several else widen(g))
        if parts.__class__ is not tuple:
            return as_dtype_of(parts, context.types[0].dtype)
        return tuple(as_dtype_of(p, t.dtype) for p, t in zip(parts, context.types, strict=True))

    return run


def widened_expand(expand: Callable) -> Callable:
    """A decomposition that computes 16-bit floats in float32 and gives results of its first operand's dtype."""

    @wraps(expand)
    def run(*operands: Any, **attributes: Any) -> Any:
        dtype = operands[0].dtype
        result = expand(*map(widen, operands), **attributes)
        if result.__class__ is tuple:
            return tuple(as_dtype_of(r, dtype) for r in result)
        return as_dtype_of(result, dtype)

    return run


def count_over(shape: tuple, dims: tuple[int, ...], like: Any) -> Any:
    """How many elements `dims` of a shape have: a Python number, or where a size is symbolic a zero-dim value.

    Args:
        like: what has the dtype and device of that value.
    """
    count = prod([shape[d] for d in dims])
    if isinstance(count, int):
        return count
    return ops.cast(make(ops.extent, (), (count, device_of(like))), dtype=like.dtype)
