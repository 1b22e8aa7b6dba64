"""The tape: history beside the values, and backward over it.

A Tensor that needs a gradient holds an edge: a `Leaf` (it gathers `.grad`) or a `GradRecord` (the op that made it).
Records know their operands' edges. What the gradient reads is kept as Nodes, which never change; the handles they were
read from are kept only to notice that one was written in place since. Backward asks each op's rule; the rule runs on
Nodes, or on Tensors under `create_graph`, and records what it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from squall.base.errors import AutogradError
from squall.ir.node import Node, TensorType, locate
from squall.ir.op import NON_DIFFERENTIABLE, Context, Op, ops
from squall.ops.movement import sum_to

NEW, WALKED, FREED = 0, 1, 2


class Leaf:
    """Where gradients of a leaf gather. Shared by every record that read the leaf."""

    __slots__ = ("after", "grad", "hooks", "name", "type")

    def __init__(self, type: TensorType):
        self.type, self.grad, self.hooks, self.after = type, None, None, None

    next_functions = ()

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class GradRecord:
    """One op's history: what its gradient rule reads, and where the gradients go.

    Attributes:
        op, attrs: what was applied. edges: per operand a GradRecord, a Leaf or None. types: operand types.
        out_type: the result's type. inputs: per operand the Node the rule reads, or None; None when it reads none.
        output: the result's Node (a tuple for several), if the rule reads it. holders, versions: per operand the handle
        `inputs` was read from and its version then (None: all 0). cells: (cell, version) of the result, once it
        has a cell.
        state: NEW, WALKED (a flush saw to what is saved) or FREED. hooks, where, extra: hooks on the gradients,
        the line that recorded it (anomaly mode), and what takes the place of the op's rule; few records have them.
    """

    __slots__ = ("_rare", "attrs", "cells", "edges", "holders", "inputs", "op", "out_type", "output", "state", "types",
                 "versions", "where")
    # What a few records have, or get later: of whatever type the op and its holders need.
    inputs: Any
    output: Any
    holders: Any
    versions: Any
    cells: Any
    _rare: Any
    where: Any

    def __init__(self, op: Any, attrs: tuple, edges: tuple, types: tuple, out_type: Any, inputs: tuple | None = None,
                 output: Any = None):
        self.op, self.attrs, self.edges, self.types, self.out_type = op, attrs, edges, types, out_type
        self.inputs, self.output = inputs, output
        self.holders = self.versions = self._rare = self.where = None
        self.cells = ()
        self.state = NEW

    def _get(self, name: str) -> Any:
        rare = self._rare
        return None if rare is None else rare.get(name)

    def _set(self, name: str, value: Any) -> None:
        if self._rare is None:
            self._rare = {}
        self._rare[name] = value

    hooks = property(lambda self: self._get("hooks"), lambda self, value: self._set("hooks", value))
    extra = property(lambda self: self._get("extra"), lambda self, value: self._set("extra", value))

    def name(self) -> str:
        """PyTorch's style of name, such as AddBackward0."""
        if self.op is None:
            return f"{self.extra.name}Backward"
        return "".join(p.capitalize() for p in self.op.name.split("_")) + "Backward0"

    @property
    def next_functions(self) -> tuple:
        """(edge, 0) pairs of the operands, as PyTorch lists them; None where no gradient flows."""
        return tuple((e, 0) for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def saved_nodes(self) -> Iterable[Node]:
        """The values the rule reads."""
        if self.inputs is not None:
            yield from (n for n in self.inputs if n is not None)
        if self.output is not None:
            yield from self.output if self.output.__class__ is tuple else (self.output,)

    def release(self) -> None:
        """Forget what the rule reads; a record that read something cannot be used again."""
        if self.inputs is not None or self.output is not None:
            self.state = FREED
        if self.extra is not None:
            self.state = FREED
            self.extra.release()
        self.inputs = self.output = self.holders = self.versions = None
        self.cells = ()

    def check_versions(self) -> None:
        """AutogradError if a saved value was modified in place since."""
        holders, versions = self.holders, self.versions
        for position, holder in enumerate(holders or ()):
            if holder is not None:
                self._compare(holder, 0 if versions is None else versions[position])
        for cell, version in self.cells:
            self._compare(cell, version)

    def _compare(self, holder: Any, version: int) -> None:
        now = holder.version
        if now != version:
            raise AutogradError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"a {holder.describe()}, saved by {self.name()}, is at version {now}; expected version {version} "
                "instead."
                + (f" It was recorded at {self.where}." if self.where else
                   " Hint: with sq.set_detect_anomaly(True) this error names the line that recorded it."))


