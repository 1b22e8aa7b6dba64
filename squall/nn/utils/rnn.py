"""Sequences of different lengths: padded to one, or packed one behind the other, under PyTorch's names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import squall as sq
from squall.frontend.by_values import by_values


class PackedSequence(NamedTuple):
    """Sequences without padding: step 0 of all, then step 1 of those that have one, longest sequence first.

    Attributes:
        data: the steps, (steps of all sequences, ...). batch_sizes: int64, how many sequences have each step.
        sorted_indices: which sequence of the original order each is, None when it was in order. unsorted_indices: the
            way back.
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


@by_values("lengths of sequences")
def _lengths(lengths: Any) -> list[int]:
    return [int(n) for n in (lengths.tolist() if hasattr(lengths, "tolist") else lengths)]


def _places(sizes: list[int], batch: int) -> list[int]:
    """Where each packed step lies among (time, batch) flattened."""
    return [t * batch + b for t, n in enumerate(sizes) for b in range(n)]


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Sequences of different lengths as one Tensor.

    Args:
        sequences: Tensors (length, ...) alike but for the length. batch_first: whether the result is (batch, time,
        ...).
            padding_value: what fills the rest. padding_side: "right" or "left".

    Returns:
        Tensor: (longest, batch, ...), or (batch, longest, ...).

    Example:
        >>> import squall as sq
        >>> sq.nn.utils.rnn.pad_sequence([sq.ones(2), sq.ones(3)], batch_first=True).tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}")
    sequences = list(sequences)
    if not sequences:
        raise ValueError("pad_sequence: received an empty list of sequences")
    longest = max(s.shape[0] for s in sequences)
    parts = []
    for s in sequences:
        missing = longest - s.shape[0]
        if missing:
            fill = sq.full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = sq.cat([s, fill] if padding_side == "right" else [fill, s])
        parts.append(s)
    return sq.stack(parts, 0 if batch_first else 1)


