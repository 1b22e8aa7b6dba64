"""Strides of reshaped views: with symbols for some sizes they say what they say with numbers, or nothing."""

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import squall as sq
from squall.base.dim import Dim, evaluate
from squall.base.shapes import contiguous_strides
from squall.frontend.strides import reshape_strides

BATCH = Dim("batch", min=1, max=64)


def positions(shape, strides):
    """The offset of every element, in order."""
    grid = np.zeros(shape, dtype=np.int64)
    for dim, stride in enumerate(strides):
        grid += (np.arange(shape[dim]) * stride).reshape([-1 if i == dim else 1 for i in range(len(shape))])
    return grid.ravel()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_symbolic_views_read_what_concrete_ones_read(sizes, data):
    outer = [size + data.draw(st.integers(0, 1)) for size in sizes]  # a window of something larger
    strides = contiguous_strides(tuple(outer))
    total = prod(sizes)
    divisors = [d for d in range(1, total + 1) if total % d == 0]
    first = data.draw(st.sampled_from(divisors))
    second = data.draw(st.sampled_from([d for d in divisors if total // first % d == 0]))
    new = (first, second, total // first // second)
    batch = 7
    symbolic = reshape_strides((BATCH, *sizes), (prod(outer), *strides), (BATCH, *new))
    concrete = reshape_strides((batch, *sizes), (prod(outer), *strides), (batch, *new))
    assert (symbolic is None) == (concrete is None)
    if symbolic is not None:
        values = tuple(evaluate(s, {"batch": batch}) for s in symbolic)
        expected = positions((batch, *sizes), (prod(outer), *strides))
        assert np.array_equal(positions((batch, *new), values), expected)


def test_a_batch_that_merges_with_what_follows_must_lie_in_one_run():
    assert reshape_strides((BATCH, 3, 4), (12, 4, 1), (BATCH * 3, 4)) == (4, 1)
    assert reshape_strides((BATCH, 3, 4), (12, 4, 1), (BATCH * 12,)) == (1,)
    assert reshape_strides((BATCH, 3, 4), (16, 4, 1), (BATCH * 3, 4)) is None


def test_heads_are_split_from_a_slice_with_a_symbolic_batch():
    def heads(x):
        return x.split(4, dim=2)[1].view(x.shape[0], 9, 2, 2).transpose(1, 2) + 0

    compiled = sq.compile(heads, dynamic_shapes=[{0: BATCH}])
    for count in (3, 1, 5):
        x = sq.rand(count, 9, 12)
        assert compiled(x).tolist() == heads(x).tolist()
    assert compiled.captures == 1
