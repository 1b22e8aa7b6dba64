"""Hooks around the backward pass of a module: two identities, one on what goes in and one on what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall.frontend.custom import Function


class _Passing(Function):
    """The identity on some Tensors; their gradients pass through `ctx.seen(gradients) -> gradients`."""

    @staticmethod
    def forward(ctx: Any, seen: Callable, *tensors: Any) -> Any:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        made: Any = tuple(t.view(t.shape) for t in tensors)
        return made if len(made) > 1 else made[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple:
        return None, *ctx.seen(gradients)


def _through(values: Any, seen: Callable) -> Any:
    """Arguments or results with their Tensors passed through the identity, where one of them has history."""
    several = isinstance(values, tuple)
    items = list(values) if several else [values]
    places = [i for i, item in enumerate(items) if isinstance(item, sq.Tensor)]
    tensors = [items[i] for i in places]
    if not sq.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        return values, False
    passed = _Passing.apply(seen, *tensors)
    for i, tensor in zip(places, passed if isinstance(passed, tuple) else (passed,), strict=True):
        items[i] = tensor
    return (tuple(items) if several else items[0]), True


class BackwardCall:
    """One call of a module whose backward is watched.

    Args:
        module: which. before: pre-hooks, `hook(module, grad_output)`. after: hooks,
            `hook(module, grad_input, grad_output)`.
    """

    def __init__(self, module: Any, before: list[Callable], after: list[Callable]):
        self.module, self.before, self.after = module, before, after
        self.watches_input = False
        self.output_gradients: tuple = ()

    def enter(self, args: tuple) -> tuple:
        """The arguments, watched."""
        if self.after:
            args, self.watches_input = _through(args, self._input_gradients)
        return args

    def leave(self, output: Any) -> Any:
        """The result, watched."""
        return _through(output, self._output_gradients)[0]

    def _output_gradients(self, gradients: tuple) -> tuple:
        for hook in self.before:
            changed = hook(self.module, gradients)
            if changed is not None:
                gradients = changed if isinstance(changed, tuple) else (changed,)
        self.output_gradients = gradients
        if self.after and not self.watches_input:
            for hook in self.after:
                if hook(self.module, (None,), gradients) is not None:
                    raise RuntimeError(
                        "backward hook returned gradients for inputs that need none: return None from it"
                    )
        return gradients

    def _input_gradients(self, gradients: tuple) -> tuple:
        for hook in self.after:
            changed = hook(self.module, gradients, self.output_gradients)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(gradients):
                    raise RuntimeError(
                        f"Backward hook returned an invalid number of grad_input, got {len(changed)}, but expected "
                        f"{len(gradients)}"
                    )
                gradients = changed
        return gradients
