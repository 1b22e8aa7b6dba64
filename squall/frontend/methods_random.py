"""Tensor methods: filling with random numbers in place."""

from __future__ import annotations

from math import log1p, pi
from typing import TYPE_CHECKING, Any

from squall.base.dtypes import real_of
from squall.base.errors import ArgumentError
from squall.frontend import random
from squall.frontend.complex_views import view_as_complex

if TYPE_CHECKING:
    from squall.frontend.tensor import Tensor


class RandomMethods:
    """Mixed into Tensor."""

    __slots__ = ()
    if TYPE_CHECKING:  # what Tensor adds
        node: Any

    def uniform_(self, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
        """In place: uniform numbers in [from_, to)."""
        if from_ > to:
            raise ArgumentError(f"uniform_: argument 'from_' must not be above 'to', got from_={from_} and to={to}")
        if self.node.dtype.category == 3:  # both parts, as in PyTorch
            shape = (*self.node.shape, 2)
            parts = random.rand(shape, generator=generator, dtype=real_of(self.node.dtype)) * (to - from_) + from_
            return random.fill_random(self, view_as_complex(parts))
        return random.fill_random(self, random.rand_like(self, generator=generator) * (to - from_) + from_)

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
        """In place: normal numbers."""
        if std < 0:
            raise ArgumentError(f"normal_: argument 'std' must not be negative, got {std}")
        return random.fill_random(self, random.randn_like(self, generator=generator) * std + mean)

    def bernoulli_(self, p: float = 0.5, *, generator: Any = None) -> Tensor:
        """In place: 1 with probability p, else 0."""
        return random.fill_random(self, random.rand_like(self, dtype="float32", generator=generator) < p)

    def random_(self, from_: int = 0, to: int | None = None, *, generator: Any = None) -> Tensor:
        """In place: integers from from_ below to."""
        low, high = (0, from_) if to is None else (from_, to)
        return random.fill_random(self, random.randint(low, high, tuple(self.node.shape), generator=generator))

    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
        """Positions drawn with the probabilities of each row."""
        return random.multinomial(self, num_samples, replacement, generator=generator)

    def bernoulli(self, p: float | None = None, *, generator: Any = None) -> Tensor:
        """1 with the probability each element gives, or `p` gives for all, else 0."""
        return random.bernoulli(self, p, generator=generator)

    def exponential_(self, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
        """In place: exponential numbers of a rate."""
        _positive("exponential_", "lambd", lambd)
        return random.fill_random(self, -_open(self, generator).log() / lambd)

    def log_normal_(self, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Tensor:
        """In place: numbers whose logarithms are normal."""
        _positive("log_normal_", "std", std)
        wide = random.randn(self.node.shape, dtype="float64", generator=generator)
        return random.fill_random(self, (wide * std + mean).exp())

    def cauchy_(self, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Tensor:
        """In place: Cauchy numbers."""
        _positive("cauchy_", "sigma", sigma)
        angle = (_open(self, generator) - 0.5) * pi
        return random.fill_random(self, angle.tan() * sigma + median)

    def geometric_(self, p: float, *, generator: Any = None) -> Tensor:
        """In place: how many trials of probability p until the first success, from 1."""
        if not 0 < p < 1:
            raise ArgumentError(f"geometric_: expects p to be in (0, 1), but got p={p}")
        return random.fill_random(self, (_open(self, generator).log() / log1p(-p)).ceil().clamp(min=1.0))


def _positive(function: str, name: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(f"{function}: argument {name!r} must be positive, got {value}")


def _open(x: Any, generator: Any) -> Any:
    """Uniform float64 numbers in (0, 1], shaped like a Tensor."""
    return 1.0 - random.rand(x.node.shape, dtype="float64", generator=generator)
