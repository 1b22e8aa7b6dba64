"""Per-thread state: the grad mode, what is being traced, and the weak list of results nobody has computed yet.

`state.level` folds the modes into one number so that recording asks one question: 0 plain, 1 grad mode on, 2 and more
something that needs the careful path (tracing, eager evaluation, inference mode).
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

from squall.base import config


class ThreadState:
    """Modes and pending results of one thread.

    Attributes:
        level: 0, 1 or 2 as the module says. grad: whether history is recorded. inference: inference mode.
        trace: the innermost abstract trace, or None. pending: weak references to Tensors and cells recorded since the last flush.
        limit: pending length at which a flush is forced. anomaly: detect-anomaly mode. flushing: a flush is going on.
        broken: a flush failed; values are evaluated apart. rhythm, anchor: what `evaluation.pressure` hears of a loop, and where in it it flushed. retained: bytes of new leaves since the last flush.
    """

    __slots__ = ("anchor", "anomaly", "autocast", "broken", "eager", "flushing", "grad", "inference", "level", "limit", "pending",
                 "retained", "rhythm", "trace")

    def __init__(self) -> None:
        self.grad, self.inference, self.trace, self.anomaly, self.flushing = True, False, None, False, False
        self.broken = False
        self.autocast: Any = None
        self.rhythm: list | None = None
        self.anchor: tuple = (None, 0)
        self.retained = 0
        self.pending: list = []
        self.eager = config.get("eager")
        self.limit = config.get("pending_nodes")
        self.update()

    def update(self) -> None:
        """Recompute `level` after a mode changed."""
        special = self.trace is not None or self.eager or self.inference or self.anomaly
        self.level = 2 if special else int(self.grad)


class _Local(threading.local):
    def __init__(self) -> None:
        self.state = ThreadState()


local = _Local()


def _after_fork() -> None:
    local.state.pending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Mode:
    """A mode as context manager and decorator: sets one attribute of the thread's state and restores it."""

    attribute = ""

    def __init__(self, value: Any):
        self.value, self.before = value, []

    def __enter__(self) -> None:
        state = local.state
        self.before.append(getattr(state, self.attribute))
        setattr(state, self.attribute, self.value)
        state.update()

    def __exit__(self, *error: Any) -> None:
        state = local.state
        setattr(state, self.attribute, self.before.pop())
        state.update()

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self).__new__(type(self))._again(self.value):
                return function(*args, **kwargs)

        return wrapped

    def _again(self, value: Any) -> _Mode:
        _Mode.__init__(self, value)
        return self


class _Grad(_Mode):
    attribute = "grad"


class no_grad(_Grad):
    """Record no history inside: `with sq.no_grad():` or as a decorator.

    Example:
        >>> import squall as sq
        >>> with sq.no_grad():
        ...     sq.is_grad_enabled()
        False
    """

    def __init__(self, function: Callable | None = None):
        super().__init__(False)


class enable_grad(_Grad):
    """Record history inside, also within `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Grad):
    """Turn history on or off at once, and back at the end of a `with` block."""

    def __init__(self, mode: bool):
        super().__init__(bool(mode))
        state = local.state
        self._initial = state.grad
        state.grad = self.value
        state.update()

    def __enter__(self) -> None:
        self.before.append(self._initial)


class inference_mode(_Mode):
    """No history, and results that can never take part in one."""

    attribute = "inference"

    def __init__(self, mode: bool = True):
        super().__init__(bool(mode))


class set_detect_anomaly(_Mode):
    """Check every gradient for NaN during backward and name the forward line that made the op."""

    attribute = "anomaly"

    def __init__(self, mode: bool = True):
        super().__init__(bool(mode))
        self._initial = local.state.anomaly
        local.state.anomaly = self.value
        local.state.update()

    def __enter__(self) -> None:
        self.before.append(self._initial)


def is_grad_enabled() -> bool:
    """Whether history is recorded now."""
    state = local.state
    return state.grad and not state.inference


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return local.state.inference


def set_eager(mode: bool) -> None:
    """Evaluate after every op (for debugging); results are the same bits."""
    local.state.eager = bool(mode)
    local.state.update()
