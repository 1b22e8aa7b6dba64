"""Ctrl-C stops a loop that runs in native code; every tensor is as it was, and the program goes on."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

HEAD = """
import os, signal, sys, threading, time
import numpy as np
import squall as sq
from tests.unit.frontend.native_code import load

load()
ENDLESS = 10**15

def press(after):
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()

def stopped(call):
    began = time.thread_time()  # a machine with other work may let a process wait, and one with many processors not
    try:
        press(0.5)
        call()
    except KeyboardInterrupt:
        assert time.thread_time() - began < 8, "stopped at once"
        return
    raise AssertionError("the loop came to an end")
"""
FLUSHED = """
start, count = sq.ones(5), sq.tensor(0)
kept = start * 1
sq.flush()
for _ in range(3):
    last = sq.while_loop(lambda c: c[0] < ENDLESS, lambda c: (c[0] + 1, c[1] * 1.0), (count + 0, start + 0.0))
    beside = start + 1
    stopped(lambda: last[1].tolist())
    del last  # it is still to be computed, with whatever is asked for next
    assert start.tolist() == kept.tolist() == [1.0] * 5 and count.item() == 0
    assert beside.tolist() == [2.0] * 5
few = sq.while_loop(lambda c: c[0] < 1000, lambda c: (c[0] + 1, c[1] + 1.0), (count, start))
assert few[0].item() == 1000 and few[1].tolist() == [1001.0] * 5
"""
COMPILED = """
limit = sq.tensor(10)
steps, w = sq.zeros(4), sq.ones(4)

@sq.compile
def step(x, limit):
    w.mul_(2.0)
    last = sq.while_loop(lambda c: c[0] < limit, lambda c: (c[0] + 1, c[1] + 1.0), (sq.tensor(0), x))
    steps.add_(1)
    return last[1]

x = sq.zeros(4)
for _ in range(12):
    assert step(x, limit).tolist() == [10.0] * 4
before = (w.tolist(), steps.tolist())
stopped(lambda: step(x, sq.tensor(ENDLESS)))
assert (w.tolist(), steps.tolist()) == before and x.tolist() == [0.0] * 4
assert step(x, limit).tolist() == [10.0] * 4
assert steps.tolist() == [13.0] * 4 and w.tolist() == [2.0**13] * 4
"""
SCANNED = """
w = sq.randn(300, 300) * 0.01

def turn(carry, _):
    return sq.tanh(carry @ w), carry.sum()

f = sq.compile(lambda x, xs: sq.scan(turn, x, xs))
x, many = sq.randn(64, 300), sq.zeros(3_000_000)
stopped(lambda: f(x, many))
assert f(x, sq.zeros(7))[1].shape == (7,)
"""
HANDLED = """
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
last = sq.while_loop(lambda c: c < ENDLESS, lambda c: c + 1, sq.tensor(0))
stopped(lambda: last.item())
assert seen == [signal.SIGUSR1], "other handlers run while the loop goes on"
other = []
worker = threading.Thread(target=lambda: other.append(
    sq.while_loop(lambda c: c < 3_000_000, lambda c: c + 1, sq.tensor(0)).item()))
worker.start()
worker.join()
assert other == [3_000_000], "loops of other threads ask as well"
"""


PROGRAMS = {"flush": FLUSHED, "compiled": COMPILED, "scan": SCANNED, "handlers": HANDLED}


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_stops_a_loop(name):
    done = subprocess.run([sys.executable, "-c", HEAD + PROGRAMS[name]], capture_output=True, text=True, timeout=600,
                          check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr, done.stderr[-3000:]
