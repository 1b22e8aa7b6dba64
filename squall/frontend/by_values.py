"""Functions that read values to give a Tensor: how many elements a mask chooses, where a histogram begins.

They evaluate what was recorded so far, read, and go on. While a function is traced there are no values: the error is an
`UnknownSizeError`, upon which `compile` runs the function in parts (`jit.py`), and says what to do instead in the
bodies of vmap and loops. `watched` tells `explain` where such values were read, and what that took.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from squall.base import trace
from squall.frontend.evaluation import UnknownSizeError, ValueUnavailableError, user_line

Function = TypeVar("Function", bound=Callable)


class Reading(NamedTuple):
    """Values read in between: by which function, where in the user's program, from when to when, and how often
    something was evaluated for it."""

    function: str
    place: str
    begin: float
    end: float
    evaluated: int


def by_values(name: str) -> Callable[[Function], Function]:
    """Mark a function whose result has a size, or is made by numbers, that depend on values.

    Args:
        name: what the user calls it.
    """

    def marked(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if trace.listening():
                return _told(name, function, args, kwargs)
            try:
                return function(*args, **kwargs)
            except ValueUnavailableError as error:
                raise _unknown(name) from error

        return call  # type: ignore[return-value]  # the wrapper takes and gives what the function does

    return marked


def _unknown(name: str) -> UnknownSizeError:
    return UnknownSizeError(
        f"{user_line()}: {name}: what it gives depends on values, which are not known while a function is traced. "
        "sq.compile without fullgraph=True evaluates them and goes on; in vmap, in bodies of scan, cond and while_loop "
        "and in what is exported keep the size and mask instead (sq.where, masked_fill, a weight of zeros), or do this "
        "part outside.", name)


def _told(name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
    began, before = trace.begin(), trace.counters.get("flushes", 0)
    try:
        made = function(*args, **kwargs)
    except ValueUnavailableError as error:
        raise _unknown(name) from error
    trace.emit("values read", function=name, place=user_line(), begin=began, end=trace.begin(),
               evaluated=trace.counters.get("flushes", 0) - before)
    return made


@contextmanager
def watched() -> Iterator[list[Reading]]:
    """Collects what marked functions read inside of the block; one that another calls counts as part of that."""
    found: list[Reading] = []

    def hear(event: str, fields: dict[str, Any]) -> None:
        if event == "values read":
            reading = Reading(**fields)
            while found and found[-1].begin >= reading.begin:
                found.pop()
            found.append(reading)

    stop = trace.listen(hear)
    try:
        yield found
    finally:
        stop()
