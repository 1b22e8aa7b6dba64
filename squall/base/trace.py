"""One channel for what the program does: log lines, profiler and viewers listen to the same events.

An event is a name and fields. Counters are always kept (they cost an addition); events are made only while
somebody listens. `SQUALL_DEBUG` prints events to standard error.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from squall.base import config

counters: dict[str, int] = {}
listeners: list[Callable[[str, dict[str, Any]], None]] = []


def count(name: str, amount: int = 1) -> None:
    """Add to a counter, such as "flushes", "plans compiled" or "kernels compiled"."""
    counters[name] = counters.get(name, 0) + amount


def listening() -> bool:
    """Whether an event would reach anybody."""
    return bool(listeners)


def emit(name: str, **fields: Any) -> None:
    """Send an event to all listeners."""
    for listener in tuple(listeners):
        listener(name, fields)


def listen(listener: Callable[[str, dict[str, Any]], None]) -> Callable[[], None]:
    """Register a listener; the result removes it."""
    listeners.append(listener)
    return lambda: listeners.remove(listener)


def begin() -> float:
    """When a stretch of work begins, for `end`; 0 when nobody listens."""
    return time.perf_counter() if listeners else 0.0


def end(name: str, began: float) -> None:
    """Send the event "span" of a stretch of work that began when `begin` said."""
    if began and listeners:
        emit("span", span=name, begin=began, end=time.perf_counter(), thread=threading.get_ident())


@contextmanager
def span(name: str) -> Iterator[None]:
    """`begin` and `end` around a block."""
    began = begin()
    try:
        yield
    finally:
        end(name, began)


def debug(level: int, *parts: Any) -> None:
    """Print to standard error when `SQUALL_DEBUG` is at least `level`."""
    if config.get("debug") >= level:
        print("squall:", *parts, file=sys.stderr)
