"""Recurrent layers beside PyTorch's: values and all gradients, to float32 rounding; packed sequences step for step."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import squall as sq  # noqa: E402

pytestmark = pytest.mark.peer

LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bias": False}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 3, "num_layers": 2}),
    ("LSTM", {"proj_size": 3, "bidirectional": True, "bias": False}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("GRU", {"bias": False, "batch_first": True}),
]
CASES = [pytest.param(kind, options, id=f"{kind}-{'-'.join(options) or 'plain'}") for kind, options in LAYERS]


def pair(kind, options, sizes=(5, 6)):
    """The same layer in both, with PyTorch's weights."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*sizes, **options)
    ours = getattr(sq.nn, kind)(*sizes, **options)
    ours.load_state_dict({k: sq.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def flat(value):
    return [t for v in value for t in flat(v)] if isinstance(value, tuple) else [value]


def near(ours, theirs):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=2e-5, atol=2e-6 * max(1.0, np.abs(theirs).max()))


def compare(ours, theirs, x, hx=()):
    """Results, then gradients of the input, first states and every parameter under a weighted sum of the results."""
    mine = [sq.tensor(a, requires_grad=True) for a in (x, *hx)]
    other = [torch.tensor(a, requires_grad=True) for a in (x, *hx)]

    def states(given):
        return () if not hx else (given[1] if len(hx) == 1 else tuple(given[1:]),)

    got, want = flat(ours(mine[0], *states(mine))), flat(theirs(other[0], *states(other)))
    for a, b in zip(got, want, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        near(a, b)
    weights = [draw(7 + i, *b.shape) for i, b in enumerate(want)]
    sum((a * sq.tensor(w)).sum() for a, w in zip(got, weights, strict=True)).backward()
    sum((b * torch.tensor(w)).sum() for b, w in zip(want, weights, strict=True)).backward()
    for a, b in zip(mine, other, strict=True):
        near(a.grad, b.grad)
    named = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        near(named[name].grad, parameter.grad)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_state_dict_has_the_same_keys_in_the_same_order(kind, options):
    ours, theirs = pair(kind, options)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_values_and_gradients(kind, options):
    compare(*pair(kind, options), draw(1, 7, 4, 5))


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_with_first_states(kind, options):
    ours, theirs = pair(kind, options)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    batch = 7 if options.get("batch_first") else 4
    sizes = (options.get("proj_size") or 6, 6)[: 2 if kind == "LSTM" else 1]
    compare(ours, theirs, draw(1, 7, 4, 5), [draw(2 + i, count, batch, n) for i, n in enumerate(sizes)])


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_unbatched(kind):
    compare(*pair(kind, {"bidirectional": True}), draw(1, 7, 5))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_cells(kind):
    ours, theirs = pair(kind + "Cell", {})
    compare(ours, theirs, draw(1, 4, 5))
    compare(*pair(kind + "Cell", {}), draw(1, 4, 5), [draw(2 + i, 4, 6) for i in range(2 if kind == "LSTM" else 1)])
    compare(*pair(kind + "Cell", {"bias": False}), draw(1, 5))


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("lengths", [[7, 5, 5, 1], [2, 7, 3, 6]])
def test_packed(kind, lengths):
    ours, theirs = pair(kind, {"num_layers": 2, "bidirectional": True})
    x, is_sorted = draw(1, 7, 4, 5), lengths == sorted(lengths, reverse=True)
    mine, other = sq.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    packed = [module.nn.utils.rnn.pack_padded_sequence(t, module.tensor(lengths), enforce_sorted=is_sorted)
              for module, t in ((sq, mine), (torch, other))]
    near(packed[0].data, packed[1].data)
    assert packed[0].batch_sizes.tolist() == packed[1].batch_sizes.tolist()
    got, want = ours(packed[0]), theirs(packed[1])
    outputs = [module.nn.utils.rnn.pad_packed_sequence(o[0]) for module, o in ((sq, got), (torch, want))]
    near(outputs[0][0], outputs[1][0])
    assert outputs[0][1].tolist() == outputs[1][1].tolist()
    for a, b in zip(flat(got[1]), flat(want[1]), strict=True):
        near(a, b)
    weight = draw(3, *outputs[1][0].shape)
    (outputs[0][0] * sq.tensor(weight)).sum().backward()
    (outputs[1][0] * torch.tensor(weight)).sum().backward()
    near(mine.grad, other.grad)
    named = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        near(named[name].grad, parameter.grad)


def test_padding():
    parts = [draw(i, n, 3) for i, n in enumerate((2, 4, 1))]
    for first in (False, True):
        got = sq.nn.utils.rnn.pad_sequence([sq.tensor(p) for p in parts], first, 0.5)
        want = torch.nn.utils.rnn.pad_sequence([torch.tensor(p) for p in parts], first, 0.5)
        assert got.tolist() == want.tolist()
    got = sq.nn.utils.rnn.pack_sequence([sq.tensor(p) for p in parts], enforce_sorted=False)
    want = torch.nn.utils.rnn.pack_sequence([torch.tensor(p) for p in parts], enforce_sorted=False)
    assert got.data.tolist() == want.data.tolist()
    assert got.sorted_indices.tolist() == want.sorted_indices.tolist()
