"""`flex_attention`: attention whose scores functions of the user's change, traced into the fused kernels."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import squall as sq
from squall.base.dtypes import bool_, float32, int32
from squall.base.errors import DtypeError, ShapeError, TraceError
from squall.frontend.bodies import Body
from squall.frontend.core import apply, wrap
from squall.ir.graph import expand_composites
from squall.ir.node import Node, tensor_type, toposort
from squall.ir.op import ops
from squall.nn.attention.blocks import BlockMask, and_masks, create_block_mask, or_masks
from squall.ops.common import is_narrow
from squall.ops.scalar_program import NotScalarError, program_of

__all__ = ["BlockMask", "and_masks", "create_block_mask", "flex_attention", "noop_mask", "or_masks"]

_GRADIENT = 5


def noop_mask(batch: Any, head: Any, q_idx: Any, kv_idx: Any) -> Any:
    """A mask function that holds everywhere."""
    return (q_idx + kv_idx) > -1


class _Captured:
    """Tensors that functions read from outside, as operands: each once."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.numbers: dict[int, int] = {}

    def program(self, name: str, body: Body, root: Node, inputs: dict[int, int]) -> tuple:
        """The program of a traced value."""
        stops = {id(tensor.node): tensor for edge, tensor in body.trace.seen.values() if id(edge) in body.captured}
        order = toposort([root], lambda n: n.buffer is not None)
        free: dict[int, bool] = {}
        for node in order:
            free[id(node)] = id(node) not in inputs and id(node) not in stops and all(free[id(n)] for n in node.inputs)
        read: dict[int, Node] = {}
        for node in order:
            below = [] if free[id(node)] or id(node) in stops else node.inputs
            for n in (*below, *((root,) if node is root else ())):
                if (free[id(n)] and n.op is not ops.constant) or id(n) in stops:
                    read[id(n)] = n
        for number, node in read.items():
            if number not in self.numbers:
                self.numbers[number] = len(self.tensors)
                self.tensors.append(stops[number] if number in stops else wrap(node))
        fixed = {i: n for i, n in ((id(n), n) for n in order) if i in inputs or i in read}
        (whole,) = expand_composites([root], replaced=dict(fixed))
        captured = {i: self.numbers[i] for i in read}
        try:
            return program_of(whole, inputs, captured, toposort([whole], lambda n: id(n) in fixed))
        except NotScalarError as error:
            raise TraceError(
                f"flex_attention: {name} must compute one value from one score and elements of captured tensors, "
                f"indexed dimension by dimension; it uses {error}. Prepare tensors outside of it"
            ) from None


def _score_programs(captured: _Captured, score_mod: Callable, dtype: Any) -> tuple[tuple, tuple]:
    """The programs of a score function and of its gradient (nothing where no gradients are recorded)."""
    types = [tensor_type((), dtype, "cpu"), *[tensor_type((), int32, "cpu")] * 4]

    def run(given: list) -> list:
        return [_checked("score_mod", score_mod(*given)).to(dtype)]

    body = Body("flex_attention", run, types, "refused")
    inputs = {id(n): i for i, n in enumerate(body.inputs)}
    score = captured.program("score_mod", body, body.outputs[0], inputs)
    if not body.history:
        return score, ()
    (cotangent,), (found,) = body.gradients([body.leaves[0]])
    return score, captured.program("score_mod", body, found, inputs | {id(cotangent): _GRADIENT})


def _keep_program(captured: _Captured, mask_mod: Callable) -> tuple:
    """The program of a mask function."""
    types = [tensor_type((), int32, "cpu")] * 4
    with sq.no_grad():
        body = Body(
            "flex_attention", lambda given: [_checked("mask_mod", mask_mod(*given)).to(bool_)], types, "refused"
        )
    return captured.program("mask_mod", body, body.outputs[0], {id(n): i + 1 for i, n in enumerate(body.inputs)})


def _checked(name: str, value: Any) -> Any:
    """What a function gave, if it is one value."""
    if not isinstance(value, sq.Tensor):
        value = sq.tensor(value)
    if tuple(value.shape) != ():
        raise ShapeError(f"flex_attention: {name} must give one value for one score, not shape {tuple(value.shape)}")
    return value


