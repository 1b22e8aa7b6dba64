"""Distributions of counts: binomial, negative binomial, Poisson.

Counts depend on values for their number of draws: sampling evaluates the parameters and cannot be part of a compiled
function.
"""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.chances import OfChance
from squall.distributions.distribution import ExponentialFamily
from squall.distributions.errors import UndefinedError
from squall.distributions.gammas import Gamma
from squall.distributions.utils import broadcast_all, is_tensor, scalar, tiny


class Binomial(OfChance):
    """How many of so many trials succeed.

    Args:
        total_count: how many trials. probs: the probability of success, or logits: its log-odds; one of the two.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Binomial(4, 0.5).log_prob(sq.tensor(2.0)).exp()
        tensor(0.3750)
    """

    arg_constraints = {"total_count": constraints.nonnegative_integer, "probs": constraints.unit_interval,
                       "logits": constraints.real}
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        value = probs if probs is not None else logits
        kind = value.dtype if is_tensor(value) else sq.get_default_dtype()
        count = total_count.to(kind) if is_tensor(total_count) else total_count
        shape, (self.total_count,) = self._set(probs, logits, count)
        super().__init__(shape, (), validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """From 0 to the number of trials."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with sq.no_grad():
            return sq.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, (hit, miss) = self.total_count, self._log_chances()
        ways = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return ways + value * hit + (n - value) * miss

    def entropy(self) -> Any:
        """By summing over all counts; the number of trials must be the same everywhere."""
        logs = self.log_prob(self.enumerate_support(False))
        return -(logs.exp() * logs).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise UndefinedError("Binomial: enumerate_support() needs one number of trials for the whole batch")
        return self._listed(sq.arange(most + 1, dtype=self.__dict__[self._given].dtype), expand)


class NegativeBinomial(OfChance):
    """How many trials succeed before a number of failures is reached.

    Args:
        total_count: the number of failures; need not be whole. probs: the probability of success, or logits: its
            log-odds; one of the two.

    Example:
        >>> import squall as sq
        >>> sq.distributions.NegativeBinomial(3.0, 0.5).mean
        tensor(3.)
    """

    arg_constraints = {"total_count": constraints.greater_than_eq(0), "probs": constraints.half_open_interval(0.0, 1.0),
                       "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        value = probs if probs is not None else logits
        kind = value.dtype if is_tensor(value) else sq.get_default_dtype()
        count = total_count.to(kind) if is_tensor(total_count) else total_count
        shape, (self.total_count,) = self._set(probs, logits, count)
        super().__init__(shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            rate = Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape)
            return sq.poisson(rate)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, (hit, miss) = self.total_count, self._log_chances()
        ways = sq.where(n + value == 0, 0.0, (n + value).lgamma() - (1 + value).lgamma() - n.lgamma())
        return ways + n * miss + value * hit


class Poisson(ExponentialFamily):
    """Poisson distribution: how many independent events happen.

    Args:
        rate: the mean, at least 0.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Poisson(2.0).log_prob(sq.tensor(0.0))
        tensor(-2.)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(() if scalar(rate) else self.rate.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    @property
    def variance(self) -> Any:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            return sq.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return sq.xlogy(value, rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple:
        return (self.rate.clamp(min=tiny(self.rate)).log(),)

    def _log_normalizer(self, x: Any) -> Any:
        return x.exp()
