"""Initial values have PyTorch's distributions; gradients can be clipped; parameters become vectors."""

import math

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.base.errors import ShapeError
from squall.nn import init, utils


def uniform_within(values, bound):
    values = values.detach().numpy().astype(np.float64)
    assert abs(values).max() <= bound * (1 + 1e-6)
    assert abs(values.std() - bound / math.sqrt(3)) < 0.05 * bound
    assert abs(values.mean()) < 0.05 * bound


def normal_with(values, std):
    values = values.detach().numpy().astype(np.float64)
    assert abs(values.std() - std) < 0.05 * std and abs(values.mean()) < 0.05 * std
    assert abs((abs(values) < std).mean() - 0.6827) < 0.02


def test_layers_start_as_pytorchs_do():
    sq.manual_seed(0)
    layer = nn.Linear(100, 200)
    uniform_within(layer.weight, 0.1)
    uniform_within(layer.bias, 0.1)
    layer = nn.Conv2d(16, 64, 3)
    uniform_within(layer.weight, 1 / 12)
    layer = nn.Conv2d(16, 64, 3, groups=4)
    uniform_within(layer.weight, 1 / 6)
    normal_with(nn.Embedding(200, 50).weight, 1.0)
    attention = nn.MultiheadAttention(64, 4)
    uniform_within(attention.in_proj_weight, math.sqrt(6 / (64 * 4)))
    assert attention.in_proj_bias.tolist() == [0.0] * 192 and attention.out_proj.bias.tolist() == [0.0] * 64
    norm = nn.BatchNorm2d(3)
    assert norm.weight.tolist() == [1.0] * 3 and norm.running_var.tolist() == [1.0] * 3


def test_named_distributions():
    sq.manual_seed(1)
    w = sq.empty(300, 200)
    uniform_within(init.xavier_uniform_(w, gain=2.0), 2 * math.sqrt(6 / 500))
    normal_with(init.xavier_normal_(w), math.sqrt(2 / 500))
    uniform_within(init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(6 / 200))
    normal_with(init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 300))
    normal_with(init.normal_(w, std=0.3), 0.3)
    cut = init.trunc_normal_(w, std=1.0, a=-1.0, b=1.0).numpy()
    assert abs(cut).max() <= 1.0 and abs(cut.std() - 0.5396) < 0.02
    assert init.constant_(w, 2.5)[0, 0].item() == 2.5 and init.eye_(sq.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 2, 2)])
def test_orthogonal(shape):
    w = init.orthogonal_(sq.empty(shape), gain=2.0).numpy().reshape(shape[0], -1).astype(np.float64)
    square = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-5)


def test_a_seed_or_generator_repeats_initial_values():
    sq.manual_seed(3)
    a = nn.Linear(4, 4).weight.tolist()
    sq.manual_seed(3)
    assert nn.Linear(4, 4).weight.tolist() == a
    g = sq.Generator()
    a = init.normal_(sq.empty(5), generator=g.manual_seed(1)).tolist()
    assert init.normal_(sq.empty(5), generator=g.manual_seed(1)).tolist() == a


def test_wrong_requests():
    with pytest.raises(ShapeError, match="at least 2 dimensions"):
        init.xavier_uniform_(sq.empty(3))
    with pytest.raises(ValueError, match="Mode fan not supported"):
        init.kaiming_normal_(sq.empty(3, 3), mode="fan")
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        init.calculate_gain("what")


def parameter(gradient):
    p = nn.Parameter(sq.zeros(len(gradient)))
    p.grad = sq.tensor(gradient)
    return p


def test_clipping_by_norm():
    a, b, c = parameter([3.0]), parameter([0.0, 4.0]), nn.Parameter(sq.zeros(1))
    assert abs(utils.clip_grad_norm_([a, b, c], 1.0).item() - 5.0) < 1e-6
    np.testing.assert_allclose([*a.grad.tolist(), *b.grad.tolist()], [0.6, 0.0, 0.8], rtol=1e-5)
    assert abs(utils.clip_grad_norm_([a, b], 10.0).item() - 1.0) < 1e-5
    np.testing.assert_allclose(a.grad.tolist(), [0.6], rtol=1e-5)
    assert abs(utils.clip_grad_norm_(parameter([3.0, -4.0]), 1.0, math.inf).item() - 4.0) < 1e-6
    assert abs(utils.clip_grad_norm_(parameter([3.0, -4.0]), 1.0, 1.0).item() - 7.0) < 1e-6
    assert utils.clip_grad_norm_([c], 1.0).item() == 0.0
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(parameter([float("nan")]), 1.0, error_if_nonfinite=True)


def test_clipping_by_value():
    p = parameter([-3.0, 0.5, 2.0])
    utils.clip_grad_value_([p], 1.0)
    assert p.grad.tolist() == [-1.0, 0.5, 1.0]


def test_vectors():
    layer = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(layer.parameters())
    assert tuple(vector.shape) == (9,)
    utils.vector_to_parameters(sq.arange(9.0), layer.parameters())
    assert layer.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and layer.bias.tolist() == [6, 7, 8]
    with pytest.raises(ShapeError, match=r"must have shape \(9,\)"):
        utils.vector_to_parameters(sq.zeros(8), layer.parameters())
