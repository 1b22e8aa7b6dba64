"""Negative log likelihoods of distributions: Poisson and Gaussian."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.base.errors import ArgumentError
from squall.frontend.autocast import full_precision
from squall.nn.functional.core import check_floating, check_tensor, reduce_loss
from squall.nn.functional.old_reductions import chosen_reduction


@full_precision
def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: Any = None,
    eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Any:
    """Negative log likelihood of counts under Poisson distributions.

    Args:
        input: the logarithm of the expected counts, or with `log_input=False` the counts. target: what was
            counted. full: add Stirling's term for counts above 1. eps: keeps the logarithm of 0 away.
    """
    reduction = chosen_reduction(size_average, reduce, reduction)
    check_tensor("poisson_nll_loss", "input", input)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        safe = sq.where(target > 1, target, 1)
        stirling = safe * safe.log() - safe + 0.5 * (safe * (2 * math.pi)).log()
        loss = loss + stirling.masked_fill(target <= 1, 0.0)
    return reduce_loss("poisson_nll_loss", loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """Negative log likelihood of values under normal distributions of given mean and variance.

    Args:
        input: means. target: values. var: variances: a number, or a Tensor of the input's shape,
            of that without the last dimension, or with sizes of 1 in it. full: add the constant
            log(2 pi) / 2. eps: the variance is at least this; the gradient passes as if it were not.

    Raises:
        ValueError: for a negative number as variance; a Tensor's elements are not looked at.
    """
    check_floating("gaussian_nll_loss", "input", input)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("gaussian_nll_loss: var has negative entry/entries")
        var = sq.full(tuple(input.shape), float(var), dtype=input.dtype)
    elif tuple(var.shape) != tuple(input.shape):
        if tuple(var.shape) == tuple(input.shape[:-1]):
            var = var.unsqueeze(-1)
        elif var.dim() != input.dim() or any(
            v not in (1, n) for n, v in zip(input.shape, var.shape, strict=True)
        ):
            raise ArgumentError(
                f"gaussian_nll_loss: var is of incorrect size {tuple(var.shape)} for 'input' of shape "
                f"{tuple(input.shape)}"
            )
    limited = var + (var.clamp(min=eps) - var).detach()
    loss = 0.5 * (limited.log() + (input - target) ** 2 / limited)
    loss = loss + 0.5 * math.log(2 * math.pi) if full else loss
    return reduce_loss("gaussian_nll_loss", loss, reduction)
