"""A captured program bound to the world: where each input comes from, where each result goes, and one call of
it.

A call compares guards while it gathers input buffers, runs the executable, and re-points storages, gradients
and generators in the same chain of C calls, which no signal handler can split.
"""

from __future__ import annotations

import sys
from collections import deque
from itertools import starmap
from operator import call
from typing import TYPE_CHECKING, Any, NamedTuple

from squall.base import config, pytree, trace
from squall.base.caches import Cache
from squall.base.dim import Dim, evaluate
from squall.base.errors import IndexRangeError, LinAlgError, SquallError
from squall.engine import ready, realize
from squall.engine.copying import copy_buffer, overwrite
from squall.engine.keys import LENT, signature
from squall.engine.overwriting import Gate, beside_others, met
from squall.frontend.arguments import Arguments
from squall.frontend.cell import Cell
from squall.frontend.core import ensure_cell, wrap
from squall.frontend.entries import Native
from squall.frontend.guards import Watch
from squall.frontend.number import OtherNumberError, is_number
from squall.frontend.refitting import check_fit
from squall.frontend.results import Output, Where, at_sizes, mark_history, rebuild_view, shared_output
from squall.frontend.tape import GradRecord, Leaf
from squall.ir.node import Node, tensor_type
from squall.ir.op import ops
from squall.ir.plan import Request
from squall.runtime import leaving

MISS = object()
_executables = Cache("captured plans", 256)
ARGUMENT, CELL, OBJECT, GRAD, ARGUMENT_CELL, CONSTANT, ARGUMENT_GRAD = range(7)
_set_node = Cell._node.__set__  # type: ignore[attr-defined]
_set_version = Cell.version.__set__  # type: ignore[attr-defined]
_set_grad = Leaf.grad.__set__  # type: ignore[attr-defined]


class Input(NamedTuple):
    """Where an input is bound from: a code, with a position, cell, Tensor, Leaf or Node; its type; whether
    the program takes it row-major; and whether a write replaces its storage, so that its memory may be taken
    over."""

    code: int
    where: Any
    type: Any
    plain: bool
    donated: bool


class Write(NamedTuple):
    """A storage written: a code and what it is in, as `Input`; where its new value comes from; how many
    versions on; whether the history of the handle it was written through changed, and that handle's position
    or object."""

    code: int
    where: Any
    value: Where
    versions: int
    tracked: Any = None


class Parts(NamedTuple):
    """What a capture found; see `capture.py`."""

    name: str
    roots: list[Node]
    input_nodes: tuple[Node, ...]
    inputs: list[Input]
    scalar_nodes: tuple[Node, ...]
    scalars: list[
        tuple[str, Any]
    ]  # ("argument", reads it from the flat arguments), ("read", reads it), ("fixed", number)
    writes: list[Write]
    gradients: list[tuple[Any, Any]]  # (Leaf or position, Where or None or Tensor)
    adopted: list[tuple[Any, Where]]  # Tensors and cells of state that the capture created, and did not write
    created: dict[int, Any]  # all such; a program that creates state runs once
    outputs: list[Output]
    out_structure: Any
    generators: list[tuple[Any, Any, Any]]
    passed: list[Where]  # which inputs are results as they are
    handles: list[
        tuple[Any, Any, Any]
    ]  # (Tensor from outside, its Leaf, None or "history", its cell or None)
    leaf_states: list[tuple[Any, bool]]
    mode: tuple


