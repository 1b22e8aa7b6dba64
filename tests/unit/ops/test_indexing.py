"""Indexing, slicing and sorting: order of writes, errors that name what is wrong, symbolic sizes."""

import numpy
import pytest

from squall.base.dim import Dim
from squall.base.dtypes import as_dtype, float64, int64
from squall.base.errors import DtypeError, IndexRangeError, ShapeError
from squall.ir.graph import placeholder
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType
from squall.ir.op import Context, constant
from squall.ops import ops


def leaf(array):
    array = numpy.asarray(array)
    return Node(ops.buffer, (), (), TensorType(array.shape, as_dtype(str(array.dtype))), array)


def whole(values):
    return leaf(numpy.asarray(values, numpy.int64))


def value(node):
    return evaluate([node])[0].tolist()


def test_the_last_write_stays_and_gets_the_gradient():
    x, index, source = leaf(numpy.zeros(4)), whole([1, 3, 1, -3]), leaf([1.0, 2.0, 3.0, 4.0])
    out = ops.scatter(x, index, source, dim=0)
    assert value(out) == [0, 4, 0, 2]
    context = Context(
        ops.scatter,
        (0,),
        (x.type, index.type, source.type),
        x.type,
        (None, index, None),
        None,
        (True, False, True),
    )
    base, _, inner = ops.scatter.grad(context, leaf([10.0, 20.0, 30.0, 40.0]))
    assert value(base) == [10, 0, 30, 0] and value(inner) == [0, 40, 0, 20]


def test_additions_go_in_index_order():
    parts = [1e16, 1.0, -1e16, 1.0]  # the sum depends on the order
    out = ops.index_add(leaf(numpy.zeros(2)), whole([1, 1, 1, 1]), leaf(parts), dim=0)
    assert value(out) == [0, 1.0]


def test_index_stands_where_the_first_dimension_stood():
    x = numpy.arange(24.0).reshape(2, 3, 4)
    got = evaluate([ops.index(leaf(x), whole([2, 0]), whole([[1], [3]]), dims=(1, 2))])[0]
    numpy.testing.assert_array_equal(got, x[:, [2, 0], [[1], [3]]])
    apart = evaluate([ops.index(leaf(x), whole([1, 0]), whole([3, 3]), dims=(0, 2))])[0]
    assert apart.shape == (2, 3)
    numpy.testing.assert_array_equal(apart, x[[1, 0], :, [3, 3]])


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda x: ops.take(x, whole([0, 5]), dim=0), "take: index 5 is out of range for size 3 of dim 0"),
        (
            lambda x: ops.gather(x, whole([[-5]]), dim=1),
            "gather: index -5 is out of range for size 4 of dim 1",
        ),
        (lambda x: ops.index(x, whole([3]), dims=(0,)), "index: index 3"),
        (
            lambda x: ops.slice(x, constant(2, int64), dims=(0,), sizes=(2,), steps=(1,)),
            "slice: start 2 with 2 elements",
        ),
        (
            lambda x: ops.slice(x, constant(0, int64), dims=(0,), sizes=(4,), steps=(1,)),
            "slice: 4 elements at step 1",
        ),
    ],
)
def test_positions_outside_are_index_errors(build, message):
    with pytest.raises(IndexRangeError, match=message):
        evaluate([build(leaf(numpy.zeros((3, 4))))])


