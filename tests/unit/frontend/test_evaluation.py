"""The flush: what it evaluates, how often, what it forgets when it fails, and per thread."""

import os
import threading

import pytest

import squall as sq
from squall.engine import realize
from squall.frontend.state import local
from tests.unit.frontend.counting import evaluated, live_nodes


def test_reading_the_loss_before_backward_runs_the_forward_once():
    w = sq.ones(3, 3, requires_grad=True)
    x = sq.ones(2, 3)
    sq.flush()
    with evaluated() as counts:
        loss = ((x @ w).tanh().exp() * 2).sum()
        loss.item()
        forward = dict(counts)
        loss.backward()
        w.grad.tolist()
    assert forward["tanh"] == forward["exp"] == forward["matmul"] == 1
    assert counts["tanh"] == counts["exp"] == 1


def test_history_that_began_with_a_write_is_evaluated_with_the_rest():
    w = sq.ones(3, requires_grad=True)
    out = sq.zeros(3)
    sq.flush()
    with evaluated() as counts:
        out.copy_((w * 2).exp())
        out.mul_(w)
        sq.flush()
        out.sum().backward()
        w.grad.tolist()
    assert counts["exp"] == 1


def test_one_read_evaluates_everything_alive_at_once_and_nothing_dead():
    x = sq.ones(3)
    sq.flush()
    with evaluated() as counts:
        a, b, dead = x + 1, x * 2, x.exp()
        del dead
        assert a.tolist() == [2, 2, 2]
        assert b.node.buffer is not None
    assert counts["add"] == counts["mul"] == 1 and counts["exp"] == 0


def test_values_nobody_reads_are_not_kept():
    sq.flush()
    before = live_nodes()
    x = sq.ones(4)
    for _ in range(200):
        x * 2 + 1
    assert live_nodes() <= before + 3


def test_a_flush_that_fails_leaves_everything_as_it_was():
    x = sq.arange(4.0)
    y = x * 2
    bad = x[sq.tensor([1, 7]) * 1]  # known positions would be refused at once
    with pytest.raises(IndexError, match="index 7 is out of range"):
        sq.flush()
    assert y.node.buffer is None and bad.node.buffer is None
    del bad
    assert y.tolist() == [0, 2, 4, 6] and not local.state.flushing


def test_a_value_that_cannot_be_computed_does_not_keep_others_from_being_read():
    x = sq.zeros(3)
    x.add_(1)
    bad = x[sq.tensor([5]) * 1]
    worse = bad * 2
    other = x * 3
    for _ in range(2):
        with pytest.raises(IndexError):
            bad.tolist()
    x.add_(1)
    assert x.tolist() == [2, 2, 2] and other.tolist() == [3, 3, 3]
    with pytest.raises(IndexError):
        worse.tolist()
    assert (x + 1).tolist() == [3, 3, 3]


def test_eager_mode_evaluates_every_op():
    sq.set_eager(True)
    try:
        x = sq.ones(3) * 2
        assert x.node.buffer is not None
        x.add_(1)
        assert x.node.buffer is not None and x.tolist() == [3, 3, 3]
    finally:
        sq.set_eager(False)
    assert (x * 2).node.buffer is None


def test_much_new_memory_forces_a_flush(monkeypatch):
    x = sq.zeros(1)
    with sq.options(pending_megabytes=1):
        total = x * 1
        for _ in range(20):
            total = total + sq.tensor([0.0] * 65536)[:1]
        assert local.state.retained < 2 << 20
    assert total.item() == 0


def plans_made(program):
    """How many different plans a program asked for (their keys, so that every backend counts alike)."""
    from squall.engine.keys import signature

    keys = set()
    original = realize.evaluate

    def evaluate(roots):
        pending = list({id(r): r for r in roots if r.buffer is None}.values())
        if pending:
            keys.add(signature(pending).key)
        del pending
        original(roots)

    realize.evaluate = evaluate
    try:
        program()
    finally:
        realize.evaluate = original
    return len(keys)


def chain(steps, period, read_every=0):
    """A loop of `period` ops a step on one value."""
    x = sq.ones(2)
    w = sq.zeros(2)
    for i in range(steps):
        for k in range(period):
            x = x * 1.0 if k % 2 else x + 0.0
        w[0] = 1.0
        if read_every and i % read_every == read_every - 1:
            x.sum().item()
    return x


@pytest.fixture
def small_flushes():
    """As in a new thread, no loop heard yet, and flushes forced at 512 pending values: the tests are quicker."""
    state = local.state
    sq.flush()
    with sq.options(pending_nodes=512):
        state.rhythm, state.anchor, state.limit = None, (None, 0), 512
        yield
    state.rhythm, state.anchor, state.limit = None, (None, 0), 4096


@pytest.mark.parametrize(("period", "read_every"), [(1, 0), (2, 0), (7, 0), (30, 0), (3, 10), (5, 100)])
@pytest.mark.usefixtures("small_flushes")
def test_a_loop_makes_at_most_three_plans(period, read_every):
    assert plans_made(lambda: chain(6000 // period, period, read_every)) <= 3


@pytest.mark.usefixtures("small_flushes")
def test_a_second_loop_with_another_period_is_heard_too():
    chain(2000, 3)
    sq.flush()
    assert plans_made(lambda: chain(2000, 5)) <= 4


@pytest.mark.parametrize("steps", [513, 514, 540, 600])
@pytest.mark.usefixtures("small_flushes")
def test_values_read_while_a_loop_is_listened_to(steps):
    """Each reading flushes: counts heard before it and after it are of different graphs."""
    for value in range(80):
        x = sq.full((2,), float(value))
        for _ in range(steps):
            x = x * 1.0
        assert x.sum().item() == 2.0 * value
        assert local.state.limit >= 511


def test_threads_have_pending_values_and_modes_of_their_own():
    results, x = {}, sq.ones(3)
    barrier = threading.Barrier(2)

    def work(name, factor):
        barrier.wait()
        with sq.set_grad_enabled(name == "a"):
            y = x
            for _ in range(300):
                y = y * factor + 1
            results[name] = (y.sum().item(), sq.is_grad_enabled())

    threads = [threading.Thread(target=work, args=("a", 0.5)), threading.Thread(target=work, args=("b", 0.25))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results["a"] == (pytest.approx(6.0), True) and results["b"] == (pytest.approx(4.0), False)
    assert sq.is_grad_enabled()


def test_threads_read_and_write_the_same_tensors():
    shared, errors = sq.zeros(8), []
    pending = shared + 1

    def work(row):
        try:
            for _ in range(50):
                assert pending.sum().item() == 8
                shared[row] = shared[row] + 1
                shared[row].item()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(row,)) for row in (1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_works_with_what_was_pending():
    x = sq.ones(4) * 3
    y = x + 1
    y.sum().item()
    z = y * 2
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            w = sq.ones(2, requires_grad=True)
            (w * z[:2]).sum().backward()
            os.write(writer, f"{z.sum().item()} {w.grad.tolist()}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == "32.0 [8.0, 8.0]"
    os.waitpid(child, 0)
    assert z.sum().item() == 32


def test_beside_memory_that_may_be_overwritten_a_held_value_is_left_alone():
    x, private = sq.arange(100.0), sq.ones(100)
    sq.flush()
    result = x + private
    del private
    sq.flush()
    assert x.tolist() == [float(i) for i in range(100)]
    assert result.tolist() == [float(i) + 1 for i in range(100)]
