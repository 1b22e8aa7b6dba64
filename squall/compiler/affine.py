"""Positions as affine expressions: a constant plus coefficients times loop indices and run-time integers.

Movement ops rewrite the position at which an operand is read; a load's address is the result. Coefficients and
constants are sizes, so symbolic ones work. Reshapes divide positions: `quotient` does it exactly, or asks for a
loop to be split (`Split`), or says that it cannot be done (`Unfit`) and the operand is kept in memory instead.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from squall.base import dim as dims
from squall.base.dim import Dim

Size = int | Dim
_serials = itertools.count()


class Atom:
    """One loop of an iteration space: its extent. Identity matters, the serial number gives a stable order."""

    __slots__ = ("size", "serial")

    def __init__(self, size: Size):
        self.size, self.serial = size, next(_serials)

    def __repr__(self) -> str:
        return f"i{self.serial}<{self.size}"


class Run(NamedTuple):
    """A run-time integer in a position: the number of the value that computes it."""

    value: int


class Unfit(Exception):  # noqa: N818
    """A position that no affine expression describes."""


class Split(Exception):  # noqa: N818
    """An atom must become two: the inner one of size `inner`."""

    def __init__(self, atom: Atom, inner: Size):
        super().__init__(atom, inner)
        self.atom, self.inner = atom, inner


class Affine:
    """`constant + sum(coefficient * variable)`; variables are Atoms and Runs. Equal by content."""

    __slots__ = ("terms", "constant", "_hash")

    def __init__(self, terms: dict[Any, Size], constant: Size = 0):
        self.terms, self.constant = terms, constant
        self._hash: int | None = None

    def __add__(self, other: Affine | Size) -> Affine:
        if not isinstance(other, Affine):
            return Affine(self.terms, self.constant + other)
        terms = dict(self.terms)
        for variable, c in other.terms.items():
            total = terms.get(variable, 0) + c
            if isinstance(total, int) and total == 0:
                terms.pop(variable, None)
            else:
                terms[variable] = total
        return Affine(terms, self.constant + other.constant)

    def __mul__(self, factor: Size) -> Affine:
        if isinstance(factor, int):
            if factor == 1:
                return self
            if factor == 0:
                return ZERO
        return Affine({v: c * factor for v, c in self.terms.items()}, self.constant * factor)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Affine) and self.terms == other.terms
                                 and self.constant == other.constant)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((frozenset(self.terms.items()), self.constant))
        return self._hash

    def substitute(self, atom: Atom, outer: Atom, inner: Atom) -> Affine:
        """The expression after `atom = outer * inner.size + inner`."""
        c = self.terms.get(atom)
        if c is None:
            return self
        terms = {v: k for v, k in self.terms.items() if v is not atom}
        terms[outer], terms[inner] = c * inner.size, c
        return Affine(terms, self.constant)

    def __repr__(self) -> str:
        return " + ".join([f"{c}*{v}" for v, c in self.terms.items()] + [str(self.constant)])


ZERO = Affine({})
Index = tuple[Affine, ...]


def of(atom: Any) -> Affine:
    """The expression of one variable."""
    return Affine({atom: 1})


def exact(a: Size, b: Size) -> Size | None:
    """`a / b` when it divides, else None."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a % b == 0 else None
    q = a // b
    return q if q * b == a else None


def is_below(a: Size, b: Size) -> bool:
    """Whether a < b for all sizes, as far as can be proved."""
    difference = b - a
    if isinstance(difference, int):
        return difference > 0
    low, _ = dims.bounds(difference)
    return low is not None and low > 0


def quotient(expression: Affine, size: Size) -> tuple[Affine, Affine]:
    """Quotient and remainder of a non-negative position by a size.

    Raises:
        Split: when an atom has to be split first. Unfit: when there is no affine answer.
    """
    if isinstance(size, int) and size == 1:
        return expression, ZERO
    whole: dict[Any, Size] = {}
    rest: dict[Any, Size] = {}
    constant = expression.constant
    if isinstance(constant, int) and isinstance(size, int):
        high, low = divmod(constant, size)
    else:
        divided = exact(constant, size)
        high, low = (0, constant) if divided is None else (divided, 0)
    most: Size = low
    for variable, c in expression.terms.items():
        divided = exact(c, size)
        if divided is not None:
            whole[variable] = divided
            continue
        if not isinstance(variable, Atom) or (isinstance(c, int) and c < 0):
            raise Unfit
        rest[variable] = c
        most = most + c * (variable.size - 1)
    if not is_below(most, size):
        for variable, c in rest.items():
            inner = exact(size, c)
            if inner is None or (isinstance(inner, int) and inner <= 1):
                continue
            parts = exact(variable.size, inner)
            if parts is not None and not (isinstance(parts, int) and parts == 1):
                raise Split(variable, inner)
        raise Unfit
    return Affine(whole, high), Affine(rest, low)


def flatten(index: Index, strides: tuple[Size, ...], offset: Size = 0) -> Affine:
    """The address of a position in elements."""
    terms: dict[Any, Size] = {}
    for position, stride in zip(index, strides, strict=True):  # in place: compiling spends much time here
        if isinstance(stride, int) and stride == 0:
            continue
        for variable, c in position.terms.items():
            total = terms.get(variable, 0) + c * stride
            if isinstance(total, int) and total == 0:
                terms.pop(variable, None)
            else:
                terms[variable] = total
        offset = offset + position.constant * stride
    return Affine(terms, offset)


def unravel(flat: Affine, shape: tuple[Size, ...]) -> Index:
    """A row-major position from its flat number; raises as `quotient`."""
    out: list[Affine] = []
    for size in reversed(shape[1:]):
        flat, low = quotient(flat, size)
        out.append(low)
    out.append(flat)
    return tuple(reversed(out)) if shape else ()