class _Saving(NamedTuple):
    """What an op saves for given needs: operand positions, whether that is all of them, and whether the result."""

    positions: tuple[int, ...]
    everything: bool
    output: bool


# by op, where what is saved does not depend on which operands need gradients, else by op and needs
_savings: dict[Any, _Saving] = {}


def _learn_saving(op: Op, edges: tuple) -> _Saving:
    needs = tuple([e is not None for e in edges])
    saves = op.saved(needs)
    positions = tuple(s for s in saves if s != "out")
    found = _Saving(positions, len(set(positions)) == len(edges), "out" in saves)
    _savings[op if op.saves.__class__ is tuple else (op, *[not n for n in needs])] = found
    return found


def saving_of(op: Op, edges: tuple) -> _Saving:
    """What a record with these edges keeps for the op's rule."""
    if op.saves.__class__ is tuple:
        key: Any = op
    elif len(edges) == 2:
        key = (op, edges[0] is None, edges[1] is None)
    else:
        key = (op, *[e is None for e in edges])
    return _savings.get(key) or _learn_saving(op, edges)


_new = object.__new__


def make_record(op: Op, attrs: tuple, operands: tuple, nodes: tuple, edges: tuple, types: tuple, made: Any,
                out_type: Any) -> GradRecord | None:
    """The record of applying an op to Tensors with the given edges; None when it is not differentiable.

    Args:
        operands: the Tensors, None for operands nobody can write. nodes, types: theirs. made: the result's Node or
            Nodes.
    """
    if op.grad is NON_DIFFERENTIABLE:
        return None
    record = _new(GradRecord)
    record.op, record.attrs, record.edges, record.types, record.out_type = op, attrs, edges, types, out_type
    record.state, record.cells = NEW, ()
    record.inputs = record.output = record.holders = record.versions = record._rare = record.where = None
    if op.saves == ():
        return record
    positions, everything, output = saving_of(op, edges)
    if output:
        record.output = made
    if positions:
        if everything:
            record.inputs, record.holders = nodes, operands
        elif len(nodes) == 2:
            first = positions[0] == 0
            record.inputs = (nodes[0], None) if first else (None, nodes[1])
            record.holders = (operands[0], None) if first else (None, operands[1])
        else:
            record.inputs = tuple([n if i in positions else None for i, n in enumerate(nodes)])
            record.holders = tuple([o if i in positions else None for i, o in enumerate(operands)])
        for holder in record.holders:
            if holder is not None and holder._cell is not None:
                record.versions = tuple([0 if h is None else h.version for h in record.holders])
                break
    return record


class GradientPlace(NamedTuple):
    """The line that recorded the op of whose gradient a Node is part."""

    line: Any
    op: str

    def __str__(self) -> str:
        return f"{self.line} by {self.op}, of whose gradient this is part"


class NodeRules:
    """Runs gradient rules on Nodes: the gradients carry no history."""

    @staticmethod
    def inputs(record: GradRecord) -> tuple:
        """What the rule reads of the operands."""
        return record.inputs if record.inputs is not None else (None,) * len(record.types)

    @staticmethod
    def output(record: GradRecord) -> Any:
        """What the rule reads of the result."""
        return record.output


