"""`numpy.random`'s names on squall's own streams (Philox): a seed gives the same numbers everywhere, but not NumPy's.

`default_rng(seed)` gives a Generator; the module's functions draw from one of their own, which `seed` starts. Sizes are
known when a draw is recorded, so drawing waits for nothing and compiled functions can draw.
"""

from __future__ import annotations

from math import inf, pi
from typing import Any

from squall.base.dtypes import float32, float64, int64
from squall.base.shapes import broadcast, numel
from squall.frontend import arithmetic
from squall.frontend import random as streams
from squall.numpy import linalg, sorting
from squall.numpy.core import arr, cast, lift, of_dtype, one_axis, shape_of, taken, write_out
from squall.numpy.kinds import dtype_of


class Generator:
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

    def _open(self, shape: tuple, dtype: Any = float64) -> Any:
        """Uniform numbers in (0, 1], whose logarithm is finite."""
        return 1 - streams.rand(shape, generator=self.stream, dtype=dtype)

    def _shape(self, size: Any, *parameters: Any) -> tuple:
        """The shape of a draw, and its parameters in float64."""
        given = [of_dtype(p, float64) if isinstance(p, (int, float)) else arr(p, float64) for p in parameters]
        joint: tuple = ()
        for p in given:
            joint = broadcast(joint, tuple(p.node.shape), "random")
        shape = joint if size is None else shape_of(size)
        if broadcast(joint, shape, "random") != shape:
            raise ValueError(
                f"Output size {shape} is not compatible with broadcast dimensions of inputs {joint}."
            )
        return shape, *given

    # ------------------------------------------------------------ uniform and whole numbers
    def random(self, size: Any = None, dtype: Any = float64, out: Any = None) -> Any:
        """Uniform numbers in [0, 1)."""
        kind = _float_kind(dtype)
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
        kind = _float_kind(dtype)
        shape = (
            tuple(out.shape) if out is not None and size is None else shape_of(() if size is None else size)
        )
        return write_out(out, streams.randn(shape, generator=self.stream, dtype=kind), "same_kind", "normal")

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Normal numbers with a mean and a deviation."""
        shape, mean, deviation = self._shape(size, loc, scale)
        _not_negative(deviation, "scale")
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
            _not_negative(given[-1], positive)
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
        _not_negative(rate, "lam")
        return lift(cast(streams.poisson(rate.broadcast_to(shape).clone(), self.stream), int64))

    def binomial(self, n: Any, p: Any, size: Any = None) -> Any:
        """How many of n trials of a probability succeed."""
        shape, count, chance = self._shape(size, n, p)
        if bool(((chance < 0) | (chance > 1)).any()):
            raise ValueError("p < 0, p > 1 or p is NaN")
        _not_negative(count, "n")
        given = (t.broadcast_to(shape).clone() for t in (count, chance))
        return lift(cast(streams.binomial(*given, self.stream), int64))

    def geometric(self, p: Any, size: Any = None) -> Any:
        """How many trials of a probability it takes until one succeeds."""
        shape, chance = self._shape(size, p)
        if bool(((chance <= 0) | (chance > 1)).any()):
            raise ValueError("p <= 0, p > 1 or p contains NaNs")
        return lift(cast((self._open(shape).log() / (1 - chance).log()).ceil().clamp(min=1), int64))


def _float_kind(dtype: Any) -> Any:
    kind = dtype_of(dtype)
    if kind not in (float32, float64):
        raise TypeError(f"Unsupported dtype {kind} for random numbers; float32 or float64")
    return kind


def _not_negative(value: Any, name: str) -> None:
    if bool((value < 0).any()):
        raise ValueError(f"{name} < 0")


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


random = random_sample = _own.random
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

__all__ = [
    "Generator", "binomial", "bytes", "choice", "default_rng", "exponential", "geometric", "gumbel", "laplace",
    "logistic", "lognormal", "multivariate_normal", "normal", "pareto", "permutation", "poisson", "power", "rand",
    "randint", "randn", "random", "random_sample", "rayleigh", "seed", "shuffle", "standard_cauchy",
    "standard_exponential", "standard_normal", "triangular", "uniform", "weibull",
]  # fmt: skip
