"""Distributions of `numpy.random` that are made of gamma numbers, of counts, or by refusing proposals."""

from __future__ import annotations

from math import exp, lgamma, pi
from typing import Any

from squall.base.dtypes import float32, float64, int64
from squall.base.errors import ShapeError
from squall.base.shapes import broadcast
from squall.frontend import arithmetic, random_counts
from squall.frontend import creation as making
from squall.frontend import random as streams
from squall.frontend.joining import stack
from squall.frontend.state import local
from squall.numpy import sorting
from squall.numpy.core import arr, cast, lift, shape_of, write_out
from squall.numpy.kinds import dtype_of


def float_kind(dtype: Any) -> Any:
    """The dtype of a draw; TypeError unless it is float32 or float64."""
    kind = dtype_of(dtype)
    if kind not in (float32, float64):
        raise TypeError(f"Unsupported dtype {kind} for random numbers; float32 or float64")
    return kind


def not_negative(value: Any, name: str) -> None:
    """ValueError where a parameter is below 0; inside compiled functions nobody knows."""
    if local.state.trace is None and bool((value < 0).any()):
        raise ValueError(f"{name} < 0")


def positive(value: Any, name: str) -> None:
    """ValueError where a parameter is not above 0; inside compiled functions nobody knows."""
    if local.state.trace is None and not bool((value > 0).all()):
        raise ValueError(f"{name} <= 0")


