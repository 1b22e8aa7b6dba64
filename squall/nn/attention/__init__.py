"""Attention: the layer, and attention whose scores functions of the user's change (`flex_attention`)."""

from squall.nn.attention import flex_attention
from squall.nn.attention.kernels import SDPBackend, sdpa_kernel
from squall.nn.attention.multihead import MultiheadAttention

__all__ = ["MultiheadAttention", "SDPBackend", "flex_attention", "sdpa_kernel"]
