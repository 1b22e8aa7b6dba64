"""Recurrent layers against loops over their cells; compiled whatever the length; errors."""

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.base import trace
from squall.base.errors import ShapeError
from squall.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

KINDS = ["RNN", "LSTM", "GRU"]


def draw(seed, *shape):
    return sq.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def cell_of(layer, kind):
    """A cell with the first layer's parameters themselves."""
    cell = getattr(nn, kind + "Cell")(layer.input_size, layer.hidden_size)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, getattr(layer, name + "_l0"))
    return cell


def looped(cell, x, reverse=False):
    state, outputs = None, [None] * x.shape[0]
    for t in reversed(range(x.shape[0])) if reverse else range(x.shape[0]):
        state = cell(x[t], state)
        outputs[t] = state[0] if isinstance(state, tuple) else state
    return sq.stack(outputs), state


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_a_loop_over_its_cell(kind):
    layer, x = getattr(nn, kind)(5, 4), draw(0, 6, 3, 5).requires_grad_()
    output, last = layer(x)
    expected, state = looped(cell_of(layer, kind), x)
    np.testing.assert_allclose(output.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    for a, b in zip(last if kind == "LSTM" else [last], state if kind == "LSTM" else [state], strict=True):
        np.testing.assert_allclose(a[0].detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    (output**2).sum().backward()
    gradients = [p.grad.numpy().copy() for p in (x, *layer.parameters())]
    for p in (x, *layer.parameters()):
        p.grad = None
    (expected**2).sum().backward()
    for p, before in zip((x, *layer.parameters()), gradients, strict=True):
        np.testing.assert_allclose(before, p.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_direction_begins_at_the_end(kind):
    layer, x = getattr(nn, kind)(5, 4, bidirectional=True), draw(1, 6, 3, 5)
    cell = getattr(nn, kind + "Cell")(5, 4)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, getattr(layer, name + "_l0_reverse"))
    expected, _ = looped(cell, x, reverse=True)
    np.testing.assert_allclose(layer(x)[0][..., 4:].detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_dropout_acts_between_layers_and_in_training_only():
    layer, x = nn.GRU(5, 4, num_layers=2, dropout=0.5), draw(2, 6, 3, 5)
    assert not (layer(x)[0] == layer(x)[0]).all().item()
    layer.eval()
    assert (layer(x)[0] == layer(x)[0]).all().item()
    single = nn.GRU(5, 4, dropout=0.5)
    assert (single(x)[0] == single(x)[0]).all().item()


def test_a_train_step_compiles_to_the_same_bits():
    def trained(wrap):
        sq.manual_seed(0)
        layer = nn.LSTM(5, 4)
        optimizer = sq.optim.Adam(layer.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (layer(x)[0] ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        run = wrap(step)
        losses = [run(draw(i, 6, 3, 5)).item() for i in range(3)]
        return losses, [p.detach().numpy().copy() for p in layer.parameters()]

    plain, compiled = trained(lambda f: f), trained(sq.compile)
    assert plain[0] == compiled[0]
    for a, b in zip(plain[1], compiled[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_new_length_compiles_no_kernel():
    layer = nn.LSTM(5, 4)
    step = sq.compile(lambda x: layer(x)[0])
    for n in (5, 9, 40):
        step(draw(n, n, 3, 5)).tolist()
    before = trace.counters.get("kernels lowered", 0)
    step(draw(0, 300, 3, 5)).tolist()
    assert trace.counters.get("kernels lowered", 0) == before


def test_padding_does_not_reach_packed_sequences():
    layer, x = nn.GRU(5, 4, bidirectional=True), draw(3, 6, 2, 5)
    packed, last = layer(pack_padded_sequence(x, [6, 3]))
    output, lengths = pad_packed_sequence(packed)
    alone, last_alone = layer(x[:3, 1:])
    np.testing.assert_allclose(output[:3, 1:].detach().numpy(), alone.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last[:, 1:].detach().numpy(), last_alone.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert lengths.tolist() == [6, 3] and output[3:, 1].abs().sum().item() == 0


def test_errors_name_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"input.size\(-1\) must be equal to input_size. Expected 5, got 6"):
        nn.LSTM(5, 4)(sq.zeros(2, 3, 6))
    with pytest.raises(ShapeError, match=r"Expected hidden\[1\] size \(1, 3, 4\)"):
        nn.LSTM(5, 4)(sq.zeros(2, 3, 5), (sq.zeros(1, 3, 4), sq.zeros(1, 2, 4)))
    with pytest.raises(ShapeError, match="2D or 3D, got 4D"):
        nn.RNN(5, 4)(sq.zeros(1, 2, 3, 5))
    with pytest.raises(ValueError, match="Unknown nonlinearity 'gelu'"):
        nn.RNN(5, 4, nonlinearity="gelu")
    with pytest.raises(ValueError, match="enforce_sorted"):
        pack_padded_sequence(sq.zeros(4, 2, 3), [1, 4])
    with pytest.raises(ValueError, match="empty list"):
        pad_sequence([])
    with pytest.raises(ValueError, match="proj_size=4"):
        nn.LSTM(5, 4, proj_size=4)
