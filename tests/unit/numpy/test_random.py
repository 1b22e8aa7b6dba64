"""numpy.random's names on squall's streams: seeds repeat, and moments are the distributions'."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp

COUNT = 40_000
DRAWS = {
    "random": (), "uniform": (2, 5), "standard_normal": (), "normal": (1, 2), "lognormal": (0, 0.5),
    "standard_exponential": (), "exponential": (2.0,), "laplace": (1, 2), "logistic": (0, 1), "gumbel": (1, 2),
    "rayleigh": (2,), "weibull": (1.5,), "pareto": (5.0,), "power": (3.0,), "triangular": (0, 1, 4),
    "poisson": (4.0,), "binomial": (10, 0.3), "geometric": (0.3,), "integers": (3, 9),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWS)
def test_moments_are_the_distributions(name):
    got = getattr(snp.random.default_rng(1), name)(*DRAWS[name], size=COUNT)
    wanted = getattr(numpy.random.default_rng(2), name)(*DRAWS[name], size=COUNT)
    ours = numpy.asarray(got)
    assert ours.dtype == wanted.dtype and ours.shape == wanted.shape
    spread = wanted.std()
    assert abs(ours.mean() - wanted.mean()) < 0.03 * spread
    assert abs(ours.std() - spread) < 0.1 * spread
    assert numpy.abs(numpy.quantile(ours, [0.1, 0.5, 0.9]) - numpy.quantile(wanted, [0.1, 0.5, 0.9])).max() < 0.1 * max(
        spread, 10 * (wanted.dtype.kind == "i")
    )


def test_seeds_repeat():
    for draw in (lambda g: g.normal(size=3), lambda g: g.integers(0, 99, 5), lambda g: g.permutation(9)):
        first, second, third = (draw(snp.random.default_rng(s)).tolist() for s in (5, 5, 6))
        assert first == second != third
    snp.random.seed(3)
    first = snp.random.rand(4).tolist()
    snp.random.seed(3)
    assert snp.random.random(4).tolist() == first
    assert snp.random.randn(2, 3).shape == (2, 3) and snp.random.randint(5, size=4).dtype is snp.int64
    generator = snp.random.default_rng(0)
    assert snp.random.default_rng(generator) is generator


def test_every_integer_comes():
    generator = snp.random.default_rng(0)
    counts = numpy.bincount(numpy.asarray(generator.integers(3, 9, size=6000)))
    assert counts[:3].tolist() == [0, 0, 0] and counts[3:].min() > 850
    assert set(generator.integers(0, 1, endpoint=True, size=50).tolist()) == {0, 1}
    assert generator.integers([0, 10], [5, 12]).shape == (2,)
    assert len(set(generator.bytes(64))) > 20
    with pytest.raises(ValueError, match="low >= high"):
        generator.integers(3, 3)


def test_choosing():
    generator = snp.random.default_rng(0)
    assert sorted(generator.choice(5, 5, False).tolist()) == [0, 1, 2, 3, 4]
    assert set(generator.choice(5, (20, 2), p=[0.5, 0, 0, 0, 0.5]).reshape(-1).tolist()) == {0, 4}
    assert sorted(generator.choice([7, 8, 9], 2, False, [0, 0.5, 0.5]).tolist()) == [8, 9]
    assert generator.choice(numpy.eye(3), 2, axis=1).shape == (3, 2)
    for bad in ({"size": 6, "replace": False}, {"p": [0.5] * 5}, {"p": [1.0]}):
        with pytest.raises(ValueError):
            generator.choice(5, **bad)


def test_orders():
    generator, x = snp.random.default_rng(0), snp.arange(12).reshape(3, 4)
    assert sorted(map(tuple, generator.permutation(x).tolist())) == [tuple(r) for r in x.tolist()]
    mixed = generator.permuted(x, axis=1)
    assert numpy.array_equal(numpy.sort(numpy.asarray(mixed), 1), numpy.asarray(x)) and mixed.tolist() != x.tolist()
    y = x.copy()
    generator.shuffle(y)
    assert sorted(y[:, 0].tolist()) == [0, 4, 8]


def test_normal_vectors():
    cov = numpy.array([[2.0, 0.5], [0.5, 1.0]])
    drawn = numpy.asarray(snp.random.default_rng(0).multivariate_normal([1.0, 2.0], cov, COUNT))
    numpy.testing.assert_allclose(drawn.mean(0), [1, 2], atol=0.04)
    numpy.testing.assert_allclose(numpy.cov(drawn.T), cov, atol=0.06)


def test_draws_inside_compiled_functions():
    generator = snp.random.default_rng(0)
    fast = sq.compile(lambda x: x + generator.standard_normal(3))
    first, second = fast(snp.zeros(3)).tolist(), fast(snp.zeros(3)).tolist()
    assert first != second


@pytest.mark.parametrize(
    "name, args", [("normal", (0, -1)), ("poisson", (-1.0,)), ("binomial", (3, 1.5)), ("geometric", (0.0,))]
)
def test_parameters_out_of_range(name, args):
    with pytest.raises(ValueError):
        getattr(snp.random.default_rng(0), name)(*args)
