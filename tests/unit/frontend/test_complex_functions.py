"""Functions of complex Tensors beside NumPy: matrices, sums of exponentials, norms, statistics, padding."""

from __future__ import annotations

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F


def _numbers(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.RandomState(seed)
    return rng.randn(*shape) + 1j * rng.randn(*shape)


def _definite(n: int, seed: int = 0) -> np.ndarray:
    a = _numbers(n, n, seed=seed)
    return a @ a.conj().T + np.eye(n)


def test_triangular_factors_are_adjoint() -> None:
    a, b = _definite(4), _numbers(4, 2, seed=1)
    x = sq.tensor(a)
    upper = sq.linalg.cholesky(x, upper=True)
    np.testing.assert_allclose((upper.mH @ upper).numpy(), a, atol=1e-12)
    for factor, up in ((upper, True), (sq.linalg.cholesky(x), False)):
        np.testing.assert_allclose(sq.cholesky_inverse(factor, up).numpy(), np.linalg.inv(a), atol=1e-12)
        solved = sq.cholesky_solve(sq.tensor(b), factor, up).numpy()
        np.testing.assert_allclose(solved, np.linalg.solve(a, b), atol=1e-12)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_systems_from_a_factorization(left: bool, adjoint: bool) -> None:
    """In plain calls and compiled: the order of rows is found where the program runs."""
    a, b = _numbers(4, 4), _numbers(4, 2, seed=1)
    lu, pivots = sq.linalg.lu_factor(sq.tensor(a))
    right = b if left else b.T
    matrix = a.conj().T if adjoint else a
    wanted = np.linalg.solve(matrix, right) if left else np.linalg.solve(matrix.T, right.T).T

    def solve(lu: sq.Tensor, pivots: sq.Tensor, right: sq.Tensor) -> sq.Tensor:
        return sq.linalg.lu_solve(lu, pivots, right, left=left, adjoint=adjoint)

    for run in (solve, sq.compile(solve, fullgraph=True)):
        np.testing.assert_allclose(run(lu, pivots, sq.tensor(right)).numpy(), wanted, atol=1e-12)


def test_exponentials_of_matrices_compiled_and_mapped() -> None:
    """exp(A) of diagonalisable matrices, its derivative along a direction, and stacks of different norms."""
    a = _numbers(3, 4, 4) * np.array([0.1, 1.0, 6.0])[:, None, None]
    values, vectors = np.linalg.eig(a)
    wanted = vectors @ (np.exp(values)[..., None] * np.linalg.inv(vectors))
    x = sq.tensor(a)
    for run in (sq.linalg.matrix_exp, sq.compile(sq.linalg.matrix_exp, fullgraph=True), sq.vmap(sq.linalg.matrix_exp)):
        np.testing.assert_allclose(run(x).numpy(), wanted, rtol=1e-9, atol=1e-9)
    assert sq.matrix_exp(sq.zeros(2, 2, dtype=sq.bfloat16)).dtype is sq.bfloat16
    real = sq.tensor(a[1].real, requires_grad=True)
    assert sq.autograd.gradcheck(sq.matrix_exp, (real,))
    assert sq.autograd.gradgradcheck(sq.matrix_exp, (real,))


def test_reflections_of_complex_vectors() -> None:
    a, c = _numbers(4, 3), _numbers(4, 2, seed=2)
    packed, tau = sq.geqrf(sq.tensor(a))
    q = sq.linalg.householder_product(packed, tau)
    np.testing.assert_allclose((q @ packed[:3].triu()).numpy(), a, atol=1e-12)
    one = sq.eye(4, dtype=sq.complex128)
    whole = sq.ormqr(packed, tau, one).numpy()
    np.testing.assert_allclose(whole[:, :3], q.numpy(), atol=1e-12)
    for left, transpose in ((True, True), (False, False), (False, True)):
        matrix = whole.conj().T if transpose else whole
        other = c if left else c.T
        got = sq.ormqr(packed, tau, sq.tensor(other), left, transpose).numpy()
        np.testing.assert_allclose(got, matrix @ other if left else other @ matrix, atol=1e-12)


def test_older_svd_gives_v_not_its_conjugate() -> None:
    a = _numbers(4, 3)
    u, s, v = sq.svd(sq.tensor(a))
    np.testing.assert_allclose((u * s @ v.mH).numpy(), a, atol=1e-12)


def test_pseudo_inverse_of_hermitian_matrices() -> None:
    a = _definite(4)
    x = sq.tensor(np.tril(a) + np.triu(_numbers(4, 4, seed=5), 1))  # the upper triangle is not read
    np.testing.assert_allclose(sq.linalg.pinv(x, hermitian=True).numpy(), np.linalg.inv(a), atol=1e-12)


def test_sums_of_exponentials() -> None:
    a, b = _numbers(3, 4), _numbers(3, 4, seed=1)
    x, y = sq.tensor(a, requires_grad=True), sq.tensor(b)
    np.testing.assert_allclose(sq.logaddexp(x, y).detach().numpy(), np.log(np.exp(a) + np.exp(b)), atol=1e-12)
    np.testing.assert_allclose(sq.logsumexp(x, 1).detach().numpy(), np.log(np.exp(a).sum(1)), atol=1e-12)
    sq.logaddexp(x, y).real.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.conj(1 / (1 + np.exp(b - a))), atol=1e-12)
    far = sq.logaddexp(sq.tensor([800.0 + 1j, -np.inf + 0j]), sq.tensor([799.0 + 1j, -np.inf + 0j])).numpy()
    np.testing.assert_allclose(far[0], 800 + 1j + np.log1p(np.exp(-1.0)), rtol=1e-6)
    assert far[1].real == -np.inf


