"""The contraction nest against float64 sums over arbitrary strided dimensions, and bit for bit against itself."""

import itertools
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.compiler import nest
from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import block_depth, choose, is_kept
from squall.compiler.nest.plan import assemble
from squall.compiler.nest.spec import Contraction, Dimension
from tests.unit.compiler.nest_support import Problem, host_isas, interpreted

ISA = host_isas()[0]
MOST_PRODUCTS = 1_000_000  # of a random contraction: the reference takes 8 bytes for each
UNIT = {"f32": 2.0**-24, "f64": 2.0**-53, "f16": 2.0**-11, "bf16": 2.0**-8}


def bits(array):
    return array.view(f"u{array.dtype.itemsize}")


def dense(order, extents):
    """Strides of dims laid out contiguously in an order, outermost first."""
    strides, size = [0] * len(extents), 1
    for position in reversed(order):
        strides[position] = size
        size *= max(1, extents[position])
    return strides


@st.composite
def contractions(draw, dtype="f32"):
    """Up to two dimensions of each kind, operands in any order, flipped, gapped, broadcast or overlapping."""
    extent = st.sampled_from([0, 1, 1, 2, 3, 5, 7, 8, 9, 14, 16, 17, 31, 50])
    kinds = [kind for kind in ("batch", "m", "n", "k") for _ in range(draw(st.integers(0, 2)))]
    extents = [min(draw(extent), 4 if kind == "batch" else 50) for kind in kinds]
    while prod(extents) > MOST_PRODUCTS:
        extents[extents.index(max(extents))] //= 2
    strides = {}
    for operand, absent in (("a", "n"), ("b", "m"), ("c", "k")):
        member = [i for i, kind in enumerate(kinds) if kind != absent]
        order = draw(st.permutations(member))
        scale = draw(st.sampled_from([1, 1, 2]))
        full = dense(order, extents)
        made = [full[i] * scale if i in member else 0 for i in range(len(kinds))]
        for i in member:
            made[i] *= draw(st.sampled_from([1, 1, 1, -1]))
            if operand != "c" and draw(st.integers(0, 9)) == 0:
                made[i] = draw(st.sampled_from([0, 1, 3]))
        strides[operand] = made
    dims = tuple(Dimension(kind, extents[i], *(strides[o][i] for o in "abc")) for i, kind in enumerate(kinds))
    return Contraction(dtype, nest.ACCUMULATE[dtype], tuple(draw(st.permutations(dims))), dtype)


def check_close(problem, got):
    unit = UNIT[problem.contraction.accumulate]
    depth = max(1, problem.groups("a_stride", "k")[0].size)
    bound = problem.magnitude() * unit * (min(depth, 520) + 4)
    if problem.c_type != problem.contraction.accumulate:
        bound = bound + abs(problem.reference()) * UNIT[problem.c_type] + 1e-4
    assert (abs(got.astype("f8") - problem.reference()) <= bound).all()


@settings(max_examples=150)
@given(contractions(), st.integers(1, 3))
def test_any_strides_match_float64(contraction, threads):
    problem = Problem(contraction)
    got = problem.run(nest.plan(contraction, ISA, threads))
    check_close(problem, got)


@settings(max_examples=60)
@given(contractions(), st.data())
def test_bits_do_not_depend_on_how(contraction, data):
    problem = Problem(contraction, 1)
    wanted = bits(problem.run(nest.plan(contraction, ISA)))
    isa = nest.ISAS[ISA]
    for swapped in (False, True):
        chosen = choose(contraction, isa, 1, swapped=swapped)
        changed = chosen._replace(block_rows=data.draw(st.sampled_from([1, 3, 8, 20])),
                                  block_columns=data.draw(st.sampled_from([1, 2, 3])) * isa.columns("f32"),
                                  part_columns=data.draw(st.sampled_from([1, 2])) * isa.columns("f32"),
                                  a_mode=data.draw(st.sampled_from([words.IN_PLACE, words.BY_VECTORS,
                                                                    words.BY_TRANSPOSING])),
                                  b_mode=data.draw(st.sampled_from([words.BY_VECTORS, words.BY_TRANSPOSING,
                                                                    words.STREAMED])))
        extent = changed.oriented.extent
        units = extent("batch") * -(-extent("m") // changed.block_rows) * -(-extent("n") // changed.block_columns)
        got = problem.run(assemble(contraction, isa, changed._replace(units=units)), split=data.draw(st.integers(1, 5)))
        np.testing.assert_array_equal(bits(got), wanted)
    packed = problem.run(nest.plan(contraction, ISA, pack_first=True), split=2)
    np.testing.assert_array_equal(bits(packed), wanted)


@pytest.mark.parametrize("isa", host_isas()[1:])
@settings(max_examples=25)
@given(contractions())
def test_bits_do_not_depend_on_the_instruction_set(isa, contraction):
    problem = Problem(contraction, 2)
    wanted = problem.run(nest.plan(contraction, ISA))
    np.testing.assert_array_equal(bits(problem.run(nest.plan(contraction, isa))), bits(wanted))


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16"])
@settings(max_examples=25)
@given(st.data())
def test_other_floats(dtype, data):
    problem = Problem(data.draw(contractions(dtype)), 3)
    check_close(problem, problem.run(nest.plan(problem.contraction, ISA, 2)))


@pytest.mark.parametrize("dtype", ["i8", "u8", "i16", "u32", "i32", "i64", "u64"])
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 100, 40), (33, 2, 17)])
def test_integers_wrap(dtype, shape):
    contraction = nest.matmul(*shape, dtype=dtype, transpose_b=True)
    problem = Problem(contraction, 4)
    got = problem.run(nest.plan(contraction, ISA))
    modulus = 1 << 8 * got.dtype.itemsize
    wanted = np.array([int(v) % modulus for v in problem.reference().ravel()], f"u{got.dtype.itemsize}")
    np.testing.assert_array_equal(bits(got).ravel(), wanted)


