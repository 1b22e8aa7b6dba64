"""DESIGN S14 where float32 contractions run in parts on matrix tiles: at sizes on both sides of where that begins, the
bits do not depend on laziness, compilation, symbolic dimensions or threads, and `SQUALL_ISA=avx512` keeps them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.runtime import matrix_tiles
from tests.system.test_nest_dispatch import draw, seen  # noqa: F401 (a fixture)

F = sq.nn.functional
pytestmark = pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")


def gradients(function: Any) -> Any:
    """A function of Tensors that gives what `function` gives, and the gradients of a sum of it, weighted unevenly."""
    def run(*given: Any) -> list:
        leaves = [x.detach().clone().requires_grad_() for x in given]
        result = function(*leaves)
        return [result.detach(), *sq.autograd.grad((result * result.detach().sin()).sum(), leaves)]

    return run


# Functions of matrices and the shapes they are given: n is a size around 64, where parts begin, or 96.
PROGRAMS: dict[str, tuple[Any, Any]] = {
    "product": (lambda x, w: x @ w, lambda n: ((n, 150), (150, 110))),
    "few rows, much to pack": (lambda x, w: x @ w, lambda n: ((n, 1100), (1100, 900))),
    "inner size": (lambda x, w: x @ w.T, lambda n: ((200, n), (160, n))),
    "columns, turned": (lambda x, w: w.T @ x.T, lambda n: ((n, 200), (200, 160))),
    "linear, gelu": (gradients(lambda x, w, b: F.gelu(F.linear(x, w, b))), lambda n: ((n, 96), (140, 96), (140,))),
    "two layers": (gradients(lambda x, w, v: F.relu(x @ w).tanh() @ v), lambda n: ((2, n, 96), (96, 160), (160, 64))),
    "batched": (gradients(lambda x, y: (x @ y).softmax(-1)), lambda n: ((3, n, 80), (3, 80, n))),
    "einsum": (gradients(lambda x, y: sq.einsum("btd,hde->bhte", x, y)), lambda n: ((3, n, 72), (4, 72, 64))),
    "vmap": (lambda x, w: sq.vmap(lambda row: (row @ w).exp())(x), lambda n: ((5, n // 4, 96), (96, 128))),
    "vmap of weights": (lambda x, w: sq.vmap(lambda own: x @ own)(w), lambda n: ((n, 96), (3, 96, 128))),
    "convolution": (gradients(lambda x, w: F.conv2d(x, w, padding=1)), lambda n: ((2, n, 11, 9), (72, n, 3, 3))),
    "strided": (gradients(lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1).relu()),
                lambda n: ((2, 16, n // 4, 17), (80, 16, 3, 3), (80,))),
    "pointwise": (gradients(lambda x, w: F.conv2d(x, w)), lambda n: ((4, n, 7, 8), (90, n, 1, 1))),
    "groups": (gradients(lambda x, w: F.conv2d(x, w, groups=2)), lambda n: ((2, 2 * n, 10, 10), (160, n, 3, 3))),
}
SIZES = (60, 64, 65, 96, 128)


def bits(made: Any) -> list[bytes]:
    sq.flush()
    return [np.asarray(m.detach().numpy()).tobytes() for m in (made if isinstance(made, list) else [made])]


def everyway(function: Any, given: list) -> dict[str, list[bytes]]:
    """The bits of a program's results however it runs."""
    found, before = {}, sq.get_num_threads()
    try:
        for threads in (1, 2, 3):
            sq.set_num_threads(threads)
            found[f"{threads} threads"] = bits(function(*given))
            found[f"{threads} threads, compiled"] = bits(sq.compile(lambda *xs: function(*xs))(*given))
        sq.set_eager(True)
        found["eagerly"] = bits(function(*given))
    finally:
        sq.set_eager(False)
        sq.set_num_threads(before)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_do_not_depend_on_how_it_runs(name: str, seen: list) -> None:  # noqa: F811 (the fixture)
    function, shapes = PROGRAMS[name]
    roles: set = set()
    for n in SIZES:
        given = [draw(*shape) for shape in shapes(n)]
        seen.clear()
        found = everyway(function, given)
        for how, got in found.items():
            assert got == found["1 threads"], f"{name} at {n}: {how}"
        roles |= {plan.steps[-1].library.role for plan in seen}
    assert "parts" in roles


