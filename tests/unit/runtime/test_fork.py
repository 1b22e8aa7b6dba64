"""After a fork the child has a pool, locks and memory of its own."""

from __future__ import annotations

import ctypes
import os
import threading
import time

import pytest

from squall.runtime import fork, host, machine_code, native, objects
from squall.runtime.memory import host_pool
from squall.runtime.plan_image import Bind, PlanImage, Step

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
              pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]


def in_fork(function, seconds=120.0):
    """Run a function in a forked child; True when it returned True."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if function() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def compute(kernels):
    results = (ctypes.c_int64 * 300)()
    step = Step(kernels["use_scratch"], (Bind(0), 256), units=300, scratch=256)
    PlanImage([step] * 20, 1).run([ctypes.addressof(results)])
    return results[:] == [20 * i for i in range(300)]


def test_the_child_computes_with_its_own_workers(kernels):
    native.set_num_threads(3)
    assert compute(kernels)

    def child():
        state = native.native().state()
        return (state["workers"] == 0 and state["threads"] == 3 and compute(kernels)
                and native.native().state()["workers"] == 2)

    assert in_fork(child)
    assert in_fork(lambda: in_fork(lambda: compute(kernels)))
    assert compute(kernels)


def test_a_fork_while_another_thread_computes(kernels):
    native.set_num_threads(2)
    stop = threading.Event()

    def loop():
        while not stop.is_set():
            compute(kernels)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        assert all(in_fork(lambda: compute(kernels)) for _ in range(20))
    finally:
        stop.set()
        thread.join()


def test_locks_held_by_another_thread_are_free_in_the_child():
    held, release = threading.Event(), threading.Event()
    store = objects.ObjectStore("fork test", machine_code.CodeTarget(host.facts().triple))
    pool = host_pool()

    def hold():
        with machine_code._lock, store.lock, pool._lock:
            held.set()
            release.wait(240)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(120)
    request = objects.Request("define i64 @f() {\n  ret i64 3\n}\n", ("f",))
    try:
        assert in_fork(lambda: store.functions({1: request})[1]["f"] > 0 and pool.allocate(100).nbytes == 100)
    finally:
        release.set()
        thread.join()


def test_hooks_run_in_the_child_only():
    seen = []
    fork.in_child(lambda: seen.append(os.getpid()))
    try:
        assert in_fork(lambda: seen == [os.getpid()])
        assert not seen
    finally:
        fork._hooks.pop()
