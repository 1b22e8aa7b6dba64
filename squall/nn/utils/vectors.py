"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import squall as sq
from squall.base.errors import ShapeError


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All elements of the parameters in one Tensor of one dimension; differentiable."""
    return sq.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Write consecutive pieces of a vector into the parameters.

    Raises:
        ShapeError: unless the vector has as many elements as the parameters; then nothing was written.
    """
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if tuple(vec.shape) != (total,):
        raise ShapeError(f"vector_to_parameters: vec must have shape ({total},), got {tuple(vec.shape)}")
    start = 0
    with sq.no_grad():
        for p in parameters:
            p.copy_(vec[start : start + p.numel()].view(p.shape))
            start += p.numel()
