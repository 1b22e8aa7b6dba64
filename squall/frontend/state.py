"""Per-thread state: the grad mode, what is being traced, and the weak list of results nobody has computed yet.

`state.level` folds the modes into one number so that recording asks one question: 0 plain, 1 grad mode on, 2 and more
something that needs the careful path (tracing, eager evaluation, inference mode, autocast).
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
        trace: the innermost abstract trace, or None. pending: weak references to Tensors and cells recorded since
            the last flush.
        autocast: what `autocast.py` casts to, or None.
        limit: pending length at which a flush is forced. anomaly: detect-anomaly mode. flushing: a flush is going on.
        broken: a flush failed; values are evaluated apart. rhythm, anchor: what `evaluation.pressure` hears of a
            loop, and where in it it flushed. retained: bytes of new leaves since the last flush.
    """

    __slots__ = (
        "anchor",
        "anomaly",
        "autocast",
        "broken",
        "eager",
        "flushing",
        "grad",
        "inference",
        "level",
        "limit",
        "pending",
        "retained",
        "rhythm",
        "trace",
    )
    trace: Any

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
        """Recompute `level` after something changed that is no mode."""
        self.level = self.modes_with("grad", self.grad)[3]

    def modes_with(self, attribute: str, value: bool) -> tuple[bool, bool, bool, int]:
        """Grad, inference and anomaly mode and the level, with one of them changed."""
        modes = {"grad": self.grad, "inference": self.inference, "anomaly": self.anomaly, attribute: value}
        careful = self.trace is not None or self.eager or self.autocast is not None
        special = careful or modes["inference"] or modes["anomaly"]
        return modes["grad"], modes["inference"], modes["anomaly"], 2 if special else int(modes["grad"])


class _Local(threading.local):
    def __init__(self) -> None:
        self.state = ThreadState()


local = _Local()


def _after_fork() -> None:
    local.state.pending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Mode:
    """A mode as context manager and decorator: changes one of the thread's modes and puts all back.

    Modes are stored last on entry and first on exit, without a call in between, so that Ctrl-C finds either state.
    """

    attribute = ""

    def __init__(self, value: Any):
        self.value, self.before = value, []

    def __enter__(self) -> None:
        state = local.state
        now = state.modes_with(self.attribute, self.value)
        self.before.append((state.grad, state.inference, state.anomaly, state.level))
        state.grad, state.inference, state.anomaly, state.level = now

    def __exit__(self, *error: Any) -> None:
        state = local.state
        state.grad, state.inference, state.anomaly, state.level = self.before[-1]
        del self.before[-1]

    def __call__(self, function: Callable) -> Callable:
        attribute, value = self.attribute, self.value

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            mode = _Mode(value)
            mode.attribute = attribute
            with mode:
                return function(*args, **kwargs)

        return wrapped


class _Bare(_Mode):
    """A mode whose decorator needs no parentheses: `@sq.no_grad`."""

    def __new__(cls, orig_func: Any = None) -> Any:
        return cls()(orig_func) if callable(orig_func) else object.__new__(cls)


class no_grad(_Bare):
    """Record no history inside: `with sq.no_grad():` or as a decorator.

    Example:
        >>> import squall as sq
        >>> with sq.no_grad():
        ...     sq.is_grad_enabled()
        False
    """

    attribute = "grad"

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Bare):
    """Record history inside, also within `no_grad`."""

    attribute = "grad"

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_Bare):
    """No history, and results that can never take part in one."""

    attribute = "inference"

    def __init__(self, mode: bool = True):
        super().__init__(bool(mode))


class _AtOnce(_Mode):
    """A mode set by the call itself, and put back at the end of a `with` block if there is one."""

    def __init__(self, mode: bool):
        super().__init__(bool(mode))
        _Mode.__enter__(self)

    def __enter__(self) -> None:
        """The call did it."""


class set_grad_enabled(_AtOnce):
    """Turn history on or off at once, and back at the end of a `with` block."""

    attribute = "grad"


class set_detect_anomaly(_AtOnce):
    """Check every gradient for NaN during backward and name the forward line that made the op.

    Args:
        mode: whether to. check_nan: accepted; gradients that are NaN are errors in any case.
    """

    attribute = "anomaly"

    def __init__(self, mode: bool = True, check_nan: bool = True):
        super().__init__(mode)


class detect_anomaly(set_detect_anomaly):
    """`set_detect_anomaly(True)` for a `with` block; gradients that are NaN are errors in any case."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True)


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
