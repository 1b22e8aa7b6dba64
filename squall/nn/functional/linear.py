"""Linear maps and table look-ups."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.nn.functional.core import DtypeError, ShapeError, apply, check_tensor, ops


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias.

    Args:
        input: shape (..., in). weight: shape (out, in), or (in,) for a scalar product. bias: shape (out,) or
        None.

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: when the last size of the input is not the last size of the weight.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.linear(sq.ones(2, 3), sq.ones(4, 3)).shape
        squall.Size([2, 4])
    """
    check_tensor("linear", "input", input)
    if not input.shape or input.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear: argument 'input' of shape {tuple(input.shape)} must end in {weight.shape[-1]}, "
            f"the last size of 'weight' of shape {tuple(weight.shape)}"
        )
    return apply(ops.linear, (input, weight) if bias is None else (input, weight, bias))


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Rows of a table.

    Args:
        input: integer indices of any shape. weight: shape (count, size). padding_idx: a row that gets no
        gradient.

    Returns:
        Shape (*input.shape, size).

    Raises:
        DtypeError: for indices that are not integers. IndexRangeError: for an index outside the table, when
        evaluated.
    """
    check_tensor("embedding", "input", input)
    if input.dtype not in (sq.int64, sq.int32):
        raise DtypeError(f"embedding: argument 'input' must hold int64 or int32 indices, got {input.dtype}")
    if weight.dim() != 2:
        raise ShapeError(
            f"embedding: argument 'weight' must have 2 dimensions, got shape {tuple(weight.shape)}"
        )
    index = input if input.dtype is sq.int64 else input.to(sq.int64)
    if padding_idx is not None:
        padding_idx = int(padding_idx) + (weight.shape[0] if padding_idx < 0 else 0)
    return apply(ops.embedding, (weight, index), padding=padding_idx)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 rows that are 1 at the index and 0 elsewhere.

    Args:
        tensor: int64 class numbers of any shape. num_classes: the row length; -1 takes the largest number
            plus one, which evaluates the tensor.

    Returns:
        Shape (*tensor.shape, num_classes).
    """
    check_tensor("one_hot", "tensor", tensor)
    if tensor.dtype is not sq.int64:
        raise DtypeError(f"one_hot: argument 'tensor' must be int64, got {tensor.dtype}")
    if num_classes == -1:
        if tensor.numel() == 0:
            raise RuntimeError("one_hot: can not infer total number of classes from empty tensor.")
        num_classes = int(tensor.max().item()) + 1
    return (tensor.unsqueeze(-1) == sq.arange(num_classes)).to(sq.int64)
