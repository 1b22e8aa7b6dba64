"""Convolution and pooling against direct loops over every output element."""

from itertools import product

import numpy
import pytest

from squall.base.dtypes import as_dtype, float16
from squall.base.errors import ShapeError
from squall.ir.graph import expand_composites
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import Context
from squall.ops import ops

CASES = [
    ((2, 3, 5, 6), (4, 3, 3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), 1),
    ((1, 4, 7, 5), (6, 2, 3, 3), (2, 3), ((0, 2), (1, 1)), (2, 1), 2),
    ((2, 3, 8), (3, 1, 3), (2,), ((2, 1),), (1,), 3),
    ((1, 2, 3, 4, 3), (2, 2, 2, 1, 2), (1, 2, 1), ((0, 0), (1, 0), (1, 1)), (1, 1, 2), 1),
    ((2, 3, 4, 4), (5, 3, 1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
]


def leaf(array):
    return Node(ops.buffer, (), (), TensorType(array.shape, as_dtype(str(array.dtype))), array)


def direct(x, w, stride, padding, dilation, groups):
    """The definition: one output element and one tap at a time; what lies outside of x is 0."""
    sizes = [
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, (low, high), k, s, d in zip(x.shape[2:], padding, w.shape[2:], stride, dilation)
    ]
    out = numpy.zeros((x.shape[0], w.shape[0], *sizes))
    per_group = w.shape[0] // groups
    for n, o, *place in numpy.ndindex(*out.shape):
        for c, *tap in numpy.ndindex(*w.shape[1:]):
            at = [p * s - low + t * d for p, s, (low, _), t, d in zip(place, stride, padding, tap, dilation)]
            if all(0 <= i < size for i, size in zip(at, x.shape[2:])):
                channel = (o // per_group) * w.shape[1] + c
                out[(n, o, *place)] += x[(n, channel, *at)] * w[(o, c, *tap)]
    return out


def setup(case, seed=0):
    rng = numpy.random.default_rng(seed)
    x, w, *attrs = case
    return (
        rng.normal(size=x),
        rng.normal(size=w),
        dict(zip(("stride", "padding", "dilation", "groups"), attrs)),
    )


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("decompose", [False, True])
def test_convolution_is_its_definition(case, decompose):
    x, w, named = setup(case)
    bias = numpy.arange(w.shape[0]) * 1.0
    want = direct(x, w, *named.values()) + bias.reshape(-1, *(1,) * (x.ndim - 2))
    got = evaluate([ops.convolution(leaf(x), leaf(w), leaf(bias), **named)], decompose=decompose)[0]
    numpy.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_the_transposes(case):
    x, w, named = setup(case)
    nodes = leaf(x), leaf(w)
    y = ops.convolution(*nodes, **named)
    g = numpy.random.default_rng(1).normal(size=y.shape)
    context = Context(
        ops.convolution, y.attrs, tuple(n.type for n in nodes), y.type, nodes, None, (True, True)
    )
    gx, gw = evaluate(ops.convolution.grad(context, leaf(g)))
    for i, (array, gradient) in enumerate(((x, gx), (w, gw))):
        step = numpy.random.default_rng(2).normal(size=array.shape)
        moved = direct(step, w, *named.values()) if i == 0 else direct(x, step, *named.values())
        numpy.testing.assert_allclose((gradient * step).sum(), (g * moved).sum(), rtol=1e-10)


def test_transposed_convolution_is_the_transpose():
    rng = numpy.random.default_rng(3)
    x, w = rng.normal(size=(2, 3, 4, 3)), rng.normal(size=(3, 2, 3, 2))
    named = {"stride": (2, 3), "padding": ((1, 1), (0, 0)), "dilation": (1, 2), "groups": 1}
    y = evaluate(
        [ops.convolution_transpose(leaf(x), leaf(w), output_padding=(1, 0), **named)], decompose=True
    )[0]
    probe = rng.normal(size=y.shape)
    back = direct(probe, w, *named.values())[:, :, :4, :3]
    numpy.testing.assert_allclose((y * probe).sum(), (x * back).sum(), rtol=1e-10)


def test_a_window_of_one_element_is_a_plain_contraction():
    x, w, named = setup(CASES[-1])
    used = {n.op.name for n in toposort(expand_composites([ops.convolution(leaf(x), leaf(w), **named)]))}
    assert "window" not in used and "contract" in used


def test_16_bit_convolution_accumulates_in_float32():
    x, w = numpy.ones((1, 2048, 1), numpy.float16), numpy.full((1, 2048, 1), 1.0, numpy.float16)
    got = evaluate(
        [ops.convolution(leaf(x), leaf(w), stride=(1,), padding=((0, 0),), dilation=(1,), groups=1)],
        decompose=True,
    )
    assert got[0].dtype == numpy.float16 and got[0].item() == 2048 and as_dtype("float16") is float16


@pytest.mark.parametrize(
    "change, message",
    [
        ({"stride": (1,)}, "needs 2 entries"),
        ({"groups": 2}, "groups do not divide"),
        ({"w": (4, 2, 3, 3)}, "takes 2"),
        ({"w": (4, 3, 9, 3)}, "does not fit in size"),
        ({"w": (4, 3, 3)}, "window of as many sizes"),
    ],
)
def test_errors_name_the_function_and_shapes(change, message):
    x, w = numpy.zeros((2, 3, 5, 6)), numpy.zeros(change.pop("w", (4, 3, 3, 3)))
    named = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1, **change}
    with pytest.raises(ShapeError, match="convolution.*" + message):
        ops.convolution(leaf(x), leaf(w), **named)


def test_max_pool_and_its_gradient_element_by_element():
    rng = numpy.random.default_rng(4)
    x = rng.integers(0, 4, size=(2, 2, 7, 6)).astype("float64")  # many ties
    named = {"size": (3, 2), "stride": (2, 2), "padding": ((1, 1), (0, 1)), "dilation": (1, 2)}
    values, indices = ops.max_pool(leaf(x), **named)
    g = rng.normal(size=values.shape)
    context = Context(
        ops.max_pool,
        values.inputs[0].attrs,
        (leaf(x).type,),
        values.inputs[0].type,
        (None,),
        (values, indices),
        (True,),
    )
    gradient = ops.max_pool.grad(context, (leaf(g), None))
    got_values, got_indices, got_gradient = evaluate([values, indices, gradient], decompose=True)
    want = numpy.zeros_like(x)
    for n, c, p, q in numpy.ndindex(*values.shape):
        taps = [(p * 2 - 1 + i, q * 2 + 2 * j) for i, j in product(range(3), range(2))]
        inside = [(i, j) for i, j in taps if 0 <= i < 7 and 0 <= j < 6]
        best = max(inside, key=lambda t: x[n, c, t[0], t[1]])  # the first of equal ones
        assert got_values[n, c, p, q] == x[n, c, best[0], best[1]]
        assert got_indices[n, c, p, q] == best[0] * 6 + best[1]
        want[n, c, best[0], best[1]] += g[n, c, p, q]
    numpy.testing.assert_allclose(got_gradient, want, atol=1e-12)


def test_the_gradient_of_plain_pooling_has_no_sums_gathers_or_scatters():
    x = leaf(numpy.zeros((2, 3, 8, 8), "float32"))
    named = {"size": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    outputs = ops.max_pool(x, **named)
    context = Context(
        ops.max_pool,
        outputs[0].inputs[0].attrs,
        (x.type,),
        outputs[0].inputs[0].type,
        (None,),
        outputs,
        (True,),
    )
    gradient = ops.max_pool.grad(context, (leaf(numpy.zeros((2, 3, 4, 4), "float32")), None))
    used = {n.op.name for n in toposort(expand_composites([gradient]))}
    assert not used & {
        "sum",
        "gather",
        "scatter",
        "scatter_add",
        "index_add",
        "add_at",
        "pad",
        "amax",
        "argmax",
    }
