"""What a fork's child must forget: pool threads that were not copied, and locks another thread may have held.

Modules with such state register a hook; the hooks run in the child before `os.fork` returns there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

_hooks: list[Callable[[], None]] = []


def in_child(hook: Callable[[], None]) -> Callable[[], None]:
    """Call `hook` in the child of every later fork, in order of registration; returns it, so it can decorate.

    Example:
        >>> @in_child
        ... def forget():
        ...     pass
    """
    _hooks.append(hook)
    return hook


def _child() -> None:
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child)