class Families:
    """What Generator has beside the distributions whose cumulative function is inverted; `stream` is its stream."""

    stream: Any

    def _open(self, shape: tuple, dtype: Any = float64) -> Any:
        """Uniform numbers in (0, 1], whose logarithm is finite."""
        return 1 - streams.rand(shape, generator=self.stream, dtype=dtype)

    def _shape(self, size: Any, *parameters: Any) -> tuple:
        """The shape of a draw, and its parameters in float64."""
        given = [arr(p, float64) for p in parameters]
        try:
            joint: tuple = ()
            for p in given:
                joint = broadcast(joint, tuple(p.node.shape), "random")
            shape = joint if size is None else shape_of(size)
            fits = broadcast(joint, shape, "random") == shape
        except ShapeError as error:
            raise ValueError(f"shape mismatch: parameters or size do not broadcast ({error})") from None
        if not fits:
            raise ValueError(
                f"Output size {shape} is not compatible with broadcast dimensions of inputs {joint}."
            )
        return shape, *given

    def _log_gamma(self, alpha: Any, shape: tuple) -> Any:
        return random_counts.log_gamma_numbers(alpha.broadcast_to(shape), self.stream)

    def _chi_square(self, df: Any, shape: tuple) -> Any:
        return 2 * self._log_gamma(df / 2, shape).exp()

    # ------------------------------------------------------------ made of gamma numbers
    def standard_gamma(self, shape: Any, size: Any = None, dtype: Any = float64, out: Any = None) -> Any:
        """Gamma numbers with a shape and scale 1."""
        kind = float_kind(dtype)
        wanted = tuple(out.shape) if out is not None and size is None else size
        sizes, alpha = self._shape(wanted, shape)
        not_negative(alpha, "shape")
        return write_out(out, lift(cast(self._log_gamma(alpha, sizes).exp(), kind)), "same_kind", "standard_gamma")

    def gamma(self, shape: Any, scale: Any = 1.0, size: Any = None) -> Any:
        """Gamma numbers with a shape and a scale."""
        sizes, alpha, width = self._shape(size, shape, scale)
        not_negative(alpha, "shape")
        not_negative(width, "scale")
        return lift(self._log_gamma(alpha, sizes).exp() * width)

    def beta(self, a: Any, b: Any, size: Any = None) -> Any:
        """Numbers of the beta distribution."""
        sizes, first, second = self._shape(size, a, b)
        positive(first, "a")
        positive(second, "b")
        return lift((self._log_gamma(first, sizes) - self._log_gamma(second, sizes)).sigmoid())

    def dirichlet(self, alpha: Any, size: Any = None) -> Any:
        """Shares that sum to 1, along a new last axis."""
        weights = arr(alpha, float64)
        if weights.ndim != 1 or not weights.numel():
            raise ValueError("alpha must be a one-dimensional sequence with at least one element")
        not_negative(weights, "alpha")
        shape = (*(() if size is None else shape_of(size)), weights.node.shape[0])
        return lift(self._log_gamma(weights, shape).softmax(-1))

    def chisquare(self, df: Any, size: Any = None) -> Any:
        """Sums of so many squared normal numbers."""
        sizes, freedom = self._shape(size, df)
        positive(freedom, "df")
        return lift(self._chi_square(freedom, sizes))

    def noncentral_chisquare(self, df: Any, nonc: Any, size: Any = None) -> Any:
        """Sums of so many squared normal numbers, whose squared means sum to `nonc`."""
        sizes, freedom, shift = self._shape(size, df, nonc)
        positive(freedom, "df")
        not_negative(shift, "nonc")
        extra = random_counts.poisson((shift / 2).broadcast_to(sizes), self.stream)
        return lift(self._chi_square(freedom + 2 * extra, sizes))

    def f(self, dfnum: Any, dfden: Any, size: Any = None) -> Any:
        """Quotients of two mean squares of normal numbers."""
        sizes, above, below = self._shape(size, dfnum, dfden)
        positive(above, "dfnum")
        positive(below, "dfden")
        return lift(self._chi_square(above, sizes) / above / (self._chi_square(below, sizes) / below))

    def noncentral_f(self, dfnum: Any, dfden: Any, nonc: Any, size: Any = None) -> Any:
        """Quotients of a noncentral mean square and another."""
        sizes, above, below, _ = self._shape(size, dfnum, dfden, nonc)
        positive(below, "dfden")
        return lift(
            arr(self.noncentral_chisquare(dfnum, nonc, sizes)) / above / (self._chi_square(below, sizes) / below)
        )

    def standard_t(self, df: Any, size: Any = None) -> Any:
        """Numbers of Student's t distribution."""
        sizes, freedom = self._shape(size, df)
        positive(freedom, "df")
        noise = streams.randn(sizes, generator=self.stream, dtype=float64)
        return lift(noise * (self._chi_square(freedom, sizes) / freedom).rsqrt())

    def wald(self, mean: Any, scale: Any, size: Any = None) -> Any:
        """Numbers of the inverse Gaussian distribution (Michael, Schucany and Haas)."""
        sizes, m, width = self._shape(size, mean, scale)
        positive(m, "mean")
        positive(width, "scale")
        y = m * streams.randn(sizes, generator=self.stream, dtype=float64) ** 2 / (2 * width)
        low = m / (1 + y + (y * (y + 2)).sqrt())  # the smaller root, without cancellation
        return lift(arithmetic.where(self._open(sizes) <= m / (m + low), low, m * m / low))

    # ------------------------------------------------------------ counts
    def negative_binomial(self, n: Any, p: Any, size: Any = None) -> Any:
        """How many trials of a probability fail before n succeed."""
        sizes, wanted, chance = self._shape(size, n, p)
        positive(wanted, "n")
        if not bool(((chance > 0) & (chance <= 1)).all()):
            raise ValueError("p <= 0, p > 1 or p contains NaNs")
        rate = self._log_gamma(wanted, sizes).exp() * ((1 - chance) / chance)
        return lift(cast(random_counts.poisson(rate, self.stream), int64))

    def multinomial(self, n: Any, pvals: Any, size: Any = None) -> Any:
        """How many of n draws fall on each of some categories, along a new last axis."""
        chances = arr(pvals, float64)
        if not chances.ndim:
            raise ValueError("pvals must have at least one dimension")
        if bool((chances < 0).any()) or bool((chances.sum(-1) > 1 + 1e-12).any()):
            raise ValueError("pvals < 0, pvals > 1, or sum(pvals[:-1]) > 1.0")
        count = arr(n, float64)
        not_negative(count, "n")
        joint = broadcast(tuple(count.node.shape), tuple(chances.node.shape[:-1]), "multinomial")
        shape = joint if size is None else shape_of(size)
        left, rest, found = count.broadcast_to(shape), chances.sum(-1) * 0 + 1, []
        for chance in chances.unbind(-1)[:-1]:
            share = (chance / rest).nan_to_num(0.0).clamp(0, 1)
            found.append(random_counts.binomial(left, share.broadcast_to(shape), self.stream))
            left, rest = left - found[-1], rest - chance
        return lift(cast(stack([*found, left], -1), int64))

    def hypergeometric(self, ngood: Any, nbad: Any, nsample: Any, size: Any = None) -> Any:
        """How many good ones are among so many drawn without replacement."""
        sizes, *given = self._shape(size, ngood, nbad, nsample)
        for value, name in zip(given, ("ngood", "nbad", "nsample"), strict=True):
            not_negative(value, name)
        if bool((given[0] + given[1] < given[2]).any()):
            raise ValueError("ngood + nbad < nsample")
        u = streams.rand(sizes, generator=self.stream, dtype=float64)
        parameters = stack([g.broadcast_to(sizes).reshape(-1) for g in given], -1)
        made = making.zeros(sizes, dtype=int64)
        for good, bad, drawn in sorted({tuple(int(v) for v in row) for row in parameters.tolist()}):
            least, edges = _hypergeometric_edges(good, bad, drawn)
            here = (parameters == arr([good, bad, drawn], float64)).all(-1).reshape(sizes)
            places = arr(sorting.searchsorted(arr(edges, float64), u, "right")) + least
            made = arithmetic.where(here, places, made)
        return lift(made)

    def multivariate_hypergeometric(
        self, colors: Any, nsample: int, size: Any = None, method: str = "marginals"
    ) -> Any:
        """How many of each color are among so many drawn without replacement, along a new last axis.

        Args:
            method: "marginals" or "count", which draw from the same distribution here in one way.
        """
        if method not in ("marginals", "count"):
            raise ValueError('method must be "count" or "marginals".')
        counts = [int(c) for c in arr(colors).tolist()]
        if min(counts, default=0) < 0 or nsample < 0 or nsample > sum(counts):
            raise ValueError("colors and nsample must be at least 0, and nsample at most the sum of colors")
        shape, total = (() if size is None else shape_of(size)), sum(counts)
        keys = streams.rand((*shape, total), generator=self.stream, dtype=float64)
        drawn = keys.argsort(-1)[..., :nsample]
        ends = arr([sum(counts[: i + 1]) for i in range(len(counts))], int64)
        color = arr(sorting.searchsorted(ends, drawn, "right"))
        return lift(stack([cast(color == i, int64).sum(-1) for i in range(len(counts))], -1))

    def logseries(self, p: Any, size: Any = None) -> Any:
        """Counts of the logarithmic series distribution (Kemp)."""
        sizes, chance = self._shape(size, p)
        if not bool(((chance >= 0) & (chance < 1)).all()):
            raise ValueError("p < 0, p >= 1 or p is NaN")
        first, second = self._open(sizes), self._open(sizes)
        q = -(second * (-chance).log1p()).expm1()
        many = (1 + first.log() / q.log()).floor().clamp(min=1)
        made = arithmetic.where(first >= chance, 1.0, arithmetic.where(first >= q, 1.0, 2.0))
        made = arithmetic.where((first < chance) & (first <= q * q), many, made)
        return lift(cast(made, int64))

    # ------------------------------------------------------------ proposals that may be refused
    def _accepted(self, propose: Any) -> Any:
        """Proposals until all are accepted; each call of `propose` gives values and whether they are good."""
        made, done = propose()
        while not bool(done.all()):
            other, good = propose()
            made, done = arithmetic.where(done, made, other), done | good
        return made

    def zipf(self, a: Any, size: Any = None) -> Any:
        """Whole numbers k with probabilities proportional to k^-a (Devroye)."""
        sizes, power = self._shape(size, a)
        if not bool((power > 1).all()):
            raise ValueError("a <= 1 or a is NaN")
        steep, limit = 2 ** (power - 1), float(1 << 62)

        def propose() -> tuple:
            number = (self._open(sizes) ** (-1 / (power - 1))).floor()
            ratio = (1 + 1 / number) ** (power - 1)
            fits = self._open(sizes) * number * (ratio - 1) / (steep - 1) <= ratio / steep
            return number, fits & (number < limit)

        return lift(cast(self._accepted(propose), int64))

    def vonmises(self, mu: Any, kappa: Any, size: Any = None) -> Any:
        """Angles in [-pi, pi] around a mean (Best and Fisher; normal ones where they are narrow)."""
        sizes, mean, pull = self._shape(size, mu, kappa)
        not_negative(pull, "kappa")
        k = pull.clamp(1e-6, 1e6)  # at the lower end uniform but for a millionth
        tau = 1 + (1 + 4 * k * k).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        r = (1 + rho * rho) / (2 * rho)

        def propose() -> tuple:
            z = (pi * streams.rand(sizes, generator=self.stream, dtype=float64)).cos()
            w = (1 + r * z) / (r + z)
            y, u = k * (r - w), self._open(sizes)
            return w, (y * (2 - y) - u > 0) | ((y / u).log() + 1 - y >= 0)

        turned = self._accepted(propose).clamp(-1, 1).acos()
        turned = arithmetic.where(self._open(sizes) <= 0.5, -turned, turned)
        noise = streams.randn(sizes, generator=self.stream, dtype=float64)
        angle = mean + arithmetic.where(pull > 1e6, noise * pull.clamp(min=1e6).rsqrt(), turned)
        return lift((angle + pi).remainder(2 * pi) - pi)


def _hypergeometric_edges(good: int, bad: int, drawn: int) -> tuple[int, list[float]]:
    """The least count that can come, and the cumulative probabilities of it and those after it, but the last."""
    least, most = max(0, drawn - bad), min(good, drawn)

    def choices(n: int, k: int) -> float:
        return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

    every = choices(good + bad, drawn)
    edges, total = [], 0.0
    for k in range(least, most):
        total += exp(choices(good, k) + choices(bad, drawn - k) - every)
        edges.append(total)
    return least, edges
