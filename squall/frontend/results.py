"""What a captured function returned, as data: how each output is made again from a call's results."""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.dim import Dim, evaluate
from squall.base.errors import TraceError
from squall.frontend.cell import Cell
from squall.frontend.core import Handle, scalar_node, wrap
from squall.frontend.number import is_number
from squall.frontend.refitting import check_starts
from squall.frontend.tape import FREED, GradRecord, Leaf
from squall.frontend.views import View, alias, make_view
from squall.ir.node import Node
from squall.ir.op import ops


class Where(NamedTuple):
    """Where a final value comes from: "root" or "input" of the program, by number."""

    kind: str
    index: int


class Output(NamedTuple):
    """One output.

    Attributes:
        kind: "value" (item: a Python value), "number" (item: reads it from the arguments), "argument"
        (item: position, the very object), "object" (item: a Tensor from outside, the very object), "grad"
        (item: a Leaf, or the position of an argument, whose gradient it is), "view" (item: owner as an
        "argument" or "object" output, steps, detached), "fresh" (item: Where), "shared" (item: Where of the
        storage, its number among the storages made inside, view) or "again" (item: the number of an earlier
        output). history: None, "leaf", "freed" or "live". grad: of a "fresh" leaf, its gradient.
    """

    kind: str
    item: Any
    history: str | None = None
    grad: Where | None = None


def history_of(edge: Any) -> str | None:
    """What an output's history allows: "live" when backward can run through it, "freed" when part of it is
    gone."""
    if edge is None:
        return None
    if edge.__class__ is Leaf:
        return "leaf"
    stack, seen = [edge], set()
    while stack:
        record = stack.pop()
        if record.__class__ is not GradRecord or id(record) in seen:
            continue
        seen.add(id(record))
        if record.state == FREED:
            return "freed"
        stack.extend(e for e in record.edges if e is not None)
    return "live"


class Describer:
    """Turns the Tensors a traced function returned into Outputs.

    Args:
        trace, stand_ins: of the capture. where: gives the Where of a Node. is_outside: whether a leaf that had no
            gradient before is one that the caller has.
    """

    def __init__(self, trace: Any, stand_ins: Any, where: Any, is_outside: Any):
        self.trace, self.stand_ins, self.where = trace, stand_ins, where
        self.positions = {
            id(v): i for i, v in reversed(list(enumerate(stand_ins.values))) if isinstance(v, Handle)
        }
        self.grads = {
            id(leaf.grad): leaf
            for leaf, before in trace.leaves.values()
            if leaf.grad is not None and (before is not None or is_outside(leaf))
        }
        self.seen: dict[int, int] = {}
        self.storages: dict[int, int] = {}

    def describe(self, values: list) -> list[Output]:
        """An Output for each of the flat values returned."""
        counts: dict[int, int] = {}
        for value in values:
            if isinstance(value, Handle) and value._cell is not None:
                counts[id(value._cell)] = counts.get(id(value._cell), 0) + 1
        out = []
        for number, value in enumerate(values):
            if is_number(value):
                out.append(Output("number", value.read))
            elif not isinstance(value, Handle):
                out.append(Output("value", value))
            elif id(value) in self.seen:
                out.append(Output("again", self.seen[id(value)]))
            else:
                self.seen[id(value)] = number
                out.append(self._tensor(value, counts))
        return out

    def _tensor(self, value: Any, counts: dict[int, int]) -> Output:
        history = history_of(value.edge)
        if id(value) in self.positions:
            return Output("argument", self.positions[id(value)], history)
        if id(value) in self.grads:
            leaf = self.grads[id(value)]
            return Output("grad", self.stand_ins.leaves.get(id(leaf), leaf), history)
        if not self.trace.is_inside(value):
            return Output("object", value, history)
        cell = value._cell
        owner = None if cell is None else self._owner(cell)
        if owner is not None:
            return self._view(value, owner, history)
        if cell is not None and counts[id(cell)] > 1:
            number = self.storages.setdefault(id(cell), len(self.storages))
            return Output("shared", (self.where(cell._node), number, _layout(value._view)), history)
        grad = value.edge.grad if history == "leaf" else None
        return Output("fresh", self.where(value.node), history, None if grad is None else self.where(grad.node))

    def _owner(self, cell: Cell) -> Output | None:
        """The argument or Tensor from outside whose storage a cell is."""
        for position, value in enumerate(self.stand_ins.values):
            if isinstance(value, Handle) and value._cell is cell:
                return Output("argument", position)
        held = self.trace.storages.get(id(cell))
        return None if held is None else Output("object", held[1])

    def _view(self, value: Any, owner: Output, history: str | None) -> Output:
        base = self.stand_ins.values[owner.item] if owner.kind == "argument" else owner.item
        prefix = base._view.steps if base._view is not None else ()
        view = value._view
        steps = view.steps if view is not None else ()
        if steps[: len(prefix)] != prefix:
            raise TraceError(
                "an output is a view of memory that the function reaches only through another view; "
                "return a clone() of it"
            )
        for _, _, extra in steps:
            if any(n.op is not ops.scalar or is_number(n.buffer) for n in extra):
                return Output("fresh", self.where(value.node), history)
        return Output("view", (owner, steps[len(prefix) :], value.edge is None), history)


def at_sizes(value: Any, sizes: dict[str, int]) -> Any:
    """Outputs, or parts of them, with the sizes that symbols in them have in this call."""
    if value.__class__ is Dim:
        return evaluate(value, sizes)
    if value.__class__ is Node and value.op is ops.scalar and value.buffer.__class__ is Dim:
        return scalar_node(evaluate(value.buffer, sizes), value.dtype, value.device)
    if isinstance(value, tuple):
        made = [at_sizes(v, sizes) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    return [at_sizes(v, sizes) for v in value] if value.__class__ is list else value


def _layout(view: Any) -> tuple | None:
    """What makes a view, without the Tensors it knows."""
    return None if view is None else (view.steps, view.strides, view.offset, view.origin)


def rebuild_view(base: Any, steps: tuple, detached: bool) -> Any:
    """A view of a Tensor through recorded steps; with `detached`, without its history."""
    out = alias(base) if detached or not steps else base
    for op, attrs, extra in steps:
        starts = tuple(n.buffer for n in extra)
        if op is ops.slice:
            check_starts(out.node.shape, attrs, starts)
        out = make_view(out, op, attrs, starts, extra)
    return out


def mark_history(tensor: Any, history: str | None) -> Any:
    """A result with the history a program that ran backward inside leaves it: none, a leaf's, or one that was
    freed."""
    if history == "leaf":
        tensor._edge = Leaf(tensor.node.type)
    elif history == "freed":
        type = tensor.node.type
        tensor._edge = GradRecord(ops.reshape, (tuple(type.shape),), (Leaf(type),), (type,), type)
        tensor._edge.state = FREED
    return tensor


def shared_output(node: Node, number: int, view: Any, cells: dict[int, Cell]) -> Any:
    """A Tensor in a storage that several outputs share."""
    cell = cells.get(number)
    if cell is None:
        cell = cells[number] = Cell(node)
    out = wrap(node)
    out._cell = cell
    if view is not None:
        steps, strides, offset, origin = view
        out._view = View(steps, None, 0, None, strides, offset, origin)  # type: ignore[arg-type]
    return out
