"""Element values that several walks over a row read and that are dear to compute: kept in the thread's scratch.

The bits are the same as when each walk computes them anew, so the choice is free; it is made when the row is known to
fit.
"""

from __future__ import annotations

from squall.compiler.heavy import is_heavy_value
from squall.compiler.spec import ELEMENT, Spec

ELEMENTS = 8192  # of the longest row that is kept
STEP = ELEMENTS * 8 + 1024  # bytes of one value, with room for a last vector


def walks(spec: Spec) -> int:
    """How many times a row is walked."""
    return 1 + max([s.phase for s in spec.stores] + [v.phase for v in spec.values])


def needed(spec: Spec, walk: int, kept: set[int] | frozenset[int] = frozenset()) -> list[int]:
    """Element values that a walk's reductions and stores read, in order; what only `kept` ones read is left out. An
    index is checked even if nothing reads it, as where all that it could select from is one value."""
    values = spec.values
    wanted = {n for v in values if v.op == "reduce" and v.phase == walk + 1 for n in v.operands}
    wanted |= {s.value for s in spec.stores if s.phase == walk and s.level == ELEMENT}
    wanted |= {n for s in spec.stores if s.phase == walk and s.level == ELEMENT for n, _ in s.access.indirect}
    read = {n for v in values for n in v.operands} | {n for s in spec.stores for n, _ in s.access.indirect}
    wanted |= {n for n, v in enumerate(values) if v.op == "wrap" and v.phase == walk and n not in read}
    out = []
    for number in reversed(range(len(values))):
        v = values[number]
        if number in wanted and v.level == ELEMENT and v.op != "const":
            out.append(number)
            if number not in kept:
                wanted |= set(v.operands)
    return out[::-1]


def first_walks(spec: Spec) -> dict[int, int]:
    """The first walk that needs each value kept in scratch."""
    first: dict[int, int] = {}
    for walk in range(walks(spec)):
        found = needed(spec, walk, {n for n in first if n in spec.scratch})
        for number in found:
            if number in spec.scratch:
                first.setdefault(number, walk)
    return first


def storing(spec: Spec) -> set[int]:
    """Element values computed in walks that store elements, but for those read back from scratch."""
    first, out = first_walks(spec), set()
    for walk in {s.phase for s in spec.stores if s.level == ELEMENT}:
        kept = {n for n in spec.scratch if first[n] < walk}
        out |= set(needed(spec, walk, kept)) - kept
    return out


def choose(spec: Spec) -> tuple[int, ...]:
    """The values to keep: heavy ones that more than one walk would compute, unless another kept one covers them."""
    total = walks(spec)
    if total < 2:
        return ()
    chosen: list[int] = []
    for number in reversed(range(len(spec.values))):
        v = spec.values[number]
        if v.level != ELEMENT or not is_heavy_value(v):
            continue
        trial = spec._replace(scratch=tuple(chosen))
        first = first_walks(trial)
        uses = 0
        for walk in range(total):
            kept = {n for n in chosen if first.get(n, walk) < walk}
            uses += number in needed(trial, walk, kept)
        if uses > 1:
            chosen.append(number)
    return tuple(sorted(chosen))
