"""The NumPy oracle: leaves, 16-bit rounding, wrapping, checks against node types, composites."""

import numpy
import pytest

from squall.base.dtypes import bfloat16, float16, float32, float64, int32, uint8
from squall.base.errors import CompileError
from squall.ir.graph import Graph, inline, placeholder, trace
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType
from squall.ops import ops


def leaf(shape, dtype=float32):
    return Node(ops.buffer, (), (), TensorType(shape, dtype))


def test_leaves_and_broadcast():
    x, y = leaf((2, 3)), leaf((3,))
    a, b = numpy.arange(6, dtype="float32").reshape(2, 3), numpy.ones(3, "float32")
    total, scaled = evaluate(
        [ops.sum(ops.add(x, y), dims=(1,), keepdim=False), ops.mul(x, 2.0)], {x: a, y: b}
    )
    numpy.testing.assert_array_equal(total, (a + b).sum(1))
    numpy.testing.assert_array_equal(scaled, a * 2)


def test_bindings_may_be_a_function_or_an_index():
    x = placeholder(0, TensorType((2,), float64))
    a = numpy.array([1.0, 2.0])
    assert evaluate([ops.add(x, x)], lambda node: a)[0].tolist() == [2.0, 4.0]
    assert evaluate([ops.add(x, x)], {0: a})[0].tolist() == [2.0, 4.0]


def test_a_computed_node_is_a_leaf():
    x = leaf((2,))
    y = ops.add(x, x)
    y.buffer, y.inputs = numpy.array([5.0, 6.0], "float32"), ()
    assert evaluate([ops.mul(y, 2.0)])[0].tolist() == [10.0, 12.0]


@pytest.mark.parametrize("dtype", [float16, bfloat16])
def test_small_floats_round_after_each_op(dtype):
    x = leaf((1,), dtype)
    from squall.base.dtypes import numpy_dtype

    kind = numpy_dtype(dtype)
    a = numpy.array([1.0], kind)
    tiny = 2.0**-12
    got = evaluate([ops.add(ops.add(x, tiny), tiny)], {x: a})[0]
    assert got.dtype == kind and got[0] == 1


def test_a_scalar_of_a_small_float_counts_in_float32():
    x = leaf((1,), float16)
    scalar = Node(ops.scalar, (), (), TensorType((), float16), 1 / 3)
    got = evaluate([ops.mul(x, scalar)], {x: numpy.array([3.0], numpy.float16)})[0]
    assert got[0] == 1.0  # the rounded factor 0.3333 would give 0.99976


def test_integers_wrap_silently():
    x, y = leaf((2,), uint8), leaf((2,), int32)
    got = evaluate(
        [ops.add(x, x), ops.mul(y, y)],
        {x: numpy.array([200, 1], "uint8"), y: numpy.array([2**20, 3], "int32")},
    )
    assert got[0].tolist() == [144, 2] and got[1].tolist() == [0, 9]
    scalar = Node(ops.scalar, (), (), TensorType((), uint8), -1)
    assert evaluate([scalar])[0] == 255


def test_missing_and_wrong_bindings_are_named():
    x = leaf((2,))
    with pytest.raises(CompileError, match="no value was bound"):
        evaluate([ops.add(x, x)])
    with pytest.raises(CompileError, match="was bound to"):
        evaluate([ops.add(x, x)], {x: numpy.zeros(3, "float32")})


def test_no_warnings(recwarn):
    x = leaf((2,))
    evaluate([ops.div(x, 0.0)], {x: numpy.array([0.0, 1.0], "float32")})
    assert not recwarn.list


def test_inline_copies_the_body_over_arguments():
    graph = trace(lambda a, b: (ops.add(a, b), ops.mul(a, 3.0)), [TensorType((2,), float32)] * 2)
    x = leaf((2,))
    first, second = inline(graph, (x, ops.mul(x, x)))
    got = evaluate([first, second], {x: numpy.array([2.0, 3.0], "float32")})
    assert got[0].tolist() == [6.0, 12.0] and got[1].tolist() == [6.0, 9.0]


def test_graph_inputs_are_checked():
    with pytest.raises(CompileError, match="placeholder"):
        Graph((leaf((2,)),), ())
