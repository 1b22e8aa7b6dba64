"""Data sets: collections of samples by index.

A data set may offer `__getitems__(indices)` and give a list of samples, as in PyTorch, or
`__getbatch__(indices)` and give a collated batch at once; Tensors are then indexed once a batch instead of
once a sample.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import Any

import squall as sq
from squall.base.errors import ShapeError
from squall.data.sampler import permutation


class Dataset:
    """The base of data sets: subclasses define `__getitem__(index)` and `__len__()`."""

    def __getitem__(self, index: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no samples: define __getitem__(index)")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """The base of data sets without indices: subclasses define `__iter__()`, and `__len__()` where it is known.

    With worker processes each has a copy; `sq.data.get_worker_info()` tells it which share is its own.

    Example:
        >>> import squall as sq
        >>> class Count(sq.data.IterableDataset):
        ...     def __iter__(self):
        ...         worker = sq.data.get_worker_info()
        ...         first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        ...         return iter(range(first, 5, step))
        >>> [batch.tolist() for batch in sq.data.DataLoader(Count(), batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __iter__(self) -> Any:
        raise TypeError(f"{type(self).__name__} gives no samples: define __iter__()")

    def __add__(self, other: Any) -> ChainDataset:
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """Several iterable data sets one after the other.

    Args:
        datasets: each an IterableDataset.

    Raises:
        TypeError: when one is not.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(f"ChainDataset only supports IterableDataset, got {type(dataset).__name__}")

    def __iter__(self) -> Any:
        for dataset in self.datasets:
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)  # type: ignore[arg-type]


class StackDataset(Dataset):
    """Several data sets side by side: item i is the tuple, or the dictionary, of their items i.

    Args:
        datasets: of equal length, as positions for tuples or with names for dictionaries.

    Raises:
        ValueError: for lengths that differ, none, or both ways at once.

    Example:
        >>> import squall as sq
        >>> sq.data.StackDataset(image=[10, 20], text=["a", "b"])[1]
        {'image': 20, 'text': 'b'}
    """

    def __init__(self, *datasets: Any, **named: Any) -> None:
        if bool(datasets) == bool(named):
            raise ValueError("StackDataset: give data sets either by position or by name")
        self.datasets: Any = datasets or named
        lengths = {len(dataset) for dataset in (datasets or named.values())}
        if len(lengths) > 1:
            raise ValueError(f"StackDataset: the data sets have different lengths: {sorted(lengths)}")
        (self._length,) = lengths

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        def column(dataset: Any) -> list[Any]:
            many: Any = getattr(dataset, "__getitems__", None)
            return [dataset[i] for i in indices] if many is None else many(indices)

        if isinstance(self.datasets, dict):
            columns = {name: column(dataset) for name, dataset in self.datasets.items()}
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return list(zip(*(column(dataset) for dataset in self.datasets), strict=True))

    def __len__(self) -> int:
        return self._length


class TensorDataset(Dataset):
    """Samples that are the rows of Tensors: item i is (tensors[0][i], tensors[1][i], ...).

    Args:
        tensors: of equal first size.

    Raises:
        ShapeError: when first sizes differ.

    Example:
        >>> import squall as sq
        >>> data = sq.data.TensorDataset(sq.arange(6).view(3, 2), sq.tensor([0, 1, 0]))
        >>> data[1]
        (tensor([2, 3]), tensor(1))
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise TypeError("TensorDataset: give at least one Tensor")
        sizes = [t.shape[0] if t.dim() else None for t in tensors]
        if None in sizes or len(set(sizes)) > 1:
            raise ShapeError(
                f"TensorDataset: tensors must have one first size, got shapes {[tuple(t.shape) for t in tensors]}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple:
        return tuple(t[index] for t in self.tensors)

    def __getbatch__(self, indices: Sequence[int]) -> list[Any]:
        at = sq.tensor(indices, dtype=sq.int64)
        return [t[at] for t in self.tensors]

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class Subset(Dataset):
    """Some samples of a data set, by index."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        chosen = [self.indices[i] for i in indices]
        many: Any = getattr(self.dataset, "__getitems__", None)
        return [self.dataset[i] for i in chosen] if many is None else many(chosen)

    def __getbatch__(self, indices: Sequence[int]) -> Any:
        inner = getattr(self.dataset, "__getbatch__", None)
        return None if inner is None else inner([self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset):
    """Several data sets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset does not support IterableDataset; ChainDataset does")
        self.cumulative_sizes: list[int] = []
        for dataset in self.datasets:
            before = self.cumulative_sizes[-1] if self.cumulative_sizes else 0
            self.cumulative_sizes.append(before + len(dataset))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        which = bisect.bisect_right(self.cumulative_sizes, place)
        return self.datasets[which][place - (self.cumulative_sizes[which - 1] if which else 0)]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Any = None) -> list[Subset]:
    """Parts of a data set without overlap, drawn at random.

    Args:
        lengths: the sizes, which add up to the data set's, or fractions, which add up to 1 (rests go to the
            first parts). generator: the random source; the default one when None.

    Example:
        >>> import squall as sq
        >>> data = sq.data.TensorDataset(sq.arange(10))
        >>> [len(part) for part in sq.data.random_split(data, [0.7, 0.3])]
        [7, 3]
    """
    total = len(dataset)
    if (
        math.isclose(sum(lengths), 1)
        and sum(lengths) <= 1 + 1e-9
        and any(isinstance(n, float) for n in lengths)
    ):
        if any(not 0 <= fraction <= 1 for fraction in lengths):
            raise ValueError(f"random_split: fractions must be between 0 and 1, got {list(lengths)}")
        sizes = [math.floor(total * fraction) for fraction in lengths]
        for rest in range(total - sum(sizes)):
            sizes[rest % len(sizes)] += 1
    else:
        sizes = [int(n) for n in lengths]
    if sum(sizes) != total:
        raise ValueError(
            f"random_split: lengths {list(lengths)} add up to {sum(sizes)}, and the data set has {total} samples"
        )
    order, parts, start = permutation(total, generator), [], 0
    for size in sizes:
        parts.append(Subset(dataset, order[start : start + size]))
        start += size
    return parts
