"""`out=` that shares memory with what is read by position, or with itself, is refused as in PyTorch."""

import pytest

import squall as sq


def picks(x, index, out):
    yield lambda: sq.take(x, index, out=out)
    yield lambda: sq.index_select(x, 0, index, out=out)
    yield lambda: sq.gather(x, 0, index, out=out)


def test_out_must_not_share_memory_with_the_values():
    x, index = sq.arange(6.0), sq.tensor([5, 0])
    for pick in (*picks(x, index, x[1:3]), lambda: sq.masked_select(x, x > 3, out=x[:2])):
        with pytest.raises(RuntimeError, match=r"\(\): unsupported .* 'out' of shape \[2\] shares memory"):
            pick()
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_out_must_not_share_memory_with_the_index():
    both = sq.tensor([0, 1, 2])
    for pick in picks(sq.tensor([7, 8, 9]), both[1:], both[:2]):
        with pytest.raises(RuntimeError, match="shares memory"):
            pick()


def test_other_parts_of_the_storage_are_free():
    x, index = sq.arange(6.0), sq.tensor([1, 0])
    for pick in picks(x[:3], index, x[4:]):
        assert pick().tolist() == [1.0, 0.0]
        assert x.tolist() == [0.0, 1.0, 2.0, 3.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda out: sq.add(sq.ones(3), 1.0, out=out),
        lambda out: sq.take(sq.ones(3), sq.tensor([0, 1, 2]), out=out),
        lambda out: sq.bernoulli(sq.ones(3), out=out),
    ],
)
def test_out_must_have_an_element_for_each_result(call):
    with pytest.raises(RuntimeError, match=r"\(\): .* more than one element of argument 'out', of shape \[3\]"):
        call(sq.ones(1).expand(3))
    assert call(sq.ones(1, 1).expand(3, 1)[:, 0].clone()).shape == (3,)


@pytest.mark.parametrize("name", ["__rand__", "__ror__", "__rxor__", "__rdiv__"])
def test_methods_called_through_the_class_want_a_tensor(name):
    for other in (3, sq.tensor([1, 2])):
        with pytest.raises(TypeError, match=r"Tensor.*int"):
            getattr(sq.Tensor, name)(2, other)
