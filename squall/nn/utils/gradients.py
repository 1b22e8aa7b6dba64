"""Limiting gradients between backward and the optimizer's step. Nothing here asks for a value, so it can
be compiled."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable
from typing import Any

import squall as sq


def _gradients(parameters: Any) -> list[Any]:
    parameters = [parameters] if isinstance(parameters, sq.Tensor) else list(parameters)
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Iterable[Any],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """The p-norm of all elements of several Tensors together, a scalar Tensor."""
    tensors, p = list(tensors), float(norm_type)
    if not tensors:
        return sq.tensor(0.0)
    total = _together(tensors, p)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def _together(tensors: list[Any], p: float) -> Any:
    if p == 2.0:
        return functools.reduce(operator.add, (t.square().sum() for t in tensors)).sqrt()
    norms = [t.norm(p) for t in tensors]
    return norms[0] if len(norms) == 1 else sq.stack(norms).norm(p)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scale gradients in place so that their norm, taken together, is at most max_norm.

    Args:
        parameters: Tensors, or one. max_norm: the limit. norm_type: p; `math.inf` takes the largest.
            error_if_nonfinite: raise when the norm is NaN or infinite, which evaluates it.

    Returns:
        The norm before, a scalar Tensor.

    Example:
        >>> import squall as sq
        >>> p = sq.nn.Parameter(sq.zeros(2)); p.grad = sq.tensor([3.0, 4.0])
        >>> sq.nn.utils.clip_grad_norm_(p, 1.0).item()
        5.0
    """
    gradients = _gradients(parameters)
    with sq.no_grad():
        total = get_total_norm(gradients, norm_type, error_if_nonfinite)
        _scale(gradients, max_norm, total)
    return total


def _scale(gradients: list[Any], max_norm: float, total: Any) -> None:
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.to(gradient.dtype))


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None) -> None:
    """Scale gradients in place by max_norm over a norm that `get_total_norm` gave, where that is below 1."""
    with sq.no_grad():
        _scale(_gradients(parameters), max_norm, total_norm)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit each element of the gradients to [-clip_value, clip_value], in place."""
    clip_value = float(clip_value)
    with sq.no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(min=-clip_value, max=clip_value)
