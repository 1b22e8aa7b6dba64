"""Leaving the process: before the interpreter goes, what other threads run comes to its end and nothing new begins.

Only daemon threads are left when `atexit` functions run. Python ends them where they next ask for its lock, which for
native code is in the middle of a run, over memory and frames the interpreter is taking down. So they are ended earlier:
a run that would begin raises SystemExit, which ends a thread quietly and lets whoever joins it go on; runs in
flight are waited for. The thread that leaves may go on running: functions registered earlier save checkpoints.

The interpreter then takes modules down in an order nobody knows. What native code points to must outlive that.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from squall.runtime import fork

PATIENCE = 5.0  # seconds; a kernel that runs longer is left alone with memory that nobody gives back
_STEP = 0.05  # of these, at most, for each look: who was stopped has waited for nobody meanwhile
F = TypeVar("F", bound=Callable[..., Any])
_inside: dict[int, int] = {}  # by thread, how deep it is in runs
_leaver: int | None = None
_last: list[Callable[[], object]] = []


def run(function: F) -> F:
    """Make a function count as a run.

    Raises:
        SystemExit: from the function, when another thread is leaving the process and this is not part of a run.

    Example:
        >>> run(lambda x: x + 1)(2)
        3
    """

    @functools.wraps(function)
    def counted(*arguments: Any, **named: Any) -> Any:
        thread = threading.get_ident()
        depth = _inside.get(thread, 0)
        if _leaver is not None and not depth and thread != _leaver:
            raise SystemExit
        try:
            _inside[thread] = depth + 1
            return function(*arguments, **named)
        finally:
            if depth:
                _inside[thread] = depth
            else:
                _inside.pop(thread, None)

    return counted  # type: ignore[return-value]


def leave(patience: float = PATIENCE) -> bool:
    """End what other threads run; gives whether it all ended within `patience` seconds."""
    global _leaver
    _leaver, words[0] = threading.get_ident(), 1
    looked = time.monotonic()
    while words[1] or any(thread != _leaver for thread in tuple(_inside)):
        if patience < 0:
            return False
        time.sleep(0.0005)
        now = time.monotonic()
        patience -= min(now - looked, _STEP)
        looked = now
    return True


def last(function: F) -> F:
    """Call a function as the process is left, when nothing of other threads runs any more; returns it.

    Example:
        >>> @last
        ... def write():
        ...     pass
    """
    _last.append(function)
    return function


def _leave() -> None:
    leave()
    for function in _last:
        function()


def keep(held: Any) -> Any:
    """Keep an object, and what it refers to, until the process is gone; returns it.

    Example:
        >>> keep([1, 2])
        [1, 2]
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
    return held


@fork.in_child
def stay() -> None:
    """Let runs begin again: in a forked child, which has one thread."""
    global _leaver
    _leaver = None
    words[0] = words[1] = 0
    _inside.clear()


# for native code: whether the process is being left, native flushes in flight
words = keep((ctypes.c_int64 * 2)())
atexit.register(_leave)
