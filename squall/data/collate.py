"""Collating: one batch from a list of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import squall as sq


def default_collate(batch: list[Any]) -> Any:
    """Samples as one batch: Tensors and arrays stacked, numbers as a Tensor, containers element by element.

    Args:
        batch: samples of one structure. Strings and bytes stay a list.

    Raises:
        TypeError: for a type that cannot be batched. RuntimeError: for sequences of different lengths.

    Example:
        >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
        {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    first = batch[0]
    if isinstance(first, sq.Tensor):
        return sq.stack(batch)
    if hasattr(first, "__array__"):
        return sq.stack([sq.as_tensor(sample) for sample in batch])
    if isinstance(first, float):
        return sq.tensor(batch, dtype=sq.float64)
    if isinstance(first, (bool, int)):
        return sq.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return type(first)({key: default_collate([sample[key] for sample in batch]) for key in first})  # type: ignore[call-arg]
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(column)) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(list(column)) for column in zip(*batch, strict=True)]
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first).__name__}"
    )
