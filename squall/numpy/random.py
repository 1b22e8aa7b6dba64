"""`numpy.random`'s names on squall's own streams (Philox): a seed gives the same numbers everywhere, but not NumPy's.

`default_rng(seed)` gives a Generator; the module's functions draw from one of their own, which `seed` starts. Sizes are
known when a draw is recorded, so drawing waits for nothing and compiled functions can draw.
"""

from __future__ import annotations

from math import inf, pi
from typing import Any

from squall.base.dtypes import float64, int64
from squall.base.shapes import broadcast, numel
from squall.frontend import arithmetic, random_counts
from squall.frontend import random as streams
from squall.numpy import linalg, sorting
from squall.numpy.core import arr, cast, lift, one_axis, shape_of, taken, write_out
from squall.numpy.kinds import dtype_of
from squall.numpy.random_families import Families, float_kind, not_negative


class Generator(Families):
    """Draws random arrays from one stream.

    Args:
        stream: a `sq.Generator`, or None for a new one with a seed of the operating system's.

    Example:
        >>> import squall.numpy as snp
        >>> a, b = snp.random.default_rng(7), snp.random.default_rng(7)
        >>> bool((a.normal(size=3) == b.normal(size=3)).all())
        True
    """

    def __init__(self, stream: Any = None):
        self.stream = stream if stream is not None else streams.Generator()
        if stream is None:
            self.stream.seed()

    def spawn(self, n_children: int) -> list:
        """New Generators with seeds drawn from this one."""
        return [default_rng(seed) for seed in self.integers(0, 1 << 62, n_children).tolist()]

    # ------------------------------------------------------------ uniform and whole numbers
    def random(self, size: Any = None, dtype: Any = float64, out: Any = None) -> Any:
        """Uniform numbers in [0, 1)."""
        kind = float_kind(dtype)
        shape = (
            tuple(out.shape) if out is not None and size is None else shape_of(() if size is None else size)
        )
        return write_out(out, streams.rand(shape, generator=self.stream, dtype=kind), "same_kind", "random")

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Uniform numbers in [low, high)."""
        shape, a, b = self._shape(size, low, high)
        return lift(streams.rand(shape, generator=self.stream, dtype=float64) * (b - a) + a)

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = int64, endpoint: bool = False
    ) -> Any:
        """Whole numbers in [low, high), or [0, low) of one number; `endpoint` includes the upper end.

        Raises:
            ValueError: when there is no such number.
        """
        first, last = (0, low) if high is None else (low, high)
        a, b = arr(first, int64), arr(last, int64) + int(endpoint)
        joint = broadcast(tuple(a.node.shape), tuple(b.node.shape), "integers")
        if bool((b <= a).any()):
            raise ValueError("low >= high" if not endpoint else "low > high")
        shape = joint if size is None else shape_of(size)
        upper, lower = (streams.randint(0, 1 << 31, shape, generator=self.stream, dtype=int64) for _ in range(2))
        whole = upper * (1 << 31) + lower  # 62 bits; the remainder below favours small numbers by span / 2**62
        return lift(cast(whole.remainder(b - a) + a, dtype_of(dtype)))

    def choice(self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0) -> Any:
        """Elements of an array, or of the numbers below an int, drawn with or without replacement.

        Args:
            p: their probabilities, which sum to 1.
        """
        number = isinstance(a, int)
        x = arr(a) if not number else None
        d = 0 if x is None else one_axis(axis, x.ndim)
        count = a if x is None else x.node.shape[d]
        shape = () if size is None else shape_of(size)
        wanted = int(numel(shape))
        if count <= 0 and wanted:
            raise ValueError("a must be a positive integer unless no samples are taken")
        if not replace and wanted > count:
            raise ValueError("Cannot take a larger sample than population when replace is False")
        if p is not None:
            weights = arr(p, float64)
            if tuple(weights.node.shape) != (count,):
                raise ValueError("a and p must have same size")
            if bool((weights < 0).any()) or abs(float(weights.sum()) - 1) > 1e-8:
                raise ValueError("Probabilities are not non-negative and do not sum to 1")
            # exponential races: the earliest arrivals are a draw without replacement
            if replace:
                edges = weights.cumsum(0)
                at = streams.rand((wanted,), generator=self.stream, dtype=float64) * edges[-1]
                places = arr(sorting.searchsorted(edges, at, "right")).clamp(max=count - 1)
            else:
                times = -self._open((count,)).log() / weights
                places = arr(sorting.argsort(arithmetic.where(weights > 0, times, inf)))[:wanted]
        elif replace:
            places = arr(self.integers(0, count, wanted))
        else:
            places = streams.randperm(count, generator=self.stream)[:wanted]
        if x is None:
            return lift(places.reshape(shape))
        made = taken(x, places, d)
        return lift(made.reshape((*x.node.shape[:d], *shape, *x.node.shape[d + 1 :])))

    def permutation(self, x: Any, axis: int = 0) -> Any:
        """The numbers below an int, or the slices of an array, in random order."""
        if isinstance(x, int):
            return lift(streams.randperm(x, generator=self.stream))
        a = arr(x)
        d = one_axis(axis, a.ndim)
        return lift(taken(a, streams.randperm(a.node.shape[d], generator=self.stream), d))

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """In place: the slices of an array in random order."""
        x[...] = self.permutation(x, axis)

    def permuted(self, x: Any, axis: int | None = None) -> Any:
        """Every slice along an axis in an order of its own; all elements for None."""
        a = arr(x)
        if axis is None:
            return self.permutation(a.reshape(-1)).reshape(tuple(a.node.shape))
        keys = self.random(tuple(a.node.shape))
        order = arr(sorting.argsort(keys, axis=axis))
        return lift(a.gather(one_axis(axis, a.ndim), order))

    def bytes(self, length: int) -> bytes:
        """Random bytes."""
        return self.integers(0, 256, length, "uint8").tobytes()

    # ------------------------------------------------------------ continuous distributions
    def standard_normal(self, size: Any = None, dtype: Any = float64, out: Any = None) -> Any:
        """Normal numbers with mean 0 and deviation 1."""
        kind = float_kind(dtype)
        shape = (
            tuple(out.shape) if out is not None and size is None else shape_of(() if size is None else size)
        )
        return write_out(out, streams.randn(shape, generator=self.stream, dtype=kind), "same_kind", "normal")

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Normal numbers with a mean and a deviation."""
        shape, mean, deviation = self._shape(size, loc, scale)
        not_negative(deviation, "scale")
        return lift(streams.randn(shape, generator=self.stream, dtype=float64) * deviation + mean)

    def lognormal(self, mean: Any = 0.0, sigma: Any = 1.0, size: Any = None) -> Any:
        """Numbers whose logarithms are normal."""
        return lift(arr(self.normal(mean, sigma, size)).exp())

    def multivariate_normal(self, mean: Any, cov: Any, size: Any = None) -> Any:
        """Normal vectors with a mean and a covariance matrix."""
        centre, values = arr(mean, float64), linalg.eigh(arr(cov, float64))
        shape = () if size is None else shape_of(size)
        drawn = streams.randn((*shape, centre.node.shape[0]), generator=self.stream, dtype=float64)
        root = arr(values.eigenvectors) * arr(values.eigenvalues).clamp(min=0).sqrt()
        return lift(drawn @ root.T + centre)

    def _of_uniform(self, size: Any, parameters: tuple, inverse: Any, positive: str = "scale") -> Any:
        """A distribution by the inverse of its cumulative function, of numbers in (0, 1]."""
        shape, *given = self._shape(size, *parameters)
        if given:
            not_negative(given[-1], positive)
        return lift(inverse(self._open(shape), *given).broadcast_to(shape))

    def standard_exponential(self, size: Any = None) -> Any:
        """Exponential numbers with mean 1."""
        return self._of_uniform(size, (), lambda u: -u.log())

    def exponential(self, scale: Any = 1.0, size: Any = None) -> Any:
        """Exponential numbers with a mean."""
        return self._of_uniform(size, (scale,), lambda u, s: -u.log() * s)

    def laplace(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Numbers of the Laplace distribution."""
        return self._of_uniform(
            size,
            (loc, scale),
            lambda u, m, s: (
                m + s * arithmetic.where(u < 0.5, (2 * u).log(), -(2 - 2 * u).clamp(min=1e-300).log())
            ),
        )

    def logistic(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Numbers of the logistic distribution."""
        return self._of_uniform(
            size, (loc, scale), lambda u, m, s: m + s * (u.log() - (1 - u).clamp(min=1e-300).log())
        )

    def gumbel(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Numbers of the Gumbel distribution."""
        return self._of_uniform(
            size, (loc, scale), lambda u, m, s: m - s * (-u.log()).clamp(min=1e-300).log()
        )

    def rayleigh(self, scale: Any = 1.0, size: Any = None) -> Any:
        """Numbers of the Rayleigh distribution."""
        return self._of_uniform(size, (scale,), lambda u, s: s * (-2 * u.log()).sqrt())

    def weibull(self, a: Any, size: Any = None) -> Any:
        """Numbers of the Weibull distribution."""
        return self._of_uniform(size, (a,), lambda u, s: (-u.log()) ** (1 / s), "a")

    def pareto(self, a: Any, size: Any = None) -> Any:
        """Numbers of the Pareto II (Lomax) distribution."""
        return self._of_uniform(size, (a,), lambda u, s: u ** (-1 / s) - 1, "a")

    def power(self, a: Any, size: Any = None) -> Any:
        """Numbers in (0, 1] whose density is a x^(a-1)."""
        return self._of_uniform(size, (a,), lambda u, s: u ** (1 / s), "a")

    def standard_cauchy(self, size: Any = None) -> Any:
        """Numbers of the Cauchy distribution."""
        return self._of_uniform(size, (), lambda u: (pi * (u - 0.5)).tan())

    def triangular(self, left: Any, mode: Any, right: Any, size: Any = None) -> Any:
        """Numbers of the triangular distribution."""

        def inverse(u: Any, a: Any, c: Any, b: Any) -> Any:
            low = a + (u * (b - a) * (c - a)).sqrt()
            return arithmetic.where(u * (b - a) < c - a, low, b - ((1 - u) * (b - a) * (b - c)).sqrt())

        shape, a, c, b = self._shape(size, left, mode, right)
        if not bool(((a <= c) & (c <= b) & (a < b)).all()):
            raise ValueError("left <= mode <= right and left < right are required")
        return lift(inverse(self._open(shape), a, c, b))

    # ------------------------------------------------------------ counts
    def poisson(self, lam: Any = 1.0, size: Any = None) -> Any:
        """Counts of the Poisson distribution."""
        shape, rate = self._shape(size, lam)
        not_negative(rate, "lam")
        return lift(cast(random_counts.poisson(rate.broadcast_to(shape), self.stream), int64))

    def binomial(self, n: Any, p: Any, size: Any = None) -> Any:
        """How many of n trials of a probability succeed."""
        shape, count, chance = self._shape(size, n, p)
        if bool(((chance < 0) | (chance > 1)).any()):
            raise ValueError("p < 0, p > 1 or p is NaN")
        not_negative(count, "n")
        drawn = random_counts.binomial(count.broadcast_to(shape), chance.broadcast_to(shape), self.stream)
        return lift(cast(drawn, int64))

    def geometric(self, p: Any, size: Any = None) -> Any:
        """How many trials of a probability it takes until one succeeds."""
        shape, chance = self._shape(size, p)
        if bool(((chance <= 0) | (chance > 1)).any()):
            raise ValueError("p <= 0, p > 1 or p contains NaNs")
        return lift(cast((self._open(shape).log() / (1 - chance).log()).ceil().clamp(min=1), int64))


def default_rng(seed: Any = None) -> Generator:
    """A Generator of a seed's stream: an int, a Generator (given back), or None for a seed of the operating system's.

    Example:
        >>> import squall.numpy as snp
        >>> snp.random.default_rng(0).integers(0, 10, size=(2, 3)).shape
        (2, 3)
    """
    if isinstance(seed, Generator):
        return seed
    if seed is None:
        return Generator()
    return Generator(streams.Generator().manual_seed(int(seed)))


_own = default_rng(0)
_own.stream.seed()


def seed(seed: int | None = None) -> None:
    """Start the stream of the module's functions from a seed, or from one of the operating system's."""
    if seed is None:
        _own.stream.seed()
    else:
        _own.stream.manual_seed(int(seed))


def rand(*shape: int) -> Any:
    """Uniform numbers in [0, 1) of a shape."""
    return _own.random(shape)


def randn(*shape: int) -> Any:
    """Normal numbers of a shape."""
    return _own.standard_normal(shape)


def randint(low: Any, high: Any = None, size: Any = None, dtype: Any = int64) -> Any:
    """Whole numbers in [low, high), or [0, low) of one number."""
    return _own.integers(low, high, size, dtype)


def get_state() -> Any:
    """Seed and position of the module's own stream, for `set_state`."""
    return _own.stream.get_state()


def set_state(state: Any) -> None:
    """Continue the module's own stream from what `get_state` gave."""
    _own.stream.set_state(state)


def random_integers(low: int, high: int | None = None, size: Any = None) -> Any:
    """Whole numbers from low to high, both included, or from 1 to one number."""
    return _own.integers(*((1, low) if high is None else (low, high)), size=size, endpoint=True)


class RandomState(Generator):
    """A Generator with the older names of the module's functions: `rand`, `randn`, `randint`, `seed`.

    Example:
        >>> import squall.numpy as snp
        >>> state = snp.random.RandomState(3)
        >>> state.rand(2, 3).shape, bool((state.randint(0, 5, 10) < 5).all())
        ((2, 3), True)
    """

    def __init__(self, seed: int | None = None):
        super().__init__(default_rng(seed).stream)

    def seed(self, seed: int | None = None) -> None:
        """Start again from a seed."""
        self.stream = default_rng(seed).stream

    def rand(self, *shape: int) -> Any:
        """Uniform numbers in [0, 1) of a shape."""
        return self.random(shape)

    def randn(self, *shape: int) -> Any:
        """Normal numbers of a shape."""
        return self.standard_normal(shape)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int64) -> Any:
        """Whole numbers in [low, high), or [0, low) of one number."""
        return self.integers(low, high, size, dtype)

    random_sample = Generator.random


random = random_sample = ranf = sample = _own.random
uniform, choice, permutation, shuffle, bytes = (
    _own.uniform,
    _own.choice,
    _own.permutation,
    _own.shuffle,
    _own.bytes,
)
standard_normal, normal, lognormal = _own.standard_normal, _own.normal, _own.lognormal
multivariate_normal, exponential, standard_exponential = (
    _own.multivariate_normal,
    _own.exponential,
    _own.standard_exponential,
)
laplace, logistic, gumbel, rayleigh = _own.laplace, _own.logistic, _own.gumbel, _own.rayleigh
weibull, pareto, power, standard_cauchy = _own.weibull, _own.pareto, _own.power, _own.standard_cauchy
triangular, poisson, binomial, geometric = _own.triangular, _own.poisson, _own.binomial, _own.geometric
standard_gamma, gamma, beta, dirichlet = _own.standard_gamma, _own.gamma, _own.beta, _own.dirichlet
chisquare, noncentral_chisquare, f, noncentral_f = (
    _own.chisquare,
    _own.noncentral_chisquare,
    _own.f,
    _own.noncentral_f,
)
standard_t, wald, vonmises, zipf, logseries = _own.standard_t, _own.wald, _own.vonmises, _own.zipf, _own.logseries
negative_binomial, multinomial, hypergeometric = _own.negative_binomial, _own.multinomial, _own.hypergeometric

__all__ = [
    "Generator", "RandomState", "beta", "binomial", "bytes", "chisquare", "choice", "default_rng", "dirichlet",
    "exponential", "f", "gamma", "geometric", "get_state", "gumbel", "hypergeometric", "laplace", "logistic",
    "lognormal", "logseries", "multinomial", "multivariate_normal", "negative_binomial", "noncentral_chisquare",
    "noncentral_f", "normal", "pareto", "permutation", "poisson", "power", "rand", "randint", "randn", "random",
    "random_integers", "random_sample", "ranf", "rayleigh", "sample", "seed", "set_state", "shuffle",
    "standard_cauchy", "standard_exponential", "standard_gamma", "standard_normal", "standard_t", "triangular",
    "uniform", "vonmises", "wald", "weibull", "zipf",
]  # fmt: skip
