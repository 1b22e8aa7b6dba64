"""`sq.interop`: what makes other libraries know squall's Tensors."""

from squall.interop.einops_backend import register_einops

__all__ = ["register_einops"]