@pytest.mark.parametrize(
    "build, error, message",
    [
        (
            lambda x: ops.take(x, leaf(numpy.zeros(2)), dim=0),
            DtypeError,
            "take: an index must be int64, got .*float64",
        ),
        (
            lambda x: ops.scatter(x, whole([[0]]), leaf(numpy.zeros((1, 2))), dim=0),
            ShapeError,
            "scatter: source .* one shape",
        ),
        (
            lambda x: ops.concat(x, leaf(numpy.zeros((3, 5))), dim=0),
            ShapeError,
            "concat: shapes .* differ outside of dim 0",
        ),
        (
            lambda x: ops.update_slice(x, x, constant(0, int64), dims=(0,), steps=(2,)),
            IndexRangeError,
            "update_slice: 3 elem",
        ),
        (
            lambda x: ops.index_put(x, x, whole([0]), dims=(0,)),
            ShapeError,
            r"index_put: the indices address shape \(1, 4\)",
        ),
        (
            lambda x: ops.window(x, dims=(1,), sizes=(5,), steps=(1,), dilations=(1,)),
            ShapeError,
            "window of 5 elements",
        ),
        (lambda x: ops.contract(x, x, equation="ab,ac->bc"), ShapeError, None),
        (lambda x: ops.contract(x, x, equation="ab,cb->a"), ShapeError, "nowhere else"),
        (lambda x: ops.matmul(x, x), ShapeError, "matmul: shapes .* do not multiply"),
        (lambda x: ops.linear(x, leaf(numpy.zeros((2, 3)))), ShapeError, "linear: input of shape"),
    ],
)
def test_errors_name_function_and_shapes(build, error, message):
    x = leaf(numpy.zeros((3, 4)))
    if message is None:
        assert build(x).shape == (4, 4)
        return
    with pytest.raises(error, match=message):
        build(x)


def test_a_starting_point_may_be_computed():
    x = leaf(numpy.arange(10.0))
    start = ops.add(whole(2), whole(3))
    assert value(ops.slice(x, start, dims=(0,), sizes=(2,), steps=(3,))) == [5, 8]
    assert value(ops.update_slice(x, leaf([-1.0]), start, dims=(0,), steps=(1,)))[4:7] == [4, -1, 6]


def test_sort_is_stable_and_puts_nan_above_all():
    x = leaf([2.0, numpy.nan, 1.0, 2.0, -numpy.inf])
    up, down = ops.sort(x, dim=0), ops.sort(x, dim=0, descending=True)
    assert value(up[1]) == [4, 2, 0, 3, 1] and value(down[1]) == [1, 0, 3, 2, 4]


def test_a_long_overlap_is_added_by_index():
    x = numpy.arange(50.0)
    view = ops.window(leaf(x), dims=(0,), sizes=(40,), steps=(1,), dilations=(1,))
    back = ops.unwindow(view, shape=(50,), dims=(0,), sizes=(40,), steps=(1,), dilations=(1,))
    times = numpy.minimum.reduce([numpy.arange(1, 51), numpy.arange(50, 0, -1), numpy.full(50, 11)])
    for decompose in (False, True):
        numpy.testing.assert_array_equal(evaluate([back], decompose=decompose)[0], x * times)


def test_symbolic_sizes_are_inferred_and_evaluated():
    n = Dim("n", min=1)
    x = placeholder(0, TensorType((n, 4), float64))
    both = ops.concat(x, ops.flip(x, dims=(0,)), dim=0)
    context = Context(ops.concat, (0,), (x.type, x.type), both.type, (None, None), None, (True, True))
    second = ops.concat.grad(context, both)[1]
    assert both.shape == (2 * n, 4) and second.shape == (n, 4)
    array = numpy.arange(12.0).reshape(3, 4)
    numpy.testing.assert_array_equal(evaluate([second], {0: array}, sizes={"n": 3})[0], array[::-1])


def test_attention_over_nothing_is_zero_and_has_a_finite_gradient():
    rng = numpy.random.default_rng(0)
    q, k, v = (leaf(rng.normal(size=(1, 2, 3))) for _ in range(3))
    mask = leaf(numpy.array([[True, False], [False, False]]))
    out, sums = ops.attention(q, k, v, mask, causal=False, scale=0.5)
    (node,) = out.inputs
    context = Context(
        ops.attention,
        node.attrs,
        tuple(n.type for n in (q, k, v, mask)),
        node.type,
        (q, k, v, mask),
        (out, sums),
        (True, True, True, False),
    )
    gradients = ops.attention.grad(context, (v, None))
    for decompose in (False, True):
        got = evaluate([out, *gradients[:3]], decompose=decompose)
        assert (got[0][0, 1] == 0).all() and all(numpy.isfinite(g).all() for g in got)
        assert (got[1][0, 1] == 0).all()
