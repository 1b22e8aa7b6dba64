"""The loops of a kernel: a group's atoms by class, collapsed where every address walks them as one, and ordered."""

from __future__ import annotations

from typing import Any

from squall.compiler.affine import Affine, Atom, Unfit
from squall.compiler.group import Group

SHORT = 4  # an inner loop of so few elements leaves lanes empty
MOST_LINES = 1024


class Loops:
    """Atoms by class, collapsed, and numbered: outer, then lines, the inner one last."""

    def __init__(self, outer: list[Atom], lines: list[Atom], inner: list[Atom], addresses: list[Affine]):
        self.addresses = addresses
        self.extent: dict[Atom, Any] = {}
        self.outer, self.lines = self._collapse(outer), self._collapse(lines)
        inner = self._collapse(inner)
        if len(inner) > 1:
            raise Unfit
        self.inner = inner[0] if inner else None
        self.is_tiled = self.is_widened = False
        self.number = {a: i for i, a in enumerate(self.outer + self.lines)}

    def _collapse(self, atoms: list[Atom]) -> list[Atom]:
        """Merge neighbours; a merged loop is known by its inner atom, whose extent grows."""
        out: list[Atom] = []
        for atom in atoms:
            self.extent[atom] = atom.size
            while out and self._mergeable(out[-1], atom):
                self.extent[atom] = self.extent[atom] * self.extent[out.pop()]
            out.append(atom)
        return out

    def _mergeable(self, outer: Atom, inner: Atom) -> bool:
        # inner may itself be a merged loop; its own stride is that of its innermost atom
        size = self.extent[inner]
        if any(isinstance(n, int) and n == 0 for n in (size, self.extent[outer])):
            return True  # a loop that never runs reads nothing
        for a in self.addresses:
            low = a.terms.get(inner, 0)
            high = a.terms.get(outer, 0)
            if low == 0 and high == 0:
                continue
            if high != low * size:
                return False
        return True


def inner_atoms(group: Group) -> tuple[list[Atom], list[Atom], list[Atom]]:
    """The group's atoms as (outer, lines, inner), before collapsing."""
    space = group.space
    kept = [a for d, atoms in enumerate(space.atoms) if d not in space.reduced for a in atoms]
    if not space.reduced:
        return kept, [], []
    reduced = [(d, a) for d, atoms in enumerate(space.atoms) if d in space.reduced for a in atoms]
    if group.kind == "columns":
        return kept, [a for _, a in reduced], []
    trailing = []
    for d in reversed(range(len(space.shape))):
        if d not in space.reduced:
            if space.atoms[d]:
                break
            continue
        trailing = space.atoms[d] + trailing
    return kept, [a for _, a in reduced if all(a is not t for t in trailing)], trailing


def fix_loops(group: Group, addresses: list[Affine]) -> Loops:
    """Choose the inner loop and collapse the rest."""
    outer, lines, inner = inner_atoms(group)
    if group.kind == "rows" and group.space.reduced:
        return Loops(outer, lines, inner, addresses)
    # Elementwise and columns: the innermost loop is what the last kept dimensions collapse to.
    loops = Loops(outer, lines, [], addresses)
    if loops.outer:
        loops.inner = loops.outer.pop()
        if not group.space.reduced and not _widen(loops):
            _put_last(loops, addresses)
        loops.number = {a: i for i, a in enumerate(loops.outer + loops.lines)}
    return loops


def _widen(loops: Loops) -> bool:
    """Where the inner loop is shorter than half a vector, take the longest loop instead and walk the others inside each
    stretch of it: elements are gathered, but lanes are full and cache lines near."""
    short = loops.extent[loops.inner]
    if not loops.outer or not isinstance(short, int) or short > SHORT:
        return False
    extents = [loops.extent[a] for a in loops.outer]
    longest = max((n for n in extents if isinstance(n, int)), default=0)
    if longest < 8 * SHORT:
        return False
    position = extents.index(longest)
    atoms = [*loops.outer[:position], *loops.outer[position + 1:], loops.inner]
    loops.inner, loops.outer, loops.lines = loops.outer[position], [], []
    count: Any = 1
    for atom in reversed(atoms):
        count = count * loops.extent[atom]
        walked = isinstance(count, int) and count <= MOST_LINES
        (loops.lines if walked else loops.outer).insert(0, atom)
    loops.is_widened = True
    return True


def _put_last(loops: Loops, addresses: list[Affine]) -> None:
    """Where an operand is strided along the inner loop and dense along another, that one becomes the last outer loop,
    and both are walked in tiles, so that each cache line is used while it is near."""
    for a in addresses:
        c = a.terms.get(loops.inner, 0)
        if isinstance(c, int) and c in (0, 1):
            continue
        for atom in loops.outer:
            dense = a.terms.get(atom, 0)
            if isinstance(dense, int) and dense == 1:
                loops.outer.remove(atom)
                loops.outer.append(atom)
                loops.is_tiled = True
                return
