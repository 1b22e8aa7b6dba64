"""Distributions by gamma numbers, counts and refusal: the same as NumPy's, by Kolmogorov's and Smirnov's distance."""

import numpy
import pytest

import squall as sq
import squall.numpy as snp

COUNT = 20_000
# both samples of this size from one distribution are further apart than this once in 20,000 draws
LIMIT = 2.3 * (2 / COUNT) ** 0.5
DRAWS = [
    ("standard_gamma", 0.5), ("gamma", 2.0, 3.0), ("gamma", 0.02, 1.0), ("gamma", 400.0, 0.5), ("beta", 0.1, 0.3),
    ("beta", 2, 5), ("chisquare", 3), ("noncentral_chisquare", 3, 20.0), ("noncentral_chisquare", 0.5, 2.0),
    ("f", 3, 7), ("noncentral_f", 3, 7, 2.0), ("standard_t", 3), ("wald", 1, 0.2), ("wald", 3, 5),
    ("negative_binomial", 3, 0.2), ("negative_binomial", 0.5, 0.9), ("hypergeometric", 15, 20, 10),
    ("hypergeometric", 3, 0, 2), ("logseries", 0.7), ("logseries", 0.999), ("zipf", 2.0), ("zipf", 1.3),
    ("vonmises", 1.0, 0.0), ("vonmises", 3.0, 4.0), ("vonmises", 0, 1000.0), ("vonmises", 0, 1e7),
    ("poisson", 0.3), ("poisson", 40.0), ("poisson", 1e6), ("binomial", 17, 0.1), ("binomial", 100_000, 0.3),
    ("binomial", 50, 1.0),
]  # fmt: skip


def distance(a, b):
    a, b = numpy.sort(a), numpy.sort(b)
    every = numpy.concatenate([a, b])
    below = [numpy.searchsorted(x, every, "right") / len(x) for x in (a, b)]
    return numpy.abs(below[0] - below[1]).max()


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: "-".join(str(d) for d in draw))
def test_distributions_are_those_of_numpy(draw):
    name, *parameters = draw
    made = numpy.asarray(getattr(snp.random.default_rng(3), name)(*parameters, size=COUNT))
    wanted = getattr(numpy.random.default_rng(4), name)(*parameters, size=COUNT)
    assert made.dtype == wanted.dtype and made.shape == wanted.shape
    assert distance(made, wanted) < LIMIT


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("dirichlet", ([0.2, 0.3, 0.5],)), ("multinomial", (9, [0.2, 0.3, 0.5])),
     ("multivariate_hypergeometric", ([3, 4, 5], 6))],
)  # fmt: skip
def test_vectors_are_distributed_as_those_of_numpy(name, parameters):
    made = numpy.asarray(getattr(snp.random.default_rng(3), name)(*parameters, size=COUNT))
    wanted = getattr(numpy.random.default_rng(4), name)(*parameters, size=COUNT)
    assert made.shape == wanted.shape == (COUNT, 3) and made.dtype == wanted.dtype
    assert numpy.allclose(made.sum(1), wanted.sum(1))
    assert all(distance(made[:, i], wanted[:, i]) < LIMIT for i in range(3))
    assert numpy.allclose(numpy.corrcoef(made.T), numpy.corrcoef(wanted.T), atol=0.04)


def test_parameters_may_be_arrays():
    generator = snp.random.default_rng(0)
    assert generator.gamma([1.0, 1e6], size=(500, 2)).mean(0)[1] > 9e5
    assert generator.hypergeometric([5, 0], [0, 5], 3).tolist() == [3, 0]
    assert generator.poisson([[0.0], [1e4]], (2, 3)).tolist()[0] == [0, 0, 0]
    assert generator.standard_gamma(2.0, dtype="float32").dtype is snp.float32
    assert generator.beta(2, 3).shape == () and generator.dirichlet([1, 1]).shape == (2,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda g: g.gamma(-1), "shape < 0"), (lambda g: g.beta(0, 1), "a <= 0"), (lambda g: g.f(1, 0), "dfden <= 0"),
        (lambda g: g.zipf(1.0), "a <= 1"), (lambda g: g.logseries(1.0), "p >= 1"),
        (lambda g: g.vonmises(0, -1), "kappa < 0"), (lambda g: g.hypergeometric(1, 1, 3), "ngood [+] nbad < nsample"),
        (lambda g: g.multinomial(3, [0.9, 0.2]), "pvals"),
        (lambda g: g.negative_binomial(1, 0.0), "p <= 0"), (lambda g: g.dirichlet([[1.0]]), "one-dimensional"),
        (lambda g: g.multivariate_hypergeometric([1, 1], 3), "at most the sum of colors"),
        (lambda g: g.gamma([1.0, 2.0], size=3), "do not broadcast"),
        (lambda g: g.gamma([1.0, 2.0], size=1), "not compatible"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense(call, words):
    with pytest.raises(ValueError, match=words):
        call(snp.random.default_rng(0))


def test_gamma_numbers_inside_a_compiled_function():
    program = sq.compile(lambda x: x + snp.random.gamma(x, size=(2000,)))
    first, second = (program(snp.full((2000,), 3.0)) for _ in range(2))
    assert abs(float(first.mean()) - 6) < 0.2 and not bool((first == second).any())


def test_state_and_older_names():
    state = snp.random.get_state()
    first = snp.random.standard_t(3, size=2)
    snp.random.set_state(state)
    assert snp.random.standard_t(3, size=2).tolist() == first.tolist()
    assert set(snp.random.random_integers(2, size=50).tolist()) == {1, 2}
    older = snp.random.RandomState(5)
    first = older.randint(0, 9, 4).tolist()
    older.seed(5)
    assert older.randint(0, 9, 4).tolist() == first and older.randn(2).shape == (2,)
    children = snp.random.default_rng(1).spawn(2)
    assert children[0].random() != children[1].random()
