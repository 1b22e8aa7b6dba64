"""sq.lstm, gru, rnn_tanh, rnn_relu and their cells give what the layers of the same parameters give."""

import pytest

import squall as sq
from squall import nn
from squall.nn.utils.rnn import pack_padded_sequence

LAYERS = {
    "lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
}  # fmt: skip
CELLS = {
    "lstm_cell": nn.LSTMCell, "gru_cell": nn.GRUCell, "rnn_tanh_cell": nn.RNNCell,
    "rnn_relu_cell": lambda *a: nn.RNNCell(*a, nonlinearity="relu"),
}  # fmt: skip


def flat(result):
    output, last = result
    return [output, *(last if isinstance(last, tuple) else (last,))]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_functions_are_the_layers(name, bias):
    layer = LAYERS[name](3, 4, num_layers=2, bias=bias, bidirectional=True, batch_first=True)
    x, h = sq.rand(2, 5, 3), sq.rand(4, 2, 4)
    hx = (h, h * 0.5) if name == "lstm" else h
    parameters = [p for row in layer.all_weights for p in row]
    made = getattr(sq, name)(x, hx, parameters, bias, 2, 0.0, False, True, True)
    for a, b in zip(made, flat(layer(x, hx)), strict=True):
        assert sq.allclose(a, b)
    packed = pack_padded_sequence(x, [5, 3], batch_first=True)
    made = getattr(sq, name)(packed.data, packed.batch_sizes, hx, parameters, bias, 2, 0.0, False, True)
    output, *last = flat(layer(packed, hx))
    for a, b in zip(made, [output.data, *last], strict=True):
        assert sq.allclose(a, b)


def test_projections():
    layer = nn.LSTM(3, 4, proj_size=2)
    x, hx = sq.rand(5, 2, 3), (sq.rand(1, 2, 2), sq.rand(1, 2, 4))
    made = sq.lstm(x, hx, layer.all_weights[0], True, 1, 0.0, False, False, False)
    for a, b in zip(made, flat(layer(x, hx)), strict=True):
        assert sq.allclose(a, b)


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_the_modules(name):
    module = CELLS[name](3, 4)
    x, h = sq.rand(2, 3), sq.rand(2, 4)
    hx = (h, h * 0.5) if name == "lstm_cell" else h
    made, wanted = getattr(sq, name)(x, hx, *module.parameters()), module(x, hx)
    for a, b in zip(made, wanted, strict=True):
        assert sq.allclose(a, b)


def test_errors_name_the_argument():
    layer = nn.GRU(3, 4)
    weights = layer.all_weights[0]
    with pytest.raises(RuntimeError, match="gru: expected 4 parameters"):
        sq.gru(sq.rand(5, 2, 3), sq.rand(1, 2, 4), weights[:3], True, 1, 0.0, False, False, False)
    with pytest.raises(RuntimeError, match="'hx' must have shape"):
        sq.gru(sq.rand(5, 2, 3), sq.rand(1, 3, 4), weights, True, 1, 0.0, False, False, False)
    with pytest.raises(TypeError, match="misses num_layers"):
        sq.gru(sq.rand(5, 2, 3), sq.rand(1, 2, 4), weights, True)
    with pytest.raises(RuntimeError, match="gru_cell: argument 'hx'"):
        sq.gru_cell(sq.rand(2, 3), sq.rand(2, 5), *weights)
