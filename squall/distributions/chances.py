"""Yes or no by a probability or its log-odds: Bernoulli, and the trials until a success."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution, ExponentialFamily
from squall.distributions.utils import (
    broadcast_all,
    holds,
    lazy_property,
    logits_to_probs,
    one_of,
    probs_to_logits,
    scalar,
    uniform,
)


class OfChance(Distribution):
    """A distribution by a probability or by its log-odds; the other is computed when asked for."""

    _given = "probs"

    def _set(self, probs: Any, logits: Any, *others: Any) -> tuple:
        """Store the one that was given, of a shape with the other parameters; these, and the batch shape."""
        self._given, value = one_of(type(self).__name__, probs=probs, logits=logits)
        value, *rest = broadcast_all(value, *others)
        self.__dict__[self._given] = value
        shape = () if scalar(probs if probs is not None else logits, *others) else value.shape
        return shape, rest

    @lazy_property
    def probs(self) -> Any:
        """The probability."""
        return logits_to_probs(self.logits, is_binary=True)

    @lazy_property
    def logits(self) -> Any:
        """The log-odds of the probability."""
        return probs_to_logits(self.probs, is_binary=True)

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self.__dict__[self._given].shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.__dict__.pop("logits" if self._given == "probs" else "probs", None)
        return new

    def _log_chances(self) -> tuple[Any, Any]:
        """log p and log(1 - p)."""
        return sq.nn.functional.logsigmoid(self.logits), sq.nn.functional.logsigmoid(-self.logits)


def _cross_entropy(logits: Any, target: Any) -> Any:
    return sq.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


class Bernoulli(OfChance, ExponentialFamily):
    """1 with a probability, else 0.

    Args:
        probs: the probability, or logits: its log-odds; one of the two.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Bernoulli(0.25).variance
        tensor(0.1875)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        shape, _ = self._set(probs, logits)
        super().__init__(shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return sq.where(self.probs == 0.5, math.nan, (self.probs >= 0.5).to(self.probs.dtype))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            return sq.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return -_cross_entropy(*sq.broadcast_tensors(self.logits, value.to(self.logits.dtype)))

    def entropy(self) -> Any:
        return _cross_entropy(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._listed(sq.arange(2, dtype=self.__dict__[self._given].dtype), expand)

    @property
    def _natural_params(self) -> tuple:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Any:
        return x.exp().log1p()


class Geometric(OfChance):
    """How many trials fail before the first success.

    Args:
        probs: the probability of success, or logits: its log-odds; one of the two.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Geometric(0.25).mean
        tensor(3.)
    """

    arg_constraints = {"probs": constraints.interval(0.0, 1.0), "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        shape, _ = self._set(probs, logits)
        super().__init__(shape, (), validate_args)
        if self._validate_args and probs is not None and not holds(self.probs > 0):
            raise ValueError("Geometric: parameter probs must be positive, but found zeros")

    @property
    def mean(self) -> Any:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Any:
        return sq.zeros_like(self.probs)

    @property
    def variance(self) -> Any:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            drawn = uniform(self._extended_shape(sample_shape), self.probs)
            return (drawn.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return sq.special.xlog1py(value, -self.probs) + self.probs.log()

    def entropy(self) -> Any:
        return _cross_entropy(self.logits, self.probs) / self.probs
