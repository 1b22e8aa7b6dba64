"""Families made of several gamma numbers: Beta and Dirichlet (shares), F (a ratio) and Student's t."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution, ExponentialFamily
from squall.distributions.gammas import log_beta, log_gamma_sample
from squall.distributions.utils import broadcast_all, scalar, tiny


class Dirichlet(ExponentialFamily):
    """Dirichlet distribution over the simplex: density proportional to the product of x_i^(c_i - 1).

    Args:
        concentration: positive, of shape (..., classes).

    Example:
        >>> import squall as sq
        >>> sq.distributions.Dirichlet(sq.tensor([1.0, 3.0])).mean
        tensor([0.2500, 0.7500])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None):
        if concentration.ndim < 1:
            raise ValueError("Dirichlet: parameter concentration must be at least one-dimensional")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Any:
        over = (self.concentration - 1).clamp(min=0.0)
        corner = sq.nn.functional.one_hot(self.concentration.argmax(-1), self.concentration.shape[-1])
        inside = over / over.sum(-1, keepdim=True)
        return sq.where((self.concentration < 1).all(-1, keepdim=True), corner.to(over.dtype), inside)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        drawn = log_gamma_sample(self.concentration.expand(self._extended_shape(sample_shape)))
        return drawn.softmax(-1).clamp(min=tiny(drawn))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        c = self.concentration
        return sq.xlogy(c - 1, value).sum(-1) + c.sum(-1).lgamma() - c.lgamma().sum(-1)

    def entropy(self) -> Any:
        c, k = self.concentration, self.concentration.shape[-1]
        total = c.sum(-1)
        return c.lgamma().sum(-1) - total.lgamma() - (k - total) * total.digamma() - ((c - 1) * c.digamma()).sum(-1)

    @property
    def _natural_params(self) -> tuple:
        return (self.concentration,)

    def _log_normalizer(self, x: Any) -> Any:
        return x.lgamma().sum(-1) - x.sum(-1).lgamma()


class Beta(ExponentialFamily):
    """Beta distribution: density proportional to x^(concentration1 - 1) (1 - x)^(concentration0 - 1) on [0, 1].

    Args:
        concentration1, concentration0: positive numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Beta(1.0, 3.0).mean
        tensor(0.2500)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        return Dirichlet(sq.stack([self.concentration1, self.concentration0], -1), validate_args=False).mode[..., 0]

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        odds = log_gamma_sample(self.concentration1.expand(shape)) - log_gamma_sample(self.concentration0.expand(shape))
        return odds.sigmoid().clamp(min=tiny(odds))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        return sq.xlogy(a - 1, value) + sq.special.xlog1py(b - 1, -value) - log_beta(a, b)

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return log_beta(a, b) - (a - 1) * a.digamma() - (b - 1) * b.digamma() + (a + b - 2) * (a + b).digamma()

    @property
    def _natural_params(self) -> tuple:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        return log_beta(x, y)


class FisherSnedecor(Distribution):
    """Fisher and Snedecor's F distribution: the ratio of two chi-squared numbers, each by its degrees of freedom.

    Args:
        df1, df2: positive numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.FisherSnedecor(1.0, 4.0).mean
        tensor(2.)
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(() if scalar(df1, df2) else self.df1.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return sq.where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Any:
        return sq.where(self.df1 > 2, (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2), math.nan)

    @property
    def variance(self) -> Any:
        a, b = self.df1, self.df2
        return sq.where(b > 4, 2 * b**2 * (a + b - 2) / (a * (b - 2) ** 2 * (b - 4)), math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        a, b = (df.expand(self._extended_shape(sample_shape)) for df in (self.df1, self.df2))
        logs = log_gamma_sample(a / 2) - log_gamma_sample(b / 2) + (b / a).log()
        return logs.exp().clamp(min=tiny(logs))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b = self.df1 / 2, self.df2 / 2
        ratio = self.df1 / self.df2
        return a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p() - log_beta(a, b)


class StudentT(Distribution):
    """Student's t distribution, with a location and a scale.

    Args:
        df: positive degrees of freedom. loc, scale: numbers or Tensors, the scale positive.

    Example:
        >>> import squall as sq
        >>> sq.distributions.StudentT(4.0).variance
        tensor(2.)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        return sq.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        wide = sq.where(self.df > 1, math.inf, math.nan).to(self.df.dtype)
        return sq.where(self.df > 2, self.scale**2 * self.df / (self.df - 2), wide)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        df = self.df.expand(shape)
        spread = (df / 2).sqrt() * (-0.5 * log_gamma_sample(df / 2)).exp()
        return self.loc + self.scale * sq.randn(tuple(shape), dtype=df.dtype) * spread

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y, half = (value - self.loc) / self.scale, 0.5 * self.df
        front = self.scale.log() + 0.5 * (math.pi * self.df).log() + half.lgamma() - (half + 0.5).lgamma()
        return -(half + 0.5) * (y**2 / self.df).log1p() - front

    def entropy(self) -> Any:
        half = 0.5 * self.df
        more = (half + 0.5) * ((half + 0.5).digamma() - half.digamma())
        return self.scale.log() + more + 0.5 * self.df.log() + log_beta(half, sq.full_like(half, 0.5))
