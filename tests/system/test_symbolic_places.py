"""Sizes that vary through what takes places from them: padding from inside, adaptive pooling, grids, spectra."""

import pytest

import squall as sq
from squall.base.errors import TraceError
from squall.nn import functional as F

N, M = sq.Dim("n", min=4, max=64), sq.Dim("m", min=4, max=64)


def same(f, dims, make, sizes, exact=True):
    compiled = sq.compile(f, dynamic_shapes=dims)
    for size in sizes:
        given = make(*size)
        made, expected = compiled(*given), f(*given)
        assert made.shape == expected.shape
        assert made.tolist() == expected.tolist() if exact else sq.allclose(made, expected, atol=1e-5)
    assert compiled.captures == 1


IMAGES = ((7, 5), (4, 9), (16, 11))


@pytest.mark.parametrize("mode", ("reflect", "replicate", "circular"))
@pytest.mark.parametrize("pads", ((1, 2, 3, 0), (0, 3, 2, 2), (-1, 2, 1, -2)), ids=str)
def test_padding_by_what_lies_inside(mode, pads):
    dims = ({2: sq.Dim("n", min=6), 3: sq.Dim("m", min=6)},)
    same(lambda x: F.pad(x, pads, mode), dims, lambda h, w: (sq.randn(1, 2, h, w),), ((7, 6), (6, 9), (16, 11)))


def test_padding_that_may_be_larger_than_the_size_is_an_error():
    n = sq.Dim("n", min=1)
    for mode, least in (("reflect", 4), ("circular", 3)):
        with pytest.raises(TraceError, match=rf"pad: .*{mode}.* Dim\(name, min={least}\)"):
            sq.compile(lambda x, mode=mode: F.pad(x, (3, 0), mode), dynamic_shapes=({1: n},))(sq.ones(1, 9))


@pytest.mark.parametrize("wanted", ((3, 5), (None, 2), (1, 1)), ids=str)
@pytest.mark.parametrize("kind", ("avg", "max"))
def test_adaptive_pooling(kind, wanted):
    f = F.adaptive_avg_pool2d if kind == "avg" else F.adaptive_max_pool2d
    same(lambda x: f(x, wanted), ({2: N, 3: M},), lambda h, w: (sq.randn(1, 2, h, w),), IMAGES, kind == "max")


def test_adaptive_pooling_to_sizes_that_vary_and_its_gradient():
    def f(x):
        return F.adaptive_avg_pool2d(x, (x.shape[2] // 2 + 1, x.shape[3]))

    make = lambda h, w: (sq.randn(1, 2, h, w),)
    same(f, ({2: N, 3: M},), make, IMAGES, False)
    same(sq.func.grad(lambda x: (f(x) ** 2).sum()), ({2: N, 3: M},), make, IMAGES, False)
    same(lambda x: F.interpolate(x, scale_factor=0.5, mode="area"), ({2: N, 3: M},), make, IMAGES, False)


@pytest.mark.parametrize("mode", ("bilinear", "nearest", "bicubic"))
@pytest.mark.parametrize("padding", ("zeros", "border", "reflection"))
@pytest.mark.parametrize("align", (False, True))
def test_grid_sample(mode, padding, align):
    same(lambda x, g: F.grid_sample(x, g, mode, padding, align), ({2: N, 3: M}, {}),
         lambda h, w: (sq.randn(1, 2, h, w), sq.rand(1, 3, 4, 2) * 3 - 1.5), IMAGES, False)


def test_transforms():
    line = ((9,), (4,), (12,))
    spectrum = lambda n: (sq.complex(sq.randn(n), sq.randn(n)),)
    for norm in ("ortho", "backward"):
        same(lambda x, norm=norm: sq.fft.irfft(x, norm=norm), ({0: N},), spectrum, line, False)
        same(lambda x, norm=norm: sq.fft.hfft(x, norm=norm), ({0: N},), spectrum, line, False)
    same(sq.fft.fftshift, ({0: N},), lambda n: (sq.randn(n),), line)
    same(sq.fft.ifftshift, ({0: N},), lambda n: (sq.randn(n),), line)


def test_order_and_factors():
    line = ((9,), (4,), (12,))
    same(lambda x: x.median(), ({0: N},), lambda n: (sq.randn(n),), line)
    same(lambda x: x.median(0).values, ({0: N},), lambda n: (sq.randn(n, 3),), line)
    factors = lambda n: (*sq.linalg.lu_factor(sq.randn(n, n) + n * sq.eye(n)), sq.randn(n, 2))
    same(sq.linalg.lu_solve, ({0: N, 1: N}, {0: N}, {0: N}), factors, line, False)
    same(lambda lu, p: sq.lu_unpack(lu, p)[0], ({0: N, 1: N}, {0: N}), lambda n: factors(n)[:2], line)


@pytest.mark.parametrize("window", ((3, 2, 1), (4, 3, 2), (2, 2, 0)), ids=str)
def test_maxima_of_windows_that_reach_over_the_end(window):
    same(lambda x: F.max_pool1d(x, *window, ceil_mode=True), ({2: N},), lambda n: (sq.randn(1, 2, n),),
         ((9,), (4,), (7,), (12,)))
    n = sq.Dim("n", min=1)
    with pytest.raises(TraceError, match=r"ceil_mode: a window reaches over 3, .* declare Dim\(name, min=3\)"):
        sq.compile(lambda x: F.max_pool1d(x, 3, 2, ceil_mode=True), dynamic_shapes=({2: n},))(sq.ones(1, 1, 9))


def test_a_number_of_choices_that_varies_is_an_error():
    with pytest.raises(TraceError, match="combinations: how many rows there are varies with the size n"):
        sq.compile(sq.combinations, dynamic_shapes=({0: N},))(sq.ones(5))
    with pytest.raises(TraceError, match=r"hash_tensor: the n elements are halved"):
        sq.compile(sq.hash_tensor, dynamic_shapes=({0: N},))(sq.ones(5))
