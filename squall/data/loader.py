"""DataLoader: batches from a data set, made here or in worker processes. Its place within an epoch can be saved and
taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import squall as sq
from squall.data import draws
from squall.data.dataset import IterableDataset
from squall.data.fetch import Fetcher
from squall.data.pool import Pool
from squall.data.sampler import BatchSampler, RandomSampler, SequentialSampler

PREFETCH = 2


def _check(name: str, good: bool, value: Any, words: str) -> None:
    if not good:
        raise ValueError(f"DataLoader: {name}={value!r}: {words}")


class DataLoader:
    """Iterates over a data set in batches.

    Args:
        dataset: has `__getitem__` and `__len__`, or is an IterableDataset. batch_size: samples a batch; None gives
            samples one by one. shuffle: random order, new in each epoch. sampler: indices, instead of shuffle.
            batch_sampler: lists of indices, instead of the others. num_workers: processes that make batches; 0: this
            one does. collate_fn: makes a batch from a list of samples. pin_memory: accepted; memory of the CPU is
            what there is. drop_last: leave out a last batch that is not full. timeout: seconds to wait for a worker's
            batch; 0 for ever. worker_init_fn: called with its number in each worker at its start.
        multiprocessing_context: how workers start: "fork", "spawn" or "forkserver". generator: the random source of
            shuffling and of the workers' seeds; the default one when None. prefetch_factor: batches each worker makes
            ahead. persistent_workers: keep the workers between epochs. pin_memory_device: accepted.

    Raises:
        ValueError: for options that exclude each other.

    Example:
        >>> import squall as sq
        >>> data = sq.data.TensorDataset(sq.arange(5))
        >>> [len(x) for x, in sq.data.DataLoader(data, batch_size=2)]
        [2, 2, 1]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
    ) -> None:
        self.dataset, self.drop_last, self.generator, self.pin_memory = dataset, drop_last, generator, pin_memory
        self.num_workers, self.timeout, self.collate_fn = num_workers, timeout, collate_fn
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.prefetch_factor = PREFETCH if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers, self.pin_memory_device = persistent_workers, pin_memory_device
        self._check_workers(prefetch_factor)
        self._iterable = isinstance(dataset, IterableDataset)
        self._choose_order(batch_size, shuffle, sampler, batch_sampler)
        self._started: Any = None
        self._served = self._skip = 0
        self._pool: Pool | None = None

    def _check_workers(self, prefetch: int | None) -> None:
        count = self.num_workers
        whole = isinstance(count, int) and not isinstance(count, bool)
        _check("num_workers", whole and count >= 0, count, "a number of processes, 0 or more")
        _check("timeout", self.timeout >= 0, self.timeout, "seconds, 0 or more")
        if prefetch is not None:
            _check("prefetch_factor", count > 0, prefetch, "only with num_workers > 0")
            _check("prefetch_factor", isinstance(prefetch, int) and prefetch > 0, prefetch, "at least 1")
        _check("persistent_workers", count > 0 or not self.persistent_workers, True, "only with num_workers > 0")

    def _choose_order(self, batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset: expected no shuffle, sampler or batch_sampler option")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or self.drop_last):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
        if batch_size is None and self.drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None and not self._iterable:
            random = RandomSampler(self.dataset, generator=self.generator) if shuffle else None
            sampler = random or SequentialSampler(self.dataset)
        self.sampler: Any = () if sampler is None else sampler
        self.batch_size: int | None = None if batch_sampler is not None else batch_size
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(self.sampler, batch_size, self.drop_last)
        self.batch_sampler: Any = None if self._iterable else batch_sampler
        self._fetcher = Fetcher(
            self.dataset, self._iterable, batch_sampler is not None, self.collate_fn, batch_size, self.drop_last
        )

    def __len__(self) -> int:
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        skip, self._skip = self._skip, 0
        source = self._random_source()
        now = source.get_state()
        if skip:
            source.set_state(self._started)  # the epoch's order is drawn again as it was
        else:
            self._started = now
        self._served = skip
        order = self._order()
        seed = self._seed() if self.num_workers else 0
        if order is not None:
            for _ in range(skip):
                next(order)
        if skip:
            source.set_state(now)  # others drew from it since
        batches = self._from_workers(order, seed, skip) if self.num_workers else self._from_here(order)
        if order is None:
            for _ in range(skip):  # an iterable data set has to be walked through
                next(batches, None)
        for batch in batches:
            self._served += 1
            yield batch
        self._served, self._started = 0, None

    def _order(self) -> Iterator[Any] | None:
        """The indices of each batch; None for an iterable data set."""
        if self._iterable:
            return None
        return iter(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def _seed(self) -> int:
        first, second = draws.words(self.generator, 2)
        return (first << 31) ^ second

    def _from_here(self, order: Iterator[Any] | None) -> Iterator[Any]:
        """Batches made in this process."""
        self._fetcher.begin()
        while True:
            try:
                batch = self._fetcher.fetch(None if order is None else next(order))
            except StopIteration:
                return
            yield batch

    def _from_workers(self, order: Iterator[Any] | None, seed: int, first: int) -> Iterator[Any]:
        """Batches from worker processes, which end with the epoch unless they are to stay."""
        pool, self._pool = self._pool, None
        if pool is None or not pool.workers:
            pool = Pool(
                self.num_workers, self._fetcher, self.worker_init_fn, self.multiprocessing_context,
                self.prefetch_factor or PREFETCH, self.timeout,
            )  # fmt: skip
        try:
            yield from pool.epoch(order, seed, not self._iterable, first if order is not None else 0)
        finally:
            if self.persistent_workers and self._pool is None:
                self._pool = pool
            else:
                pool.close()

    def _random_source(self) -> Any:
        return sq.default_generator if self.generator is None else self.generator

    def state_dict(self) -> dict[str, Any]:
        """Where the running epoch stands: the random state at its start, and batches served.

        After the last batch the next epoch is what is left to do.
        """
        if not self._iterable and self._served == len(self):
            return {"started": None, "served": 0}
        return {"started": self._started, "served": self._served}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another loader of the same data stood: the next iteration gives the rest of that
        epoch."""
        self._started, self._skip = state_dict["started"], int(state_dict["served"])
