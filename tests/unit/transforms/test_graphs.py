"""Graphs differentiated, pushed forward and batched: against the oracle, and against each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import squall.ops as _ops
from squall import transforms as _rules
from squall.base.dtypes import float64, int64
from squall.base.errors import CompileError
from squall.ir.graph import Graph, placeholder, trace
from squall.ir.interpret import evaluate
from squall.ir.node import TensorType
from squall.ir.op import ops
from squall.transforms.batch import batch_graph
from squall.transforms.grad import differentiate, gradient_graph, pull_back
from squall.transforms.tangent import tangent_graph

assert _ops and _rules
rng = np.random.default_rng(11)


def graph_of(function: Callable, *shapes: tuple[int, ...]) -> Graph:
    return trace(function, [TensorType(s, float64) for s in shapes], "sample")


def run(graph: Graph, *arrays: np.ndarray) -> list[np.ndarray]:
    return evaluate(graph.outputs, dict(enumerate(arrays)))


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


GRAPHS = {
    "elementwise": (lambda a, b: ops.mul(ops.exp(a), ops.add(b, 1.0)), (3, 4), (4,)),
    "contraction": (lambda a, b: ops.tanh(ops.matmul(a, b)), (3, 4), (4, 2)),
    "reduction": (lambda a, b: ops.add(ops.sum(ops.square(a), dims=(0,), keepdim=False),
                                       ops.amax(b, dims=(1,), keepdim=False)), (3, 4), (4, 5)),
    "several outputs": (lambda a, b: (ops.sin(a), ops.mul(a, b), b), (2, 3), (2, 3)),
    "composites": (lambda a, b: ops.softmax(ops.relu(ops.sub(a, b)), dim=1), (3, 4), (3, 4)),
    "sort": (lambda a, b: ops.mul(ops.sort(a, dim=0, descending=False)[0], b), (5,), (5,)),
    "unused argument": (lambda a, b: ops.exp(a), (3,), (2,)),
    "argument as result": (lambda a, b: (a, ops.mul(a, b)), (3,), (3,)),
}
INNER = graph_of(GRAPHS["contraction"][0], (3, 4), (4, 2))
GRAPHS["call"] = (lambda a, b: ops.call(a, ops.neg(b), graph=INNER)[0], (3, 4), (4, 2))


@pytest.mark.parametrize("name", GRAPHS)
def test_gradient_against_differences_and_tangent(name: str) -> None:
    function, *shapes = GRAPHS[name]
    graph = graph_of(function, *shapes)
    arguments = [floats(*s) for s in shapes]
    cotangents = [floats(*t.shape) for t in graph.output_types]
    tangents = [floats(*s) for s in shapes]
    gradients = run(gradient_graph(graph, (True, True), (True,) * len(cotangents)), *arguments, *cotangents)
    pushed = run(tangent_graph(graph, (True, True)), *arguments, *tangents)
    step = 1e-6
    ends = [run(graph, *(a + sign * step * t for a, t in zip(arguments, tangents, strict=True))) for sign in (1, -1)]
    differences = [(up - down) / (2 * step) for up, down in zip(*ends, strict=True)]
    assert all(np.allclose(p, d, atol=1e-7) for p, d in zip(pushed, differences, strict=True))
    along = sum((c * p).sum() for c, p in zip(cotangents, pushed, strict=True))
    assert np.isclose(sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True)), along)


@pytest.mark.parametrize("name", GRAPHS)
def test_split_in_forward_and_backward(name: str) -> None:
    function, *shapes = GRAPHS[name]
    graph = graph_of(function, *shapes)
    arguments = [floats(*s) for s in shapes]
    cotangents = [floats(*t.shape) for t in graph.output_types]
    forward, backward = differentiate(graph, (True, True))
    count = len(graph.outputs)
    made = run(forward, *arguments)
    assert all(np.array_equal(m, e) for m, e in zip(made[:count], run(graph, *arguments), strict=True))
    whole = run(gradient_graph(graph, (True, True), (True,) * count), *arguments, *cotangents)
    assert all(np.allclose(m, e) for m, e in zip(run(backward, *made[count:], *cotangents), whole, strict=True))


def test_the_backward_graph_takes_what_it_needs() -> None:
    graph = graph_of(lambda a, b: ops.tanh(ops.mul(a, b)), (3,), (3,))
    forward, backward = differentiate(graph, (True, False))
    assert len(forward.outputs) == 3 and len(backward.inputs) == 3 and len(backward.outputs) == 1
    linear = graph_of(lambda a: ops.sum(ops.mul(a, 2.0), dims=(0,), keepdim=False), (3,))
    forward, backward = differentiate(linear, (True,))
    assert len(forward.outputs) == 1 and len(backward.inputs) == 1


def test_gradients_of_gradients() -> None:
    graph = graph_of(lambda a: ops.sum(ops.mul(ops.square(a), a), dims=(0,), keepdim=False), (3,))
    first = gradient_graph(graph, (True,), (True,))
    second = gradient_graph(first, (True, False), (True,))
    x, g = floats(3), floats(3)
    assert np.allclose(run(second, x, np.ones(()), g)[0], 6 * x * g)
    inner = graph_of(lambda a: ops.call(a, graph=graph)[0], (3,))
    through = gradient_graph(gradient_graph(inner, (True,), (True,)), (True, False), (True,))
    assert np.allclose(run(through, x, np.ones(()), g)[0], 6 * x * g)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("batched", [(True, True), (True, False), (False, True)])
def test_batch_against_a_loop(name: str, batched: tuple[bool, bool]) -> None:
    function, *shapes = GRAPHS[name]
    graph = graph_of(function, *shapes)
    arguments = [floats(*((4, *s) if b else s)) for s, b in zip(shapes, batched, strict=True)]
    made = run(batch_graph(graph, batched, 4), *arguments)
    rows = [run(graph, *(a[i] if b else a for a, b in zip(arguments, batched, strict=True))) for i in range(4)]
    for k, out in enumerate(made):
        assert np.allclose(out, np.stack([row[k] for row in rows]))


def test_a_batched_graph_has_the_same_size_for_any_batch() -> None:
    graph = graph_of(lambda a, b: ops.softmax(ops.matmul(a, b), dim=1), (3, 4), (4, 2))
    small, large = (batch_graph(graph, (True, False), size) for size in (2, 1000))
    assert len(small.order()) == len(large.order())


def test_pull_back_stops_at_what_is_wanted() -> None:
    x = placeholder(0, TensorType((3,), float64))
    hidden = ops.exp(x)
    out = ops.mul(hidden, hidden)
    cotangent = placeholder(1, out.type)
    (gradient,) = pull_back([out], [cotangent], [hidden])
    h, c = floats(3), floats(3)
    assert np.allclose(evaluate([gradient], {0: np.log(np.abs(h)), 1: c})[0], 2 * np.abs(h) * c)
    assert pull_back([out], [None], [x]) == [None]


def test_integers_carry_no_gradient() -> None:
    graph = trace(lambda a, i: ops.take(a, i, dim=0), [TensorType((4,), float64), TensorType((2,), int64)])
    made = gradient_graph(graph, (True, False), (True,))
    assert np.allclose(run(made, floats(4), np.array([1, 1]), np.ones(2))[0], [0, 2, 0, 0])
    assert run(tangent_graph(graph, (True, False)), floats(4), np.array([3, 0]), np.arange(4.0))[
        0
    ].tolist() == [3.0, 0.0]


def test_graphs_check_their_inputs() -> None:
    with pytest.raises(CompileError):
        Graph([placeholder(1, TensorType((), float64))], [])
