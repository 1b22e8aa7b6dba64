"""Distributions over classes: Categorical, one-hot vectors, and counts of several draws."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.counts import Binomial
from squall.distributions.distribution import Distribution
from squall.distributions.errors import UndefinedError
from squall.distributions.utils import lazy_property, logits_to_probs, one_of, probs_to_logits, tracing


class Categorical(Distribution):
    """The number of a class, each with a probability.

    Args:
        probs: of shape (..., classes), at least 0, with any positive sum; or logits: their logarithms, with any
            constant added. One of the two.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.Categorical(sq.tensor([1.0, 3.0]))
        >>> d.probs, d.entropy()
        (tensor([0.2500, 0.7500]), tensor(0.5623))
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._given, value = one_of("Categorical", probs=probs, logits=logits)
        if value.ndim < 1:
            raise ValueError(f"Categorical: parameter {self._given} must be at least one-dimensional")
        self.__dict__[self._given] = (value / value.sum(-1, keepdim=True) if self._given == "probs"
                                      else value - value.logsumexp(-1, keepdim=True))
        self._num_events = value.shape[-1]
        super().__init__(value.shape[:-1], (), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.__dict__.pop("logits" if self._given == "probs" else "probs", None)
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """The classes' numbers."""
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def probs(self) -> Any:
        """The probabilities."""
        return logits_to_probs(self.logits)

    @lazy_property
    def logits(self) -> Any:
        """The probabilities' logarithms."""
        return probs_to_logits(self.probs)

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self.__dict__[self._given].shape

    @property
    def mean(self) -> Any:
        return sq.full(tuple(self._batch_shape), math.nan, dtype=self.__dict__[self._given].dtype)

    @property
    def mode(self) -> Any:
        return self.__dict__[self._given].argmax(-1)

    @property
    def variance(self) -> Any:
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            below = self.probs.cumsum(-1)
            total = below[..., -1]
            shape = tuple(self._extended_shape(sample_shape))
            at = sq.rand(shape, dtype=below.dtype) * total
            last = (below < total.unsqueeze(-1)).sum(-1)  # of the classes that have a probability
            return (below <= at.unsqueeze(-1)).sum(-1).minimum(last)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        value, logs = sq.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logs.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Any:
        least = sq.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        return self._listed(sq.arange(self._num_events), expand)


class OfClasses(Distribution):
    """A distribution over vectors with a number for each class, by the classes' probabilities or their logarithms."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def probs(self) -> Any:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """The probabilities' logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Any:
        """The shape of the probabilities."""
        return self._categorical.param_shape


class OneHotCategorical(OfClasses):
    """A class as a vector with a 1 at its place.

    Args:
        probs, logits: as of Categorical.

    Example:
        >>> import squall as sq
        >>> sq.distributions.OneHotCategorical(sq.tensor([0.0, 1.0])).sample()
        tensor([0., 1.])
    """

    support = constraints.one_hot
    has_enumerate_support = True

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return self._hot(self.probs.argmax(-1))

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def _hot(self, index: Any) -> Any:
        return (index.unsqueeze(-1) == sq.arange(self.param_shape[-1])).to(self.probs.dtype)

    def sample(self, sample_shape: Any = ()) -> Any:
        return self._hot(self._categorical.sample(sample_shape)).detach()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Any:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        count = self.param_shape[-1]
        values = sq.eye(count, dtype=self.probs.dtype).reshape((count,) + (1,) * len(self._batch_shape) + (count,))
        return values.expand((count, *tuple(self._batch_shape), count)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot vectors whose gradient is that of the probabilities (Bengio, Leonard and Courville 2013).

    Args:
        probs, logits: as of Categorical.

    Example:
        >>> import squall as sq
        >>> probs = sq.tensor([0.0, 1.0], requires_grad=True)
        >>> sq.distributions.OneHotCategoricalStraightThrough(probs).rsample().requires_grad
        True
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(OfClasses):
    """How often each class is drawn, in so many draws.

    Args:
        total_count: how many draws, an int. probs, logits: as of Categorical.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.Multinomial(4, sq.tensor([0.5, 0.5]))
        >>> d.mean, d.log_prob(sq.tensor([2.0, 2.0])).exp()
        (tensor([2., 2.]), tensor(0.3750))
    """

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        if not isinstance(total_count, int):
            raise UndefinedError("Multinomial: total_count must be one int for the whole batch")
        self.total_count = total_count
        super().__init__(probs, logits, validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Counts of that sum."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        return (drawn.unsqueeze(-1) == sq.arange(self.param_shape[-1])).sum(0).to(self.probs.dtype)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logs, value = sq.broadcast_tensors(self.logits, value)
        logs = sq.where((value == 0) & (logs == -math.inf), 0.0, logs)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + (logs * value).sum(-1)

    def entropy(self) -> Any:
        """Of so many draws, less what their order says (each count is binomial)."""
        n = sq.tensor(float(self.total_count), dtype=self.probs.dtype)
        counts = Binomial(self.total_count, self.probs, validate_args=False)
        values = counts.enumerate_support(False)[1:]
        ordered = (counts.log_prob(values).exp() * (values + 1).lgamma()).sum((0, -1))
        return n * self._categorical.entropy() - (n + 1).lgamma() + ordered

    def _validate_sample(self, value: Any) -> None:
        super()._validate_sample(value)
        if self._validate_args and not tracing() and not bool((value.sum(-1) == self.total_count).all()):
            raise ValueError(f"Multinomial: counts must add up to total_count {self.total_count}, got\n{value}")
