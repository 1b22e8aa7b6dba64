"""Loops and choices: graphs that nodes carry become plans of their own, which a step of the outer plan runs.

The body of a loop is compiled once. Its plan reads slices of xs where they lie and writes slices of ys where they
belong; from step to step only addresses move. Carries change between two places; one that is only updated (an
`update_slice` of itself) stays where it is, and one that is a y as well is read from the ys.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from squall.base.shapes import contiguous_strides
from squall.compiler.group import Special
from squall.compiler.movement import is_one
from squall.compiler.pull import Home
from squall.compiler.views import view_of
from squall.compiler.work import Memory, Work
from squall.compiler.writing import write
from squall.ir.graph import Graph, rebuild
from squall.ir.node import Node, toposort
from squall.ir.op import ops
from squall.ir.plan import Carried, ChooseStep, LoopStep, Moving, Plan, Request, Word

_UPDATES = frozenset(("update_slice", "scatter", "scatter_add", "index_put", "index_add"))


class Operands:
    """How a carried graph finds the operands of its node: numbers are put in, the rest is read from memory."""

    def __init__(self, work: Work, node: Node):
        self.work, self.node = work, node
        self.reads: list[Node] = []
        self.places: set[int] = set()

    def view(self, operand: Node, sliced: bool = False) -> Home:
        """Memory that holds an operand in row-major order, if `sliced` within each slice of dimension 0."""
        work = self.work
        found = view_of(work, operand)
        if found is None:
            found = work.keep(operand)
        base = operand
        while work.home(base) is None:
            base = base.inputs[0]
        shape = tuple(operand.shape)
        if _is_rows(found, shape, int(sliced)):
            self.reads.append(base)
            return found
        copy = Home(self.temporary(prod(shape) * operand.dtype.itemsize), contiguous_strides(shape))
        write(work, self.node, operand, copy)
        return copy

    def temporary(self, nbytes: Any) -> int:
        """Memory for as long as the step runs."""
        self.work.memories.append(Memory("arena", -1, nbytes))
        self.places.add(len(self.work.memories) - 1)
        return len(self.work.memories) - 1

    def result(self, pick: Node | None, type: Any) -> Home:
        """Where a result goes; memory of its own when nobody reads it."""
        shape = tuple(type.shape)
        if pick is None:
            return Home(self.temporary(prod(shape) * type.dtype.itemsize), contiguous_strides(shape))
        home = self.work.homes[id(pick)]
        self.places.add(home.buffer)
        return home


def _is_rows(home: Home, shape: tuple, first: int) -> bool:
    """Whether elements lie row-major from a dimension on."""
    wanted = zip(home.strides[first:], contiguous_strides(shape)[first:], shape[first:], strict=True)
    return all(is_one(n) or a == b for a, b, n in wanted)


class Inner(NamedTuple):
    """A carried graph made ready to compile: its outputs with numbers put in, what it reads from memory by number of
    the operand, and the scalars among its operands."""

    outputs: list[Node]
    inputs: dict[int, Node]
    scalars: dict[int, Node]


def inner(graph: Graph, operands: Sequence[Node], scalars: dict[int, Node]) -> Inner:
    """Put constants and run-time numbers among the operands into a graph in place of its inputs.

    Args:
        operands: for the first inputs of the graph; the others are read from memory. scalars: stand-ins by number of
        an operand, added to.
    """
    replaced: dict[int, Node] = {}
    for i, (own, operand) in enumerate(zip(graph.inputs, operands, strict=False)):
        if operand.op is ops.constant:
            replaced[id(own)] = operand
        elif operand.op is ops.scalar:
            replaced[id(own)] = scalars.setdefault(i, Node(ops.scalar, (), (), operand.type, 0))
    rest = {i: n for i, n in enumerate(graph.inputs) if id(n) not in replaced}
    replaced.update((id(n), n) for n in rest.values())
    rebuild(toposort(graph.outputs, lambda n: id(n) in replaced), replaced)
    return Inner([replaced[id(n)] for n in graph.outputs], rest, scalars)


def bytes_of(type: Any) -> Any:
    """The bytes of a value."""
    return prod(type.shape) * type.dtype.itemsize


def place(home: Home, type: Any) -> Word:
    """The address of a value's first element."""
    return Word("slot", home.buffer, home.offset * type.dtype.itemsize)


