"""The short paths of the contracting kernel: a row against a packed B, and a few elements, in the bits of tiles."""

import importlib

import numpy as np
import pytest

import squall as sq
from squall.compiler import nest
from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import choose
from squall.compiler.nest.plan import assemble
from squall.compiler.nest.spec import Contraction, Dimension
from tests.unit.compiler.nest_support import Problem, host_isas, interpreted

planning = importlib.import_module("squall.compiler.nest.plan")  # the package has a function of this name
PATH = words.WORDS["path"]


def paths(plan):
    return [step.words[PATH] for step in plan.steps if step.library.role == "contract"]


def in_tiles(monkeypatch, problem, isa, **options):
    """The result by tables and tiles."""
    with monkeypatch.context() as changed:
        changed.setattr(planning, "path_of", lambda *given: words.GENERAL)
        planning.plan.cache_clear()
        plan = nest.plan(problem.contraction, isa, **options)
        assert paths(plan) == [words.GENERAL]
        out = problem.run(plan)
    planning.plan.cache_clear()
    return out


@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("dtype", ["f32", "f64", "i32"])
@pytest.mark.parametrize("n, k", [(1, 200), (16, 64), (47, 33), (48, 33), (49, 33), (410, 70), (130, 784), (9, 2100)])
def test_one_row_against_a_packed_b(monkeypatch, isa, dtype, n, k):
    for tb in (False, True):
        problem = Problem(nest.matmul(1, n, k, dtype, False, tb), n)
        wanted = in_tiles(monkeypatch, problem, isa, pack_first=True, swapped=False)
        plan = nest.plan(problem.contraction, isa, pack_first=True, swapped=False)
        assert paths(plan) == [words.ONE_ROW]
        np.testing.assert_array_equal(problem.run(plan), wanted)


def test_a_row_in_blocks_of_columns_and_batches():
    contraction = nest.matmul(1, 300, 900, "f32", batch=3)
    problem = Problem(contraction, 4)
    isa = nest.ISAS[host_isas()[0]]
    wanted = problem.run(nest.plan(contraction, isa.name))
    chosen = choose(contraction, isa, 1, prepacked=True)
    width = isa.columns("f32")
    blocks = -(-300 // (2 * width))
    chosen = chosen._replace(block_columns=2 * width, part_columns=2 * width, units=3 * blocks)
    plan = assemble(contraction, isa, chosen, pack_first=True)
    assert paths(plan) == [words.ONE_ROW]
    np.testing.assert_array_equal(problem.run(plan, split=4), wanted)


@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64"])
@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (1, 8, 2), (1, 1, 8), (3, 5, 7), (2, 20, 4), (4, 1, 40)])
def test_a_few_elements(monkeypatch, isa, dtype, m, n, k):
    for ta, tb in ((False, False), (True, False), (False, True)):
        problem = Problem(nest.matmul(m, n, k, dtype, ta, tb, batch=2), m + n)
        wanted = in_tiles(monkeypatch, problem, isa)
        plan = nest.plan(problem.contraction, isa)
        stored = plan.choice.c_mode in (words.DIRECT, words.EPILOGUE)  # not, say, by columns
        assert paths(plan) == [words.TINY if stored else words.GENERAL]
        assert stored or isa != host_isas()[0]
        np.testing.assert_array_equal(problem.run(plan), wanted)


@pytest.mark.parametrize("isa", nest.ISAS)
def test_every_instruction_set_by_the_python_backend(isa):
    row, few = nest.matmul(1, 21, 6, "f32"), nest.matmul(2, 5, 6, "f32", False, True)
    scattered = Contraction("f32", "f32", (Dimension("m", 3, -2, 0, 14), Dimension("n", 4, 0, 5, -1),
                                           Dimension("k", 5, 9, 1)), "f32")
    big = row._replace(dims=(*row.dims[:1], Dimension("n", 41, 0, 1, 1), Dimension("k", 6, 1, 41)))
    for contraction, path, first in ((big, words.ONE_ROW, True), (few, words.TINY, False), (scattered, None, False)):
        problem = Problem(contraction, 7)
        wanted = problem.run(nest.plan(contraction, host_isas()[0]))
        plan = nest.plan(contraction, isa, pack_first=first, swapped=False)
        assert path is None or paths(plan) == [path]
        np.testing.assert_array_equal(problem.run(plan, runner=interpreted), wanted)


def test_frozen_networks_of_one_row_have_the_bits_of_others():
    sq.manual_seed(3)
    model = sq.nn.Sequential(sq.nn.Linear(800, 130), sq.nn.ReLU(), sq.nn.Linear(130, 10), sq.nn.Tanh(),
                             sq.nn.Linear(10, 3)).requires_grad_(False)
    x = sq.randn(1, 800)
    plain, frozen = sq.compile(model), sq.compile(model, freeze=True)
    for _ in range(12):
        wanted, got = plain(x), frozen(x)
    np.testing.assert_array_equal(got.numpy(), wanted.numpy())
    np.testing.assert_array_equal(got.numpy(), model(x).numpy())
    many = plain(sq.cat([x, sq.randn(40, 800)]))
    np.testing.assert_array_equal(many[:1].numpy(), wanted.numpy())
