"""Samples follow their distribution (Kolmogorov and Smirnov), and move with the parameters as their gradients say."""

import numpy as np
import pytest

import squall as sq

D = sq.distributions
COUNT = 20_000


def distance(sample, cdf):
    """The largest difference between the shares of a sample and the distribution function, times sqrt(count)."""
    ordered = np.sort(np.asarray(sample.double().tolist()).ravel())
    below = np.asarray(cdf(sq.tensor(ordered, dtype=sq.float64)).tolist())
    n = len(ordered)
    return np.sqrt(n) * max(np.abs(below - np.arange(n) / n).max(), np.abs(below - np.arange(1, n + 1) / n).max())


def by_density(d, low, high):
    """The distribution function by adding up the density; for those that have none of their own."""
    grid = np.linspace(low, high, 200_001)
    density = np.exp(np.asarray(d.log_prob(sq.tensor((grid[1:] + grid[:-1]) / 2, dtype=sq.float64)).tolist()))
    total = np.concatenate([[0.0], np.cumsum(density) * (grid[1] - grid[0])])
    assert total[-1] == pytest.approx(1, abs=2e-3)
    return lambda x: sq.tensor(np.interp(np.asarray(x.tolist()), grid, total), dtype=sq.float64)


def f(value):
    return sq.tensor(value, dtype=sq.float64)


WITH_CDF = {
    "normal": lambda: D.Normal(f(1.0), f(2.0)),
    "uniform": lambda: D.Uniform(f(-1.0), f(2.0)),
    "exponential": lambda: D.Exponential(f(0.7)),
    "laplace": lambda: D.Laplace(f(1.0), f(0.5)),
    "cauchy": lambda: D.Cauchy(f(1.0), f(0.5)),
    "half normal": lambda: D.HalfNormal(f(2.0)),
    "half cauchy": lambda: D.HalfCauchy(f(2.0)),
    "log normal": lambda: D.LogNormal(f(0.3), f(0.7)),
    "gumbel": lambda: D.Gumbel(f(1.0), f(2.0)),
    "weibull": lambda: D.Weibull(f(2.0), f(1.3)),
    "pareto": lambda: D.Pareto(f(2.0), f(1.3)),
    "generalised pareto": lambda: D.GeneralizedPareto(f(1.0), f(2.0), f(-0.3)),
    "kumaraswamy": lambda: D.Kumaraswamy(f(2.0), f(3.0)),
    "gamma": lambda: D.Gamma(f(2.5), f(0.5)),
    "gamma below 1": lambda: D.Gamma(f(0.4), f(0.5)),
    "chi squared": lambda: D.Chi2(f(3.0)),
    "inverse gamma": lambda: D.InverseGamma(f(2.5), f(0.5)),
    "continuous bernoulli": lambda: D.ContinuousBernoulli(f(0.8)),
    "mixture": lambda: D.MixtureSameFamily(D.Categorical(f([0.3, 0.7])), D.Normal(f([-1.0, 2.0]), f([1.0, 0.5]))),
}


@pytest.mark.parametrize("name", WITH_CDF)
def test_samples_follow_the_distribution_function(name):
    d = WITH_CDF[name]()
    sq.manual_seed(11)
    sample = d.sample((COUNT,))
    assert not sample.requires_grad
    assert distance(sample, d.cdf) < 1.63  # exceeded once in a hundred seeds
    if name in ("normal", "gumbel", "kumaraswamy", "weibull", "pareto"):
        p = f([0.1, 0.5, 0.9])
        assert np.allclose(d.cdf(d.icdf(p)).tolist(), p.tolist())


