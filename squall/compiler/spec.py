"""Kernel specifications: what a fused group computes, as plain data free of sizes, strides and addresses.

A `Spec` is the key under which a lowered kernel is kept: groups with equal specifications share one program and differ
in the words of their args blocks only. Loops are `outer` (spread over work units), `lines` (walked one by one) and
one `inner` loop whose elements fill vector lanes. Each value stands on the outermost level where it is known:

    KERNEL  constants and run-time scalars        ROW      once per work unit
    LINE    once per walked position              ELEMENT  per lane

In a "rows" spec reductions run over lines and inner together; a value behind a reduction belongs to the next phase,
another walk over the same row. In a "columns" spec lines are reduced one by one for each lane of the inner loop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

KERNEL, ROW, LINE, ELEMENT = range(4)

class Access(NamedTuple):
    """Where an element lies: `word` holds the pointer; strides of loops are (loop number, word or None for 1).

    `inner` says how the inner loop moves it. `indirect` are run-time integers: (value number, word or None).
    """

    word: int
    strides: tuple[tuple[int, int | None], ...]
    inner: int | str | None  # None: does not move; "unit"; or the word of the stride
    indirect: tuple[tuple[int, int | None], ...] = ()


class Value(NamedTuple):
    """One computed value. `op` is one of:

    const (attr: text) | word (attr: args word) | load (attr: Access; operands: indirect values, then the guard)
    position (attr: Access whose word is the constant) | inside (operand: i64; attr: word of the size) -> bool
    wrap (operands: i64[, guard]; attr: words of size and code) -> i64 | inst (attr: op name, attributes)
    select, and, convert | random (operands: seed, offset, i64) | reduce (attr: kind).
    """

    op: str
    scalar: str
    operands: tuple[int, ...]
    attr: Any
    level: int = KERNEL
    phase: int = 0


class Store(NamedTuple):
    """A value written at each position of its level; `phase` is the walk in which it is."""

    value: int
    access: Access
    scalar: str
    level: int
    phase: int


class Spec(NamedTuple):
    """One kernel. `outer`, `lines`: words of the extents; `inner`: word of the inner extent.

    `lanes`: of the inner loop. `kind`: "rows", "columns" or "combine". `chunk`: inner elements of one unit, 0 for a
    whole row. `blocked`: whether a reduction may be longer than one block. `partial`: reductions are left as one
    partial result for each block, which are units of their own. `scratch`: element values that several walks
    read, kept for the length of a row. `tile`: units are tiles of so many positions of the last outer loop by `chunk`.
    `stream`: whole vectors are written past the caches, to places of whole cache lines. `exact`: the inner
    extent is a multiple of the lanes.
    """

    kind: str
    outer: tuple[int, ...]
    lines: tuple[int, ...]
    inner: int
    lanes: int
    values: tuple[Value, ...]
    stores: tuple[Store, ...]
    chunk: int = 0
    blocked: bool = False
    partial: bool = False
    words: int = 0
    scratch: tuple[int, ...] = ()
    tile: int = 0
    stream: bool = False
    exact: bool = False
