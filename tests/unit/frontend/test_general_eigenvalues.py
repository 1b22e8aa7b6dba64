"""Eigenvalues of matrices that are not symmetric: values, and gradients of losses that no phase changes."""

import numpy as np
import pytest

import squall as sq

RNG = np.random.default_rng(4)


def matrices(kind, shape=(2, 4, 4)):
    real = RNG.normal(size=shape)
    return real + 1j * RNG.normal(size=shape) if kind == "complex128" else real


def invariant(x):
    """Of values and vectors, but of no vector's phase."""
    values, vectors = sq.linalg.eig(x)
    size = vectors.abs() ** 2
    return (values.abs() ** 3).sum() + (size * size).sum() + (values.real.unsqueeze(-2) * size).sum()


def slope(function, x, direction, step=1e-6):
    up, down = (float(function(sq.tensor(x + s * direction))) for s in (step, -step))
    return (up - down) / (2 * step)


@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_values_and_vectors(kind):
    x = matrices(kind)
    values, vectors = sq.linalg.eig(sq.tensor(x))
    assert values.dtype is vectors.dtype is sq.complex128 and values.shape == (2, 4)
    np.testing.assert_allclose(x @ vectors.numpy(), vectors.numpy() * values.numpy()[:, None, :], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(vectors.numpy(), axis=-2), 1, rtol=1e-12)
    np.testing.assert_array_equal(sq.linalg.eigvals(sq.tensor(x)).numpy(), values.numpy())
    assert sq.linalg.eigvals(sq.tensor(x[0]).to(sq.complex64)).dtype is sq.complex64


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("function", [invariant, lambda x: (sq.linalg.eigvals(x) ** 3).imag.abs().sum()])
def test_gradient_and_tangent(kind, function):
    x = matrices(kind)
    direction = matrices(kind)
    want = slope(function, x, direction)
    t = sq.tensor(x, requires_grad=True)
    function(t).backward()
    assert t.grad.dtype is t.dtype
    assert (t.grad.numpy().conj() * direction).sum().real == pytest.approx(want, rel=1e-6)
    moved = sq.func.jvp(function, (sq.tensor(x),), (sq.tensor(direction),))[1]
    assert float(moved) == pytest.approx(want, rel=1e-6)


def test_second_order():
    def loss(x):
        values = sq.linalg.eigvals(x)
        return (values.abs() ** 2).sum() + (values.real ** 3).sum()

    x = sq.tensor(matrices("float64", (3, 3)), requires_grad=True)
    assert sq.autograd.gradcheck(loss, (x,)) and sq.autograd.gradgradcheck(loss, (x,))
    given, direction = x.detach().numpy(), matrices("float64", (3, 3))
    product = sq.func.jvp(sq.func.grad(loss), (x.detach(),), (sq.tensor(direction),))[1]  # forward over reverse
    up, down = (sq.func.grad(loss)(sq.tensor(given + s * direction)).numpy() for s in (1e-6, -1e-6))
    np.testing.assert_allclose(product.numpy(), (up - down) / 2e-6, rtol=1e-5, atol=1e-6)


def test_transforms_and_programs():
    x = sq.tensor(matrices("float64", (3, 4, 4)))
    one = sq.vmap(sq.linalg.eigvals)(x)
    assert (one == sq.linalg.eigvals(x)).all()
    assert float(sq.compile(invariant)(x)) == float(invariant(x))
    assert sq.linalg.eigvals(sq.zeros(0, 3, 3)).shape == (0, 3)
    assert sq.linalg.eig(sq.zeros(2, 0, 0))[1].shape == (2, 0, 0)


def test_what_cannot_be():
    for shape in ((2, 3), (4,)):
        with pytest.raises(RuntimeError, match=r"linalg.eig: .*square matrices, got shape"):
            sq.linalg.eig(sq.ones(*shape))
    with pytest.raises(NotImplementedError, match=r"linalg\.eigvals"):
        sq.linalg.eigvals(sq.ones(2, 2, dtype=sq.int64))
    x = sq.stack([sq.full((2, 2), float("inf")), sq.eye(2)])
    values = sq.linalg.eigvals(x)
    assert values[0].isnan().all() and values[1].tolist() == [1, 1]
