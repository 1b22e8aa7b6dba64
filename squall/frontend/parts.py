"""What a trace found, put into words that hold for later calls: the parts of a program.

An input is an argument, a Tensor or storage from outside, a leaf's gradient or a literal; a write goes to a
storage; a result is a new value or one that was there. What cannot be put that way is a TraceError, or asks
for a capture that assumes more.
"""

from __future__ import annotations

from typing import Any

from squall.base import config
from squall.base.dtypes import default_dtype
from squall.base.errors import TraceError
from squall.frontend import binding
from squall.frontend.arguments import StandIns
from squall.frontend.binding import Input, Parts, Write
from squall.frontend.core import Handle
from squall.frontend.number import is_number
from squall.frontend.results import Describer, Where
from squall.frontend.state import local
from squall.frontend.tape import GradRecord
from squall.frontend.tracing import GradSource, Trace
from squall.frontend.tracked import Tracked
from squall.ir.graph import rebuild
from squall.ir.node import Node, tensor_type, toposort
from squall.ir.op import ops


class AssumeMoreError(Exception):
    """The capture must be done again with more taken for granted."""

    def __init__(self, **more: frozenset[int]):
        super().__init__(str(more))
        self.more = more


def mode_key() -> tuple:
    """The thread's modes a capture depends on."""
    state = local.state
    return (
        state.grad,
        state.inference,
        None if state.autocast is None else repr(state.autocast),
        default_dtype(),
    )


