"""Divergences against their definition, by samples; the table of pairs and how a pair is found in it."""

import math
import warnings

import numpy as np
import pytest

import squall as sq
from squall.distributions import kl_table as kl

D = sq.distributions


def f(value):
    return sq.tensor(value, dtype=sq.float64)


@pytest.mark.parametrize(("p", "q"), [
    (lambda: D.Normal(f(0.5), f(1.0)), lambda: D.Laplace(f(0.0), f(1.5))),
    (lambda: D.Gamma(f(2.0), f(1.0)), lambda: D.Gumbel(f(1.0), f(2.0))),
    (lambda: D.Uniform(f(0.2), f(0.7)), lambda: D.Beta(f(2.0), f(1.5))),
    (lambda: D.Cauchy(f(0.0), f(1.0)), lambda: D.Cauchy(f(1.0), f(2.0))),
    (lambda: D.Pareto(f(1.0), f(4.0)), lambda: D.Gamma(f(2.0), f(1.0))),
    (lambda: D.LowRankMultivariateNormal(f([0.0, 1.0]), f([[1.0], [0.5]]), f([1.0, 0.5])),
     lambda: D.MultivariateNormal(f([0.5, 0.5]), f([[2.0, 0.3], [0.3, 1.0]]))),
    (lambda: D.Wishart(f(5.0), f([[1.0, 0.2], [0.2, 1.0]])), lambda: D.Wishart(f(6.0), f([[1.2, 0.0], [0.0, 0.8]]))),
    (lambda: D.Dirichlet(f([1.0, 2.0, 3.0])), lambda: D.Dirichlet(f([2.0, 2.0, 2.0]))),
], ids=["normal to laplace", "gamma to gumbel", "uniform to beta", "cauchy", "pareto to gamma", "vectors", "wishart",
        "dirichlet"])
def test_formulas_are_the_mean_of_the_difference_of_logarithms(p, q):
    p, q = p(), q()
    sq.manual_seed(12)
    x = p.sample((40_000,))
    by_samples = (p.log_prob(x) - q.log_prob(x)).mean().item()
    assert D.kl_divergence(p, q).item() == pytest.approx(by_samples, rel=0.05, abs=0.01)


def test_wisharts_by_their_own_formula():
    """The general rule of exponential families against the formula of Wisharts."""
    v, w = f([[2.0, 0.5], [0.5, 1.0]]), f([[1.0, -0.2], [-0.2, 1.5]])
    n, m = f(5.0), f(6.5)

    def log_gamma(x):
        return 0.5 * math.log(math.pi) + (x / 2).lgamma() + ((x - 1) / 2).lgamma()

    digammas = (n / 2).digamma() + ((n - 1) / 2).digamma()
    wanted = (m / 2 * (sq.logdet(w) - sq.logdet(v)) + n / 2 * (sq.linalg.solve(w, v).trace() - 2)
              + log_gamma(m) - log_gamma(n) + (n - m) / 2 * digammas)
    assert D.kl_divergence(D.Wishart(n, v), D.Wishart(m, w)).item() == pytest.approx(wanted.item())


def test_values_that_the_other_has_not_are_infinite():
    for p, q in ((D.Normal(0.0, 1.0), D.Gamma(1.0, 1.0)), (D.Uniform(0.0, 2.0), D.Uniform(0.0, 1.0)),
                 (D.Uniform(-0.5, 1.0), D.Beta(1.0, 1.0)), (D.Poisson(1.0), D.Bernoulli(0.5)),
                 (D.Pareto(1.0, 2.0), D.Pareto(2.0, 2.0)), (D.Bernoulli(0.5), D.Bernoulli(0.0)),
                 (D.Categorical(sq.ones(2)), D.Categorical(sq.tensor([1.0, 0.0])))):
        assert D.kl_divergence(p, q).item() == math.inf
    assert D.kl_divergence(D.Bernoulli(0.0), D.Bernoulli(0.5)).item() == pytest.approx(math.log(2))


def test_distributions_made_of_others():
    p, q = (D.Normal(sq.full((2, 3), m), 1.0) for m in (0.0, 1.0))
    found = D.kl_divergence(D.Independent(p, 1), D.Independent(q, 1))
    assert found.tolist() == pytest.approx([1.5, 1.5])
    assert D.kl_divergence(D.LogNormal(0.0, 1.0), D.LogNormal(1.0, 1.0)).item() == pytest.approx(0.5)
    with pytest.raises(NotImplementedError, match="numbers of dimensions"):
        D.kl_divergence(D.Independent(p, 1), D.Independent(q, 2))
    with pytest.raises(NotImplementedError, match="different transforms"):
        D.kl_divergence(D.LogNormal(0.0, 1.0), D.TransformedDistribution(D.Normal(0.0, 1.0), D.TanhTransform()))
    with pytest.raises(NotImplementedError, match="VonMises"):
        D.kl_divergence(D.VonMises(0.0, 1.0), D.Normal(0.0, 1.0))


def test_gradients_of_divergences():
    mean = sq.tensor(0.7, dtype=sq.float64, requires_grad=True)
    (g,) = sq.autograd.grad(D.kl_divergence(D.Normal(mean, f(2.0)), D.Normal(f(0.0), f(1.0))), mean)
    assert g.item() == pytest.approx(0.7)
    a = f([0.5, 2.0]).requires_grad_()
    assert sq.autograd.gradcheck(lambda v: D.kl_divergence(D.Gamma(v, f(2.0)), D.Exponential(f(1.0))), a)


def test_pairs_of_ones_own_and_of_base_classes():
    class Left(D.Normal):
        pass

    class Right(D.Normal):
        pass

    saved = dict(kl._TABLE)
    try:
        assert D.kl_divergence(Left(0.0, 1.0), Right(1.0, 1.0)).item() == 0.5  # as Normals
        D.register_kl(Left, D.Normal)(lambda p, q: sq.tensor(1.0))
        assert D.kl_divergence(Left(0.0, 1.0), Right(1.0, 1.0)).item() == 1
        D.register_kl(D.Normal, Right)(lambda p, q: sq.tensor(2.0))
        with pytest.warns(RuntimeWarning, match="Ambiguous"):
            assert D.kl_divergence(Left(0.0, 1.0), Right(1.0, 1.0)).item() == 1
        D.register_kl(Left, Right)(lambda p, q: sq.tensor(3.0))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert D.kl_divergence(Left(0.0, 1.0), Right(1.0, 1.0)).item() == 3
    finally:
        kl._TABLE.clear()
        kl._TABLE.update(saved)
        kl._found.clear()
    with pytest.raises(TypeError, match="subclass of Distribution"):
        D.register_kl(int, D.Normal)


def test_divergences_of_batches_broadcast():
    found = D.kl_divergence(D.Normal(sq.zeros(3, 1), 1.0), D.Normal(sq.arange(4.0), 1.0))
    assert np.allclose(found.tolist(), [[0, 0.5, 2, 4.5]] * 3)
