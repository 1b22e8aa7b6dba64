"""Code that is made again, better, beside the program: a thread that works while nobody waits for a compilation.

A small kernel that is new runs code made in a hurry (`objects`): its user waits less for the code than better code
could ever spare. What was made so is handed in here as a piece of work, which makes the code again, turns the doors
(`doors`) and keeps it on disk. Pieces run when no new one has come for a moment, and before the process ends. The
thread ends with the last of them: beside another thread a train step takes more care (`engine/overwriting.py`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from squall.base import config, trace
from squall.runtime import fork, leaving

MOMENT = 0.05  # seconds without a new piece
LONGEST = 1.0  # seconds that a piece waits though new ones keep coming, or somebody waits for other code
_NICE = 10  # what the thread leaves to others, where threads have priorities of their own

_pieces: deque[Callable[[], None]] = deque()
_thread: threading.Thread | None = None
_wake = threading.Condition()
_newest = 0.0
_awaited = 0  # compilations that somebody waits for
_working = _leaving = False


def later(piece: Callable[[], None]) -> None:
    """Have a piece of work done soon, in another thread; what it raises is reported with `SQUALL_DEBUG` only.

    Example:
        >>> done = []
        >>> later(lambda: done.append(1))
        >>> finish()
        True
        >>> done
        [1]
    """
    global _thread, _newest
    with _wake:
        _pieces.append(piece)
        _newest = time.monotonic()
        if _thread is None and not _leaving:
            _thread = threading.Thread(target=_work, name="squall hurry", daemon=True)
            _thread.start()
        _wake.notify_all()


@contextlib.contextmanager
def awaited() -> Iterator[None]:
    """While it is open somebody waits for a compilation: pieces begin a moment after it, or when they waited `LONGEST`.

    Example:
        >>> with awaited():
        ...     pass
    """
    global _awaited, _newest
    with _wake:
        _awaited += 1
    try:
        yield
    finally:
        with _wake:
            _awaited -= 1
            _newest = time.monotonic()


def finish(patience: float = leaving.PATIENCE) -> bool:
    """Do what is left in this thread, and wait for what is being done; whether all was within `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with _wake:
            piece = _pieces.popleft() if _pieces else None
            if piece is None and not _working:
                return True
            if piece is None:
                _wake.wait(0.005)
        if piece is not None:
            _do(piece)
    return False


def _do(piece: Callable[[], None]) -> None:
    try:
        piece()
    except Exception as error:  # the code made in a hurry serves on
        trace.debug(1, "code was not made again:", error)


def _work() -> None:
    global _thread, _working
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # not allowed
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    while True:
        with _wake:
            if not _pieces:
                _thread = None
                return
            first = time.monotonic()
            while ((now := time.monotonic()) < _newest + MOMENT or _awaited) and now < first + LONGEST:
                _wake.wait(max(_newest + MOMENT - now, MOMENT / 4))
            piece = _pieces.popleft() if _pieces else None
            _working = True
        try:
            if piece is not None:
                _do(piece)
        finally:
            with _wake:
                _working = False
                _wake.notify_all()


@leaving.last
def _leave() -> None:
    """A process that ends has its new kernels on disk for the next."""
    global _leaving
    _leaving = True
    if config.get("cache"):
        finish()


@fork.in_child
def _reset() -> None:
    """The thread stayed with the parent, which does its work; a child that hurries gets a thread of its own."""
    global _thread, _wake, _working, _awaited
    _thread, _wake, _working, _awaited = None, threading.Condition(), False, 0
    _pieces.clear()
