"""Ctrl-C at any moment leaves every tensor as it was before or after an operation, and squall usable."""

import _thread
import os
import random
import signal
import threading
import time

import numpy as np
import pytest

import squall as sq
from squall.frontend.state import local

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")


came: list[int] = []


def interrupted(work, seconds):
    """Run until a KeyboardInterrupt has come after about so long."""
    came.clear()
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
        while not came:  # one that came inside of a finalizer is not raised
            work()
    except KeyboardInterrupt:
        pass
    except BaseException:
        came.append(0)  # what is wrong with `work` is told by this, and the alarm still to come does not end the run
        raise


@pytest.fixture(autouse=True)
def alarm():
    def interrupt(number, frame):
        if not came:
            came.append(number)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Counters:
    """Tensors that every step adds one to, in different ways; each must stay a constant of whole numbers."""

    def __init__(self):
        self.plain = sq.zeros(64)
        self.viewed = sq.zeros(8, 8)
        self.array = np.zeros(16, "float32")
        self.shared = sq.from_numpy(self.array)
        self.masked = sq.zeros(32)
        self.all = {"plain": self.plain, "viewed": self.viewed, "shared": self.shared, "masked": self.masked}
        self.versions = dict.fromkeys(self.all, 0)

    def step(self):
        self.plain.add_(1)
        self.viewed.T.reshape(64).add_(1)
        self.shared.add_(1)
        self.masked[self.masked > -1] = self.masked[0] + 1
        if random.random() < 0.3:
            self.plain.sum().item()

    def check(self):
        assert not local.state.flushing
        for name, tensor in self.all.items():
            values = tensor.detach().clone().reshape(-1).tolist()
            assert len(set(values)) == 1, f"{name}: half written"
            assert tensor._version >= self.versions[name]
            self.versions[name] = tensor._version
            assert name == "viewed" or tensor._version == values[0], f"{name}: version and value apart"
        assert (self.array == self.array[0]).all() and self.array[0] == self.shared[0].item()


def test_in_place_updates_are_whole():
    random.seed(1)
    counters = Counters()
    counters.step()
    counters.check()
    for _ in range(150):
        interrupted(counters.step, random.random() * 0.004)
        counters.check()
    assert counters.plain[0].item() > 150


def test_history_and_value_change_together():
    """A gradient taken after an interrupt belongs to the value that is there."""
    random.seed(2)
    w = sq.tensor([2.0], requires_grad=True)

    def powers():
        x = w * 1
        state["x"] = x
        for _ in range(20):
            x.mul_(w)

    state = {}
    powers()
    for _ in range(100):
        interrupted(powers, random.random() * 0.002)
        x = state["x"]
        (g,) = sq.autograd.grad(x.sum(), w, retain_graph=True)
        exponent = round(np.log2(x.item()))
        assert x.item() == 2.0**exponent
        assert g.item() == exponent * 2.0 ** (exponent - 1)


def test_training_goes_on_after_interrupts():
    random.seed(3)
    w = sq.zeros(4, requires_grad=True)
    x, y = sq.ones(4), 3.0

    def step():
        loss = ((w * x).sum() - y) ** 2
        loss.backward()
        with sq.no_grad():
            w.sub_(w.grad * 0.05)
            w.grad = None
        loss.item()

    step()
    for _ in range(60):
        interrupted(step, random.random() * 0.005)
        assert len(set(w.tolist())) == 1 and np.isfinite(w.tolist()).all()
        sq.set_grad_enabled(True)  # the one place nothing can guard: the first instruction of no_grad's __exit__
    for _ in range(50):
        step()
    assert (w * x).sum().item() == pytest.approx(3.0, abs=1e-3)


def test_an_interrupt_sent_by_another_thread():
    counter, seen = sq.zeros(8), 0
    for _ in range(100):  # one that came inside of a finalizer is not raised
        if seen > 10:
            break
        stop = time.monotonic() + 1.0
        timer = threading.Timer(random.random() * 0.01, _thread.interrupt_main)
        try:
            timer.start()
            while timer.is_alive() or time.monotonic() < stop:
                counter.add_(1)
                counter.sum().item()
        except KeyboardInterrupt:
            seen += 1
        timer.join()
        assert len(set(counter.tolist())) == 1 and counter[0].item() == counter._version
    assert seen > 10


def test_the_pool_survives_a_fork_after_an_interrupt():
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    counters = Counters()
    interrupted(counters.step, 0.002)
    child = os.fork()
    if child == 0:
        try:
            counters.step()
            counters.check()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    counters.check()


class Interrupting:
    """Stands in for a function that a library step calls: raises at the given call."""

    def __init__(self, function, number):
        self.function, self.left = function, number

    def __call__(self, *args):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.function(*args)


def sorted_steps():
    """Programs with a library call among in-place updates: before them, behind them, and of something else."""
    counter, other = sq.zeros(300), sq.arange(300.0)
    sq.flush()

    def behind():
        counter.add_(1)
        return counter.sort()[0]

    def before():
        counter.add_(other.sort()[0] * 0 + 1)

    def beside():
        counter.add_(1)
        return (other * 2).sort()[0]

    def between():
        values = other.sort()[0]
        counter.add_(1)
        return (counter + values).sort()[1]

    return counter, (behind, before, beside, between)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("compiled", [False, True], ids=["uncompiled", "compiled"])
def test_an_interrupt_in_a_library_call_leaves_updates_whole(number, compiled, monkeypatch):
    from squall.engine import host

    counter, steps = sorted_steps()
    step = sq.compile(steps[number]) if compiled else steps[number]
    pointers = set()
    for _ in range(3):
        kept = step()
        sq.flush()
        pointers.add(counter.node.buffer.pointer)
    assert set(counter.tolist()) == {3.0}
    for call in range(1, 9):
        before = counter.tolist()[0]
        monkeypatch.setattr(host, "array_at", Interrupting(host.array_at, call))
        try:
            kept = step()
            sq.flush()
        except KeyboardInterrupt:
            pass
        monkeypatch.undo()
        sq.flush()
        values = set(counter.tolist())
        assert len(values) == 1 and values <= {before, before + 1}, f"interrupted at call {call}: {values}"
    del kept
    if steps[number].__name__ in ("before", "beside"):
        assert len(pointers) == 1, "an update behind the library call is still made in place"


def test_library_calls_at_random_moments():
    random.seed(5)
    counter, steps = sorted_steps()
    for step in steps:
        step()
        sq.flush()

    def work():
        kept = random.choice(steps)()
        sq.flush()
        del kept

    for _ in range(60):
        interrupted(work, random.random() * 0.004)
        values = set(counter.tolist())
        assert len(values) == 1, values
