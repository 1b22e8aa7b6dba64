"""`sq.testing`: comparing results in tests, and Tensors to test with, under PyTorch's names (`torch.testing`).

Example:
    >>> import squall as sq
    >>> sq.testing.assert_close(sq.ones(2), sq.tensor([1.0, 1.0]))
"""

from squall.frontend.closeness import assert_close, make_tensor

__all__ = ["assert_close", "make_tensor"]
