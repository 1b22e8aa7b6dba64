"""Gamma, beta, Poisson and binomial numbers, exact in distribution for every parameter, on the streams of `random`.

Counts of large parameters are split until they are small: a binomial one at an order statistic, which is beta, a
Poisson one at an arrival time, which is gamma. How often depends on the largest parameter, so counts evaluate it; gamma
and beta numbers are recorded as all else.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64, uint8
from squall.base.shapes import broadcast
from squall.frontend import creation
from squall.frontend.arithmetic import where
from squall.frontend.core import cast
from squall.frontend.random import Generator, draw
from squall.ir.op import ops

ROUNDS = 8  # of proposals; each is accepted with a probability above 0.95, so 4 of 10^11 numbers keep a refused one
FEW = 16.0


def _uniform(shape: tuple, generator: Generator | None) -> Any:
    """Numbers in (0, 1], whose logarithm is finite."""
    return 1 - draw(ops.uniform, shape, float64, generator, 2)


def log_gamma_numbers(shape_parameter: Any, generator: Generator | None = None) -> Any:
    """Logarithms of gamma-distributed numbers of scale 1, in float64 (the numbers themselves may be too small to hold).

    Marsaglia and Tsang's method; for parameters below 1 a number of the next one, times a power of a uniform number.

    Args:
        shape_parameter: a Tensor of at least 0; one number is drawn for each element.
    """
    alpha = cast(shape_parameter.detach(), float64)
    shape = tuple(alpha.node.shape)
    d = where(alpha < 1, alpha + 1, alpha) - 1 / 3
    # all proposals at once: unrolled, their kernel would take seconds to compile
    x, u = draw(ops.normal, (ROUNDS, *shape), float64, generator, 2), _uniform((ROUNDS, *shape), generator)
    v = (1 + x * (9 * d).rsqrt()) ** 3
    log_v = v.clamp(min=1e-300).log()
    good = (v > 0) & (u.log() < x * x / 2 + d - d * v + d * log_v)
    first = cast(good, uint8).argmax(0, keepdim=True)
    whole = d.log() + log_v.gather(0, first).squeeze(0)
    return where(alpha < 1, whole + _uniform(shape, generator).log() / alpha, whole)


def beta_numbers(a: Any, b: Any, generator: Generator | None = None) -> Any:
    """Beta-distributed numbers in float64; the parameters have one shape."""
    return (log_gamma_numbers(a, generator) - log_gamma_numbers(b, generator)).sigmoid()


def poisson(input: Any, generator: Generator | None = None) -> Any:
    """Numbers from Poisson distributions of the given rates (evaluates them).

    Arrivals of a process of unit rate are counted one by one in the last stretch; whole groups before it are leapt.

    Example:
        >>> import squall as sq
        >>> sq.poisson(sq.tensor([0.0, 0.0]))
        tensor([0., 0.])
    """
    rate = cast(input.detach(), float64)
    shape = tuple(rate.node.shape)
    total = trials = chance = creation.zeros(shape, dtype=float64)
    largest = _largest(rate)
    while largest > FEW:
        many = rate > FEW
        group = where(many, (rate * 0.875).floor(), 1.0)
        arrival = log_gamma_numbers(group, generator).exp()  # of the last one of the group
        late = many & (arrival > rate)
        trials, chance = where(late, group - 1, trials), where(late, rate / arrival, chance)
        total = where(many & ~late, total + group, total)
        rate = where(late, 0.0, where(many, rate - arrival, rate))
        largest = _largest(rate)
    arrived = (-_uniform((int(largest + 12 * largest**0.5 + 16), *shape), generator).log()).cumsum(0) <= rate
    made = total + cast(arrived.sum(0), float64)
    if _largest(trials):
        made = made + binomial(trials, chance, generator)
    return cast(made, input.node.dtype)


def binomial(count: Any, prob: Any, generator: Generator | None = None) -> Any:
    """How many of so many trials succeed, each with its probability (evaluates the counts).

    Example:
        >>> import squall as sq
        >>> sq.binomial(sq.tensor([3.0, 3.0]), sq.tensor([0.0, 1.0]))
        tensor([0., 3.])
    """
    shape = broadcast(tuple(count.node.shape), tuple(prob.node.shape), "binomial")
    trials = cast(count.detach(), float64).broadcast_to(shape)
    chance = cast(prob.detach(), float64).broadcast_to(shape)
    hits = creation.zeros(shape, dtype=float64)
    most = _largest(trials)
    while most > FEW:  # where the middle one of the trials' uniform numbers lies tells which half is left
        many = trials > FEW
        middle = where(many, ((trials + 1) / 2).floor(), 1.0)
        at = beta_numbers(middle, where(many, trials + 1 - middle, 1.0), generator)
        below, above = many & (at <= chance), many & (at > chance)
        hits = where(below, hits + middle, hits)
        trials = where(below, trials - middle, where(above, middle - 1, trials))
        chance = where(below, ((chance - at) / (1 - at)).nan_to_num(1.0), where(above, chance / at, chance))
        most = _largest(trials)
    uniform = draw(ops.uniform, (int(most), *shape), float64, generator, 2)
    number = creation.arange(int(most)).reshape(tuple([-1] + [1] * len(shape)))
    few = cast(((uniform < chance) & (number < trials)).sum(0), float64)
    return cast(hits + few, count.node.dtype)


def _largest(x: Any) -> float:
    """The largest element as a number, 0 where there is none or one is not finite."""
    largest = float(x.max()) if x.numel() else 0.0
    return largest if largest < float("inf") else 0.0
