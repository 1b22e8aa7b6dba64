"""Capturing a function: stand-ins in, a `Program` out that binds present buffers and writes results back.

Whatever the trace touched is put into words that hold for later calls: inputs by where they are found, storages and gradients
written, state created. What cannot be said that way is a TraceError.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.dtypes import default_dtype
from squall.base.errors import TraceError
from squall.frontend import binding, guards
from squall.frontend.arguments import Arguments, Assumed, StandIns
from squall.frontend.binding import Input, Parts, Program, Write
from squall.frontend.core import Handle
from squall.frontend.evaluation import evaluate
from squall.frontend.number import is_number
from squall.frontend.results import Describer, Where
from squall.frontend.state import local
from squall.frontend.surroundings import Surroundings
from squall.frontend.tape import GradRecord, Leaf
from squall.frontend.tracing import GradSource, Trace
from squall.frontend.tracked import Tracked
from squall.ir.graph import rebuild
from squall.ir.node import Node, tensor_type, toposort
from squall.ir.op import ops


class AssumeMore(Exception):
    """The capture must be done again with more taken for granted."""

    def __init__(self, **more: frozenset[int]):
        super().__init__(str(more))
        self.more = more


def mode_key() -> tuple:
    """The thread's modes a capture depends on."""
    state = local.state
    return state.grad, state.inference, None if state.autocast is None else repr(state.autocast), default_dtype()


def separate(tensors: list[Any]) -> None:
    """Give storages that hold one Node, as after a copy nobody has computed, Nodes of their own, so that they can be told apart."""
    owners: dict[int, Any] = {}
    for tensor in tensors:
        storage = tensor if tensor._cell is None else tensor._cell
        node = storage._node
        if node is not None and node.buffer is not None and owners.setdefault(id(node), storage) is not storage:
            storage._node = Node(node.op, (), node.attrs, node.type, node.buffer)


