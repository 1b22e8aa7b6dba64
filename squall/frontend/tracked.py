"""A captured program that carries history: recorded as one `call` node whose gradient is a call of a derived
graph.

The forward graph also gives the residuals, what backward reads; they are evaluated with the outputs, so
backward runs nothing of forward again. The backward graph comes from the tape the capture recorded, in the
tape's own order, so gradients have the bits of the uncompiled function. Both are graphs like any other: under
`create_graph` they are differentiated again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base import pytree
from squall.base.caches import Cache
from squall.base.dim import Dim, evaluate
from squall.base.errors import AutogradError, TraceError
from squall.frontend import binding
from squall.frontend.core import ensure_cell, result, scalar_node, wrap
from squall.frontend.number import is_number
from squall.frontend.results import Where, at_sizes, mark_history, shared_output
from squall.frontend.state import enable_grad, no_grad
from squall.frontend.tape import GradRecord, Leaf, NodeRules, run_backward
from squall.frontend.views import write
from squall.ir.graph import Graph, placeholder, rebuild
from squall.ir.node import Node, tensor_type, toposort
from squall.ir.op import ops
from squall.transforms.grad import gradient_graph


class Pair(NamedTuple):
    """Backward of some outputs: its graph of values of forward and then cotangents; which values, as ("input"
    or "output", number) of the forward graph; and the numbers of the inputs its results are the gradients
    of."""

    graph: Graph
    sources: list[tuple[str, int]]
    inputs: list[int]


class Tracked:
    """The rule of one program.

    Args:
        parts: the collection the program was made of. made: its parts. edges: by output, the history it had
        at the end of the
            trace. An argument's or outside Tensor's new history after a write counts as an output, too.
    """

    def __init__(self, parts: Any, made: Any, edges: dict[int, Any]):
        self.owners = [_owner(parts, entry) for entry in made.inputs]
        written = {(w.code, id(w.where) if w.code == binding.CELL else w.where) for w in made.writes}
        self.kept = [
            (e.code, id(e.where) if e.code == binding.CELL else e.where) not in written for e in made.inputs
        ]
        count = len(made.inputs)
        holders = [
            *made.input_nodes,
            *(placeholder(count + i, n.type) for i, n in enumerate(made.scalar_nodes)),
        ]
        replaced = dict(zip(map(id, (*made.input_nodes, *made.scalar_nodes)), holders, strict=True))
        rebuild(toposort(made.roots), replaced)
        roots = [replaced[id(r)] for r in made.roots]
        known = {key: replaced[id(node)] for key, node in parts.replaced.items() if id(node) in replaced}
        live: dict[int, Any] = {}  # by number of a root, its history at capture
        for i, edge in edges.items():
            item = made.outputs[i].item
            where = item if made.outputs[i].kind == "fresh" else item[0]
            _note(live, where, edge)
        for entry in made.writes:
            if entry.tracked is not None:
                _note(live, entry.value, entry.tracked[0])
        self.outputs = len(roots)
        self.first: Pair | None = None
        self.error: AutogradError | None = None
        interior: list[Node] = []
        found = None
        try:
            found = self._backward(parts, live, roots, holders, known)
        except AutogradError as error:  # what uncompiled code says when backward is called
            self.error = error.with_traceback(None)
        if found is not None:
            interior = [n for n in found[1] if n.op is not ops.input and not any(n is r for r in roots)]
        self.forward = Graph(holders, (*roots, *interior), made.name)
        self.pairs: dict[tuple[int, ...], Pair] = {}
        if found is not None:
            grads, residuals, cotangents, inputs = found
            self.first = _pair(grads, residuals, cotangents, self.forward, tuple(live), inputs)
            self.pairs[tuple(live)] = self.first
        self.live = tuple(live)

    def _backward(
        self, parts: Any, live: dict, roots: list[Node], holders: list[Node], known: dict[int, Node]
    ) -> tuple:
        """(gradients, what they read of forward, their cotangents, numbers of the inputs they are of), from
        the tape."""
        targets = [_edge_at_capture(parts, owner) for owner in self.owners]
        wanted = {id(e): e for e in targets if e is not None}
        cotangents = [placeholder(len(holders) + k, roots[i].type) for k, i in enumerate(live)]
        trace = parts.trace
        trace.crossing = True
        hooks = [(edge, edge.hooks) for edge in wanted.values()]
        for edge, _ in hooks:  # they run where the call's backward leads to
            edge.hooks = None
        try:
            with trace, no_grad():
                made = run_backward(
                    list(live.values()), cotangents, NodeRules, _ignore, True, wanted, None, set(wanted)
                )
        finally:
            for edge, before in hooks:
                edge.hooks = before
        inputs, grads = [], []
        for number, edge in enumerate(targets):
            if edge is not None and id(edge) in made:
                inputs.append(number)
                grads.append(made.pop(id(edge)))
        grads = _closed(grads, cotangents, known, trace)
        return grads, _residuals(grads, known), cotangents, inputs

    # ------------------------------------------------------------ a call
    def run(self, program: Any, leaves: list, sizes: dict[str, int]) -> Any:
        """Record a call of the program and hand out its results, with history."""
        handles = [_handle(owner, leaves) for owner in self.owners]
        nodes = [program.input_node(entry, leaves) for entry in program.inputs]
        nodes += [
            scalar_node(v, n.dtype)
            for v, n in zip(program.numbers(leaves, sizes), program.scalar_nodes, strict=True)
        ]
        passed = program.passed_nodes(leaves) if program.passed else ()
        forward = concrete(self.forward, sizes) if sizes else self.forward
        types = forward.output_types
        call = Node(ops.call, tuple(nodes), (forward,), types)
        made = tuple(Node(ops.pick, (call,), (i,), t) for i, t in enumerate(types))
        edges = tuple(None if h is None else h.edge for h in handles) + (None,) * len(program.scalars)
        record = self._record(program.name, handles, nodes, made, edges, types, sizes)
        tensors = [
            result(n, _pick(record, i, n) if record is not None and i in self.live else None)
            for i, n in enumerate(made[: self.outputs])
        ]
        values = _Values(tensors, [wrap(n) for n in passed])
        self._effects(program, leaves, values, sizes)
        return pytree.unflatten(program.out_structure, self._results(program, leaves, values, sizes))

    def _record(
        self, name: str, handles: list, nodes: list, made: tuple, edges: tuple, types: tuple, sizes: dict
    ) -> Any:
        if not any(edges):
            return None
        record = GradRecord(None, (), edges, tuple(n.type for n in nodes), types, (*nodes, *made))
        read = (
            {number for kind, number in self.first.sources if kind == "input"}
            if self.first is not None
            else set()
        )
        record.holders = tuple(h if i in read and self.kept[i] else None for i, h in enumerate(handles))
        record.versions = tuple(0 if h is None else h.version for h in record.holders)
        record.extra = _Rule(self, name, sizes)
        return record

    def _effects(self, program: Any, leaves: list, values: _Values, sizes: dict) -> None:
        for code, where, value, versions, tracked in program.writes:
            tensor = values.of(value)
            if tracked is not None:
                target = tracked[1]
                with enable_grad():
                    write(leaves[target] if target.__class__ is int else target, tensor)
                continue
            cell = where if code == binding.CELL else program.storage(code, where, leaves)
            with no_grad():
                write(_holder(cell), tensor.detach())
            cell.version += versions - 1
        for leaf, value in program.gradients:
            holder = leaves[leaf].edge if leaf.__class__ is int else leaf
            holder.grad = values.of(value).detach() if isinstance(value, Where) else value
        for generator, given, words in program.generators:
            seed = given.read(leaves) if is_number(given) else given
            used = evaluate(words, sizes)
            if seed is not None:
                generator._seed, generator.offset = seed, used
            else:
                generator.offset += used
        for held, value in program.adopted:
            held._node = values.of(value).node

    @staticmethod
    def _results(program: Any, leaves: list, values: _Values, sizes: dict[str, int]) -> list:
        out: list[Any] = []
        cells: dict = {}
        for output in at_sizes(program.outputs, sizes) if sizes else program.outputs:
            kind, item, history = output[:3]
            if kind == "value":
                out.append(item)
            elif kind == "fresh":
                tensor = values.of(item)
                if history != "live":
                    tensor = mark_history(wrap(tensor.node), history)
                if output.grad is not None:
                    tensor._edge.grad = wrap(values.of(output.grad).node)
                out.append(tensor)
            elif kind == "shared":
                where, number, view = item
                tensor = values.of(where)
                if number not in cells:
                    cells[number] = ensure_cell(tensor)
                shared = shared_output(tensor.node, number, view, cells)
                if history == "live":
                    shared._edge = tensor._edge
                    if view is not None:
                        shared._view.base = tensor
                        shared._view.epoch = -1
                else:
                    mark_history(shared, history)
                out.append(shared)
            else:
                out.append(program.plain_output(output, leaves, out))
        return out

    # ------------------------------------------------------------ backward
    def pair(self, arrived: tuple[int, ...], needs: tuple[bool, ...]) -> Pair:
        """The backward of the outputs whose gradients arrived."""
        if self.error is not None:
            raise self.error
        found = self.pairs.get(arrived)
        if found is None:
            forward = self.forward
            inputs = [i for i, n in enumerate(forward.inputs) if n.dtype.category >= 2 and needs[i]]
            flags = tuple(i in arrived for i in range(len(forward.outputs)))
            whole = gradient_graph(forward, tuple(i in inputs for i in range(len(forward.inputs))), flags)
            known = {id(n): n for n in (*forward.inputs, *forward.outputs)}
            residuals = [n for n in toposort(whole.outputs, lambda n: id(n) in known) if id(n) in known]
            cotangents = list(whole.inputs[len(forward.inputs) :])
            found = self.pairs[arrived] = _pair(
                list(whole.outputs), residuals, cotangents, forward, arrived, inputs
            )
        return found


class _Values:
    """The results of a call by Where."""

    def __init__(self, roots: list, passed: list):
        self.roots, self.passed = roots, passed

    def of(self, where: Where) -> Any:
        return self.roots[where.index] if where.kind == "root" else self.passed[where.index]


class _Rule:
    """The gradient of one recorded call."""

    name = "Compiled"

    def __init__(self, tracked: Tracked, name: str, sizes: dict[str, int]):
        self.tracked, self.label, self.sizes = tracked, name, sizes

    def release(self) -> None:
        """Nothing is kept here."""

    def backward(self, record: GradRecord, gradient: Any, rules: Any) -> tuple:
        """Gradients of the call's operands."""
        tracked = self.tracked
        arrived = tuple(i for i, g in enumerate(gradient) if g is not None)
        pair = tracked.pair(arrived, tuple(e is not None for e in record.edges))
        count = len(record.edges)
        arguments = []
        for kind, number in pair.sources:
            node = record.inputs[number if kind == "input" else count + number]
            if rules is NodeRules:
                arguments.append(node)
            elif kind == "input":
                arguments.append(wrap(node, record.edges[number]))
            else:
                arguments.append(
                    wrap(node, _pick(record, number, node) if node.dtype.category >= 2 else None)
                )
        arguments += [gradient[i] for i in arrived]
        graph = concrete(pair.graph, self.sizes) if self.sizes else pair.graph
        made = ops.call(*arguments, graph=graph)
        out: list[Any] = [None] * len(record.edges)
        for position, part in zip(pair.inputs, made, strict=True):
            out[position] = part
        return tuple(out)


