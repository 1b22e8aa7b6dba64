"""Polynomials under NumPy's older names, and the objects that are indexed to make arrays, against NumPy's."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp
from tests.unit.numpy.comparing import agree

R = numpy.random.default_rng(0)
POINTS, VALUES, WEIGHTS = R.normal(size=20), R.normal(size=(20, 2)), R.random(20)
P, Q = [2.0, 0.0, -1.0, 4.0], [1.0, 2.0]


@pytest.mark.parametrize(
    "name, args",
    [
        ("polyadd", (P, Q)), ("polysub", (Q, P)), ("polymul", ([0, 1, 2], [3, 4])), ("polydiv", (P, Q)),
        ("polydiv", (Q, P)), ("polyder", (P, 2)), ("polyint", (P, 2, [1, 2])),
        ("polyval", (P, [[1.0, 2.0], [3.0, 4.0]])),
        ("roots", ([1.0, -6.0, 11.0, -6.0],)), ("roots", ([0.0, 1.0, 0.0],)), ("roots", ([1.0, 0.0, 1.0],)),
        ("poly", (Q,)), ("poly", ([1j, -1j],)), ("poly", ([[1.0, 2.0], [3.0, 4.0]],)),
        ("vander", ([1, 2, 3],)), ("vander", ([1.0, 2.0], 4, True)), ("vander", ([1, 2], 0)),
        ("polyfit", (POINTS, VALUES, 3)), ("polyfit", (POINTS, VALUES[:, 0], 2, None, True)),
        ("polyfit", (POINTS, VALUES[:, 0], 3, None, False, WEIGHTS)),
        ("polyfit", (POINTS, VALUES, 2, None, False, None, True)),
        ("polyfit", (POINTS, VALUES[:, 1], 2, None, False, WEIGHTS, "unscaled")),
    ],
)  # fmt: skip
def test_as_numpys(name, args):
    ours, theirs = getattr(snp, name)(*args), getattr(numpy, name)(*args)
    for got, wanted in zip(*(r if isinstance(r, tuple) else (r,) for r in (ours, theirs)), strict=True):
        numpy.testing.assert_allclose(numpy.asarray(got), wanted, rtol=1e-9, atol=1e-9)
        assert numpy.shape(got) == numpy.shape(wanted)


def test_what_cannot_be_fitted():
    with pytest.raises(TypeError, match="same length"):
        snp.polyfit([1.0], [1.0, 2.0], 1)
    with pytest.raises(ValueError, match="deg"):
        snp.polyfit([1.0], [1.0], -1)
    with pytest.warns(numpy.exceptions.RankWarning):
        snp.polyfit([1.0, 1.0], [1.0, 1.0], 1)


def test_values_have_gradients():
    slope = sq.func.grad(lambda x: snp.polyval(P, x))(snp.asarray(3.0))
    assert float(slope) == numpy.polyval(numpy.polyder(P), 3.0)


def test_zeros_have_gradients():
    step, at = 1e-6, numpy.array([1.0, -6.0, 11.0, -6.0])
    found = sq.func.grad(lambda x: snp.sum(snp.real(snp.roots(x)) ** 3))(snp.asarray(at))
    for i, unit in enumerate(numpy.eye(4)):
        high, low = ((numpy.roots(at + s * unit).real ** 3).sum() for s in (step, -step))
        assert abs(float(found[i]) - (high - low) / (2 * step)) < 1e-4


@pytest.mark.parametrize("matrix", [[[2.0, 1.0], [0.0, 3.0]], [[0.0, 1.0], [-1.0, 0.0]], [[[1.0, 2.0], [3.0, 4.0]]]])
def test_eigenvalues(matrix):
    ours, theirs = snp.linalg.eig(matrix), numpy.linalg.eig(matrix)
    agree(ours.eigenvalues, theirs.eigenvalues)
    agree(snp.linalg.eigvals(matrix), numpy.linalg.eigvals(matrix))
    left = snp.asarray(matrix) @ ours.eigenvectors
    agree(left, numpy.asarray(ours.eigenvectors) * numpy.asarray(ours.eigenvalues)[..., None, :], 1e-6)
    with pytest.raises(numpy.linalg.LinAlgError):
        snp.linalg.eig([[1.0, float("nan")], [0.0, 1.0]])


def test_poly1d():
    p, q = snp.poly1d([1.0, 2.0, 3.0]), numpy.poly1d([1.0, 2.0, 3.0])
    assert str(p) == str(q) and repr(p) == repr(q)
    assert str(p * -p) == str(q * -q) and repr(2 - p) == repr(2 - q) and repr(p**3 + 1) == repr(q**3 + 1)
    assert repr(p(p)) == repr(q(q)) and float(p(2)) == q(2) and repr(p / 2) == repr(q / 2)
    assert (p / snp.poly1d([1.0, 1.0]))[1] == snp.poly1d([2.0]) and p != p + 1
    assert p[0] == 3 and p[9] == 0 and p.o == 2 and len(p) == 2
    p[3] = 5.0
    assert p.c.tolist() == [5.0, 1.0, 2.0, 3.0]
    assert str(snp.poly1d([1, 2], True, "z")) == str(numpy.poly1d([1, 2], True, "z"))
    assert repr(snp.poly1d([0.0, 0.0])) == "poly1d([0.])"


@pytest.mark.parametrize("name", ["mgrid", "ogrid"])
@pytest.mark.parametrize(
    "key",
    [numpy.s_[0:3, 0:1:5j], numpy.s_[1:5:2,], numpy.s_[0:3], numpy.s_[-1:1:4j],
     numpy.s_[numpy.float32(0) : numpy.float32(1) : numpy.float32(0.25),]],
    ids=str,
)  # fmt: skip
def test_grids(name, key):
    agree(getattr(snp, name)[key], getattr(numpy, name)[key])


X = numpy.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    "key",
    [numpy.s_[1:4, 0, 4], numpy.s_[X, X], numpy.s_["0,2", [1, 2], [3, 4]], numpy.s_["-1", X, X],
     numpy.s_["0,2,0", [1, 2], [3, 4]], numpy.s_["1,2,0", [1, 2], [3, 4]], numpy.s_[-1:1:6j, [0] * 3, 5]],
    ids=str,
)  # fmt: skip
def test_joining_in_brackets(key):
    agree(snp.r_[key], numpy.r_[key])


def test_columns_in_brackets():
    agree(snp.c_[[1, 2], [3, 4]], numpy.c_[[1, 2], [3, 4]])
    agree(snp.c_[X, [[7], [8]]], numpy.c_[X, [[7], [8]]])
    assert snp.s_[1:, 2] == (slice(1, None), 2) and snp.index_exp[1:] == (slice(1, None),)
