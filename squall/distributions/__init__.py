"""`sq.distributions`: probability distributions, transforms and divergences, under PyTorch's names.

Names are loaded on first touch (`_FROM` below is the table of contents). Files hold families: `normals`,
`continuous`, `extremes`, `gammas`, `ratios`, `chances`, `counts`, `categorical`, `relaxed`, `multivariate`, `matrices`,
`circular`; `transformed` has what is made of others, `distribution` the base, `kl` the divergences.
"""

import importlib
from typing import Any

_MODULES = ("constraints", "constraint_registry", "kl", "relaxed", "transforms", "utils")
_FROM = {
    "distribution": "Distribution ExponentialFamily",
    "transformed": "Independent MixtureSameFamily TransformedDistribution",
    "normals": "HalfNormal LogNormal LogisticNormal Normal",
    "continuous": "Cauchy Exponential HalfCauchy Laplace Uniform",
    "extremes": "GeneralizedPareto Gumbel Kumaraswamy Pareto Weibull",
    "gammas": "Chi2 Gamma InverseGamma",
    "ratios": "Beta Dirichlet FisherSnedecor StudentT",
    "chances": "Bernoulli Geometric",
    "counts": "Binomial NegativeBinomial Poisson",
    "categorical": "Categorical Multinomial OneHotCategorical OneHotCategoricalStraightThrough",
    "relaxed": "ContinuousBernoulli RelaxedBernoulli RelaxedOneHotCategorical",
    "multivariate": "LowRankMultivariateNormal MultivariateNormal",
    "matrices": "LKJCholesky Wishart",
    "circular": "VonMises",
    "kl": "kl_divergence register_kl",
    "constraint_registry": "biject_to transform_to",
    "transforms": (
        "AbsTransform AffineTransform CatTransform ComposeTransform CorrCholeskyTransform "
        "CumulativeDistributionTransform ExpTransform IndependentTransform LowerCholeskyTransform "
        "PositiveDefiniteTransform PowerTransform ReshapeTransform SigmoidTransform SoftmaxTransform SoftplusTransform "
        "StackTransform StickBreakingTransform TanhTransform Transform identity_transform"
    ),
}
_NAMES = {name: module for module, names in _FROM.items() for name in names.split()}
__all__ = sorted(_NAMES)  # noqa: PLE0605  (the names of the table, each of which `__getattr__` finds)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = importlib.import_module(f"squall.distributions.{name}")
    elif name in _NAMES:
        value = getattr(importlib.import_module(f"squall.distributions.{_NAMES[name]}"), name)
    else:
        raise AttributeError(f"module 'squall.distributions' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_MODULES})
