"""Worker processes: the same batches in the same order, errors as they were raised, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import squall as sq
from squall.data import DataLoader, TensorDataset, pool, transport
from tests.unit.data import loading

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes share memory through sockets of POSIX")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not os.path.isdir("/proc/self"):
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=120.0):
    limit = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def children():
    import multiprocessing

    return multiprocessing.active_children()


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    assert not [child for child in children() if child.name.startswith("squall-loader")]


def plain(batches):
    return [(b["x"].tolist(), b["name"]) for b in batches]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_give_what_one_process_gives_in_the_same_order(method):
    data = loading.Rows()
    loader = DataLoader(data, 3, num_workers=2, multiprocessing_context=method)
    batches = list(loader)
    assert plain(batches) == plain(DataLoader(data, 3)) and len(batches) == 7
    assert {w for b in batches for w in b["worker"].tolist()} == {0, 1}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("prefetch", [1, 4])
def test_any_number_of_workers_and_of_batches_ahead(workers, prefetch):
    data = TensorDataset(sq.arange(23.0), sq.arange(23))
    options = {"num_workers": workers, "prefetch_factor": prefetch}
    got = [(x.tolist(), y.tolist()) for x, y in DataLoader(data, 4, **options)]
    assert got == [(x.tolist(), y.tolist()) for x, y in DataLoader(data, 4)]
    assert [x.item() for x, _ in DataLoader(data, None, num_workers=workers)] == list(range(23))
    assert len(list(DataLoader(data, 4, drop_last=True, **options))) == 5
    assert list(DataLoader(TensorDataset(sq.zeros(0, 2)), 4, **options)) == []


@pytest.mark.parametrize("dtype", ["bool", "int16", "bfloat16", "float16", "float64"])
def test_arrays_share_memory_and_keep_their_bits(dtype):
    data = loading.Rows(4, width=20_000, dtype=dtype)
    first, second = DataLoader(data, 2, num_workers=1)
    assert first["x"].dtype is getattr(sq, dtype) and tuple(first["x"].shape) == (2, 20_000)
    want = [[float(v)] for v in sq.tensor([2, 3]).to(getattr(sq, dtype)).tolist()]
    assert second["x"][:, :1].double().tolist() == want
    first["x"].zero_()
    assert not first["x"].double().sum().item() and second["x"][:, -1:].double().tolist() == want


def test_random_numbers_repeat_by_seed_and_not_by_worker():
    def numbers(workers, **options):
        sq.manual_seed(5)
        loader = DataLoader(loading.Rows(12), 2, num_workers=workers, **options)
        return [np.concatenate([b["draws"].numpy() for b in loader]) for _ in range(2)]

    first, second = numbers(2)
    assert len(np.unique(first)) == first.size and not np.intersect1d(first, second).size
    for workers, options in ((2, {}), (1, {}), (3, {"prefetch_factor": 1}), (2, {"persistent_workers": True})):
        for mine, theirs in zip(numbers(workers, **options), (first, second), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_going_on_in_the_middle_of_an_epoch_draws_the_same():
    def loader():
        return DataLoader(loading.Rows(12), 2, shuffle=True, num_workers=2, generator=sq.Generator().manual_seed(3))

    whole = [(b["x"].tolist(), b["draws"].tolist()) for b in loader()]
    started = loader()
    batches = iter(started)
    next(batches), next(batches)
    state = started.state_dict()
    batches.close()
    again = loader()
    again.load_state_dict(state)
    assert [(b["x"].tolist(), b["draws"].tolist()) for b in again] == whole[2:]


def test_workers_stay_when_told_and_start_anew_otherwise():
    def pids(loader):
        return {pid for batch in loader for pid in batch.tolist()}

    loader = DataLoader(loading.Who(), 2, num_workers=2, persistent_workers=True)
    first = pids(loader)
    assert len(first) == 2 and pids(loader) == first
    batches = iter(loader)
    next(batches)
    batches.close()  # in the middle of an epoch
    assert pids(loader) == first and all(map(alive, first))
    del loader, batches
    assert gone(first)
    loader = DataLoader(loading.Who(), 2, num_workers=2)
    first = pids(loader)
    assert gone(first, 0.0) and not pids(loader) & first


def test_two_passes_at_once():
    loader = DataLoader(loading.Rows(6), 2, num_workers=1, persistent_workers=True)
    pairs = [(a["x"][:, 0].tolist(), b["x"][:, 0].tolist()) for a, b in zip(loader, loader, strict=True)]
    assert pairs == [([0, 1], [0, 1]), ([2, 3], [2, 3]), ([4, 5], [4, 5])]
    loader._pool.close()


def test_iterable_data_sets_are_shared_by_their_workers():
    def numbers(data, **options):
        return [b.tolist() for b in DataLoader(data, 3, **options)]

    assert numbers(loading.Stream(7)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert numbers(loading.Stream(7), num_workers=2) == [[0, 2, 4], [1, 3, 5], [6]]
    assert numbers(loading.Stream(7), num_workers=2, drop_last=True) == [[0, 2, 4], [1, 3, 5]]
    twice = numbers(loading.Stream(4, shared=False), num_workers=2)
    assert sorted(n for batch in twice for n in batch) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert numbers(loading.Stream(1), num_workers=3) == [[0]]
    loader = DataLoader(loading.Stream(7), 3, num_workers=2, persistent_workers=True)
    assert [b.tolist() for b in loader] == [b.tolist() for b in loader] and len(loader) == 3
    with pytest.raises(ValueError, match="IterableDataset: expected no shuffle"):
        DataLoader(loading.Stream(7), shuffle=True)
    del loader


def test_a_function_at_the_start_of_each_worker():
    loader = DataLoader(loading.Noted(8), 2, num_workers=2, worker_init_fn=loading.note)
    assert [b.tolist() for b in loader] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert "STARTED" not in os.environ


@pytest.mark.parametrize("error", [ValueError("bad"), KeyError("name"), FileNotFoundError(2, "no file", "x.png")])
def test_an_exception_comes_with_its_type_and_the_workers_traceback(error):
    loader = DataLoader(loading.Broken(error), 2, num_workers=2)
    got = []
    with pytest.raises(type(error)) as caught:
        for batch in loader:
            got.append(batch["x"][0, 0].item())
    assert got == [0, 2] and caught.value.args == error.args
    (note,) = caught.value.__notes__
    assert "in DataLoader worker 0" in note and "in __getitem__" in note and "loading.py" in note


def test_exceptions_that_cannot_be_brought_here_keep_their_text():
    with pytest.raises(pool.WorkerError, match=r"(?s)LocalError in DataLoader worker 0.*one and two"):
        list(DataLoader(loading.Broken(loading.LocalError("one", "two"), 0), 2, num_workers=1))
    with pytest.raises(Exception, match="pickle"):
        list(DataLoader(loading.Broken("unpicklable", 0), None, num_workers=1))


@pytest.mark.parametrize(("how", "words"), [("exit", "exit code 3"), ("kill", "killed by signal SIGKILL")])
def test_a_worker_that_ends_is_reported(how, words):
    with pytest.raises(RuntimeError, match=rf"DataLoader worker 0 \(pid \d+\) exited unexpectedly: {words}"):
        list(DataLoader(loading.Broken(how), 2, num_workers=2))


def test_a_worker_that_hangs_is_given_up():
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.5 seconds"):
        list(DataLoader(loading.Broken("hang", 0), 2, num_workers=2, timeout=0.5))
    assert time.monotonic() - started < 90  # it hangs for 100


def test_a_data_set_that_cannot_be_pickled_says_so_when_spawned():
    data = loading.Rows()
    data.function = lambda: 0
    with pytest.raises(Exception, match="pickle"):
        list(DataLoader(data, num_workers=2, multiprocessing_context="spawn"))


def run(code, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **options)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_die_with_a_parent_that_is_killed(tmp_path, number):
    parent = run(f"from tests.unit.data import loading; loading.iterate({str(tmp_path)!r})")
    limit = time.monotonic() + 600
    while len(os.listdir(tmp_path)) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    pids = [int(name) for name in os.listdir(tmp_path)]
    assert len(pids) == 2 and all(map(alive, pids))
    parent.send_signal(number)
    parent.wait(120)
    assert gone(pids)


def test_ctrl_c_ends_all_without_a_traceback_of_a_worker(tmp_path):
    parent = run(
        f"from tests.unit.data import loading; loading.iterate({str(tmp_path)!r})", stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    limit = time.monotonic() + 600
    while len(os.listdir(tmp_path)) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    pids = [int(name) for name in os.listdir(tmp_path)]
    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=120)
    assert errors.count("KeyboardInterrupt") == 1 and "loader-" not in errors
    assert gone(pids)


def test_values_of_any_kind_travel():
    import multiprocessing

    mine, theirs = multiprocessing.Pipe()
    values = [None, {"a": (1, "x" * 50_000)}, np.arange(30_000), sq.ones(3, requires_grad=True), sq.zeros(0, 4), [b""]]
    for value in values:
        transport.send(mine, ("batch", 1), value)
        head, make = transport.receive(theirs)
        got = make()
        assert head == ("batch", 1) and type(got) is type(value)
        if isinstance(value, (sq.Tensor, np.ndarray)):
            assert got.dtype == value.dtype and got.shape == value.shape
            np.testing.assert_array_equal(np.asarray(got.tolist()), np.asarray(value.tolist()))
        else:
            assert got == value
    mine.close()
    with pytest.raises((EOFError, OSError)):
        transport.receive(theirs)
    theirs.close()
