"""`sq.profile`: what it tells adds up, and it tells of every way a plan can run."""

from __future__ import annotations

import json
import threading

import pytest

import squall as sq
from squall.base import config
from squall.base.errors import SquallError
from squall.engine import roofline
from squall.runtime import objects


def work(x):
    return ((x @ x).relu() + 1).sum()


def profiled(function, *args, times=3, **options):
    with sq.profile(roofline=False, **options) as prof:
        for _ in range(times):
            function(*args).item()
    return prof


@pytest.fixture
def x():
    return sq.rand(48, 48) + 0


@pytest.mark.parametrize("compiled", [False, True])
def test_kernels_calls_and_operations(x, compiled):
    prof = profiled(sq.compile(work) if compiled else work, x, times=5)
    found = prof.key_averages()
    contractions = [a for a in found if "contract" in a.key]
    assert sum(a.count for a in contractions) == 5
    assert sum(a.flops for a in contractions) == 5 * 2 * 48**3
    assert all(0 <= a.self_cpu_time_total <= a.cpu_time_total + 1e-6 for a in found)
    assert [a.self_cpu_time_total for a in found] == sorted((a.self_cpu_time_total for a in found), reverse=True)
    sized = prof.key_averages(group_by_input_shape=True)
    assert any("48x48x48" in a.key for a in sized)


def test_phases_add_up_to_the_wall_clock(x):
    prof = profiled(work, x, times=20)
    phases = prof.phases()
    assert sum(phases.values()) == pytest.approx(prof._data().seconds, rel=1e-6)
    kernels = sum(a.self_cpu_time_total for a in prof.key_averages()) * 1e-6
    assert 0 < kernels <= phases["running kernels"] * 1.000001 < prof._data().seconds


def test_a_new_plan_shows_what_making_it_took():
    text = prof = profiled(lambda: (sq.rand(3, 5) * 1.7).exp().sum() - 0.3, times=1)
    phases = prof.phases()
    assert phases["planning and lowering"] > 0
    assert prof.statistics()["kernels"]["plans compiled"] == 1
    text = prof.summary()
    assert "1 new plans" in text and "planning and lowering" in text


def test_the_native_flush_is_seen(x):
    for _ in range(30):
        work(x).item()
    prof = profiled(work, x, times=4)
    assert sum(a.count for a in prof.key_averages() if "contract" in a.key) == 4
    assert prof.phases()["finding what to evaluate"] > 0


def test_what_was_pending_before_is_not_counted_and_what_is_left_is(x):
    before = x * 2 + 1
    with sq.profile(roofline=False) as prof:
        after = x * 3
    names = [a.key for a in prof.key_averages()]
    assert sum(a.count for a in prof.key_averages()) == 1, names
    assert before.sum().item() and after.sum().item()


def test_loops_own_time_is_without_their_steps():
    def run():
        return sq.scan(lambda carry, row: (carry + row, carry * 2), sq.zeros(64), sq.ones(200, 64))[0]

    prof = profiled(lambda: run().sum(), times=2)
    spans = [s for s in prof._data().spans if s.kind == "kernel"]
    assert sum(s.own for s in spans) <= sum(s.end - s.begin for s in spans if s.name) + 1e-9
    assert max(a.count for a in prof.key_averages()) >= 400


def test_library_calls_are_spans():
    prof = profiled(lambda: sq.linalg.svd(sq.rand(6, 6) + 1)[1].sum(), times=2)
    assert any(a.key.startswith("library") and a.count == 2 for a in prof.key_averages())


def test_other_threads_kernels_are_counted(x):
    with sq.profile(roofline=False) as prof:
        threads = [threading.Thread(target=lambda: work(x).item()) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(a.count for a in prof.key_averages() if "contract" in a.key) == 3


def test_tables_sort_and_limit(x):
    averages = profiled(work, x).key_averages()
    lines = averages.table(sort_by="count", row_limit=1).splitlines()
    assert lines[1].split()[0] == "Name" and len(lines) == 6
    assert "Self CPU time total" in lines[-1]
    assert len(averages.table(row_limit=-1).splitlines()) == 5 + len(averages)
    long = averages.table(max_name_column_width=8).splitlines()[3]
    assert len(long.split()[0]) <= 8
    with pytest.raises(ValueError, match="sort_by='speed' is none of self_cpu_time_total"):
        averages.table(sort_by="speed")


def test_rich_draws_the_same(x, capsys):
    pytest.importorskip("rich")
    prof = profiled(work, x)
    assert prof.key_averages().rich_table().row_count == len(prof.key_averages())
    prof.print()
    shown = capsys.readouterr().out
    assert "in all" in shown and "Memory:" in shown and "Self CPU time total" in shown


@pytest.fixture
def own_folder(tmp_path):
    with config.options(cache_dir=str(tmp_path / "cache"), cache=True):
        objects.reopen_disk()
        roofline._limits.cache_clear()
        yield
    objects.reopen_disk()
    roofline._limits.cache_clear()


def test_the_machines_limits_are_measured_and_kept(x, own_folder, monkeypatch):

    with sq.profile() as prof:
        work(x).item()
    limits = prof._data().limits
    assert limits.operations > 1e8 and limits.memory > 1e8 and limits.cache > 1e8
    assert "Limits of this machine" in prof.summary()
    shares = [a.roofline for a in prof.key_averages() if a.flops]
    assert shares and all(0 < share < 20 for share in shares)  # other work makes measured limits too low
    best = list(limits)
    for turn in range(5):  # what is kept on disk only grows, and after some measurements it stands
        roofline._limits.cache_clear()
        monkeypatch.setattr(roofline, "_measured", lambda threads, turn=turn: roofline.Limits(1e17, 1.0, 1.0, 1))
        best = [max(pair) for pair in zip(best, roofline.limits())]
    monkeypatch.setattr(roofline, "_measured", None)
    roofline._limits.cache_clear()
    assert list(roofline.limits()) == best
    assert best[0] in (1e17, limits.operations)


def test_the_trace_is_chromes_and_appears_whole(x, tmp_path, monkeypatch):
    prof = profiled(work, x)
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(path)
    told = json.loads(path.read_text())["traceEvents"]
    spans = [e for e in told if e["ph"] == "X"]
    assert {"kernel", "kernels"} <= {e["cat"] for e in spans}
    assert all(e["dur"] >= 0 and e["ts"] >= -1e4 for e in spans)
    assert [e["args"]["flops"] for e in spans if "contract" in e["name"]] == [2 * 48**3] * 3
    assert any(e["ph"] == "M" and e["args"]["name"] == "MainThread" for e in told)
    before = path.read_bytes()
    monkeypatch.setattr(json, "dumps", lambda *a, **k: 3)  # writing it fails
    with pytest.raises(TypeError):
        prof.export_chrome_trace(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_errors(x):
    with pytest.raises(ValueError, match="nothing was profiled"):
        sq.profile().key_averages()
    with sq.profile(roofline=False), pytest.raises(SquallError, match="already"), sq.profile():
        pass
    with pytest.raises(KeyError), sq.profile(roofline=False):
        raise KeyError
    with sq.profile(roofline=False):  # an error ends a profile
        pass


def test_bits_are_the_same_while_profiled(x):
    plain = work(x).item()
    with sq.profile(roofline=False):
        assert work(x).item() == plain
