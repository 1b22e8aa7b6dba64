"""The families of functions beyond the core: against NumPy, their methods and in-place forms, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import squall as sq

rng = np.random.default_rng(5)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32")


def agree(got, want) -> None:
    np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=2e-6)


X, Y = floats(4, 5), floats(4, 5)
WHOLE = np.array([[12, -18, 7], [0, 9, -5]])

AGAINST_NUMPY = {
    "hypot": (lambda x: sq.hypot(x, sq.tensor(Y)), lambda x: np.hypot(x, Y)),
    "logaddexp": (lambda x: x.logaddexp(sq.tensor(Y)), lambda x: np.logaddexp(x, Y)),
    "fmax": (lambda x: sq.fmax(x, sq.tensor(Y)), lambda x: np.fmax(x, Y)),
    "nextafter": (lambda x: sq.nextafter(x, sq.tensor(Y)), lambda x: np.nextafter(x, Y)),
    "sinc": (lambda x: sq.sinc(x), np.sinc),
    "signbit": (lambda x: sq.signbit(x), np.signbit),
    "diff": (lambda x: x.diff(2, 0), lambda x: np.diff(x, 2, 0)),
    "trapezoid": (lambda x: sq.trapezoid(x, dx=0.5), lambda x: np.trapezoid(x, dx=0.5)),
    "gradient": (lambda x: sq.gradient(x)[1], lambda x: np.gradient(x)[1]),
    "quantile": (lambda x: sq.quantile(x, 0.3, 1), lambda x: np.quantile(x, 0.3, 1).astype("float32")),
    "cov": (lambda x: sq.cov(x), np.cov),
    "corrcoef": (lambda x: sq.corrcoef(x), np.corrcoef),
    "kron": (lambda x: sq.kron(x, sq.tensor(Y)), lambda x: np.kron(x, Y)),
    "rot90": (lambda x: x.rot90(3), lambda x: np.rot90(x, 3)),
    "diagflat": (lambda x: sq.diagflat(x[0], -1), lambda x: np.diagflat(x[0], -1)),
    "cummax": (lambda x: x.cummax(1).values, lambda x: np.maximum.accumulate(x, 1)),
    "logcumsumexp": (lambda x: x.logcumsumexp(0), lambda x: np.logaddexp.accumulate(x, 0)),
    "take_along_dim": (lambda x: x.take_along_dim(x.argsort(1), 1), lambda x: np.sort(x, 1)),
    "histc": (lambda x: x.histc(7, -2, 2), lambda x: np.histogram(x, 7, (-2, 2))[0]),
    "i0": (lambda x: sq.i0(x), np.i0),
    "inverse": (lambda x: sq.linalg.inv(x[:, :4]), lambda x: np.linalg.inv(x[:, :4])),
    "det": (lambda x: sq.linalg.det(x[:, :4]), lambda x: np.linalg.det(x[:, :4])),
    "svdvals": (lambda x: sq.linalg.svdvals(x), lambda x: np.linalg.svd(x)[1]),
    "nuclear norm": (lambda x: x.norm("nuc"), lambda x: np.linalg.norm(x, "nuc")),
    "pinv": (lambda x: sq.linalg.pinv(x), np.linalg.pinv),
    "tensor_split": (lambda x: x.tensor_split(3, 1)[1], lambda x: np.array_split(x, 3, 1)[1]),
}


@pytest.mark.parametrize("name", AGAINST_NUMPY)
def test_values_are_numpys(name):
    ours, theirs = AGAINST_NUMPY[name]
    agree(ours(sq.tensor(X)), theirs(X))


def test_integers():
    a, b = sq.tensor(WHOLE), sq.tensor(WHOLE[::-1].copy())
    assert np.array_equal(sq.gcd(a, b).numpy(), np.gcd(WHOLE, WHOLE[::-1]))
    assert np.array_equal(sq.lcm(a, b).numpy(), np.lcm(WHOLE, WHOLE[::-1]))
    assert sq.bincount(sq.tensor([1, 1, 4]), minlength=6).tolist() == [0, 2, 0, 0, 1, 0]
    values, inverse, counts = sq.unique(a, return_inverse=True, return_counts=True)
    assert np.array_equal(values[inverse].numpy(), WHOLE)
    assert counts.sum().item() == 6
    assert sq.isin(a, sq.tensor([9, 12])).tolist() == [[True, False, False], [False, True, False]]
    assert sq.bucketize(sq.tensor([1, 4, 9]), sq.tensor([2, 4, 8]), right=True).tolist() == [0, 2, 3]


def test_scatter_reductions_in_one_place():
    base, index, source = sq.ones(3), sq.tensor([0, 0, 2]), sq.tensor([2.0, 4.0, 6.0])
    expected = {"sum": [7, 1, 7], "prod": [8, 1, 6], "mean": [7 / 3, 1, 3.5], "amax": [4, 1, 6], "amin": [1, 1, 1]}
    for reduce, values in expected.items():
        agree(base.scatter_reduce(0, index, source, reduce), np.array(values, "float32"))
    agree(base.scatter_reduce(0, index, source, "amin", include_self=False), np.array([2, 1, 6], "float32"))
    agree(base.scatter(0, index, source, reduce="multiply"), np.array([8, 1, 6], "float32"))


def test_in_place_forms_write_the_tensor_and_out_is_written():
    x = sq.tensor(X)
    alias = x.view(-1)
    assert x.clamp_min_(0.0) is x
    agree(alias, np.maximum(X, 0).reshape(-1))
    out = sq.empty(4, 5)
    assert sq.hypot(sq.tensor(X), sq.tensor(Y), out=out) is out
    agree(out, np.hypot(X, Y))
    x = sq.zeros(3)
    x.index_put_((sq.tensor([0, 0, 2]),), sq.tensor([1.0, 2.0, 5.0]), accumulate=True)
    assert x.tolist() == [3.0, 0.0, 5.0]
    assert sq.zeros(2, 3).t_().shape == (3, 2)
    assert sq.ones(3, 3).fill_diagonal_(0).sum().item() == 6.0


def test_gradients_of_factorizations_reach_the_matrix():
    a = sq.tensor((X @ X.T + 4 * np.eye(4)).astype("float32"), requires_grad=True)
    sq.linalg.cholesky(a).diagonal().log().sum().backward()  # half the logarithm of the determinant
    agree(a.grad, np.linalg.inv(a.detach().numpy()) / 2)


def test_library_steps_read_views_of_any_strides():
    index = sq.tensor([2, 0, 1]).reshape(3, 1).expand(3, 4)
    assert index.sort(0).values.tolist() == [[0] * 4, [1] * 4, [2] * 4]
    turned = sq.tensor(X)
    turned.tolist()  # computed: the view below is one of memory
    agree(turned.t()[1:, ::2].sort(1).values, np.sort(X.T[1:, ::2], 1))


def test_memory_formats_are_logical_strides():
    x = sq.rand(2, 3, 4, 5).contiguous(memory_format=sq.channels_last)
    assert x.stride() == (60, 1, 15, 3)
    assert x.is_contiguous(memory_format=sq.channels_last)
    assert not x.is_contiguous()
    assert x.half(memory_format=sq.channels_last).stride() == x.stride()


def test_distributions_have_their_means():
    sq.manual_seed(3)
    x = sq.empty(20000)
    for draw, mean, tolerance in (
        (lambda: x.exponential_(2.0), 0.5, 0.02),
        (lambda: x.geometric_(0.25), 4.0, 0.15),
        (lambda: sq.poisson(sq.full((20000,), 3.5)), 3.5, 0.1),
        (lambda: sq.binomial(sq.full((20000,), 10.0), sq.full((20000,), 0.3)), 3.0, 0.1),
    ):
        assert abs(draw().mean().item() - mean) < tolerance


@pytest.mark.parametrize(
    "call",
    [
        lambda x: sq.kthvalue(x, 9),
        lambda x: sq.diagonal_scatter(x, sq.ones(2)),
        lambda x: sq.linalg.inv(x),
        lambda x: sq.searchsorted(x[0], x, right=True, side="left"),
        lambda x: x.scatter_reduce(0, sq.zeros(1, 5, dtype=sq.int64), x, "max"),
        lambda x: sq.heaviside(x, sq.ones(1, dtype=sq.float64)),
        lambda x: sq.nn.functional.interpolate(x.reshape(1, 1, 4, 5), 3, mode="trilinear"),
        lambda x: sq.hypot(1.0, 2.0),
    ],
)
def test_what_does_not_fit_is_refused(call):
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError, NotImplementedError)):
        call(sq.tensor(X))


def test_python_floats_are_not_rounded_before_the_dtype_asked_for() -> None:
    for data in (0.7, [0.7, 1.3], [[0.1]]):
        assert sq.tensor(data, dtype=sq.float64).tolist() == data
    assert sq.tensor(16777217.0, dtype=sq.int64).item() == 16777217
    assert sq.tensor(0.1 + 0.7j, dtype=sq.complex128).item() == 0.1 + 0.7j
    assert sq.tensor(0.7).item() == np.float32(0.7)
