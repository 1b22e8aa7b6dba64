"""Bound plans follow the number of threads: what was compiled before `set_num_threads` is split for the new count."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import squall as sq
from squall.engine import resplit
from tests.unit.frontend.native_code import load


@pytest.fixture(autouse=True)
def threads():
    before = sq.get_num_threads()
    sq.set_num_threads(1)
    yield
    sq.set_num_threads(before)


def units(binding):
    """How many units the contractions of a binding have."""
    return [step.units for image in binding.segments for step in image.steps]


@pytest.mark.parametrize("freeze", [False, True])
def test_a_compiled_function_uses_the_new_count(freeze):
    load()
    model = sq.nn.Linear(512, 700).requires_grad_(False)
    x = sq.randn(300, 512)
    f = sq.compile(model, freeze=freeze)
    known = [id(b) for b in resplit._bindings]
    wanted = [f(x).numpy() for _ in range(12)][-1]
    made = [b for b in resplit._bindings if id(b) not in known]
    alone = [units(b) for b in made]
    bound = f.bind(x)
    bound()
    images = [image.address for b in made for image in b.segments]
    sq.set_num_threads(3)
    shared = [units(b) for b in made]
    assert all(max(more) > max(few) for few, more in zip(alone, shared, strict=True)), (alone, shared)
    assert not set(images) & {image.address for b in made for image in b.segments}
    followers = {place for b in made for f in b.split.followers for place in f._words}
    assert followers & {image.address for b in made for image in b.segments}, "native code is told"
    assert not followers & set(images), "and nobody runs the old ones"
    for _ in range(3):
        np.testing.assert_array_equal(f(x).numpy(), wanted)
        np.testing.assert_array_equal(bound(), wanted)
    sq.set_num_threads(1)
    assert images == [image.address for b in made for image in b.segments], "what was made before is found again"


def test_recorded_plans_and_loops_follow():
    load()
    w = sq.randn(400, 400)

    def chain(x):
        return sq.scan(lambda carry, _: (sq.tanh(carry @ w), carry.sum()), x, sq.arange(3).float())[0]

    f = sq.compile(chain)
    x = sq.randn(200, 400)
    wanted = [f(x).numpy() for _ in range(4)][-1]
    plain = [(x @ w).sum().item() for _ in range(12)]
    sq.set_num_threads(4)
    assert np.array_equal(f(x).numpy(), wanted)
    assert (x @ w).sum().item() == plain[0]


def test_runs_in_flight_take_no_harm():
    load()
    model = sq.nn.Sequential(sq.nn.Linear(256, 300), sq.nn.ReLU(), sq.nn.Linear(300, 200)).requires_grad_(False)
    x, f, wrong = sq.randn(200, 256), sq.compile(model), []
    wanted = [f(x).numpy() for _ in range(12)][-1]

    def work():
        for _ in range(150):
            if not np.array_equal(f(x).numpy(), wanted):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    count = 1
    while any(worker.is_alive() for worker in workers):
        count = count % 3 + 1
        sq.set_num_threads(count)
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_environment_is_seen():
    program = "import squall as sq; (sq.ones(3) + 1).sum().item(); print(sq.get_num_threads())"
    for count in (1, 3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=True,
                              env={**os.environ, "SQUALL_NUM_THREADS": str(count)})
        assert done.stdout.strip() == str(count)


def test_references_to_bindings_are_weak_and_pruned():
    class Held:
        pass

    kept, weak = [Held() for _ in range(3)], resplit.Weak()
    for held in kept:
        weak.add(held)
    for _ in range(500):
        weak.add(Held())
    assert list(weak) == kept and len(weak._references) <= 16
    assert all(r.__callback__ is None for r in weak._references), "no Python runs when one goes"
    weak.clear()
    assert list(weak) == []