def _pick(record: GradRecord, index: int, node: Node) -> GradRecord:
    return GradRecord(ops.pick, (index,), (record,), (node.type,), node.type)


def _note(live: dict[int, Any], where: Where, edge: Any) -> None:
    if where.kind == "root":
        live.setdefault(where.index, edge)


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients are returned, not gathered."""


def _holder(cell: Any) -> Any:
    handle = wrap(None)  # type: ignore[arg-type]
    handle._cell = cell
    return handle


def _owner(parts: Any, entry: Any) -> Any:
    """Whose history an input has: an argument by position, a Tensor from outside, or None."""
    if entry.code in (binding.ARGUMENT, binding.ARGUMENT_CELL):
        leaf = parts.capture.leaves[entry.where]
        if entry.code == binding.ARGUMENT_CELL and leaf._view is not None and leaf.edge is not None:
            raise TraceError(
                f"{parts.capture.name}: arguments that share storage are written, and history passes "
                "through them; "
                "pass clones"
            )
        return entry.where
    if entry.code == binding.OBJECT:
        return entry.where
    if entry.code == binding.CELL:
        owner = parts.trace.storages[id(entry.where)][1]
        return owner if owner._view is None else None
    return None


def _handle(owner: Any, leaves: list) -> Any:
    return leaves[owner] if owner.__class__ is int else owner


def _edge_at_capture(parts: Any, owner: Any) -> Any:
    """The history an input had when the trace began."""
    handle = parts.stand_ins.values[owner] if owner.__class__ is int else owner
    if handle is None:
        return None
    changed = parts.trace.edges.get(id(handle))
    return handle.edge if changed is None else changed[1]


def _closed(grads: list[Node], cotangents: list[Node], known: dict[int, Node], trace: Any) -> list[Node]:
    """Gradients over the nodes of the closed graph in place of those of the trace."""
    replaced = {**known, **{id(n): n for n in cotangents}}
    order = toposort(grads, lambda n: id(n) in replaced)
    for node in order:
        outside = (node.buffer is not None and node.op is not ops.scalar) or node.op is ops.input
        if id(node) not in replaced and outside and id(node) not in trace.constants:
            raise TraceError(
                "the history of an output reads a value that the compiled function does not; return what "
                "it depends on, too"
            )
    rebuild(order, replaced)
    return [replaced[id(g)] for g in grads]


def _residuals(grads: list[Node], known: dict[int, Node]) -> list[Node]:
    """The values of forward that gradients read."""
    forward = {id(n) for n in known.values() if n.inputs or n.op is ops.input}

    def is_value(node: Node) -> bool:
        if node.op is ops.pick:
            return id(node.inputs[0]) in forward
        return id(node) in forward and node.type.__class__ is not tuple

    return [n for n in toposort(grads, is_value) if is_value(n)]


def _pair(
    grads: list[Node],
    residuals: list[Node],
    cotangents: list[Node],
    forward: Graph,
    arrived: tuple[int, ...],
    inputs: list[int],
) -> Pair:
    taken = [placeholder(i, n.type) for i, n in enumerate((*residuals, *cotangents))]
    replaced = dict(zip(map(id, (*residuals, *cotangents)), taken, strict=True))
    rebuild(toposort(grads, lambda n: id(n) in replaced), replaced)
    places = {id(n): ("output", i) for i, n in reversed(list(enumerate(forward.outputs)))}
    places |= {id(n): ("input", i) for i, n in enumerate(forward.inputs)}
    graph = Graph(taken, [replaced[id(g)] for g in grads], f"backward of {forward.name}")
    return Pair(graph, [places[id(n)] for n in residuals], inputs)


# ---------------------------------------------------------------- symbols
_graphs = Cache("graphs of given sizes", 256)


def concrete(graph: Graph, sizes: dict[str, int]) -> Graph:
    """A graph with its symbols replaced by sizes."""
    return _graphs.get_or_make((graph, tuple(sorted(sizes.items()))), lambda: _concrete(graph, sizes))


def _concrete(graph: Graph, sizes: dict[str, int]) -> Graph:
    def known(value: Any) -> Any:
        if isinstance(value, Dim):
            return evaluate(value, sizes)
        if isinstance(value, Graph):
            return concrete(value, sizes)
        return tuple(map(known, value)) if value.__class__ is tuple else value

    def typed(type: Any) -> Any:
        return (
            tuple(map(typed, type))
            if type.__class__ is tuple
            else tensor_type(known(tuple(type.shape)), type.dtype, type.device)
        )

    replaced: dict[int, Node] = {}
    for node in (*graph.inputs, *graph.order()):
        if id(node) not in replaced:
            replaced[id(node)] = (
                node
                if node.buffer is not None
                else Node(
                    node.op, tuple(replaced[id(n)] for n in node.inputs), known(node.attrs), typed(node.type)
                )
            )
    return Graph(
        [replaced[id(n)] for n in graph.inputs], [replaced[id(n)] for n in graph.outputs], graph.name
    )
