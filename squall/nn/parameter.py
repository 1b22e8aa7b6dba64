"""Parameter and Buffer: Tensors that a Module registers when they are assigned to an attribute."""

from __future__ import annotations

from typing import Any

import squall as sq


def _alias(cls: type, data: Any, kind: str) -> Any:
    """A handle of a subclass on the memory of a Tensor, without history."""
    data = sq.empty(0) if data is None else data
    if not isinstance(data, sq.Tensor):
        raise TypeError(f"{kind}: data is a Tensor, not {type(data).__name__}")
    alias = data.detach()
    out = object.__new__(cls)
    out._node, out._cell, out._view, out._edge = alias._node, alias._cell, alias._view, None
    return out


class Parameter(sq.Tensor):
    """A Tensor that is trained: assigning it to a Module's attribute makes it one of the Module's parameters.

    Args:
        data: Tensor of any shape; the parameter shares its memory and has no history. requires_grad: whether
            gradients gather in `.grad`; only floating dtypes can.

    Example:
        >>> import squall as sq
        >>> sq.nn.Parameter(sq.zeros(2)).requires_grad
        True
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """Share memory with `data` under a new handle."""
        return _alias(cls, data, "Parameter").requires_grad_(requires_grad)

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(sq.Tensor):
    """A Tensor that belongs to a Module's state but is not trained, such as a running mean.

    Args:
        data: Tensor of any shape. persistent: whether `state_dict` holds it.

    Example:
        >>> import squall as sq
        >>> module = sq.nn.Module()
        >>> module.mean = sq.nn.Buffer(sq.zeros(3))
        >>> list(module.state_dict())
        ['mean']
    """

    __slots__ = ("persistent",)

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Buffer:
        """Share memory with `data` under a new handle."""
        buffer = _alias(cls, data, "Buffer")
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        pass

    def __deepcopy__(self, memo: dict) -> Buffer:
        copy = super().__deepcopy__(memo)
        copy.persistent = self.persistent
        return copy
