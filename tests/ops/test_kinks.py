"""Gradients where there is more than one: kinks, ties, bounds and zeros, with the values PyTorch gives there."""

from __future__ import annotations

import numpy as np
import pytest

from squall.ir.op import ops
from tests.ops.harness import BACKENDS, bound, op_gradients, placeholders

INF, NAN = np.inf, np.nan

# op, operands, attributes, the gradient of each operand for an incoming gradient of ones.
CASES = [
    ("relu", [[-1.0, 0.0, -0.0, 2.0, NAN]], {}, [[0, 0, 0, 1, 1]]),
    ("abs", [[-2.0, 0.0, -0.0, 3.0]], {}, [[-1, 0, 0, 1]]),
    ("sign", [[-2.0, 0.0, 3.0]], {}, [[0, 0, 0]]),
    ("round", [[0.5, 1.5]], {}, [[0, 0]]),
    ("maximum", [[1.0, 2.0, 3.0], [1.0, 5.0, 0.0]], {}, [[0.5, 0, 1], [0.5, 1, 0]]),
    ("minimum", [[1.0, 2.0, 3.0], [1.0, 5.0, 0.0]], {}, [[0.5, 1, 0], [0.5, 0, 1]]),
    ("clamp", [[-2.0, -1.0, 0.0, 1.0, 2.0, NAN], -1.0, 1.0], {}, [[0, 1, 1, 1, 0, 0], 1, 1]),
    ("clamp_min", [[0.0, 1.0, 2.0], 1.0], {}, [[0, 1, 1], 1]),
    ("clamp_max", [[0.0, 1.0, 2.0], 1.0], {}, [[1, 1, 0], 1]),
    ("hardtanh", [[-1.0, 0.0, 1.0]], {}, [[0, 1, 0]]),
    ("hardtanh", [[0.0, 3.0, 6.0]], {"low": 0.0, "high": 6.0}, [[0, 1, 0]]),
    ("leaky_relu", [[-1.0, 0.0, 1.0]], {"slope": 0.25}, [[0.25, 0.25, 1]]),
    ("elu", [[0.0, 1.0]], {}, [[1, 1]]),
    ("hardsigmoid", [[-3.0, 0.0, 3.0]], {}, [[0, 1 / 6, 0]]),
    ("hardswish", [[-3.0, 0.0, 3.0]], {}, [[0, 0.5, 1]]),
    ("nan_to_num", [[NAN, INF, -INF, 1.0]], {"nan": 0.0, "posinf": 1.0, "neginf": -1.0}, [[0, 0, 0, 1]]),
    ("pow", [[0.0, 0.0, 2.0], [0.0, 2.0, 0.0]], {}, [[0, 0, 0], [0, 0, np.log(2.0)]]),
    ("pow_scalar", [[0.0, -1.0]], {"exponent": 0}, [[0, 0]]),
    ("atan2", [[0.0, 1.0], [0.0, 1.0]], {}, [[0, 0.5], [0, -0.5]]),
    ("copysign", [[0.0, 2.0, -2.0], [1.0, -1.0, -1.0]], {}, [[0, -1, 1], [0, 0, 0]]),
    ("amax", [[[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]], {"dims": (1,), "keepdim": False}, [[[0, 0.5, 0.5], [1 / 3] * 3]]),
    ("amin", [[1.0, 1.0, 3.0, 2.0]], {"dims": (0,), "keepdim": True}, [[0.5, 0.5, 0, 0]]),
    ("prod", [[[2.0, 0.0, 3.0], [0.0, 0.0, 3.0]]], {"dims": (1,), "keepdim": False}, [[[0, 6, 0], [0, 0, 0]]]),
    ("cumprod", [[2.0, 0.0, 3.0]], {"dim": 0}, [[1, 8, 0]]),
    ("std", [[2.0, 2.0]], {"dims": (0,), "keepdim": False}, [[0, 0]]),
    ("norm", [[[0.0, 0.0], [3.0, 4.0]]], {"dims": (1,), "keepdim": False}, [[[0, 0], [0.6, 0.8]]]),
    ("norm", [[3.0, -3.0, 1.0]], {"dims": (0,), "keepdim": False, "ord": INF}, [[0.5, -0.5, 0]]),
    ("l1_loss", [[1.0, 2.0], [1.0, 0.0]], {"reduction": "sum"}, [[0, 1], [0, -1]]),
    ("smooth_l1_loss", [[1.0, 2.0], [0.0, 2.0]], {"reduction": "sum"}, [[1, 0], [-1, 0]]),
]


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize(("name", "operands", "attributes", "expected"), CASES,
                         ids=lambda v: v if isinstance(v, str) else "")
def test_gradient_at_kinks(name, operands, attributes, expected, backend):
    op = getattr(ops, name)
    arrays = [np.asarray(v, np.float64) for v in operands]
    nodes = placeholders(arrays)
    made = op(*nodes, **attributes)
    g = ops.full_like(made, value=1.0)
    parts = op_gradients(op, op.pack(attributes), nodes, made, g, (True,) * len(nodes))
    for got, want in zip(BACKENDS[backend](parts, bound(nodes, arrays)), expected, strict=True):
        np.testing.assert_allclose(got, np.asarray(want, np.float64), rtol=1e-12, atol=0)


def test_embedding_padding_gets_no_gradient():
    weight, index = np.arange(6.0).reshape(3, 2), np.array([1, 0, 1, 2])
    nodes = placeholders([weight, index])
    made = ops.embedding(*nodes, padding=1)
    g = ops.full_like(made, value=1.0)
    part = op_gradients(ops.embedding, (1,), nodes, made, g, (True, False))[0]
    (got,) = BACKENDS["cpu"]([part], bound(nodes, [weight, index]))
    np.testing.assert_array_equal(got, [[1, 1], [0, 0], [1, 1]])


def test_ignored_targets_get_no_gradient():
    logits, target = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 0.0]]), np.array([-100, 2])
    nodes = placeholders([logits, target])
    made = ops.cross_entropy(*nodes)
    g = ops.full_like(made, value=1.0)
    part = op_gradients(ops.cross_entropy, (-100, 0.0, "mean"), nodes, made, g, (True, False))[0]
    value, gradient = BACKENDS["cpu"]([made, part], bound(nodes, [logits, target]))
    p = np.exp(logits[1]) / np.exp(logits[1]).sum()
    np.testing.assert_allclose(value, -np.log(p[2]), rtol=1e-12)
    np.testing.assert_allclose(gradient, [[0, 0, 0], p - [0, 0, 1]], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("wrong", [3, -1])
def test_targets_out_of_range_are_reported(wrong):
    logits, target = np.zeros((2, 3)), np.array([0, wrong])
    nodes = placeholders([logits, target])
    with pytest.raises(IndexError):
        BACKENDS["decomposed"]([ops.cross_entropy(*nodes)], bound(nodes, [logits, target]))
    with pytest.raises(IndexError):
        BACKENDS["cpu"]([ops.cross_entropy(*nodes)], bound(nodes, [logits, target]))


def test_saved_operands_are_few():
    """What keeps activations alive: nothing for add, one operand or the result for the rest."""
    assert ops.add.saved((True, True)) == () and ops.sum.saved((True,)) == ()
    assert ops.mul.saved((True, False)) == (1,) and ops.mul.saved((False, True)) == (0,)
    for name in ("relu", "exp", "tanh", "sigmoid", "softmax", "log_softmax", "sqrt"):
        assert getattr(ops, name).saved((True,)) == ("out",), name
    assert "out" not in ops.batch_norm.saved((True, True, True))
