"""What a captured program took for granted of symbolic sizes, asked again with each call's numbers: an error where
known sizes give one. Kernels take the fit for granted: they wrote and read beside their operands."""

import pytest

import squall as sq
from squall.base.errors import IndexRangeError, ShapeError, TraceError
from squall.nn import functional as F

N = sq.Dim("n", min=2)


@pytest.mark.parametrize("name", ("scatter", "scatter_add", "gather"))
def test_an_index_longer_than_what_it_indexes(name):
    def f(x, index, source):
        return x.gather(1, index) if name == "gather" else getattr(x, name)(1, index, source)

    compiled = sq.compile(f, dynamic_shapes=({}, {0: N}, {0: N}))
    x = sq.randn(3, 5)
    for size in (3, 2):
        index, source = sq.ones(size, 2, dtype=sq.int64), sq.randn(size, 2)
        assert compiled(x, index, source).tolist() == f(x, index, source).tolist()
    with pytest.raises(ShapeError, match=rf"with n = 4: {name}: an index of shape \(4, 2\) does not fit shape"):
        compiled(x, sq.ones(4, 2, dtype=sq.int64), sq.randn(4, 2))
    assert compiled.captures == 1


def test_a_window_longer_than_its_input():
    compiled = sq.compile(lambda x: F.max_pool1d(x, 4, 2), dynamic_shapes=({2: N},))
    assert compiled(sq.ones(1, 1, 5)).shape == (1, 1, 1)
    with pytest.raises(ShapeError, match=r"with n = 3: max_pool: a window of 4 elements .* does not fit in size 3"):
        compiled(sq.ones(1, 1, 3))


PLACES = {
    "an element, as a view": lambda x: x[2],
    "an element": lambda x: x[2] * 2,
    "an element from the end": lambda x: x[-3] * 2,
    "the third smallest": lambda x: x.kthvalue(3).values,
    "the three largest": lambda x: x.topk(3).values,
    "a part": lambda x: x.narrow(0, 0, 3) * 2,
}


@pytest.mark.parametrize("name", PLACES)
def test_places_beyond_the_end(name):
    function = PLACES[name]
    compiled = sq.compile(function, dynamic_shapes=({0: N},))
    for size in (5, 3, 9):
        x = sq.randn(size)
        assert compiled(x).tolist() == function(x).tolist()
    for size in (2, 2):
        with pytest.raises(IndexRangeError, match="dim"):
            compiled(sq.randn(size))
    assert compiled(sq.randn(4)).shape == function(sq.randn(4)).shape and compiled.captures == 1


def test_derivatives_are_asked_too():
    compiled = sq.compile(sq.func.grad(lambda x: x[2] * x.sum()), dynamic_shapes=({0: N},))
    assert compiled(sq.ones(3)).tolist() == [1, 1, 4]
    with pytest.raises(IndexRangeError, match="with n = 2"):
        compiled(sq.ones(2))


def test_history_to_the_outside_is_asked_too():
    compiled = sq.compile(lambda x: x[2] * x.sum(), dynamic_shapes=({0: N},))
    for size in (3, 4):
        x = sq.ones(size).requires_grad_()
        compiled(x).backward()
        assert x.grad.sum().item() == 2 * size
    with pytest.raises(IndexRangeError, match="with n = 2"):
        compiled(sq.ones(2).requires_grad_())


def test_a_kernel_that_may_reach_less_far_than_the_padding():
    def f(x, weight):
        return F.conv_transpose1d(x, weight, None, stride=2, padding=2, output_padding=1)

    with pytest.raises(TraceError, match=r"kernel of n elements .* padding of 2; .* Dim\(name, min=3\)"):
        sq.compile(f, dynamic_shapes=({}, {2: N}))(sq.randn(1, 3, 4), sq.randn(3, 3, 3))
    compiled = sq.compile(f, dynamic_shapes=({}, {2: sq.Dim("k", min=3)}))
    for size in (3, 4, 7):
        x, weight = sq.randn(1, 3, 4), sq.randn(3, 3, size)
        assert sq.allclose(compiled(x, weight), f(x, weight), atol=1e-5)
