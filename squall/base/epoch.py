"""What compiled functions watch of the program around them: one counter of structure, and numbers read as
inputs.

Modules, optimizers and their like call `bump` when something changes that a captured program has baked in:
the mode of a module, which parameters it has, whether a group has momentum. A compiled function compares
`structure` and captures again when it moved. Numbers that merely vary, such as a learning rate, are read
through `number`: while a function is being captured the reader set on `capture` hands out a run-time input in
the number's place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from squall.base.errors import TraceError

structure = 0


def bump() -> None:
    """Say that the structure of some module, optimizer or similar changed."""
    global structure
    structure += 1


class Capture(threading.local):
    """What a capture in progress on this thread wants to know.

    Attributes:
        read: `read(container, key) -> value` called for each tracked number, or None when nothing is captured.
    """

    read: Callable[[Any, Hashable], Any] | None = None


capture = Capture()


def number(container: Any, key: Hashable) -> Any:
    """`container[key]`, a number that may vary between calls of a compiled function.

    Example:
        >>> number({"lr": 0.1}, "lr")
        0.1
    """
    read = capture.read
    return container[key] if read is None else read(container, key)


def refuse_in_capture(what: str, instead: str) -> None:
    """TraceError when a function is being captured: `what` happens in Python, so a later call would not
    repeat it."""
    if capture.read is not None:
        raise TraceError(
            f"{what} inside a compiled function would happen only once, while it is captured: {instead}"
        )
