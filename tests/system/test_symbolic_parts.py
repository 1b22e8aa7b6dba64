"""Sizes that vary through what cuts, resamples and makes Tensors by sizes alone: captured once, right at every size."""

import pytest

import squall as sq
from squall.base.dim import Dim, parts, scaled
from squall.base.errors import TraceError
from squall.nn import functional as F

N, M = sq.Dim("n", min=1, max=64), sq.Dim("m", min=1, max=64)

MODES = [
    *((mode, None, False) for mode in ("nearest", "nearest-exact")),
    *((mode, align, smooth) for mode in ("bilinear", "bicubic") for align in (False, True) for smooth in (False, True)),
]
SCALES = [{"scale_factor": 2}, {"scale_factor": 1.5}, {"scale_factor": (0.3, 2.3)}, {"size": (6, 9)}, {}]


@pytest.mark.parametrize(("mode", "align", "smooth"), MODES)
@pytest.mark.parametrize("given", SCALES, ids=str)
def test_interpolate_at_every_size_has_the_bits_of_a_known_one(given, mode, align, smooth):
    def f(x):
        size = given or {"size": (2 * x.shape[2] + 1, x.shape[3] // 2 + 1)}
        return F.interpolate(x, mode=mode, align_corners=align, antialias=smooth, **size)

    compiled = sq.compile(f, dynamic_shapes=({2: N, 3: M},))
    for height, width in ((7, 5), (4, 9), (16, 11)):
        x = sq.randn(2, 3, height, width)
        made, expected = compiled(x), f(x)
        assert made.shape == expected.shape
        if smooth:  # weights are summed up in another order
            assert sq.allclose(made, expected, atol=1e-6)
        else:
            assert made.tolist() == expected.tolist()
    assert compiled.captures == 1


def test_interpolate_of_sizes_has_gradients():
    def slope(x):
        return sq.func.grad(lambda v: (F.interpolate(v, scale_factor=1.5, mode="bilinear") ** 2).sum())(x)

    compiled = sq.compile(slope, dynamic_shapes=({2: N, 3: M},))
    for height, width in ((7, 5), (3, 8)):
        x = sq.randn(1, 2, height, width)
        assert sq.allclose(compiled(x), slope(x), atol=1e-5)


CUTS = {
    "tensor_split in 3": lambda x: sq.tensor_split(x, 3),
    "tensor_split in 1": lambda x: sq.tensor_split(x, 1),
    "tensor_split at places": lambda x: sq.tensor_split(x, (1, x.shape[0] // 2 + 1)),
    "tensor_split at numbers": lambda x: sq.tensor_split(x, (2, 5)),
    "split in listed sizes": lambda x: x.split([x.shape[0] // 2, x.shape[0] - x.shape[0] // 2]),
    "split of a part": lambda x: sq.cat([x, x, x]).split(x.shape[0]),
    "chunk of an even size": lambda x: sq.cat([x, x * 2]).chunk(2),
    "chunk of a size large enough": lambda x: sq.cat([x, sq.ones(5, 4)]).chunk(3),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts(name):
    function = CUTS[name]
    compiled = sq.compile(lambda x: tuple(part * 2 for part in function(x)), dynamic_shapes=({0: N},))
    for size in (9, 2, 5, 12):
        x = sq.randn(size, 4)
        assert [p.tolist() for p in compiled(x)] == [(p * 2).tolist() for p in function(x)]
    assert compiled.captures == 1


def test_a_number_of_results_that_varies_is_an_error_that_says_what_to_do():
    with pytest.raises(TraceError, match=r"split: how many pieces of 4 dimension 0 of size n.*tensor_split"):
        sq.compile(lambda x: x.split(4), dynamic_shapes=({0: N},))(sq.ones(9))
    with pytest.raises(TraceError, match=r"chunk: how many 3 pieces.*Dim\(name, min=5\)"):
        sq.compile(lambda x: x.chunk(3), dynamic_shapes=({0: N},))(sq.ones(9))


BY_SIZE_ALONE = {
    "ones_like": lambda x: sq.ones_like(x),
    "full_like": lambda x: sq.full_like(x, 2.5),
    "zeros of a shape": lambda x: sq.zeros(x.shape[0] + 1, 2),
    "isreal": lambda x: sq.isreal(x),
    "several": lambda x: (sq.zeros_like(x), sq.arange(x.shape[0])),
}


def leaves_of(made):
    return made if isinstance(made, tuple) else (made,)


@pytest.mark.parametrize("name", BY_SIZE_ALONE)
def test_results_made_by_sizes_alone(name):
    """No value is read, so no input of the program tells the size."""
    function = BY_SIZE_ALONE[name]
    compiled = sq.compile(function, dynamic_shapes=({0: N},))
    for size in (9, 2, 5):
        made, expected = leaves_of(compiled(sq.ones(size))), leaves_of(function(sq.ones(size)))
        for a, b in zip(made, expected, strict=True):
            assert all(type(n) is int for n in a.shape) and a.tolist() == b.tolist()


def test_a_size_times_a_float_rounds_as_floats_do():
    n = Dim("n", min=1)
    for factor in (0.1, 1 / 49, 2.3, 0.7, 1.5, 2.0, 1e-3):
        made = scaled(n, factor)
        for size in range(1, 200):
            now = sq.base.dim.evaluate(made, {"n": size}) if isinstance(made, Dim) else made
            assert now == int(size * factor)
    assert scaled(n, 0.1) == scaled(n, 0.1) != scaled(n, 0.2)


def test_pieces_of_a_size():
    n = Dim("n", min=1, max=8)
    assert parts(3 * n, n) == 3 and parts(n, 8) == 1 and parts(n, 4) is None and parts(0, 4) == 0


POOLS = [(3, 1, 1, False), (3, 2, 1, True), (4, 3, 2, False), (2, 2, 1, True)]


@pytest.mark.parametrize(("kernel", "stride", "padding", "up"), POOLS)
def test_averages_that_leave_padding_out(kernel, stride, padding, up):
    def f(x):
        return F.avg_pool1d(x, kernel, stride, padding, ceil_mode=up, count_include_pad=False)

    compiled = sq.compile(f, dynamic_shapes=({2: N},))
    for size in (9, 7, 12):
        x = sq.randn(1, 3, size)
        assert sq.allclose(compiled(x), f(x), atol=1e-6)
    assert compiled.captures == 1


def test_factors_of_matrices_that_may_be_wide_or_tall():
    with pytest.raises(TraceError, match=r"linalg.lu: whether a matrix of n rows and 5 columns is wide or tall"):
        sq.compile(sq.linalg.lu, dynamic_shapes=({0: N},))(sq.randn(3, 5))
    tall = sq.Dim("tall", min=5, max=64)
    compiled = sq.compile(sq.linalg.lu, dynamic_shapes=({0: tall},))
    x = sq.randn(7, 5)
    for a, b in zip(compiled(x), sq.linalg.lu(x), strict=True):
        assert sq.allclose(a, b, atol=1e-5)
