"""Elementwise groups that read a contraction's result become its epilogue: sums are finished while they lie in cache.

A group is taken if it walks the result row by row as the nest makes it: the result's rows and columns are its loops,
the sums over k take one block (a strip is finished at once), and nothing it reads waits for the contraction by another
way.
Whoever else reads the sums keeps them apart. Bits are those of two kernels: the epilogue runs the group's
instructions, on sums rounded to the dtype of the result. Decisions are noted in the report.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base import config
from squall.compiler.affine import Affine, Atom, Unfit
from squall.compiler.describe import Describer, Words, lane_count
from squall.compiler.fuse import Fuser
from squall.compiler.group import Group, Special, Task
from squall.compiler.loops import Loops, fix_loops
from squall.compiler.lower import epilogue_program
from squall.compiler.lower_epilogue import EpilogueSpec
from squall.compiler.nest.choose import block_depth
from squall.compiler.spec import ELEMENT, Spec, Store
from squall.compiler.work import Work
from squall.ir.linear import BYTES
from squall.ir.node import Node
from squall.ir.plan import ContractStep, Word

PLAIN = frozenset(("const", "word", "load", "inst", "convert", "select", "and"))


class Finished(Task):
    """A contraction with a group as its epilogue."""

    def __init__(self, contraction: Special, group: Group, node: Node, grid: tuple[Any, int]):
        super().__init__()
        self.contraction, self.group, self.node, self.grid = contraction, group, node, grid
        reads = {id(n): n for n in (*contraction.reads, *group.reads) if n is not node}
        self.reads = list(reads.values())
        self.first, self.last = min(contraction.first, group.first), max(contraction.last, group.last)

    @property
    def label(self) -> str:
        """The contraction and what finishes it."""
        names = [n.op.name for n in self.group.inside.values() if n is not self.node]
        names = names or [t.node.op.name for t in self.group.targets]
        return "+".join(dict.fromkeys(("contract", *names)))

    def touches(self, work: Work) -> set[int]:
        """Buffers of results."""
        return {t.home.buffer for t in self.group.targets}

    def steps(self, work: Work) -> list[ContractStep]:
        """One step: the contraction, its strips going to the epilogue."""
        (step,) = self.contraction.made
        made, words = _described(self, work, step.contraction.accumulate)
        return [step._replace(label=self.label, epilogue=epilogue_program(made), words=words)]


def finish(work: Work) -> None:
    """Give contractions their epilogues, unless the `fuse` knob is off or kernels are interpreted."""
    if not work.fuse or config.get("backend") == "python":
        return
    by_node = {id(n): t for n in work.kept.values() for t in work.writers.get(id(n), ())
               if isinstance(t, Special) and t.name == "contract" and n.op.name == "contract"}
    if not by_node:
        return
    fuser = Fuser(work)
    copies = {id(copy) for _, _, copy, _ in work.copies}  # left apart: writes in place may make them unneeded
    for task in list(work.tasks):
        if not isinstance(task, Group) or task.merged is not None or id(task) in copies:
            continue
        candidates = [n for n in task.reads if id(n) in by_node and by_node[id(n)].merged is None]
        for node in sorted(candidates, key=lambda n: -work.position[id(n)]):
            reason = _attach(work, fuser, by_node[id(node)], task, node)
            if reason is None:
                break
            work.note(f"contract and {task.label} apart: {reason}")


def _attach(work: Work, fuser: Fuser, contraction: Special, group: Group, node: Node) -> str | None:
    """Make a group the epilogue of a contraction; the reason if it cannot be."""
    if group.space.reduced or group.split or group.checks or len(group.targets) > 4:
        return "it is not elementwise"
    grid = grid_of(contraction.made[0].contraction, node)
    if grid is None:
        return "the product has batches, more rows than one in several blocks of k, or a layout of its own"
    if work.homes[id(node)].strides != _row_major(node) or id(node) in work.parts:
        return "the product is stored by strides"
    others = fuser.readers.get(id(node), set()) - {group, contraction}
    others = {t.found() for t in others}
    try:
        walks = _walks(group, node, grid)
    except Unfit:
        walks = False
    if not walks:
        return "other loops"
    if fuser.waits(group, contraction, False):
        return "something between them waits for one and is waited for by the other"
    if others or id(node) in work.root_ids:
        return "the sums are needed elsewhere too, and storing both took longer than another kernel"
    _replace(work, fuser, contraction, group, Finished(contraction, group, node, grid))
    return None


def _row_major(node: Node) -> tuple:
    strides, size = [], 1
    for n in reversed(node.shape):
        strides.append(size)
        size = size * n
    return tuple(reversed(strides))


def grid_of(contraction: Any, node: Node) -> tuple[Any, int] | None:
    """Rows and columns of a product the nest makes in one block of k, or of a single row, rows outermost; else None."""
    kinds = "".join({"batch": "b", "m": "m", "n": "n", "k": "k"}[d.kind] for d in contraction.dims)
    extents = {kind: prod(d.extent for d in contraction.dims if d.kind == kind) for kind in ("m", "n", "k", "batch")}
    plain = kinds.replace("k", "").lstrip("m").strip("n") == "" and extents["batch"] == 1
    known = all(isinstance(extents[kind], int) and extents[kind] > 1 for kind in "nk")
    if not plain or not known or contraction.triangle:
        return None
    if node.dtype.category != 2:  # the sums themselves, however many blocks they take: integers have no order
        return (extents["m"], extents["n"]) if node.dtype.short == contraction.accumulate else None
    if block_depth(extents["k"], contraction.accumulate) < extents["k"] and extents["m"] != 1:
        return None
    return extents["m"], extents["n"]


def _loops(group: Group) -> tuple[Loops, list[Affine]]:
    raws = group.puller.values  # type: ignore[union-attr]
    addresses = [r.attr[1] for r in raws if r.op == "load"] + [group.address(t) for t in group.targets]
    return fix_loops(group, addresses), addresses


def _walks(group: Group, node: Node, grid: tuple[Any, int]) -> bool:
    """Whether a group's loops are the rows and columns of the product, which it reads element by element."""
    raws = group.puller.values  # type: ignore[union-attr]
    if any(r.op not in PLAIN or (r.op == "load" and r.attr[2]) for r in raws):
        return False
    loops, addresses = _loops(group)
    rows, columns = grid
    if loops.inner is None or loops.lines or loops.is_tiled or loops.is_widened or len(loops.outer) > 1:
        return False
    extents = [loops.extent[a] for a in (*loops.outer, loops.inner)]
    if extents not in ([rows, columns], [rows * columns]):
        return False
    if any(not isinstance(v, Atom) for a in addresses for v in a.terms):
        return False
    sums = [a for a, r in zip(addresses, (r for r in raws if r.op == "load"), strict=False)
            if r.attr[0] == _buffer_of(group, node)]
    targets = addresses[-len(group.targets):]
    return len(sums) == 1 and all(loops.inner in a.terms for a in targets) and _is_dense(sums[0], loops, columns)


