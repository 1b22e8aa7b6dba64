"""Contractions on matrix tiles: close to float64, and the same bits however they run and by the python backend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.backends import ssa_text
from squall.backends.cpu.build import compile_functions
from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import host_target
from squall.base import config
from squall.compiler import contract, nest
from squall.compiler.nest import arguments as words
from squall.compiler.nest.plan import assemble_tiles
from squall.compiler.nest.tile_choose import choose_tiles, fits_tiles
from squall.ir.linear import I64, PTR, Builder, Program, Type
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


def adding_epilogue(accumulate):
    """An epilogue: out[row, column] += sum; its args are out and its row stride."""
    b, kind = Builder("adding", nest.EPILOGUE_PARAMETERS), Type(accumulate)
    args, tile, stride, _, row, column, rows, columns = b.parameters
    out, width = b.load(PTR, args), b.load(I64, b.gep(args, b.int(1), "i64"))
    with b.loop(b.int(0), rows) as i, b.loop(b.int(0), columns) as j:
        place = b.gep(out, b.add(b.mul(b.add(row, i), width), b.add(column, j)), accumulate)
        b.store(b.add(b.load(kind, place), b.load(kind, b.gep(tile, b.add(b.mul(i, stride), j), accumulate))), place)
    return Program((b.finish(),), "adding")


@pytest.mark.parametrize("blocks", [(), (32, 32), (96, 64)])
@pytest.mark.parametrize("dtype", ["bf16", "i8"])
@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (33, 65, 64), (70, 100, 1100), (128, 96, 5000), (40, 40, 0)])
def test_what_is_left_to_the_next_product_is_finished_once(m, n, k, dtype, blocks):
    accumulate, target = ("f32", "i32")[dtype == "i8"], host_target()
    contraction = nest.matmul(m, n, k, dtype)._replace(result=accumulate)
    problem = Problem(contraction, 7)
    wanted = problem.run(plan(contraction, swapped=False))[0]
    text = ssa_text.write(adding_epilogue(accumulate), table_for(target.architecture, target.features))
    epilogue = compile_functions({text: (text, ["adding"])})[text]["adding"]
    chosen = choose_tiles(contraction, ISA, 1, True, swapped=False)
    if blocks:
        rows, columns = blocks
        chosen = chosen._replace(block_rows=rows, block_columns=columns, part_columns=32,
                                 units=-(-m // rows) * -(-n // columns))
    out = np.zeros((m, n), wanted.dtype)
    args = np.array([out.ctypes.data, n], "i8")
    pointers = {"epilogue": epilogue, "epilogue_args": args.ctypes.data}
    problem.run(assemble_tiles(contraction, ISA, chosen), split=2, pointers=pointers)
    np.testing.assert_array_equal(out, wanted)
