"""Many guarded loads, as of depthwise convolutions over a padded picture: asked once a row, with the bits of the plain
kernel; small weights that are seen turned are written out instead of gathered."""

from itertools import product

import numpy as np
import pytest

import squall as sq
from squall.compiler.describe import MANY_GUARDS
from squall.compiler.lower_walk import guards
from squall.compiler.spec import Spec


def specs(function, *arguments):
    """The specs of the kernels a function is compiled to."""
    compiled = sq.compile(function)
    with sq.no_grad():
        compiled(*arguments)
    return [s.key for s in compiled.programs[0].executable.plan.steps if isinstance(getattr(s, "key", None), Spec)]


def depthwise(x, w, stride, padding, dilation):
    """The sum over taps in their order, each product and sum rounded to float32: what S14 asks for."""
    x = np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding]))
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation)]
    total = None
    for tap in product(*map(range, w.shape[2:])):
        at = [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, counts, stride)]
        part = x[(slice(None), slice(None), *at)] * w[(slice(None), 0, *tap)].reshape(-1, *[1] * len(counts))
        total = part if total is None else total + part
    return total


CASES = [
    ((2, 32, 7, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 48, 70, 5), (3, 3), (2, 1), (1, 2), (1, 2)),
    ((2, 37, 1, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 32, 2, 130), (1, 5), (1, 1), (0, 4), (1, 2)),
    ((2, 33, 12), (5,), (3,), (2,), (1,)),
    ((1, 32, 4, 3, 5), (2, 2, 3), (1, 1, 2), (1, 1, 1), (1, 1, 1)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, c[0])))
@pytest.mark.parametrize("last", [False, True])
def test_depthwise_bits(case, last):
    shape, kernel, stride, padding, dilation = case
    draw = np.random.default_rng(len(shape))
    x, w = draw.standard_normal(shape, "f4"), draw.standard_normal((shape[1], 1, *kernel), "f4")
    rank = len(kernel)
    convolve = (sq.nn.functional.conv1d, sq.nn.functional.conv2d, sq.nn.functional.conv3d)[rank - 1]

    def function(x, w):
        x = x.permute(0, rank + 1, *range(1, rank + 1)) if last else x
        return convolve(x, w, stride=stride, padding=padding, dilation=dilation, groups=shape[1])

    given = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x
    got = sq.compile(function)(sq.tensor(given), sq.tensor(w)).numpy()
    assert got.tobytes() == depthwise(x, w, stride, padding, dilation).tobytes()


@pytest.mark.parametrize("case", CASES, ids=lambda c: "x".join(map(str, c[0])))
@pytest.mark.parametrize("batch", [1, 5])
def test_bits_of_the_gradient_of_the_weight(case, batch):
    (_, *shape), kernel, stride, padding, dilation = case
    rank = len(kernel)
    convolve = (sq.nn.functional.conv1d, sq.nn.functional.conv2d, sq.nn.functional.conv3d)[rank - 1]
    x, w = sq.randn(batch, *shape), sq.randn(shape[0], 1, *kernel)

    def gradient(x, w, g, padding):
        leaf = w.detach().requires_grad_()
        y = convolve(x, leaf, stride=stride, padding=padding, dilation=dilation, groups=shape[0])
        return sq.autograd.grad(y, leaf, g)[0]

    g = sq.randn(*convolve(x, w, stride=stride, padding=padding, dilation=dilation, groups=shape[0]).shape)
    around = [p for size in reversed(padding) for p in (size, size)]
    padded = sq.nn.functional.pad(x, around).detach().clone()  # nothing to guard
    wanted = sq.compile(lambda x, w, g: gradient(x, w, g, 0))(padded, w, g)
    got = sq.compile(lambda x, w, g: gradient(x, w, g, padding))(x, w, g)
    assert got.numpy().tobytes() == wanted.numpy().tobytes()


def test_guards_are_asked_once_a_row():
    def function(x, w):
        return sq.nn.functional.conv2d(x.permute(0, 3, 1, 2), w, padding=1, groups=32).permute(0, 2, 3, 1)

    found = specs(function, sq.randn(2, 20, 20, 32), sq.randn(32, 1, 3, 3))
    (spec,) = [s for s in found if sum(v.op == "load" and v.attr[1] for v in s.values) >= MANY_GUARDS]
    bounds, sure = guards(spec)
    assert len(bounds) == 6 and len(sure) == 15 and spec.tile
    assert all(v.attr[0].inner in ("unit", None) for v in spec.values if v.op == "load")


def test_guards_of_elements_are_asked_for_each():
    def function(x):
        return sum(sq.nn.functional.pad(x, (1 + i, 5 - i)) for i in range(MANY_GUARDS + 1))

    x = np.random.default_rng(0).standard_normal((3, 50), "f4")
    (spec,) = specs(function, sq.tensor(x))
    assert guards(spec) == ([], frozenset())
    wanted = sum(np.pad(x, ((0, 0), (1 + i, 5 - i))) for i in range(MANY_GUARDS + 1))
    assert sq.compile(function)(sq.tensor(x)).numpy().tobytes() == wanted.tobytes()


def test_a_large_weight_is_not_turned():
    def function(x, w):
        return x * w.t()

    assert len(specs(function, sq.randn(30, 200, 300), sq.randn(300, 200))) == 1
    assert len(specs(function, sq.randn(30, 20, 30), sq.randn(30, 20))) == 2