class Capture:
    """One capture of a function.

    Args:
        function: called once on stand-ins. leaves, structure: flat arguments; `pack` makes (args, kwargs) of them. assumed: see
            `Assumed`. name: for messages.
    """

    def __init__(self, function: Callable, leaves: list, structure: Any, pack: Callable, assumed: Assumed, name: str):
        self.function, self.leaves, self.structure, self.pack = function, leaves, structure, pack
        self.assumed, self.name = assumed, name
        self.around = Surroundings(function, leaves)
        if self.around.iterators:
            raise TraceError(f"{name}: the function reaches the iterator {self.around.iterators[0]!r}, which would move on only while it is "
                             "captured; pass what it gives as an argument")
        self.reached = self.around.reached()
        evaluate([t.node for t in (*self.reached, *leaves) if isinstance(t, Handle)])  # other threads may have recorded some
        separate([*self.reached, *(t.grad for t in self.reached if t._edge.__class__ is Leaf and t.grad is not None)])
        self.options = [guards.options_of(o) for o in self.around.optimizers]
        self.state = [guards.state_of(o) for o in self.around.optimizers]

    def undo_state(self) -> None:
        """Take optimizers' state back to what it was."""
        for optimizer, before in zip(self.around.optimizers, self.state, strict=True):
            for parameter in list(getattr(optimizer, "state", ())):
                if parameter not in before:
                    del optimizer.state[parameter]
                else:
                    optimizer.state[parameter].clear()
                    optimizer.state[parameter].update(before[parameter])

    def run(self) -> Program:
        """Trace the function and make the program of it. On an error, everything outside is as it was before."""
        trace = Trace()
        stand_ins = StandIns(self.leaves, self.assumed)
        drawn = _random_state(self.around.random)
        args, kwargs = self.pack(self.structure, stand_ins.values)
        try:
            try:
                with trace:
                    returned = self.function(*args, **kwargs)
                self._check_arguments(args, kwargs, stand_ins)
                self._check_grads(stand_ins)
                args = kwargs = None
                outputs, out_structure = pytree.flatten(returned)
                returned = None
                if _random_state(self.around.random) != drawn:
                    raise TraceError(f"{self.name}: the function drew from Python's or NumPy's random numbers, which happens only once, "
                                     "while it is captured; use sq.rand and its like, or pass the numbers as arguments")
                program = self._program(trace, stand_ins, outputs, out_structure)
            finally:
                outputs = returned = args = kwargs = None
                trace.restore()
            references = [*stand_ins.made, *trace.references()]
            stand_ins = trace = None  # type: ignore[assignment]
            self._check_escaped(references, program)
            self._check_changed(program)
        except BaseException:
            self.undo_state()
            raise
        return program

    # ------------------------------------------------------------ what must not have happened
    def _check_arguments(self, args: Any, kwargs: Any, stand_ins: StandIns) -> None:
        after, structure = pytree.flatten((args, kwargs))
        before, structure_before = pytree.flatten(self.pack(self.structure, stand_ins.values))
        if structure != structure_before or any(a is not b for a, b in zip(after, before, strict=True)):
            raise TraceError(f"{self.name}: the function changes a list or dict it is given, which later calls would not repeat; return the "
                             "new one instead")

    def _check_grads(self, stand_ins: StandIns) -> None:
        for leaf, position in stand_ins.foreign:
            if leaf.grad is not None:
                raise TraceError(f"{self.name}: backward inside the compiled function reached argument {position}, whose history is "
                                 "outside; call backward outside, or compile the whole step")

    def _check_escaped(self, references: list, program: Program) -> None:
        kept = program.created.keys()
        for attempt in range(2):
            escaped = [h for h in (r() for r in references) if h is not None and id(h) not in kept]
            if not escaped:
                return
            escaped = None  # type: ignore[assignment]
            if attempt == 0:
                gc.collect()
        escaped = [h for h in (r() for r in references) if h is not None and id(h) not in kept]
        what = next((f"a traced tensor of shape {list(h.node.shape)}" for h in escaped if isinstance(h, Handle) and h.node is not None),
                    "a traced value")
        raise TraceError(f"{self.name}: {what} escaped into a Python object; its value would belong to this call only. Return it from "
                         "the function, or keep state in a Tensor that is written in place.")

    def _check_changed(self, program: Program) -> None:
        changed = None
        for optimizer, before in zip(self.around.optimizers, self.options, strict=True):
            now = guards.options_of(optimizer)
            if any(a.keys() != b.keys() or any(a[k] is not b[k] and not guards.same_value(a[k], b[k]) for k in a if k != "params")
                   for a, b in zip(now, before, strict=False)) or len(now) != len(before):
                changed = f"the options of {type(optimizer).__name__}"
        if program.created:  # state was created: the program runs once
            program.watch.structures = [s for s in program.watch.structures if not guards.is_optimizer(s[0])]
        changed = changed or program.watch.changed()
        if changed:
            raise TraceError(f"{self.name}: the compiled function changed {changed} while it was captured; later calls would not repeat "
                             "that. Keep what changes in a Tensor written in place, or change it outside.")

    # ------------------------------------------------------------ making the program
    def _program(self, trace: Trace, stand_ins: StandIns, outputs: list, out_structure: Any) -> Program:
        parts = _Parts(self, trace, stand_ins)
        made = parts.make(outputs, out_structure)
        arguments = Arguments(self.leaves, self.assumed, stand_ins)
        writes_arguments = any(w.code in (binding.ARGUMENT, binding.ARGUMENT_CELL) for w in made.writes)
        outside = frozenset(id(held) for handle, _, cell in made.handles for held in (handle, cell) if held is not None)
        if made.writes:
            met = frozenset(i for i, v in enumerate(self.leaves) if isinstance(v, Handle) and i not in self.assumed.pinned
                            and (id(v) in outside or (v._cell is not None and id(v._cell) in outside)))
            if met:
                raise AssumeMore(pinned=met)
        arguments.guard_sharing(self.leaves, writes_arguments, outside if made.writes else frozenset())
        watch = self.around.watch
        self._watch_options(watch, trace)
        tracked = parts.tracked(outputs, made)
        program = Program(made, arguments, watch, self.structure, tracked)
        return program

    def _watch_options(self, watch: guards.Watch, trace: Trace) -> None:
        """Guard by value the options that were read as plain numbers by code that is not squall's."""
        own = "param_groups" in self.around.names
        for optimizer in self.around.optimizers:
            if own or not type(optimizer).__module__.startswith("squall."):
                for group in optimizer.param_groups:
                    for key, value in group.items():
                        if guards.is_plain(value) and (id(group), key) not in trace.numbers:
                            watch.readers.append((group.get, key, value, f"the option {key} of {type(optimizer).__name__}"))


