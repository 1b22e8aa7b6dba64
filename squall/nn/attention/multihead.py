"""Attention as a layer, with PyTorch's parameter names."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.nn import functional as F
from squall.nn import init
from squall.nn.functional.attention import attention_with_weights
from squall.nn.functional.multihead import joined_mask, project
from squall.nn.linear import Linear
from squall.nn.module import Module
from squall.nn.parameter import Parameter


class MultiheadAttention(Module):
    """Several attentions side by side, on projections of query, key and value.

    Args:
        embed_dim: features of query and result. num_heads: divides embed_dim. dropout: on the weights while
        training. bias: of the projections. add_bias_kv: learn one more key and value. add_zero_attn: add a
        key and value of zeros. kdim, vdim: features of key and value, embed_dim by default. batch_first:
        whether inputs are (batch, positions, features) instead of (positions, batch, features). device,
        dtype: of the parameters.

    Attributes:
        in_proj_weight: shape (3 * embed_dim, embed_dim), or q_proj_weight, k_proj_weight, v_proj_weight when
            kdim or vdim differ. in_proj_bias: shape (3 * embed_dim,) or None. out_proj: Linear.

    Example:
        >>> import squall as sq
        >>> from squall import nn
        >>> x = sq.zeros(2, 5, 8)
        >>> nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)[0].shape
        squall.Size([2, 5, 8])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim={embed_dim} must be positive and divisible by num_heads={num_heads}"
            )
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        made = {"device": device, "dtype": dtype}

        def weight(*shape: int) -> Parameter:
            return Parameter(sq.empty(*shape, **made))

        joint = self.kdim == embed_dim and self.vdim == embed_dim
        self._qkv_same_embed_dim = joint
        self.register_parameter("in_proj_weight", weight(3 * embed_dim, embed_dim) if joint else None)
        self.register_parameter("q_proj_weight", None if joint else weight(embed_dim, embed_dim))
        self.register_parameter("k_proj_weight", None if joint else weight(embed_dim, self.kdim))
        self.register_parameter("v_proj_weight", None if joint else weight(embed_dim, self.vdim))
        self.register_parameter("in_proj_bias", weight(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **made)
        self.register_parameter("bias_k", weight(1, 1, embed_dim) if add_bias_kv else None)
        self.register_parameter("bias_v", weight(1, 1, embed_dim) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for matrix in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if matrix is not None:
                init.xavier_uniform_(matrix)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def _check(self, query: Any, key: Any, value: Any) -> None:
        sizes = {
            "query": (query, self.embed_dim, "embed_dim"),
            "key": (key, self.kdim, "kdim"),
            "value": (value, self.vdim, "vdim"),
        }
        for name, (tensor, size, option) in sizes.items():
            if tensor.dim() not in (2, 3) or tensor.dim() != query.dim() or tensor.shape[-1] != size:
                raise ShapeError(
                    f"MultiheadAttention: argument '{name}' must have 3 dimensions, or 2 without the batch, as the "
                    f"query has, and end in {option}={size}; got shape {tuple(tensor.shape)}"
                )
        if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
            raise ShapeError(
                f"MultiheadAttention: 'key' of shape {tuple(key.shape)} and 'value' of shape {tuple(value.shape)} "
                "must have the same batch and positions"
            )

    def _project(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Query, key and value after their linear maps; one product when all three are the same Tensor."""
        joint = self.in_proj_weight if self._qkv_same_embed_dim else None
        separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        return project(query, key, value, joint, separate, self.in_proj_bias)

    def _extend(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Keys and values (batch, positions, features) with the learned one and the zero one at the end."""
        batch = key.shape[0]
        if self.bias_k is not None:
            key = sq.cat([key, self.bias_k.expand(batch, 1, self.embed_dim)], 1)
            value = sq.cat([value, self.bias_v.expand(batch, 1, self.embed_dim)], 1)
        if self.add_zero_attn:
            zero = sq.zeros(batch, 1, self.embed_dim, dtype=key.dtype)
            key, value = sq.cat([key, zero], 1), sq.cat([value, zero], 1)
        return key, value

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise RuntimeError(
                "MultiheadAttention: is_causal=True is a hint about attn_mask; give the mask too"
            )
        batched = query.dim() == 3
        query, key, value = self._project(query, key, value)
        if not batched:
            query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        batch, length = query.shape[0], query.shape[1]
        before = key.shape[1]
        key, value = self._extend(key, value)
        query, key, value = (
            t.reshape(batch, t.shape[1], self.num_heads, self.head_dim).transpose(1, 2)
            for t in (query, key, value)
        )
        extra = key.shape[2] - before
        # The hint says that the mask is the causal one, which the fused attention knows by itself.
        causal = is_causal and key_padding_mask is None and not need_weights and not extra
        mask = None
        if not causal:
            own = ("MultiheadAttention", key_padding_mask, attn_mask)
            mask = joined_mask(*own, batch, self.num_heads, extra, query.dtype)
        dropped = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            out, weights = attention_with_weights(query, key, value, mask, dropped, False)
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            out = F.scaled_dot_product_attention(query, key, value, mask, dropped, causal)
        out = self.out_proj(out.transpose(1, 2).reshape(batch, length, self.embed_dim))
        if not batched:
            return out.squeeze(0), weights
        return (out if self.batch_first else out.transpose(0, 1)), weights
