"""Activations against their formulas in float64: values, slopes, in-place forms, what `repr` says."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.base.errors import ShapeError

X = np.array([[-3.0, -1.0, -0.5, -0.2], [0.3, 0.5, 1.5, 4.0]])
SIGMOID = 1 / (1 + np.exp(-X))

CASES = {
    "Threshold": (nn.Threshold(0.4, 7.0), np.where(X > 0.4, X, 7.0), (X > 0.4) * 1.0),
    "Hardshrink": (nn.Hardshrink(0.4), np.where(np.abs(X) <= 0.4, 0, X), (np.abs(X) > 0.4) * 1.0),
    "Softshrink": (nn.Softshrink(0.4), np.sign(X) * np.maximum(np.abs(X) - 0.4, 0), (np.abs(X) > 0.4) * 1.0),
    "Tanhshrink": (nn.Tanhshrink(), X - np.tanh(X), np.tanh(X) ** 2),
    "CELU": (nn.CELU(0.7), np.maximum(X, 0) + np.minimum(0, 0.7 * np.expm1(X / 0.7)),
             np.where(X > 0, 1, np.exp(np.minimum(X, 0) / 0.7))),
    "RReLU": (nn.RReLU(0.1, 0.3).eval(), np.where(X > 0, X, 0.2 * X), np.where(X > 0, 1, 0.2)),
    "Softmin": (nn.Softmin(1), np.exp(-X) / np.exp(-X).sum(1, keepdims=True), None),
    "GLU": (nn.GLU(), X[:, :2] * SIGMOID[:, 2:], None),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes(name):
    layer, expected, slope = CASES[name]
    x = sq.tensor(X, requires_grad=True)
    y = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12, atol=1e-15)
    if slope is not None:
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-10, atol=1e-14)


def test_prelu_learns_a_slope_for_each_channel():
    layer = nn.PReLU(4, init=0.25).double()
    y = layer(sq.tensor(X))
    np.testing.assert_allclose(y.detach().numpy(), np.where(X > 0, X, 0.25 * X), rtol=1e-12)
    y.sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), np.minimum(X, 0).sum(0), rtol=1e-12)
    with pytest.raises(ShapeError, match="expected 1 or the 4 channels"):
        F.prelu(sq.tensor(X), sq.ones(3))


def test_rrelu_draws_slopes_while_training():
    y = F.rrelu(sq.full((1000,), -1.0), 0.1, 0.3, training=True).numpy()
    assert -0.3 <= y.min() < -0.28 and -0.12 < y.max() <= -0.1


@pytest.mark.parametrize("name", ["elu_", "selu_", "leaky_relu_", "hardtanh_", "celu_", "rrelu_", "relu_"])
def test_in_place_forms_write_over_their_input(name):
    x = sq.tensor(X)
    expected = getattr(F, name[:-1])(sq.tensor(X)).numpy()
    assert getattr(F, name)(x) is x
    np.testing.assert_array_equal(x.numpy(), expected)


def test_gumbel_softmax_is_one_hot_when_asked():
    sq.manual_seed(0)
    logits = sq.tensor(X, requires_grad=True)
    y = F.gumbel_softmax(logits, tau=0.5, hard=True)
    assert sorted(y.detach().numpy().ravel()) == pytest.approx([0] * 6 + [1] * 2)
    (y * sq.tensor(X)).sum().backward()
    assert np.abs(logits.grad.numpy()).sum() > 0


def test_softmax_without_a_dimension_follows_old_programs():
    assert np.allclose(F.softmax(sq.tensor(X)).numpy().sum(1), 1)
    assert np.allclose(F.softmax(sq.tensor(X[None])).numpy().sum(0), 1)


def test_wrong_arguments_and_repr():
    with pytest.raises(ShapeError, match="Halving dimension must be even"):
        F.glu(sq.zeros(2, 3))
    with pytest.raises(ValueError, match="lambda must be greater or equal to 0"):
        F.softshrink(sq.zeros(2), -1)
    with pytest.raises(ValueError, match="3D or 4D"):
        nn.Softmax2d()(sq.zeros(2, 2))
    assert repr(nn.Threshold(0.1, 20)) == "Threshold(threshold=0.1, value=20)"
    assert repr(nn.PReLU()) == "PReLU(num_parameters=1)" and repr(nn.GLU()) == "GLU(dim=-1)"
