"""Threads that share tensors and compiled functions: nobody reads memory another run is overwriting."""

import random
import threading
import time

import pytest

import squall as sq
from squall.engine.bind import Binding

N = 4096


class Paused:
    """Stops the runs of one thread where memory has been overwritten and the new values are not in place yet."""

    def __init__(self, monkeypatch):
        self.overwritten, self.go_on, self.thread = threading.Event(), threading.Event(), None
        prepare = Binding.prepare

        def prepared(binding, *arguments):
            calls, buffers = prepare(binding, *arguments)
            return (*calls, (self.pause,)), buffers

        monkeypatch.setattr(Binding, "prepare", prepared)

    def pause(self):
        if threading.get_ident() == self.thread and not self.overwritten.is_set():
            self.overwritten.set()
            self.go_on.wait(0.3)  # who has to wait for this run does not say `go_on`

    def run(self, work, read):
        """Run `work` in a thread, and what `read` gives while it is stopped."""

        def first():
            self.thread = threading.get_ident()
            work()

        thread = threading.Thread(target=first)
        thread.start()
        assert self.overwritten.wait(60)
        found = read()
        self.go_on.set()
        thread.join()
        return found


def uncompiled(w, m):
    def work():
        w.add_(1)
        sq.flush()

    return work


def compiled(w, m):
    @sq.compile
    def step():
        m.mul_(0).sub_(1)
        w.sub_(m)

    step()
    return step


def read_uncompiled(w):
    return lambda: (w * 2).numpy()


def read_compiled(w):
    function = sq.compile(lambda: w * 2)
    function()
    return lambda: function().numpy()


def read_memory(w):
    return lambda: (2 * w.detach().clone().numpy()).astype("float32")


@pytest.mark.parametrize("reading", [read_uncompiled, read_compiled, read_memory])
@pytest.mark.parametrize("writing", [uncompiled, compiled])
def test_who_reads_during_an_update_sees_one_whole_value(writing, reading, monkeypatch):
    w, m = sq.zeros(N), sq.zeros(N)
    w.add_(1)
    sq.flush()
    work, read = writing(w, m), reading(w)
    before = w.tolist()[0]
    pointer = w.node.buffer.pointer
    values = set(Paused(monkeypatch).run(work, read).tolist())
    assert values in ({2 * before}, {2 * (before + 1)}), values
    assert set(w.tolist()) == {before + 1}
    assert w.node.buffer.pointer == pointer, "the update is made in place, beside another thread too"


@pytest.mark.parametrize("writing", [uncompiled, compiled])
def test_many_readers_at_random_moments(writing):
    w, m = sq.zeros(1 << 20), sq.zeros(1 << 20)
    sq.flush()
    work, reads = writing(w, m), [read_uncompiled(w), read_compiled(w)]
    barrier, wrong = threading.Barrier(3), []

    def write():
        for _ in range(15):
            barrier.wait()
            time.sleep(random.random() * 0.001)
            work()

    def look(read):
        for _ in range(15):
            barrier.wait()
            for _ in range(3):
                values = read()
                if values.min() != values.max() or values[0] % 2:
                    wrong.append((values.min(), values.max()))

    threads = [threading.Thread(target=write), *(threading.Thread(target=look, args=(r,)) for r in reads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_two_writers_of_one_tensor_take_turns():
    w, m = sq.zeros(N), sq.zeros(N)
    sq.flush()
    steps = [compiled(w, m), compiled(w, sq.zeros(N))]
    barrier = threading.Barrier(2)
    start = w.tolist()[0]

    def write(step):
        barrier.wait()
        for _ in range(50):
            step()

    threads = [threading.Thread(target=write, args=(s,)) for s in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = set(w.tolist())
    assert len(values) == 1 and start < values.pop() <= start + 100


def test_one_compiled_function_in_two_threads():
    @sq.compile
    def pick(x, j):
        return (x * 2)[j] + 1

    x = sq.arange(100.0)
    barrier, found, errors = threading.Barrier(2), {}, {}

    def call(name, indices):
        barrier.wait()
        for i in indices:
            try:
                found[name, i] = pick(x, sq.tensor([0, i])).tolist()
            except IndexError as error:
                errors[name, i] = str(error)

    threads = [threading.Thread(target=call, args=a) for a in (("good", range(100)), ("bad", range(50, 150)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(errors) == {("bad", i) for i in range(100, 150)}
    assert all(f"holds {i} at [1]" in text for (_, i), text in errors.items())
    assert all(values == [1.0, 2.0 * i + 1] for (_, i), values in found.items()) and len(found) == 150


def test_index_errors_of_uncompiled_code_go_to_the_thread_that_met_them():
    x = sq.arange(100.0)
    sq.flush()
    barrier, found, errors = threading.Barrier(2), [], []

    def call(indices):
        barrier.wait()
        for i in indices:
            try:
                found.append((i, x[sq.tensor([i]) * 1].item()))
            except IndexError as error:
                errors.append((i, str(error)))

    threads = [threading.Thread(target=call, args=(r,)) for r in (range(100), range(100, 200))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(i, float(i)) for i in range(100)]
    assert sorted(i for i, _ in errors) == list(range(100, 200))
    assert all(f"index {i} is out of range" in text for i, text in errors)
