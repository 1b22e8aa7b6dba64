"""The plan runner notes what it runs while a recording is on, and only then."""

from __future__ import annotations

import ctypes
import os
import threading
import time

import pytest

from squall.base.errors import SquallError
from squall.runtime import recording
from squall.runtime.plan_image import Bind, PlanImage, Step
from squall.runtime.recording import Recording


def image_of(kernels, *units):
    return PlanImage([Step(kernels["work"], (Bind(0),), units=n, name=f"work {n}") for n in units], 1)


@pytest.fixture
def results():
    return (ctypes.c_double * 3000)()


def test_steps_and_whole_runs_are_noted(kernels, results):
    image = image_of(kernels, 3000, 1)
    before = time.perf_counter()
    taken = Recording()
    image.run([ctypes.addressof(results)])
    image.run([ctypes.addressof(results)])
    taken.stop()
    after = time.perf_counter()
    assert [(event.image, event.step) for event in taken.events] == [(image, -1), (image, 0), (image, 1)] * 2
    whole, long, short = taken.events[:3]
    assert before - 1e-3 < whole.begin <= long.begin <= long.end <= short.begin <= short.end <= whole.end < after + 1e-3
    assert {event.thread for event in taken.events} == {threading.get_ident()}


def test_more_work_takes_longer(kernels, results):
    image, taken = image_of(kernels, 3000, 1), Recording()
    for _ in range(20):  # another process may run in the middle of a step, but not of each
        image.run([ctypes.addressof(results)])
    taken.stop()
    long, short = (min(event.end - event.begin for event in taken.events if event.step == step) for step in (0, 1))
    assert long > 100 * short


def test_nothing_is_noted_before_or_after(kernels, results):
    image = image_of(kernels, 5)
    image.run([ctypes.addressof(results)])
    taken = Recording()
    taken.stop()
    image.run([ctypes.addressof(results)])
    assert taken.events == []


def test_images_that_are_made_and_go_while_it_runs(kernels, results):
    taken = Recording()
    for _ in range(3):
        image_of(kernels, 7).run([ctypes.addressof(results)])
    taken.stop()
    assert [event.image.steps[0].name for event in taken.events if event.step == 0] == ["work 7"] * 3


def test_one_at_a_time():
    taken = Recording()
    try:
        with pytest.raises(SquallError, match="already"):
            Recording()
    finally:
        taken.stop()
    taken.stop()
    Recording().stop()


def test_what_there_is_no_room_for_is_counted(kernels, results, monkeypatch):
    monkeypatch.setattr(recording, "CAPACITY", 4)
    image = image_of(kernels, 2, 2)
    taken = Recording()
    for _ in range(3):
        image.run([ctypes.addressof(results)])
    taken.stop()
    assert (len(taken.events), taken.lost) == (4, 5)


def test_threads_are_told_apart(kernels):
    image, threads = image_of(kernels, 3), []

    def work():
        results = (ctypes.c_double * 3)()
        threads.append(threading.get_ident())
        for _ in range(50):
            image.run([ctypes.addressof(results)])

    taken = Recording()
    together = [threading.Thread(target=work) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    taken.stop()
    seen = [event.thread for event in taken.events if event.step == 0]
    assert set(seen) == set(threads)
    assert len(seen) == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_records_nothing_and_may_begin_anew(kernels, results):
    image = image_of(kernels, 3)
    taken = Recording()
    child = os.fork()
    if child == 0:
        image.run([ctypes.addressof(results)])
        own = Recording()
        image.run([ctypes.addressof(results)])
        own.stop()
        os._exit(len(own.events))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    taken.stop()
    assert taken.events == []
