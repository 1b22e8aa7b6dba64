"""Processes that end while daemon threads run kernels: quietly, at once, and after what was begun."""

import itertools
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import squall as sq
from squall.runtime import leaving

PROGRAM = """
import sys, threading, time
import squall as sq
layer = sq.nn.Linear(32, 32)
optimizer = sq.optim.Adam(layer.parameters(), lr=1e-3)
x = sq.randn(64, 32)

@sq.compile
def step():
    optimizer.zero_grad()
    loss = (layer(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss

def uncompiled():
    y = sq.randn(200, 200)
    while True:
        (y @ y).sum().item()
        rounds.append(1)

def compiled():
    while True:
        step().item()
        rounds.append(1)

def small():
    y = sq.randn(4, 4)
    while True:
        (y + y).sum().item()
        rounds.append(1)

rounds = []
for _ in range(12):
    (x + x).sum().item()
step().item()
threads = [threading.Thread(target=f, daemon=True) for f in (uncompiled, compiled, small)]
for thread in threads:
    thread.start()
while len(rounds) < 30:
    time.sleep(0.001)
time.sleep(float(sys.argv[1]))
"""
FIRST = """
import atexit
def finish():
    for thread in threads:
        thread.join(120)
    print(sum(t.is_alive() for t in threads), bool((layer.weight == layer.weight).all()))
atexit.register(finish)
"""


def ended(text, *arguments, environment=None):
    command = [sys.executable, "-c", text, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, env=environment)
    assert not done.stderr and done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.parametrize("number", range(10))
def test_a_process_ends_while_daemon_threads_run(number):
    assert ended(PROGRAM, str(number * 0.003)) == ""


def test_what_is_registered_earlier_may_join_the_threads_and_run_itself():
    assert ended(FIRST + PROGRAM, "0") == "0 True\n"


def test_runs_in_flight_are_waited_for_and_none_begins():
    begun, go_on, done = threading.Event(), threading.Event(), []

    @leaving.run
    def slow():
        begun.set()
        go_on.wait(120)
        done.append(len((sq.ones(3) + 1).tolist()))  # a part of what was begun

    def work():
        slow()
        sq.flush()  # nothing is pending
        with pytest.raises(SystemExit):
            sq.ones(2).add(2).tolist()
        done.append("ended")

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(120)
    try:
        assert not leaving.leave(patience=0.05)
        go_on.set()
        assert leaving.leave()
        thread.join(120)
        assert done == [3, "ended"], "the run came to its end, the next did not begin"
        assert (sq.ones(2) + 3).tolist() == [4.0, 4.0], "who leaves goes on"
    finally:
        leaving.stay()


def test_a_process_that_was_stopped_waits_as_long_as_any_other(monkeypatch):
    begun, go_on, looks = threading.Event(), threading.Event(), itertools.count()
    thread = threading.Thread(target=leaving.run(lambda: (begun.set(), go_on.wait(120))))
    thread.start()
    assert begun.wait(120)

    def sleep(seconds):
        if next(looks) == 3:
            go_on.set()
            thread.join(120)

    hours = itertools.count(step=3600.0)
    monkeypatch.setattr(leaving, "time", SimpleNamespace(monotonic=lambda: next(hours), sleep=sleep))
    try:
        assert leaving.leave()
    finally:
        leaving.stay()
        go_on.set()


RECORDED = """
import squall as sq
x = sq.randn(4, 4)
for _ in range(20):
    (x + x).sum().item()
kept = [x + i for i in range(50)]
sq.flush()
"""


def test_nothing_freed_is_read_while_the_interpreter_goes():
    # freed memory is overwritten by the C library where that is glibc; elsewhere this is a process that ends
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "255"}
    assert ended(RECORDED, environment=environment) == ""
