"""`autograd.Variable`: what Tensors were once called when they had a history; programs of that time still say it."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ArgumentError
from squall.frontend.core import Handle


class _AnyTensor(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Handle)


class Variable(metaclass=_AnyTensor):
    """A Tensor of the same memory, which gathers gradients when asked; every Tensor is an instance.

    Args:
        data: a Tensor. requires_grad: whether it gathers gradients. volatile: not used since PyTorch 0.4; True is
            refused.

    Raises:
        TypeError: for what is no Tensor. ArgumentError: for volatile=True.

    Example:
        >>> import squall as sq
        >>> x = sq.autograd.Variable(sq.ones(2), requires_grad=True)
        >>> x.requires_grad, isinstance(x, sq.autograd.Variable)
        (True, True)
    """

    def __new__(cls, data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
        """The Tensor."""
        if not isinstance(data, Handle):
            raise TypeError(f"Variable: data has to be a Tensor, but got {type(data).__name__}")
        if volatile:
            raise ArgumentError("Variable: volatile is no more; run under squall.no_grad() instead")
        return data.detach().requires_grad_(requires_grad)  # type: ignore[attr-defined]  # every Handle is a Tensor