def _buffer_of(group: Group, node: Node) -> int:
    home = group.puller.home(node)  # type: ignore[union-attr]
    return -1 if home is None else home.buffer


def _is_dense(address: Affine, loops: Loops, columns: int) -> bool:
    wanted: dict[Any, Any] = {loops.inner: 1}
    if loops.outer:
        wanted[loops.outer[0]] = columns
    return all(address.terms.get(a, 0) == c for a, c in wanted.items()) and address.constant == 0


def _replace(work: Work, fuser: Fuser, contraction: Special, group: Group, made: Finished) -> None:
    made.after = [t for t in (*contraction.after, *group.after) if t.found() not in (contraction, group)]
    for task in (contraction, group):
        task.merged = made
        for node in task.reads:
            fuser.readers.get(id(node), set()).discard(task)
    for node in made.reads:
        fuser.readers.setdefault(id(node), set()).add(made)
    fuser.spans.append(made)
    work.tasks[work.tasks.index(group)] = made
    work.tasks.remove(contraction)
    work.note(f"{made.label} in one kernel")


def _described(task: Finished, work: Work, accumulate: str) -> tuple[EpilogueSpec, tuple[Word, ...]]:
    """The epilogue's spec and words, over two loops: rows and columns."""
    group, node, (rows, columns) = task.group, task.node, task.grid
    loops, _ = _loops(group)
    outer, inner = Atom(rows), Atom(columns)
    old = loops.inner

    def placed(a: Affine) -> Affine:
        terms = {}
        for atom, c in a.terms.items():
            if atom is old:
                terms[inner] = c
                if not loops.outer:
                    terms[outer] = c * columns
            elif atom in loops.extent and loops.outer and atom is loops.outer[0]:
                terms[outer] = c
        return Affine(terms, a.constant)

    grid_loops = Loops([outer], [], [], [])
    grid_loops.inner, grid_loops.number = inner, {outer: 0}
    words = Words()
    extents = words.size(rows), words.size(columns)
    d = Describer(group, grid_loops, words)
    sums = -1
    for number, raw in enumerate(group.puller.values):  # type: ignore[union-attr]
        if raw.op == "load":
            buffer, address, guarded = raw.attr
            if buffer == _buffer_of(group, node):
                sums = number
            raw = raw._replace(attr=(buffer, placed(address), guarded))
        d.values.append(d.value(raw, lambda b: b))
    stores = []
    for target, number in zip(group.targets, group.numbers, strict=True):
        short, position = target.node.dtype.short, placed(group.address(target))
        word = words.add("slot", target.home.buffer, position.constant * BYTES[short])
        stores.append(Store(number, d.access(position, word), short, ELEMENT, 0))
    values = tuple(d.values)
    lanes = min(lane_count("rows", values, work.vector_bytes), work.vector_bytes // BYTES[accumulate])
    spec = Spec("epilogue", (extents[0],), (), extents[1], lanes, values, tuple(stores), words=len(words.list))
    return EpilogueSpec(spec, sums, accumulate), tuple(words.list)
