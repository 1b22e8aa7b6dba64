"""Groups: what becomes one kernel. A group has an iteration space (the dimensions its results or the operand of its
reductions have), the results it stores, and, once pulled, its values.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from squall.compiler import movement
from squall.compiler.affine import ZERO, Affine, Atom, Index, Split, Unfit, of
from squall.compiler.pull import Home, Puller
from squall.ir.node import Node

MOST_VALUES = 400  # values of one kernel, beyond which nothing is merged into it


class Target(NamedTuple):
    """A result to be written: the node, and where its elements go (strides for each of its dimensions)."""

    node: Node
    home: Home


def is_reduction(node: Node) -> bool:
    """Whether a node is of the reduce family."""
    return node.op.family.name == "reduce"


def reduction_kind(shape: tuple, dims: tuple[int, ...]) -> str:
    """"inner" when the last dimension that is not of size 1 is reduced, else "outer": a function of extents alone."""
    for d in reversed(range(len(shape))):
        if not movement.is_one(shape[d]):
            return "inner" if d in dims else "outer"
    return "inner"


class Space:
    """The loops of a group: each dimension is a product of atoms; reduced dimensions are marked."""

    def __init__(self, shape: tuple, reduced: tuple[int, ...] = ()):
        self.shape, self.reduced = shape, frozenset(reduced)
        self.atoms: list[list[Atom]] = [[] if movement.is_one(n) else [Atom(n)] for n in shape]

    def split(self, atom: Atom, inner: Any) -> None:
        """Make one atom two."""
        for atoms in self.atoms:
            for position, a in enumerate(atoms):
                if a is atom:
                    atoms[position:position + 1] = [Atom(atom.size // inner), Atom(inner)]
                    return
        raise Unfit

    def index(self) -> Index:
        """The position of an element of the whole space."""
        out = []
        for atoms in self.atoms:
            total = ZERO
            for a in atoms:
                total = total * a.size + of(a)
            out.append(total)
        return tuple(out)

    def index_of(self, shape: tuple) -> Index:
        """The position in a result of the space's shape, or of its kept dimensions; Unfit for another shape."""
        whole = self.index()
        if shape == self.shape:
            return whole
        kept = tuple(ZERO if d in self.reduced else e for d, e in enumerate(whole))
        if shape == tuple(1 if d in self.reduced else n for d, n in enumerate(self.shape)):
            return kept
        if shape == tuple(n for d, n in enumerate(self.shape) if d not in self.reduced):
            return tuple(e for d, e in enumerate(kept) if d not in self.reduced)
        raise Unfit

    def kept_shape(self) -> tuple:
        """Sizes of the dimensions that are not reduced."""
        return tuple(n for d, n in enumerate(self.shape) if d not in self.reduced)


class Group:
    """A kernel to be: its space, targets, and the kept nodes computed inside.

    `kind` is "rows" or "columns" (see `spec`). `split`: a long reduction of few results, done in two steps.
    """

    def __init__(self, shape: tuple, reduced: tuple[int, ...], targets: list[Target], kind: str = "rows"):
        self.space = Space(shape, reduced)
        self.targets, self.kind = targets, kind
        self.inside: dict[int, Node] = {id(t.node): t.node for t in targets}
        self.split = False
        self.first = self.last = 0
        self.reads: list[tuple[Node, Index]] = []
        self.after: set[Group] = set()
        self.puller: Puller | None = None

    @property
    def label(self) -> str:
        """What the kernel is called in reports and profiles."""
        return "+".join(dict.fromkeys(n.op.name for n in self.inside.values()))

    def elements(self) -> Any:
        """Elements of the space."""
        return prod(self.space.shape)


def pull(group: Group, env: Any) -> list[int]:
    """Collect the group's values; returns the value number of each target. Raises Unfit (with `env.stuck` set)."""
    while True:
        puller = Puller(lambda n: None if id(n) in group.inside else env.home(n), env.scalars,
                        lambda n: _loops(group, n), env.check)
        try:
            numbers = [puller.value(t.node, movement.canonical(group.space.index_of(t.node.shape), t.node.shape), None)
                       for t in group.targets]
        except Split as split:
            group.space.split(split.atom, split.inner)
            continue
        except Unfit:
            env.stuck = puller.at
            raise
        group.puller, group.reads = puller, puller.reads
        return numbers


def _loops(group: Group, node: Node) -> Index:
    operand = node.inputs[0]
    if operand.shape != group.space.shape or frozenset(node.attrs[0]) != group.space.reduced:
        raise Unfit
    return group.space.index()


def address(group: Group, target: Target) -> Affine:
    """Where a target's element goes."""
    from squall.compiler.affine import flatten

    index = movement.canonical(group.space.index_of(target.node.shape), target.node.shape)
    return flatten(index, target.home.strides, target.home.offset)
