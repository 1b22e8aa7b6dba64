"""Eigenvalues and eigenvectors of symmetric matrices: gradients of changes that keep them symmetric."""

import pytest

import squall as sq


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4)])
def test_gradients_to_second_order(shape):
    sq.manual_seed(1)
    x = sq.randn(*shape, dtype=sq.float64, requires_grad=True)

    def values(a):
        return sq.linalg.eigvalsh(a + a.mT)

    def vectors(a):  # up to their signs
        return sq.linalg.eigh(a + a.mT)[1].abs()

    assert sq.autograd.gradcheck(values, (x,)) and sq.autograd.gradgradcheck(values, (x,))
    assert sq.autograd.gradcheck(vectors, (x,))
