"""Distributions of extremes and lifetimes, mostly powers and logarithms of uniform or exponential numbers; von Mises.

Formulas: Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions; for Kumaraswamy, Jones 2009; for the
generalised Pareto distribution, Hosking and Wallis 1987; for von Mises samples, Best and Fisher 1979.
"""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.continuous import Exponential, Uniform
from squall.distributions.distribution import Distribution
from squall.distributions.gammas import log_beta
from squall.distributions.transformed import TransformedDistribution
from squall.distributions.transforms import AffineTransform, ExpTransform, PowerTransform
from squall.distributions.utils import EULER, broadcast_all, epsilon, scalar, tiny, uniform


class Gumbel(TransformedDistribution):
    """Gumbel distribution of largest values: exp(-(x - loc) / scale) is exponential.

    Args:
        loc, scale: numbers or Tensors, the scale positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Gumbel(0.0, 1.0).mean
        tensor(0.5772)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        like = self.loc
        ends = sq.full_like(like, tiny(like)), sq.full_like(like, 1 - epsilon(like))
        base = Uniform(*ends, validate_args=False) if not scalar(loc, scale) else Uniform(
            tiny(like), 1 - epsilon(like), validate_args=False)
        super().__init__(base, _twice_logarithms(self), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.transforms = _twice_logarithms(new)
        return new

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * EULER

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def stddev(self) -> Any:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Any:
        return self.stddev**2

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + EULER)


def _twice_logarithms(gumbel: Any) -> list:
    moved = AffineTransform(gumbel.loc, -gumbel.scale)
    return [ExpTransform().inv, AffineTransform(0, -1.0), ExpTransform().inv, moved]


class Weibull(TransformedDistribution):
    """Weibull distribution: (x / scale) ** concentration is exponential.

    Args:
        scale, concentration: positive numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Weibull(1.0, 2.0).mean
        tensor(0.8862)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        one = 1.0 if scalar(scale, concentration) else sq.ones_like(self.scale)
        super().__init__(Exponential(one, validate_args=False), _powered(self), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.concentration_reciprocal = new.concentration.reciprocal()
        new.transforms = _powered(new)
        return new

    @property
    def mean(self) -> Any:
        return self.scale * (1 + self.concentration_reciprocal).lgamma().exp()

    @property
    def mode(self) -> Any:
        k = self.concentration
        return self.scale * ((k - 1).clamp(min=0) / k) ** self.concentration_reciprocal

    @property
    def variance(self) -> Any:
        first = (2 * (1 + self.concentration_reciprocal).lgamma()).exp()
        return self.scale**2 * ((1 + 2 * self.concentration_reciprocal).lgamma().exp() - first)

    def entropy(self) -> Any:
        inverse = self.concentration_reciprocal
        return EULER * (1 - inverse) + (self.scale * inverse).log() + 1


def _powered(weibull: Any) -> list:
    return [PowerTransform(weibull.concentration_reciprocal), AffineTransform(0, weibull.scale)]


class Pareto(TransformedDistribution):
    """Pareto distribution: density proportional to x ** -(alpha + 1) from scale on.

    Args:
        scale, alpha: positive numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Pareto(1.0, 3.0).mean
        tensor(1.5000)
    """

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(float(alpha) if scalar(scale, alpha) else self.alpha, validate_args=validate_args)
        super().__init__(base, [ExpTransform(), AffineTransform(0, self.scale)], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.transforms = [ExpTransform(), AffineTransform(0, new.scale)]
        return new

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From the scale on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        return sq.where(self.alpha > 1, self.alpha * self.scale / (self.alpha - 1), math.inf)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha
        return sq.where(a > 2, self.scale**2 * a / ((a - 1) ** 2 * (a - 2)), math.inf)

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()


class GeneralizedPareto(Distribution):
    """What exceeds a high threshold: exponential for concentration 0, heavy-tailed above, bounded below.

    Args:
        loc, scale, concentration: numbers or Tensors, the scale positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.GeneralizedPareto(0.0, 1.0, 0.0).cdf(sq.tensor(1.0))
        tensor(0.6321)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(() if scalar(loc, scale, concentration) else self.loc.shape, (), validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From loc on, up to an end for a negative concentration."""
        c = self._safe()
        return constraints.interval(self.loc, sq.where(self.concentration < 0, self.loc - self.scale / c, math.inf))

    def _flat(self) -> Any:
        """Where the concentration is as good as 0."""
        return self.concentration.abs() < epsilon(self.concentration)

    def _safe(self) -> Any:
        return sq.where(self._flat(), 1.0, self.concentration)

    @property
    def mean(self) -> Any:
        return sq.where(self.concentration < 1, self.loc + self.scale / (1 - self.concentration), math.inf)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        c = self.concentration
        return sq.where(c < 0.5, self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c)), math.inf)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(uniform(self._extended_shape(sample_shape), self.loc))

    def log_survival_function(self, value: Any) -> Any:
        """The logarithm of the probability of more than a value."""
        self._validate_sample(value)
        z, c = (value - self.loc) / self.scale, self._safe()
        return sq.where(self._flat(), -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Any) -> Any:
        """The logarithm of `cdf`."""
        return (-self.log_survival_function(value).exp()).log1p()

    def log_prob(self, value: Any) -> Any:
        return (1 + self.concentration) * self.log_survival_function(value) - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return -self.log_survival_function(value).expm1()

    def icdf(self, value: Any) -> Any:
        left, c = (-value).log1p(), self._safe()
        return self.loc + self.scale * sq.where(self._flat(), -left, (-c * left).expm1() / c)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1


class Kumaraswamy(TransformedDistribution):
    """Kumaraswamy's distribution on [0, 1]: P(x) = 1 - (1 - x**concentration1) ** concentration0.

    Args:
        concentration1, concentration0: positive numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Kumaraswamy(1.0, 1.0).mean
        tensor(0.5000)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(sq.zeros_like(self.concentration0), sq.ones_like(self.concentration0), validate_args=False)
        super().__init__(base, _kumaraswamy(self), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.transforms = _kumaraswamy(new)
        return new

    def _moment(self, order: int) -> Any:
        return (self.concentration0.log() + log_beta(1 + order / self.concentration1, self.concentration0)).exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        known = (a >= 1) & (b >= 1) & ((a > 1) | (b > 1))
        return sq.where(known, ((a - 1) / (a * b - 1)) ** (1 / a), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self._moment(1) ** 2

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + EULER
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - a.log() - b.log()


def _kumaraswamy(family: Any) -> list:
    return [PowerTransform(family.concentration0.reciprocal()), AffineTransform(1.0, -1.0),
            PowerTransform(family.concentration1.reciprocal())]
