"""`once_differentiable`: marks a backward that must not be differentiated again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from squall.base.errors import AutogradError
from squall.frontend.core import Handle, wrap
from squall.frontend.state import local, no_grad
from squall.frontend.tape import GradRecord


class _Once:
    """The rule of what must not be differentiated again."""

    name = "OnceDifferentiable"

    def release(self) -> None:
        """Nothing is kept."""

    def backward(self, record: GradRecord, gradient: Any, rules: Any) -> tuple:
        """Refuse."""
        raise AutogradError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(backward: Callable) -> Callable:
    """Mark a Function's backward as not differentiable itself: doing so raises instead of giving wrong gradients.

    Example:
        >>> import squall as sq
        >>> class Double(sq.autograd.Function):
        ...     forward = staticmethod(lambda ctx, x: x * 2)
        ...     backward = staticmethod(once_differentiable(lambda ctx, g: g * 2))
        >>> x = sq.ones(1, requires_grad=True)
        >>> Double.apply(x).backward(); x.grad
        tensor([2.])
    """

    @functools.wraps(backward)
    def wrapper(context: Any, *gradients: Any) -> Any:
        with no_grad():
            made = backward(context, *gradients)
        edges = tuple(g.edge for g in gradients if isinstance(g, Handle))
        saved = tuple(t.edge for t in context.saved_tensors if t is not None)
        reached = tuple(e for e in (*edges, *saved) if e is not None)
        if not local.state.grad or not reached:
            return made
        parts = made if isinstance(made, (tuple, list)) else (made,)
        out = []
        for part in parts:
            if isinstance(part, Handle) and part.node.dtype.category >= 2:
                type = part.node.type
                edge = GradRecord(None, (), reached, (type,) * len(reached), type)
                edge.extra = _Once()
                part = wrap(part.node, edge)
            out.append(part)
        return tuple(out)

    return wrapper
