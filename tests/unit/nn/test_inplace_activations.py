"""Activations written over their input train: their rules read the input as it was."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F

ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "silu": F.silu,
    "mish": F.mish,
    "elu": F.elu,
    "selu": F.selu,
    "leaky_relu": F.leaky_relu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_those_of_the_other_form(name):
    function = ACTIVATIONS[name]
    values = np.linspace(-4, 7, 12, dtype="float32") + 0.1
    gradients = []
    for inplace in (False, True):
        x = sq.tensor(values, requires_grad=True)
        middle = x * 1.5
        out = function(middle, inplace=inplace)
        assert (out is middle) == inplace
        (out * out).sum().backward()
        gradients.append(x.grad.numpy())
    assert np.array_equal(*gradients) and np.any(gradients[0])
    with pytest.raises(RuntimeError, match="leaf"):
        function(sq.tensor(values, requires_grad=True), inplace=True)