class Program:
    """A captured function: `attempt` runs it when its guards hold.

    Attributes:
        arguments, watch: guards. tracked: rule for history to the outside (`tracked.py`), or None.
        graph: the closed graph, of inputs and then scalars, when tracked.
    """

    if TYPE_CHECKING:  # the fields of `Parts`, taken over as attributes

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, parts: Parts, arguments: Arguments, watch: Watch, structure: Any, tracked: Any):
        self.name, self.mode, self.out_structure = parts.name, parts.mode, parts.out_structure
        self.roots, self.input_nodes, self.scalar_nodes = parts.roots, parts.input_nodes, parts.scalar_nodes
        self.inputs, self.scalars, self.generators = parts.inputs, parts.scalars, parts.generators
        self.writes, self.gradients, self.outputs = parts.writes, parts.gradients, parts.outputs
        self.adopted, self.created, self.passed = parts.adopted, parts.created, parts.passed
        self.handles, self.leaf_states = parts.handles, parts.leaf_states
        self.arguments, self.watch, self.structure, self.tracked = arguments, watch, structure, tracked
        self.executable: Any = None
        self.native: tuple | None = None  # what `Native.captured` runs
        self.call: Any = None  # what makes whole calls native (`calling.py`), False where nothing does
        self.folded: Any = None  # what it reads in the place of weights (`folding.py`), if it is frozen
        shapes = [n.type.shape for n in (*self.input_nodes, *self.roots)]  # ones_like reads a size, no value
        self.is_symbolic = any(isinstance(s, Dim) for shape in shapes for s in shape)
        self.types = [tensor_type(tuple(r.type.shape), r.type.dtype, r.type.device) for r in self.roots]
        self._types: dict[tuple, list] = {}
        self._fitting: set[tuple] = set()
        self.simple = (
            len(self.outputs) == 1 and self.outputs[0].kind == "fresh" and self.out_structure == pytree.LEAF
        )

    # ------------------------------------------------------------ guards and inputs
    def attempt(self, leaves: list, mode: tuple) -> Any:
        """The function's result for flat arguments, or MISS when something is not as it was at capture."""
        if mode != self.mode:
            return MISS
        sizes = self.arguments.fit(leaves)
        if sizes is False or not self.watch.holds():
            return MISS
        for handle, edge, cell in self.handles:
            now = handle._edge
            if now is not edge and (edge != "history" or now.__class__ is not GradRecord):
                return MISS
            if cell is not None and handle._cell is not cell:
                return MISS
        for leaf, missing in self.leaf_states:
            if leaf.__class__ is int:
                leaf = leaves[leaf].edge
            if (leaf.grad is None) is not missing:
                return MISS
        if self.folded is not None and not self.folded.holds():
            self.folded.renew(self)
        if sizes:
            self._check_fit(sizes)
        try:
            if self.tracked is not None:
                return self.tracked.run(self, leaves, sizes)
            if beside_others() > 1:
                return self._beside(leaves, sizes)
            buffers: list[Any] = []
            if self.native is not None:
                made = Native.captured(self.native, leaves, self.numbers(leaves, sizes))  # type: ignore[misc]
                if made.__class__ is list:
                    return self._results_of(leaves, made, [])
                if made.__class__ is tuple:
                    self._stopped(leaves, sizes, *made)
            began = trace.begin()
            try:
                return self._run(leaves, buffers, sizes) if self._gather(leaves, buffers) else MISS
            finally:
                trace.end("call", began)
        except OtherNumberError:  # before anything ran
            return MISS

    @leaving.run
    def _beside(self, leaves: list, sizes: dict[str, int]) -> Any:
        """Gather and run beside other threads, see `engine.overwriting`."""
        donated = [e for e in self.inputs if e.donated]
        while True:
            old = [self.input_node(e, leaves) for e in donated]
            gate = Gate(old)
            other = gate.open()
            try:
                buffers: list[Any] = []
                seen: list[tuple[Node, Any]] = []
                if other is None:
                    if not self._gather(leaves, buffers, seen):
                        return MISS
                    other = met([n for n, _ in seen])
                    if other is None and self._still(seen, old):
                        result = self._run(leaves, buffers, sizes)
                        for (node, before), buffer, entry in zip(seen, buffers, self.inputs, strict=True):
                            if entry.donated and buffer is before:  # overwritten: who came to it reads the new value
                                node.buffer = self.input_node(entry, leaves).buffer
                        return result
            finally:
                gate.done()
            if other is not None:
                other.wait()

    def _still(self, seen: list[tuple[Node, Any]], old: list[Node]) -> bool:
        """Whether nothing was overwritten, or put in the place of what is to be overwritten, while it was gathered."""
        taken = [n for (n, _), e in zip(seen, self.inputs, strict=True) if e.donated]
        return all(n.buffer is b for n, b in seen) and all(a is b for a, b in zip(old, taken, strict=True))

    def _gather(self, leaves: list, buffers: list, seen: list | None = None) -> bool:
        """Fill in the input buffers; False when one is of another type. `seen` gets the Nodes with the buffers they
        had."""
        count = sys.getrefcount
        more = 0 if seen is None else 1  # held by `seen`, too, and Nodes by the caller's list
        append = buffers.append
        for code, where, type, plain, donated in self.inputs:
            if code == ARGUMENT:
                handle = leaves[where]
                node = handle._node if handle._cell is None else handle.node
            elif code == CELL:
                node = where._node
            elif code == OBJECT:
                node = where._node if where._cell is None else where.node
            else:
                node = self._other(code, where, leaves)
            if type is not None and node.type is not type and node.type != type:
                return False
            buffer = node.buffer
            if buffer is None:
                realize.evaluate([node])
                buffer = node.buffer
            if seen is not None:
                seen.append((node, buffer))
            # a node and its buffer are each held by their owner, this frame's variable, and getrefcount's argument
            if (plain and buffer.strides is not None) or (
                donated
                and (
                    count(node) > 3 - LENT + 2 * more
                    or count(buffer) > 3 - LENT + more
                    or count(buffer.block) > 2
                    or buffer.shared
                )
            ):
                buffer = copy_buffer(node)
            append(buffer)
        return True

    def _other(self, code: int, where: Any, leaves: list) -> Node:
        if code == GRAD:
            return where.grad.node
        if code == ARGUMENT_CELL:
            return leaves[where]._cell._node
        if code == ARGUMENT_GRAD:
            return leaves[where].edge.grad.node
        return where

    def input_node(self, entry: Input, leaves: list) -> Node:
        """The present Node of an input."""
        code, where = entry[:2]
        if code == ARGUMENT:
            return leaves[where].node
        if code == OBJECT:
            return where.node
        return where._node if code == CELL else self._other(code, where, leaves)

    def passed_nodes(self, leaves: list) -> list[Node]:
        """The Nodes of inputs that are results as they are."""
        return [self.input_node(self.inputs[w.index], leaves) for w in self.passed]

    def numbers(self, leaves: list, sizes: dict[str, int]) -> list:
        """The run-time numbers, in the program's order."""
        out = [
            read(leaves) if kind == "argument" else read() if kind == "read" else read
            for kind, read in self.scalars
        ]
        return [evaluate(v, sizes) if v.__class__ is Dim else v for v in out] if sizes else out

    # ------------------------------------------------------------ running
    def _run(self, leaves: list, buffers: list, sizes: dict[str, int]) -> Any:
        if self.executable is None:
            self.executable = self._executable()
        passed = self.passed_nodes(leaves) if self.passed else []
        numbers = self.numbers(leaves, sizes)
        if not any(e.code in (GRAD, ARGUMENT_GRAD) for e in self.inputs):
            for leaf, _ in self.gradients:  # will be others, which may take their memory
                _set_grad(leaves[leaf].edge if leaf.__class__ is int else leaf, None)
        try:
            calls, made = self.executable.prepare(buffers, numbers, sizes)
        except (IndexError, LinAlgError) as error:  # the oracle runs at once
            raise self._located(error, buffers, numbers, sizes) from None
        types = self._concrete(sizes) if self.is_symbolic else self.types
        op = ops.buffer
        nodes = [Node(op, (), (), t, b) for t, b in zip(types, made, strict=True)]
        chain = [*calls]
        shared: list[tuple[Any, Node, Node]] = []
        for code, where, value, versions, _ in self.writes:
            cell = where if code == CELL else self.storage(code, where, leaves)
            node = nodes[value[1]] if value[0] == "root" else passed[value[1]]
            if cell.shared:
                shared.append((cell, cell._node, node))
            else:
                chain.append((_set_node, cell, node))
            chain.append((_set_version, cell, cell.version + versions))
        for leaf, value in self.gradients:
            made_grad = (
                value
                if not isinstance(value, Where)
                else wrap(nodes[value.index] if value.kind == "root" else passed[value.index])
            )
            chain.append((_set_grad, leaves[leaf].edge if leaf.__class__ is int else leaf, made_grad))
        for generator, given, words in self.generators:
            seed = given.read(leaves) if is_number(given) else given
            used = evaluate(words, sizes) if words.__class__ is Dim else words
            if seed is not None:
                chain.append((setattr, generator, "_seed", seed))
            chain.append(
                (setattr, generator, "offset", used if seed is not None else generator.offset + used)
            )
        for held, value in self.adopted:
            chain.append(
                (setattr, held, "_node", nodes[value.index] if value.kind == "root" else passed[value.index])
            )
        try:
            try:
                deque(starmap(call, chain), maxlen=0)
            except IndexError:  # the plan stopped before its first write; the status says why
                self.executable.check_status()
                raise
            self.executable.check_status()
        except (IndexRangeError, LinAlgError) as error:
            raise self._located(error, buffers, numbers, sizes) from None
        for cell, old, new in shared:
            overwrite(old, new)
            cell._node = Node(old.op, (), old.attrs, old.type, old.buffer)
        if self.native is None and Native.captured is not None:
            self.native = self._for_native(sizes)
        return self._results_of(leaves, nodes, passed, sizes)

    def _results_of(self, leaves: list, nodes: list, passed: list, sizes: Any = ()) -> Any:
        if self.simple:
            return self._fresh(self.outputs[0], nodes, passed)
        return pytree.unflatten(self.out_structure, self._results(leaves, nodes, passed, sizes))

    def _for_native(self, sizes: dict[str, int]) -> tuple | None:
        """What `native_captured.py` runs, or None for programs that Python runs: of symbolic sizes, with host steps,
        random numbers, state made at the first call, or storages and gradients that are found through arguments."""
        if sizes or self.is_symbolic or self.generators or self.adopted or self.passed or self.tracked is not None:
            return None
        if any(e.code > OBJECT and e.code != CONSTANT for e in self.inputs):
            return None
        if self.folded is not None and self.folded.guards is None:  # every call computes anew what it reads
            return None
        if any(w.code != CELL or w.value[0] != "root" for w in self.writes):
            return None
        gradients = [(leaf, v.index if isinstance(v, Where) else v) for leaf, v in self.gradients]
        if any(leaf.__class__ is not Leaf or index.__class__ not in (int, type(None)) for leaf, index in gradients):
            return None
        if any(isinstance(v, Where) and v.kind != "root" for _, v in self.gradients):
            return None
        holder = ready.of_executable(self.executable)
        if holder is None:
            return None
        writes = tuple([(w.where, w.value[1], w.versions) for w in self.writes])
        return holder, tuple(self.inputs), tuple(self.types), writes, tuple(gradients)

    def _stopped(self, leaves: list, sizes: dict[str, int], code: int, detail: int) -> None:
        """Raise what stopped a native run."""
        buffers: list[Any] = []
        self._gather(leaves, buffers)
        try:
            self.executable.raise_status(code, detail)
        except IndexRangeError as error:
            raise self._located(error, buffers, self.numbers(leaves, sizes), sizes) from None
        raise SquallError(f"{self.name}: the plan stopped")

    def _request(self) -> Request:
        plain = tuple(e.plain for e in self.inputs)
        donatable = tuple(e.donated for e in self.inputs)
        return Request(tuple(self.roots), self.input_nodes, self.scalar_nodes, donatable, plain, self._together())

    def _together(self) -> tuple[bool, ...]:
        """The roots that become gradients and nothing else, where no older gradients are read: they are let go
        together, before the next call makes others, so they may share a block of memory."""
        if any(e.code in (GRAD, ARGUMENT_GRAD) for e in self.inputs):
            return ()
        own = {v.index for _, v in self.gradients if isinstance(v, Where) and v.kind == "root"}
        others = [*(w.value for w in self.writes), *(v for _, v in self.adopted)]
        others += [value for o in self.outputs for value in (o.item[0] if o.kind == "shared" else o.item, o.grad)]
        own -= {v.index for v in others if isinstance(v, Where) and v.kind == "root"}
        return tuple([i in own for i in range(len(self.roots))])

    def _located(self, error: Any, buffers: list, numbers: list, sizes: dict[str, int]) -> Any:
        """The error for an index outside of its dimension, or a matrix without a result, with the line of
        this program that recorded the op."""
        return realize.captured_error(self._request(), buffers, numbers, sizes, error)

    def _executable(self) -> Any:
        """What runs the graph: shared by programs that differ only in where things are found."""
        request = self._request()
        found = signature(self.roots, donate=False)
        types = tuple(n.type for n in self.input_nodes)
        key = (found.key, request.contiguous, request.donatable, request.together, types, config.get("backend"))
        return _executables.get_or_make(key, lambda: realize.prepare_request(request, self.name))

    def storage(self, code: int, where: Any, leaves: list) -> Cell:
        """The storage a write goes to."""
        if code == GRAD:
            return ensure_cell(where.grad)
        return ensure_cell(leaves[where].edge.grad if code == ARGUMENT_GRAD else leaves[where])

    def _check_fit(self, sizes: dict[str, int]) -> None:
        """An error unless every op takes these sizes; asked once for each tuple of them."""
        key = tuple(sizes.values())
        if key not in self._fitting:
            fixed = {n: v for n, (kind, v) in zip(self.scalar_nodes, self.scalars, strict=True) if kind == "fixed"}
            check_fit(self.name, self.roots, fixed, sizes)
            if len(self._fitting) > 256:
                self._fitting.clear()
            self._fitting.add(key)

    def _concrete(self, sizes: dict[str, int]) -> list:
        key = tuple(sizes.values())
        found = self._types.get(key)
        if found is None:
            if len(self._types) > 256:
                self._types.clear()
            found = self._types[key] = [
                tensor_type(tuple(evaluate(s, sizes) for s in t.shape), t.dtype, t.device) for t in self.types
            ]
        return found

    # ------------------------------------------------------------ results
    def _fresh(self, output: Output, nodes: list, passed: Any) -> Any:
        kind, index = output.item
        out = wrap(nodes[index] if kind == "root" else passed[index])
        if output.history is not None:
            mark_history(out, output.history)
        if output.grad is not None:
            kind, index = output.grad
            out._edge.grad = wrap(nodes[index] if kind == "root" else passed[index])
        return out

    def _results(self, leaves: list, nodes: list, passed: Any, sizes: Any) -> list:
        out: list[Any] = []
        cells: dict[int, Cell] = {}
        for output in at_sizes(self.outputs, sizes) if sizes else self.outputs:
            kind, item, history, _ = output
            if kind == "value":
                out.append(item)
            elif kind == "fresh":
                out.append(self._fresh(output, nodes, passed))
            elif kind == "shared":
                where, number, view = item
                node = nodes[where.index] if where.kind == "root" else passed[where.index]
                out.append(mark_history(shared_output(node, number, view, cells), history))
            else:
                out.append(self.plain_output(output, leaves, out))
        return out

    @staticmethod
    def plain_output(output: Output, leaves: list, earlier: list) -> Any:
        """An output that is no new value."""
        kind, item = output[:2]
        if kind == "argument":
            return leaves[item]
        if kind == "object":
            return item
        if kind == "again":
            return earlier[item]
        if kind == "number":
            return item(leaves)
        if kind == "grad":
            return (leaves[item].edge if item.__class__ is int else item).grad
        owner, steps, detached = item
        base = leaves[owner.item] if owner.kind == "argument" else owner.item
        return rebuild_view(base, steps, detached)
