"""Scaled dot-product attention: one op forward, one backward, each one kernel; their decompositions say what they mean.

The second result, and what backward recomputes weights from, is for each query the base-2 logarithm of the sum of its
exponentials. So nothing of the size of the scores is kept. Results of 16-bit operands are float32: backward subtracts
from each weight's gradient what the result says they are on average, and a rounded one would leave the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from squall.base.dtypes import float32
from squall.base.errors import DtypeError, ShapeError
from squall.base.shapes import broadcast
from squall.ir.families import check_float, common_device, contraction, zeros
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, op_named, ops
from squall.ops.common import as_dtype_of, is_narrow, number, widen
from squall.ops.movement import sum_to
from squall.ops.random import check_stream, stream
from squall.ops.samples import floats, generator
from squall.ops.slicing import arange, position, with_batch

_LEAD = [c for c in ascii_letters if c not in "lsev"]
_LOG2_E = 1.4426950408889634


def split(operands: Sequence[Any], p: float) -> tuple[tuple, tuple]:
    """What comes after query, key and value: (the mask, if any; seed and offset, if weights are dropped)."""
    rest = tuple(operands)
    return (rest[:-2], rest[-2:]) if threshold(p) else (rest, ())


def attributes(attrs: tuple) -> tuple[bool, float, float]:
    """Whether it is causal, scale, and the probability with which weights are dropped: the last may be absent."""
    return attrs if len(attrs) == 3 else (*attrs, 0.0)


def threshold(p: float) -> int:
    """Random words below it drop a weight."""
    return round(p * 2.0**32)


def _statistic(q: TensorType) -> TensorType:
    return TensorType(q.shape[:-1], float32 if is_narrow(q.dtype) else q.dtype, q.device)


def _result(q: TensorType, v: TensorType) -> TensorType:
    return TensorType((*q.shape[:-1], v.shape[-1]), float32 if is_narrow(q.dtype) else q.dtype, q.device)


def _check(name: str, types: tuple, p: float) -> None:
    q, k, v, *rest = types
    shapes = f"query {tuple(q.shape)}, key {tuple(k.shape)}, value {tuple(v.shape)}"
    if (
        len(q.shape) < 2
        or not len(q.shape) == len(k.shape) == len(v.shape)
        or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    ):
        raise ShapeError(f"{name}: leading dimensions differ: {shapes}")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"{name}: query and key must have one last size, key and value one length: {shapes}")
    check_float(name, q.dtype)
    if not q.dtype is k.dtype is v.dtype:
        raise DtypeError(f"{name}: expected one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    if not 0 <= p < 1:
        raise DtypeError(f"{name}: probability p must be at least 0 and below 1, got {p}")
    mask, drawn = split(rest, p)
    if drawn:
        check_stream(name, *drawn)
    if mask:
        scores = (*q.shape[:-1], k.shape[-2])
        if broadcast(scores, tuple(mask[0].shape), name) != scores:
            wrong = f"{name}: a mask of shape {tuple(mask[0].shape)} does not broadcast to scores {scores}"
            raise ShapeError(wrong)
        if mask[0].dtype.category and mask[0].dtype is not q.dtype:
            raise DtypeError(f"{name}: the mask must be bool or {q.dtype}, not {mask[0].dtype}")
    common_device(op_named(name), types)


def _product(a: Any, b: Any, equation: str, causal: bool) -> Any:
    """A contraction over matrices with equal leading dimensions: the equation names the last two of each. With `causal`
    it leaves out what weights of later keys would only multiply by zero."""
    lead = "".join(_LEAD[: len(a.shape) - 2])
    x, y, out = equation.replace("->", ",").split(",")
    return ops.contract(a, b, equation=f"{lead}{x},{lead}{y}->{lead}{out}", triangle="ls" if causal else "")


def _scores(q: Any, k: Any, mask: tuple, causal: bool, scale: float) -> Any:
    """Masked scores, in float32 for 16-bit operands."""
    scores = _product(widen(q), widen(k), "le,se->ls", causal)
    if scale != 1:
        scores = ops.mul(scores, scale)
    never = number(float("-inf"), scores)
    if causal:
        rows = ops.reshape(arange(q.shape[-2], q.device), shape=(q.shape[-2], 1))
        scores = ops.where(ops.ge(rows, arange(k.shape[-2], q.device)), scores, never)
    if not mask:
        return scores
    given = widen(mask[0])
    return ops.add(scores, given) if given.dtype.category else ops.where(given, scores, never)


def _weights(q: Any, k: Any, mask: tuple, causal: bool, scale: float) -> Any:
    """The softmax of the scores; a row with every position masked is 0."""
    scores = _scores(q, k, mask, causal, scale)
    if not mask:
        return ops.softmax(scores, dim=len(scores.shape) - 1)
    # A row of nothing but -inf is put aside before the softmax, so that no NaN meets its gradient.
    never = number(float("-inf"), scores)
    dead = ops.eq(ops.amax(scores, dims=(len(scores.shape) - 1,), keepdim=True), never)
    weights = ops.softmax(ops.where(dead, number(0, scores), scores), dim=len(scores.shape) - 1)
    return ops.where(dead, number(0, weights), weights)


def _dropped(weights: Any, drawn: tuple, p: float) -> Any:
    """Weights after dropout, or their gradients: every row of scores draws whole blocks of four words."""
    if not drawn:
        return weights
    shape = tuple(weights.shape)
    blocks = (shape[-1] + 3) // 4
    bits = ops.random_bits(*drawn, shape=(*shape[:-1], blocks * 4))
    if blocks * 4 != shape[-1]:
        last = len(shape) - 1
        bits = ops.slice(bits, position(0, weights.device), dims=(last,), sizes=(shape[-1],), steps=(1,))
    kept = ops.ge(bits, number(threshold(p), bits))
    return ops.where(kept, ops.mul(weights, 1.0 / (1.0 - p)), number(0, weights))


def _attention(q: Any, k: Any, v: Any, *rest: Any, causal: bool, scale: float, p: float = 0.0) -> tuple:
    mask, drawn = split(rest, p)
    weights = _dropped(_weights(q, k, mask, causal, scale), drawn, p)
    scores = _scores(q, k, mask, causal, scale)
    sums = ops.logsumexp(scores, dims=(len(scores.shape) - 1,), keepdim=False)
    return _product(weights, widen(v), "ls,sv->lv", causal), ops.mul(sums, _LOG2_E)


def _attention_type(types: tuple, attrs: tuple) -> tuple:
    _check("attention", types, attributes(attrs)[2])
    return _result(types[0], types[2]), _statistic(types[0])


def _attention_grad(context: Context, g: tuple) -> tuple:
    (q, k, v, *rest), (causal, scale, p), needs = context.inputs, attributes(context.attrs), context.needs
    mask, drawn = split(rest, p)
    over_out, over_sums = g
    if over_out is None:
        over_out = zeros(context.out_type[0])
    if over_sums is None and not any(needs[3:]):
        backward = ops.attention_dropout_backward if drawn else ops.attention_backward
        parts = backward(over_out, q, k, v, *context.output, *rest, **context.op.named(context.attrs))
        return *parts, *(None for _ in rest)
    weights = _weights(q, k, mask, causal, scale)
    gs = _over_scores(over_out, v, weights, drawn, causal, p)
    if over_sums is not None:
        share = ops.mul(ops.reshape(over_sums, shape=(*over_sums.shape, 1)), _LOG2_E)
        gs = ops.add(gs, ops.mul(weights, share))
    over_mask = (as_dtype_of(sum_to(gs, context.types[3].shape), q.dtype) if needs[3] else None,) if mask else ()
    gq, gk, gv = _from_scores(over_out, q, k, gs, _dropped(weights, drawn, p), causal, scale)
    return gq, gk, gv, *over_mask, *(None for _ in drawn)


def _over_scores(g: Any, v: Any, weights: Any, drawn: tuple, causal: bool, p: float) -> Any:
    """The gradient of the scores before their scale."""
    gw = _dropped(_product(widen(g), widen(v), "lv,sv->ls", causal), drawn, p)
    inner = ops.sum(ops.mul(gw, weights), dims=(len(gw.shape) - 1,), keepdim=True)
    return ops.mul(weights, ops.sub(gw, inner))


def _from_scores(g: Any, q: Any, k: Any, gs: Any, dropped: Any, causal: bool, scale: float) -> tuple:
    """Gradients of query, key and value."""
    scaled = ops.mul(gs, scale) if scale != 1 else gs
    found = (
        _product(scaled, widen(k), "ls,se->le", causal),
        _product(scaled, widen(q), "ls,le->se", causal),
        _product(dropped, widen(g), "ls,lv->sv", causal),
    )
    return tuple(as_dtype_of(x, q.dtype) for x in found)


def _backward(g: Any, q: Any, k: Any, v: Any, out: Any, sums: Any, *rest: Any, causal: bool, scale: float,
              p: float = 0.0) -> tuple:
    mask, drawn = split(rest, p)
    weights = _weights(q, k, mask, causal, scale)
    gs = _over_scores(g, v, weights, drawn, causal, p)
    return _from_scores(g, q, k, gs, _dropped(weights, drawn, p), causal, scale)


def _backward_type(types: tuple, attrs: tuple) -> tuple:
    g, q, k, v, out, sums, *rest = types
    _check("attention_backward", (q, k, v, *rest), attributes(attrs)[2])
    wanted = (_result(q, v), _result(q, v), _statistic(q))
    for name, given, type in zip(("gradient", "result", "sums"), (g, out, sums), wanted, strict=True):
        if given.shape != type.shape or given.dtype not in (type.dtype, q.dtype):
            raise ShapeError(f"attention_backward: the {name} must be {type}, not {given}")
    return q, k, v


def _backward_grad(context: Context, g: tuple) -> tuple:
    """By hand, from weights W = softmax(S), D = g v^T, gs = W (D - sum(D W)): gs gives gq and gk, W gives gv."""
    (go, q, k, v, _, _, *rest), (causal, scale, p) = context.inputs, attributes(context.attrs)
    mask, drawn = split(rest, p)
    a, b, c = (zeros(t) if x is None else x for x, t in zip(g, context.types[1:4], strict=True))
    last = len(q.shape) - 1

    def summed(x: Any) -> Any:
        return ops.sum(x, dims=(last,), keepdim=True)

    def dropped(x: Any) -> Any:
        return _dropped(x, drawn, p)

    def times(x: Any, y: Any, equation: str) -> Any:
        return _product(x, widen(y), equation, causal)

    weights = _weights(q, k, mask, causal, scale)
    d = dropped(_product(widen(go), widen(v), "lv,sv->ls", causal))
    inner = summed(ops.mul(d, weights))
    gs = ops.mul(weights, ops.sub(d, inner))
    over_gs = _product(widen(a), widen(k), "le,se->ls", causal)
    over_gs = ops.mul(ops.add(over_gs, _product(widen(q), widen(b), "le,se->ls", causal)), scale)
    turned = ops.mul(over_gs, weights)
    share = summed(turned)
    over_d = dropped(ops.sub(turned, ops.mul(share, weights)))
    over_w = dropped(_product(widen(go), widen(c), "lv,sv->ls", causal))
    over_w = ops.add(over_w, ops.sub(ops.mul(over_gs, ops.sub(d, inner)), ops.mul(share, d)))
    over_s = ops.mul(weights, ops.sub(over_w, summed(ops.mul(over_w, weights))))
    over_mask: tuple = (None,) * len(mask)
    if mask and context.needs[6]:
        over_mask = (as_dtype_of(sum_to(over_s, context.types[6].shape), q.dtype),)
    kept, gs, over_s = dropped(weights), ops.mul(gs, scale), ops.mul(over_s, scale)
    over_go = ops.add(times(kept, c, "ls,sv->lv"), times(over_d, v, "ls,sv->lv"))
    over_q = ops.add(times(gs, b, "ls,se->le"), times(over_s, k, "ls,se->le"))
    over_k = ops.add(times(gs, a, "ls,le->se"), times(over_s, q, "ls,le->se"))
    over_q, over_k, over_v = (as_dtype_of(x, q.dtype) for x in (over_q, over_k, times(over_d, go, "ls,lv->sv")))
    return as_dtype_of(over_go, go.dtype), over_q, over_k, over_v, None, None, *over_mask, *(None for _ in drawn)


def _batch(first: int) -> Any:
    """The vmap rule of an op whose operands before number `first` all have leading dimensions."""

    def rule(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
        whole = [with_batch(o, b, size) for o, b in zip(operands[:first], batched[:first], strict=True)]
        for mask, is_batched in zip(operands[first:], batched[first:], strict=True):
            shape = tuple(mask.shape)
            missing = len(whole[0].shape) - len(shape)
            whole.append(
                ops.reshape(mask, shape=shape[:1] + (1,) * missing + shape[1:]) if is_batched and missing else mask
            )
        return op(*whole, **op.named(attrs)), True

    return rule


def _numpy_weights(q: Any, k: Any, mask: Any, causal: bool, scale: float) -> tuple:
    import numpy

    scores = q @ k.swapaxes(-1, -2) * q.dtype.type(scale)
    if causal:
        scores = numpy.where(numpy.tri(*scores.shape[-2:], dtype=bool), scores, -numpy.inf)
    if mask:
        scores = scores + mask[0] if mask[0].dtype.kind == "f" else numpy.where(mask[0], scores, -numpy.inf)
    top = scores.max(-1, keepdims=True, initial=-numpy.inf)
    safe = numpy.where(numpy.isneginf(top), 0, top).astype(q.dtype)
    weights = numpy.exp(scores - safe)
    total = weights.sum(-1, keepdims=True)
    with numpy.errstate(divide="ignore"):
        sums = (safe + numpy.log(total))[..., 0] * _LOG2_E
    return (weights / numpy.where(total == 0, 1, total)).astype(q.dtype), sums.astype(q.dtype)


def _numpy_dropped(weights: Any, drawn: tuple, p: float) -> Any:
    import numpy

    if not drawn:
        return weights
    shape = weights.shape
    bits = ops.random_bits.reference(*drawn, (*shape[:-1], -(-shape[-1] // 4) * 4))[..., : shape[-1]]
    kept = bits.astype(numpy.uint64) >= threshold(p)
    return numpy.where(kept, weights * weights.dtype.type(1.0 / (1.0 - p)), weights.dtype.type(0))


def _reference(q: Any, k: Any, v: Any, *rest: Any, causal: bool, scale: float, p: float = 0.0) -> tuple:
    mask, drawn = split(rest, p)
    weights, sums = _numpy_weights(q, k, mask, causal, scale)
    return _numpy_dropped(weights, drawn, p) @ v, sums


def _backward_reference(g: Any, q: Any, k: Any, v: Any, out: Any, sums: Any, *rest: Any, causal: bool, scale: float,
                        p: float = 0.0) -> tuple:
    mask, drawn = split(rest, p)
    weights, _ = _numpy_weights(q, k, mask, causal, scale)
    gw = _numpy_dropped(g @ v.swapaxes(-1, -2), drawn, p)
    gs = weights * (gw - (gw * weights).sum(-1, keepdims=True)) * q.dtype.type(scale)
    return gs @ k, gs.swapaxes(-1, -2) @ q, _numpy_dropped(weights, drawn, p).swapaxes(-1, -2) @ g


def _samples(dropout: bool) -> list[Sample]:
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
        named = {"causal": causal, "scale": q[-1] ** -0.5, **({"p": 0.3} if dropout else {})}
        drawn = stream(i, 5) if dropout else ()
        if mask is None:
            out.append(Sample((*operands, *drawn), named, f"{q} on {k}"))
            continue
        out.append(Sample((*operands, floats(mask, i + 3), *drawn), named, f"{q} on {k}, added mask"))
        if not dropout:
            chosen = generator(i).uniform(size=mask) < 0.6
            chosen[(0,) * (len(mask) - 1)] = False  # one row with nothing to attend to
            out.append(Sample((*operands, chosen), named, f"{q} on {k}, bool mask"))
    return out


def _backward_samples(dropout: bool) -> list[Sample]:
    out = []
    for i, sample in enumerate(_samples(dropout)):
        result, sums = _reference(*sample.inputs, **sample.attributes)
        q, k, v, *rest = sample.inputs
        given = (floats(result.shape, i + 20), q, k, v, result, sums, *rest)
        out.append(Sample(given, sample.attributes, sample.name))
    return out


def _pair(name: str, dropout: bool, doc: str) -> None:
    """Declare an op and its backward."""
    shared: dict[str, Any] = {
        "attributes": ("causal", "scale", "p") if dropout else ("causal", "scale"),
        "defaults": {"causal": False, "scale": 1.0},
        "promotion": "none",
    }
    declare(
        name, contraction, infer=_attention_type, saves=lambda needs: (*range(len(needs)), "out"), grad=_attention_grad,
        lowering=Decompose(_attention, kernel=True), vmap=None if dropout else _batch(3), reference=_reference,
        samples=lambda: _samples(dropout), doc=doc, **shared)
    declare(
        f"{name}_backward", contraction, infer=_backward_type, saves=_backward_saves, grad=_backward_grad,
        lowering=Decompose(_backward, kernel=True), vmap=None if dropout else _batch(6),
        reference=_backward_reference, samples=lambda: _backward_samples(dropout),
        doc=f"The gradients of query, key and value of `{name}`, from that of its first result, both results and its "
        "operands. Its own gradient counts both results as what they are: functions of the other operands.", **shared)


def _backward_saves(needs: tuple[bool, ...]) -> tuple:
    return (0, 1, 2, 3, *range(6, len(needs)))


_pair("attention", False,
      "softmax(scale q k^T + mask) v over the last two dimensions, and for each query the base-2 logarithm of the sum "
      "of its exponentials. A mask is added, or if bool says which positions take part; `causal` lets query i see keys "
      "0 to i. A query that may see nothing gives 0.")
_pair("attention_dropout", True,
      "attention whose weights are dropped with probability p, the others divided by 1 - p. Row after row of the "
      "scores draws whole blocks of four words, so that forward and backward find the same ones tile by tile.")
