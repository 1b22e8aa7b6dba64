"""The text of graphs: golden, and back to the same graph; and the graph level's specification."""

import numpy
import pytest

from squall.base.dim import Dim
from squall.base.dtypes import bool_, float32, float64, int64
from squall.base.errors import CompileError
from squall.ir.graph import Graph, placeholder, trace
from squall.ir.graph_text import graph_text, parse_graph
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType
from squall.ir.op import constant
from squall.ir.verify import verify
from squall.ops import ops

MATRIX = TensorType((2, 3), float32)


def affine():
    def body(a, b):
        twice = ops.mul(a, 2.0)
        return ops.sum(ops.add(twice, b), dims=(1,), keepdim=False), twice

    return trace(body, [MATRIX, TensorType((3,), float32)], "affine")


AFFINE = """\
graph affine(%0: f32[2, 3], %1: f32[3]) {
  %2 = constant(2.0) : f32[]
  %3 = mul(%0, %2) : f32[2, 3]
  %4 = add(%3, %1) : f32[2, 3]
  %5 = sum(%4; dims=(1,), keepdim=False) : f32[2]
  return %5, %3
}"""


def test_text_is_stable_and_parses_back():
    assert graph_text(affine()) == AFFINE
    assert graph_text(parse_graph(AFFINE)) == AFFINE
    a, b = numpy.arange(6, dtype="float32").reshape(2, 3), numpy.ones(3, "float32")
    for got, want in zip(
        evaluate(parse_graph(AFFINE).outputs, {0: a, 1: b}),
        evaluate(affine().outputs, {0: a, 1: b}),
        strict=True,
    ):
        numpy.testing.assert_array_equal(got, want)


def test_leaves_and_unusual_numbers():
    x = Node(ops.buffer, (), (), MATRIX)
    rate = Node(ops.scalar, (), (), TensorType((), float32), 0.1)
    roots = [ops.mul(x, rate), *(ops.add(x, v) for v in (float("inf"), float("nan"), -0.0, 1 / 3))]
    text = graph_text(roots)
    assert "scalar() : f32[] = 0.1" in text and "constant(nan)" in text and "constant(-0.0)" in text
    parsed = parse_graph(text)
    assert graph_text(parsed.outputs) == text
    for mine, theirs in zip(roots[1:], parsed.outputs[1:], strict=True):
        assert mine.inputs[1].attrs == theirs.inputs[1].attrs


def test_several_outputs_and_carried_graphs():
    inner = affine()
    outer = trace(lambda a, b: ops.call(a, b, graph=inner)[1], inner.input_types, "outer")
    text = graph_text(outer)
    assert (
        text.startswith("graph affine(") and "call(%0, %1; graph=graph.affine) : (f32[2], f32[2, 3])" in text
    )
    assert "pick(%2; index=1)" in text
    assert graph_text(parse_graph(text)) == text


def test_symbolic_sizes():
    n = Dim("n", min=1, max=64)
    graph = trace(lambda a: ops.reshape(a, shape=(n * 2, 2)), [TensorType((n, 4), float64)], "halves")
    text = graph_text(graph)
    assert text.splitlines()[0] == "dim n: 1..64"
    assert graph_text(parse_graph(text)) == text


@pytest.mark.parametrize(
    "name", ["convolution", "slice", "max_pool", "index", "dropout", "uniform", "pad", "attention"]
)
def test_samples_round_trip(name):
    from squall.base.dtypes import as_dtype

    op = ops.get(name)
    for sample in op.samples():
        leaves = [
            Node(ops.buffer, (), (), TensorType(a.shape, as_dtype(str(a.dtype)))) for a in sample.inputs
        ]
        made = op(*leaves, **sample.attributes)
        text = graph_text(made if isinstance(made, tuple) else [made])
        parsed = parse_graph(text)
        assert graph_text(parsed.outputs) == text
        verify(parsed)


def test_wrong_text_is_named():
    for wrong, message in (
        ("add(%3, %1) : f32[2, 4]", "should have type"),
        ("plus(%3, %1) : f32[2, 3]", "no op is called"),
    ):
        with pytest.raises(CompileError, match=message):
            parse_graph(AFFINE.replace("add(%3, %1) : f32[2, 3]", wrong))
    with pytest.raises(CompileError, match="no complete graph"):
        parse_graph("")


def node(op, inputs, attrs, type):
    return Node(op, inputs, attrs, type)


def broken_nodes():
    x, y = placeholder(0, MATRIX), placeholder(1, TensorType((2, 3), float64))
    flag = placeholder(2, TensorType((2, 3), bool_))
    yield node(ops.add, (x, y), (), MATRIX), "a cast is missing"
    yield node(ops.add, (x, x), (), TensorType((2, 4), float32)), "inference gives"
    yield node(ops.where, (x, x, x), (), MATRIX), "not bool"
    yield node(ops.sum, (x,), ((1, 0), False), TensorType((), float32)), "not sorted"
    yield node(ops.sum, (x,), ((-1,), False), TensorType((2,), float32)), "counted from 0"
    yield node(ops.sum, (x,), ([1], False), TensorType((2,), float32)), "expected numbers"
    yield node(ops.sum, (x,), ((1,),), TensorType((2,), float32)), "do not match"
    yield node(ops.reshape, (x,), ((4,),), TensorType((4,), float32)), "inference fails"
    yield node(ops.pick, (x,), (0,), MATRIX), "pick 0"
    yield node(ops.scalar, (), (), TensorType((2,), float32)), "zero-dimensional"
    yield node(ops.constant, (), ("2.0", float32), TensorType((), float32)), "not normalised"
    yield node(ops.neg, (flag,), (), TensorType((2, -3), float32)), "its type is"


@pytest.mark.parametrize(
    "broken, message", list(broken_nodes()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_specification_finds_broken_nodes(broken, message):
    with pytest.raises(CompileError, match=message):
        verify([broken])


def test_an_unpicked_tuple_and_a_foreign_input_are_found():
    x = placeholder(0, TensorType((3,), float32))
    several = ops.sort(x, dim=0)[0].inputs[0]
    with pytest.raises(CompileError, match="must be picked"):
        verify([node(ops.neg, (several,), (), TensorType((3,), float32))])
    with pytest.raises(CompileError, match="is no input of"):
        verify(Graph((), [ops.neg(x)]))


def test_good_graphs_pass():
    verify(affine())
    verify(trace(lambda a, b: ops.call(a, b, graph=affine()), affine().input_types))
    verify([ops.add(constant(1, int64), constant(2, int64))])
