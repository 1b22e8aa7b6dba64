"""What users touch: Tensor, creation, autograd, transforms, random numbers, interchange with NumPy."""

from squall.base.collecting import Pause

with Pause(stays=True):
    import squall.ops  # noqa: F401  the table of ops is filled before anything is recorded
    from squall.frontend import native
    from squall.frontend.tensor import Tensor

native.register()

__all__ = ["Tensor"]
