"""Products, linear layers and convolutions as users write them reach the kernels that are made for them."""

import numpy as np
import pytest

import squall as sq
from squall.compiler import contract
from squall.runtime import matrix_tiles

F = sq.nn.functional


@pytest.fixture
def seen(monkeypatch):
    """The plans made while a test runs."""
    plans, real = [], contract._planned

    def spy(*arguments):
        plans.append(real(*arguments))
        return plans[-1]

    monkeypatch.setattr(contract, "_planned", spy)
    return plans


def draw(*shape, dtype=sq.float32):
    return sq.tensor(np.random.RandomState(0).standard_normal(shape).astype("f4")).to(dtype)


def close(got, wanted, tolerance):
    got = got.to(sq.float32).numpy()
    assert abs(got - wanted).max() <= tolerance * abs(wanted).max()


def test_few_rows_sweep(seen):
    a, b = draw(3, 611), draw(611, 523)
    close(a @ b, a.numpy() @ b.numpy(), 1e-5)
    assert [plan.choice.sweep_rows > 0 for plan in seen] == [True]


@pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
@pytest.mark.parametrize("how", ["product", "linear", "convolution"])
def test_bfloat16_runs_on_tiles(seen, how):
    half = sq.bfloat16
    if how == "product":
        a, b = draw(37, 211, dtype=half), draw(211, 53, dtype=half)
        got, wanted = a @ b, a.to(sq.float32).numpy() @ b.to(sq.float32).numpy()
    elif how == "linear":
        a, w = draw(39, 203, dtype=half), draw(57, 203, dtype=half)
        got, wanted = F.relu(F.linear(a, w)), np.maximum(a.to(sq.float32).numpy() @ w.to(sq.float32).numpy().T, 0)
    else:
        x, w = draw(2, 11, 9, 13, dtype=half), draw(19, 11, 3, 3, dtype=half)
        got, wanted = F.conv2d(x, w, padding=1), F.conv2d(x.to(sq.float32), w.to(sq.float32), padding=1).numpy()
    close(got, wanted, 2e-2)
    assert "tiles" in {plan.steps[0].library.role for plan in seen}


def parts(seen):
    return {plan.steps[-1].library.role for plan in seen}


@pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
def test_float32_runs_in_parts(seen):
    a, b, bias = draw(79, 217), draw(217, 94), draw(94)
    wanted = a.numpy().astype("f8") @ b.numpy()
    close(a @ b, wanted, 1e-6)
    assert parts(seen) == {"parts"}
    close(sq.compile(lambda x, y: F.relu(x @ y + bias))(a, b), np.maximum(wanted + bias.numpy(), 0), 1e-6)
    close(b.T @ a.T, wanted.T, 1e-6)
    assert parts(seen) == {"parts"}
    few = draw(31, 217) @ b
    few.numpy()
    assert "contract" in parts(seen)


@pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
def test_parts_have_the_same_bits_in_every_context():
    a, b, bias = draw(2, 150, 300), draw(300, 170), draw(170)
    before, made = sq.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            sq.set_num_threads(threads)
            made += [a @ b, sq.compile(lambda x, y: x @ y)(a, b), sq.compile(lambda x: x @ b, freeze=True)(a),
                     a @ b.T.clone().T, a[:, :, :] @ sq.cat([b, b], 1)[:, :170]]
            made = [m.numpy() if isinstance(m, sq.Tensor) else m for m in made]
            plain = made[0] + bias.numpy()
            np.testing.assert_array_equal(sq.compile(lambda x, y: x @ y + bias)(a, b).numpy(), plain)
    finally:
        sq.set_num_threads(before)
    for other in made[1:]:
        np.testing.assert_array_equal(other, made[0])


@pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
@pytest.mark.parametrize("where", ["operand", "weight"])
def test_frozen_weights_in_parts_and_infinities(where):
    x, w = draw(78, 300).numpy(), draw(94, 300).numpy()
    (x if where == "operand" else w)[33, 7] = np.inf
    frozen, plain = (sq.compile(lambda x, layer=layer: layer(x), freeze=freeze)
                     for freeze, layer in ((True, linear(w)), (False, linear(w))))
    given = sq.tensor(x)
    for _ in range(4):
        got = frozen(given).numpy()
    wanted = plain(given).numpy()
    np.testing.assert_array_equal(got, wanted)
    hit = got[33] if where == "operand" else got[:, 33]
    assert np.isinf(hit).all() and np.isinf(got).sum() == hit.size


def linear(weight):
    layer = sq.nn.Linear(weight.shape[1], weight.shape[0], bias=False).requires_grad_(False)
    with sq.no_grad():
        layer.weight.copy_(sq.tensor(weight))
    return layer


@pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
def test_convolutions_and_their_gradients_in_parts(seen):
    x, w, g = draw(3, 64, 12, 15), draw(72, 64, 3, 3), draw(3, 72, 12, 15)
    double = [t.to(sq.float64).requires_grad_() for t in (x, w)]
    single = [t.clone().requires_grad_() for t in (x, w)]
    for (one, two), upstream in ((double, g.to(sq.float64)), (single, g)):
        F.conv2d(one, two, padding=1).backward(upstream)
    close(F.conv2d(x, w, padding=1), F.conv2d(*double, padding=1).detach().numpy(), 2e-6)
    for mine, exact in zip(single, double, strict=True):
        close(mine.grad, exact.grad.numpy(), 2e-6)
    assert [plan.steps[-1].library.role for plan in seen].count("parts") >= 3
