"""The pooling allocator and foreign memory."""

from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import pytest

from squall.runtime.memory import Pool, host_pool, size_class, wrap, wrap_array
from squall.runtime.system_memory import ALIGNMENT, LARGE, SystemMemory


class CountingSource:
    """A source over system memory that counts and can be told to run dry."""

    def __init__(self, available=1 << 40):
        self.system, self.available, self.held = SystemMemory(), available, {}

    def acquire(self, nbytes):
        if nbytes > self.available:
            return 0
        pointer = self.system.acquire(nbytes)
        self.available -= nbytes
        self.held[pointer] = nbytes
        return pointer

    def release(self, pointer, nbytes):
        assert self.held.pop(pointer) == nbytes
        self.available += nbytes
        self.system.release(pointer, nbytes)


def test_classes_waste_at_most_an_eighth():
    for nbytes in [*range(0, 5000, 7), *(2 ** k + d for k in range(10, 40) for d in (-1, 0, 1, 12345))]:
        size = size_class(nbytes)
        assert size >= max(nbytes, 64)
        assert size % 64 == 0
        assert size <= max(64, nbytes + 64, nbytes * 9 / 8 + 1, nbytes + (64 << 10) if nbytes > 1 << 20 else 0)
        assert size_class(size) == size


@pytest.mark.parametrize("nbytes", [0, 1, 64, 1000, 100_000, LARGE - 1, LARGE, 5_000_000])
def test_memory_is_aligned_and_writable(nbytes):
    pool = Pool(SystemMemory(), 0)
    block = pool.allocate(nbytes)
    assert block.nbytes == nbytes
    assert block.pointer % (LARGE if nbytes >= LARGE and sys.platform != "win32" else ALIGNMENT) == 0
    array = np.asarray(block.array("|u1", (nbytes,)))
    array[:] = 7
    assert array.sum() == 7 * nbytes


def test_freed_memory_is_handed_out_again_and_counted():
    pool = Pool(CountingSource(), 1 << 30)
    first = pool.allocate(1000)
    pointer = first.pointer
    assert pool.statistics() == (1024, 0, 1024, 0, 1)
    del first
    assert pool.statistics() == (0, 1024, 1024, 0, 1)
    second, third = pool.allocate(1010), pool.allocate(1010)
    assert second.pointer == pointer != third.pointer
    assert pool.statistics() == (2048, 0, 2048, 1, 2)
    del second, third
    pool.reset_peak()
    assert pool.statistics().peak == 0


def test_the_cap_sends_memory_back():
    source = CountingSource()
    pool = Pool(source, limit_bytes=3 * 1024)
    blocks = [pool.allocate(1024) for _ in range(5)]
    del blocks
    assert pool.statistics().cached == 3 * 1024
    assert len(source.held) == 3
    assert pool.empty() == 3 * 1024
    assert not source.held
    assert pool.statistics()[:2] == (0, 0)


def test_running_dry_empties_the_pool_first():
    pool = Pool(CountingSource(available=10_000), 1 << 30, name="tiny")
    block = pool.allocate(8192)
    del block
    other = pool.allocate(4096)  # does not fit beside the kept 8192
    with pytest.raises(MemoryError, match="tiny: cannot allocate 100,000 bytes; 4,096 are in use"):
        pool.allocate(100_000)
    assert pool.statistics().in_use == other.size


def test_impossible_sizes_are_memory_errors():
    with pytest.raises(MemoryError, match="1,152,921,504,606,846,976 bytes"):
        host_pool().allocate(1 << 60)


def test_zeros_are_zero_in_used_memory():
    pool = Pool(SystemMemory(), 1 << 30)
    block = pool.allocate(4096)
    np.asarray(block.array("|u1", (4096,)))[:] = 255
    del block
    assert not np.asarray(pool.zeros(4096).array("|u1", (4096,))).any()


def test_an_array_keeps_its_block_alive():
    pool = Pool(SystemMemory(), 1 << 30)
    block = pool.allocate(64 * 4)
    array = np.asarray(block.array("<f4", (4, 4), (16, 4), 64))
    array[:] = np.arange(16).reshape(4, 4)
    del block
    gc.collect()
    assert pool.statistics().in_use == 256
    assert array.sum() == 120
    del array
    gc.collect()
    assert pool.statistics().in_use == 0


def test_counts_are_right_after_many_threads():
    pool = Pool(CountingSource(), 1 << 20)

    def work(seed):
        kept = []
        for i in range(3000):
            kept.append(pool.allocate((i * seed) % 5000))
            if len(kept) > 20:
                del kept[:: 2]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 7, 11, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statistics = pool.statistics()
    assert statistics.in_use == 0
    assert statistics.hits + statistics.misses == 12000
    assert sum(pool.source.held.values()) == statistics.cached <= 1 << 20


def test_blocks_in_cycles_come_back():
    pool = Pool(SystemMemory(), 1 << 30)
    holder = [pool.allocate(100)]
    holder.append(holder)
    del holder
    gc.collect()
    assert pool.statistics().in_use == 0


def test_foreign_memory_keeps_its_owner():
    array = np.arange(10.0)
    count = sys.getrefcount(array)
    block = wrap_array(array)
    assert (block.pointer, block.nbytes) == (array.ctypes.data, 80)
    assert sys.getrefcount(array) > count
    del block
    assert sys.getrefcount(array) == count
    assert wrap(1234, 5, array).owner is array
    array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        wrap_array(array)