class _Parts:
    """Collects the parts of a program from a trace."""

    def __init__(self, capture: Capture, trace: Trace, stand_ins: StandIns):
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
        trace = self.trace
        described = Describer(trace, self.stand_ins, self.where).describe(outputs)
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
        inputs = [self._input(n, id(n) in written and id(n) not in passed) for n in leaves]
        positions = {id(n): i for i, n in enumerate(leaves)}
        self.passed = [Where("input", positions[id(n)]) for n in self.passed_nodes]
        self.leaf_nodes = leaves
        replaced = {id(n): Node(ops.input, (), (i,), tensor_type(tuple(n.shape), n.dtype, n.type.device)) for i, n in enumerate(leaves)}
        replaced |= {id(n): Node(ops.scalar, (), (), n.type, 0) for n in scalar_nodes}
        holders = tuple(replaced[id(n)] for n in leaves)
        rebuild(order, replaced)
        self.replaced = replaced
        grads = {id(grad) for _, grad in trace.leaves.values()}
        handles = [(h, _edge_guard(h, trace), h._cell) for h in trace.outside.values() if id(h) not in grads]
        return Parts(
            self.capture.name, [replaced[id(r)] for r in self.roots], holders, inputs,
            tuple(replaced[id(n)] for n in scalar_nodes), [self._scalar(n) for n in scalar_nodes], writes, gradients, adopted, self.created, described,
            out_structure, [tuple(g) for g in trace.generators.values()], self.passed, handles, self._leaf_states(), mode_key())

    def _input(self, node: Node, donated: bool) -> Input:
        found = self.stand_ins.sources.get(id(node))
        if found is not None:
            kind, position = found
            leaf = self.capture.leaves[position]
            actual = leaf.node if kind == "argument" else leaf._cell._node
            plain = actual.buffer is None or actual.buffer.strides is None
            return Input(binding.ARGUMENT if kind == "argument" else binding.ARGUMENT_CELL, position, None, plain, donated)
        plain = node.buffer.strides is None
        if id(node) in self.trace.constants:
            return Input(binding.CONSTANT, node, None, plain, donated)
        _, source = self.trace.tensors.get(id(node), (None, None))
        if source is None or (isinstance(source, Handle) and self.trace.is_inside(source)):
            raise TraceError(f"{self.capture.name}: the function uses a value whose origin is outside of it (such as history recorded before "
                             "the call); pass it as an argument")
        if isinstance(source, GradSource):
            position = self.stand_ins.leaves.get(id(source.leaf))
            code, where = (binding.GRAD, source.leaf) if position is None else (binding.ARGUMENT_GRAD, position)
        else:
            code, where = (binding.OBJECT if isinstance(source, Handle) else binding.CELL), source
        return Input(code, where, tensor_type(tuple(node.shape), node.dtype, node.type.device), plain, donated)

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
                out.append(Write(*place, self.where(cell._node), cell.version - version, self._new_history(cell)))
        return out

    def _storage(self, cell: Any, before: Node) -> tuple[int, Any] | None:
        """Where a written storage is found later; None for one made inside."""
        found = self.stand_ins.sources.get(id(before))
        if found is not None:
            kind, position = found
            leaf = self.capture.leaves[position]
            together = _sharing_one(self.capture.leaves, leaf._cell)
            if kind == "argument" and (leaf._view is not None or len(together) > 1):
                raise AssumeMore(exact=together)
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
        return (id(leaf) in self.stand_ins.leaves or any(h._edge is leaf for h in self.trace.outside.values())
                or any(h._edge is leaf for h in self.capture.reached))

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
        return [(self.stand_ins.leaves.get(id(leaf), leaf), before is None) for leaf, before in self.trace.leaves.values()
                if before is not None or self._is_outside(leaf)]

    def _created(self) -> dict[int, Any]:
        """By id, the Tensors that the capture put into optimizers' state, and the storages of those that have one."""
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
        return [(held, self.where(held._node)) for held in self.created.values()
                if held._node is not None and id(held) not in self.trace.cells]

    def tracked(self, outputs: list, made: Parts) -> Any:
        """The rule that carries history through a call, when some output or written argument has history left."""
        live = [i for i, o in enumerate(made.outputs) if o.history == "live" and o.kind in ("fresh", "shared")]
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


def _random_state(generators: list) -> tuple:
    """The state of Python's and NumPy's global generators, and of NumPy generators the function reaches."""
    out: list[Any] = []
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            state = module.getstate() if name == "random" else module.get_state()  # type: ignore[attr-defined]
            out.append(repr([s.tobytes() if hasattr(s, "tobytes") else s for s in state]))
    return (*out, *(repr(g.bit_generator.state) for g in generators))
