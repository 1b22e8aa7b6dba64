"""Code made in a hurry: it serves at once, better code takes its place, and the disk only sees the better."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from squall.base import config
from squall.runtime import doors, host, hurry, linking, machine_code, python_native
from squall.runtime.machine_code import CodeTarget
from squall.runtime.objects import ObjectStore, Request

pytestmark = pytest.mark.skipif(not doors.possible(), reason="doors are for x86-64 Linux")
TEXT = "define i64 @answer() {{\n  ret i64 {}\n}}\n"
FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64)


def request(number: int) -> Request:
    return Request(TEXT.format(number), ("answer",))


def store() -> ObjectStore:
    return ObjectStore("hurried", CodeTarget(host.facts().triple))


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list:
    """The pieces of work that would be done later, which here wait for the test."""
    pieces: list = []
    monkeypatch.setattr(hurry, "later", pieces.append)
    return pieces


@pytest.fixture
def efforts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """(level, whether beside the program) of each compilation of what this file asks for."""
    seen: list[tuple[int, bool]] = []
    real = machine_code.compile_objects

    def compile_objects(units, target, passes=(), level=2, *rest, later=False, **named):
        if all("answer" in unit.names for unit in units):
            seen.append((level, later))
        return real(units, target, passes, level, *rest, later=later, **named)

    monkeypatch.setattr(machine_code, "compile_objects", compile_objects)
    return seen


def test_many_doors_lead_where_they_are_turned() -> None:
    target = CodeTarget(host.facts().triple)
    image = linking.link(machine_code.compile_objects(
        [machine_code.Unit(TEXT.format(n), {"answer": f"answer{n}"}) for n in range(600)], target))
    assert image is not None
    at = linking.load(image)
    made = doors.Doors(at)
    calls = {n: FUNCTION(made.addresses[f"answer{n}"]) for n in range(600)}
    assert [calls[n]() for n in range(600)] == list(range(600))
    made.turn({"answer3": at["answer500"], "answer599": at["answer0"]})
    assert (calls[3](), calls[599](), calls[500](), calls[4]()) == (500, 0, 500, 4)


def test_hurried_code_serves_until_better_code_is_there(cache_folder: Path, held: list, efforts: list) -> None:
    mine = store()
    found = mine.functions({"a": request(1), "b": request(2)}, hurried=("a", "c"))
    assert sorted(efforts) == [(0, False), (2, False)]
    before = dict(found["a"])
    calls = [FUNCTION(found[key]["answer"]) for key in "ab"]
    assert [call() for call in calls] == [1, 2] and len(held) == 1
    words = found["a"].batch.doors._words
    quick = {name: word.value for name, word in words.items()}
    held.pop()()
    assert efforts[2:] == [(2, True)]
    assert [word.value for word in words.values()] == list(found["a"].values()) != list(quick.values())
    assert [call() for call in calls] == [1, 2]
    after = mine.functions({"a": request(1)}, hurried=("a",))["a"]
    assert after != before and FUNCTION(after["answer"])() == 1
    assert efforts[3:] == []


def test_later_processes_find_the_better_code(cache_folder: Path, held: list, efforts: list) -> None:
    store().functions({"a": request(11)}, hurried=("a",))
    other = store()
    other.functions({"a": request(11)}, hurried=("a",))
    assert (other.compiled, other.from_disk) == (1, 0)  # nothing made in a hurry is kept
    held[0]()
    third = store()
    assert FUNCTION(third.functions({"a": request(11)})["a"]["answer"])() == 11
    assert (third.compiled, third.from_disk) == (0, 1)


def test_who_is_in_no_hurry_gets_better_code_at_once(cache_folder: Path, held: list, efforts: list) -> None:
    mine = store()
    door = mine.functions({"a": request(21)}, hurried=("a",))["a"]["answer"]
    better = mine.functions({"a": request(21)})["a"]["answer"]
    assert better != door and FUNCTION(better)() == FUNCTION(door)() == 21
    held[0]()  # already done: nothing is compiled again
    assert efforts == [(0, False), (2, True)]


def test_the_thread_makes_code_better_while_others_compile(cache_folder: Path) -> None:
    mine = store()
    found = mine.functions({n: request(n) for n in range(30, 34)}, hurried=range(30, 34))
    for n in range(34, 40):
        assert FUNCTION(mine.functions({n: request(n)})[n]["answer"])() == n
    end = time.monotonic() + 120
    while any(hasattr(found[n], "batch") and not found[n].batch.done for n in found) and time.monotonic() < end:
        time.sleep(0.01)
    assert all(found[n].batch.done and FUNCTION(found[n]["answer"])() == n for n in found)


def test_pieces_that_fail_leave_the_rest_alone() -> None:
    done = []
    hurry.later(lambda: 1 / 0)
    hurry.later(lambda: done.append(threading.get_ident()))
    assert hurry.finish(120) and len(done) == 1


def test_pieces_wait_while_somebody_waits_for_code() -> None:
    done = []
    with hurry.awaited():
        hurry.later(lambda: done.append(1))
        time.sleep(4 * hurry.MOMENT)
        assert not done
    end = time.monotonic() + 120
    while not done and time.monotonic() < end:
        time.sleep(0.01)
    assert done


def test_the_thread_ends_with_its_work_and_another_does_later_work() -> None:
    for turn in range(3):
        done: list[threading.Thread] = []
        hurry.later(lambda done=done: done.append(threading.current_thread()))
        end = time.monotonic() + 120
        while (not done or done[0].is_alive()) and time.monotonic() < end:
            time.sleep(0.01)
        assert done and not done[0].is_alive(), turn


TRAIN = """
import threading, time
import squall as sq
from squall.base import trace
from squall.engine import realize
layer, x = sq.nn.Linear(8, 2), sq.rand(4, 8)
optimizer = sq.optim.SGD(layer.parameters(), lr=1e-3)
def train():
    optimizer.zero_grad()
    layer(x).square().mean().backward()
    optimizer.step()
