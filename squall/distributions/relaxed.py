"""Continuous stand-ins for classes, whose samples have gradients: relaxed (concrete) and continuous Bernoulli.

Maddison, Mnih and Teh 2017; Jang, Gu and Poole 2017; for continuous Bernoulli, Loaiza-Ganem and Cunningham 2019.
"""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.categorical import OfClasses
from squall.distributions.chances import OfChance
from squall.distributions.distribution import ExponentialFamily
from squall.distributions.transformed import TransformedDistribution
from squall.distributions.transforms import ExpTransform, SigmoidTransform
from squall.distributions.utils import clamp_probs, is_tensor, uniform


class LogitRelaxedBernoulli(OfChance):
    """Log-odds of relaxed Bernoulli numbers: logistic noise added to log-odds, by a temperature.

    Args:
        temperature: positive. probs: the probability, or logits: its log-odds; one of the two.

    Example:
        >>> import squall as sq
        >>> sq.distributions.relaxed.LogitRelaxedBernoulli(sq.tensor(1.0), 0.5).log_prob(sq.tensor(0.0)).exp()
        tensor(0.2500)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.temperature = temperature
        shape, _ = self._set(probs, logits)
        super().__init__(shape, (), validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        chance = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(uniform(shape, chance))
        return (u.log() - (-u).log1p() + chance.log() - (-chance).log1p()) / self.temperature

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = sq.broadcast_tensors(self.logits, value)
        apart = logits - value * self.temperature
        return _log(self.temperature) + apart - 2 * sq.nn.functional.softplus(apart)


def _log(value: Any) -> Any:
    return value.log() if is_tensor(value) else math.log(value)


class _Relaxed(TransformedDistribution):
    """A relaxed distribution whose parameters are those of the distribution of logarithms or log-odds it is made of."""

    @property
    def temperature(self) -> Any:
        """How far from the corners of their region numbers stay."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Any:
        """The log-odds, or of classes the probabilities' logarithms."""
        return self.base_dist.logits

    @property
    def probs(self) -> Any:
        """The probability, or those of the classes."""
        return self.base_dist.probs


class RelaxedBernoulli(_Relaxed):
    """Numbers in (0, 1) that come near 0 and 1 as the temperature falls; samples have gradients.

    Args:
        temperature: positive. probs: the probability of 1, or logits: its log-odds; one of the two.

    Example:
        >>> import squall as sq
        >>> sq.distributions.RelaxedBernoulli(sq.tensor(0.5), sq.tensor([0.1, 0.9])).sample().shape
        squall.Size([2])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args=False)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)


class ExpRelaxedCategorical(OfClasses):
    """Logarithms of relaxed one-hot vectors: Gumbel noise added to log-probabilities, by a temperature, normalised.

    Args:
        temperature: positive. probs, logits: as of Categorical.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.relaxed.ExpRelaxedCategorical(sq.tensor(1.0), sq.tensor([0.5, 0.5]))
        >>> d.sample().shape
        squall.Size([2])
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = clamp_probs(uniform(self._extended_shape(sample_shape), self.logits))
        return ((self.logits - (-u.log()).log()) / self.temperature).log_softmax(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        count = self.param_shape[-1]
        logits, value = sq.broadcast_tensors(self.logits, value)
        front = math.lgamma(count) + (count - 1) * _log(self.temperature)
        return (logits - value * self.temperature).log_softmax(-1).sum(-1) + front


class RelaxedOneHotCategorical(_Relaxed):
    """Points of the simplex that come near its corners as the temperature falls; samples have gradients.

    Args:
        temperature: positive. probs, logits: as of Categorical.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.RelaxedOneHotCategorical(sq.tensor(0.5), sq.tensor([0.2, 0.8]))
        >>> d.event_shape
        squall.Size([2])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)


class ContinuousBernoulli(OfChance, ExponentialFamily):
    """Density proportional to probs**x * (1 - probs)**(1 - x) on [0, 1].

    Near probs = 1/2 formulas cancel; within `lims` their Taylor series stand in.

    Args:
        probs: in (0, 1), or logits: its log-odds; one of the two. lims: where the series are taken.

    Example:
        >>> import squall as sq
        >>> sq.distributions.ContinuousBernoulli(0.5).mean
        tensor(0.5000)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501),
                 validate_args: bool | None = None):
        self._lims = lims
        shape, _ = self._set(probs, logits)
        super().__init__(shape, (), validate_args)
        if probs is not None:
            self.__dict__["probs"] = clamp_probs(self.__dict__["probs"])

    def _apart(self) -> Any:
        """Where probs are so far from 1/2 that nothing cancels."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut(self) -> Any:
        """The probs, moved away where the series are taken."""
        return sq.where(self._apart(), self.probs, self._lims[0])

    def _log_norm(self) -> Any:
        """log of the density's constant, 2 atanh(1 - 2p) / (1 - 2p)."""
        cut, x = self._cut(), self.probs - 0.5
        exact = ((-cut).log1p() - cut.log()).abs().log() - (1 - 2 * cut).abs().log()
        return sq.where(self._apart(), exact, math.log(2) + (4 / 3 + 104 / 45 * x**2) * x**2)

    @property
    def mean(self) -> Any:
        cut, x = self._cut(), self.probs - 0.5
        exact = cut / (2 * cut - 1) + 1 / ((-cut).log1p() - cut.log())
        return sq.where(self._apart(), exact, 0.5 + (1 / 3 + 16 / 45 * x**2) * x)

    @property
    def stddev(self) -> Any:
        return self.variance.sqrt()

    @property
    def variance(self) -> Any:
        cut, x = self._cut(), (self.probs - 0.5) ** 2
        exact = cut * (cut - 1) / (1 - 2 * cut) ** 2 + 1 / ((-cut).log1p() - cut.log()) ** 2
        return sq.where(self._apart(), exact, 1 / 12 - (1 / 15 - 128 / 945 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, value = sq.broadcast_tensors(self.logits, value)
        crossed = sq.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return self._log_norm() - crossed

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        cut = self._cut()
        exact = (cut**value * (1 - cut) ** (1 - value) + cut - 1) / (2 * cut - 1)
        found = sq.where(self._apart(), exact, value)
        return sq.where(value <= 0, 0.0, sq.where(value >= 1, 1.0, found))

    def icdf(self, value: Any) -> Any:
        cut = self._cut()
        exact = ((-cut + value * (2 * cut - 1)).log1p() - (-cut).log1p()) / (cut.log() - (-cut).log1p())
        return sq.where(self._apart(), exact, value)

    def entropy(self) -> Any:
        hit, miss = self.probs.log(), (-self.probs).log1p()
        return self.mean * (miss - hit) - self._log_norm() - miss

    @property
    def _natural_params(self) -> tuple:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Any:
        """log((exp(x) - 1) / x), by its series near 0."""
        flat = x.abs() < 1e-2
        safe = sq.where(flat, 1.0, x)
        return sq.where(flat, x / 2 + x * x / 24, (safe.expm1() / safe).log())

