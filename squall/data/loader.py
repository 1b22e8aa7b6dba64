"""DataLoader: batches from a data set. One process; its place within an epoch can be saved and taken up
again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import squall as sq
from squall.data.collate import default_collate
from squall.data.sampler import BatchSampler, RandomSampler, SequentialSampler


class DataLoader:
    """Iterates over a data set in batches.

    Args:
        dataset: has `__getitem__` and `__len__`. batch_size: samples a batch; None gives samples one by one.
            shuffle: random order, new in each epoch. sampler: indices, instead of shuffle. batch_sampler:
            lists of indices, instead of the others. num_workers: 0; batches are made in this process.
            collate_fn: makes a batch from a list of samples.
        drop_last: leave out a last batch that is not full. generator: the random source of shuffling; the
            default one when None.

    Raises:
        ValueError: for options that exclude each other, or workers.

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
        *,
        generator: Any = None,
    ) -> None:
        if num_workers:
            raise ValueError(
                f"DataLoader: num_workers={num_workers}: batches are made in this process; use num_workers=0"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
        if batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        self.dataset, self.drop_last, self.generator, self.pin_memory = (
            dataset,
            drop_last,
            generator,
            pin_memory,
        )
        self.num_workers = 0
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler: Any = sampler
        self.batch_size: int | None = None if batch_sampler is not None else batch_size
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler: Any = batch_sampler
        self.collate_fn = collate_fn
        self._started: Any = None
        self._served = self._skip = 0

    def __len__(self) -> int:
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
        order = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        for _ in range(skip):
            next(order)
        if skip:
            source.set_state(now)  # others drew from it since
        for indices in order:
            batch = self._fetch(indices)
            self._served += 1
            yield batch
        self._served, self._started = 0, None

    def _random_source(self) -> Any:
        return sq.default_generator if self.generator is None else self.generator

    def _fetch(self, indices: Any) -> Any:
        """One batch (or sample) by its indices."""
        if self.batch_sampler is None:
            sample = self.dataset[indices]
            return sample if self.collate_fn is None else self.collate_fn(sample)
        whole = getattr(self.dataset, "__getbatch__", None)
        if self.collate_fn is None and callable(whole):
            batch = whole(indices)
            if batch is not None:
                return batch
        many = getattr(self.dataset, "__getitems__", None)
        samples: Any = many(indices) if callable(many) else [self.dataset[i] for i in indices]
        return (self.collate_fn or default_collate)(samples)

    def state_dict(self) -> dict[str, Any]:
        """Where the running epoch stands: the random state at its start, and batches served.

        After the last batch the next epoch is what is left to do.
        """
        if self._served == len(self):
            return {"started": None, "served": 0}
        return {"started": self._started, "served": self._served}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another loader of the same data stood: the next iteration gives the rest of that
        epoch."""
        self._started, self._skip = state_dict["started"], int(state_dict["served"])
