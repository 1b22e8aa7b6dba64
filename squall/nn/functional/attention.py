"""Attention."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.shapes import broadcast
from squall.frontend.autocast import lowered
from squall.frontend.core import wrap
from squall.nn.functional.activation import softmax
from squall.nn.functional.core import ShapeError, apply, check_floating, ops
from squall.ops.attention import threshold


def _check(query: Any, key: Any, value: Any) -> None:
    function = "scaled_dot_product_attention"
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        check_floating(function, name, tensor)
        if len(tensor.node.shape) < 2:
            raise ShapeError(
                f"{function}: argument '{name}' must have at least 2 dimensions (..., positions, features), got "
                f"shape {tuple(tensor.shape)}"
            )
    shapes = query.node.shape, key.node.shape, value.node.shape
    if shapes[0][-1] != shapes[1][-1]:
        raise ShapeError(
            f"{function}: 'query' of shape {shapes[0]} and 'key' of shape {shapes[1]} must have the same number of "
            "features, their last size"
        )
    if shapes[1][-2] != shapes[2][-2]:
        raise ShapeError(
            f"{function}: 'key' of shape {shapes[1]} and 'value' of shape {shapes[2]} must have the same number of "
            "positions, their last size but one"
        )


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query @ key.T * scale + mask) @ value.

    Args:
        query: shape (..., L, E). key: shape (..., S, E). value: shape (..., S, V). attn_mask: broadcastable
            to (..., L, S); bool (True takes part) or floats that are added. dropout_p: applied to the weights
            whenever it is above 0. is_causal: position i sees only positions up to i. scale: 1 / sqrt(E) by
            default. enable_gqa: key and value have fewer heads (dimension -3), each shared by several of the
            query's.

    Returns:
        Shape (..., L, V).
    """
    query, key, value, attn_mask = lowered(query, key, value, attn_mask)
    _check(query, key, value)
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention: explicit attn_mask should not be set when is_causal=True"
        )
    factor = query.node.shape[-1] ** -0.5 if scale is None else float(scale)
    _check_probability(dropout_p)
    if enable_gqa:
        return _grouped(query, key, value, attn_mask, dropout_p, is_causal, factor)
    return _attend(query, key, value, attn_mask, dropout_p, is_causal, factor)[0]


def _check_probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(
            f"scaled_dot_product_attention: dropout_p must be between 0 and 1, but got {p}"
        )


def _grouped(query: Any, key: Any, value: Any, mask: Any, p: float, causal: bool, scale: float) -> Any:
    """Attention whose keys and values several heads of the query share, read where they lie."""
    heads, shared = query.shape[-3], key.shape[-3]
    if value.shape[-3] != shared or heads % shared:
        raise ShapeError(
            f"scaled_dot_product_attention: with enable_gqa 'key' and 'value' must have one number of heads (dimension "
            f"-3) that divides the query's {heads}; got {shared} and {value.shape[-3]}"
        )
    group = heads // shared
    by_head = mask is not None and mask.dim() >= 3 and mask.shape[-3] != 1
    if query.shape[-2] == 1 and not causal and not by_head and p == 0.0:
        # One position: the heads of a group are the rows that meet a cache.
        rows = query.reshape(*query.shape[:-3], shared, group, query.shape[-1])
        out = _attend(rows, key, value, mask, 0.0, False, scale)[0]
        return out.reshape(*query.shape[:-1], value.shape[-1])
    if mask is not None and mask.dim() >= 3:
        mask = mask.unflatten(-3, (shared, group)) if by_head else mask.unsqueeze(-3)
    out = _attend(
        query.unflatten(-3, (shared, group)), key.unsqueeze(-3), value.unsqueeze(-3), mask, p, causal, scale
    )[0]
    return out.flatten(-4, -3)


def _attend(query: Any, key: Any, value: Any, mask: Any, p: float, causal: bool, scale: float) -> tuple:
    """The result, and seed and offset of the dropout or nothing."""
    leads = [t.node.shape[:-2] for t in (query, key, value)]
    shape = leads[0]
    if not shape == leads[1] == leads[2]:
        for lead in leads[1:]:
            shape = broadcast(shape, lead, "scaled_dot_product_attention")
        query, key, value = (
            t if t.shape[:-2] == shape else t.expand(*shape, *t.shape[-2:]) for t in (query, key, value)
        )
    operands = (query, key, value) if mask is None else (query, key, value, mask)
    if p == 1.0:
        return value.sum(-2, keepdim=True).expand(*shape, query.shape[-2], value.shape[-1]) * 0.0, ()
    if not threshold(p):
        out = apply(ops.attention, operands, causal=bool(causal), scale=scale)[0]
        return out if out.dtype is query.dtype else out.to(query.dtype), ()
    count = (key.shape[-2] + 3) // 4 * 4
    for size in query.shape[:-1]:
        count = count * size
    drawn = tuple(map(wrap, sq.default_generator.take(count)))
    out = apply(ops.attention_dropout, (*operands, *drawn), causal=bool(causal), scale=scale, p=float(p))
    return out[0].to(query.dtype), drawn


def _weights(query: Any, key: Any, mask: Any, causal: bool, scale: float) -> Any:
    """The attention weights themselves, of shape (..., L, S)."""
    scores = (query * scale) @ key.transpose(-2, -1)
    if causal:
        rows, columns = sq.arange(query.shape[-2]), sq.arange(key.shape[-2])
        scores = sq.where(rows.unsqueeze(1) >= columns, scores, float("-inf"))
    return softmax(scores if mask is None else scores + mask, -1)


def attention_with_weights(
    query: Any, key: Any, value: Any, mask: Any, dropout_p: float, causal: bool
) -> tuple[Any, Any]:
    """Attention that also gives its weights (..., L, S); a bool mask must have become floats. The weights are a
    recorded value of their own: nobody computes them unless somebody reads them."""
    scale, p = query.shape[-1] ** -0.5, dropout_p
    out, drawn = _attend(query, key, value, mask, p, causal, scale)
    weights = _weights(query, key, mask, causal, scale)
    if p == 1.0:
        return out, weights * 0.0
    if drawn:
        shape = (*weights.shape[:-1], (weights.shape[-1] + 3) // 4 * 4)
        bits = apply(ops.random_bits, drawn, shape=shape)[..., : weights.shape[-1]]
        weights = sq.where(bits >= threshold(p), weights * (1.0 / (1.0 - p)), 0.0)
    return out, weights