@pytest.mark.parametrize(("made", "low", "high"), [
    (lambda: D.Beta(f(2.0), f(0.8)), 1e-9, 1 - 1e-9),
    (lambda: D.StudentT(f(5.0), f(1.0), f(2.0)), -80, 80),
    (lambda: D.FisherSnedecor(f(5.0), f(8.0)), 1e-9, 200),
    (lambda: D.VonMises(f(1.0), f(2.0)), -np.pi, np.pi),
    (lambda: D.VonMises(f(0.0), f(1e-6)), -np.pi, np.pi),
    (lambda: D.RelaxedBernoulli(f(0.7), f(0.4)), 1e-9, 1 - 1e-9),
], ids=["beta", "t", "f", "von mises", "nearly uniform angles", "relaxed"])  # fmt: skip
def test_samples_follow_the_density(made, low, high):
    d = made()
    sq.manual_seed(5)
    assert distance(d.sample((COUNT,)), by_density(d, low, high)) < 1.63


@pytest.mark.parametrize("made", [
    lambda: D.Bernoulli(f(0.3)), lambda: D.Binomial(6, f(0.3)), lambda: D.Categorical(f([0.1, 0.0, 0.6, 0.3])),
], ids=["bernoulli", "binomial", "categorical"])  # fmt: skip
def test_counts_come_as_often_as_they_should(made):
    d = made()
    sq.manual_seed(3)
    values = d.enumerate_support()
    shares = [(d.sample((COUNT,)) == v).double().mean().item() for v in values]
    assert np.allclose(shares, d.log_prob(values).exp().tolist(), atol=0.02)
    assert d.log_prob(values).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("made", [
    lambda: D.Geometric(f(0.3)), lambda: D.Poisson(f(3.3)), lambda: D.NegativeBinomial(f(2.5), f(0.4)),
    lambda: D.Multinomial(7, f([0.2, 0.5, 0.3])), lambda: D.OneHotCategorical(f([0.2, 0.5, 0.3])),
    lambda: D.Dirichlet(f([0.5, 2.0, 3.0])),
    lambda: D.LowRankMultivariateNormal(f([1.0, 2.0]), f([[1.0], [2.0]]), f([1.0, 2.0])),
    lambda: D.MultivariateNormal(f([1.0, 2.0]), precision_matrix=f([[2.0, 0.5], [0.5, 1.0]])),
    lambda: D.Wishart(f(5.0), f([[2.0, 0.5], [0.5, 1.0]])), lambda: D.StudentT(f(9.0), f(1.0), f(2.0)),
], ids=lambda made: type(made()).__name__)  # fmt: skip
def test_moments_of_samples(made):
    d = made()
    sq.manual_seed(9)
    sample = d.sample((COUNT,))
    spread = np.sqrt(np.asarray(d.variance.tolist()) / COUNT)
    assert (np.abs(np.asarray((sample.mean(0) - d.mean).tolist())) < 5 * spread + 1e-12).all()
    assert np.allclose(sample.var(0).tolist(), d.variance.tolist(), rtol=0.12, atol=1e-9)
    assert bool(d.support.check(sample[:200]).all())


def test_onion_rows_give_uniform_correlations():
    """With concentration 1 a correlation of 2 x 2 matrices is uniform; of 3 x 3 ones (1 + r) / 2 is Beta(1.5, 1.5)."""
    sq.manual_seed(2)
    factors = D.LKJCholesky(2, f(1.0)).sample((COUNT,))
    assert distance(factors[:, 1, 0], D.Uniform(f(-1.0), f(1.0)).cdf) < 1.63
    factors = D.LKJCholesky(3, f(1.0)).sample((COUNT,))
    matrices = factors @ factors.mT
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert distance((matrices[:, i, j] + 1) / 2, by_density(D.Beta(f(1.5), f(1.5)), 0, 1)) < 1.63
    assert bool(D.constraints.corr_cholesky.check(factors).all())


