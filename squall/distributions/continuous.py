"""Continuous distributions of one variable whose distribution function can be turned round: samples are its inverse."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution, ExponentialFamily
from squall.distributions.transformed import TransformedDistribution
from squall.distributions.transforms import AbsTransform
from squall.distributions.utils import broadcast_all, scalar, uniform


class Uniform(Distribution):
    """Uniform distribution on [low, high).

    Args:
        low, high: numbers or Tensors, low below high.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Uniform(0.0, 4.0).variance
        tensor(1.3333)
    """

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        self.low, self.high = broadcast_all(low, high)
        super().__init__(() if scalar(low, high) else self.low.shape, (), validate_args)

    @property
    def arg_constraints(self) -> dict:  # type: ignore[override]  # of an attribute
        """Each end lies beyond the other."""
        return {"low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)}

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """The interval."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Any:
        return sq.full_like(self.high, math.nan)

    @property
    def stddev(self) -> Any:
        return (self.high - self.low) / math.sqrt(12)

    @property
    def variance(self) -> Any:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = sq.rand(tuple(self._extended_shape(sample_shape)), dtype=self.low.dtype)
        return self.low + drawn * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        inside = (self.low <= value) & (value < self.high)
        return sq.where(inside, 0.0, -math.inf) - (self.high - self.low).log()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return (self.high - self.low).log()


class Exponential(ExponentialFamily):
    """Exponential distribution.

    Args:
        rate: one over the mean, positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Exponential(2.0).mean
        tensor(0.5000)
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(() if scalar(rate) else self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Any:
        return sq.zeros_like(self.rate)

    @property
    def stddev(self) -> Any:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Any:
        return self.rate**-2

    def rsample(self, sample_shape: Any = ()) -> Any:
        return -uniform(self._extended_shape(sample_shape), self.rate).log() / self.rate

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return -(-self.rate * value).expm1()

    def icdf(self, value: Any) -> Any:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Any:
        return 1 - self.rate.log()

    @property
    def _natural_params(self) -> tuple:
        return (-self.rate,)

    def _log_normalizer(self, x: Any) -> Any:
        return -(-x).log()


class _OfLocation(Distribution):
    """A distribution that a location and a scale move."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(() if scalar(loc, scale) else self.loc.shape, (), validate_args)

    @property
    def mode(self) -> Any:
        return self.loc

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(uniform(self._extended_shape(sample_shape), self.loc))

    def _standard(self, value: Any) -> Any:
        """A value by the unit distribution."""
        self._validate_sample(value)
        return (value - self.loc) / self.scale


class Laplace(_OfLocation):
    """Laplace distribution: density proportional to exp(-|x - loc| / scale).

    Args:
        loc, scale: numbers or Tensors, the scale positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Laplace(0.0, 1.0).variance
        tensor(2.)
    """

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return 2 * self.scale**2

    @property
    def stddev(self) -> Any:
        return math.sqrt(2) * self.scale

    def log_prob(self, value: Any) -> Any:
        return -self._standard(value).abs() - (2 * self.scale).log()

    def cdf(self, value: Any) -> Any:
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Any) -> Any:
        apart = value - 0.5
        return self.loc - self.scale * apart.sign() * (-2 * apart.abs()).log1p()

    def entropy(self) -> Any:
        return 1 + (2 * self.scale).log()


class Cauchy(_OfLocation):
    """Cauchy distribution.

    Args:
        loc: the median. scale: half the width at half of the height, positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Cauchy(0.0, 1.0).cdf(sq.tensor(1.0))
        tensor(0.7500)
    """

    @property
    def mean(self) -> Any:
        return sq.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Any:
        return sq.full_like(self.loc, math.inf)

    def log_prob(self, value: Any) -> Any:
        return -math.log(math.pi) - self.scale.log() - (self._standard(value) ** 2).log1p()

    def cdf(self, value: Any) -> Any:
        return self._standard(value).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        return self.loc + self.scale * (math.pi * (value - 0.5)).tan()

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + self.scale.log()


class HalfCauchy(TransformedDistribution):
    """The size of a Cauchy number of median 0.

    Args:
        scale: of that number, positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.HalfCauchy(1.0).cdf(sq.tensor(1.0))
        tensor(0.5000)
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None):
        super().__init__(Cauchy(0.0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Any:
        """Of the Cauchy number."""
        return self.base_dist.scale

    @property
    def mean(self) -> Any:
        return sq.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Any:
        return sq.zeros_like(self.scale)

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return sq.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Any) -> Any:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)