@pytest.mark.parametrize("name", ["product", "linear, gelu"])
def test_older_kernels_keep_bits_as_well(name: str) -> None:
    function, shapes = PROGRAMS[name]
    given = [draw(*shape) for shape in shapes(96)]
    in_parts = bits(function(*given))
    with config.options(isa="avx512"):
        found = everyway(function, given)
        assert all(got == found["1 threads"] for got in found.values())
        assert found["1 threads"] != in_parts


def test_threads_that_change_under_another_option_leave_earlier_plans_their_bits() -> None:
    """What a plan may use is fixed when it is made, not when it is split for another number of threads."""
    function, shapes = PROGRAMS["product"]
    given, before = [draw(*shape) for shape in shapes(112)], sq.get_num_threads()
    compiled = sq.compile(lambda *xs: function(*xs))
    try:
        sq.set_num_threads(1)
        wanted = bits(function(*given))
        assert bits(compiled(*given)) == wanted
        with config.options(isa="avx512"):
            sq.set_num_threads(2)
            assert bits(function(*given)) != wanted
        for threads in (2, 1, 3):
            sq.set_num_threads(threads)
            assert bits(function(*given)) == bits(compiled(*given)) == wanted, threads
    finally:
        sq.set_num_threads(before)


def test_symbolic_sizes_are_decided_when_they_are_known(seen: list) -> None:  # noqa: F811 (the fixture)
    """Rows, columns and k of one compiled program, on both sides of where parts begin."""
    m, n, k = (sq.Dim(name, min=1, max=2000) for name in "mnk")

    def function(x: Any, w: Any) -> Any:
        return (x @ w).sin()

    compiled = sq.compile(lambda x, w: function(x, w), dynamic_shapes=({0: m, 1: k}, {0: k, 1: n}))
    roles = []
    for rows, columns, depth in ((112, 120, 300), (60, 120, 300), (112, 60, 300), (112, 120, 50), (64, 64, 64),
                                 (64, 64, 128), (95, 1200, 900), (96, 1200, 900), (300, 257, 1100)):
        given = draw(rows, depth), draw(depth, columns)
        seen.clear()
        made = bits(compiled(*given))
        roles.append(seen[-1].steps[-1].library.role)
        assert made == bits(function(*given)) == bits(sq.compile(lambda x, w: function(x, w))(*given))
    assert roles == ["parts", "contract", "contract", "contract", "contract", "parts", "contract", "parts", "parts"]
    assert compiled.captures == 1


def test_gradients_with_symbolic_rows() -> None:
    function, shapes = PROGRAMS["linear, gelu"]
    compiled = sq.compile(lambda *xs: function(*xs), dynamic_shapes=({0: sq.Dim("rows", min=1, max=500)}, None, None))
    for n in (100, 60, 64, 200, 63):
        given = [draw(*shape) for shape in shapes(n)]
        assert bits(compiled(*given)) == bits(function(*given)), n


@pytest.mark.parametrize("rows", [60, 100, 4096])
def test_frozen_layers(rows: int) -> None:
    """Weights packed once have their own path; those of the layers between them may run by blocks of rows."""
    x, weights = draw(rows, 120), [draw(128, 120), draw(128, 128), draw(70, 128)]

    def function(x: Any) -> Any:
        for w in weights:
            x = F.relu(x @ w.T)
        return x

    before, found = sq.get_num_threads(), []
    try:
        for threads in (1, 2):
            sq.set_num_threads(threads)
            frozen = sq.compile(lambda x: function(x), freeze=True)
            found += [bits(function(x)), bits(sq.compile(lambda x: function(x))(x))]
            found += [bits(frozen(x)) for _ in range(4)]
    finally:
        sq.set_num_threads(before)
    assert all(got == found[0] for got in found)
