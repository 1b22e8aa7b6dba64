"""Attention."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.shapes import broadcast
from squall.nn.functional.activation import softmax
from squall.nn.functional.core import ShapeError, apply, check_floating, ops
from squall.nn.functional.dropout import dropout


def _check(query: Any, key: Any, value: Any) -> None:
    function = "scaled_dot_product_attention"
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        check_floating(function, name, tensor)
        if tensor.dim() < 2:
            raise ShapeError(
                f"{function}: argument '{name}' must have at least 2 dimensions (..., positions, features), got "
                f"shape {tuple(tensor.shape)}"
            )
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"{function}: 'query' of shape {tuple(query.shape)} and 'key' of shape {tuple(key.shape)} must have "
            "the same number of features, their last size"
        )
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"{function}: 'key' of shape {tuple(key.shape)} and 'value' of shape {tuple(value.shape)} must have "
            "the same number of positions, their last size but one"
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
    _check(query, key, value)
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention: explicit attn_mask should not be set when is_causal=True"
        )
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    if dropout_p > 0.0:
        return dropout(_weights(query, key, attn_mask, is_causal, factor), dropout_p) @ value
    shape = broadcast(
        broadcast(tuple(query.shape[:-2]), tuple(key.shape[:-2]), "scaled_dot_product_attention"),
        tuple(value.shape[:-2]),
        "scaled_dot_product_attention",
    )
    query, key, value = (t if t.shape[:-2] == shape else t.expand(*shape, *t.shape[-2:]) for t in (query, key, value))
    operands = (query, key, value) if attn_mask is None else (query, key, value, attn_mask)
    return apply(ops.attention, operands, causal=bool(is_causal), scale=factor)


def _weights(query: Any, key: Any, mask: Any, causal: bool, scale: float) -> Any:
    """The attention weights themselves, of shape (..., L, S)."""
    scores = (query * scale) @ key.transpose(-2, -1)
    if causal:
        rows, columns = sq.arange(query.shape[-2]), sq.arange(key.shape[-2])
        scores = sq.where(rows.unsqueeze(1) >= columns, scores, float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype is sq.bool else scores + mask
    return softmax(scores, -1)


def attention_with_weights(
    query: Any, key: Any, value: Any, mask: Any, dropout_p: float, causal: bool
) -> tuple[Any, Any]:
    """Attention that also gives its weights (..., L, S); a bool mask must have become floats."""
    weights = _weights(query, key, mask, causal, query.shape[-1] ** -0.5)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return weights @ value, weights
