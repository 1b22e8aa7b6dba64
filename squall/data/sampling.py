"""Samplers beyond all samples once: subsets, weights, shares of several processes, and samples of like length
together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import squall as sq
from squall.data import draws
from squall.data.sampler import Sampler, permutation


class SubsetRandomSampler(Sampler):
    """Given indices in random order, each once.

    Args:
        indices: to choose from. generator: the random source; the default one when None.
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for place in permutation(len(self.indices), self.generator):
            yield self.indices[place]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices drawn by weight.

    Args:
        weights: one number for each sample, not negative; they need not add up to 1. num_samples: how many to draw.
            replacement: draw each anew; False gives each sample at most once. generator: the random source; the
            default one when None.

    Raises:
        ValueError: for weights that are negative, not finite or all zero, or too few of them to draw from without
            replacement.

    Example:
        >>> import squall as sq
        >>> set(sq.data.WeightedRandomSampler([0.0, 1.0, 3.0], 50, generator=sq.Generator())) == {1, 2}
        True
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None) -> None:
        import numpy

        if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        values = numpy.asarray(weights.tolist() if isinstance(weights, sq.Tensor) else weights, numpy.float64)
        if values.ndim != 1 or not numpy.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
            raise ValueError("weights should be a 1d sequence of finite numbers that are not negative and not all zero")
        if not replacement and num_samples > (values > 0).sum():
            raise ValueError(
                f"{num_samples} samples cannot be drawn without replacement: {(values > 0).sum()} weights are not zero"
            )
        self.weights, self.num_samples, self.replacement, self.generator = values, num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        import numpy

        if self.replacement:
            sums = numpy.cumsum(self.weights)
            places = sq.rand(self.num_samples, generator=self.generator, dtype=sq.float64).numpy() * sums[-1]
            last = int(numpy.flatnonzero(self.weights)[-1])
            chosen = numpy.minimum(numpy.searchsorted(sums, places, side="right"), last)
        else:  # the smallest of exponential times, each at the rate of its weight
            uniform = sq.rand(len(self.weights), generator=self.generator, dtype=sq.float64).numpy()
            with numpy.errstate(divide="ignore"):
                times = -numpy.log1p(-uniform) / self.weights
            times[self.weights == 0] = numpy.inf
            chosen = numpy.argsort(times, kind="stable")[: self.num_samples]
        yield from chosen.tolist()

    def __len__(self) -> int:
        return self.num_samples


class DistributedSampler(Sampler):
    """The share of one of several processes that train together; all shares have the same length.

    Args:
        dataset: has a length. num_replicas: how many processes. rank: which of them this is. shuffle: random order, new
            in each epoch. seed: of the order, the same in all processes. drop_last: leave out the rest that cannot be
            shared evenly, instead of giving some samples twice.

    Raises:
        ValueError: for a rank outside of the processes.

    Example:
        >>> import squall as sq
        >>> [list(sq.data.DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in (0, 1)]
        [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(self, dataset: Any, num_replicas: int = 1, rank: int = 0, shuffle: bool = True, seed: int = 0,
                 drop_last: bool = False) -> None:
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0

    @property
    def num_samples(self) -> int:
        """How many indices each process gets."""
        count = len(self.dataset) / self.num_replicas
        return math.floor(count) if self.drop_last else math.ceil(count)

    def __iter__(self) -> Iterator[int]:
        count, total = len(self.dataset), self.num_samples * self.num_replicas
        if self.shuffle:
            order = permutation(count, sq.Generator().manual_seed(self.seed + self.epoch))
        else:
            order = list(range(count))
        if order:
            order = (order * -(-total // count))[:total]
        yield from order[self.rank :: self.num_replicas]

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; without it every epoch has the same."""
        self.epoch = epoch


class BucketBatchSampler(Sampler):
    """Batches of samples of like length, so that little is padded.

    The samples are shuffled, cut into pools of several batches, sorted by length within each, and the batches shuffled
    again.

    Args:
        lengths: of each sample. batch_size: samples a batch, or elements a batch counting padding when `by_elements`.
            shuffle: otherwise batches go from short to long. drop_last: leave out batches that are not full.
            pool: batches that are sorted together; more means less padding and less randomness. by_elements: whether a
            batch is bounded by its size times its longest sample. generator: the random source; the default one
            when None.

    Raises:
        ValueError: for a batch size below 1, or a sample longer than a batch may be.

    Example:
        >>> import squall as sq
        >>> list(sq.data.BucketBatchSampler([5, 1, 4, 2], 2, shuffle=False))
        [[1, 3], [2, 0]]
        >>> list(sq.data.BucketBatchSampler([5, 1, 4, 2], 6, shuffle=False, by_elements=True))
        [[1, 3], [2], [0]]
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, shuffle: bool = True, drop_last: bool = False,
                 pool: int = 100, by_elements: bool = False, generator: Any = None) -> None:
        if batch_size < 1 or pool < 1:
            raise ValueError(f"BucketBatchSampler: batch_size={batch_size} and pool={pool} must be at least 1")
        self.lengths = [int(n) for n in lengths]
        if by_elements and self.lengths and max(self.lengths) > batch_size:
            raise ValueError(
                f"BucketBatchSampler: a sample has length {max(self.lengths)}, and a batch holds {batch_size} elements"
            )
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.pool, self.by_elements, self.generator = pool, by_elements, generator
        self._length: int | None = None

    def _batches(self, order: list[int]) -> list[list[int]]:
        """Batches of samples that are in the order of their lengths."""
        batches: list[list[int]] = []
        batch: list[int] = []
        for index in order:
            longest = self.lengths[index]  # they grow
            full = (len(batch) + 1) * longest > self.batch_size if self.by_elements else len(batch) == self.batch_size
            if full and batch:
                batches.append(batch)
                batch = []
            batch.append(index)
        if batch and not (self.drop_last and (self.by_elements or len(batch) < self.batch_size)):
            batches.append(batch)
        return batches

    def _all(self) -> list[list[int]]:
        count = len(self.lengths)
        if not self.shuffle:
            return self._batches(sorted(range(count), key=lambda i: self.lengths[i]))
        order = permutation(count, self.generator)
        mean = max(1, sum(self.lengths) // max(count, 1))
        size = self.pool * (max(1, self.batch_size // mean) if self.by_elements else self.batch_size)
        batches: list[list[int]] = []
        for start in range(0, count, size):
            batches += self._batches(sorted(order[start : start + size], key=lambda i: self.lengths[i]))
        for last in range(len(batches) - 1, 0, -1):
            other = draws.below(self.generator, last + 1)
            batches[last], batches[other] = batches[other], batches[last]
        return batches

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._all()
        self._length = len(batches)
        yield from batches

    def __len__(self) -> int:
        """How many batches; counted by elements and shuffled, those of the last epoch, or an estimate before it."""
        count = len(self.lengths)
        if not self.by_elements:
            size = self.pool * self.batch_size if self.shuffle else max(count, 1)
            parts = [min(size, count - start) for start in range(0, count, size)]
            return sum(n // self.batch_size if self.drop_last else -(-n // self.batch_size) for n in parts)
        if self._length is None:
            self._length = len(self._batches(sorted(range(count), key=lambda i: self.lengths[i])))
        return self._length
