"""The rules of `call`: gradient, tangent and batch of a call are calls of derived graphs, derived once a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.caches import Cache
from squall.ir.graph import Graph
from squall.ir.op import Context, ops
from squall.ops.bodies import derive
from squall.transforms.batch import batch_graph
from squall.transforms.grad import gradient_graph
from squall.transforms.tangent import tangent_graph

_derived = Cache("derived graphs", 1024)


def derived(graph: Graph, key: tuple, derive: Callable[[], Any]) -> Any:
    """What was derived from a graph under a key; derived when first asked for."""
    found = _derived.get((graph, *key))
    return _derived.put((graph, *key), derive()) if found is None else found


def _call_grad(context: Context, g: tuple) -> tuple:
    (graph,), needs = context.attrs, context.needs
    arrived = tuple(part is not None for part in g)
    inner = derived(graph, ("grad", needs, arrived), lambda: gradient_graph(graph, needs, arrived))
    made = iter(ops.call(*context.inputs, *(part for part in g if part is not None), graph=inner))
    return tuple(next(made) if need else None for need in needs)


def _call_tangent(context: Context, *tangents: Any) -> tuple:
    (graph,) = context.attrs
    given = tuple(t is not None for t in tangents)
    inner = derived(graph, ("jvp", given), lambda: tangent_graph(graph, given))
    made = iter(ops.call(*context.inputs, *(t for t in tangents if t is not None), graph=inner))
    return tuple(next(made) if type.dtype.category >= 2 else None for type in graph.output_types)


def _call_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (graph,) = attrs
    inner = derived(graph, ("vmap", batched, size), lambda: batch_graph(graph, batched, size))
    return ops.call(*operands, graph=inner), True


derive("call", grad=_call_grad, jvp=_call_tangent, vmap=_call_batch)
