"""Making one batch: by indices from a data set, or the next samples of an iterable one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from squall.data.collate import default_collate, default_convert


class Fetcher:
    """Makes batches, in the loader's process or in a worker.

    Args:
        dataset: by index, or iterable. iterable: which. batched: whether samples are put together. collate_fn: how;
            None is the default way. batch_size, drop_last: of an iterable data set.
    """

    def __init__(self, dataset: Any, iterable: bool, batched: bool, collate_fn: Callable | None,
                 batch_size: int | None, drop_last: bool) -> None:
        self.dataset, self.iterable, self.batched = dataset, iterable, batched
        self.collate_fn, self.batch_size, self.drop_last = collate_fn, batch_size, drop_last
        self._samples: Any = None

    def begin(self) -> None:
        """A new epoch: an iterable data set starts from its beginning."""
        if self.iterable:
            self._samples = iter(self.dataset)

    def fetch(self, indices: Any) -> Any:
        """One batch, or one sample where they are not put together.

        Args:
            indices: of the samples; not looked at for an iterable data set.

        Raises:
            StopIteration: when an iterable data set has no more.
        """
        if self.iterable:
            return self._next()
        if not self.batched:
            return self._one(self.dataset[indices])
        whole = getattr(self.dataset, "__getbatch__", None)
        if self.collate_fn is None and callable(whole):
            batch = whole(indices)
            if batch is not None:
                return batch
        many: Any = getattr(self.dataset, "__getitems__", None)
        samples: Any = many(indices) if callable(many) else [self.dataset[i] for i in indices]
        return (self.collate_fn or default_collate)(samples)

    def _one(self, sample: Any) -> Any:
        return default_convert(sample) if self.collate_fn is None else self.collate_fn(sample)

    def _next(self) -> Any:
        if not self.batched:
            return self._one(next(self._samples))
        samples = list(islice(self._samples, self.batch_size))
        if not samples or (self.drop_last and len(samples) < (self.batch_size or 1)):
            raise StopIteration
        return (self.collate_fn or default_collate)(samples)