@pytest.mark.parametrize("ta, tb", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (1, 300, 500), (300, 1, 500), (64, 64, 64), (100, 100, 100),
                                     (13, 77, 1000), (257, 259, 261)])
def test_matrix_products(m, n, k, ta, tb):
    problem = Problem(nest.matmul(m, n, k, "f32", ta, tb), 5)
    plan = nest.plan(problem.contraction, ISA, 2)
    check_close(problem, problem.run(plan, split=3))


@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 9, 16, 27, 32])
def test_sweeps(rows, isa):
    dtype = "i32" if rows == 27 else "f64" if rows == 3 else "f32"
    problem = Problem(nest.matmul(rows, 700, 805, dtype), 7)
    chosen = choose(problem.contraction, nest.ISAS[isa], 1, swapped=False)
    assert chosen.sweep_rows
    assert chosen.sweep_columns
    swept = bits(problem.run(assemble(problem.contraction, nest.ISAS[isa], chosen)))
    tiles = problem.run(assemble(problem.contraction, nest.ISAS[isa], chosen._replace(sweep_rows=0, sweep_columns=0)))
    np.testing.assert_array_equal(swept, bits(tiles))
    for threads in (2, 3):
        other = problem.run(nest.plan(problem.contraction, isa, threads), split=3)
        np.testing.assert_array_equal(swept, bits(other))


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "i32"])
@pytest.mark.parametrize("ta", [False, True])
def test_strips_packed_together(dtype, ta):
    problem = Problem(nest.matmul(150, 50, 70, dtype, ta), 6)
    chosen = choose(problem.contraction, nest.ISAS[ISA], 1, swapped=False)
    results = [problem.run(assemble(problem.contraction, nest.ISAS[ISA], chosen._replace(a_mode=mode, block_rows=rows)
                                    ._replace(units=-(-150 // rows))))
               for mode in (words.BY_VECTORS, words.BY_TRANSPOSING) for rows in (152, 72)]
    if dtype == "i32":
        np.testing.assert_array_equal(results[0].astype("i8") % (1 << 32), problem.reference() % (1 << 32))
    else:
        check_close(problem, results[0])
    for other in results[1:]:
        np.testing.assert_array_equal(bits(other), bits(results[0]))


@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("rows", [80, 1000])
def test_packed_rows_are_kept_for_all_columns(isa, rows):
    """A packed once for several parts of the columns, in several blocks of k, gives the bits of A packed for each."""
    problem = Problem(nest.matmul(83, 155, 800, "f32", True), 9)
    chosen = choose(problem.contraction, nest.ISAS[isa], 1, swapped=False)._replace(a_mode=words.BY_VECTORS)
    chosen = chosen._replace(block_rows=rows, units=-(-83 // rows))
    wanted = bits(problem.run(assemble(problem.contraction, nest.ISAS[isa], chosen)))
    kept = chosen._replace(block_columns=192, part_columns=48)
    assert is_kept(kept)
    np.testing.assert_array_equal(bits(problem.run(assemble(problem.contraction, nest.ISAS[isa], kept))), wanted)


@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 20, 32])
def test_few_rows(isa, rows):
    """B read in place or streamed gives the bits of packed B, whole panels and the columns behind them."""
    for tb, lying in ((False, words.IN_PLACE), (True, words.STREAMED)):
        problem = Problem(nest.matmul(rows, 410, 70, "f32", False, tb), 8)
        chosen = choose(problem.contraction, nest.ISAS[isa], 1, swapped=False)
        assert chosen.b_mode == lying or rows > 4
        packed = chosen._replace(b_mode=words.BY_TRANSPOSING if tb else words.BY_VECTORS)
        wanted = problem.run(assemble(problem.contraction, nest.ISAS[isa], packed))
        check_close(problem, wanted)
        got = problem.run(assemble(problem.contraction, nest.ISAS[isa], chosen))
        np.testing.assert_array_equal(bits(got), bits(wanted))


@pytest.mark.parametrize("m, n, k, ta, tb", [(512, 384, 128, False, True), (128, 512, 512, True, False),
                                             (512, 65, 128, False, True)])
def test_threads_share_the_work(m, n, k, ta, tb):
    problem = Problem(nest.matmul(m, n, k, "f32", ta, tb), 7)
    wanted = bits(problem.run(nest.plan(problem.contraction, ISA)))
    for threads in (2, 3, 8):
        plan = nest.plan(problem.contraction, ISA, threads)
        assert plan.steps[0].units // plan.steps[0].grain >= threads
        np.testing.assert_array_equal(bits(problem.run(plan, split=threads)), wanted)


@pytest.mark.parametrize("extents", [(0, 3, 4), (3, 0, 4), (0, 0, 0)])
def test_no_elements_no_units(extents):
    contraction = nest.matmul(*extents)
    assert nest.plan(contraction, ISA).steps[-1].units == 0


@pytest.mark.parametrize("pack_first", [False, True])
def test_no_depth_gives_zeros(pack_first):
    problem = Problem(nest.matmul(5, 60, 0))
    np.testing.assert_array_equal(problem.run(nest.plan(problem.contraction, ISA, pack_first=pack_first)), 0)


def test_long_sums_are_blocked():
    contraction = nest.matmul(4, 16, 60_000)
    problem = Problem(contraction, 6)
    error = abs(problem.run(nest.plan(contraction, ISA)) - problem.reference()).max()
    naive = np.zeros((4, 16), "f4")
    a = problem.a.gather(*problem.groups("a_stride", "m", "k"))
    b = problem.b.gather(*problem.groups("b_stride", "n", "k"))
    for i in range(60_000):
        naive += a[:, i, None] * b[None, :, i]
    assert error < abs(naive - problem.reference()[0]).max() / 3


def test_depth_of_blocks_is_a_function_of_depth_and_dtype():
    assert [block_depth(k, "f32") for k in (0, 1, 384, 768, 1024, 24_576)] == [1, 1, 384, 768, 512, 768]
    assert [block_depth(k, "f64") for k in (384, 385)] == [384, 208]
    for k in range(1, 5000, 7):
        assert k / block_depth(k, "f32") <= -(-k // 768)


@pytest.mark.parametrize("library", [nest.Library("contract", "f32", "f32", "f32", isa) for isa in nest.ISAS])
def test_python_backend_gives_the_same_bits(library):
    """The only run that NEON code gets on an x86 machine, instruction by instruction."""
    contraction = Contraction("f32", "f32", (Dimension("m", 3, 2, 0, 14), Dimension("m", 3, 7, 0, 2),
                                             Dimension("n", 7, 0, 5, -1), Dimension("k", 5, 1, 1)), "f32")
    problem = Problem(contraction, 7)
    wanted = problem.run(nest.plan(contraction, ISA))
    for swapped in (False, True):
        plan = nest.plan(contraction, library.isa, swapped=swapped)
        assert plan.steps[0].library == library
        np.testing.assert_array_equal(bits(problem.run(plan, runner=interpreted)), bits(wanted))


def test_wrong_dims_are_named():
    with pytest.raises(ValueError, match="a dimension of kind n has a stride in an operand it does not index"):
        nest.plan(Contraction("f32", "f32", (Dimension("n", 3, 1, 1, 1),), "f32"), ISA)
    with pytest.raises(ValueError, match="unknown kind of dimension 'x'"):
        nest.plan(Contraction("f32", "f32", (Dimension("x", 3),), "f32"), ISA)
    many = tuple(Dimension("k", 2, 3**i, 5**i) for i in range(9))
    with pytest.raises(ValueError, match="at most 8 are supported"):
        nest.plan(Contraction("f32", "f32", many, "f32"), ISA)


def test_a_row_that_meets_a_large_matrix_is_shared_out():
    """Reading is the work of few rows: 768 x 768 floats take longer from memory than another thread takes to wake."""
    assert nest.plan(nest.matmul(1, 768, 768, transpose_b=True), "avx512", 2).steps[0].units > 1
    assert nest.plan(nest.matmul(1, 64, 64, transpose_b=True), "avx512", 2).steps[0].units == 1
