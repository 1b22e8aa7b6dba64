"""Distributions made in either library from the same numbers: `cases(library)` by name, `pair` for divergences."""

from collections.abc import Callable
from typing import Any

import numpy


class Numbers:
    """Random parameters as float64 Tensors of a library, the same in every library."""

    def __init__(self, library: Any, seed: int):
        self.library, self.random = library, numpy.random.default_rng(seed)

    def _made(self, values: Any) -> Any:
        return self.library.tensor(values.tolist(), dtype=self.library.float64)

    def real(self, *shape: int) -> Any:
        """Normal numbers."""
        return self._made(self.random.standard_normal(shape))

    def share(self, *shape: int) -> Any:
        """From 0.1 to 0.9."""
        return self._made(self.random.random(shape) * 0.8 + 0.1)

    def positive(self, *shape: int) -> Any:
        """From 0.3 to 3.3."""
        return self._made(self.random.random(shape) * 3 + 0.3)

    def definite(self) -> Any:
        """Two positive definite matrices."""
        m = self.real(2, 3, 3)
        return m @ m.mT + self.library.eye(3, dtype=self.library.float64)


def cases(library: Any) -> dict[str, Callable[[], Any]]:
    """How each distribution is made; each call draws the same parameters."""
    found = {}
    for name, make in _CASES.items():
        found[name] = lambda make=make: make(library.distributions, Numbers(library, 1), library)
    return found


