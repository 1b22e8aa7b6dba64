"""Many threads, forks, signals, and kernel caches in every state: nothing crashes, nothing is wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn
from tests.meta import tree

ROOT = Path(__file__).resolve().parents[2]

# Trains a little and prints what came out; kernels are compiled, or found in the folder SQUALL_CACHE_DIR names.
TRAIN = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import squall as sq
    import squall.nn.functional as F
    from squall import nn
    sq.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = sq.optim.Adam(model.parameters(), lr=1e-2)
    data, target = sq.rand(8, 12), sq.arange(8) % 4
    losses = []
    for _ in range(3):
        loss = F.cross_entropy(model(data), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
from squall.backends.cpu.build import statistics
print(json.dumps([losses, [str(w.message) for w in caught], statistics()["compiled"]]))
"""


def train(folder, before=""):
    """Losses, warnings and kernels compiled of a fresh process whose cache is a folder."""
    return json.loads(tree.run_python(before + TRAIN, SQUALL_CACHE_DIR=str(folder), SQUALL_CACHE="1"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The losses, with an empty cache; and the folder as it is afterwards."""
    folder = tmp_path_factory.mktemp("kernels")
    losses, warned, compiled = train(folder)
    assert warned == [] and compiled > 0
    assert train(folder) == [losses, [], 0]
    return losses, folder


# ---------------------------------------------------------------- threads
def make_step(seed):
    generator = sq.Generator().manual_seed(seed)
    weight = sq.randn(24, 10, generator=generator).requires_grad_()
    optimizer = sq.optim.SGD([weight], lr=0.1, momentum=0.9)

    @sq.compile
    def step(x, target):
        loss = F.cross_entropy(x @ weight, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = sq.randn(32, 24, generator=generator)
    return lambda: step(x, sq.arange(32) % 10).item()


def test_eight_threads_call_compiled_functions():
    shared = sq.compile(lambda x, y: (x @ y).softmax(-1).sum(0))
    inputs = [(sq.rand(20 + i, 30) + 0, sq.rand(30, 40) + 0) for i in range(8)]
    want = [([make_step(i)() for _ in range(1)], shared(*inputs[i]).tolist()) for i in range(8)]
    wrong, barrier = [], threading.Barrier(8)

    def work(i):
        try:
            step = make_step(i)
            barrier.wait()
            for turn in range(30):
                loss = step()
                if turn == 0 and [loss] != want[i][0]:
                    wrong.append((i, "loss", loss))
                if shared(*inputs[i]).tolist() != want[i][1]:
                    wrong.append((i, turn))
                if turn % 10 == 5:
                    sq.set_num_threads(1 + turn % 3)
        except BaseException as error:
            wrong.append((i, repr(error)))

    before = sq.get_num_threads()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    sq.set_num_threads(before)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


# ---------------------------------------------------------------- fork
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_fork_then_compute(threads):
    before = sq.get_num_threads()
    sq.set_num_threads(threads)
    step, x = make_step(3), sq.rand(300, 300) + 0
    first, product = step(), (x @ x).sum().item()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            right = (x @ x).sum().item() == product and sq.get_num_threads() == threads
            news = (sq.rand(7, 11) * 3 + x[0, 0]).exp().sum().item() > 0  # a plan the parent does not have
            code = 0 if right and news and step() < first else 2
        finally:
            os._exit(code)
    mine = step()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert mine < first and (x @ x).sum().item() == product
    sq.set_num_threads(before)


# ---------------------------------------------------------------- signals
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_a_signal_handler_that_computes_itself():
    step, beside = make_step(5), make_step(6)
    alone = [make_step(6)() for _ in range(1)]
    seen, inside = [], []

    def handler(number, frame):
        if inside or len(seen) == 40:
            return
        inside.append(True)
        with sq.enable_grad():  # it may interrupt an optimizer's step
            seen.append((beside(), (sq.ones(5) * len(seen)).sum().item()))
        inside.clear()

    # Captured by the second step: what a function that is being traced meets in a signal handler would be recorded.
    losses = [step(), step(), step()]
    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.003)
    try:
        end = time.monotonic() + 300
        while len(seen) < 40 and time.monotonic() < end:
            losses.append(step())
            (sq.rand(50, 50) @ sq.rand(50, 50)).sum().item()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    again = make_step(5)
    assert losses == [again() for _ in losses]
    assert len(seen) == 40 and seen[0][0] == alone[0]
    assert [total for _, total in seen] == [5.0 * i for i in range(40)]


# ---------------------------------------------------------------- the folder of kernels
REFUSING = """
import os
real = os.open
def refusing(path, flags, *rest, **named):
    if flags & os.O_CREAT and {folder!r} in str(path):
        raise OSError({code}, os.strerror({code}), str(path))
    return real(path, flags, *rest, **named)
os.open = refusing
"""
FILLING = """
import os, io
real = os.fdopen
class Full(io.FileIO):
    def write(self, data):
        super().write(bytes(data)[:100])
        raise OSError(28, os.strerror(28))
os.fdopen = lambda handle, mode: Full(handle, mode) if mode == "wb" else real(handle, mode)
"""


@pytest.mark.parametrize("code", [30, 28])  # read-only file system, no space
def test_a_folder_that_refuses_files(tmp_path, expected, code):
    losses, warned, compiled = train(tmp_path, REFUSING.format(folder=str(tmp_path), code=code))
    assert losses == expected[0] and compiled > 0
    assert len(warned) == 1 and "cannot be kept" in warned[0]


def test_a_disk_that_becomes_full(tmp_path, expected):
    losses, warned, compiled = train(tmp_path, FILLING)
    assert losses == expected[0] and compiled > 0
    assert len(warned) == 1 and "No space left" in warned[0]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []  # nothing half-written


def test_a_read_only_folder_with_everything_in_it(tmp_path, expected):
    before = REFUSING.format(folder=str(expected[1]), code=30)
    assert train(expected[1], before) == [expected[0], [], 0]


def test_four_processes_share_a_cold_folder(tmp_path, expected):
    environment = {**os.environ, "SQUALL_CACHE_DIR": str(tmp_path), "SQUALL_CACHE": "1"}
    command = [sys.executable, "-c", TRAIN]
    running = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
               for _ in range(4)]  # fmt: skip
    told = [json.loads(process.communicate(timeout=600)[0]) for process in running]
    assert [(losses, warned) for losses, warned, _ in told] == [(expected[0], [])] * 4
    assert train(tmp_path) == [expected[0], [], 0]


HOW = ("truncated", "empty", "flipped", "longer", "foreign")


def damaged(data, how, chance):
    at = chance.randrange(len(data))
    return {"truncated": data[:at], "empty": b"", "flipped": data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1:],
            "longer": data + b"\0" * 9, "foreign": b"#!/bin/sh\nexit 1\n"}[how]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1])
def test_damaged_files_are_made_anew(tmp_path, expected, seed):
    chance = random.Random(seed)
    files = [p for p in sorted(expected[1].rglob("*")) if p.is_file()]
    for source, how in zip(files, chance.sample(HOW * len(files), len(files))):
        target = tmp_path / source.relative_to(expected[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(damaged(source.read_bytes(), how, chance))
    losses, warned, compiled = train(tmp_path)
    assert (losses, warned) == (expected[0], []) and compiled > 0
    assert train(tmp_path) == [expected[0], [], 0]


def test_whole_files_under_other_names(tmp_path, expected):
    files = [p for p in sorted(expected[1].rglob("*")) if p.is_file()]
    for source, other in zip(files, [*files[1:], files[0]]):
        target = tmp_path / source.relative_to(expected[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(other.read_bytes())
    losses, warned, _ = train(tmp_path)
    assert (losses, warned) == (expected[0], [])


def test_folders_where_files_should_be(tmp_path, expected):
    for source in expected[1].rglob("*"):
        if source.is_file():
            (tmp_path / source.relative_to(expected[1])).mkdir(parents=True)
    losses, warned, compiled = train(tmp_path)
    assert losses == expected[0] and compiled > 0 and len(warned) <= 1


# ---------------------------------------------------------------- the number of threads
def test_the_environment_says_how_many_threads():
    code = "import squall as sq; print(sq.get_num_threads(), (sq.rand(200, 200) @ sq.rand(200, 200)).sum().item() > 0, "
    code += "sq.get_num_threads())"
    assert tree.run_python(code, SQUALL_NUM_THREADS="3").split() == ["3", "True", "3"]
    assert tree.run_python(code, SQUALL_NUM_THREADS="1").split() == ["1", "True", "1"]


def test_threads_change_between_calls_and_bits_do_not():
    before = sq.get_num_threads()
    x, step = sq.rand(257, 300) + 0, sq.compile(lambda x: (x @ x.T).softmax(0).sum(1).cumsum(0))
    seen = []
    for count in (1, 2, 7, 1, 4):
        sq.set_num_threads(count)
        seen.append(step(x).tolist())
    sq.set_num_threads(before)
    assert all(values == seen[0] for values in seen)


def test_a_model_used_from_a_fork_and_threads_at_once():
    """A server that forks workers which serve from threads."""
    model = sq.compile(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)).eval())
    x = sq.rand(5, 8) + 0
    want = model(x).tolist()
    children, right = [], []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            threads = [threading.Thread(target=lambda: right.append(model(x).tolist() == want)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(600)
            os._exit(0 if right == [True] * 4 else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
