"""Texts dealt out to threads: what is compiled at once, in parts that take about equally long.

Kernels are units of their own and go to one part or another. A long unit, such as the library of contractions, is taken
apart: its functions become texts that declare what they call of each other, and linking joins them again. Code of a
function is the same wherever its neighbours are, as the passes that run look at one function at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# What LLVM takes for a text and for a block, in lines within blocks, 6 or 8 us each; and what is worth a thread.
_TEXT_COST, _LABEL_COST, _PART_COST = 250, 90, 1100
_COMMON = ("declare ", "target ", "source_filename", "!", ";")  # lines that every part may repeat
_NAME = re.compile(r"@([\w.$]+)")


class Unit(NamedTuple):
    """LLVM text and what its functions are called in the object: {name in the text: name in the object}; those that are
    not named become private."""

    text: str
    names: dict[str, str]


def deal(units: Sequence[Unit], parts: int) -> list[list[Unit]]:
    """Units dealt out to at most so many parts.

    Args:
        units: what is to be compiled. parts: how many threads there are.

    Returns:
        Units of each part, none empty: fewer parts where the work is not worth more of them.

    Example:
        >>> len(deal([Unit("define void @f() {\\nret void\\n}\\n", {"f": "g"})], 2))
        1
    """
    costs = [cost(unit.text) for unit in units]
    parts = max(1, min(parts, sum(costs) // _PART_COST))
    if parts == 1:
        return [list(units)]
    pieces: list[tuple[int, Unit]] = []
    for unit, whole in zip(units, costs, strict=True):
        apart = taken_apart(unit, parts) if whole > 2 * _PART_COST else [unit]
        pieces += [(cost(piece.text), piece) for piece in apart]
    dealt: list[list[Unit]] = [[] for _ in range(parts)]
    sums = [0] * parts
    for each, piece in sorted(pieces, key=lambda piece: piece[0], reverse=True):
        least = sums.index(min(sums))
        dealt[least].append(piece)
        sums[least] += each
    return [part for part in dealt if part]


def cost(text: str) -> int:
    """About how long LLVM works on a text, or a function of it, in lines."""
    return _TEXT_COST + text.count("\n") + _LABEL_COST * text.count(":\n")


def taken_apart(unit: Unit, parts: int) -> list[Unit]:
    """A unit as several that take equally long; as it is where its text holds more than functions.

    Args:
        unit: a text of functions, the first name of `names` being its own: the others get names after it.
        parts: how many units to make.
    """
    functions, rest = _functions(unit.text)
    if len(functions) < 2 or not all(not line or line.startswith(_COMMON) for line in rest.split("\n")):
        return [unit]
    dealt: list[list[str]] = [[] for _ in range(parts)]
    sums = [0] * parts
    costs = {name: cost(text) for name, text in functions.items()}
    for name in sorted(functions, key=lambda name: costs[name], reverse=True):
        least = sums.index(min(sums))
        dealt[least].append(name)
        sums[least] += costs[name]
    own = next(iter(unit.names.values()))
    names = {name: unit.names.get(name, f"{name}.{own}") for name in functions}
    heads = {name: text[:text.index("\n")] for name, text in functions.items()}
    made = []
    for part in filter(None, dealt):
        bodies = [functions[name].replace("define internal", "define hidden", 1) for name in part]
        used = {name for body in bodies for name in _NAME.findall(body)} & functions.keys()
        declared = [_declared(heads[name]) for name in functions if name in used.difference(part)]
        known = {name: names[name] for name in functions if name in used.union(part)}
        made.append(Unit("\n".join([rest, *declared, *bodies]), known))
    return made


def _functions(text: str) -> tuple[dict[str, str], str]:
    """The functions of a text by name, and everything else."""
    functions, rest = {}, []
    for piece in text.split("\n}\n"):
        before, found, body = ("\n" + piece).partition("\ndefine ")
        rest.append(before)
        if found and (name := _NAME.search(body)):
            functions[name[1]] = f"define {body}\n}}\n"
    return functions, "\n".join(rest)


def _declared(head: str) -> str:
    """The declaration of a function that is defined in another text of the same unit."""
    return head.replace("define internal", "define", 1).replace("define", "declare hidden", 1).rstrip(" {")
