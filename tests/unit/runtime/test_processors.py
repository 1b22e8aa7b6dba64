"""How many threads a process is given: affinity, cores, quotas, the knob."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from squall.runtime.processors import _cores, _quota, available_threads, processor_count


@pytest.mark.parametrize(("text", "quota"), [("max 100000", math.inf), ("150000 100000", 1.5), ("nonsense", math.inf)])
def test_quota_of_cgroup_2(tmp_path, text, quota):
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert _quota(tmp_path) == quota


def test_quota_of_cgroup_1(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    assert _quota(tmp_path) == math.inf
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert _quota(tmp_path) == 3


def test_quota_of_the_groups_a_process_lies_in(tmp_path):
    own, root = tmp_path / "own", tmp_path / "root"
    group = root / "user.slice/service"
    group.mkdir(parents=True)
    own.write_text("0::/user.slice/service\n")
    assert _quota(root, own) == math.inf
    (group / "cpu.max").write_text("300000 100000\n")
    assert _quota(root, own) == 3
    (root / "user.slice/cpu.max").write_text("50000 100000\n")
    assert _quota(root, own) == 0.5
    (root / "user.slice/cpu.max").write_text("max 100000\n")
    assert _quota(root, own) == 3
    assert _quota(root, tmp_path / "absent") == math.inf


def test_quota_of_a_group_of_version_1(tmp_path):
    own, group = tmp_path / "own", tmp_path / "cpu/docker/a"
    group.mkdir(parents=True)
    own.write_text("5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n")
    (group / "cpu.cfs_quota_us").write_text("250000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert _quota(tmp_path, own) == 2.5
    own.write_text("5:memory:/docker/a\n")
    assert _quota(tmp_path, own) == math.inf


def test_two_threads_of_a_core_count_once(tmp_path):
    for number in range(4):
        folder = tmp_path / f"cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 2},{number % 2 + 2}\n")
    assert _cores({0, 1, 2, 3}, tmp_path) == 2
    assert _cores({0, 2}, tmp_path) == 1
    assert _cores({0, 9}, tmp_path) == 2  # nothing known: every processor counts


def test_this_process():
    assert 1 <= available_threads() <= processor_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's affinity")
def test_affinity_and_knob_decide_the_pool():
    script = ("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
              "from squall.runtime.native import get_num_threads, native\n"
              "print(get_num_threads(), native().state()['threads'])\n")
    environment = {name: value for name, value in os.environ.items() if name != "SQUALL_NUM_THREADS"}
    for knob, expected in (({}, b"1 1"), ({"SQUALL_NUM_THREADS": "3"}, b"3 3")):
        output = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True,
                                env={**environment, **knob}, stdout=subprocess.PIPE, timeout=600).stdout
        assert output.strip() == expected
