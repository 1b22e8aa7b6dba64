"""A captured program bound to the world: where each input comes from, and where each result goes."""

from __future__ import annotations

import sys
from collections import deque
from itertools import starmap
from operator import call
from typing import Any, NamedTuple

from squall.base import pytree
from squall.base.dim import evaluate, symbols
from squall.base.errors import TraceError
from squall.engine import realize
from squall.engine.copying import copy_buffer, overwrite
from squall.frontend.core import Cell, Handle, record, scalar_node, wrap
from squall.frontend.state import no_grad
from squall.frontend.tracing import Trace, current_node
from squall.frontend.views import write
from squall.ir.graph import Graph, rebuild
from squall.ir.node import Node, toposort
from squall.ir.op import ops
from squall.ir.plan import Request

_set_node = Cell._node.__set__  # type: ignore[attr-defined]


class Source(NamedTuple):
    """Where a placeholder is bound from: an argument's Node or cell by position, a number argument, or what was read."""

    kind: str
    position: int
    holder: Any


class _Input(NamedTuple):
    kind: str  # "argument", "cell", "outside", "constant"
    where: Any  # position, or the Tensor / cell / gradient source, or the Node
    type: Any
    contiguous: bool
    written: int  # which write replaces this storage, or -1


class Bound:
    """A program: run it with flat arguments.

    Attributes:
        reusable: False when it created state (the first step of an optimizer): such a program runs once.
    """

    def __init__(self, trace: Trace, sources: dict, arg_cells: dict[int, int], outputs: list, out_structure: Any,
                 escaped: list, tracked: bool, name: str):
        self.name, self.out_structure, self.tracked = name, out_structure, tracked
        self.reusable = not escaped
        self.generators = [tuple(entry) for entry in trace.generators.values()]
        self._writes(trace, arg_cells)
        self._gradients(trace)
        self.escaped = escaped
        self.outputs = [("tensor", t.node) if isinstance(t, Handle) else ("value", t) for t in outputs]
        roots = [n for k, n in self.outputs if k == "tensor"] + [n for _, n, _ in self.writes]
        roots += [n for _, n in self.gradients if n is not None] + [e._node for e in escaped]
        self.roots = list({id(n): n for n in roots if n.buffer is None and n.op is not ops.input}.values())
        self._inputs(trace, sources)
        self.executable: Any = None
        self.graph: Graph | None = self._close() if tracked else None

    # ------------------------------------------------------------ what was captured
    def _writes(self, trace: Trace, arg_cells: dict[int, int]) -> None:
        """(where the cell comes from, its final Node, versions added)."""
        self.writes = []
        for cell, _, version in trace.cells.values():
            where = ("argument", arg_cells[id(cell)]) if id(cell) in arg_cells else ("outside", cell)
            self.writes.append((where, cell._node, cell.version - version))
        self._written = {id(before): i for i, (_, before, _) in enumerate(trace.cells.values())}

    def _gradients(self, trace: Trace) -> None:
        """(leaf, Node of its new gradient or None) for every leaf whose `.grad` is another object than before."""
        self.gradients = []
        for leaf, before in trace.leaves.values():
            if leaf.grad is not before:
                self.gradients.append((leaf, None if leaf.grad is None else leaf.grad.node))

    def _inputs(self, trace: Trace, sources: dict) -> None:
        self.inputs: list[_Input] = []
        self.scalars: list[tuple[str, Any]] = []
        input_nodes, scalar_nodes = [], []
        for node in toposort(self.roots, lambda n: n.buffer is not None):
            if node.op is ops.scalar:
                scalar_nodes.append(node)
                source = sources.get(id(node))
                if source is not None:
                    self.scalars.append(("argument", source.position))
                elif id(node) in trace.scalars:
                    self.scalars.append(("read", trace.scalars[id(node)][1]))
                else:
                    self.scalars.append(("fixed", node.buffer))
            elif node.op is ops.input or node.buffer is not None:
                input_nodes.append(node)
                self.inputs.append(self._source_of(node, trace, sources))
        self.input_nodes, self.scalar_nodes = tuple(input_nodes), tuple(scalar_nodes)

    def _source_of(self, node: Node, trace: Trace, sources: dict) -> _Input:
        written = self._written.get(id(node), -1)
        source = sources.get(id(node))
        if source is not None:
            return _Input(source.kind, source.position, node.type, True, written)
        plain = node.buffer.strides is None
        if id(node) in trace.constants:
            return _Input("constant", node, node.type, plain, -1)
        if id(node) in trace.tensors:
            return _Input("outside", trace.tensors[id(node)][1], node.type, plain, written)
        raise TraceError(f"{self.name}: the function reads a value whose origin is outside of it (history recorded before the call, "
                         "or data made from an array inside); pass it as an argument")

    def _close(self) -> Graph:
        """The graph with every leaf as an input: first buffers, then scalars."""
        replaced: dict[int, Node] = {}
        holders = []
        for node in (*self.input_nodes, *self.scalar_nodes):
            holder = Node(ops.input, (), (len(holders),), node.type)
            replaced[id(node)] = holder
            holders.append(holder)
        rebuild(toposort(self.roots, lambda n: n.buffer is not None), replaced)
        return Graph(holders, [replaced[id(r)] for r in self.roots], self.name)

    # ------------------------------------------------------------ running
    def run(self, leaves: list) -> Any:
        """The function's result for these arguments."""
        values = [leaves[w] if k == "argument" else r() if k == "read" else w
                  for k, w, r in ((k, w, w) for k, w in self.scalars)]
        out = self._run_tracked(leaves, values) if self.graph is not None else self._run(leaves, values)
        for generator, used in self.generators:
            generator.offset += used
        if self.escaped:
            self.executable, self.escaped = None, []
        return out

    def _node(self, entry: _Input, leaves: list) -> Node:
        kind, where = entry.kind, entry.where
        if kind == "argument":
            return leaves[where].node
        if kind == "cell":
            return leaves[where]._cell._node
        return where if kind == "constant" else current_node(where)

    def _cell(self, where: tuple, leaves: list) -> Any:
        return where[1] if where[0] == "outside" else leaves[where[1]]._cell

    def _run(self, leaves: list, values: list) -> Any:
        if self.executable is None:
            self.executable = realize.prepare_request(self._request(leaves), self.name)
        buffers = []
        private = self._private(leaves)
        for entry in self.inputs:
            node = self._node(entry, leaves)
            if node.buffer is None:
                realize.evaluate([node])
            buffer = node.buffer
            if entry.written >= 0 and not private[entry.written]:
                buffer = copy_buffer(node)
            elif entry.contiguous and buffer.strides is not None:
                buffer = copy_buffer(node)
            buffers.append(buffer)
        calls, made = self.executable.prepare(buffers, values, self._sizes(leaves))
        nodes = {id(r): Node(ops.buffer, (), (), self._concrete(r, leaves), b) for r, b in zip(self.roots, made, strict=True)}
        cells = [(self._cell(w, leaves), nodes.get(id(n), n)) for w, n, _ in self.writes]
        fills = [(_set_node, c, n) for c, n in cells if not c.shared and n.op is not ops.input]
        shared = [(c, c._node, n) for c, n in cells if c.shared]
        deque(starmap(call, (*calls, *fills)), maxlen=0)
        self.executable.check_status()
        for cell, old, new in shared:
            overwrite(old, new)
            cell._node = Node(old.op, (), old.attrs, old.type, old.buffer)
        return self._finish(leaves, nodes, cells)

    def _finish(self, leaves: list, nodes: dict, cells: list) -> Any:
        for (cell, _), (_, _, versions) in zip(cells, self.writes, strict=True):
            cell.version += versions
        for leaf, node in self.gradients:
            leaf.grad = None if node is None else wrap(nodes.get(id(node), node))
        for held in self.escaped:
            held._node = nodes[id(held._node)]
        out = []
        for kind, value in self.outputs:
            out.append(value if kind == "value" else self._output(value, nodes, leaves))
        return pytree.unflatten(self.out_structure, out)

    def _output(self, node: Node, nodes: dict, leaves: list) -> Any:
        if id(node) in nodes:
            return wrap(nodes[id(node)])
        for entry, holder in zip(self.inputs, self.input_nodes, strict=True):
            if holder is node and entry.kind in ("argument", "cell"):
                return leaves[entry.where]
        if node.op is ops.input:
            return leaves[node.attrs[0]]
        return wrap(node)

    def _private(self, leaves: list) -> list[bool]:
        """Per write, whether the storage's present buffer is seen by nobody but its cell, so that it may be overwritten."""
        count = sys.getrefcount
        out = []
        for where, _, _ in self.writes:
            cell = self._cell(where, leaves)
            if cell is None or cell.shared:
                out.append(False)
                continue
            node = cell._node
            buffer = node.buffer
            # each is held by its owner, this frame's variable, and getrefcount's argument
            out.append(buffer is not None and count(node) <= 3 and count(buffer) <= 3 and not buffer.shared
                       and count(buffer.block) <= 2)
        return out

    def _request(self, leaves: list) -> Request:
        donatable = tuple(e.written >= 0 for e in self.inputs)
        return Request(tuple(self.roots), self.input_nodes, self.scalar_nodes, donatable, tuple(e.contiguous for e in self.inputs))

    def _sizes(self, leaves: list) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for entry, holder in zip(self.inputs, self.input_nodes, strict=True):
            if entry.kind in ("argument", "cell"):
                for size, actual in zip(holder.type.shape, self._node(entry, leaves).shape, strict=True):
                    if not isinstance(size, int) and size.symbol is not None:
                        sizes[size.symbol.name] = actual
        return sizes

    def _concrete(self, root: Node, leaves: list) -> Any:
        if not symbols(tuple(root.type.shape)):
            return root.type
        sizes = self._sizes(leaves)
        return root.type.with_shape(tuple(evaluate(s, sizes) for s in root.type.shape))

    def _run_tracked(self, leaves: list, values: list) -> Any:
        """Record one `call` node: history passes through it, and its gradient is a call of a derived graph."""
        assert self.graph is not None
        operands = []
        for entry in self.inputs:
            if entry.kind in ("argument", "cell"):
                leaf = leaves[entry.where]
                operands.append(leaf if entry.kind == "argument" or leaf._view is None else wrap(leaf._cell._node))
            elif isinstance(entry.where, Handle):
                operands.append(entry.where)
            else:
                operands.append(wrap(self._node(entry, leaves)))
        operands += [wrap(scalar_node(v, n.dtype)) for v, n in zip(values, self.scalar_nodes, strict=True)]
        made = record(ops.call, tuple(operands), (self.graph,))
        by_root = {id(r): t for r, t in zip(self.roots, made, strict=True)}
        with no_grad():
            for where, node, _ in self.writes:
                if id(node) in by_root:
                    self._write_cell(self._cell(where, leaves), by_root[id(node)])
        for leaf, node in self.gradients:
            leaf.grad = None if node is None else by_root[id(node)].detach()
        return pytree.unflatten(self.out_structure, [
            v if k == "value" else by_root[id(v)] if id(v) in by_root else self._output(v, {}, leaves) for k, v in self.outputs])

    @staticmethod
    def _write_cell(cell: Any, value: Any) -> None:
        handle = wrap(None)  # type: ignore[arg-type]
        handle._cell = cell
        write(handle, value)

    def report(self) -> list[str]:
        """Lines for `explain`."""
        lines = [f"{self.name}: {len(self.inputs)} inputs, {len(self.scalars)} run-time numbers, {len(self.outputs)} outputs, "
                 f"{len(self.writes)} storages written, {sum(e.written >= 0 for e in self.inputs)} of them in place"]
        plan = getattr(self.executable, "plan", None)
        if plan is not None:
            lines += list(plan.report)
        return lines


