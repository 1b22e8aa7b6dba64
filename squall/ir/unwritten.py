"""Programs of linear IR that are not written yet: what a plan holds of a kernel until its code is asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from squall.ir.linear import Function, Program


class Unwritten:
    """A program that is written when somebody reads its functions: whoever finds it compiled on disk never does.

    Two are equal when they are made from equal things, of which the `repr` tells all too.

    Args:
        entry: name of the entry. source: what it is made from. make: writes it; what it gives is not kept here.
        scratch_bytes: that each thread needs.

    Example:
        >>> from squall.ir.linear import Function, Program
        >>> one = Unwritten("k", "nothing", lambda: Program((Function("k", (), None, ()),), "k"))
        >>> one.functions[0].name
        'k'
    """

    __slots__ = ("entry", "source", "make", "scratch_bytes")

    def __init__(self, entry: str, source: Hashable, make: Callable[[], Program], scratch_bytes: int = 0):
        self.entry, self.source, self.make, self.scratch_bytes = entry, source, make, scratch_bytes

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions, written now."""
        return self.make().functions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unwritten) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"Unwritten({self.entry!r}, {self.source!r})"


AnyProgram = Program | Unwritten
