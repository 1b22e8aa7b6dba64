"""The native functions that Python calls, once a program is worth making them (`native.py`)."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any


def in_python(function: Callable[..., Any], *arguments: Any) -> Any:
    """A call as it is."""
    return function(*arguments)


class Native:
    """Each gives None (`write` and `in_place` False) where Python must do it.

    Attributes:
        record, apply: `core.record`, and `core.apply` with packed attributes. unary: `core.unary`.
        call: calls a function of Tensors, see `known_calls.py`.
        write: `views.write` of several Nodes. in_place: `arithmetic.in_place` of (target, new result).
        backward: see `known_backward.py`. captured: one call of a captured program.
    """

    record: Callable[[Any, tuple, tuple], Any] | None = None
    apply: Callable[[Any, tuple, tuple], Any] | None = None
    unary: Callable[[Any, Any], Any] | None = None
    call: Callable[..., Any] = staticmethod(in_python)
    write: Callable[[tuple, tuple], bool] | None = None
    in_place: Callable[[Any, Any], bool] | None = None
    captured: Callable[[tuple, list, list], Any] | None = None
    backward: Callable[[Any, Any, bool], Any] | None = None


as_given: dict[tuple, list] = {}  # (op, ids of types) of Tensors that are recorded as they are given -> the types


def note_as_given(op: Any, given: tuple, prepared: tuple) -> None:
    """Let `Native.apply` know that Tensors of these types are recorded as they are given, if they are."""
    if len(given) == len(prepared) and all(map(is_, given, prepared)):
        types = [v.node.type for v in given]
        if len(as_given) > 50000:
            as_given.clear()
        as_given[(op, *map(id, types))] = types