def _moved(word: Word, nbytes: Any) -> Word:
    return word._replace(offset=word.offset + nbytes)


def _scalar_words(work: Work, scalars: dict[int, Node], operands: Sequence[Node]) -> tuple[Word, ...]:
    return tuple(Word("scalar", work.scalars[id(operands[i])]) for i in scalars)


def _checks(plan: Plan) -> bool:
    return any(getattr(step, "checks", False) for step in plan.steps)


class Loop:
    """Lowers one `scan` or `repeat_while`."""

    def __init__(self, work: Work, node: Node, results: list[Node | None]):
        self.work, self.node, self.results = work, node, results
        self.named = node.op.named(node.attrs)
        self.consts, self.carries = self.named["consts"], self.named["carries"]
        self.operands = Operands(work, node)
        self.body = inner(self.named["body"], node.inputs[: self.consts], {})
        self.types = self.named["body"].output_types
        self.stepping = node.op is ops.scan
        self.count = self.named["length"] if self.stepping else self.named["limit"]

    # ------------------------------------------------------------ what is computed
    def lower(self) -> Special:
        """The task."""
        outputs, consts, carries = self.body.outputs, self.consts, self.carries
        own = self.named["body"].inputs
        self.live = [k for k in range(carries, len(outputs)) if self.results[k] is not None]
        self.fixed = {j for j in range(carries) if outputs[j] is own[consts + j]}
        where = {id(outputs[k]): k for k in reversed(self.live) if outputs[k].inputs}
        self.linked = {
            j: where[id(outputs[j])] for j in range(carries) if id(outputs[j]) in where and j not in self.fixed
        }
        self.moving = [j for j in range(carries) if j not in self.fixed and j not in self.linked]
        self.roots = [*self.live, *self.moving]
        self.staying = {j for j in self.moving if _updates(outputs[j], own[consts + j])}
        plan = self._compile()
        inputs = list(self.body.inputs)
        for r, k in enumerate(self.roots):
            donor = plan.outputs[r].donor
            if donor is not None and (k >= carries or inputs[donor] != consts + k):
                self.staying = set()
                plan = self._compile()
                break
        donors = {k for k, o in zip(self.roots, plan.outputs, strict=True) if o.donor is not None}
        self.staying &= donors
        words = self._words(plan)
        arena = Word("slot", self.operands.temporary(plan.arena_bytes))
        scalars = _scalar_words(self.work, self.body.scalars, self.node.inputs)
        going = -1 if self.stepping else inputs.index(consts)
        checks = _checks(plan)
        step = LoopStep(
            plan, self.count, tuple(words), arena, scalars, tuple(self.carried), going, self.node.op.name, checks
        )
        task = Special(self.node.op.name, self.operands.reads, [step], self.operands.places)
        task.checks, task.stops = checks, True  # Ctrl-C ends a loop between two steps
        self.work.note(f"{self.node.op.name}: a body of {len(plan.steps)} steps, compiled once")
        return task

    def _compile(self) -> Plan:
        nodes = tuple(self.body.inputs.values())
        staying = {self.consts + j for j in self.staying}
        donatable = tuple(i in staying for i in self.body.inputs)
        roots = tuple(self.body.outputs[k] for k in self.roots)
        scalars = tuple(self.body.scalars.values())
        return self.work.compile(Request(roots, nodes, scalars, donatable, (True,) * len(nodes)))

    # ------------------------------------------------------------ where it is
    def _words(self, plan: Plan) -> list[Moving]:
        consts, carries, last = self.consts, self.carries, self.consts + self.carries
        self.carried: list[Carried] = []
        first = len(self.body.inputs)
        number = {k: first + r for r, k in enumerate(self.roots)}
        finals = {j: self._final(j) for j in range(carries)}
        words: list[Moving] = []
        for i in self.body.inputs:
            operand = self.node.inputs[i]
            if i < consts:
                words.append(Moving("step", place(self.operands.view(operand), operand)))
            elif i >= last:
                words.append(self._stepped(self.operands.view(operand, True), operand))
            else:
                words.append(self._carried_in(i - consts, len(words), finals, number))
        for k in self.roots:
            pick = self.results[k]
            if k >= carries:
                self.operands.places.add(self.work.homes[id(pick)].buffer)
                words.append(self._stepped(self.work.homes[id(pick)], pick))  # type: ignore[arg-type]
            elif k in self.staying:
                words.append(Moving("step", finals[k]))
            else:
                words.append(self._turning(k, finals[k]))
        return words

    def _final(self, j: int) -> Word:
        if self.results[j] is None and (j in self.fixed or j in self.linked):
            return Word("int", 0)  # nobody reads it, and no step writes it there
        return place(self.operands.result(self.results[j], self.types[j]), self.types[j])

    def _carried_in(self, j: int, position: int, finals: dict[int, Word], number: dict[int, int]) -> Moving:
        operand, nbytes = self.node.inputs[self.consts + j], bytes_of(self.types[j])
        start = place(self.operands.view(operand), operand)
        read = self.results[j] is not None
        if j in self.staying:
            self.carried.append(Carried(finals[j], start, -1, nbytes))
            return Moving("step", finals[j])
        after = position if j in self.fixed else number[self.linked.get(j, j)]
        if read:
            self.carried.append(Carried(finals[j], start, after, nbytes))
        return Moving("step", start) if j in self.fixed else Moving("chain", start, after)

    def _stepped(self, home: Home, node: Node) -> Moving:
        """A slice that moves along dimension 0."""
        move = home.strides[0] * node.dtype.itemsize
        start = place(home, node)
        if self.named["reverse"]:
            return Moving("step", _moved(start, (self.count - 1) * move), move * -1)
        return Moving("step", start, move)

    def _turning(self, j: int, final: Word) -> Moving:
        """Two places in turn, so that the last step of a known number writes the result."""
        other = Word("slot", self.operands.temporary(bytes_of(self.types[j])))
        ends_odd = isinstance(self.count, int) and self.count % 2 == 0
        return Moving("turns", other, final) if ends_odd else Moving("turns", final, other)


