"""numpy.polynomial's families: functions and objects give what NumPy's give, differentiate and compile."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp
from squall.numpy import polynomial as ours

theirs = numpy.polynomial
FAMILIES = {
    "polynomial": ("poly", "Polynomial"), "chebyshev": ("cheb", "Chebyshev"), "legendre": ("leg", "Legendre"),
    "hermite": ("herm", "Hermite"), "hermite_e": ("herme", "HermiteE"), "laguerre": ("lag", "Laguerre"),
}  # fmt: skip
random = numpy.random.default_rng(0)
FIVE, THREE, GRID = random.normal(size=5), random.normal(size=3), random.normal(size=(3, 4))
X, Y = random.normal(size=(2, 3)), random.normal(size=(2, 3))
POINTS, VALUES = random.normal(size=20), random.normal(size=(20, 2))
CALLS = [
    ("add", FIVE, THREE), ("sub", THREE, FIVE), ("mul", FIVE, THREE), ("div", FIVE, THREE), ("mulx", FIVE),
    ("pow", THREE, 3), ("val", X, FIVE), ("val", X, GRID), ("val2d", X, Y, GRID), ("grid2d", X[0], Y[1], GRID),
    ("vander", X, 4), ("vander2d", X, Y, [2, 3]), ("der", FIVE, 2), ("der", GRID, 1, 2.0, 1),
    ("int", FIVE, 2, [1, 2], 0.3),
    ("int", GRID, 1, [], 0, 1, 1), ("roots", FIVE), ("roots", THREE[:2]), ("fromroots", THREE), ("line", 2, 3),
    ("line", 2, 0), ("fit", POINTS, VALUES[:, 0], 3), ("fit", POINTS, VALUES, [0, 2]),
    ("fit", POINTS, VALUES, 2, None, False, POINTS**2), ("trim", [1.0, 1e-9, 0.0], 1e-6),
]  # fmt: skip


def close(made, wanted):
    if isinstance(wanted, tuple):
        assert len(made) == len(wanted)
        for m, w in zip(made, wanted, strict=True):
            close(m, w)
        return
    assert made.shape == wanted.shape and (made.dtype == wanted.dtype or wanted.dtype.kind == "i")
    numpy.testing.assert_allclose(numpy.asarray(made), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_functions_are_those_of_numpy(family):
    prefix = FAMILIES[family][0]
    for name, *arguments in CALLS:
        close(*(getattr(getattr(side, family), prefix + name)(*arguments) for side in (ours, theirs)))
    if prefix != "poly":
        close(*(getattr(getattr(side, family), f"{prefix}gauss")(7) for side in (ours, theirs)))
        for name, arguments in (("weight", (abs(X) / 4,)), ("2poly", (FIVE,))):
            close(*(getattr(getattr(side, family), prefix + name)(*arguments) for side in (ours, theirs)))
        close(*(getattr(getattr(side, family), f"poly2{prefix}")(FIVE) for side in (ours, theirs)))


@pytest.mark.parametrize("family", FAMILIES)
def test_objects_are_those_of_numpy(family):
    title = FAMILIES[family][1]
    found = []
    for side in (ours, theirs):
        kind = getattr(side, title)
        p, q = kind(FIVE, [0, 2], [-1, 1]), kind(THREE, [0, 2], [-1, 1])
        made = [p + q, p - 2, 3 * p, p * q, p // q, p % q, q**2, -p, p.deriv(), p.integ(2, [1], 0.5), p.convert(),
                p.convert(kind=side.Chebyshev), p.cutdeg(2), p.truncate(2), (p - p).trim(), kind.basis(3),
                kind.identity([0, 3]), kind.fromroots(THREE), kind.fit(POINTS, VALUES[:, 0], 2),
                kind.fit(POINTS, VALUES[:, 0], 2, domain=[]), p / 2, kind.cast(q)]  # fmt: skip
        values = [p(X), p.roots(), *p.linspace(4), *map(numpy.asarray, p.mapparms())]
        found.append((made, values, (repr(q), f"{q:ascii}")))
    for mine, other in zip(found[0][0], found[1][0], strict=True):
        close(mine.coef, other.coef)
        close(mine.domain, numpy.asarray(other.domain, float))
        close(mine.window, numpy.asarray(other.window, float))
    for mine, other in zip(found[0][1], found[1][1], strict=True):
        close(mine, numpy.asarray(other))
    assert found[0][2] == found[1][2]


def test_chebyshev_points_and_interpolation():
    for name, arguments in (("chebpts1", (4,)), ("chebpts2", (4,))):
        close(*(getattr(side.chebyshev, name)(*arguments) for side in (ours, theirs)))
    close(ours.chebyshev.chebinterpolate(snp.exp, 5), theirs.chebyshev.chebinterpolate(numpy.exp, 5))


def test_series_of_different_kinds_do_not_mix():
    p = ours.Polynomial([1, 2])
    with pytest.raises(TypeError, match="types differ"):
        p + ours.Chebyshev([1, 2])
    with pytest.raises(TypeError, match="Domains differ"):
        p + ours.Polynomial([1, 2], [0, 1])
    with pytest.raises(ValueError, match="symbols differ"):
        p + ours.Polynomial([1, 2], symbol="t")
    with pytest.raises(TypeError, match="true division"):
        p / p
    with pytest.raises(ZeroDivisionError):
        p // 0.0
    assert p == p.copy() and p != 1 and len(p) == 2 and [float(c) for c in p] == [1, 2]


def test_series_differentiate_and_compile():
    from squall.numpy.polynomial.legendre import legval

    at = snp.array([0.25, 0.5])
    slopes = sq.func.grad(lambda c: legval(at, c).sum())(snp.array([1.0, 2.0, 3.0]))
    wanted = theirs.legendre.legvander(numpy.asarray(at), 2).sum(0)
    assert numpy.allclose(numpy.asarray(slopes), wanted)
    program = sq.compile(lambda x, c: ours.chebyshev.chebmul(c, c)[0] + ours.chebyshev.chebval(x, c))
    assert numpy.allclose(program(at, snp.array([1.0, 2.0])).tolist(), [1 + 2 + 1.5, 1 + 2 + 2])
