"""Plan images: binds, status words, timing, and the chain that signals cannot split."""

from __future__ import annotations

import collections
import ctypes
import itertools
import operator
import signal
import threading

import pytest

from squall.runtime.native import native
from squall.runtime.plan_image import Bind, PlanError, PlanImage, Step, ValueBlock, bits_of


def words(*values):
    return (ctypes.c_int64 * len(values))(*values)


def test_binds_are_value_plus_constant(kernels):
    target = words(0, 0, 0, 0)
    image = PlanImage([Step(kernels["store"], (Bind(0, 8), Bind(1, 5))),
                       Step(kernels["store"], (Bind(0, 16), 77)),
                       Step(kernels["store"], (Bind(0, 24), Bind(-1, -3)))], 2)
    image.run([ctypes.addressof(target), 100])
    assert target[:] == [0, 105, 77, -3]


def test_doubles_travel_as_bits(kernels):
    target = (ctypes.c_double * 2)()
    image = PlanImage([Step(kernels["store"], (Bind(0), Bind(1))),
                       Step(kernels["store"], (Bind(0, 8), bits_of(-0.1)))], 2, layout="qd")
    image.run([ctypes.addressof(target), 2.5])
    assert target[:] == [2.5, -0.1]


def test_steps_run_in_order_and_units_are_bound(kernels):
    results = (ctypes.c_int64 * 8)()
    image = PlanImage([Step(kernels["use_scratch"], (Bind(0), 64), units=Bind(1, 1), scratch=64)], 2)
    image.run([ctypes.addressof(results), 4])
    assert results[:] == [0, 1, 2, 3, 4, 0, 0, 0]
    image.run([ctypes.addressof(results), -5])  # no units: nothing happens
    assert results[:] == [0, 1, 2, 3, 4, 0, 0, 0]


def test_a_plan_of_no_steps():
    assert PlanImage([], 0).run([]) is None


def test_a_status_word_stops_the_plan(kernels):
    status, target = words(0), words(0)
    steps = [Step(kernels["store"], (Bind(1), 1), stop_on_status=True),
             Step(kernels["store"], (Bind(0), 9), stop_on_status=True, name="take"),
             Step(kernels["store"], (Bind(1), 2))]
    image = PlanImage(steps, 2, status=Bind(0))
    with pytest.raises(PlanError, match="step 1 \\(take\\)") as caught:
        image.run([ctypes.addressof(status), ctypes.addressof(target)])
    assert (caught.value.step, caught.value.name) == (1, "take")
    assert target[0] == 1


def test_a_step_may_go_on_despite_its_status(kernels):
    status, target = words(0), words(0)
    image = PlanImage([Step(kernels["store"], (Bind(0), 9)), Step(kernels["store"], (Bind(1), 2))], 2, status=Bind(0))
    image.run([ctypes.addressof(status), ctypes.addressof(target)])
    assert target[0] == 2


def test_what_cannot_be_laid_out_is_refused(kernels):
    kernel = kernels["store"]
    with pytest.raises(ValueError, match="value 3 of 2"):
        PlanImage([Step(kernel, (Bind(3),))], 2)
    with pytest.raises(ValueError, match="status word"):
        PlanImage([Step(kernel, (), stop_on_status=True)], 0)
    with pytest.raises(ValueError, match="grain 0"):
        PlanImage([Step(kernel, (), grain=0)], 0)
    with pytest.raises(ValueError, match="kernel 0x0"):
        PlanImage([Step(0, ())], 0)


class Slot:
    __slots__ = ("value",)


def test_the_chain_sets_slots_after_the_native_call(kernels):
    target, slot = words(0), Slot()
    image = PlanImage([Step(kernels["store"], (Bind(0), 5))], 1)
    block = ValueBlock(1)
    block.fill(ctypes.addressof(target))
    chain = [image.call(block), (Slot.value.__set__, slot, "done")]
    collections.deque(itertools.starmap(operator.call, chain), maxlen=0)
    assert target[0] == 5
    assert slot.value == "done"


def test_the_chain_stops_when_the_plan_does(kernels):
    status, slot = words(0), Slot()
    image = PlanImage([Step(kernels["store"], (Bind(0), 5), stop_on_status=True)], 1, status=Bind(0))
    block = ValueBlock(1)
    block.fill(ctypes.addressof(status))
    chain = [image.call(block), (Slot.value.__set__, slot, "done")]
    with pytest.raises(IndexError):
        collections.deque(itertools.starmap(operator.call, chain), maxlen=0)
    assert not hasattr(slot, "value")


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupt_during_the_native_call_does_not_split_the_chain(kernels):
    """The signal arrives while kernels run; its handler may only raise after the slot is set."""
    results, slot = (ctypes.c_double * 3000)(), Slot()
    image = PlanImage([Step(kernels["work"], (Bind(0),), units=3000)] * 100, 1)
    block = ValueBlock(1)
    block.fill(ctypes.addressof(results))
    chain = [image.call(block), (Slot.value.__set__, slot, "done")]
    main = threading.main_thread().ident

    class Interrupted(Exception):
        pass

    def handler(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.01, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    try:
        timer.start()
        with pytest.raises(Interrupted):
            collections.deque(itertools.starmap(operator.call, chain), maxlen=0)
            timer.join()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert slot.value == "done"


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 65, 1000, 4099])
def test_copy_and_fill(size):
    source = bytes(range(256)) * 17
    target = (ctypes.c_uint8 * 5000)()
    origin = (ctypes.c_uint8 * len(source)).from_buffer_copy(source)
    units = -(-size // 64)
    copy = Step(native().copy, (Bind(0), Bind(1), 64, size), units=units)
    PlanImage([copy], 2).run([ctypes.addressof(target), ctypes.addressof(origin)])
    assert bytes(target[:size]) == source[:size]
    assert not any(target[size:])
    fill = Step(native().fill, (Bind(0), 0x0807060504030201, 64, size), units=units)
    PlanImage([fill], 1).run([ctypes.addressof(target)])
    assert bytes(target[:size]) == (bytes(range(1, 9)) * 700)[:size]
    assert not any(target[size:])
