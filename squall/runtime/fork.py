"""What a fork's child must forget: pool threads that were not copied, and locks another thread may have held.

Modules with such state register a hook; the hooks run in the child before `os.fork` returns there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_hooks: list[Callable[[], None]] = []
_locks: list[Callable[[], Any]] = []
_held: list[Any] = []


def in_child(hook: Callable[[], None]) -> Callable[[], None]:
    """Call `hook` in the child of every later fork, in order of registration; returns it, so it can decorate.

    Example:
        >>> @in_child
        ... def forget():
        ...     pass
    """
    _hooks.append(hook)
    return hook


def around(lock: Callable[[], Any]) -> Callable[[], Any]:
    """Hold the lock that `lock` returns while the process forks, so that what it guards is at rest in the child.
    Returns its argument, so it can decorate.

    Example:
        >>> import threading
        >>> @around
        ... def at_rest(mine=threading.RLock()):
        ...     return mine
    """
    _locks.append(lock)
    return lock


def _before() -> None:
    for lock in _locks:
        held = lock()
        held.acquire()
        _held.append(held)


def _parent() -> None:
    """Also in the child, whose only thread is the one that took the locks."""
    while _held:
        _held.pop().release()


def _child() -> None:
    _parent()
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_parent, after_in_child=_child)
