"""Functions a user attaches to a Module: before and after forward, and around its state dictionary."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from squall.base import epoch
from squall.nn.backward_hooks import BackwardCall

_numbers = itertools.count()
_CALLS = ("forward_pre", "forward", "backward_pre", "backward")
_KINDS = (*_CALLS, "state_dict_pre", "state_dict", "load_pre", "load_post")


class HookHandle:
    """What registering a hook returns; `remove()` detaches it. Also a context manager that removes at the
    end."""

    def __init__(self, hooks: dict[int, Any], number: int, owner: Any):
        self._hooks, self.id, self._owner = hooks, number, owner

    def remove(self) -> None:
        """Detach the hook; doing so twice is harmless."""
        self._hooks.pop(self.id, None)
        self._owner._refresh_hooks()

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()


class Hooks:
    """The part of Module that keeps hooks and runs a call that has some."""

    _hooks: dict[str, dict[int, tuple[Callable, bool]]]
    _always: set[int]

    def _clear_hooks(self) -> None:
        self.__dict__["_hooks"] = {kind: {} for kind in _KINDS}
        self.__dict__["_hooked"] = False
        self.__dict__["_always"] = set()

    def _refresh_hooks(self) -> None:
        self.__dict__["_hooked"] = any(self._hooks[kind] for kind in _CALLS)
        epoch.bump()

    def _add_hook(
        self, kind: str, hook: Callable, with_kwargs: bool = False, prepend: bool = False
    ) -> HookHandle:
        if not callable(hook):
            raise TypeError(f"a hook is called, and {type(hook).__name__} cannot be")
        number, hooks = next(_numbers), self._hooks[kind]
        before = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[number] = (hook, with_kwargs)
        hooks.update(before)
        self._refresh_hooks()
        return HookHandle(hooks, number, self)

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args)` before forward; what it returns, unless None, replaces the arguments.

        With `with_kwargs` it is `hook(module, args, kwargs)` and returns (args, kwargs) or None.
        """
        return self._add_hook("forward_pre", hook, with_kwargs, prepend)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> HookHandle:
        """Call `hook(module, args, output)` after forward; what it returns, unless None, replaces the output.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`. With `always_call` it is also called when
        forward has raised, with None as the output.
        """
        handle = self._add_hook("forward", hook, with_kwargs, prepend)
        if always_call:
            self._always.add(handle.id)
        return handle

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_output)` before the gradient passes through the module; what it returns,
        unless None, takes the place of grad_output."""
        return self._add_hook("backward_pre", hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the module's inputs are known;
        what it returns, unless None, takes the place of grad_input.

        Only Tensors that are positional arguments or results themselves are watched.
        """
        return self._add_hook("backward", hook, prepend=prepend)

    def register_backward_hook(self, hook: Callable) -> HookHandle:
        """Another name of `register_full_backward_hook`, whose behaviour PyTorch recommends."""
        return self.register_full_backward_hook(hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> HookHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` collects this module."""
        return self._add_hook("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable) -> HookHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after; it may change the dictionary in
        place."""
        return self._add_hook("state_dict", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> HookHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)` before `load_state_dict` reads this module's entries; it may rename or change entries."""
        return self._add_hook("load_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> HookHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may edit the lists of missing and
        unexpected keys."""
        return self._add_hook("load_post", hook)

    def _run_hooks(self, kind: str, *args: Any) -> None:
        for hook, _ in tuple(self._hooks[kind].values()):
            hook(self, *args)

    def _call_with_hooks(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in tuple(self._hooks["forward_pre"].values()):
            if with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            "a forward pre-hook with kwargs returns None or a tuple (args, kwargs), "
                            f"not {type(changed).__name__}"
                        )
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        before, after = ([hook for hook, _ in self._hooks[kind].values()] for kind in ("backward_pre", "backward"))
        watch = BackwardCall(self, before, after) if before or after else None
        if watch is not None:
            args = watch.enter(args)
        try:
            output = self.forward(*args, **kwargs)  # type: ignore[attr-defined]
        except BaseException:
            for number, (hook, with_kwargs) in tuple(self._hooks["forward"].items()):
                if number in self._always:
                    hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
            raise
        for hook, with_kwargs in tuple(self._hooks["forward"].values()):
            changed = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            output = output if changed is None else changed
        return output if watch is None else watch.leave(output)
