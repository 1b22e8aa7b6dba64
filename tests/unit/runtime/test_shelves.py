"""Blocks of middling size side by side on shared huge pages."""

import itertools
import random
import sys
import threading

import pytest

from squall.runtime.shelves import SHELF, UNIT, Shelves
from squall.runtime.system_memory import LARGE, MIDDLING, SystemMemory


class Mapped:
    """Where shelves come from: addresses that nothing is at."""

    def __init__(self, most=1 << 20):
        self.next, self.held, self.most = SHELF, set(), most

    def acquire(self, nbytes):
        assert nbytes == SHELF
        if len(self.held) >= self.most:
            return 0
        self.next += SHELF
        self.held.add(self.next)
        return self.next

    def release(self, pointer, nbytes):
        assert nbytes == SHELF
        self.held.remove(pointer)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_lie_apart_and_shelves_go_with_the_last(seed):
    draw, mapped = random.Random(seed), Mapped()
    shelves, held = Shelves(mapped.acquire, mapped.release), {}
    for _ in range(2000):
        if held and draw.random() < 0.45:
            pointer = draw.choice(sorted(held))
            shelves.release(pointer, held.pop(pointer))
            continue
        nbytes = draw.choice([MIDDLING, 3 * UNIT, draw.randrange(1, LARGE), draw.randrange(1, SHELF + 1)])
        pointer = shelves.acquire(nbytes)
        assert pointer % UNIT == 0 and pointer - pointer % SHELF in mapped.held
        assert pointer % SHELF + nbytes <= SHELF
        held[pointer] = nbytes
    ends = sorted((pointer, pointer + nbytes) for pointer, nbytes in held.items())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    for pointer, nbytes in held.items():
        shelves.release(pointer, nbytes)
    assert not mapped.held


def test_gaps_are_filled_before_another_shelf_is_taken():
    mapped = Mapped()
    shelves = Shelves(mapped.acquire, mapped.release)
    size = SHELF // 8
    pointers = [shelves.acquire(size) for _ in range(8)]
    assert len(mapped.held) == 1
    for pointer in pointers[2:5]:
        shelves.release(pointer, size)
    assert shelves.acquire(3 * size) == pointers[2]
    assert len(mapped.held) == 1
    shelves.acquire(UNIT)
    assert len(mapped.held) == 2


def test_no_memory_is_told():
    mapped = Mapped(1)
    shelves = Shelves(mapped.acquire, mapped.release)
    assert shelves.acquire(SHELF) and not shelves.acquire(1)


def test_many_threads_take_and_give_back():
    mapped, failed = Mapped(), []
    shelves = Shelves(mapped.acquire, mapped.release)
    owner: dict[int, int] = {}

    def work(number):
        for _ in range(300):
            pointer = shelves.acquire(UNIT)
            if owner.setdefault(pointer, number) != number:
                failed.append(pointer)
            del owner[pointer]
            shelves.release(pointer, UNIT)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and not mapped.held


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are asked for on Linux")
def test_middling_blocks_of_the_system_share_a_mapping():
    memory = SystemMemory()
    first, second = memory.acquire(MIDDLING), memory.acquire(MIDDLING)
    assert second == first + MIDDLING and first % LARGE == 0
    memory.release(first, MIDDLING)
    memory.release(second, MIDDLING)
