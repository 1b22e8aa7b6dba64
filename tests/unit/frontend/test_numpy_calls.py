"""NumPy's functions and operators, and matplotlib, take Tensors; operators with arrays give Tensors."""

import numpy as np
import pytest

import squall as sq

VALUES = np.array([[1.0, -2.0, 4.0], [0.5, 3.0, -1.0]], dtype=np.float32)
CALLS = {
    "sin": np.sin,
    "add": lambda t: np.add(VALUES, t),
    "mean": np.mean,
    "mean of rows": lambda t: np.mean(t, axis=1),
    "sum": lambda t: np.sum(t, axis=0, keepdims=True),
    "concatenate": lambda t: np.concatenate([t, t]),
    "stack": lambda t: np.stack((t, 2 * VALUES)),
    "norm": np.linalg.norm,
    "where": lambda t: np.where(t > 0, t, 0),
    "shape": lambda t: np.array(np.shape(t)),
    "einsum": lambda t: np.einsum("ij,kj->ik", t, VALUES),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_give_what_they_give_for_arrays(name):
    found = CALLS[name](sq.tensor(VALUES))
    assert not isinstance(found, sq.Tensor) and np.array_equal(found, CALLS[name](VALUES))


@pytest.mark.parametrize("operate", [lambda a, t: a + t, lambda a, t: a * t, lambda a, t: a > t, lambda a, t: a == t,
                                     lambda a, t: a @ t.T, lambda a, t: np.float32(2) / t])
def test_operators_give_tensors(operate):
    found = operate(VALUES * 2, sq.tensor(VALUES))
    assert isinstance(found, sq.Tensor) and np.array_equal(found.numpy(), operate(VALUES * 2, VALUES))


def test_results_can_be_written_into_tensors():
    out = sq.zeros(3)
    np.mean(sq.tensor(VALUES), axis=0, out=out.numpy())
    assert out.tolist() == VALUES.mean(0).tolist()


def test_history_is_not_lost_silently():
    with pytest.raises(RuntimeError, match="detach"):
        np.mean(sq.tensor(VALUES, requires_grad=True))


def test_matplotlib_draws_tensors():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    line = pyplot.plot(sq.arange(3), sq.tensor(VALUES[0]))[0]
    assert np.array_equal(np.asarray(line.get_ydata()), VALUES[0])
    assert pyplot.imshow(sq.tensor(VALUES)).get_array().shape == (2, 3)
    assert pyplot.hist(sq.tensor(VALUES[1]), bins=2)[0].sum() == 3
    pyplot.close("all")