def context_of(record: GradRecord, rules: Any) -> Context:
    """What the rule of a record sees, with saved values unpacked as Nodes or Tensors."""
    needs = tuple([e is not None for e in record.edges])
    return Context(
        record.op,
        record.attrs,
        record.types,
        record.out_type,
        rules.inputs(record),
        rules.output(record),
        needs,
    )


def _node_of(gradient: Any) -> Node:
    return gradient if gradient.__class__ is Node else gradient.node


def input_gradients(record: GradRecord, gradient: Any, rules: Any) -> tuple:
    """One gradient an operand (None where none is wanted), shaped and typed like the operand."""
    if record.state == FREED:
        raise AutogradError(
            "Trying to backward through the graph a second time (or directly access saved tensors after they have "
            "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
            "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time.")
    record.check_versions()
    extra = record.extra
    parts = (
        record.op.backward(context_of(record, rules), gradient)
        if extra is None
        else extra.backward(record, gradient, rules)
    )
    if not isinstance(parts, tuple):
        parts = (parts,)
    if extra is None and record.op.checks is not None:
        arrived = gradient if gradient.__class__ is tuple else (gradient,)
        below = [*(record.inputs or ()), *record.saved_nodes(), *(_node_of(g) for g in arrived if g is not None)]
        where = GradientPlace(record.where, record.op.name)
        locate([_node_of(p) for p in parts if p is not None], below, where)
    if len(parts) != len(record.edges):
        raise AutogradError(
            f"{record.name()}: the gradient rule gave {len(parts)} gradients for {len(record.edges)} operands"
        )
    out = []
    unbroadcast = record.op is not None and record.op.family.unbroadcast
    for part, edge, type in zip(parts, record.edges, record.types, strict=True):
        if part is None or edge is None:
            out.append(None)
            continue
        if unbroadcast and part.shape != type.shape:
            part = sum_to(part, type.shape)
        if part.dtype is not type.dtype:
            part = ops.cast(part, dtype=type.dtype)
        out.append(part)
    return tuple(out)


def _reachable(roots: Iterable[Any], keep: set[int] | None, stop: frozenset | set) -> dict[int, int]:
    """How many consumers each record or leaf has among what the roots reach; with `keep`, only what leads to it."""
    counts: dict[int, int] = {}
    useful: dict[int, bool] = {}
    stack: list[tuple[Any, bool]] = [(r, False) for r in roots]
    order: list[Any] = []
    seen: set[int] = set()
    while stack:
        edge, done = stack.pop()
        if done:
            order.append(edge)
            continue
        if id(edge) in seen:
            continue
        seen.add(id(edge))
        stack.append((edge, True))
        if edge.__class__ is GradRecord and id(edge) not in stop:
            stack.extend((e, False) for e in edge.edges if e is not None and id(e) not in seen)
    for edge in order:  # operands first
        inner = edge.edges if edge.__class__ is GradRecord and id(edge) not in stop else ()
        useful[id(edge)] = keep is None or id(edge) in keep or any(e is not None and useful[id(e)] for e in inner)
    for edge in order:
        if useful[id(edge)] and edge.__class__ is GradRecord and id(edge) not in stop:
            for e in edge.edges:
                if e is not None and useful[id(e)]:
                    counts[id(e)] = counts.get(id(e), 0) + 1
        counts.setdefault(id(edge), counts.get(id(edge), 0))
    return {k: c for k, c in counts.items() if useful.get(k)}


class _Gathered:
    """Gradients that reached a record so far: one, or one an output."""

    __slots__ = ("value", "outputs")

    def __init__(self, outputs: int):
        self.value = None
        self.outputs = [None] * outputs if outputs else None

    def add(self, gradient: Any, index: int | None) -> None:
        if self.outputs is not None and index is not None:
            before = self.outputs[index]
            self.outputs[index] = gradient if before is None else ops.add(before, gradient)
        else:
            self.value = gradient if self.value is None else ops.add(self.value, gradient)

    def result(self) -> Any:
        return self.value if self.outputs is None else tuple(self.outputs)


