"""What code of the user's asks of symbolic sizes while a function is traced: `if x.shape[0] > 5`.

The answer is that for the sizes at hand, and it is kept: a program made so is for calls that give the same answers.
squall's own code is not answered so: what is not known for all sizes is False there, and is looked at again before a
program runs on other sizes (`frontend/refitting.py`).
"""

from __future__ import annotations

import operator
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
              "!=": operator.ne}  # fmt: skip


class Decision(NamedTuple):
    """That one size stands, or does not stand, in a relation to another."""

    left: Any
    relation: str
    right: Any
    answer: bool

    def holds(self, sizes: dict[str, int]) -> bool:
        """Whether it is so for these sizes as well."""
        return _answer(self.left, self.relation, self.right, sizes) is self.answer

    def __str__(self) -> str:
        text = f"{self.left} {self.relation} {self.right}"
        return text if self.answer else f"not {text}"


class _Local(threading.local):
    sizes: dict[str, int] | None = None
    found: dict[tuple, Decision]


_local = _Local()


@contextmanager
def deciding(sizes: dict[str, int]) -> Iterator[dict[tuple, Decision]]:
    """Answer by these sizes for the time being, in this thread.

    Args:
        sizes: the value of each symbol.

    Returns:
        What was asked, filled in meanwhile.
    """
    before = _local.sizes, getattr(_local, "found", {})
    found: dict[tuple, Decision] = {}
    _local.sizes, _local.found = sizes, found
    try:
        yield found
    finally:
        _local.sizes, _local.found = before


def ask(left: Any, relation: str, right: Any) -> bool | None:
    """The answer to a comparison that the caller's caller makes; None where nobody decides, or squall itself asks."""
    sizes = _local.sizes
    if not sizes or sys._getframe(2).f_globals.get("__name__", "").partition(".")[0] == "squall":
        return None
    try:
        answer = _answer(left, relation, right, sizes)
    except KeyError:  # a symbol of somebody else's
        return None
    _local.found[relation, left, right] = Decision(left, relation, right, answer)
    return answer


def _answer(left: Any, relation: str, right: Any, sizes: dict[str, int]) -> bool:
    values = [value if isinstance(value, (int, float)) else value.value(sizes) for value in (left, right)]
    return _RELATIONS[relation](*values)
