"""Views of the parts of complex Tensors: NumPy's, which share memory as well, are the oracle."""

import pickle

import numpy as np
import pytest

import squall as sq

Z = np.arange(12.0).reshape(3, 4) + 1j * np.arange(12.0)[::-1].reshape(3, 4)


def pairs(z):
    return z.view("f8").reshape(*z.shape, 2) if isinstance(z, np.ndarray) else sq.view_as_real(z)


def joined(x):
    return x.view("c16")[..., 0] if isinstance(x, np.ndarray) else sq.view_as_complex(x)


def doubled(z):
    z.real[...] *= 2
    z.imag[1] = 7.0
    return z.real, z.imag


def through_pairs(z):
    r = pairs(z)
    r[..., 0] += 1
    r[0] = 3.0
    r[1:, ::2, 1] = 0.5
    return r, r[:, 1]


def of_a_view(z):
    part = z.T[1:, 0:2].imag
    part[...] = 0.0
    return part, z.T[2]


def written_under_it(z):
    re, im = z.real, z.imag
    z *= 1j
    z[2] = 4 - 1j
    return re, im


def back_and_forth(z):
    again = joined(pairs(z))
    again *= 2
    pairs(again)[0, 0, 1] = -1.0
    return again, joined(pairs(z)[1:])


WAYS = (doubled, through_pairs, of_a_view, written_under_it, back_and_forth)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("evaluated", [False, True])
def test_writes_are_shared(way, evaluated):
    own, theirs = sq.tensor(Z) * 1, Z.copy()
    if evaluated:
        own.sum().item()
    for got, want in zip((*way(own), own), (*way(theirs), theirs), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)
        assert got.stride() == tuple(s // want.itemsize for s in want.strides)


@pytest.mark.parametrize("way", WAYS)
def test_compiled(way):
    one, two = sq.tensor(Z), sq.tensor(Z)
    got, want = sq.compile(way)(one), way(two)
    assert (one == two).all() and all((a == b).all() for a, b in zip(got, want, strict=True))


def test_memory_is_the_same():
    z = sq.tensor(Z)
    array = z.imag.numpy()
    array[0, 0] = 99.0
    assert z[0, 0].item() == 99j and z.imag.storage_offset() == 1 and not z.real.is_contiguous()
    z.real = sq.zeros(3, 4, dtype=sq.float64)
    z.imag = z.real + 1
    assert (z == 1j).all() and array[0, 0] == 1
    z.detach().real.add_(2)
    assert (z.real == 2).all()
    assert pickle.loads(pickle.dumps(z.imag)).tolist() == z.imag.tolist()
    assert sq.as_strided(z.imag, (2, 2), (8, 2), 1).tolist() == [[1, 1], [1, 1]]


def test_gradients():
    """Of what is read through views, and of what was written through them, against the same without views."""
    z = sq.tensor(Z, requires_grad=True)
    (sq.view_as_real(z) ** 2 * sq.tensor([1.0, 3.0])).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), 2 * Z.real + 6j * Z.imag)
    z = sq.tensor(Z, requires_grad=True)
    w = z * 1
    w.real.mul_(3)
    w.imag[0] = 0
    (w.abs() ** 2).sum().backward()
    want = 18 * Z.real + 2j * Z.imag
    want[0].imag = 0
    np.testing.assert_allclose(z.grad.numpy(), want)
    x = sq.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    (sq.view_as_complex(x) * (2 + 1j)).imag.sum().backward()
    assert x.grad.tolist() == [[1.0, 2.0]] * 3
    with pytest.raises(RuntimeError, match="leaf"):
        sq.tensor(Z, requires_grad=True).real.mul_(2)
    assert sq.autograd.gradgradcheck(lambda t: (sq.view_as_real(sq.view_as_complex(t) ** 2)).sum(), (x,))


def test_batches():
    z = sq.tensor(Z)
    assert (sq.vmap(sq.view_as_real)(z) == sq.view_as_real(z)).all()
    assert (sq.vmap(lambda v: v.imag * 2)(z) == z.imag * 2).all()


@pytest.mark.parametrize("make", [lambda: sq.ones(2, 4)[:, 1:3], lambda: sq.ones(2, 2).t(),
                                  lambda: sq.ones(3, 6)[:, ::3]])
def test_memory_that_is_not_complex(make):
    with pytest.raises(RuntimeError, match=r"stride 1.*offset divisible by 2.*\.contiguous"):
        sq.view_as_complex(make())
    assert sq.view_as_complex(make().contiguous()).is_complex()


def test_other_types():
    x = sq.ones(2)
    assert x.real is x
    for function in (sq.imag, sq.view_as_real):
        with pytest.raises(NotImplementedError):
            function(x)
    with pytest.raises(RuntimeError, match="size 2"):
        sq.view_as_complex(sq.ones(3))