def _check(query: Any, key: Any, value: Any, enable_gqa: bool) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if not query.dim() == key.dim() == value.dim() == 4:
        raise ShapeError(f"flex_attention: query, key and value must have 4 dimensions (batch, heads, positions, "
                         f"features): {shapes}")
    if not query.dtype is key.dtype is value.dtype or query.dtype.category != 2:
        raise DtypeError(f"flex_attention: expected one floating dtype, got {query.dtype}, {key.dtype}, {value.dtype}")
    heads, shared = query.shape[1], key.shape[1]
    if value.shape[1] != shared or (heads != shared and not (enable_gqa and heads % shared == 0)):
        raise ShapeError(f"flex_attention: heads of key and value must be the query's, or with enable_gqa divide "
                         f"them: {shapes}")
    if not key.shape[0] == value.shape[0] or key.shape[0] not in (1, query.shape[0]):
        raise ShapeError(f"flex_attention: batches do not go together: {shapes}")


def flex_attention(
    query: Any,
    key: Any,
    value: Any,
    score_mod: Callable | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: dict | None = None,
) -> Any:
    """softmax(score_mod(query @ key.T * scale)) @ value in one kernel, and its gradients in another.

    `score_mod(score, batch, head, q_idx, kv_idx)` is called once, with a zero-dimensional floating Tensor and four
    int32 ones; what it computes becomes part of the kernel. It may read captured tensors by indexing every dimension
    with them (`slopes[head]`, `table[q_idx - kv_idx + 128]`); an index beyond the tensor reads its nearest element.
    Gradients flow to captured tensors too: those are added up over all scores, so backward then takes the unfused way,
    with memory for every score. So do second gradients.

    Args:
        query: shape (B, H, L, E). key: shape (B, H, S, E). value: shape (B, H, S, V). score_mod: the function, or
            None. block_mask: what takes part, from `create_block_mask`; blocks that do not are skipped. scale:
            1 / sqrt(E) by default. enable_gqa: key and value have fewer heads, each shared by several of the query's.
            return_lse: give the natural logarithms of the rows' sums too. kernel_options: accepted as PyTorch does,
            without effect.

    Returns:
        Shape (B, H, L, V); with `return_lse` (that, shape (B, H, L) in float32 or wider). A query to which nothing is
        left gives 0.

    Raises:
        ShapeError: for shapes that do not go together. TraceError: for a function that is not one of scalars.

    Example:
        >>> import squall as sq
        >>> from squall.nn.attention.flex_attention import create_block_mask, flex_attention
        >>> q = sq.ones(1, 2, 128, 16)
        >>> window = create_block_mask(lambda b, h, i, j: (i >= j) & (i - j < 32), None, None, 128, 128)
        >>> flex_attention(q, q, q, lambda score, b, h, i, j: score - 0.5 * (i - j), window).shape
        squall.Size([1, 2, 128, 16])
    """
    _check(query, key, value, enable_gqa)
    heads, shared = query.shape[1], key.shape[1]
    if key.shape[0] != query.shape[0]:
        key, value = (t.expand(query.shape[0], *t.shape[1:]) for t in (key, value))
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    captured, listed = _Captured(), ()
    score, change, keep = (), (), ()
    if score_mod is not None:
        score, change = _score_programs(captured, score_mod, float32 if is_narrow(query.dtype) else query.dtype)
    if block_mask is not None:
        _check_mask(query, key, block_mask)
        keep, listed = _keep_program(captured, block_mask.mask_mod), (block_mask.blocks,)
    if heads != shared:
        query, key, value = _grouped(query, key, value, heads // shared)
    out, sums = apply(ops.flex_attention, (query, key, value, *listed, *captured.tensors), scale=factor, score=score,
                      change=change, keep=keep, listed=bool(listed))  # fmt: skip
    if heads != shared:
        out, sums = out.flatten(1, 2), sums.flatten(1, 2)
    return (out.to(query.dtype), sums * log(2)) if return_lse else out.to(query.dtype)


def _grouped(query: Any, key: Any, value: Any, group: int) -> tuple:
    """Heads as those of keys by those that share them; keys and values stay where they lie."""
    key, value = (t.unsqueeze(2).expand(*t.shape[:2], group, *t.shape[2:]) for t in (key, value))
    return query.unflatten(1, (key.shape[1], group)), key, value


def _check_mask(query: Any, key: Any, mask: BlockMask) -> None:
    batch, heads, queries, keys = mask.shape
    if (queries, keys) != (query.shape[2], key.shape[2]):
        raise ShapeError(
            f"flex_attention: 'block_mask' was made for {queries} queries and {keys} keys, not {query.shape[2]} and "
            f"{key.shape[2]}"
        )
    if batch not in (1, query.shape[0]) or heads not in (1, query.shape[1]):
        raise ShapeError(
            f"flex_attention: 'block_mask' was made for batch {batch} and {heads} heads, not {query.shape[0]} and "
            f"{query.shape[1]}"
        )
