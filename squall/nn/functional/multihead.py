"""Several attentions side by side, on projections of query, key and value."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.nn.functional.attention import attention_with_weights, scaled_dot_product_attention
from squall.nn.functional.core import ShapeError, check_floating
from squall.nn.functional.linear import linear
from squall.nn.functional.padding import pad

_NAME = "multi_head_attention_forward"


def _check(query: Any, key: Any, value: Any, embed_dim: int, num_heads: int) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        check_floating(_NAME, name, tensor)
        if tensor.dim() not in (2, 3) or tensor.dim() != query.dim():
            raise ShapeError(
                f"{_NAME}: argument '{name}' must have 3 dimensions (positions, batch, features), or 2 without the "
                f"batch, as the query has; got shape {tuple(tensor.shape)}"
            )
    if query.shape[-1] != embed_dim:
        raise ShapeError(
            f"{_NAME}: argument 'query' must end in embed_dim={embed_dim}; got shape {tuple(query.shape)}"
        )
    if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
        raise ShapeError(
            f"{_NAME}: 'key' of shape {tuple(key.shape)} and 'value' of shape {tuple(value.shape)} must have the same "
            "batch and positions"
        )
    if num_heads < 1 or embed_dim % num_heads:
        raise ShapeError(f"{_NAME}: argument 'num_heads'={num_heads} must divide embed_dim={embed_dim}")


def project(query: Any, key: Any, value: Any, joint: Any, separate: tuple, bias: Any) -> tuple[Any, Any, Any]:
    """Query, key and value after their linear maps; one product when all three are the same Tensor.

    Args:
        joint: the three weights one under the other, or None for the three in `separate`. bias: of all three, or None.
    """
    if joint is not None and query is key and key is value:
        return linear(query, joint, bias).chunk(3, -1)
    weights = separate if joint is None else joint.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    inputs = (query, key, value)
    return tuple(linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))  # type: ignore[return-value]


def additive(function: str, name: str, mask: Any, dtype: Any) -> Any:
    """A mask that is added: True of a bool one becomes -inf."""
    if mask.dtype is sq.bool:
        return sq.where(mask, sq.tensor(float("-inf"), dtype=dtype), 0.0)
    if not mask.is_floating_point():
        raise TypeError(
            f"{function}: argument '{name}' must be bool (True is left out) or floating, got {mask.dtype}"
        )
    return mask


def joined_mask(function: str, key_padding_mask: Any, attn_mask: Any, batch: int, heads: int, extra: int,
                dtype: Any) -> Any:
    """Both masks as one that is added, broadcastable to (batch, heads, L, S); in them True means left out. The last
    `extra` keys are seen by all."""
    mask = None
    if attn_mask is not None:
        mask = additive(function, "attn_mask", attn_mask, dtype)
        if mask.dim() == 3:
            mask = mask.view(batch, heads, *mask.shape[1:])
    if key_padding_mask is not None:
        padding = additive(function, "key_padding_mask", key_padding_mask, dtype).view(batch, 1, 1, -1)
        mask = padding if mask is None else mask + padding
    return mask if mask is None or not extra else pad(mask, (0, extra))


def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any,
    in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_proj_weight: Any,
    out_proj_bias: Any, training: bool = True, key_padding_mask: Any = None, need_weights: bool = True,
    attn_mask: Any = None, use_separate_proj_weight: bool = False, q_proj_weight: Any = None,
    k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """What `nn.MultiheadAttention` does, with all that it learned as arguments.

    Args:
        query: shape (L, batch, E), or (L, E). key, value: shape (S, batch, ...), or (S, ...). embed_dim_to_check: E.
            in_proj_weight: shape (3 E, E), unless use_separate_proj_weight: then q_, k_ and v_proj_weight.
            in_proj_bias: shape (3 E,), or None. bias_k, bias_v: one more key and value, or None. add_zero_attn:
            add a key and value of zeros. dropout_p: on the weights while training. key_padding_mask: shape
            (batch, S); attn_mask: shape (L, S) or (batch * num_heads, L, S); bool (True is left out) or floats
            that are added. static_k, static_v: projected keys and values to use instead, shape (batch * num_heads,
            S, E / num_heads). is_causal: a hint that attn_mask is the causal one.

    Returns:
        The result like query, and the weights (batch, L, S), of every head unless averaged; None unless needed.

    Raises:
        ShapeError: for shapes that do not go together.
    """
    _check(query, key, value, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise RuntimeError(f"{_NAME}: is_causal=True is a hint about attn_mask; give the mask too")
    batched = query.dim() == 3
    joint = None if use_separate_proj_weight else in_proj_weight
    query, key, value = project(
        query, key, value, joint, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias
    )
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
    extra = (bias_k is not None) + bool(add_zero_attn)
    mask = joined_mask(_NAME, key_padding_mask, attn_mask, query.shape[1], num_heads, extra, query.dtype)
    q, k, v = _heads(query, key, value, num_heads, (bias_k, bias_v), (static_k, static_v), add_zero_attn)
    dropped, weights = dropout_p if training else 0.0, None
    if need_weights:
        out, weights = attention_with_weights(q, k, v, mask, dropped, False)
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        out = scaled_dot_product_attention(q, k, v, mask, dropped)
    out = linear(out.permute(2, 0, 1, 3).reshape(query.shape), out_proj_weight, out_proj_bias)
    return (out if batched else out.squeeze(1)), weights


def _heads(query: Any, key: Any, value: Any, count: int, learned: tuple, static: tuple, zero: bool) -> tuple:
    """Query, keys and values (positions, batch, features) as (batch, heads, positions, features of a head), with one
    more learned and one more zero key and value at the end."""
    _, batch, features = query.shape
    if learned[0] is not None:
        key, value = (sq.cat([t, b.expand(1, batch, features)]) for t, b in zip((key, value), learned, strict=True))
    size = features // count
    found = [t.reshape(t.shape[0], batch, count, size).permute(1, 2, 0, 3) for t in (query, key, value)]
    for i, given in enumerate(static, 1):
        if given is not None:
            found[i] = given.view(batch, count, -1, size)
    if zero:
        found[1:] = [pad(t, (0, 0, 0, 1)) for t in found[1:]]
    return tuple(found)
