"""The tape: history beside the values, and backward over it.

A Tensor that needs a gradient holds an edge: a `Leaf` (it gathers `.grad`) or a `GradRecord` (the op that made it).
Records know their operands' edges, never the operands' handles, so history keeps alive only what the gradients read.
Backward asks each op's rule; the rule runs on Nodes, or on Tensors under `create_graph`, and records what it computes.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable

from squall.base.errors import AutogradError
from squall.ir.node import Node, TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Context, Op, ops


class Leaf:
    """Where gradients of a leaf gather. Shared by every record that read the leaf."""

    __slots__ = ("grad", "hooks", "type", "after", "name")

    def __init__(self, type: TensorType):
        self.type, self.grad, self.hooks, self.after = type, None, None, None

    next_functions = ()

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class GradRecord:
    """One op's history: its rule's inputs, and where the gradients go.

    Attributes:
        op, attrs: what was applied. edges: per operand a GradRecord, a Leaf or None. types: operand types.
        out_type: the result's type. saved: Nodes by operand position and "out", as the op's `saves` asks; None once freed.
        versions: (holder, version) pairs that must not have changed. settled: saved values computed. hooks: on the gradients.
        where: the line that recorded it (anomaly mode).
    """

    __slots__ = ("op", "attrs", "edges", "types", "out_type", "saved", "versions", "settled", "hooks", "where",
                 "retain", "extra")

    def __init__(self, op: Any, attrs: tuple, edges: tuple, types: tuple, out_type: Any, saved: Any, versions: tuple):
        self.op, self.attrs, self.edges, self.types, self.out_type = op, attrs, edges, types, out_type
        self.saved, self.versions = saved, versions
        self.settled = False
        self.hooks = self.where = self.retain = self.extra = None

    def name(self) -> str:
        """PyTorch's style of name, such as AddBackward."""
        return "".join(p.capitalize() for p in self.op.name.split("_")) + "Backward"

    @property
    def next_functions(self) -> tuple:
        """(edge, 0) pairs of the operands that need gradients, as PyTorch lists them."""
        return tuple((e, 0) for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def check_versions(self) -> None:
        """AutogradError if a saved value was modified in place since."""
        for holder, version in self.versions:
            now = holder.version
            if now != version:
                raise AutogradError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"a {holder.describe()} saved by {self.name()} is at version {now}; expected version {version} instead."
                    + (f" It was recorded at {self.where}." if self.where else
                       " Run with sq.set_detect_anomaly(True) to see the line that recorded it."))


def make_record(op: Op, attrs: tuple, operands: tuple, nodes: tuple, edges: tuple, node: Any) -> GradRecord | None:
    """The record of applying an op to Tensors with the given edges; None when it is not differentiable."""
    if op.grad is NON_DIFFERENTIABLE:
        return None
    saved, versions = None, ()
    wanted = op.saves
    if wanted.__class__ is not tuple:
        wanted = wanted(tuple([e is not None for e in edges]))
    if wanted:
        saved = {}
        held = []
        for position in wanted:
            if position == "out":
                saved["out"] = node
            else:
                saved[position] = nodes[position]
                if operands[position] is not None:
                    held.append((operands[position], operands[position].version))
        versions = tuple(held)
    types = tuple([n.type for n in nodes])
    out_type = node.type if node.__class__ is Node else tuple(n.type for n in node)
    return GradRecord(op, attrs, edges, types, out_type, saved, versions)


class NodeRules:
    """Runs gradient rules on Nodes: the gradients carry no history."""

    @staticmethod
    def unpack(record: GradRecord, position: Any) -> Any:
        return record.saved.get(position) if record.saved else None

    @staticmethod
    def wrap(gradient: Node) -> Any:
        return gradient

    @staticmethod
    def node(gradient: Any) -> Node:
        return gradient


def context_of(record: GradRecord, rules: Any) -> Context:
    """What the rule of a record sees, with saved values unpacked as Nodes or Tensors."""
    count = len(record.types)
    inputs = tuple(rules.unpack(record, i) for i in range(count))
    output = rules.unpack(record, "out")
    needs = tuple(e is not None for e in record.edges)
    return Context(record.op, record.attrs, record.types, record.out_type, inputs, output, needs)


def sum_to_shape(gradient: Any, shape: tuple) -> Any:
    """A gradient summed back over what broadcasting repeated."""
    if gradient.shape == shape:
        return gradient
    from squall.ops.movement import sum_to

    return sum_to(gradient, shape)


def input_gradients(record: GradRecord, gradient: Any, rules: Any) -> tuple:
    """One gradient an operand (None where none is wanted), shaped and typed like the operand."""
    if record.saved is None and record.retain == "freed":
        raise AutogradError(
            "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
            "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
            "Specify retain_graph=True if you need to backward through the graph a second time.")
    record.check_versions()
    if record.extra is not None:
        parts = record.extra.backward(record, gradient, rules)
    else:
        parts = record.op.grad(context_of(record, rules), gradient)
    if not isinstance(parts, tuple):
        parts = (parts,)
    if len(parts) != len(record.edges):
        raise AutogradError(f"{record.name()}: the gradient rule gave {len(parts)} gradients for {len(record.edges)} operands")
    out = []
    unbroadcast = record.op is not None and record.op.family.unbroadcast
    for part, edge, type in zip(parts, record.edges, record.types, strict=True):
        if part is None or edge is None:
            out.append(None)
            continue
        if unbroadcast:
            part = sum_to_shape(part, type.shape)
        if part.dtype is not type.dtype:
            part = ops.cast(part, dtype=type.dtype)
        out.append(part)
    return tuple(out)


def _reachable(roots: Iterable[Any], keep: set[int] | None) -> dict[int, int]:
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
        if edge.__class__ is GradRecord:
            stack.extend((e, False) for e in edge.edges if e is not None and id(e) not in seen)
    for edge in order:  # operands first
        inner = edge.edges if edge.__class__ is GradRecord else ()
        useful[id(edge)] = keep is None or id(edge) in keep or any(e is not None and useful[id(e)] for e in inner)
    for edge in order:
        if useful[id(edge)] and edge.__class__ is GradRecord:
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
                 wanted: dict[int, Any] | None = None, check: Callable | None = None) -> dict[int, Any]:
    """Walk the tape from `roots` (edges) with their gradients, latest record first.

    Args:
        on_leaf: called with each leaf and its summed gradient. retain: keep saved values for another backward.
        wanted: edges by id whose gradient is returned; when given, only what leads to them is computed.
        check: called with (record, gradients) after each rule (anomaly mode).

    Returns:
        The gradients of the wanted edges, by id.
    """
    counts = _reachable(roots, set(wanted) if wanted is not None else None)
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
        if not any(e is not None and id(e) in counts for e in edge.edges):
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
            _free(edge)
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


def _free(record: GradRecord) -> None:
    if record.saved is not None or record.extra is not None:
        record.retain = "freed"
    record.saved, record.versions = None, ()


def saved_nodes(edges: Iterable[Any], walked: list) -> list[Node]:
    """Uncomputed values that history not yet settled will read; marks the records settled and lists them in `walked`."""
    out: list[Node] = []
    stack = [e for e in edges if e.__class__ is GradRecord]
    seen: set[int] = set()
    while stack:
        record = stack.pop()
        if id(record) in seen or record.settled == "walked":
            continue
        seen.add(id(record))
        for value in (record.saved or {}).values():
            for node in value if isinstance(value, tuple) else (value,):
                if node.buffer is None:
                    out.append(node)
        record.settled = "walked"
        walked.append(record)
        stack.extend(e for e in record.edges if e.__class__ is GradRecord)
    return out
