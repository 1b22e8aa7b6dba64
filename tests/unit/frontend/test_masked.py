"""sq.masked: what a mask leaves out takes no part, in values and gradients; errors say what is wrong."""

import numpy as np
import pytest

import squall as sq
from squall.base.errors import DtypeError, IndexRangeError, ShapeError

X = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]], np.float32)
MASK = np.array([[True, False, True], [False, True, True]])
WITHOUT = np.where(MASK, X, np.nan)


@pytest.mark.parametrize("name, reference", [
    ("sum", np.nansum), ("prod", np.nanprod), ("amax", np.nanmax), ("amin", np.nanmin), ("mean", np.nanmean),
])  # fmt: skip
@pytest.mark.parametrize("dim", [0, 1, None])
def test_reductions_skip_what_is_left_out(name, reference, dim):
    found = getattr(sq.masked, name)(sq.tensor(X), dim, mask=sq.tensor(MASK)).numpy()
    np.testing.assert_allclose(found, reference(WITHOUT, axis=dim), rtol=1e-6)


def test_spread_positions_and_norms():
    x, mask = sq.tensor(X), sq.tensor(MASK)
    np.testing.assert_allclose(sq.masked.var(x, 1, mask=mask).numpy(), np.nanvar(WITHOUT, axis=1, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(sq.masked.std(x, 1, False, mask=mask).numpy(), np.nanstd(WITHOUT, axis=1), rtol=1e-6)
    np.testing.assert_allclose(sq.masked.norm(x, 2.0, 1, mask=mask).numpy(), np.sqrt([10.0, 61.0]), rtol=1e-6)
    assert sq.masked.argmax(x, 1, mask=mask).tolist() == [2.0, 1.0]
    assert sq.masked.median(x, 1, mask=mask).tolist() == [1.0, -6.0]


def test_nothing_let_through_gives_the_value_that_changes_nothing():
    x, none = sq.tensor(X), sq.zeros(2, 3, dtype=sq.bool)
    assert sq.masked.sum(x, 1, mask=none).tolist() == [0.0, 0.0]
    assert sq.masked.prod(x, 1, mask=none).tolist() == [1.0, 1.0]
    assert sq.masked.amax(x, 1, mask=none).tolist() == [-np.inf, -np.inf]
    assert np.isnan(sq.masked.mean(x, 1, mask=none).numpy()).all()


def test_rows_and_their_gradient():
    x = sq.tensor(X, requires_grad=True)
    out = sq.masked.softmax(x, 1, mask=sq.tensor(MASK))
    part = np.where(MASK, np.exp(X), 0)
    np.testing.assert_allclose(out.detach().numpy(), part / part.sum(1, keepdims=True), rtol=1e-6)
    sq.masked.logsumexp(x, 1, mask=sq.tensor(MASK)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), part / part.sum(1, keepdims=True), rtol=1e-6)


def test_a_mask_broadcasts_and_integers_add_up_in_int64():
    x = sq.tensor([[1, 2, 3], [4, 5, 6]], dtype=sq.int32)
    found = sq.masked.sum(x, 0, mask=sq.tensor([True, False, True]))
    assert found.dtype is sq.int64 and found.tolist() == [5, 0, 9]


def test_errors_name_the_argument():
    x = sq.ones(2, 3)
    with pytest.raises(ShapeError, match=r"masked.sum: argument 'mask' of shape \[4\]"):
        sq.masked.sum(x, mask=sq.ones(4, dtype=sq.bool))
    with pytest.raises(IndexRangeError, match=r"masked.sum: argument 'mask' of shape"):
        sq.masked.sum(x, mask=sq.ones(1, 2, 3, dtype=sq.bool))
    with pytest.raises(DtypeError, match=r"masked.mean"):
        sq.masked.mean(x.to(sq.int64), mask=x > 0)
    with pytest.raises(ValueError, match=r"masked.median"):
        sq.masked.median(x.to(sq.int64), mask=x < 0)
