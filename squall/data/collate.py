"""Collating: one batch from a list of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import squall as sq
from squall.base.dtypes import FOREIGN, numpy_dtype
from squall.frontend.arrays import computed
from squall.frontend.core import wrap


def own(array: Any) -> Any:
    """A Tensor over an array that nobody else keeps: unlike `sq.from_numpy`, nothing has to be shared."""
    return wrap(computed(array))


def _values(tensor: Any) -> Any:
    """The values of a Tensor as an ndarray that is only read: its own memory where that is one."""
    import numpy

    node = tensor.node
    block: Any = None if node.buffer is None else node.buffer.block
    if type(block) is numpy.ndarray and node.buffer.strides is None and block.shape == node.shape:
        if block.dtype == numpy_dtype(node.dtype) and block.flags.c_contiguous:
            return block
    return tensor.detach_array()


def _stacked(batch: list[Any]) -> Any:
    """Tensors or arrays of one shape as one Tensor."""
    first = batch[0]
    if isinstance(first, sq.Tensor):
        if any(tensor.requires_grad for tensor in batch):
            return sq.stack(batch)
        sq.flush()
        shapes, dtype = {tuple(tensor.shape) for tensor in batch}, first.dtype
        if len(shapes) > 1 or any(tensor.dtype is not dtype for tensor in batch):
            return sq.stack(batch)  # promotes, or says what does not fit
        arrays = [_values(tensor) for tensor in batch]
    else:
        arrays = [_numbers(sample) for sample in batch]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {sorted(map(list, shapes))}")
    import numpy

    return own(numpy.stack(arrays))


def _numbers(sample: Any) -> Any:
    import numpy

    array = numpy.asarray(sample)
    if array.dtype.kind in "SUOMmV" and array.dtype.name not in FOREIGN:
        raise TypeError(
            "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
            f"found an array of {array.dtype}"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _like(first: Any, made: Any) -> Any:
    """A container of the type of `first`; a plain one where that type cannot be made so."""
    try:
        return type(first)(made)  # type: ignore[call-arg]
    except TypeError:
        return made


def default_collate(batch: list[Any]) -> Any:
    """Samples as one batch: Tensors and arrays stacked, numbers as a Tensor, containers element by element.

    Args:
        batch: samples of one structure. Strings and bytes stay a list.

    Raises:
        TypeError: for a type that cannot be batched. RuntimeError: for sequences or shapes that differ. KeyError: for
            a dictionary that lacks an entry of the first.

    Example:
        >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
        {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    first = batch[0]
    if isinstance(first, sq.Tensor) or hasattr(first, "__array__"):
        return _stacked(batch)
    if isinstance(first, float):
        return sq.tensor(batch, dtype=sq.float64)
    if isinstance(first, (bool, int)):
        return sq.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(column)) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like(first, columns)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first).__name__}"
    )


def default_convert(sample: Any) -> Any:
    """A sample as it is, but arrays in it as Tensors: what a loader without batches gives.

    Args:
        sample: anything; containers are looked into.

    Example:
        >>> import numpy
        >>> default_convert({"x": numpy.arange(2), "name": "a"})
        {'x': tensor([0, 1]), 'name': 'a'}
    """
    if isinstance(sample, (sq.Tensor, str, bytes)):
        return sample
    if hasattr(sample, "__array__") and getattr(sample, "dtype", None) is not None:
        return sample if sample.dtype.kind in "SUOMm" else sq.tensor(sample)
    if isinstance(sample, Mapping):
        return _like(sample, {key: default_convert(value) for key, value in sample.items()})
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(default_convert(value) for value in sample))
    if isinstance(sample, tuple):
        return [default_convert(value) for value in sample]
    if isinstance(sample, Sequence):
        return _like(sample, [default_convert(value) for value in sample])
    return sample
