"""The native loop and choice on plans made by hand."""

import ctypes

import pytest

from squall.runtime.native import native
from squall.runtime.native_nested import CHAIN, NO_LIMIT, STEP, TURNS
from squall.runtime.plan_image import Bind, PlanImage, Step


def words(*values):
    return (ctypes.c_int64 * len(values))(*values)


def at(block, index=0):
    return ctypes.addressof(block) + 8 * index


def run_loop(image, count, width, records, carried=(), going=-1):
    """Run the loop as the one step of a plan; the status word is left in the result."""
    status = words(0, 0)
    head = (image.address, count, width, len(carried) // 4, going, ctypes.addressof(status))
    outer = PlanImage([Step(native().loop, (*head, *records, *carried), stop_on_status=True)], 1, Bind(0))
    try:
        outer.run([ctypes.addressof(status)])
    finally:
        run_loop.status = status[0]


def copying():
    """A plan that copies eight bytes from its word 0 to its word 1."""
    return PlanImage([Step(native().copy, (Bind(1), Bind(0), 8, 8))], 2)


def test_words_step_through_memory():
    source, target = words(1, 2, 3, 4), words(0, 0, 0, 0)
    run_loop(copying(), 4, 2, (STEP, at(source), 8, STEP, at(target, 3), -8))
    assert target[:] == [4, 3, 2, 1]


def test_chains_read_what_was_written_last():
    first, target = words(7), words(0, 0, 0)
    run_loop(copying(), 3, 2, (CHAIN, at(first), 1, STEP, at(target), 8))
    assert target[:] == [7, 7, 7]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_carry_ends_where_its_result_is(count):
    first, even, odd, final = words(7), words(0), words(0), words(0)
    carried = (at(final), at(first), 1, 8)
    run_loop(copying(), count, 2, (CHAIN, at(first), 1, TURNS, at(even), at(odd)), carried)
    assert final[0] == 7 and (even[0], odd[0]) == (7 * (count > 0), 7 * (count > 1))


def test_a_carry_that_stays_is_copied_before_the_first_step():
    first, final = words(7), words(0)
    run_loop(copying(), 0, 2, (STEP, at(final), 0, STEP, at(final), 0), (at(final), at(first), -1, 8))
    assert final[0] == 7


def test_the_loop_goes_on_while_the_bool_it_carries_holds():
    """Step i writes the bool that lies at place i, the fourth of which does not hold."""
    flags, begin, target = words(1, 1, 0, 1), words(1), words(*[-1] * 6)
    image = PlanImage([Step(native().copy, (Bind(2), Bind(1), 8, 8))], 3)
    run_loop(image, NO_LIMIT, 3, (CHAIN, at(begin), 2, STEP, at(flags), 8, STEP, at(target), 8), going=0)
    assert target[:] == [1, 1, 0, -1, -1, -1]


@pytest.mark.parametrize(("holds", "expected"), [(1, [5, 0]), (0, [0, 5])])
def test_one_of_two_plans_runs(holds, expected):
    source, target, status, flag = words(5), words(0, 0), words(0, 0), words(holds)
    images = [PlanImage([Step(native().copy, (Bind(w), Bind(0), 8, 8))], 3) for w in (1, 2)]
    head = (ctypes.addressof(flag), images[0].address, images[1].address, ctypes.addressof(status))
    values = (at(source), at(target), at(target, 1))
    PlanImage([Step(native().choose, (*head, *values), stop_on_status=True)], 1, Bind(0)).run(
        [ctypes.addressof(status)]
    )
    assert target[:] == expected
