"""The thread pool: same results for any number of threads, callers and ways of waiting."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

import pytest

from squall.runtime import native as native_module
from squall.runtime import plan_image
from squall.runtime.native import Native, get_num_threads, native, set_num_threads
from squall.runtime.native_runner import native_text
from squall.runtime.native_waiting import Platform
from squall.runtime.plan_image import Bind, PlanImage, Step

UNITS = 3000


def expected():
    results = []
    for unit in range(UNITS):
        x = float(unit)
        for _ in range(200):
            x = x * 0.9999999403953552 + 1.0
        results.append(x)
    return results


@pytest.fixture(scope="module")
def answer():
    return expected()


def run_work(kernels, grain=1):
    results = (ctypes.c_double * UNITS)()
    PlanImage([Step(kernels["work"], (Bind(0),), units=UNITS, grain=grain)], 1).run([ctypes.addressof(results)])
    return results[:]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("grain", [1, 7, 1000, 100000])
def test_same_results_for_any_threads_and_grain(kernels, answer, threads, grain):
    set_num_threads(threads)
    assert get_num_threads() == threads
    assert run_work(kernels, grain) == answer


def test_workers_start_only_when_needed_and_take_part(kernels, answer):
    set_num_threads(3)
    before = native().state()["parallel_steps"]
    assert run_work(kernels) == answer
    state = native().state()
    assert state["workers"] >= 2
    assert state["parallel_steps"] == before + 1
    set_num_threads(1)
    run_work(kernels)
    assert native().state()["parallel_steps"] == before + 1


def test_workers_fall_asleep_and_wake(kernels, answer):
    set_num_threads(2)
    run_work(kernels)
    deadline = time.monotonic() + 60
    while native().state()["asleep"] < 1 and time.monotonic() < deadline:
        time.sleep(0.002)
    assert native().state()["asleep"] >= 1
    assert run_work(kernels) == answer


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux's affinity")
def test_workers_are_never_left_pinned(kernels):
    set_num_threads(len(os.sched_getaffinity(0)))
    for _ in range(50):
        run_work(kernels)
        time.sleep(0.0015)
    allowed, deadline = os.sched_getaffinity(0), time.monotonic() + 60
    while any(mask != allowed for mask in masks()) and time.monotonic() < deadline:
        time.sleep(0.01)  # a worker narrows its own mask for a moment, which is long where it does not get to run
    assert all(mask == allowed for mask in masks())


def masks():
    """On which processors each thread of this process may run."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            found.append(os.sched_getaffinity(int(task)))
        except ProcessLookupError:  # it has ended since
            pass
    return found


def test_many_short_steps_in_a_row(kernels):
    set_num_threads(3)
    results = (ctypes.c_int64 * 64)()
    steps = [Step(kernels["use_scratch"], (Bind(0), 64), units=64, scratch=64)] * 500
    PlanImage(steps, 1).run([ctypes.addressof(results)])
    assert results[:] == [500 * i for i in range(64)]


def test_two_python_threads_at_once(kernels, answer):
    set_num_threads(2)
    wrong, stop = [], time.monotonic() + 1.0

    def loop():
        while time.monotonic() < stop:
            if run_work(kernels) != answer:
                wrong.append(1)

    threads = [threading.Thread(target=loop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_changing_threads_while_running(kernels, answer):
    stop, wrong = threading.Event(), []

    def loop():
        while not stop.is_set():
            if run_work(kernels) != answer:
                wrong.append(1)

    runner = threading.Thread(target=loop)
    runner.start()
    for i in range(200):
        set_num_threads(1 + i % 4)
        time.sleep(0.001)
    stop.set()
    runner.join()
    assert not wrong


def test_scratch_grows_and_is_aligned(kernels):
    set_num_threads(3)
    for scratch in (64, 5000, 1 << 20, 64):
        results = (ctypes.c_int64 * 200)()
        step = Step(kernels["use_scratch"], (Bind(0), Bind(1)), units=200, scratch=scratch)
        PlanImage([step], 2).run([ctypes.addressof(results), scratch])
        assert results[:] == list(range(200))


def test_impossible_scratch_is_a_memory_error(kernels):
    results = (ctypes.c_int64 * 4)()
    image = PlanImage([Step(kernels["use_scratch"], (Bind(0), 64), units=4, scratch=1 << 60)], 1)
    with pytest.raises(MemoryError, match=str(1 << 60)):
        image.run([ctypes.addressof(results)])
    assert results[:] == [0, 0, 0, 0]


@pytest.mark.parametrize("count", [0, -1, 5000])
def test_bad_thread_counts(count):
    with pytest.raises(ValueError, match=str(count)):
        set_num_threads(count)


@pytest.mark.skipif(os.name != "posix", reason="needs pthread")
@pytest.mark.parametrize("waiting", ["condition", "none"])
def test_other_ways_of_waiting(kernels, answer, monkeypatch, waiting):
    host = native_module.host_platform()
    other = Native(host._replace(waiting=waiting))
    other.set_threads(3)
    other.set_spin(1e-6)
    assert other.state()["threads"] == (1 if waiting == "none" else 3)
    monkeypatch.setattr(plan_image, "native", lambda: other)
    for _ in range(20):
        assert run_work(kernels) == answer
        time.sleep(0.001)
    assert other.state()["workers"] == (0 if waiting == "none" else 2)
    other.set_threads(1)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")
def test_signals_reach_python_while_workers_exist(kernels):
    set_num_threads(3)
    run_work(kernels)
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(threading.current_thread()))
    try:
        os.kill(os.getpid(), signal.SIGALRM)
        deadline = time.monotonic() + 60
        while not seen and time.monotonic() < deadline:
            time.sleep(0.001)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == [threading.main_thread()]


@pytest.mark.parametrize("platform", [
    Platform("linux", "x86_64", "futex"), Platform("linux", "aarch64", "futex"),
    Platform("darwin", "aarch64", "condition"), Platform("windows", "x86_64", "none")])
def test_text_of_every_platform_is_valid(platform):
    import llvmlite.binding as llvm
    module = llvm.parse_assembly(native_text(platform))
    module.verify()
    assert not module.get_function("squall_run").is_declaration


def test_text_for_an_unknown_machine_is_refused():
    with pytest.raises(ValueError, match="m68k"):
        native_text(Platform("linux", "m68k", "futex"))
