"""Rows of a table by index, alone and summed in bags."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.custom import Function
from squall.nn.functional.core import DtypeError, Native, ShapeError, apply, check_tensor, ops


def _index(function: str, input: Any, weight: Any) -> Any:
    """The indices as int64, after checking them and the table."""
    check_tensor(function, "input", input)
    if input.dtype not in (sq.int64, sq.int32):
        raise DtypeError(f"{function}: argument 'input' must hold int64 or int32 indices, got {input.dtype}")
    if weight.dim() != 2:
        raise ShapeError(
            f"{function}: argument 'weight' must have 2 dimensions, got shape {tuple(weight.shape)}"
        )
    return input.to(sq.int64)


def _padding(function: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{function}: padding_idx={padding_idx} must be within num_embeddings={rows}")
    return int(padding_idx) + (rows if padding_idx < 0 else 0)


def _limit_rows(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up in place, so that their norms are at most max_norm."""
    with sq.no_grad():
        norms = weight.norm(norm_type, 1, keepdim=True)
        used = sq.zeros(weight.shape[0], dtype=sq.int64).index_add(
            0, index.reshape(-1), sq.ones(index.numel(), dtype=sq.int64))
        long = (used > 0).unsqueeze(1).logical_and(norms > max_norm)
        weight.copy_(sq.where(long, weight * (max_norm / (norms + 1e-7)), weight))


class _ScaledByFrequency(Function):
    """The identity on rows looked up, whose gradient is divided by how often each index occurs."""

    @staticmethod
    def forward(ctx: Any, rows: Any, index: Any, count: int) -> Any:
        ctx.save_for_backward(index)
        ctx.count = count
        return rows.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> tuple:
        (index,) = ctx.saved_tensors
        flat = index.reshape(-1)
        often = sq.zeros(ctx.count, dtype=sq.int64).index_add(0, flat, sq.ones(flat.shape[0], dtype=sq.int64))
        return g / often[index].to(g.dtype).unsqueeze(-1), None, None


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of a table.

    Args:
        input: integer indices of any shape. weight: shape (count, size). padding_idx: a row that gets no
            gradient. max_norm: rows that are looked up are first scaled down to this norm, in place.
            norm_type: of that norm. scale_grad_by_freq: divide each row's gradient by how often it was looked
            up. sparse: there are no sparse gradients; only False is taken.

    Returns:
        Shape (*input.shape, size).

    Raises:
        DtypeError: for indices that are not integers. IndexRangeError: for an index outside the table, when
        evaluated.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.embedding(sq.tensor([1]), sq.tensor([[1.0], [2.0]]))
        tensor([[2.]])
    """
    _refuse_sparse("embedding", sparse)
    if max_norm is None and not scale_grad_by_freq:
        return Native.call(_rows, input, weight, padding_idx)
    index = _index("embedding", input, weight)
    if max_norm is not None:
        _limit_rows(weight, index, float(max_norm), norm_type)
    rows = _rows(index, weight, padding_idx)
    return _ScaledByFrequency.apply(rows, index, weight.shape[0]) if scale_grad_by_freq else rows


def _rows(input: Any, weight: Any, padding_idx: int | None) -> Any:
    index = _index("embedding", input, weight)
    return apply(ops.embedding, (weight, index), padding=_padding("embedding", padding_idx, weight.shape[0]))


def _refuse_sparse(function: str, sparse: bool) -> None:
    if sparse:
        raise ValueError(f"{function}: sparse=True: gradients are dense here; leave it out")


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sums, means or maxima of bags of rows of a table.

    Args:
        input: int64 indices: (bags, size of each), or in one dimension with `offsets`. weight: shape (count,
            size). offsets: where each bag begins. mode: "sum", "mean" or "max". per_sample_weights: of the
            input's shape; multiplies rows, for "sum". include_last_offset: whether the last offset is the end.
            padding_idx: a row that counts not. The others are as for `embedding`.

    Returns:
        Shape (bags, size); empty bags are 0.

    Raises:
        ShapeError, ValueError: when the arguments do not fit together.
    """
    index = _index("embedding_bag", input, weight)
    _refuse_sparse("embedding_bag", sparse)
    _check_bags(input, offsets, mode, per_sample_weights)
    weights = per_sample_weights
    if input.dim() == 2:
        bags, size = input.shape
        owner = sq.arange(bags).unsqueeze(1).expand(bags, size).reshape(-1)
        index, weights = index.reshape(-1), None if weights is None else weights.reshape(-1)
    else:
        bags = offsets.shape[0] - (1 if include_last_offset else 0)
        begins = offsets.to(sq.int64)[:bags]
        owner = (sq.arange(index.shape[0]).unsqueeze(1) >= begins).to(sq.int64).sum(1) - 1
    padding = _padding("embedding_bag", padding_idx, weight.shape[0])
    rows = embedding(index, weight, padding, max_norm, norm_type, scale_grad_by_freq)
    counted = sq.ones(index.shape, dtype=sq.bool) if padding is None else index != padding
    return _reduce_bags(rows, owner, counted, weights, bags, mode)


def _check_bags(input: Any, offsets: Any, mode: str, weights: Any) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode has to be one of sum, mean or max, not {mode!r}")
    if input.dim() not in (1, 2):
        raise ShapeError(f"embedding_bag: input has to be 1D or 2D Tensor, but got shape {tuple(input.shape)}")
    if (offsets is None) != (input.dim() == 2):
        raise ValueError(
            "embedding_bag: offsets has to be a 1D Tensor for a 1D input, and None for a 2D input, got "
            f"{'None' if offsets is None else tuple(offsets.shape)} for input of shape {tuple(input.shape)}"
        )
    if offsets is not None and offsets.dim() != 1:
        raise ShapeError(f"embedding_bag: offsets has to be a 1D Tensor, got shape {tuple(offsets.shape)}")
    if weights is not None and mode != "sum":
        raise ValueError(
            f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode={mode!r})."
        )
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise ShapeError(
            f"embedding_bag: per_sample_weights of shape {tuple(weights.shape)} must have the shape of the input, "
            f"{tuple(input.shape)}"
        )


def _reduce_bags(rows: Any, owner: Any, counted: Any, weights: Any, bags: int, mode: str) -> Any:
    """Rows, each of a bag, reduced to one row a bag."""
    if mode == "max":
        mine = (owner.unsqueeze(0) == sq.arange(bags).unsqueeze(1)).logical_and(counted).unsqueeze(2)
        if rows.shape[0] == 0:
            return rows.new_zeros((bags, rows.shape[1]))
        best = sq.where(mine, rows.unsqueeze(0), float("-inf")).max(1).values
        return best.masked_fill(~mine.any(1), 0.0)
    rows = rows if weights is None else rows * weights.unsqueeze(1)
    rows = rows.masked_fill(~counted.unsqueeze(1), 0.0)
    total = rows.new_zeros((bags, rows.shape[1])).index_add(0, owner, rows)
    if mode == "sum":
        return total
    sizes = rows.new_zeros(bags).index_add(0, owner, counted.to(rows.dtype))
    return total / sizes.clamp(min=1).unsqueeze(1)
