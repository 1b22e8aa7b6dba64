"""Factors of indefinite matrices, checked by what they solve; a derivative whose form symbolic sizes leave open."""

import numpy as np
import pytest

import squall as sq

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_solve(n, kind, hermitian):
    """Small diagonals ask for blocks of two."""
    a = RNG.normal(size=(3, n, n)) + (1j * RNG.normal(size=(3, n, n)) if kind == "complex128" else 0)
    a[1:, range(n), range(n)] *= 1e-6
    a = a + (a.conj() if hermitian else a).swapaxes(-1, -2)
    b = RNG.normal(size=(3, n, 2)).astype(kind)
    factor = sq.linalg.ldl_factor(sq.tensor(a), hermitian=hermitian)
    x = sq.linalg.ldl_solve(*factor, sq.tensor(b), hermitian=hermitian)
    np.testing.assert_allclose(a @ x.numpy(), b, atol=1e-8)
    assert (factor.LD.numpy() == np.tril(factor.LD.numpy())).all()
    assert n < 2 or (factor.pivots < 0).any()
    assert not sq.linalg.ldl_factor_ex(sq.tensor(a), hermitian=hermitian).info.any()


def test_broadcast_and_programs():
    a = sq.tensor([[0.0, 1.0], [1.0, 0.0]])
    LD, pivots = sq.linalg.ldl_factor(a)
    b = sq.arange(6.0).reshape(3, 2, 1)
    assert (a @ sq.linalg.ldl_solve(LD, pivots, b) == b).all()
    solve = sq.compile(lambda m, v: sq.linalg.ldl_solve(*sq.linalg.ldl_factor(m), v))
    assert (solve(a, b[0]) == b[0].flip(0)).all()
    both = sq.vmap(lambda v: sq.linalg.ldl_solve(LD, pivots, v))(b)
    assert (both == b.flip(1)).all()


def test_what_cannot_be():
    found = sq.linalg.ldl_factor_ex(sq.diag(sq.tensor([1.0, 0.0])))
    assert found.info.item() == 2
    with pytest.raises(RuntimeError, match="singular"):
        sq.linalg.ldl_factor_ex(sq.zeros(2, 2), check_errors=True)
    with pytest.raises(RuntimeError, match="square"):
        sq.linalg.ldl_factor(sq.ones(2, 3))
    with pytest.raises(NotImplementedError, match="pivots must be integers"):
        sq.linalg.ldl_solve(sq.eye(2), sq.ones(2), sq.ones(2, 1))
    with pytest.raises(RuntimeError, match="do not fit"):
        sq.linalg.ldl_solve(sq.eye(2), sq.tensor([1, 2]), sq.ones(3, 1))


ROWS = {"dynamic_shapes": ({0: sq.Dim("m", min=2, max=50)},)}


@pytest.mark.parametrize("function", [lambda x: sq.linalg.qr(x)[1], lambda x: sq.linalg.lu_factor(x)[0]])
def test_open_sizes_are_named(function):
    """Which of rows and columns are more decides the form of the derivative; a range that decides it serves."""
    x = sq.randn(5, 3, requires_grad=True)
    with pytest.raises(sq.base.errors.TraceError, match=r"m rows and 3 columns .* declare ranges"):
        sq.compile(lambda t: function(t).sum(), **ROWS)(x).backward()
    least = sq.compile(lambda t: function(t).sum(), dynamic_shapes=({0: sq.Dim("rows", min=3, max=50)},))
    least(x).backward()
    y = x.detach().clone().requires_grad_()
    function(y).sum().backward()
    assert sq.allclose(x.grad, y.grad, atol=1e-6)


@pytest.mark.parametrize("name", ["pinv", "matrix_rank"])
def test_tolerances_of_symbolic_sizes_are_named(name):
    function = getattr(sq.linalg, name)
    with pytest.raises(sq.base.errors.TraceError, match=f"linalg.{name}: .* give rtol"):
        sq.compile(function, **ROWS)(sq.ones(5, 3))
    given = sq.compile(lambda x: function(x, rtol=1e-6), **ROWS)
    assert given(sq.ones(5, 3)).shape == function(sq.ones(5, 3)).shape
