"""Contractions on matrix tiles: close to float64, and the same bits however they run and by the python backend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.base import config
from squall.compiler import contract, nest
from squall.compiler.nest import arguments as words
from squall.compiler.nest.plan import assemble_tiles
from squall.compiler.nest.tile_choose import choose_tiles, fits_tiles
from squall.runtime import matrix_tiles
from tests.unit.compiler.nest_support import Problem, interpreted
from tests.unit.compiler.test_nest import bits, check_close, contractions

pytestmark = pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
ISA = nest.ISAS["avx512"]


def plan(contraction, threads=1, **options):
    made = nest.plan(contraction, "avx512", threads, tiles=nest.TILES, **options)
    assert made.steps[0].library.role == "tiles"
    return made


@settings(max_examples=60)
@given(contractions("bf16"), st.integers(1, 3))
def test_any_strides_match_float64(contraction, threads):
    problem = Problem(contraction)
    check_close(problem, problem.run(plan(contraction, threads)))


@settings(max_examples=40)
@given(contractions("bf16"), st.data())
def test_bits_do_not_depend_on_how(contraction, data):
    problem = Problem(contraction, 1)
    wanted = bits(problem.run(plan(contraction)))
    for swapped in (False, True):
        chosen = choose_tiles(contraction, ISA, 1, swapped=swapped)
        rows, columns = data.draw(st.sampled_from([32, 64])), data.draw(st.sampled_from([32, 64]))
        extent = chosen.oriented.extent
        units = extent("batch") * -(-extent("m") // rows) * -(-extent("n") // columns)
        changed = chosen._replace(block_rows=rows, block_columns=columns, part_columns=columns, units=units,
                                  block_depth=data.draw(st.sampled_from([32, 64, 1024])),
                                  a_mode=words.BY_VECTORS)
        got = problem.run(assemble_tiles(contraction, ISA, changed), split=data.draw(st.integers(1, 5)))
        np.testing.assert_array_equal(bits(got), wanted)


@pytest.mark.parametrize("dtype", ["bf16", "i8", "u8"])
@pytest.mark.parametrize("shape, ta, tb", [((5, 7, 9), False, False), ((17, 20, 70), False, True),
                                           ((20, 33, 35), True, False), ((1, 18, 66), True, True)])
def test_the_python_backend_gives_the_same_bits(shape, ta, tb, dtype):
    problem = Problem(nest.matmul(*shape, dtype, ta, tb), 2)
    made = plan(problem.contraction)
    np.testing.assert_array_equal(bits(problem.run(made)), bits(problem.run(made, interpreted)))


@pytest.mark.parametrize("dtype", ["i8", "u8"])
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 100, 200), (70, 65, 130)])
@pytest.mark.parametrize("transposed", [False, True])
def test_integers_have_the_bits_of_other_kernels(shape, dtype, transposed):
    problem = Problem(nest.matmul(*shape, dtype, transposed, not transposed)._replace(result="i32"), 3)
    wanted = problem.run(nest.plan(problem.contraction, "avx512"))
    np.testing.assert_array_equal(problem.run(plan(problem.contraction, 2), split=3), wanted)


@pytest.mark.parametrize("dtype", ["bf16", "i8", "u8"])
@settings(max_examples=40)
@given(data=st.data())
def test_packed_beforehand_they_have_the_same_bits(dtype, data):
    contraction = data.draw(contractions(dtype))._replace(result="" if dtype == "bf16" else "i32")
    problem = Problem(contraction, 1)
    wanted = problem.run(nest.plan(contraction, "avx512", tiles=nest.TILES, swapped=False))
    made = nest.plan(contraction, "avx512", data.draw(st.integers(1, 3)), tiles=nest.TILES, pack_first=True)
    assert [step.library.role for step in made.steps] == ["pack_tiles", "tiles"]
    np.testing.assert_array_equal(bits(problem.run(made, split=data.draw(st.integers(1, 4)))), bits(wanted))


@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("dtype", ["bf16", "i8"])
@pytest.mark.parametrize("m, n, k", [(64, 70, 128), (75, 33, 256), (16, 16, 9024), (33, 300, 64)])
def test_rows_that_lie_in_tiles_are_not_packed(m, n, k, dtype, tb):
    contraction = nest.matmul(m, n, k, dtype, False, tb)._replace(result="f32" if dtype == "bf16" else "i32")
    problem = Problem(contraction, 6)
    lying = choose_tiles(contraction, ISA, 1, swapped=False)
    assert lying.a_mode == words.IN_PLACE
    wanted = problem.run(assemble_tiles(contraction, ISA, lying._replace(a_mode=words.BY_TRANSPOSING)))
    np.testing.assert_array_equal(bits(problem.run(assemble_tiles(contraction, ISA, lying))), bits(wanted))
    packed = nest.plan(contraction, "avx512", 2, tiles=nest.TILES, pack_first=True)
    np.testing.assert_array_equal(bits(problem.run(packed, split=2)), bits(wanted))


def test_rows_that_crowd_into_sets_of_the_cache_are_packed():
    for k, mode in ((1024, words.IN_PLACE), (4096, words.BY_TRANSPOSING), (1000, words.BY_TRANSPOSING)):
        assert choose_tiles(nest.matmul(64, 64, k, "i8"), ISA, 1, swapped=False).a_mode == mode


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("m, n, k", [(1, 300, 500), (300, 1, 500), (64, 64, 64), (13, 77, 9000), (257, 130, 259)])
def test_matrix_products(m, n, k, ta, tb):
    problem = Problem(nest.matmul(m, n, k, "bf16", ta, tb), 5)
    check_close(problem, problem.run(plan(problem.contraction, 2), split=3))


def test_what_tiles_do():
    assert fits_tiles(nest.matmul(2, 3, 4, "bf16"))
    assert not fits_tiles(nest.matmul(2, 3, 4, "f16"))
    assert not fits_tiles(nest.matmul(2, 3, 4, "bf16")._replace(triangle="k<=m"))
    assert nest.plan(nest.matmul(2, 3, 4, "f32"), "avx512", tiles=nest.TILES).steps[0].library.role == "contract"


def test_the_knob_leaves_tiles_out():
    with config.options(isa="avx512"):
        assert contract.beside_vectors("avx512") != nest.TILES
    with config.options(isa=""):
        assert contract.beside_vectors("avx512") == nest.TILES