class Collector:
    """Collects the parts of a program from a trace."""

    def __init__(self, capture: Any, trace: Trace, stand_ins: StandIns):
        self.capture, self.trace, self.stand_ins = capture, trace, stand_ins
        self.roots: list[Node] = []
        self.root_index: dict[int, int] = {}
        self.passed_nodes: list[Node] = []
        self.passed: list[Where] = []
        self.passed_index: dict[int, int] = {}

    def where(self, node: Node) -> Where:
        """Where a final value comes from; makes it a root when it is computed by the program."""
        if node.op is ops.scalar:
            node = Node(ops.reshape, (node,), ((),), node.type)
        if node.buffer is None and node.op is not ops.input:
            if id(node) not in self.root_index:
                self.root_index[id(node)] = len(self.roots)
                self.roots.append(node)
            return Where("root", self.root_index[id(node)])
        if id(node) not in self.passed_index:
            self.passed_index[id(node)] = len(self.passed_nodes)
            self.passed_nodes.append(node)
        return Where("input", self.passed_index[id(node)])

    def make(self, outputs: list, out_structure: Any) -> Parts:
        """The parts of the program that gives these outputs."""
        trace = self.trace
        described = Describer(trace, self.stand_ins, self.where, self._is_outside).describe(outputs)
        self.created = self._created()
        writes = self._writes()
        gradients = self._gradients()
        adopted = self._adopted()
        order = toposort(self.roots, lambda n: n.buffer is not None)
        scalar_nodes = [n for n in order if n.op is ops.scalar]
        leaves = [n for n in order if n.op is not ops.scalar and (n.op is ops.input or n.buffer is not None)]
        passed = {id(n) for n in self.passed_nodes}
        leaves += [n for n in self.passed_nodes if id(n) not in {id(m) for m in leaves}]
        written = {id(before) for _, before, _ in trace.cells.values()}
        inputs = [
            self._input(n, id(n) in written and id(n) not in passed and config.get("donate")) for n in leaves
        ]
        positions = {id(n): i for i, n in enumerate(leaves)}
        self.passed = [Where("input", positions[id(n)]) for n in self.passed_nodes]
        self.leaf_nodes = leaves
        replaced = {
            id(n): Node(ops.input, (), (i,), tensor_type(tuple(n.shape), n.dtype, n.type.device))
            for i, n in enumerate(leaves)
        }
        replaced |= {id(n): Node(ops.scalar, (), (), n.type, 0) for n in scalar_nodes}
        holders = tuple(replaced[id(n)] for n in leaves)
        rebuild(order, replaced)
        self.replaced = replaced
        grads = {id(grad) for _, grad in trace.leaves.values()}
        handles = [(h, _edge_guard(h, trace), h._cell) for h in trace.outside.values() if id(h) not in grads]
        return Parts(
            self.capture.name,
            [replaced[id(r)] for r in self.roots],
            holders,
            inputs,
            tuple(replaced[id(n)] for n in scalar_nodes),
            [self._scalar(n) for n in scalar_nodes],
            writes,
            gradients,
            adopted,
            self.created,
            described,
            out_structure,
            [tuple(g) for g in trace.generators.values()],
            self.passed,
            handles,
            self._leaf_states(),
            mode_key(),
        )

    def _input(self, node: Node, donated: bool) -> Input:
        found = self.stand_ins.sources.get(id(node))
        if found is not None:
            kind, position = found
            leaf = self.capture.leaves[position]
            actual = leaf.node if kind == "argument" else leaf._cell._node
            plain = actual.buffer is None or actual.buffer.strides is None
            return Input(
                binding.ARGUMENT if kind == "argument" else binding.ARGUMENT_CELL,
                position,
                None,
                plain,
                donated,
            )
        plain = node.buffer.strides is None
        if id(node) in self.trace.constants:
            return Input(binding.CONSTANT, node, None, plain, donated)
        _, source = self.trace.tensors.get(id(node), (None, None))
        if source is None or (isinstance(source, Handle) and self.trace.is_inside(source)):
            raise TraceError(
                f"{self.capture.name}: the function uses a value whose origin is outside of it (such as "
                "history recorded before "
                "the call); pass it as an argument"
            )
        if isinstance(source, GradSource):
            position = self.stand_ins.leaves.get(id(source.leaf))
            code, where = (
                (binding.GRAD, source.leaf) if position is None else (binding.ARGUMENT_GRAD, position)
            )
        else:
            code, where = (binding.OBJECT if isinstance(source, Handle) else binding.CELL), source
        return Input(
            code, where, tensor_type(tuple(node.shape), node.dtype, node.type.device), plain, donated
        )

    def _scalar(self, node: Node) -> tuple[str, Any]:
        if is_number(node.buffer):
            return "argument", node.buffer.read
        if id(node) in self.trace.scalars:
            return "read", self.trace.scalars[id(node)][1]
        return "fixed", node.buffer

    # ------------------------------------------------------------ effects
    def _writes(self) -> list[Write]:
        out = []
        for cell, before, version in self.trace.cells.values():
            place = self._storage(cell, before)
            if place is not None:
                out.append(
                    Write(*place, self.where(cell._node), cell.version - version, self._new_history(cell))
                )
        return out

    def _storage(self, cell: Any, before: Node) -> tuple[int, Any] | None:
        """Where a written storage is found later; None for one made inside."""
        found = self.stand_ins.sources.get(id(before))
        if found is not None:
            kind, position = found
            leaf = self.capture.leaves[position]
            together = _sharing_one(self.capture.leaves, leaf._cell)
            if kind == "argument" and (leaf._view is not None or len(together) > 1):
                raise AssumeMoreError(exact=together)
            return (binding.ARGUMENT if kind == "argument" else binding.ARGUMENT_CELL), position
        if id(cell) not in self.trace.storages:
            return (binding.CELL, cell) if id(cell) in self.created else None
        _, source = self.trace.tensors.get(id(before), (None, None))
        if isinstance(source, GradSource):
            position = self.stand_ins.leaves.get(id(source.leaf))
            return (binding.GRAD, source.leaf) if position is None else (binding.ARGUMENT_GRAD, position)
        return binding.CELL, cell

    def _new_history(self, cell: Any) -> Any:
        """The handle, from outside or an argument's stand-in, whose history a write to a storage replaced."""
        for handle, edge in self.trace.edges.values():
            if handle._cell is cell and handle._edge is not edge and handle._edge.__class__ is GradRecord:
                position = next((i for i, v in enumerate(self.stand_ins.values) if v is handle), None)
                if position is not None or not self.trace.is_inside(handle):
                    return (handle._edge, position if position is not None else handle)
        return None

    def _is_outside(self, leaf: Any) -> bool:
        return (
            id(leaf) in self.stand_ins.leaves
            or any(h._edge is leaf for h in self.trace.outside.values())
            or any(h._edge is leaf for h in self.capture.reached)
        )

    def _gradients(self) -> list[tuple[Any, Any]]:
        out = []
        for leaf, before in self.trace.leaves.values():
            if leaf.grad is before or (before is None and not self._is_outside(leaf)):
                continue
            value = leaf.grad
            if value is not None:
                value = self.where(value.node) if self.trace.is_inside(value) else value
            out.append((self.stand_ins.leaves.get(id(leaf), leaf), value))
        return out

    def _leaf_states(self) -> list[tuple[Any, bool]]:
        return [
            (self.stand_ins.leaves.get(id(leaf), leaf), before is None)
            for leaf, before in self.trace.leaves.values()
            if before is not None or self._is_outside(leaf)
        ]

    def _created(self) -> dict[int, Any]:
        """By id, the Tensors that the capture put into optimizers' state, and the storages of those that have
        one."""
        out: dict[int, Any] = {}
        for optimizer in self.capture.around.optimizers:
            for entries in getattr(optimizer, "state", {}).values():
                for value in entries.values():
                    if isinstance(value, Handle) and self.trace.is_inside(value):
                        out[id(value)] = value
                        if value._cell is not None:
                            out[id(value._cell)] = value._cell
        return out

    def _adopted(self) -> list[tuple[Any, Where]]:
        """Created state that was not written in place, and where its value comes from."""
        return [
            (held, self.where(held._node))
            for held in self.created.values()
            if held._node is not None and id(held) not in self.trace.cells
        ]

    def tracked(self, outputs: list, made: Parts) -> Any:
        """The rule that carries history through a call, when some output or written argument has history
        left."""
        live = [
            i for i, o in enumerate(made.outputs) if o.history == "live" and o.kind in ("fresh", "shared")
        ]
        if not made.mode[0] or made.mode[1] or not (live or any(w.tracked for w in made.writes)):
            return None
        edges = {i: outputs[i].edge for i in live}
        return Tracked(self, made, edges)


def _edge_guard(handle: Any, trace: Trace) -> Any:
    edge = trace.edges.get(id(handle), (None, handle._edge))[1]
    return "history" if edge.__class__ is GradRecord else edge


def _sharing_one(leaves: list, cell: Any) -> frozenset[int]:
    if cell is None:
        return frozenset()
    return frozenset(i for i, v in enumerate(leaves) if isinstance(v, Handle) and v._cell is cell)
