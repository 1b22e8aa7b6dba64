"""What shares memory, whatever is computed by now; and results that are written where operands and masks lie."""

import numpy
import pytest

import squall.numpy as np


@pytest.mark.parametrize("computed", [False, True])
def test_views_of_one_array_share_its_memory(computed):
    x = np.zeros([4, 5, 6], dtype=np.int8)
    if computed:
        x.tolist()
    a, b = x[:, ::2, ::3], x[:, ::3, ::2]
    assert np.shares_memory(a, b) and np.shares_memory(x, x.T) and not np.shares_memory(x[:, ::2], x[:, 1::2])
    assert np.may_share_memory(x[:, ::2], x[:, 1::2]) and not np.may_share_memory(x[:2], x[2:])
    with pytest.raises(numpy.exceptions.TooHardError):
        np.shares_memory(a, b, max_work=1)


def test_a_copy_shares_nothing():
    x = np.arange(6)
    assert not np.shares_memory(x, x.copy()) and not np.shares_memory(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("kind", ["bool", "int16", "int64", "float64"])
def test_where_keeps_the_dtype(kind):
    """Integers and booleans became float32 where a mask was given with `out`."""
    values, mask = numpy.arange(6) % 3, numpy.arange(6) % 2 == 0
    ours = (np.asarray(values).astype(getattr(np, kind)), np.asarray(mask))
    theirs = (values.astype(kind), mask)
    function = "invert" if kind != "float64" else "negative"
    found = getattr(np, function)(ours[0], out=ours[0], where=ours[1])
    wanted = getattr(numpy, function)(theirs[0], out=theirs[0], where=theirs[1])
    assert str(found.dtype).endswith(kind) and found.tolist() == wanted.tolist()


def test_a_mask_may_be_what_is_written_to():
    for shared in (True, False):
        x = np.arange(4).astype(np.bool)
        mask = x if shared else x.copy()
        assert np.invert(x, out=x, where=mask).tolist() == [False] * 4


def test_overlapping_operands_count_as_they_were():
    x = np.arange(5)
    x[1:] += x[:-1]
    assert x.tolist() == [0, 1, 3, 5, 7]
