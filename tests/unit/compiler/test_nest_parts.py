"""Float32 contractions on matrix tiles, in parts: close to float64, special numbers as the operands say, and the same
bits however they run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.compiler import nest
from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import Choice
from squall.compiler.nest.plan import assemble_tiles
from squall.compiler.nest.spec import Contraction, Dimension
from squall.compiler.nest.tile_choose import choose_tiles, fits_parts, part_depth, role_for
from squall.compiler.nest.tile_driver import PARTS
from squall.runtime import matrix_tiles
from tests.unit.compiler.nest_support import Problem, interpreted
from tests.unit.compiler.test_nest import bits, check_close, contractions

pytestmark = pytest.mark.skipif(not matrix_tiles.granted(), reason="this processor has no matrix tiles")
ISA = nest.ISAS["avx512"]
SPECIAL = [np.inf, -np.inf, np.nan, np.finfo("f4").max, np.float32(3.4e38), np.float32(1e28)]


def plan(contraction, threads=1, swapped=None, pack_first=False):
    """A plan in parts, also of contractions that are too small to be worth it."""
    choice = choose_tiles(contraction, ISA, threads, False, swapped, PARTS, pack_first)
    return assemble_tiles(contraction, ISA, choice, PARTS, pack_first)


def small_blocks(choice: Choice, rows: int, columns: int, part: int) -> Choice:
    """Other units; parts of A are kept where `part` is less than their columns."""
    extent = choice.oriented.extent
    units = extent("batch") * -(-extent("m") // rows) * -(-extent("n") // columns)
    return choice._replace(block_rows=rows, block_columns=columns, part_columns=part, units=units)


@settings(max_examples=60)
@given(contractions(), st.integers(1, 3))
def test_any_strides_match_float64(contraction, threads):
    problem = Problem(contraction)
    check_close(problem, problem.run(plan(contraction, threads)))


def all_ways(problem, draw):
    """The results of a contraction in every orientation, packed beforehand, in small units."""
    contraction = problem.contraction
    for swapped in (False, True):
        choice = choose_tiles(contraction, ISA, 1, False, swapped, PARTS)
        columns, part = draw(st.sampled_from([(32, 32), (64, 64), (64, 32), (96, 32), (4096, 32)]))
        choice = small_blocks(choice, draw(st.sampled_from([32, 64])), columns, part)
        yield problem.run(assemble_tiles(contraction, ISA, choice, PARTS), split=draw(st.integers(1, 5)))
    yield problem.run(plan(contraction, 2, pack_first=True), split=draw(st.integers(1, 4)))


@settings(max_examples=40)
@given(contractions(), st.data())
def test_bits_do_not_depend_on_how(contraction, data):
    problem = Problem(contraction, 1)
    wanted = bits(problem.run(plan(contraction)))
    for got in all_ways(problem, data.draw):
        np.testing.assert_array_equal(bits(got), wanted)


def operands(problem):
    """A and B as (batch, rows, k) and (batch, columns, k)."""
    return (problem.a.gather(*problem.groups("a_stride", "batch", "m", "k")),
            problem.b.gather(*problem.groups("b_stride", "batch", "n", "k")))


def told_by_chains(problem):
    """Which elements parts cannot tell: by the largest sizes of their row and column, as `part_mend` says it."""
    levels = []
    for operand in operands(problem):
        size = abs(operand).max(-1, initial=0)
        exponent = np.where(np.isfinite(size), np.frexp(size)[1] - 1, 1 << 16)
        levels.append(np.where(size == 0, 0, np.where(abs(exponent) > 90, 1 << 16, exponent)))
    return abs(levels[0][:, :, None] + levels[1][:, None, :]) > 90


def dense_bits(problem):
    """The bits of plain matrix products of the same numbers."""
    made = []
    for a, b in zip(*operands(problem), strict=True):
        plain = Problem(nest.matmul(len(a), len(b), a.shape[1], "f32", False, True))
        plain.a.data[:a.size], plain.b.data[:b.size] = a.ravel(), b.ravel()
        made.append(bits(plain.run(plan(plain.contraction, swapped=False)))[0])
    return made


@pytest.mark.parametrize("m", [(37,), (5, 7)])
@pytest.mark.parametrize("k", [((70, 1),), ((3, 50), (28, 1)), ((3, 60), (28, 2)), ((9, 1), (8, 9)), ((2, 3), (40, 7)),
                               ((3, 100), (32, 1)), ((2, 200), (96, 1))])
@pytest.mark.parametrize("beside", [1, 2, 400])
def test_layouts_of_convolutions(m, k, beside):
    """Rows side by side, two apart, far away; steps of k in runs, evenly apart, or neither; on both sides."""
    depth = 1
    for extent, _ in k:
        depth *= extent
    rows = [Dimension("m", extent, beside * apart, 0, 41 * apart)
            for extent, apart in zip(m, (7, 1) if len(m) > 1 else (1,), strict=True)]
    after, steps = depth, []
    for extent, stride in k:
        after //= extent
        steps.append(Dimension("k", extent, stride, after * 41, 0))
    contraction = Contraction("f32", "f32", (*rows, Dimension("n", 41, 0, 1, 1), *steps))
    swapped = [d._replace(kind={"m": "n", "n": "m"}.get(d.kind, d.kind), a_stride=d.b_stride, b_stride=d.a_stride)
               for d in contraction.dims]
    for made in (contraction, contraction._replace(dims=tuple(swapped))):
        problem = Problem(made, 7)
        wanted = dense_bits(problem)
        for exchanged in (False, True):
            np.testing.assert_array_equal(bits(problem.run(plan(made, swapped=exchanged))), wanted)
        np.testing.assert_array_equal(bits(problem.run(plan(made, pack_first=True), split=2)), wanted)


@settings(max_examples=60)
@given(contractions(), st.data())
def test_special_numbers_are_what_the_operands_say(contraction, data):
    """They give what multiply-adds give, and leave every other bit as it is without them."""
    problem, plain = Problem(contraction, 2), Problem(contraction, 2)
    for operand in data.draw(st.sampled_from([("a",), ("b",), ("a", "b")])):
        held = getattr(problem, operand).data
        places = data.draw(st.lists(st.integers(0, held.size - 1), min_size=1, max_size=3))
        held[places] = data.draw(st.sampled_from(SPECIAL))
    clean = plain.run(plan(contraction))
    with np.errstate(all="ignore"):
        touched = told_by_chains(problem)
        chains, got = problem.run(nest.plan(contraction, "avx512")), problem.run(plan(contraction))
    same = [(x == y).all(-1) for x, y in zip(operands(problem), operands(plain), strict=True)]
    untouched = same[0][:, :, None] & same[1][:, None, :]
    np.testing.assert_array_equal(bits(got)[untouched], bits(clean)[untouched])
    if operands(problem)[0].shape[-1] <= 768:  # one chain of multiply-adds there, too
        np.testing.assert_array_equal(got[touched], chains[touched])
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(chains))
    for other in all_ways(problem, data.draw):
        same = np.isnan(got) & np.isnan(other)
        np.testing.assert_array_equal(np.where(same, 0, bits(other)), np.where(same, 0, bits(got)))


def test_any_range_is_as_close_as_multiply_adds():
    """Rows and columns from 1e-44 to 1e38, in every layout: the same classes of numbers, and errors below those of a
    few roundings of the sum of sizes, or of subnormal numbers."""
    chance = np.random.default_rng(8)
    for ta, tb in ((False, False), (False, True), (True, False), (True, True)):
        problem = Problem(nest.matmul(130, 140, 333, "f32", ta, tb), 9)
        for held, sides, turned in ((problem.a, 130, ta), (problem.b, 140, not tb)):
            scales = 10.0 ** chance.uniform(-44, 38, sides)
            matrix = held.data.reshape((333, sides) if turned else (sides, 333))
            with np.errstate(all="ignore"):
                matrix *= (scales if turned else scales[:, None]).astype("f8")
        with np.errstate(all="ignore"):
            a, b = (operand[0].astype("f8") for operand in operands(problem))
            wanted, bound = a @ b.T, abs(a) @ abs(b).T
            got = problem.run(plan(problem.contraction))[0]
            chains = problem.run(nest.plan(problem.contraction, "avx512"))[0]
            assert (np.isnan(got) == np.isnan(chains)).all() and (np.isinf(got) == np.isinf(chains)).all()
            told = np.isfinite(chains)
            assert (abs(got - wanted) <= 2.0**-22 * bound + 333 * 2.0**-149)[told].all()
        assert told.mean() > 0.6 and 0.1 < told_by_chains(problem).mean() < 0.9


def test_only_rows_that_are_small_throughout_are_chains():
    problem, plain = (Problem(nest.matmul(64, 80, 96), 4) for _ in range(2))
    problem.a.data[3 * 96:4 * 96] *= np.float32(2.0**-100)
    problem.a.data[96 + 5], plain.a.data[96 + 5] = 2.0**-130, 0
    got, clean = (p.run(plan(p.contraction))[0] for p in (problem, plain))
    np.testing.assert_array_equal(got[3], problem.run(nest.plan(problem.contraction, "avx512"))[0, 3])
    rest = np.arange(64) != 3
    np.testing.assert_array_equal(bits(got)[rest], bits(clean)[rest])


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("k", [70, 2500])
def test_an_infinity_reaches_one_row_or_column(side, k):
    problem = Problem(nest.matmul(70, 90, k), 3)
    clean = problem.run(plan(problem.contraction))
    at = (37, k - 3) if side == "a" else (5, 41)
    matrix = problem.a.data.reshape(70, k) if side == "a" else problem.b.data.reshape(k, 90)
    matrix[at] = -np.inf
    other = (problem.b.data.reshape(k, 90)[at[1]] if side == "a" else problem.a.data.reshape(70, k)[:, at[0]])
    for pack_first in (False, True):
        got = problem.run(plan(problem.contraction, pack_first=pack_first), split=2)[0]
        met = got[37] if side == "a" else got[:, 41]
        np.testing.assert_array_equal(met, np.where(other > 0, np.float32(-np.inf), np.float32(np.inf)))
        rest = np.ones(got.shape, bool)
        rest[(37, slice(None)) if side == "a" else (slice(None), 41)] = False
        np.testing.assert_array_equal(bits(got)[rest], bits(clean[0])[rest])


@pytest.mark.parametrize("shape, ta, tb", [((33, 40, 70), False, True), ((40, 33, 35), True, False),
                                           ((34, 50, 66), True, True), ((20, 33, 1060), False, False)])
@pytest.mark.parametrize("special", [None, 3.4e38, 1e-40])
def test_the_python_backend_gives_the_same_bits(shape, ta, tb, special):
    problem = Problem(nest.matmul(*shape, "f32", ta, tb), 2)
    if special is not None:
        problem.a.data[17], problem.b.data[40] = np.inf, special
        matrix = problem.a.data.reshape(shape[2], shape[0]).T if ta else problem.a.data.reshape(shape[0], shape[2])
        matrix[7] *= np.float32(1e-30)
    made = plan(problem.contraction)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(bits(problem.run(made)), bits(problem.run(made, interpreted)))


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("m, n, k", [(32, 300, 500), (300, 33, 500), (64, 64, 64), (45, 77, 9000), (257, 130, 259)])
def test_matrix_products_are_closer_than_multiply_adds(m, n, k, ta, tb):
    problem = Problem(nest.matmul(m, n, k, "f32", ta, tb), 5)
    wanted, got = problem.reference(), problem.run(plan(problem.contraction, 2), split=3)
    check_close(problem, got)
    other = problem.run(nest.plan(problem.contraction, "avx512"))
    assert np.sqrt(((got - wanted) ** 2).mean()) < np.sqrt(((other - wanted) ** 2).mean())


@pytest.mark.parametrize("fill", [0.0, -0.0, 1e-44, -1e-40, 2.0**-126, 1e-33, -1e-20])
@pytest.mark.parametrize("other", [1.0, 1e-20, 1e20])
def test_zeros_and_small_numbers(fill, other):
    """What float32 can tell is told; no sum is -0.0."""
    problem = Problem(nest.matmul(40, 50, 70), 4)
    problem.a.data[:] = fill
    problem.b.data *= np.float32(other)
    got = problem.run(plan(problem.contraction))
    assert not np.signbit(got[got == 0]).any()
    np.testing.assert_allclose(got, problem.reference(), rtol=3e-5, atol=1e-43)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_sum_that_underflows_leaves_no_negative_zero(transposed):
    """Of rows and columns whose largest numbers parts can tell: tiles flush such a sum to -0.0."""
    problem = Problem(nest.matmul(40, 50, 64), 4)
    a, b = problem.a.data.reshape(40, 64), problem.b.data.reshape(64, 50)
    a[:], b[:] = 0, 2.0**-63
    a[:, 0], b[0] = 1.0, 0.0
    a[:, 1], a[:, 40] = 1.5 * 2.0**-63, -1.75 * 2.0**-63  # one step of k and another
    assert not told_by_chains(problem).any()
    choice = choose_tiles(problem.contraction, ISA, 1, False, transposed, PARTS)
    got = problem.run(assemble_tiles(problem.contraction, ISA, choice, PARTS))
    assert (got == 0).all() and not np.signbit(got).any()


def test_the_extents_decide():
    def taken(*dims):
        return fits_parts(Contraction("f32", "f32", dims))

    def product(m, n, k):
        return fits_parts(nest.matmul(m, n, k))

    rows, columns, sums = Dimension("m", 64, 640, 0, 64), Dimension("n", 64, 0, 1, 1), Dimension("k", 640, 1, 64, 0)
    assert taken(rows, columns, sums)
    assert taken(Dimension("m", 8, -5, 0, 512), Dimension("m", 8, 0, 0, 64), columns, sums)
    assert taken(Dimension("batch", 2, 0, 0, 4096), rows, columns, sums)
    assert not taken(Dimension("batch", 64, 64, 0, 64), Dimension("m", 1, 1, 0, 1), columns, sums)
    assert not taken(rows._replace(extent=63), columns, sums)
    assert not taken(rows, columns._replace(extent=63), sums)
    assert not taken(rows, columns, sums._replace(extent=63))
    assert not taken(rows._replace(extent=65), columns, sums._replace(extent=65))
    assert [product(m, n, 64) for m, n in ((4096, 16), (4096, 17), (23, 4096), (255, 48))] == [False, True, True, False]
    assert [product(4096, 40, k) for k in (31, 32, 40, 48, 256, 257)] == [False, True, False, False, True, False]
    assert [product(64, 64, k) for k in (64, 128)] == [False, True]
    for m, n in ((95, 3072), (3072, 95)):
        assert not product(m, n, 768)
        assert product(m, n, 200) and product(max(m, 96), max(n, 96), 768)
    for changed in ({"dtype": "f64", "accumulate": "f64"}, {"dtype": "f16"}, {"triangle": "k<=m"}):
        assert not fits_parts(Contraction("f32", "f32", (rows, columns, sums))._replace(**changed))
    contraction = nest.matmul(64, 64, 640)
    assert [role_for(contraction, tiles) for tiles in ("", nest.DOTS, nest.TILES)] == ["", "", PARTS]
    assert nest.plan(contraction, "avx512", tiles=nest.TILES).steps[0].library.role == PARTS


@pytest.mark.parametrize("m", [16, 33, 64, 135])
@pytest.mark.parametrize("n, k", [(17, 32), (23, 64), (64, 64), (64, 40), (33, 200), (200, 96), (300, 1300)])
def test_strips_packed_ahead_give_the_bits_of_those_packed_at_once(m, n, k):
    """Rows that lie along k are packed while others are multiplied, those across it are not. Sizes go along."""
    along, across = Problem(nest.matmul(m, n, k), 11), Problem(nest.matmul(m, n, k, "f32", True), 11)
    chance = np.random.default_rng(12)
    matrix = chance.standard_normal((m, k)).astype("f4") * (10.0 ** chance.integers(-32, 28, (m, 1))).astype("f4")
    matrix[m // 2, k - 1], matrix[m - 1] = np.inf, 0
    along.a.data[:], across.a.data[:] = matrix.reshape(-1), matrix.T.reshape(-1)
    across.b.data[:] = along.b.data
    with np.errstate(all="ignore"):
        wanted = bits(across.run(plan(across.contraction, swapped=False)))
        choice = choose_tiles(along.contraction, ISA, 1, False, False, PARTS)
        for rows in (32, 96, 256):
            made = assemble_tiles(along.contraction, ISA, small_blocks(choice, rows, 4096, 64), PARTS)
            np.testing.assert_array_equal(bits(along.run(made, split=2)), wanted)


def test_blocks_of_k_are_a_matter_of_its_extent():
    assert [part_depth(k) for k in (1, 32, 768, 1024, 1025, 2500)] == [32, 32, 768, 1024, 544, 864]
    contraction = nest.matmul(64, 4000, 2500)
    for threads in (1, 3):
        assert choose_tiles(contraction, ISA, threads, False, None, PARTS).block_depth == 864


def test_parts_of_a_are_kept_where_packing_them_anew_costs_more():
    kept = choose_tiles(nest.matmul(1024, 1024, 1024, "f32", True), ISA, 1, False, False, PARTS)
    assert kept.part_columns < kept.block_columns
    again = choose_tiles(nest.matmul(1024, 1024, 1024), ISA, 1, False, False, PARTS)
    assert again.part_columns == again.block_columns < 1024
    problem = Problem(nest.matmul(70, 300, 2100, "f32", True), 6)
    wanted = problem.run(plan(problem.contraction))
    choice = choose_tiles(problem.contraction, ISA, 1, False, False, PARTS)
    assert choice.a_mode == words.BY_VECTORS
    got = problem.run(assemble_tiles(problem.contraction, ISA, small_blocks(choice, 64, 320, 96), PARTS))
    np.testing.assert_array_equal(bits(got), bits(wanted))


def test_large_weights_are_kept_as_parts_only_where_packing_is_dear():
    """Parts are read from as far as the weights, and are larger."""
    def worth_keeping(*product):
        anew, kept = (choose_tiles(nest.matmul(*product), ISA, 1, False, False, PARTS, given).cycles
                      for given in (False, True))
        return kept < anew

    assert worth_keeping(512, 512, 512, "f32", False, True)
    assert not worth_keeping(128, 768, 3072, "f32", False, True)
    assert worth_keeping(128, 3072, 768)  # along n, rows 12 KB apart
