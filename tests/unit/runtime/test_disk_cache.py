"""The folder of compiled objects: damage, limits, other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from squall.base import config
from squall.runtime import disk_cache
from squall.runtime.disk_cache import MAGIC, DiskCache, default_folder, pack, unpack

KEY = "ab" + "0" * 62


def test_what_was_put_is_got(tmp_path):
    cache = DiskCache(tmp_path / "new" / "folder", 1 << 20)
    assert cache.get(KEY) is None
    assert cache.put(KEY, b"payload")
    assert cache.get(KEY) == b"payload"
    assert DiskCache(tmp_path / "new" / "folder", 1 << 20).get(KEY) == b"payload"
    assert (cache.hits, cache.misses, cache.damaged) == (1, 1, 0)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:10], lambda data: data[:-1], lambda data: data + b"x",
    lambda data: data[:-3] + b"\0\0\0", lambda data: b"ELF" + data[3:], lambda data: b"\0" * len(data)])
def test_damaged_files_are_misses_and_are_rewritten(tmp_path, damage):
    cache = DiskCache(tmp_path, 1 << 20)
    cache.put(KEY, b"payload" * 100)
    cache.path(KEY).write_bytes(damage(cache.path(KEY).read_bytes()))
    assert cache.get(KEY) is None
    assert cache.damaged == 1
    assert cache.put(KEY, b"again")
    assert cache.get(KEY) == b"again"


def test_pack_and_unpack():
    assert unpack(pack(b"")) == b""
    assert unpack(pack(b"abc")) == b"abc"
    assert unpack(MAGIC) is None


def test_the_oldest_used_go_when_it_is_full(tmp_path):
    cache = DiskCache(tmp_path, limit_bytes=10_000)
    keys = [f"{i:02x}" * 32 for i in range(10)]
    for age, key in enumerate(keys):
        assert cache.put(key, bytes(900))
        os.utime(cache.path(key), (time.time() - 100_000 + age,) * 2)
    assert cache.get(keys[0]) is not None  # used: young again
    cache.put("ff" * 32, bytes(900))
    left = [key for key in keys if cache.path(key).exists()]
    assert keys[0] in left
    assert keys[1] not in left
    assert keys[9] in left
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) <= 10_000
    assert cache.trim(0) > 0
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


def test_left_over_temporary_files_are_removed_when_old(tmp_path):
    cache = DiskCache(tmp_path, 1 << 20)
    cache.put(KEY, b"x")
    folder = cache.path(KEY).parent
    (folder / "new-old.tmp").write_bytes(b"1")
    os.utime(folder / "new-old.tmp", (1, 1))
    (folder / "new-young.tmp").write_bytes(b"2")
    cache.trim()
    assert sorted(f.name for f in folder.iterdir()) == sorted([KEY[2:], "new-young.tmp"])


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path):
    (tmp_path / "objects").write_text("a file where the folder should be")
    cache = DiskCache(tmp_path, 1 << 20)
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert not cache.put(KEY, b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not cache.put(KEY, b"x")
        assert cache.get(KEY) is None


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    cache = DiskCache(tmp_path, 1 << 20)

    def full(_, __):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert not cache.put(KEY, b"x")
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_folder_anybody_may_write_is_not_trusted(tmp_path):
    DiskCache(tmp_path, 1 << 20).put(KEY, b"x")
    tmp_path.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="everybody"):
        cache = DiskCache(tmp_path, 1 << 20)
    assert cache.get(KEY) is None
    assert not cache.put(KEY, b"x")


def test_without_a_folder_everything_is_a_miss():
    cache = DiskCache(None, 1 << 20)
    assert not cache.put(KEY, b"x")
    assert cache.get(KEY) is None
    assert cache.trim() == 0


def test_where_it_is(monkeypatch, tmp_path):
    with config.options(cache_dir=str(tmp_path / "chosen")):
        assert default_folder() == tmp_path / "chosen"
    if sys.platform == "linux":
        with config.options(cache_dir=""):
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
            assert default_folder() == tmp_path / "squall"
            monkeypatch.delenv("XDG_CACHE_HOME")
            monkeypatch.setenv("HOME", str(tmp_path))
            assert default_folder() == tmp_path / ".cache" / "squall"


def test_several_processes_write_and_trim_at_once(tmp_path):
    script = ("import sys; from pathlib import Path; from squall.runtime.disk_cache import DiskCache\n"
              "cache = DiskCache(Path(sys.argv[1]), 20_000)\n"
              "for turn in range(150):\n"
              "    key = f'{turn % 30:02x}' * 32\n"
              "    found = cache.get(key)\n"
              "    assert found is None or found == bytes([turn % 30]) * 1000, found\n"
              "    assert cache.put(key, bytes([turn % 30]) * 1000)\n"
              "assert not cache.damaged\n")
    root = Path(__file__).parents[3]
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=root) for _ in range(3)]
    assert [process.wait(600) for process in running] == [0, 0, 0]


def test_a_large_folder_is_measured_by_some_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_cache, "_SAMPLE", 40)
    for number in range(1024):
        DiskCache(tmp_path, 1 << 30).path(f"{number % 256:02x}{number:06x}").parent.mkdir(parents=True, exist_ok=True)
        DiskCache(tmp_path, 1 << 30).path(f"{number % 256:02x}{number:06x}").write_bytes(bytes(1000))
    looked = []
    real = DiskCache._entries
    monkeypatch.setattr(DiskCache, "_entries", lambda self, parts: looked.extend(parts) or real(self, parts))
    cache = DiskCache(tmp_path, 1 << 30)
    assert cache.put("00ff", bytes(100))
    assert len(looked) <= 11 and 1_000_000 < cache.size < 1_100_000
    small = DiskCache(tmp_path, 500_000)
    assert small.put("00fe", b"x") and small.size <= 400_000  # trimmed, and then known exactly
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) == small.size
