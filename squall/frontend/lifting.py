"""Taking results out of a region: Nodes batched, the inner tape as one GradRecord outside.

The record's rule runs the inner tape again, for one element, and takes the gradients out in the same way; so gradients
of lifted values have history of their own, to any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from squall.base.dtypes import int16, int32, int64
from squall.frontend.core import record, result, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.passing import record_of
from squall.frontend.region import ElementTrace, Region
from squall.frontend.state import local
from squall.frontend.tape import GradRecord, Leaf, NodeRules, run_backward
from squall.ir.node import Node, TensorType, tensor_type
from squall.ir.op import ops
from squall.transforms.batch import spread


def edge_type(edge: Any) -> TensorType:
    """The type of the value an edge is the history of."""
    return edge.type if edge.__class__ is Leaf else edge.out_type


def frontier(edges: Iterable[Any], records: set[int], leaves: Any = ()) -> tuple[list[Leaf], list[Any], list[Node]]:
    """What the tape below some edges ends in: given leaves, edges from outside; and what the records above them saved.

    Args:
        records: ids of the GradRecords that are inside. leaves: a container of ids of leaves that are inside.
    """
    own, captured, saved = [], [], []
    seen: set[int] = set()
    stack = [e for e in edges if e is not None]
    while stack:
        edge = stack.pop()
        if id(edge) in seen:
            continue
        seen.add(id(edge))
        if id(edge) in leaves:
            own.append(edge)
            continue
        if not _is_inside(edge, records, leaves):
            captured.append(edge)
            continue
        saved.extend(edge.saved_nodes())
        stack.extend(e for e in edge.edges if e is not None)
    return own, captured, saved


def _is_inside(edge: Any, records: set[int], leaves: Any) -> bool:
    """Whether a record was made inside: it was noted then, or views that nobody noted lead to one that was."""
    while True:
        record = record_of(edge)
        if id(record) in records:
            return True
        above = [e for e in record.edges if e is not None] if record.__class__ is GradRecord else []
        if any(id(e) in leaves or id(record_of(e)) in records for e in above):
            return True
        if len(above) != 1:
            return False
        (edge,) = above


def lift(region: Region, nodes: Sequence[Node], edges: Sequence[Any]) -> list[tuple[Any, bool]]:
    """Inner values as Tensors outside, with whether they carry the batch (at dimension 0).

    Args:
        nodes: inner Nodes. edges: their inner history, None for none.
    """
    own, captured, saved = frontier(edges, region.records, region.leaves)
    shared = region.batch([*nodes, *saved])
    lifted: list[tuple[Any, bool]] = []
    tracked = [i for i, e in enumerate(edges) if e is not None] if own or captured else []
    if tracked:
        record = _record(region, [nodes[i] for i in tracked], [edges[i] for i in tracked], own, captured, saved)
    for i, node in enumerate(nodes):
        history = None
        if i in tracked:
            type = record.out_type[tracked.index(i)]
            history = GradRecord(ops.pick, (tracked.index(i),), (record,), (type,), type)
        is_batched = history is not None or id(node) in region.values
        outside = spread(node, region.values, region.size) if is_batched else node
        lifted.append((result(outside, history) if outside.buffer is None else wrap(outside, history), is_batched))
    state = local.state
    if state.trace is not None:
        state.trace.made(tuple(t for t, _ in lifted))
    elif shared or state.eager:
        evaluate_tensors([t for t, _ in lifted])
    return lifted


def _record(region: Region, nodes: list[Node], edges: list[Any], own: list[Leaf], captured: list[Any],
            saved: list[Node]) -> GradRecord:
    targets = [*own, *captured]
    outer = [region.leaves[id(leaf)] for leaf in own]
    above = (*(edge for _, edge, _ in outer), *captured)
    types = (*(_with_batch(leaf.type, region.size) if batched else leaf.type for leaf, _, batched in outer),
             *(edge_type(e) for e in captured))
    out_types = tuple(_with_batch(n.type, region.size) for n in nodes)
    residuals = tuple(region.values.get(id(n), n) for n in saved)
    record = GradRecord(None, (), above, types, out_types, tuple(r for r in residuals if r.__class__ is Node) or None)
    record.extra = _Inner(region, edges, targets)
    return record


def _with_batch(type: TensorType, size: Any) -> TensorType:
    return tensor_type((size, *type.shape), type.dtype, type.device)


class _Inner:
    """The rule of a lifted record: the inner tape, run for one element and lifted again.

    Attributes:
        edges: the inner history of the outputs. targets: the inner leaves and outside edges that get gradients.
    """

    name = "Vmap"

    def __init__(self, region: Region, edges: list[Any], targets: list[Any]):
        self.region: Region | None = region
        self.edges, self.targets = edges, targets

    def release(self) -> None:
        """Forget what was computed inside."""
        self.region, self.edges = None, []

    def backward(self, record: GradRecord, gradient: tuple, rules: Any) -> tuple:
        """Gradients of the record's operands, batched where those are."""
        region = self.region
        assert region is not None
        plain = rules is NodeRules
        with ElementTrace(region):
            roots, seeds = [], []
            for edge, part in zip(self.edges, gradient, strict=True):
                if part is not None:
                    seed = region.placeholder(part, None) if plain else region.placeholder(part.node, part.edge)
                    roots.append(edge)
                    seeds.append(seed.node if plain else seed)
            wanted = {id(t): t for t in self.targets}
            found = run_backward(roots, seeds, rules, _ignore, True, wanted, None, set(wanted))
        return self._lifted([found.get(id(t)) for t in self.targets], plain)

    def _lifted(self, parts: list[Any], plain: bool) -> tuple:
        region = self.region
        assert region is not None
        present = [p for p in parts if p is not None]
        if plain:
            region.batch(present)
            made = iter([(spread(p, region.values, region.size), True) for p in present])
        else:
            made = iter(lift(region, [p.node for p in present], [p.edge for p in present]))
        out: list[Any] = []
        value: Any
        for part, target in zip(parts, self.targets, strict=True):
            if part is None:
                out.append(None)
                continue
            value, is_batched = next(made)
            if not is_batched:
                value = ops.expand(value, shape=(region.size, *value.node.shape))
            batched_target = target.__class__ is Leaf and region.leaves.get(id(target), (None, None, False))[2]
            out.append(value if batched_target else ops.sum(value, dims=(0,), keepdim=False))
        return tuple(out)


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients of inner leaves are returned, not gathered."""


_BITS = {2: int16, 4: int32, 8: int64}


def opaque(tensor: Any) -> Any:
    """The same values without a way for derivatives that are taken of Nodes, which know nothing of histories: the bits,
    read as numbers again. None for what is no real floating number, where there is nothing to cut or no such way."""
    dtype = tensor.node.dtype
    if dtype.category != 2 or dtype.itemsize not in _BITS:
        return None
    return record(ops.bitcast, (record(ops.bitcast, (tensor,), (_BITS[dtype.itemsize],)),), (dtype,))
