"""Which blocks of keys each block of queries meets: found from a mask function once, used by every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.ops.flex_attention import BLOCK

_CHUNK = 1 << 22  # positions of the mask that are looked at together


class BlockMask:
    """What `create_block_mask` found: where a mask function holds, by blocks.

    Attributes:
        mask_mod: the function. BLOCK_SIZE: queries and keys of a block. seq_lengths: queries and keys. blocks: int64 of
        shape (B, H, blocks of 64 queries, 1 + blocks of 64 keys), what the kernel reads: how many blocks of keys
        follow, then twice the number of each, plus one where the mask holds everywhere.
    """

    def __init__(self, mask_mod: Callable, size: tuple[int, int], lengths: tuple[int, int], some: Any, every: Any):
        self.mask_mod, self.BLOCK_SIZE, self.seq_lengths = mask_mod, size, lengths
        self._some, self._every = some, every
        self.blocks = sq.tensor(_listed(some, every))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, H, queries, keys); sizes of 1 stand for all."""
        return (*self._some.shape[:2], *self.seq_lengths)

    def _coarse(self) -> tuple[Any, Any]:
        """Where the mask holds somewhere and everywhere, by blocks of BLOCK_SIZE."""
        import numpy

        some, every = self._some, self._every
        for axis, size in ((2, self.BLOCK_SIZE[0] // BLOCK), (3, self.BLOCK_SIZE[1] // BLOCK)):
            starts = numpy.arange(0, some.shape[axis], size)
            some = numpy.logical_or.reduceat(some, starts, axis=axis)
            every = numpy.logical_and.reduceat(every, starts, axis=axis)
        return some, every

    def _counted(self, chosen: Any) -> tuple[Any, Any]:
        order = (~chosen).argsort(-1, kind="stable")
        return sq.tensor(chosen.sum(-1).astype("i4")), sq.tensor(order.astype("i4"))

    @property
    def kv_num_blocks(self) -> Any:
        """How many blocks of keys each block of queries meets in part, int32 of shape (B, H, blocks of queries)."""
        some, every = self._coarse()
        return self._counted(some & ~every)[0]

    @property
    def kv_indices(self) -> Any:
        """Their numbers first, int32 of shape (B, H, blocks of queries, blocks of keys)."""
        some, every = self._coarse()
        return self._counted(some & ~every)[1]

    @property
    def full_kv_num_blocks(self) -> Any:
        """How many blocks of keys each block of queries meets whole."""
        return self._counted(self._coarse()[1])[0]

    @property
    def full_kv_indices(self) -> Any:
        """Their numbers first."""
        return self._counted(self._coarse()[1])[1]

    def to_dense(self) -> Any:
        """int32 of shape (B, H, blocks of queries, blocks of keys): 1 where any position takes part."""
        return sq.tensor(self._coarse()[0].astype("i4"))

    def sparsity(self) -> float:
        """Percent of the blocks that are left out."""
        return 100.0 * float(1 - self._coarse()[0].mean())

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def _listed(some: Any, every: Any) -> Any:
    """The lists that the kernel reads."""
    import numpy

    order = (~some).argsort(-1, kind="stable")
    entries = numpy.where(
        numpy.take_along_axis(some, order, -1), 2 * order + numpy.take_along_axis(every, order, -1), 0
    )
    return numpy.concatenate([some.sum(-1, keepdims=True), entries], -1).astype(numpy.int64)


def _found(mask_mod: Callable, batch: int, heads: int, queries: int, keys: int) -> tuple[Any, Any]:
    """Where a mask holds somewhere, and where everywhere, by blocks of 64; a few rows of blocks at a time."""
    import numpy

    columns = -(-keys // BLOCK) * BLOCK
    rows = max(1, _CHUNK // (batch * heads * columns * BLOCK)) * BLOCK
    parts: list[tuple] = []
    b, h, k = (sq.arange(n, dtype=sq.int32) for n in (batch, heads, keys))
    for first in range(0, queries, rows):
        q = sq.arange(first, min(queries, first + rows), dtype=sq.int32)
        given = (b.view(-1, 1, 1, 1), h.view(1, -1, 1, 1), q.view(1, 1, -1, 1), k.view(1, 1, 1, -1))
        made = mask_mod(*given)
        made = made if isinstance(made, sq.Tensor) else sq.tensor(bool(made))
        made = made.expand(batch, heads, q.shape[0], keys).numpy()
        left = -q.shape[0] % BLOCK
        for value, join in ((False, numpy.any), (True, numpy.all)):
            whole = numpy.pad(made, ((0, 0), (0, 0), (0, left), (0, columns - keys)), constant_values=value)
            whole = whole.reshape(batch, heads, -1, BLOCK, columns // BLOCK, BLOCK)
            parts.append((value, join(whole, axis=(3, 5))))
    some, every = ([p for kind, p in parts if kind is wanted] for wanted in (False, True))
    return numpy.concatenate(some, 2), numpy.concatenate(every, 2)


def create_block_mask(
    mask_mod: Callable,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = "cpu",
    BLOCK_SIZE: int | tuple[int, int] = 128,
    _compile: bool = False,
) -> BlockMask:
    """Find which blocks of keys each block of queries meets, so that `flex_attention` skips the others.

    Args:
        mask_mod: function of (batch, head, q_idx, kv_idx), int32 Tensors, that says whether a position takes part.
            It is called with whole ranges that broadcast against each other. B, H: batches and heads it
            distinguishes; None for all alike. Q_LEN, KV_LEN: queries and keys. device: of the result. BLOCK_SIZE: of
            the blocks that the result reports, multiples of 64; kernels skip by 64. _compile: accepted as PyTorch
            does, without effect.

    Returns:
        BlockMask: for `flex_attention`.

    Raises:
        ShapeError: for sizes below 1, or a BLOCK_SIZE that is no multiple of 64.

    Example:
        >>> from squall.nn.attention.flex_attention import create_block_mask
        >>> create_block_mask(lambda b, h, q, k: q >= k, None, None, 256, 256)
        BlockMask(shape=(1, 1, 256, 256), sparsity=25.00%)
    """
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else (BLOCK_SIZE[0], BLOCK_SIZE[1])
    if any(n < 1 or n % BLOCK for n in size):
        raise ShapeError(f"create_block_mask: argument 'BLOCK_SIZE'={BLOCK_SIZE} must be of multiples of {BLOCK}")
    batch, heads = B or 1, H or 1
    if min(batch, heads, Q_LEN, KV_LEN) < 1:
        raise ShapeError(f"create_block_mask: sizes must be positive, got {(B, H, Q_LEN, KV_LEN)}")
    with sq.no_grad():
        some, every = _found(mask_mod, batch, heads, Q_LEN, KV_LEN)
    return BlockMask(mask_mod, size, (Q_LEN, KV_LEN), some, every)


def and_masks(*mask_mods: Callable) -> Callable:
    """A mask function that holds where all of some do.

    Example:
        >>> from squall.nn.attention.flex_attention import and_masks
        >>> and_masks(lambda b, h, q, k: q >= k, lambda b, h, q, k: q - k < 2)(0, 0, 5, 4)
        True
    """

    def both(b: Any, h: Any, q: Any, k: Any) -> Any:
        found = mask_mods[0](b, h, q, k)
        for mask in mask_mods[1:]:
            found = found & mask(b, h, q, k)
        return found

    return both


def or_masks(*mask_mods: Callable) -> Callable:
    """A mask function that holds where one of some does.

    Example:
        >>> from squall.nn.attention.flex_attention import or_masks
        >>> or_masks(lambda b, h, q, k: q >= k, lambda b, h, q, k: k < 2)(0, 0, 0, 1)
        True
    """

    def either(b: Any, h: Any, q: Any, k: Any) -> Any:
        found = mask_mods[0](b, h, q, k)
        for mask in mask_mods[1:]:
            found = found | mask(b, h, q, k)
        return found

    return either