def run_backward(roots: list, gradients: list, rules: Any, on_leaf: Callable[[Leaf, Any], None], retain: bool,
                 wanted: dict[int, Any] | None = None, check: Callable | None = None,
                 stop: frozenset | set = frozenset()) -> dict[int, Any]:
    """Walk the tape from `roots` (edges) with their gradients, latest record first.

    Args:
        on_leaf: called with each leaf and its summed gradient. retain: keep saved values for another backward.
        wanted: edges by id whose gradient is returned; when given, only what leads to them is computed.
        check: called with (record, gradients) after each rule (anomaly mode). stop: ids of edges not to go beyond.

    Returns:
        The gradients of the wanted edges, by id.
    """
    counts = _reachable(roots, set(wanted) if wanted is not None else None, stop)
    gathered: dict[int, _Gathered] = {}
    results: dict[int, Any] = {}
    ready: list = []
    for root, gradient in zip(roots, gradients, strict=True):
        if id(root) not in counts:
            continue
        if id(root) not in gathered:
            gathered[id(root)] = _gather_for(root)
            if counts[id(root)] == 0:
                ready.append(root)
        gathered[id(root)].add(gradient, None)
    while ready:
        edge = ready.pop()
        gradient = _hooked(edge, gathered.pop(id(edge)).result())
        if wanted is not None and id(edge) in wanted:
            results[id(edge)] = gradient
        if edge.__class__ is Leaf:
            if wanted is None or id(edge) in wanted:
                on_leaf(edge, gradient)
            continue
        if id(edge) in stop or not any(e is not None and id(e) in counts for e in edge.edges):
            continue
        for target, part, index in _spread(edge, gradient, rules, check):
            if target is None or id(target) not in counts:
                continue
            counts[id(target)] -= 1
            if part is not None:
                gathered.setdefault(id(target), _gather_for(target)).add(part, index)
            if counts[id(target)] == 0:
                if id(target) in gathered:
                    ready.append(target)
                else:
                    _skip(target, counts, gathered, ready)
        if not retain:
            edge.release()
    return results


def _gather_for(edge: Any) -> _Gathered:
    return _Gathered(len(edge.out_type) if edge.__class__ is GradRecord and isinstance(edge.out_type, tuple) else 0)


def _spread(edge: GradRecord, gradient: Any, rules: Any, check: Callable | None) -> list[tuple]:
    """(operand edge, gradient, output index) for each operand of a record."""
    if edge.op is ops.pick:
        return [(edge.edges[0], gradient, edge.attrs[0])]
    parts = input_gradients(edge, gradient, rules)
    if check is not None:
        check(edge, parts)
    return [(e, p, None) for e, p in zip(edge.edges, parts, strict=True)]


def _skip(edge: Any, counts: dict[int, int], gathered: dict, ready: list) -> None:
    """A record all of whose consumers gave no gradient: pass the news on to its operands."""
    stack = [edge]
    while stack:
        record = stack.pop()
        for e in record.edges if record.__class__ is GradRecord else ():
            if e is None or id(e) not in counts:
                continue
            counts[id(e)] -= 1
            if counts[id(e)] == 0:
                if id(e) in gathered:
                    ready.append(e)
                else:
                    stack.append(e)


def _hooked(edge: Any, gradient: Any) -> Any:
    for hook in tuple(edge.hooks.values()) if edge.hooks else ():
        changed = hook(gradient)
        gradient = gradient if changed is None else changed
    return gradient


def saved_nodes(edges: Iterable[Any], walked: list) -> list[Node]:
    """Uncomputed values that history not yet walked will read, but for constants, which stay what they are; marks the
    records WALKED and lists them in `walked`."""
    out: list[Node] = []
    stack = [e for e in edges if e.__class__ is GradRecord and e.state == NEW]
    while stack:
        record = stack.pop()
        if record.state != NEW:
            continue
        record.state = WALKED
        walked.append(record)
        out.extend([n for n in record.saved_nodes() if n.buffer is None and n.op is not ops.constant])
        stack.extend([e for e in record.edges if e.__class__ is GradRecord and e.state == NEW])
    return out
