"""`hash_tensor` against exclusive or in Python."""

from functools import reduce
from itertools import chain
from operator import xor

import numpy as np
import pytest

import squall as sq


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 32])
def test_rows(dtype, count):
    values = np.random.default_rng(count).normal(size=(3, count)) * 50
    values = (values > 0) if dtype == "bool" else np.abs(values).astype(dtype)
    wide = values.astype("f8" if values.dtype.kind == "f" else "i8").view("u8").tolist()
    got = sq.hash_tensor(sq.tensor(values), 1)
    assert got.dtype is sq.uint64 and got.tolist() == [reduce(xor, row, 0) for row in wide]
    assert sq.hash_tensor(sq.tensor(values)).item() == reduce(xor, chain.from_iterable(wide), 0)
    assert sq.hash_tensor(sq.tensor(values), (-1,), keepdim=True).shape == (3, 1)
    assert sq.hash_tensor(sq.tensor(values).t(), 0).tolist() == got.tolist()


def test_what_cannot_be():
    with pytest.raises(ValueError, match="mode must be 0"):
        sq.hash_tensor(sq.ones(2), mode=1)
    with pytest.raises(NotImplementedError, match="complex64"):
        sq.hash_tensor(sq.ones(2, dtype=sq.complex64))
    with pytest.raises(IndexError):
        sq.hash_tensor(sq.ones(2), 1)
