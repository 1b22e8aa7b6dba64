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
