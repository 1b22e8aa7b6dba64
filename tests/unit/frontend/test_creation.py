"""New Tensors of one value: the value becomes one of the dtype asked for."""

import pytest

import squall as sq


@pytest.mark.parametrize(
    ("value", "dtype", "wanted"),
    [
        (1.5, sq.int64, [1, 1]), (-1.5, sq.int8, [-1, -1]), (0.0, sq.int32, [0, 0]), (0.5, sq.bool, [True, True]),
        (0.0, sq.bool, [False, False]), (float("nan"), sq.bool, [True, True]),
        (True, sq.float32, [1.0, 1.0]), (3, sq.complex64, [3 + 0j, 3 + 0j]),
    ],
)  # fmt: skip
def test_values_of_another_kind_than_the_dtype(value, dtype, wanted):
    made = sq.full((2,), value, dtype=dtype)
    assert made.tolist() == wanted and made.dtype is dtype
    base = sq.zeros(1, dtype=dtype)
    for other in (base.new_full((2,), value), sq.full_like(sq.zeros(2, dtype=dtype), value)):
        assert other.tolist() == wanted and other.dtype is dtype


def test_tensors_without_dimensions_fill():
    x = sq.tensor(2.5, requires_grad=True)
    made = sq.full((3,), x)
    made.sum().backward()
    assert made.tolist() == [2.5] * 3 and x.grad.item() == 3
    assert sq.full((2,), sq.tensor(2.5), dtype=sq.int64).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match=r"fill_value must have no dimensions, got shape \[2\]"):
        sq.full((2,), sq.ones(2))


@pytest.mark.parametrize(("value", "dtype"), [(1j, sq.float32), (float("inf"), sq.int8), (float("nan"), sq.uint8)])
def test_values_that_a_dtype_does_not_have(value, dtype):
    with pytest.raises(RuntimeError, match=r"cannot be converted to squall\..* without overflow"):
        sq.full((2,), value, dtype=dtype)


def test_a_number_that_varies_fills_integers():
    program = sq.compile(lambda x, value: x + sq.full((2,), value, dtype=sq.int64))
    assert [program(sq.zeros(2), v).tolist() for v in (1.5, 2.5, -3.5)] == [[1, 1], [2, 2], [-3, -3]]


def test_rows_of_integers_are_padded_with_the_default_value():
    from squall.nn.utils import rnn

    packed = rnn.pack_sequence([sq.tensor([1, 2]), sq.tensor([3])])
    assert rnn.pad_packed_sequence(packed)[0].tolist() == [[1, 3], [2, 0]]


def test_masked_fill_of_booleans_by_a_fraction_is_true():
    assert sq.zeros(2, dtype=sq.bool).masked_fill(sq.tensor([True, False]), 0.5).tolist() == [True, False]