def pack_padded_sequence(input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> Any:
    """Leave the padding out.

    Args:
        input: (time, batch, ...), or (batch, time, ...) with `batch_first`. lengths: of the sequences, numbers or a
            Tensor. enforce_sorted: refuse sequences that are not in order of decreasing length; else they are sorted.

    Returns:
        PackedSequence: what nn.RNN, LSTM and GRU take.

    Raises:
        ValueError: when a length is not positive, too large, or out of order.

    Example:
        >>> import squall as sq
        >>> from squall.nn.utils.rnn import pack_padded_sequence
        >>> pack_padded_sequence(sq.tensor([[1.0, 3.0], [2.0, 0.0]]), [2, 1]).data.tolist()
        [1.0, 3.0, 2.0]
    """
    lengths = _lengths(lengths)
    if batch_first:
        input = input.transpose(0, 1)
    time, batch = input.shape[:2]
    if len(lengths) != batch:
        raise ValueError(
            f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size {batch}, got {len(lengths)}"
        )
    if any(n <= 0 for n in lengths) or max(lengths) > time:
        raise ValueError(f"pack_padded_sequence: lengths must be from 1 to {time}, got {lengths}")
    order = sorted(range(batch), key=lambda b: -lengths[b])
    is_sorted = all(a >= b for a, b in pairwise(lengths))
    if enforce_sorted and not is_sorted:
        raise ValueError(
            "pack_padded_sequence: `lengths` must be sorted in decreasing order when `enforce_sorted` is "
            "True. You can pass `enforce_sorted=False`."
        )
    sorting = unsorting = None
    if not enforce_sorted:
        sorting = sq.tensor(order)
        unsorting = sq.tensor(sorted(range(batch), key=order.__getitem__))
        input = input.index_select(1, sorting)
    sizes = [sum(n > t for n in lengths) for t in range(max(lengths))]
    flat = input.reshape(time * batch, *input.shape[2:])
    data = flat.index_select(0, sq.tensor(_places(sizes, batch)))
    return PackedSequence(data, sq.tensor(sizes), sorting, unsorting)


def unpack(packed: PackedSequence, padding_value: float = 0.0, total: int | None = None) -> tuple[Any, list[int]]:
    """The padded steps (time, batch, ...) in packed order, and the lengths."""
    sizes = _lengths(packed.batch_sizes)
    batch, time = sizes[0], max(len(sizes), total or 0)
    rest = packed.data.shape[1:]
    padded = sq.full((time * batch, *rest), padding_value, dtype=packed.data.dtype, device=packed.data.device)
    padded[sq.tensor(_places(sizes, batch))] = packed.data
    lengths = [sum(n > b for n in sizes) for b in range(batch)]
    return padded.reshape(time, batch, *rest), lengths


def pack(padded: Any, like: PackedSequence) -> PackedSequence:
    """Padded steps in packed order, packed as another sequence is."""
    sizes, batch = _lengths(like.batch_sizes), padded.shape[1]
    flat = padded.reshape(padded.shape[0] * batch, *padded.shape[2:])
    return like._replace(data=flat.index_select(0, sq.tensor(_places(sizes, batch))))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """The inverse of `pack_padded_sequence`.

    Args:
        sequence: packed. batch_first: whether the result is (batch, time, ...). padding_value: what fills the rest.
            total_length: pad to at least this many steps.

    Returns:
        tuple: (padded Tensor, int64 lengths), in the original order.

    Raises:
        ValueError: when total_length is less than the longest sequence.

    Example:
        >>> import squall as sq
        >>> from squall.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
        >>> pad_packed_sequence(pack_padded_sequence(sq.ones(2, 2), [2, 1]))[0].tolist()
        [[1.0, 1.0], [1.0, 0.0]]
    """
    longest = len(_lengths(sequence.batch_sizes))
    if total_length is not None and total_length < longest:
        raise ValueError(f"pad_packed_sequence: Expected total_length to be at least {longest}, got {total_length}")
    padded, lengths = unpack(sequence, padding_value, total_length)
    found = sq.tensor(lengths)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        found = found.index_select(0, sequence.unsorted_indices)
    return (padded.transpose(0, 1) if batch_first else padded), found


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of different lengths packed.

    Args:
        sequences: Tensors (length, ...). enforce_sorted: as for `pack_padded_sequence`.

    Example:
        >>> import squall as sq
        >>> sq.nn.utils.rnn.pack_sequence([sq.tensor([1.0, 2.0]), sq.tensor([3.0])]).data.tolist()
        [1.0, 3.0, 2.0]
    """
    sequences = list(sequences)
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], False, enforce_sorted)


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes one; None for None.

    Args:
        permutation: int64 of the numbers 0 to n - 1, of shape (n,).

    Raises:
        RuntimeError: for more than one dimension.

    Example:
        >>> import squall as sq
        >>> sq.nn.utils.rnn.invert_permutation(sq.tensor([2, 0, 1])).tolist()
        [1, 2, 0]
    """
    if permutation is None:
        return None
    if permutation.dim() != 1:
        raise RuntimeError(f"invert_permutation: expected one dimension, got shape {tuple(permutation.shape)}")
    return permutation.argsort()


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list:
    """The inverse of `pad_sequence`.

    Args:
        padded_sequences: (time, batch, ...), or (batch, time, ...) with `batch_first`. lengths: of the sequences,
            numbers or a Tensor.

    Returns:
        list: Tensors (length, ...).

    Raises:
        ValueError: for another number of lengths than sequences.

    Example:
        >>> import squall as sq
        >>> [s.tolist() for s in sq.nn.utils.rnn.unpad_sequence(sq.tensor([[1.0, 3.0], [2.0, 0.0]]), [2, 1])]
        [[1.0, 2.0], [3.0]]
    """
    counts = _lengths(lengths)
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    if len(counts) != rows.shape[0]:
        raise ValueError(f"unpad_sequence: expected {rows.shape[0]} lengths, got {len(counts)}")
    return [row.narrow(0, 0, n) for row, n in zip(rows.unbind(0), counts, strict=True)]


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """The inverse of `pack_sequence`: a list of Tensors (length, ...), in their original order.

    Args:
        packed_sequences: packed.

    Example:
        >>> import squall as sq
        >>> packed = sq.nn.utils.rnn.pack_sequence([sq.ones(1), sq.zeros(2)], enforce_sorted=False)
        >>> [s.tolist() for s in sq.nn.utils.rnn.unpack_sequence(packed)]
        [[1.0], [0.0, 0.0]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
