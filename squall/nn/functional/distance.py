"""Distances and similarities of vectors, and the bilinear form."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.autocast import once_rounded
from squall.nn.functional.core import ShapeError, check_floating, check_tensor


@once_rounded
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between vectors along a dimension.

    Args:
        x1, x2: Tensors that broadcast. dim: where the vectors lie. eps: norms are at least this.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.cosine_similarity(sq.tensor([[3.0, 4.0]]), sq.tensor([[3.0, 4.0]]))
        tensor([1.])
    """
    check_floating("cosine_similarity", "x1", x1)
    check_floating("cosine_similarity", "x2", x2)
    x1, x2 = sq.broadcast_tensors(x1, x2)
    return ((x1 / _length(x1, dim, eps)) * (x2 / _length(x2, dim, eps))).sum(dim)


def _length(x: Any, dim: int, eps: float) -> Any:
    """Norms of at least eps; where eps rules, gradients stay 0 instead of becoming NaN."""
    squares = (x * x).sum(dim, keepdim=True)
    return squares.clamp(min=eps * eps).sqrt()


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    check_tensor("pairwise_distance", "x1", x1)
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def pdist(input: Any, p: float = 2.0) -> Any:
    """Distances of every pair of rows, those of row 0 first.

    Args:
        input: shape (rows, features). p: the norm.

    Returns:
        Shape (rows * (rows - 1) / 2,).
    """
    check_floating("pdist", "input", input)
    if input.dim() != 2:
        raise ShapeError(f"pdist: argument 'input' must have 2 dimensions, got shape {tuple(input.shape)}")
    rows = input.shape[0]
    first = [i for i in range(rows) for _ in range(i + 1, rows)]
    second = [j for i in range(rows) for j in range(i + 1, rows)]
    if not first:
        return input.reshape(-1)[:0] * 1  # nothing, with input's history
    return (input[sq.tensor(first)] - input[sq.tensor(second)]).norm(p, -1)


@once_rounded
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """x1 @ weight[k] @ x2 for each output k, plus bias.

    Args:
        input1: shape (..., first). input2: shape (..., second). weight: shape (out, first, second). bias:
            shape (out,) or None.

    Returns:
        Shape (..., out).

    Raises:
        ShapeError: when sizes do not fit.
    """
    check_tensor("bilinear", "input1", input1)
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise ShapeError(
            f"bilinear: 'input1' of shape {tuple(input1.shape)} and 'input2' of shape {tuple(input2.shape)} must be "
            "equal but for the last size"
        )
    if tuple(weight.shape[1:]) != (input1.shape[-1], input2.shape[-1]):
        raise ShapeError(
            f"bilinear: argument 'weight' must have shape (out, {input1.shape[-1]}, {input2.shape[-1]}), got "
            f"{tuple(weight.shape)}"
        )
    lead, out = tuple(input1.shape[:-1]), weight.shape[0]
    first, second = (t.reshape(-1, t.shape[-1]) for t in (input1, input2))
    partial = first @ weight.permute(1, 0, 2).reshape(first.shape[-1], -1)
    result = (partial.view(-1, out, second.shape[-1]) * second.unsqueeze(1)).sum(-1).view(*lead, out)
    return result if bias is None else result + bias