for _ in range(20):
    train()
count = trace.counters.get
while count("kernels made better", 0) < count("kernels hurried", 0) or threading.active_count() > 1:
    time.sleep(0.01)
train()
real, seen = realize.signature, []
realize.signature = lambda roots: seen.append(roots) or real(roots)
for _ in range(10):
    train()
print(len(seen), count("kernels hurried", 0) > 0)
"""


@pytest.mark.skipif(not python_native.supported(), reason="native code does not know this interpreter")
def test_the_process_that_made_its_kernels_trains_by_native_code_as_later_ones_do(tmp_path: Path) -> None:
    assert process(tmp_path, program=TRAIN) == ["0", "True"]


PROGRAM = """
import squall as sq
from squall.base import trace
x = sq.tensor([1.0, 2.0])
print((x.sin() * x + 3.0).sum().item().hex())
print(trace.counters.get("kernels hurried", 0), trace.counters.get("kernels compiled", 0))
"""


def process(folder: Path, hurried: str = "1", program: str = PROGRAM) -> list[str]:
    environment = os.environ | {"SQUALL_CACHE_DIR": str(folder), "SQUALL_HURRY": hurried}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment,
                         timeout=600)
    assert run.returncode == 0 and not run.stderr, run.stderr
    return run.stdout.split()


def test_a_short_process_keeps_its_kernels(tmp_path: Path) -> None:
    assert config.KNOBS["hurry"].default  # what users get
    value, hurried, compiled = process(tmp_path / "a")
    assert int(hurried) >= 1 and int(compiled) >= int(hurried)
    assert process(tmp_path / "a") == [value, "0", "0"]
    assert process(tmp_path / "b", "0")[:2] == [value, "0"]


FORKED = """
import os
import squall as sq
x = sq.ones(8)
total = 0.0
for n in range(6):
    f = [sq.sin, sq.cos, sq.exp, sq.tanh, sq.sqrt, sq.abs][n]
    total += f(x).sum().item()
    if os.fork() == 0:
        (f(f(x)) + 1.0).sum().item()
        os._exit(0)
    assert os.wait()[1] == 0
print(total > 0)
"""


def test_forks_in_the_middle(tmp_path: Path) -> None:
    assert process(tmp_path, program=FORKED) == ["True"]
