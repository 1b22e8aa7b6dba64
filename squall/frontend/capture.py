"""Capturing a function: placeholders in, a `Program` out that binds present buffers and writes results back.

Without history to the outside, a program is one executable over the arguments and over every outside storage the
function read. With it (an output needs gradients), the program is one `call` node recorded like any op.
"""

from __future__ import annotations

import gc
from typing import Any, Callable, NamedTuple

from squall.base import pytree
from squall.base.errors import TraceError
from squall.frontend.binding import Bound, Source
from squall.frontend.core import Cell, Handle, scalar_node, wrap
from squall.frontend.state import local
from squall.frontend.tape import Leaf
from squall.frontend.tracing import Trace
from squall.frontend.views import View
from squall.base.dtypes import float64, int64
from squall.ir.node import Node, toposort
from squall.ir.op import ops


class Placeholders(NamedTuple):
    """The stand-ins a function is traced with: values in place of the leaves, and where each placeholder is bound from."""

    values: list
    sources: dict[int, Source]
    cells: dict[int, int]  # id of a stand-in cell -> position of the argument whose cell it stands for
    leaves: list[tuple[Any, int]]  # leaves made for arguments with history, and their positions


def stand_in(leaves: list, varying: frozenset[int], dynamic: Any, trace: Trace) -> Placeholders:
    """Placeholders for flat arguments; Tensors that share storage get stand-ins that do."""
    values: list = list(leaves)
    sources: dict[int, Source] = {}
    cells: dict[int, Cell] = {}
    cell_positions: dict[int, int] = {}
    made_leaves: list[tuple[Any, int]] = []
    handles: dict[int, Any] = {}
    for position, leaf in enumerate(leaves):
        if not isinstance(leaf, Handle):
            if position in varying:
                values[position] = _number(leaf, position, trace, sources)
            continue
        if id(leaf) in handles:
            values[position] = handles[id(leaf)]
            continue
        real = leaf._cell
        if real is None or id(real) not in cells:
            node = leaf._node if real is None else real._node
            type = node.type if dynamic is None or real is not None and leaf._view is not None else dynamic.type(position, node.type)
            holder = Node(ops.input, (), (len(sources),), type)
            sources[id(holder)] = Source("argument" if real is None else "cell", position, holder)
        made = wrap(holder if real is None else None)
        if real is not None:
            cell = cells.get(id(real))
            if cell is None:
                cell = cells[id(real)] = Cell(holder)
                cell_positions[id(cell)] = position
            made._cell, view = cell, leaf._view
            if view is not None:
                made._view = View(view.steps, None, 0, None, view.strides, view.offset)  # type: ignore[arg-type]
        edge = leaf.edge
        if edge is not None:
            made._edge = edge if edge.__class__ is Leaf else Leaf(leaf.node.type)
            if made._edge is not edge:
                made_leaves.append((made._edge, position))
        values[position] = handles[id(leaf)] = made
    sources["cells"] = cells  # type: ignore[index,assignment]
    return Placeholders(values, sources, cell_positions, made_leaves)


def _number(value: Any, position: int, trace: Trace, sources: dict) -> Any:
    node = scalar_node(value, float64 if isinstance(value, float) else int64)
    sources[id(node)] = Source("number", position, node)
    return wrap(node)


def capture(function: Callable, leaves: list, structure: Any, varying: frozenset[int], dynamic: Any, name: str,
            changed: Callable[[], bool]) -> Any:
    """Trace a function once and make the program of it.

    Args:
        leaves, structure: the arguments, flat. varying: positions of numbers that become inputs. dynamic: declared sizes.
        name: for messages. changed: whether the structure of a module or optimizer changed since the trace began.
    """
    trace = Trace()
    holders = stand_in(leaves, varying, dynamic, trace)
    holders.sources.pop("cells")  # type: ignore[call-overload]
    args, kwargs = pytree.unflatten(structure, holders.values)
    try:
        with trace:
            returned = function(*args, **kwargs)
        del args, kwargs
        bound = _bind(trace, holders, returned, name, changed)
    finally:
        trace.restore()
    for leaf, position in holders.leaves:
        if leaf.grad is not None:
            raise TraceError(f"{name}: backward inside the compiled function reached argument {position}, whose history is outside; "
                             "call backward outside, or compile the whole step")
    return bound


def _bind(trace: Trace, holders: Placeholders, returned: Any, name: str, changed: Callable[[], bool]) -> Any:
    outputs, out_structure = pytree.flatten(returned)
    del returned
    tensors = [t for t in outputs if isinstance(t, Handle)]
    escaped = _escaped(trace, holders, tensors)
    if escaped and not changed():
        gc.collect()
        escaped = _escaped(trace, holders, tensors)
        if escaped:
            shapes = ", ".join(str(list(e._node.shape)) for e in escaped[:3])
            raise TraceError(f"{name}: a traced tensor (shape {shapes}) escaped into a Python object; its value would belong to this "
                             "call only. Return it from the function, or keep state in Tensors written in place.")
    tracked = local.state.grad and any(t.edge is not None for t in tensors)
    return Bound(trace, holders.sources, holders.cells, outputs, out_structure, escaped, tracked, name)


def _escaped(trace: Trace, holders: Placeholders, tensors: list) -> list:
    expected = {id(t) for t in tensors} | {id(t._cell) for t in tensors if t._cell is not None}
    expected |= {id(c) for c, _, _ in trace.cells.values()} | set(holders.cells)
    for leaf, _ in trace.leaves.values():
        if leaf.grad is not None:
            expected |= {id(leaf.grad), id(leaf.grad._cell)}
    out = []
    for held in trace.survivors():
        if id(held) in expected or held._node is None or held._node.buffer is not None:
            continue
        if held.__class__ is not Cell and held._cell is not None:
            continue
        if held._node.op is not ops.input:
            out.append(held)
    return out


def graph_leaves(roots: list[Node]) -> list[Node]:
    """The leaves below roots, in a deterministic order."""
    return [n for n in toposort(roots, lambda n: n.buffer is not None)
            if n.buffer is not None or n.op in (ops.input, ops.scalar)]