def test_activations_norms_and_distances() -> None:
    a, b = _numbers(3, 4), _numbers(3, 4, seed=1)
    x, y = sq.tensor(a), sq.tensor(b)
    np.testing.assert_allclose(F.silu(x).numpy(), a / (1 + np.exp(-a)), atol=1e-12)
    scaled = a / np.sqrt((a * a).mean(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(F.rms_norm(x, (4,), eps=1e-3).numpy(), scaled, atol=1e-12)
    distance = np.linalg.norm(a - b + 1e-6, axis=1)
    np.testing.assert_allclose(F.pairwise_distance(x, y).numpy(), distance, atol=1e-12)
    np.testing.assert_allclose(sq.sinc(x).numpy(), np.sinc(a), atol=1e-12)
    assert sq.float_power(sq.ones(2, dtype=sq.complex64), 2).dtype is sq.complex128


def test_statistics_and_padding() -> None:
    a = _numbers(3, 5)
    x = sq.tensor(a)
    np.testing.assert_allclose(sq.cov(x).numpy(), np.cov(a), atol=1e-12)
    weights = np.array([1, 2, 1, 3, 1])
    np.testing.assert_allclose(sq.cov(x, fweights=sq.tensor(weights)).numpy(), np.cov(a, fweights=weights), atol=1e-12)
    np.testing.assert_allclose(sq.corrcoef(x).numpy(), np.corrcoef(a), atol=1e-12)
    padded = sq.constant_pad_nd(x, (1, 2), 1 - 2j).numpy()
    np.testing.assert_array_equal(padded, np.pad(a, ((0, 0), (1, 2)), constant_values=1 - 2j))
    drawn = sq.empty(200, dtype=sq.complex64).uniform_(1.0, 2.0).numpy()
    assert ((drawn.real >= 1) & (drawn.real < 2) & (drawn.imag >= 1) & (drawn.imag < 2)).all()
    assert np.ptp(drawn.imag) > 0.5


def test_products_and_moves_of_nothing() -> None:
    """Sizes of 0 in the middle of a complex program."""
    x = sq.ones(0, 3, dtype=sq.complex64, requires_grad=True)
    x.roll(1, 0).reshape(3, 0).sum().abs().backward()
    assert x.grad.shape == (0, 3)
    empty = sq.ones(3, 0, dtype=sq.complex64) @ sq.ones(0, 2, dtype=sq.complex64)
    assert empty.tolist() == [[0j] * 2] * 3


def test_losses_determinants_and_least_squares() -> None:
    a, b = _numbers(4, 4), _numbers(4, 4, seed=1)
    x, y = sq.tensor(a), sq.tensor(b)
    np.testing.assert_allclose(F.l1_loss(x, y).item(), np.abs(a - b).mean(), rtol=1e-12)
    np.testing.assert_allclose(np.exp(sq.logdet(x).item()), np.linalg.det(a), rtol=1e-12)
    residuals = sq.linalg.lstsq(x[:, :2], y, driver="gelsd").residuals
    np.testing.assert_allclose(residuals.numpy(), np.linalg.lstsq(a[:, :2], b, rcond=None)[1], rtol=1e-10)
    np.testing.assert_allclose(sq.masked.var(x, 1).real.numpy(), a.var(1, ddof=1), rtol=1e-12)
    assert sq.linalg.matrix_rank(x, atol=1e-6).item() == 4