_CASES: dict[str, Callable] = {
    "Bernoulli": lambda D, n, l: D.Bernoulli(n.share(4)),
    "Bernoulli of logits": lambda D, n, l: D.Bernoulli(logits=n.real(4)),
    "Beta": lambda D, n, l: D.Beta(n.positive(4), n.positive(4)),
    "Beta with a peak": lambda D, n, l: D.Beta(n.positive(4) + 1, n.positive(4) + 1),
    "Binomial": lambda D, n, l: D.Binomial(5, n.share(4)),
    "Binomial of logits": lambda D, n, l: D.Binomial(7, logits=n.real(4)),
    "Categorical": lambda D, n, l: D.Categorical(n.share(4, 3)),
    "Categorical of logits": lambda D, n, l: D.Categorical(logits=n.real(4, 3)),
    "Cauchy": lambda D, n, l: D.Cauchy(n.real(4), n.positive(4)),
    "Chi2": lambda D, n, l: D.Chi2(n.positive(4)),
    "ContinuousBernoulli": lambda D, n, l: D.ContinuousBernoulli(n.share(4)),
    "ContinuousBernoulli near a half": lambda D, n, l: D.ContinuousBernoulli(n.share(4) * 0.001 + 0.4995),
    "ContinuousBernoulli of logits": lambda D, n, l: D.ContinuousBernoulli(logits=n.real(4)),
    "Dirichlet": lambda D, n, l: D.Dirichlet(n.positive(4, 3) + 1),
    "Exponential": lambda D, n, l: D.Exponential(n.positive(4)),
    "FisherSnedecor": lambda D, n, l: D.FisherSnedecor(n.positive(4) * 4, n.positive(4) * 4),
    "Gamma": lambda D, n, l: D.Gamma(n.positive(4), n.positive(4)),
    "GeneralizedPareto": lambda D, n, l: D.GeneralizedPareto(n.real(4), n.positive(4), n.real(4) * 0.4),
    "GeneralizedPareto, exponential": lambda D, n, l: D.GeneralizedPareto(n.real(4), n.positive(4), n.real(4) * 0),
    "Geometric": lambda D, n, l: D.Geometric(n.share(4)),
    "Geometric of logits": lambda D, n, l: D.Geometric(logits=n.real(4)),
    "Gumbel": lambda D, n, l: D.Gumbel(n.real(4), n.positive(4)),
    "HalfCauchy": lambda D, n, l: D.HalfCauchy(n.positive(4)),
    "HalfNormal": lambda D, n, l: D.HalfNormal(n.positive(4)),
    "Independent": lambda D, n, l: D.Independent(D.Normal(n.real(4, 3), n.positive(4, 3)), 1),
    "InverseGamma": lambda D, n, l: D.InverseGamma(n.positive(4), n.positive(4)),
    "Kumaraswamy": lambda D, n, l: D.Kumaraswamy(n.positive(4), n.positive(4)),
    "LKJCholesky": lambda D, n, l: D.LKJCholesky(3, n.positive(2)),
    "LKJCholesky of five": lambda D, n, l: D.LKJCholesky(5, n.positive(2)),
    "Laplace": lambda D, n, l: D.Laplace(n.real(4), n.positive(4)),
    "LogNormal": lambda D, n, l: D.LogNormal(n.real(4), n.positive(4)),
    "LogisticNormal": lambda D, n, l: D.LogisticNormal(n.real(4, 3), n.positive(4, 3)),
    "LowRankMultivariateNormal": lambda D, n, l: D.LowRankMultivariateNormal(
        n.real(2, 3), n.real(2, 3, 2), n.positive(2, 3)),
    "MixtureSameFamily": lambda D, n, l: D.MixtureSameFamily(
        D.Categorical(n.share(4, 3)), D.Normal(n.real(4, 3), n.positive(4, 3))),
    "MixtureSameFamily of vectors": lambda D, n, l: D.MixtureSameFamily(
        D.Categorical(n.share(4)), D.Independent(D.Normal(n.real(4, 3), n.positive(4, 3)), 1)),
    "Multinomial": lambda D, n, l: D.Multinomial(5, n.share(4, 3)),
    "MultivariateNormal": lambda D, n, l: D.MultivariateNormal(n.real(2, 3), n.definite()),
    "MultivariateNormal by precision": lambda D, n, l: D.MultivariateNormal(
        n.real(2, 3), precision_matrix=n.definite()),
    "MultivariateNormal by factor": lambda D, n, l: D.MultivariateNormal(
        n.real(5, 1, 3), scale_tril=l.linalg.cholesky(n.definite())),
    "NegativeBinomial": lambda D, n, l: D.NegativeBinomial(n.positive(4) * 3, n.share(4)),
    "NegativeBinomial of logits": lambda D, n, l: D.NegativeBinomial(4, logits=n.real(4)),
    "Normal": lambda D, n, l: D.Normal(n.real(4), n.positive(4)),
    "Normal of numbers": lambda D, n, l: D.Normal(0.5, 2.0),
    "OneHotCategorical": lambda D, n, l: D.OneHotCategorical(n.share(4, 3)),
    "OneHotCategoricalStraightThrough": lambda D, n, l: D.OneHotCategoricalStraightThrough(logits=n.real(4, 3)),
    "Pareto": lambda D, n, l: D.Pareto(n.positive(4), n.positive(4) + 1),
    "Poisson": lambda D, n, l: D.Poisson(n.positive(4)),
    "RelaxedBernoulli": lambda D, n, l: D.RelaxedBernoulli(n.positive(4), n.share(4)),
    "RelaxedOneHotCategorical": lambda D, n, l: D.RelaxedOneHotCategorical(n.positive(1), n.share(4, 3)),
    "StudentT": lambda D, n, l: D.StudentT(n.positive(4), n.real(4), n.positive(4)),
    "TransformedDistribution": lambda D, n, l: D.TransformedDistribution(
        D.Normal(n.real(4), n.positive(4)),
        [D.AffineTransform(1.0, 2.0), D.SigmoidTransform(), D.PowerTransform(l.tensor(2.0, dtype=l.float64))]),
    "TransformedDistribution of vectors": lambda D, n, l: D.TransformedDistribution(
        D.Normal(n.real(4, 3), n.positive(4, 3)),
        [D.AffineTransform(n.real(3), n.positive(3)), D.StickBreakingTransform()]),
    "Uniform": lambda D, n, l: D.Uniform(n.real(4) - 3, n.real(4) + 3),
    "VonMises": lambda D, n, l: D.VonMises(n.real(4), n.positive(4)),
    "Weibull": lambda D, n, l: D.Weibull(n.positive(4), n.positive(4)),
    "Wishart": lambda D, n, l: D.Wishart(n.positive(2) + 4, n.definite()),
    "Wishart by precision": lambda D, n, l: D.Wishart(5.0, precision_matrix=n.definite()),
}


def pair(library: Any, family: str, seed: int) -> Any:
    """One of a family for divergences."""
    D, n = library.distributions, Numbers(library, seed)
    special = {
        "ExponentialFamily": lambda: D.Chi2(n.positive(4)),
        "TransformedDistribution": lambda: D.LogNormal(n.real(4), n.positive(4)),
        "Pareto": lambda: D.Pareto(n.positive(4), n.positive(4) + (0 if seed < 2 else 2)),
        "Uniform": lambda: (D.Uniform(n.share(4) * 0.5, n.share(4) * 0.4 + 0.55) if seed % 2
                            else D.Uniform(n.real(4), n.real(4) + 4)),
        "Beta": lambda: D.Beta(n.positive(4), n.positive(4)),
        "Dirichlet": lambda: D.Dirichlet(n.positive(4, 3)),
    }
    return special[family]() if family in special else _CASES[family](D, n, library)