# ---------------------------------------------------------------- gradients of samples
@pytest.mark.parametrize("alpha", [1e-3, 0.05, 0.7, 1.0, 3.0, 40.0, 3000.0])
def test_gamma_samples_move_as_the_distribution_function_says(alpha):
    sq.manual_seed(1)
    a = sq.full((300,), alpha, dtype=sq.float64, requires_grad=True)
    z = D.Gamma(a, f(1.0)).rsample()
    (slope,) = sq.autograd.grad(z.sum(), a)
    z, h = z.detach(), alpha * 1e-5
    change = (sq.special.gammainc(a.detach() + h, z) - sq.special.gammainc(a.detach() - h, z)) / (2 * h)
    expected = -change / D.Gamma(f(alpha), f(1.0)).log_prob(z).exp()
    usual = (z > 1e-8).tolist()
    got, wanted = np.asarray(slope.tolist())[usual], np.asarray(expected.tolist())[usual]
    assert np.allclose(got, wanted, rtol=1e-4 if alpha < 100 else 1e-3)


def test_gamma_gradients_have_derivatives():
    """The mean of z^2 is a + a^2, whose second derivative is 2; it is that of samples as well, on average."""
    sq.manual_seed(4)
    a = sq.tensor(2.0, dtype=sq.float64, requires_grad=True)
    value = (D.Gamma(a, f(1.0)).rsample((4000,)) ** 2).mean()
    (first,) = sq.autograd.grad(value, a, create_graph=True)
    (second,) = sq.autograd.grad(first, a)
    assert first.item() == pytest.approx(5, rel=0.1) and second.item() == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(("made", "of_mean"), [
    (lambda p: D.Beta(p, 2.0), lambda p: p / (p + 2)),
    (lambda p: D.Dirichlet(sq.stack([p, p * 0 + 2.0])), lambda p: sq.stack([p / (p + 2), 2 / (p + 2)])),
    (lambda p: D.InverseGamma(p + 3, 1.0), lambda p: 1 / (p + 2)),
    (lambda p: D.FisherSnedecor(4.0, p + 8), lambda p: (p + 8) / (p + 6)),
    (lambda p: D.StudentT(p + 8, p, p), lambda p: p),
    (lambda p: D.Weibull(p, p + 1), lambda p: p * (1 + 1 / (p + 1)).lgamma().exp()),
    (lambda p: D.Wishart(p + 4, p * sq.eye(2, dtype=sq.float64)), lambda p: (p + 4) * p * sq.eye(2, dtype=sq.float64)),
], ids=["beta", "dirichlet", "inverse gamma", "f", "t", "weibull", "wishart"])  # fmt: skip
def test_gradients_of_samples_are_those_of_the_mean(made, of_mean):
    sq.manual_seed(8)
    p = sq.tensor(1.5, dtype=sq.float64, requires_grad=True)
    weights = f([1.0, -2.0]) if of_mean(p).ndim == 1 else f(1.0)
    (got,) = sq.autograd.grad((made(p).rsample((COUNT,)).mean(0) * weights).sum(), p)
    (wanted,) = sq.autograd.grad((of_mean(p) * weights).sum(), p)
    assert got.item() == pytest.approx(wanted.item(), rel=0.08, abs=0.01)


def test_tiny_parameters_give_numbers_above_zero():
    sq.manual_seed(0)
    for d in (D.Gamma(1e-3, 1.0), D.Beta(1e-3, 1e-3)):
        sample = d.sample((1000,))
        assert bool((sample > 0).all()) and bool(sample.isfinite().all())
    rows = D.Dirichlet(sq.full((3,), 1e-3)).sample((1000,))
    assert np.allclose(rows.sum(-1).tolist(), 1, atol=1e-5)


def test_straight_through_samples_pass_gradients_to_the_probabilities():
    probs = sq.tensor([0.25, 0.75], requires_grad=True)
    sample = D.OneHotCategoricalStraightThrough(probs).rsample()
    assert sorted(sample.detach().round().tolist()) == [0.0, 1.0]
    (got,) = sq.autograd.grad(sample[0], probs)
    assert np.allclose(got.tolist(), [0.75, -0.25])


def test_a_seed_gives_the_same_samples():
    def drawn():
        sq.manual_seed(21)
        return [D.Gamma(sq.ones(4), 1.0).sample().tolist(), D.Categorical(sq.ones(4)).sample((3,)).tolist()]

    assert drawn() == drawn()
