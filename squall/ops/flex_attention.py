"""Attention whose scores a function of the user's changes: one op forward, one backward, each one kernel.

The function is a program (see `scalar_program`) in the op's attributes; what it reads from captured tensors are the
op's last operands. A list of blocks says for each 64 queries which 64 keys they meet, the others are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import ascii_letters
from typing import Any

from squall.base.dtypes import bool_, dtype_named, float32, int32, int64
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import check_float, contraction, zeros
from squall.ir.graph import trace
from squall.ir.interpret import evaluate
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.common import as_dtype_of, is_narrow, number, widen
from squall.ops.samples import floats
from squall.ops.scalar_program import Step, run_program
from squall.ops.slicing import arange

BLOCK = 64  # queries, and keys, of an entry in a list of blocks
_LEAD = [c for c in ascii_letters if c not in "lsev"]
_LOG2_E = 1.4426950408889634


def parts(operands: Sequence[Any], attrs: tuple) -> tuple[tuple, tuple]:
    """What comes after query, key and value: (the list of blocks, if any; captured tensors)."""
    rest = tuple(operands)
    return (rest[:1], rest[1:]) if attrs[4] else ((), rest)


def _wide(dtype: Any) -> Any:
    return float32 if is_narrow(dtype) else dtype


def _check(name: str, types: tuple, attrs: tuple) -> None:
    q, k, v, *rest = types
    shapes = f"query {tuple(q.shape)}, key {tuple(k.shape)}, value {tuple(v.shape)}"
    if len(q.shape) < 4 or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ShapeError(f"{name}: operands need equal leading dimensions, a batch and heads: {shapes}")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"{name}: query and key must have one last size, key and value one length: {shapes}")
    check_float(name, q.dtype)
    if not q.dtype is k.dtype is v.dtype:
        raise DtypeError(f"{name}: expected one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    blocks, _ = parts(rest, attrs)
    if blocks and (blocks[0].dtype is not int64 or len(blocks[0].shape) != 4):
        raise ShapeError(f"{name}: the list of blocks must be int64 of 4 dimensions, not {blocks[0]}")


def _result(q: TensorType, v: TensorType) -> TensorType:
    return TensorType((*q.shape[:-1], v.shape[-1]), _wide(q.dtype), q.device)


def _statistic(q: TensorType) -> TensorType:
    return TensorType(q.shape[:-1], _wide(q.dtype), q.device)


def _product(a: Any, b: Any, equation: str) -> Any:
    lead = "".join(_LEAD[: len(a.shape) - 2])
    x, y, out = equation.replace("->", ",").split(",")
    return ops.contract(a, b, equation=f"{lead}{x},{lead}{y}->{lead}{out}", triangle="")


def positions(lead: tuple, queries: Any, keys: Any, device: Any) -> tuple:
    """Batch, head, query and key of every score, broadcastable to them: heads are all leading dimensions but one."""
    rank = len(lead)
    heads = prod(lead[1:])
    shapes = ((lead[0], *(1,) * (rank + 1)), (1, *lead[1:], 1, 1), (queries, 1), (keys,))
    counts = (lead[0], heads, queries, keys)
    return tuple(
        ops.reshape(ops.cast(arange(n, device), dtype=int32), shape=s)
        for n, s in zip(counts, shapes, strict=True)
    )


def _scores(q: Any, k: Any, captured: tuple, scale: float, score: tuple, keep: tuple) -> tuple:
    """(scores before the user's functions, where they are, after both)."""
    raw = _product(widen(q), widen(k), "le,se->ls")
    raw = raw if scale == 1 else ops.mul(raw, scale)
    where = positions(tuple(q.shape[:-2]), q.shape[-2], k.shape[-2], q.device)
    changed = as_dtype_of(run_program(score, (raw, *where), captured), raw.dtype) if score else raw
    if keep:
        changed = ops.where(run_program(keep, (raw, *where), captured), changed, number(float("-inf"), changed))
    shape = tuple(raw.shape)
    return raw, where, changed if tuple(changed.shape) == shape else ops.expand(changed, shape=shape)


def _weights(scores: Any) -> Any:
    never = number(float("-inf"), scores)
    dead = ops.eq(ops.amax(scores, dims=(len(scores.shape) - 1,), keepdim=True), never)
    weights = ops.softmax(ops.where(dead, number(0, scores), scores), dim=len(scores.shape) - 1)
    return ops.where(dead, number(0, weights), weights)


def _forward(q: Any, k: Any, v: Any, *rest: Any, scale: float, score: tuple, change: tuple, keep: tuple,
             listed: bool) -> tuple:
    _, captured = parts(rest, (scale, score, change, keep, listed))
    _, _, scores = _scores(q, k, captured, scale, score, keep)
    sums = ops.logsumexp(scores, dims=(len(scores.shape) - 1,), keepdim=False)
    return _product(_weights(scores), widen(v), "ls,sv->lv"), ops.mul(sums, _LOG2_E)


def _backward(g: Any, q: Any, k: Any, v: Any, out: Any, sums: Any, *rest: Any, scale: float, score: tuple,
              change: tuple, keep: tuple, listed: bool) -> tuple:
    _, captured = parts(rest, (scale, score, change, keep, listed))
    raw, where, scores = _scores(q, k, captured, scale, score, keep)
    weights = _weights(scores)
    gw = _product(widen(g), widen(v), "lv,sv->ls")
    inner = ops.sum(ops.mul(gw, weights), dims=(len(gw.shape) - 1,), keepdim=True)
    gs = ops.mul(weights, ops.sub(gw, inner))
    if score:
        changed = as_dtype_of(run_program(change, (raw, *where, gs), captured), gs.dtype)
        gs = ops.where(ops.eq(gs, number(0, gs)), gs, changed)
    gs = ops.mul(gs, scale)
    found = (
        _product(gs, widen(k), "ls,se->le"), _product(gs, widen(q), "ls,le->se"),
        _product(weights, widen(g), "ls,lv->sv"),
    )  # fmt: skip
    return tuple(as_dtype_of(x, q.dtype) for x in found)


def _forward_type(types: tuple, attrs: tuple) -> tuple:
    _check("flex_attention", types, attrs)
    return _result(types[0], types[2]), _statistic(types[0])


def _backward_type(types: tuple, attrs: tuple) -> tuple:
    g, q, k, v, out, sums, *rest = types
    _check("flex_attention_backward", (q, k, v, *rest), attrs)
    wanted = (_result(q, v), _result(q, v), _statistic(q))
    for name, given, type in zip(("gradient", "result", "sums"), (g, out, sums), wanted, strict=True):
        if given.shape != type.shape or given.dtype not in (type.dtype, q.dtype):
            raise ShapeError(f"flex_attention_backward: the {name} must be {type}, not {given}")
    return q, k, v


def _by_decomposition(context: Context, expand: Any, g: tuple) -> tuple:
    """Gradients through the decomposition: those of captured tensors, and second ones."""
    named = context.op.named(context.attrs)
    graph = trace(lambda *operands: expand(*operands, **named), context.types, context.op.name)
    inner = Context(ops.call, (graph,), context.types, context.out_type, context.inputs, None, context.needs)
    return ops.call.grad(inner, g)


def _forward_grad(context: Context, g: tuple) -> tuple:
    over_out, over_sums = g
    if over_sums is not None or any(context.needs[3:]):
        return _by_decomposition(context, _forward, g)
    over_out = zeros(context.out_type[0]) if over_out is None else over_out
    q, k, v, *rest = context.inputs
    found = ops.flex_attention_backward(
        over_out, q, k, v, *context.output, *rest, **context.op.named(context.attrs)
    )
    return *found, *(None for _ in rest)


def _backward_grad(context: Context, g: tuple) -> tuple:
    inputs = list(context.inputs)
    for i in (4, 5):  # the result and sums are functions of the other operands, which the decomposition does not read
        inputs[i] = zeros(context.types[i])
    whole = Context(
        context.op, context.attrs, context.types, context.out_type, tuple(inputs), None, context.needs
    )
    return _by_decomposition(whole, _backward, g)


def _run(expand: Any, arrays: tuple, named: dict) -> tuple:
    """A decomposition by the NumPy oracle."""
    types = [TensorType(a.shape, dtype_named(a.dtype.name), "cpu") for a in arrays]
    graph = trace(lambda *operands: expand(*operands, **named), types)
    return tuple(evaluate(graph.outputs, dict(zip(graph.inputs, arrays, strict=True)), decompose=True))


def _samples() -> list[Sample]:
    import numpy

    score = (Step("input", (0,), float32), Step("tanh", (), float32, (0,)))
    change = (
        *score, Step("input", (5,), float32), Step("mul", (), float32, (1, 1)), Step("mul", (), float32, (3, 2)),
        Step("sub", (), float32, (2, 4)),
    )  # fmt: skip
    keep = (
        Step("input", (3,), int32), Step("element", (0,), int64, (0,)), Step("input", (4,), int32),
        Step("element", (0,), int64, (2,)), Step("eq", (), bool_, (1, 3)),
    )  # fmt: skip
    documents = numpy.array([0, 0, 1, 2])
    out = []
    for i, (functions, captured) in enumerate((((score, change, ()), ()), (((), (), keep), (documents,)))):
        named = dict(zip(("score", "change", "keep"), functions, strict=True))
        shapes = ((2, 2, 3, 3), (2, 2, 4, 3), (2, 2, 4, 2))
        operands = tuple(floats(s, 3 * i + j) for j, s in enumerate(shapes))
        out.append(Sample((*operands, *captured), {"scale": 0.5, **named, "listed": False}, f"case {i}"))
    return out


def _backward_samples() -> list[Sample]:
    out = []
    for i, sample in enumerate(_samples()):
        result, sums = _run(_forward, sample.inputs, sample.attributes)
        q, k, v, *rest = sample.inputs
        out.append(Sample((floats(result.shape, i + 20), q, k, v, result, sums, *rest), sample.attributes, sample.name))
    return out


_SHARED: dict[str, Any] = {
    "attributes": ("scale", "score", "change", "keep", "listed"), "promotion": "none", "vmap": None,
}  # fmt: skip
declare(
    "flex_attention", contraction, infer=_forward_type, grad=_forward_grad,
    saves=lambda needs: (*range(len(needs)), "out"), lowering=Decompose(_forward, kernel=True), samples=_samples,
    reference=lambda *arrays, **named: _run(_forward, arrays, named),
    doc="Attention whose scaled scores the program `score` changes and `keep` admits, and for each query the base-2 "
    "logarithm of the sum of its exponentials. `change` is the gradient of `score`. With `listed`, the fourth operand "
    "lists the blocks of keys that each block of queries meets: their count, then twice the number of each, plus one "
    "where `keep` holds everywhere.", **_SHARED)  # fmt: skip
declare(
    "flex_attention_backward", contraction, infer=_backward_type, grad=_backward_grad,
    saves=lambda needs: tuple(range(len(needs))), lowering=Decompose(_backward, kernel=True),
    samples=_backward_samples, reference=lambda *arrays, **named: _run(_backward, arrays, named),
    doc="The gradients of query, key and value of `flex_attention`, from that of its first result, both results and "
    "its operands.", **_SHARED)  # fmt: skip
