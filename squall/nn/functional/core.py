"""How the functions here record an op of the table, and the checks they share."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import DtypeError, ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend.core import apply
from squall.frontend.entries import Native
from squall.ir.op import ops

__all__ = [
    "Native",
    "apply",
    "ops",
    "pair",
    "many",
    "reduce_loss",
    "check_tensor",
    "check_floating",
    "normalize_dim",
    "ShapeError",
    "DtypeError",
]

REDUCTIONS = ("mean", "sum", "none")


def many(value: int | tuple[int, ...] | list[int], count: int, function: str, name: str) -> tuple[int, ...]:
    """An int repeated for each spatial dimension, or a sequence of the right length."""
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            return tuple(value) * count
        if len(value) != count:
            raise ShapeError(
                f"{function}: {name}={tuple(value)} has {len(value)} entries, expected {count} or one int"
            )
        return tuple(int(v) for v in value)
    return (int(value),) * count


def pair(value: int | tuple[int, ...] | list[int], function: str, name: str) -> tuple[int, ...]:
    """`many` for two dimensions."""
    return many(value, 2, function, name)


def check_tensor(function: str, name: str, value: Any) -> None:
    """TypeError unless the value is a Tensor."""
    if not isinstance(value, sq.Tensor):
        raise TypeError(f"{function}: argument '{name}' must be a Tensor, not {type(value).__name__}")


def check_floating(function: str, name: str, value: Any) -> None:
    """DtypeError unless the Tensor has a floating dtype."""
    check_tensor(function, name, value)
    if not value.is_floating_point():
        raise DtypeError(f"{function}: argument '{name}' must have a floating dtype, got {value.dtype}")


def check_reduction(function: str, reduction: str) -> None:
    """ValueError unless the reduction is one there is."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{function}: {reduction!r} is not a valid value for reduction; expected one of {', '.join(REDUCTIONS)}"
        )


def reduce_loss(function: str, loss: Any, reduction: str) -> Any:
    """The mean, the sum, or the elements of a loss."""
    check_reduction(function, reduction)
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
