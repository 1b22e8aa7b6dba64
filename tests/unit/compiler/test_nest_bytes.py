"""Contractions of signed bytes where products of four are added up in one instruction: exact, however they run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.base import config
from squall.compiler import contract, nest
from squall.compiler.nest.byte_dots import multiply_bytes
from squall.compiler.nest.tile_choose import fits_tiles
from squall.runtime import matrix_tiles
from tests.unit.compiler.nest_support import Problem, interpreted
from tests.unit.compiler.test_nest import bits, contractions

with_dots = pytest.mark.skipif(not matrix_tiles.adds_bytes(), reason="this processor does not add up products of bytes")


def plan(contraction, threads=1):
    made = nest.plan(contraction, "avx512", threads, tiles=nest.DOTS)
    assert made.steps[0].library.role == nest.DOTS
    return made


@with_dots
@settings(max_examples=60, deadline=None)
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
@settings(max_examples=30, deadline=None)
@given(contractions("i8"), st.integers(1, 3))
def test_packed_beforehand_they_give_the_same(contraction, threads):
    problem = Problem(contraction._replace(result="i32"))
    made = nest.plan(problem.contraction, "avx512", threads, tiles=nest.DOTS, pack_first=True)
    assert [step.library.role for step in made.steps] == ["pack_tiles", nest.DOTS]
    wanted = problem.run(nest.plan(problem.contraction, "avx2"))
    np.testing.assert_array_equal(problem.run(made, split=2), wanted)


@with_dots
def test_extremes_do_not_saturate():
    problem = Problem(nest.matmul(20, 40, 6000, "i8", False, True)._replace(result="i32"))
    for low, high in ((-128, -128), (-128, 127), (127, 127)):
        problem.a.data[:], problem.b.data[:] = low, high
        assert (np.asarray(problem.run(plan(problem.contraction))) == low * high * 6000).all()


def test_what_they_are_used_for():
    assert fits_tiles(nest.matmul(2, 3, 4, "i8"), nest.DOTS)
    assert not fits_tiles(nest.matmul(2, 3, 4, "u8"), nest.DOTS)
    assert not fits_tiles(nest.matmul(2, 3, 4, "bf16"), nest.DOTS)
    assert not fits_tiles(nest.matmul(2, 3, 4, "i8"), "")
    with pytest.raises(ValueError, match="u8"):
        multiply_bytes("u8", 1, 1)
    assert contract.beside_vectors("avx2") == ""
    with config.options(isa="avx512"):
        assert contract.beside_vectors("avx512") == (nest.DOTS if matrix_tiles.adds_bytes() else "")
