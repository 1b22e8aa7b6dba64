"""Scaled dot-product attention as one op."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

from squall.base.errors import DtypeError, ShapeError
from squall.base.shapes import broadcast
from squall.ir.families import check_float, common_device, contraction
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.common import as_dtype_of, number, widen
from squall.ops.movement import sum_to
from squall.ops.samples import floats, generator
from squall.ops.slicing import arange, with_batch

_LEAD = [c for c in ascii_letters if c not in "lsev"]


def _attention_type(types: tuple, attrs: tuple) -> TensorType:
    q, k, v, *mask = types
    shapes = f"query {tuple(q.shape)}, key {tuple(k.shape)}, value {tuple(v.shape)}"
    if (
        len(q.shape) < 2
        or not len(q.shape) == len(k.shape) == len(v.shape)
        or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    ):
        raise ShapeError(f"attention: leading dimensions differ: {shapes}")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"attention: query and key must have one last size, key and value one length: {shapes}"
        )
    check_float("attention", q.dtype)
    if not q.dtype is k.dtype is v.dtype:
        raise DtypeError(f"attention: expected one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    if mask:
        scores = (*q.shape[:-1], k.shape[-2])
        if broadcast(scores, tuple(mask[0].shape), "attention") != scores:
            raise ShapeError(
                f"attention: a mask of shape {tuple(mask[0].shape)} does not broadcast to scores {scores}"
            )
        if mask[0].dtype.category and mask[0].dtype is not q.dtype:
            raise DtypeError(f"attention: the mask must be bool or {q.dtype}, not {mask[0].dtype}")
    common_device(attention, types)
    return q.with_shape((*q.shape[:-1], v.shape[-1]))


def _product(a: Any, b: Any, equation: str, causal: bool) -> Any:
    """A contraction over matrices with equal leading dimensions: the equation names the last two of each. With `causal`
    it leaves out what weights of later keys would only multiply by zero."""
    lead = "".join(_LEAD[: len(a.shape) - 2])
    x, y, out = equation.replace("->", ",").split(",")
    return ops.contract(a, b, equation=f"{lead}{x},{lead}{y}->{lead}{out}", triangle="ls" if causal else "")


def _weights(q: Any, k: Any, mask: tuple, causal: bool, scale: float) -> Any:
    """The softmax of the masked scores, in float32 for 16-bit operands; a row with every position masked is 0."""
    scores = _product(widen(q), widen(k), "le,se->ls", causal)
    if scale != 1:
        scores = ops.mul(scores, scale)
    never = number(float("-inf"), scores)
    if causal:
        rows = ops.reshape(arange(q.shape[-2], q.device), shape=(q.shape[-2], 1))
        scores = ops.where(ops.ge(rows, arange(k.shape[-2], q.device)), scores, never)
    if not mask:
        return ops.softmax(scores, dim=len(scores.shape) - 1)
    given = widen(mask[0])
    scores = ops.add(scores, given) if given.dtype.category else ops.where(given, scores, never)
    # A row of nothing but -inf is put aside before the softmax, so that no NaN meets its gradient.
    dead = ops.eq(ops.amax(scores, dims=(len(scores.shape) - 1,), keepdim=True), never)
    weights = ops.softmax(ops.where(dead, number(0, scores), scores), dim=len(scores.shape) - 1)
    return ops.where(dead, number(0, weights), weights)


def _attention(q: Any, k: Any, v: Any, *mask: Any, causal: bool, scale: float) -> Any:
    return _product(as_dtype_of(_weights(q, k, mask, causal, scale), v.dtype), v, "ls,sv->lv", causal)


def _attention_grad(context: Context, g: Any) -> tuple:
    """Recomputes the weights: in one program with the forward they are the same nodes, and computed once."""
    (q, k, v, *mask), (causal, scale), needs = context.inputs, context.attrs, context.needs
    weights = _weights(q, k, tuple(mask), causal, scale)
    gv = _product(as_dtype_of(weights, g.dtype), g, "ls,lv->sv", causal) if needs[2] else None
    if not (needs[0] or needs[1] or any(needs[3:])):
        return (None, None, gv) + (None,) * len(mask)
    gw = _product(widen(g), widen(v), "lv,sv->ls", causal)
    inner = ops.sum(ops.mul(gw, weights), dims=(len(gw.shape) - 1,), keepdim=True)
    gs = ops.mul(weights, ops.sub(gw, inner))
    gm = (as_dtype_of(sum_to(gs, context.types[3].shape), g.dtype) if needs[3] else None,) if mask else ()
    scaled = as_dtype_of(ops.mul(gs, scale) if scale != 1 else gs, g.dtype)
    gq = _product(scaled, k, "ls,se->le", causal) if needs[0] else None
    gk = _product(scaled, q, "ls,le->se", causal) if needs[1] else None
    return gq, gk, gv, *gm


def _attention_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    parts = [with_batch(o, b, size) for o, b in zip(operands[:3], batched[:3], strict=True)]
    for mask, is_batched in zip(operands[3:], batched[3:], strict=True):
        shape = tuple(mask.shape)
        missing = len(parts[0].shape) - len(shape)
        parts.append(
            ops.reshape(mask, shape=shape[:1] + (1,) * missing + shape[1:])
            if is_batched and missing
            else mask
        )
    return op(*parts, **op.named(attrs)), True


def _attention_reference(q: Any, k: Any, v: Any, *mask: Any, causal: bool, scale: float) -> Any:
    import numpy

    scores = q @ k.swapaxes(-1, -2) * q.dtype.type(scale)
    if causal:
        scores = numpy.where(numpy.tri(*scores.shape[-2:], dtype=bool), scores, -numpy.inf)
    if mask:
        scores = scores + mask[0] if mask[0].dtype.kind == "f" else numpy.where(mask[0], scores, -numpy.inf)
    top = scores.max(-1, keepdims=True, initial=-numpy.inf)
    weights = numpy.exp(scores - numpy.where(numpy.isinf(top), 0, top))
    total = weights.sum(-1, keepdims=True)
    return (weights / numpy.where(total == 0, 1, total)).astype(q.dtype) @ v


def _attention_samples() -> list[Sample]:
    cases = [
        ((2, 3, 4, 5), (2, 3, 4, 5), 5, False, None),
        ((2, 4, 3), (2, 6, 3), 2, False, None),
        ((1, 2, 5, 4), (1, 2, 5, 4), 4, True, None),
        ((3, 4), (5, 4), 3, True, None),
        ((2, 2, 3, 4), (2, 2, 5, 4), 4, False, (3, 5)),
        ((2, 2, 3, 4), (2, 2, 5, 4), 4, False, (2, 1, 1, 5)),
        ((2, 0, 4), (2, 3, 4), 4, False, None),
    ]
    out = []
    for i, (q, k, width, causal, mask) in enumerate(cases):
        operands = (floats(q, i), floats(k, i + 1), floats((*k[:-1], width), i + 2))
        named = {"causal": causal, "scale": q[-1] ** -0.5}
        if mask is None:
            out.append(Sample(operands, named, f"{q} on {k}"))
            continue
        out.append(Sample((*operands, floats(mask, i + 3)), named, f"{q} on {k}, added mask"))
        chosen = generator(i).uniform(size=mask) < 0.6
        chosen[(0,) * (len(mask) - 1)] = False  # one row with nothing to attend to
        out.append(Sample((*operands, chosen), named, f"{q} on {k}, bool mask"))
    return out


attention = declare(
    "attention",
    contraction,
    attributes=("causal", "scale"),
    defaults={"causal": False, "scale": 1.0},
    infer=_attention_type,
    saves=lambda needs: tuple(range(len(needs))),
    grad=_attention_grad,
    lowering=Decompose(_attention),
    vmap=_attention_batch,
    promotion="none",
    reference=_attention_reference,
    samples=_attention_samples,
    doc="softmax(scale q k^T + mask) v over the last two dimensions. A mask is added, or if bool says which positions "
    "take part; `causal` lets query i see keys 0 to i. A query that may see nothing gives 0.",
)
