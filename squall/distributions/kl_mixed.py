"""Divergences of two families: the mean of -log q over p, less p's entropy; infinite where q lacks values of p."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import squall as sq
from squall.distributions.chances import Bernoulli
from squall.distributions.continuous import Exponential, Laplace, Uniform
from squall.distributions.counts import Binomial, Poisson
from squall.distributions.extremes import Gumbel, Pareto
from squall.distributions.gammas import Gamma
from squall.distributions.kl_table import register_kl
from squall.distributions.normals import Normal
from squall.distributions.ratios import Beta
from squall.distributions.relaxed import ContinuousBernoulli


# ---------------------------------------------------------------- the mean of -log q, by what is known of p
def _over_normal(q: Any, mean: Any, variance: Any) -> Any:
    return 0.5 * math.log(2 * math.pi) + q.scale.log() + 0.5 * (variance + (mean - q.loc) ** 2) / q.scale**2


def _over_exponential(q: Any, mean: Any) -> Any:
    return q.rate * mean - q.rate.log()


def _over_gamma(q: Any, mean: Any, log_mean: Any) -> Any:
    front = q.concentration.lgamma() - q.concentration * q.rate.log()
    return front - (q.concentration - 1) * log_mean + q.rate * mean


def _over_continuous_bernoulli(q: Any, mean: Any) -> Any:
    return -mean * q.logits - (-q.probs).log1p() - q._log_norm()


def _over_gumbel(q: Any, mean: Any, exp_mean: Any) -> Any:
    """`exp_mean` is the mean of exp(-(x - loc) / scale)."""
    return q.scale.log() + (mean - q.loc) / q.scale + exp_mean


def _pairs(*pairs: tuple[type, type]) -> Callable:
    def register(function: Callable) -> Callable:
        for p, q in pairs:
            register_kl(p, q)(function)
        return function

    return register


# ---------------------------------------------------------------- supports that do not fit
_NEVER: dict[type, tuple] = {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}


@_pairs(*((p, q) for p, several in _NEVER.items() for q in several))
def _infinite(p: Any, q: Any) -> Any:
    shape = sq.broadcast_shapes(tuple(p.batch_shape), tuple(q.batch_shape))
    return sq.full(shape, math.inf, dtype=p.mean.dtype)


# ---------------------------------------------------------------- by the first two moments
@_pairs((Beta, Normal), (ContinuousBernoulli, Normal), (Exponential, Normal), (Gamma, Normal), (Gumbel, Normal),
        (Laplace, Normal), (Uniform, Normal), (Pareto, Normal))
def _to_normal(p: Any, q: Any) -> Any:
    return _over_normal(q, p.mean, p.variance) - p.entropy()


@_pairs((Beta, Exponential), (ContinuousBernoulli, Exponential), (Gamma, Exponential), (Pareto, Exponential))
def _to_exponential(p: Any, q: Any) -> Any:
    return _over_exponential(q, p.mean) - p.entropy()


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous_bernoulli(p: Any, q: Any) -> Any:
    return _over_continuous_bernoulli(q, p.mean) - p.entropy()


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return q.rate - p.probs * q.rate.log() - p.entropy()


# ---------------------------------------------------------------- by the mean of the logarithm too
@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Any:
    log_mean = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return _over_gamma(q, p.mean, log_mean) - p.entropy()


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    from_one = sq.ones_like(p.rate).digamma() - p.rate.log()
    return _over_gamma(q, p.mean, from_one) - p.entropy()


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Any:
    return _over_gamma(q, p.mean, p.scale.log() + p.alpha.reciprocal()) - p.entropy()


# ---------------------------------------------------------------- by the mean of an exponential
@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Any:
    speed = p.rate * q.scale
    return _over_gumbel(q, p.mean, (q.loc / q.scale).exp() * speed / (speed + 1)) - p.entropy()


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Any:
    speed = p.rate * q.scale
    exp_mean = (q.loc / q.scale - p.concentration * speed.reciprocal().log1p()).exp()
    return _over_gumbel(q, p.mean, exp_mean) - p.entropy()


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Any:
    exp_mean = (0.5 * (p.scale / q.scale) ** 2 - (p.loc - q.loc) / q.scale).exp()
    return _over_gumbel(q, p.mean, exp_mean) - p.entropy()


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Any:
    low, high = ((q.loc - end) / q.scale for end in (p.low, p.high))
    exp_mean = q.scale * (low.exp() - high.exp()) / (p.high - p.low)
    return _over_gumbel(q, p.mean, exp_mean) - p.entropy()


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    """By the mean of |x - loc|, that of a folded normal number."""
    apart = p.loc - q.loc
    z = apart / p.scale
    size = p.scale * math.sqrt(2 / math.pi) * (-0.5 * z**2).exp() + apart * (z / math.sqrt(2)).erf()
    return (2 * q.scale).log() + size / q.scale - p.entropy()


# ---------------------------------------------------------------- intervals in or out of a support
def _inside(p: Any, low: Any, high: Any, found: Any) -> Any:
    """Infinite where an interval reaches beyond [low, high]."""
    return sq.where((p.low < low) | (p.high > high), math.inf, found)


def _mean_of_log(low: Any, high: Any) -> Any:
    """The mean of log x on an interval from at least 0."""
    return (sq.xlogy(high, high) - sq.xlogy(low, low)) / (high - low) - 1


def _covered(p: Any, q: Any) -> Any:
    return sq.where((q.low > 0) | (q.high < 1), math.inf, (q.high - q.low).log() - p.entropy())


register_kl(Beta, Uniform)(_covered)
register_kl(ContinuousBernoulli, Uniform)(_covered)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    norm = a.lgamma() + b.lgamma() - (a + b).lgamma()
    found = norm - (a - 1) * _mean_of_log(p.low, p.high) - (b - 1) * _mean_of_log(1 - p.high, 1 - p.low)
    return _inside(p, 0, 1, found - p.entropy())


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p: Any, q: Any) -> Any:
    return _inside(p, 0, 1, _over_continuous_bernoulli(q, p.mean) - p.entropy())


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    return _inside(p, 0, math.inf, _over_exponential(q, p.mean) - p.entropy())


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Any:
    return _inside(p, 0, math.inf, _over_gamma(q, p.mean, _mean_of_log(p.low, p.high)) - p.entropy())


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    found = (q.alpha + 1) * _mean_of_log(p.low, p.high) - q.alpha.log() - q.alpha * q.scale.log()
    return _inside(p, q.scale, math.inf, found - p.entropy())
