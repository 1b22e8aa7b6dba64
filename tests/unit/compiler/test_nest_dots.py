"""Contractions where a few products are added up in one instruction: signed bytes exact, bfloat16 with the bits of
vector kernels, however they run.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import squall as sq
from squall.base import config
from squall.compiler import contract, nest
from squall.compiler.nest.dots import multiply_dots
from squall.compiler.nest.tile_choose import fits_tiles
from squall.runtime import matrix_tiles
from tests.unit.compiler.nest_support import Problem, interpreted
from tests.unit.compiler.test_nest import bits, contractions

with_dots = pytest.mark.skipif(not matrix_tiles.adds_bytes(), reason="no sums of products of bytes in this processor")
with_pairs = pytest.mark.skipif(not matrix_tiles.adds_pairs(), reason="nor of bfloat16")


def plan(contraction, threads=1):
    made = nest.plan(contraction, "avx512", threads, tiles=nest.DOTS)
    assert made.steps[0].library.role == nest.DOTS
    return made


@with_dots
@settings(max_examples=60)
@given(contractions("i8"), st.integers(1, 3))
def test_any_strides_give_the_bits_of_vectors(contraction, threads):
    problem = Problem(contraction)
    wanted = bits(problem.run(nest.plan(contraction, "avx2")))
    np.testing.assert_array_equal(bits(problem.run(plan(contraction, threads))), wanted)


@pytest.mark.parametrize(("shape", "ta", "tb"), [((5, 7, 9), False, False), ((17, 40, 70), False, True)])
def test_the_python_backend_gives_the_same_bits(shape, ta, tb):
    problem = Problem(nest.matmul(*shape, "i8", ta, tb)._replace(result="i32"), 2)
    found = problem.run(plan(problem.contraction), interpreted)
    np.testing.assert_array_equal(found, problem.reference())


@with_dots
@settings(max_examples=30)
@given(contractions("i8"), st.integers(1, 3))
def test_packed_beforehand_they_give_the_same(contraction, threads):
    problem = Problem(contraction._replace(result="i32"))
    made = nest.plan(problem.contraction, "avx512", threads, tiles=nest.DOTS, pack_first=True)
    assert [step.library.role for step in made.steps] == ["pack_tiles", nest.DOTS]
    wanted = problem.run(nest.plan(problem.contraction, "avx2"))
    np.testing.assert_array_equal(problem.run(made, split=2), wanted)


@with_pairs
@settings(max_examples=60)
@given(contractions("bf16"), st.booleans(), st.integers(1, 3))
def test_pairs_of_bfloat16_give_the_bits_of_vectors(contraction, packed, threads):
    problem = Problem(contraction)
    wanted = bits(problem.run(nest.plan(contraction, "avx2")))
    made = nest.plan(contraction, "avx512", threads, tiles=nest.DOTS, pack_first=packed)
    np.testing.assert_array_equal(bits(problem.run(made, split=2)), wanted)


@with_pairs
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("shape", "ta", "tb"), [((40, 50, 700), False, True), ((33, 70, 1611), True, False),
                                                 ((64, 64, 5000), False, False), ((1, 100, 2000), False, True)])
def test_pairs_of_bfloat16_are_summed_by_the_same_blocks(shape, ta, tb, packed):
    contraction = nest.matmul(*shape, "bf16", ta, tb)._replace(result="f32")
    problem = Problem(contraction)
    wanted = bits(problem.run(nest.plan(contraction, "avx2")))
    made = nest.plan(contraction, "avx512", tiles=nest.DOTS, pack_first=packed)
    np.testing.assert_array_equal(bits(problem.run(made)), wanted)


def test_pairs_by_the_python_backend():
    problem = Problem(nest.matmul(5, 7, 70, "bf16")._replace(result="f32"), 2)
    made = nest.plan(problem.contraction, "avx512", tiles=nest.DOTS)
    found = problem.run(made, interpreted)
    np.testing.assert_array_equal(bits(found), bits(problem.run(nest.plan(problem.contraction, "avx2"))))


@with_dots
def test_extremes_do_not_saturate():
    problem = Problem(nest.matmul(20, 40, 6000, "i8", False, True)._replace(result="i32"))
    for low, high in ((-128, -128), (-128, 127), (127, 127)):
        problem.a.data[:], problem.b.data[:] = low, high
        assert (np.asarray(problem.run(plan(problem.contraction))) == low * high * 6000).all()


def test_what_they_are_used_for(monkeypatch):
    assert fits_tiles(nest.matmul(2, 3, 4, "i8"), nest.DOTS)
    assert not fits_tiles(nest.matmul(2, 3, 4, "u8"), nest.DOTS)
    assert fits_tiles(nest.matmul(2, 3, 4, "bf16"), nest.DOTS)
    assert not fits_tiles(nest.matmul(2, 3, 4, "f16"), nest.DOTS)
    assert not fits_tiles(nest.matmul(2, 3, 4, "bf16"), nest.BYTES_ONLY)
    assert fits_tiles(nest.matmul(2, 3, 4, "i8"), nest.BYTES_ONLY)
    assert not fits_tiles(nest.matmul(2, 3, 4, "i8"), "")
    with pytest.raises(ValueError, match="u8"):
        multiply_dots("u8", 1, 1)
    assert contract.beside_vectors("avx2") == ""
    with config.options(isa="avx512"):
        for fast, wanted in ((True, nest.DOTS), (False, nest.BYTES_ONLY if matrix_tiles.adds_bytes() else "")):
            monkeypatch.setattr(matrix_tiles, "adds_pairs_fast", lambda fast=fast: fast)
            assert contract.beside_vectors("avx512") == wanted


@with_pairs
def test_a_program_runs_on_them(monkeypatch):
    x, w = sq.randn(40, 900).to(sq.bfloat16), sq.randn(70, 900).to(sq.bfloat16)
    with config.options(isa="avx512"), sq.no_grad():
        wanted = sq.compile(lambda x: (x @ w.T, x + 1))(x)[0].to(sq.float32).numpy()  # another plan than those below
        monkeypatch.setattr(matrix_tiles, "adds_pairs_fast", lambda: True)
        for freeze in (False, True):
            function = sq.compile(lambda x: x @ w.T, freeze=freeze)
            for _ in range(4):
                np.testing.assert_array_equal(function(x).to(sq.float32).numpy(), wanted)
            assert "bf16: dots" in str(sq.explain(function, x))
