"""Gamma numbers that gradients pass through: Gamma, Chi2, InverseGamma; `ratios` has the families made of several.

The logarithm y of a gamma number with parameter a moves with a as its distribution function P demands (implicit
reparametrisation: Figurnov, Mohamed and Mnih 2018): dy/da = -(dP/da) / (z p(z)) at z = exp(y). With
dp/da = p (ln t - psi(a)) that is an integral over t below z, or, of the other sign, above it; the shorter one is taken,
in s = |ln(t / z)|, by the exp-sinh rule (Takahasi and Mori 1974). It is made of plain operations in float64, so it has
derivatives itself.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import ExponentialFamily
from squall.distributions.transformed import TransformedDistribution
from squall.distributions.transforms import PowerTransform
from squall.distributions.utils import broadcast_all, scalar, tiny
from squall.frontend.random_counts import log_gamma_numbers

_NODES, _REACH = 64, 3.2


@cache
def _rule() -> tuple[list[float], list[float]]:
    """Nodes and weights of the exp-sinh rule on (0, inf)."""
    step = 2 * _REACH / (_NODES - 1)
    places = [-_REACH + step * i for i in range(_NODES)]
    nodes = [math.exp(math.pi / 2 * math.sinh(t)) for t in places]
    return nodes, [step * math.pi / 2 * math.cosh(t) * s for t, s in zip(places, nodes, strict=True)]


def _log_gamma_slope(y: Any, alpha: Any) -> Any:
    """d y / d alpha of the logarithm of a gamma number, in float64; see the top of the file."""
    kind = y.dtype
    y, alpha = y.double().unsqueeze(-1), alpha.double().unsqueeze(-1)
    nodes, weights = (sq.tensor(v, dtype=sq.float64) for v in _rule())
    z = y.exp()
    below = (z <= alpha).detach()
    rate = ((alpha - z).abs() + z / (1 + z).sqrt()).detach()
    width = sq.where(below, rate.reciprocal(), rate.reciprocal().log1p())
    apart = nodes * width
    s = sq.where(below, -apart, apart.clamp(max=80.0))
    integrand = (y + s - alpha.digamma()) * (alpha * s - z * s.expm1()).exp()
    total = (integrand * weights).sum(-1) * width.squeeze(-1)
    return sq.where(below.squeeze(-1), -total, total).to(kind)


@sq.func.custom_jvp
def _moving(y: Any, alpha: Any) -> Any:
    """The logarithm y of a gamma number, as a function of the parameter it was drawn with."""
    return y + 0 * alpha


@_moving.defjvp
def _moving_rule(primals: tuple, tangents: tuple) -> tuple:
    (y, alpha), (_, change) = primals, tangents
    made = _moving(y, alpha)
    return made, _log_gamma_slope(made, alpha) * change


def log_gamma_sample(alpha: Any) -> Any:
    """Logarithms of gamma numbers of rate 1, one for each parameter, with gradients and of its dtype."""
    drawn = log_gamma_numbers(alpha).to(alpha.dtype)
    return _moving(drawn, alpha) if alpha.requires_grad and sq.is_grad_enabled() else drawn


def log_beta(a: Any, b: Any) -> Any:
    """The logarithm of the beta function."""
    return a.lgamma() + b.lgamma() - (a + b).lgamma()


class Gamma(ExponentialFamily):
    """Gamma distribution: density proportional to x^(concentration - 1) exp(-rate x).

    Args:
        concentration, rate: positive numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Gamma(2.0, 1.0).log_prob(sq.tensor(1.0))
        tensor(-1.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(() if scalar(concentration, rate) else self.concentration.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        drawn = log_gamma_sample(self.concentration.expand(shape)).exp() / self.rate.expand(shape)
        return drawn.clamp(min=tiny(drawn))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b = self.concentration, self.rate
        return a * b.log() + sq.xlogy(a - 1, value) - b * value - a.lgamma()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return sq.special.gammainc(self.concentration, self.rate * value)

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()

    @property
    def _natural_params(self) -> tuple:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        return (x + 1).lgamma() + (x + 1) * (-y.reciprocal()).log()


class Chi2(Gamma):
    """Chi-squared distribution: a sum of `df` squared normal numbers.

    Args:
        df: positive number or Tensor of degrees of freedom.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Chi2(3.0).mean
        tensor(3.)
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None):
        (self._df,) = broadcast_all(df)
        super().__init__(0.5 * self._df, sq.full_like(self._df, 0.5), validate_args)
        if scalar(df):
            self._batch_shape = sq.Size(())

    @property
    def df(self) -> Any:
        """Degrees of freedom."""
        return self.concentration * 2

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.concentration = self.concentration.expand(tuple(batch_shape))
        new.rate = self.rate.expand(tuple(batch_shape))
        return new

    def __repr__(self) -> str:
        return f"Chi2(df: {self.df if self.df.numel() == 1 else self.df.size()})"


class InverseGamma(TransformedDistribution):
    """One over a gamma number.

    Args:
        concentration, rate: of the gamma distribution, positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.InverseGamma(3.0, 1.0).mean
        tensor(0.5000)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None):
        base = Gamma(concentration, rate, validate_args=validate_args)
        turned = PowerTransform(-sq.ones((), dtype=base.rate.dtype))
        super().__init__(base, turned, validate_args=validate_args)

    @property
    def concentration(self) -> Any:
        """Of the gamma distribution."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Any:
        """Of the gamma distribution."""
        return self.base_dist.rate

    @property
    def mean(self) -> Any:
        return sq.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        a = self.concentration
        return sq.where(a > 2, self.rate**2 / ((a - 1) ** 2 * (a - 2)), math.inf)

    def entropy(self) -> Any:
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()
