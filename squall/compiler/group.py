"""Tasks: what becomes steps of a plan. A `Group` is one fused kernel: its iteration space (the dimensions its results,
or the operand of its reductions, have), the results it stores and, once pulled, its values.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from squall.compiler import movement
from squall.compiler.affine import ZERO, Affine, Atom, Index, Split, Unfit, flatten, of
from squall.compiler.pull import Home, Puller
from squall.ir.node import Node


class Target(NamedTuple):
    """A result to be written: the node, and where its elements go: strides for each of its dimensions, and run-time
    starts that add (node, coefficient) to the offset."""

    node: Node
    home: Home
    starts: tuple[tuple[Node, Any], ...] = ()


def is_reduction(node: Node) -> bool:
    """Whether a node is of the reduce family."""
    return node.op.family.name == "reduce"


def reduction_kind(shape: tuple, dims: tuple[int, ...]) -> str:
    """"rows" when the last dimension that is not of size 1 is reduced, else "columns": a function of extents alone."""
    for d in reversed(range(len(shape))):
        if not movement.is_one(shape[d]):
            return "rows" if d in dims else "columns"
    return "rows"


class Space:
    """The loops of a group: each dimension is a product of atoms; reduced dimensions are marked."""

    def __init__(self, shape: tuple, reduced: tuple[int, ...] = ()):
        self.shape, self.reduced = tuple(shape), frozenset(reduced)
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
        if shape == self.kept_shape():
            return tuple(e for d, e in enumerate(kept) if d not in self.reduced)
        raise Unfit

    def kept_shape(self) -> tuple:
        """Sizes of the dimensions that are not reduced."""
        return tuple(n for d, n in enumerate(self.shape) if d not in self.reduced)

    def fits(self, shape: tuple) -> bool:
        """Whether results of a shape can be stored."""
        try:
            self.index_of(shape)
        except Unfit:
            return False
        return True


class Task:
    """Something to be run: what it reads (kept nodes) and what must have run before.

    `first` and `last` are positions in the graph's order of the nodes computed; `checks`: whether it may write the
    status; `stops`: whether it calls Python, where an error or a Ctrl-C may end the plan.
    """

    def __init__(self) -> None:
        self.reads: list[Node] = []
        self.after: list[Task] = []
        self.first = self.last = 0
        self.merged: Task | None = None
        self.checks = self.stops = False

    @property
    def label(self) -> str:
        """What the task is called in reports and profiles."""
        return type(self).__name__.lower()

    def found(self) -> Task:
        """The task this one was merged into, itself if none."""
        task = self
        while task.merged is not None:
            task = task.merged
        return task


class Special(Task):
    """A task of one node that is no kernel of a group: its steps, what it reads, and the buffers it touches beside
    that."""

    def __init__(self, name: str, reads: list[Node], made: list[Any], places: set[int]):
        super().__init__()
        self.name, self.reads, self.made, self.places = name, list({id(n): n for n in reads}.values()), made, places

    @property
    def label(self) -> str:
        """The op's name."""
        return self.name

    def steps(self, work: Any) -> list[Any]:
        """The plan steps."""
        return self.made

    def touches(self, work: Any) -> set[int]:
        """Buffers the task touches beside those of what it reads."""
        return self.places


class Group(Task):
    """A kernel to be. `kind` is "rows" or "columns" (see `spec`); `inside` are the kept nodes computed here;
    `split`: a long reduction with few results is done in two steps."""

    def __init__(self, shape: tuple, reduced: tuple[int, ...], targets: list[Target], inside: list[Node],
                 kind: str = "rows"):
        super().__init__()
        self.space = Space(shape, reduced)
        self.targets, self.kind = targets, kind
        self.inside: dict[int, Node] = {id(n): n for n in inside}
        self.split = False
        self.puller: Puller | None = None
        self.numbers: list[int] = []

    @property
    def label(self) -> str:
        """The ops whose results it keeps."""
        names = [n.op.name for n in self.inside.values()] or [t.node.op.name for t in self.targets]
        return "+".join(dict.fromkeys(names))

    def elements(self) -> Any:
        """Elements of the space."""
        return prod(self.space.shape)

    def pull(self, env: Any) -> None:
        """Collect the group's values. Raises Unfit, with `env.stuck` the node that could not be read."""
        while True:
            def loops(node: Node) -> Index:
                operand = node.inputs[0]
                if tuple(operand.shape) != self.space.shape or frozenset(node.attrs[0]) != self.space.reduced:
                    raise Unfit
                return self.space.index()

            puller = Puller(lambda n: None if id(n) in self.inside else env.home(n), env.scalars, loops, env.check)
            try:
                self.numbers = [puller.value(t.node, self._index(t.node), None) for t in self.targets]
                for t in self.targets:
                    for start, _ in t.starts:
                        puller.start(start)
                self._check_inside(puller)
            except Split as split:
                self.space.split(split.atom, split.inner)
                continue
            except Unfit:
                env.stuck = puller.at
                raise
            self.puller = puller
            self.reads = list({id(n): n for n, _ in puller.reads}.values())
            self.checks = any(v.op == "wrap" for v in puller.values)
            return

    def _check_inside(self, puller: Puller) -> None:
        """Every kept node computed here is read at its own position only."""
        for (node, index, _), _ in puller.memo.items():
            if node in self.inside and len(self.inside) > 1 and index != self._index(self.inside[node]):
                raise Unfit

    def _index(self, node: Node) -> Index:
        return movement.canonical(self.space.index_of(tuple(node.shape)), node.shape)

    def address(self, target: Target) -> Affine:
        """Where a target's element goes."""
        total = flatten(self._index(target.node), target.home.strides, target.home.offset)
        for start, coefficient in target.starts:
            total = total + self.puller.start(start) * coefficient  # type: ignore[union-attr]
        return total


__all__ = ["Group", "Space", "Target", "Task", "is_reduction", "reduction_kind"]
