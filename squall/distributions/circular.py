"""The von Mises distribution of angles. Samples by the rejection method of Best and Fisher 1979."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution
from squall.distributions.utils import broadcast_all, lazy_property

_ROUNDS = 40  # of proposals; each is accepted with a probability above 0.65, so 1 of 10^18 angles keeps a refused one


class VonMises(Distribution):
    """Von Mises distribution of angles in (-pi, pi]: density proportional to exp(concentration * cos(x - loc)).

    Args:
        loc: an angle. concentration: positive. Numbers or Tensors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.VonMises(0.0, 1.0).variance
        tensor(0.5536)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def mean(self) -> Any:
        """The direction of the mean of points on the circle."""
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @lazy_property
    def variance(self) -> Any:
        """1 less the length of the mean of points on the circle."""
        return 1 - sq.special.i1e(self.concentration) / sq.special.i0e(self.concentration)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self.concentration
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - sq.special.i0e(k).log()

    def sample(self, sample_shape: Any = ()) -> Any:
        with sq.no_grad():
            shape, k = tuple(self._extended_shape(sample_shape)), self.concentration.double()
            tau = 1 + (1 + 4 * k**2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            flat = k < 1e-5  # where rho cannot be told from cancellation; by its series
            r = sq.where(flat, 1 / k + k, (1 + rho**2) / (2 * rho))
            u = sq.rand((3, _ROUNDS, *shape), dtype=sq.float64)
            z = (math.pi * u[0]).cos()
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            height = 1 - u[1]  # in (0, 1]
            good = (c * (2 - c) > height) | ((c / height).log() + 1 - c >= 0)
            first = good.to(sq.uint8).argmax(0, keepdim=True)
            f, side = f.gather(0, first).squeeze(0), (u[2].gather(0, first).squeeze(0) - 0.5).sign()
            angle = side * f.clamp(-1, 1).acos() + self.loc.double()
            return ((angle + math.pi) % (2 * math.pi) - math.pi).to(self.loc.dtype)
