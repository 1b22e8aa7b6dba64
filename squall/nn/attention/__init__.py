"""Attention: the layer, and attention whose scores functions of the user's change (`flex_attention`)."""

from squall.nn.attention import flex_attention
from squall.nn.attention.multihead import MultiheadAttention

__all__ = ["MultiheadAttention", "flex_attention"]
