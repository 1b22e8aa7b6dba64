"""Dropout."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.core import wrap
from squall.nn.functional.core import apply, check_tensor, ops


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero each element with probability p and scale the others by 1 / (1 - p).

    Args:
        p: in [0, 1]. training: when False the input is given back. inplace: write over the input.
    """
    check_tensor("dropout", "input", input)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    seed, offset = sq.default_generator.take(input.numel())
    result = apply(ops.dropout, (input, wrap(seed), wrap(offset)), p=float(p))
    return input.copy_(result) if inplace else result