def _updates(node: Node, carry: Node) -> bool:
    """Whether a value is a carry with parts of it written over."""
    found = False
    while node.op.name in _UPDATES or _is_copy(node):
        found = found or not _is_copy(node)
        node = node.inputs[0]
    return found and node is carry


def _is_copy(node: Node) -> bool:
    return node.op.name == "reshape" and tuple(node.shape) == tuple(node.inputs[0].shape)


def loop(work: Work, node: Node, results: list[Node | None]) -> None:
    """A scan or while loop: one step that runs the body's plan again and again."""
    work.add(Loop(work, node, results).lower(), [node], node)


def choose(work: Work, node: Node, results: list[Node | None]) -> None:
    """A cond: one step that runs one of two plans."""
    named, given = node.op.named(node.attrs), node.inputs[1:]
    operands, scalars = Operands(work, node), {}
    branches = [inner(named[k], given, scalars) for k in ("true", "false")]
    live = [k for k, r in enumerate(results) if r is not None]
    numbers = list(branches[0].inputs)
    plans = []
    for branch in branches:
        nodes = tuple(branch.inputs.values())
        roots = tuple(branch.outputs[k] for k in live)
        no = (False,) * len(nodes)
        plans.append(work.compile(Request(roots, nodes, tuple(scalars.values()), no, (True,) * len(nodes))))
    words = [place(operands.view(given[i]), given[i]) for i in numbers]
    words += [place(operands.result(results[k], node.type[k]), node.type[k]) for k in live]
    predicate = place(operands.view(node.inputs[0]), node.inputs[0])
    sizes = [p.arena_bytes for p in plans]
    larger = max(sizes) if all(isinstance(n, int) for n in sizes) else sizes[0] + sizes[1]
    arena = Word("slot", operands.temporary(larger))
    checks = any(map(_checks, plans))
    step = ChooseStep(
        predicate, (plans[0], plans[1]), tuple(words), arena, _scalar_words(work, scalars, given), "cond", checks
    )
    task = Special("cond", operands.reads, [step], operands.places)
    task.checks = checks
    work.note("cond: plans of " + " and ".join(f"{len(p.steps)} steps" for p in plans))
    work.add(task, [node], node)


CONTROL = {"scan": loop, "repeat_while": loop, "cond": choose}
