"""A B that was packed beforehand: the same bits however its panels are walked and fetched, and each read once."""

import numpy as np
import pytest

from squall.compiler import nest
from squall.compiler.nest import arguments as words
from squall.compiler.nest.choose import FETCHED_ROWS, choose
from squall.compiler.nest.convolution import Convolution, forward
from squall.compiler.nest.spec import Contraction, Dimension
from tests.unit.compiler.nest_support import Problem, host_isas, interpreted

ISA = host_isas()[0]
SETS = [*host_isas(), *(nest.ISAS[isa].other for isa in host_isas() if nest.ISAS[isa].other)]


def windows(rows, columns, taps, channels):
    """Rows of overlapping windows: k runs evenly for `channels` elements, then jumps."""
    return Contraction("f32", "f32", (
        Dimension("m", rows, channels, 0, columns), Dimension("n", columns, 0, taps * channels, 1),
        Dimension("k", taps, 3 * channels, channels), Dimension("k", channels, 1, 1)), "f32")  # fmt: skip


def check(contraction, choice, split=0):
    problem = Problem(contraction, 4)
    wanted = problem.run(nest.plan(contraction, ISA))
    got = problem.run(nest.assemble(contraction, nest.ISAS[choice.isa or ISA], choice, True), split=split)
    np.testing.assert_array_equal(got.view("i4"), wanted.view("i4"))
    depth = problem.groups("a_stride", "k")[0].size
    assert (abs(got - problem.reference()) <= problem.magnitude() * 2**-24 * (depth + 4)).all()


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("rows, columns, taps, channels", [
    (49, 130, 3, 512), (17, 64, 2, 800), (12, 200, 1, 769), (50, 48, 9, 64), (1, 70, 3, 300), (13, 7, 2, 16),
])  # fmt: skip
def test_bits_are_those_of_an_operand_packed_in_the_call(isa, rows, columns, taps, channels):
    contraction, target = windows(rows, columns, taps, channels), nest.ISAS[isa]
    choice = choose(contraction, target, 2, prepacked=True)._replace(isa=isa)
    width = nest.ISAS[isa].columns("f32")
    for parts in (1, 2):  # of a unit that has all columns
        wide = -(-columns // (parts * width)) * width
        whole = choice._replace(block_rows=rows, block_columns=parts * wide, part_columns=wide, units=1)
        check(contraction, whole)
    one = choice._replace(block_rows=rows, block_columns=columns + width, part_columns=width, units=1)
    check(contraction, one)
    if not choice.isa:
        check(contraction, choice, split=3)


def test_steps_of_k_are_found_block_by_block():
    """By the python backend, instruction by instruction: the first block of k lies in one run, the next does not."""
    contraction = windows(17, 12, 2, 800)
    problem = Problem(contraction, 5)
    plan = nest.plan(contraction, "neon", pack_first=True)
    assert plan.choice.block_depth < 800 < 2 * plan.choice.block_depth
    got = problem.run(plan, runner=interpreted)
    np.testing.assert_array_equal(got.view("i4"), problem.run(nest.plan(contraction, ISA)).view("i4"))


@pytest.mark.parametrize("threads", [1, 2])
def test_few_rows_read_each_weight_once(threads):
    """ResNet's last layers: 49 rows against 9 MB. A block of rows more would read them again."""
    contraction = forward(Convolution(1, 512, 512, (9, 9), (3, 3), (1, 1), (1, 1), channels_last=True)).contraction
    choice = choose(contraction, nest.ISAS["avx512"], threads, prepacked=True)
    assert choice.b_mode == words.PREPACKED and choice.block_rows >= 49
    assert choice.part_columns == nest.ISAS[choice.isa or "avx512"].columns("f32")
    assert choice.units >= threads and choice.units % threads == 0


def test_widths_of_64_get_tiles_of_their_width():
    small, large = nest.matmul(8, 64, 64), nest.matmul(FETCHED_ROWS * 4, 64, 576)
    assert choose(small, nest.ISAS["avx512"], prepacked=True).isa == ""
    assert choose(large, nest.ISAS["avx512"], prepacked=True).isa == "avx512 by 64"
    assert choose(nest.matmul(FETCHED_ROWS * 4, 144, 576), nest.ISAS["avx512"], prepacked=True).isa == ""
