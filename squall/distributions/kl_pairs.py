"""Divergences of two distributions of one family. Formulas: Gil, Alajaji and Linder 2013, and by hand."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions.categorical import Categorical, OneHotCategorical
from squall.distributions.chances import Bernoulli, Geometric
from squall.distributions.continuous import Cauchy, Exponential, Laplace, Uniform
from squall.distributions.counts import Binomial, Poisson
from squall.distributions.distribution import ExponentialFamily
from squall.distributions.errors import UndefinedError
from squall.distributions.extremes import Gumbel, Pareto
from squall.distributions.gammas import Gamma
from squall.distributions.kl_table import kl_divergence, register_kl
from squall.distributions.multivariate import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    log_diagonal,
    mahalanobis,
)
from squall.distributions.normals import HalfNormal, Normal
from squall.distributions.ratios import Beta, Dirichlet
from squall.distributions.relaxed import ContinuousBernoulli
from squall.distributions.transformed import Independent, TransformedDistribution
from squall.distributions.utils import EULER, sum_rightmost


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    softplus = sq.nn.functional.softplus
    ones = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    zeros = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    ones = sq.where(p.probs == 0, 0.0, sq.where(q.probs == 0, math.inf, ones))
    return ones + sq.where(p.probs == 1, 0.0, sq.where(q.probs == 1, math.inf, zeros))


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count < q.total_count).any()):
        raise UndefinedError("kl_divergence: Binomials of which q has more trials have no formula")
    same = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return sq.where(p.total_count > q.total_count, math.inf, same)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    terms = sq.where(q.probs == 0, math.inf, terms)
    return sq.where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return _categorical(p, q)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    front = p._log_norm() + (-p.probs).log1p() - q._log_norm() - (-q.probs).log1p()
    return p.mean * (p.logits - q.logits) + front


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    return _dirichlets(p.concentration, q.concentration)


def _dirichlets(a: Any, b: Any) -> Any:
    total = a.sum(-1, keepdim=True)
    norm = total.squeeze(-1).lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return norm + ((a - b) * (a.digamma() - total.digamma())).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlets(*(sq.stack([d.concentration1, d.concentration0], -1) for d in (p, q)))


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    front = q.concentration * (p.rate / q.rate).log() + q.concentration.lgamma() - p.concentration.lgamma()
    slope = (p.concentration - q.concentration) * p.concentration.digamma()
    return front + slope + (q.rate - p.rate) * p.concentration / p.rate


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return apart - ratio.log() + ratio * EULER + ((1 + ratio).lgamma() - apart).exp() - (1 + EULER)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return apart / q.scale + ratio * (-apart / p.scale).exp() - ratio.log() - 1


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    """Chyzak and Nielsen 2019."""
    return (((p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2) / (4 * p.scale * q.scale)).log()


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return sq.where(p.scale < q.scale, math.inf, found)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    found = sq.xlogy(p.rate, p.rate) - sq.xlogy(p.rate, q.rate) - (p.rate - q.rate)
    return sq.where((q.rate == 0) & (p.rate > 0), math.inf, found)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return sq.where((q.low > p.low) | (q.high < p.high), math.inf, found)


# ---------------------------------------------------------------- normal vectors
def _trace(factor: Any, other: Any) -> Any:
    """The squared norm of factor^-1 other."""
    shape = sq.broadcast_shapes(tuple(factor.shape[:-2]), tuple(other.shape[:-2]))
    factor, other = (m.expand((*shape, *m.shape[-2:])) for m in (factor, other))
    return sq.linalg.solve_triangular(factor, other, upper=False).square().sum((-2, -1))


def _same_event(p: Any, q: Any) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(f"kl_divergence: event shapes {tuple(p.event_shape)} and {tuple(q.event_shape)} differ")


@register_kl(MultivariateNormal, MultivariateNormal)
def _full(p: Any, q: Any) -> Any:
    _same_event(p, q)
    mine, other = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    apart = mahalanobis(other, q.loc - p.loc)
    logs = log_diagonal(other) - log_diagonal(mine)
    return logs + 0.5 * (_trace(other, mine) + apart - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _low_to_full(p: Any, q: Any) -> Any:
    _same_event(p, q)
    other = q._unbroadcasted_scale_tril
    spread = _trace(other, p.cov_factor) + _trace(other, p.cov_diag.sqrt().diag_embed())
    apart = mahalanobis(other, q.loc - p.loc)
    return log_diagonal(other) - 0.5 * p._log_det() + 0.5 * (spread + apart - p.event_shape[0])


def _to_low(p: Any, q: Any, log_det: Any, parts: list) -> Any:
    """From a covariance that is the sum of `parts`, each part times its transpose."""
    _same_event(p, q)
    thin = q.cov_factor.mT / q.cov_diag.unsqueeze(-2)
    apart = q.loc - p.loc
    inner = mahalanobis(q._capacitance_tril, (thin @ apart.unsqueeze(-1)).squeeze(-1))
    distance = (apart.square() / q.cov_diag).sum(-1) - inner
    spread: Any = 0.0
    for part in parts:
        whole = (part.square() / q.cov_diag.unsqueeze(-1)).sum((-2, -1))
        spread = spread + whole - _trace(q._capacitance_tril, thin @ part)
    return 0.5 * (q._log_det() - log_det + spread + distance - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _full_to_low(p: Any, q: Any) -> Any:
    return _to_low(p, q, 2 * log_diagonal(p._unbroadcasted_scale_tril), [p._unbroadcasted_scale_tril])


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low(p: Any, q: Any) -> Any:
    return _to_low(p, q, p._log_det(), [p.cov_factor, p.cov_diag.sqrt().diag_embed()])


# ---------------------------------------------------------------- distributions made of others
@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise UndefinedError("kl_divergence: Independents that read different numbers of dimensions as the event")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise UndefinedError("kl_divergence: the distributions have different transforms or event shapes")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: Any, q: Any) -> Any:
    """Bregman's divergence of the log normalizer (Nielsen and Nock 2010)."""
    if type(p) is not type(q):
        raise UndefinedError("kl_divergence: two exponential families of different kinds have no common formula")
    value, mine, means = p._expectations()
    total = q._log_normalizer(*q._natural_params) - value
    for a, b, mean in zip(mine, q._natural_params, means, strict=True):
        part = (b - a) * mean
        total = total - sum_rightmost(part, part.ndim - total.ndim)
    return total
