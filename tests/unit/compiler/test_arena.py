"""The arena: buffers alive together never overlap, and the smaller of two ways to place them is taken."""

import itertools
import random

import pytest

from squall.compiler import memory
from squall.compiler.memory import Life


def overlapping(lives, offsets):
    return [
        (a.buffer, b.buffer)
        for a, b in itertools.combinations(lives, 2)
        if a.begin <= b.end and b.begin <= a.end
        and offsets[a.buffer] < offsets[b.buffer] + b.nbytes and offsets[b.buffer] < offsets[a.buffer] + a.nbytes
    ]  # fmt: skip


def drawn(seed, count=60):
    draw = random.Random(seed)
    lives = []
    for number in range(count):
        begin = draw.randrange(100)
        size = draw.choice([1, 64, 100, 4096, 10_000])
        lives.append(Life(number, size, begin, begin + draw.randrange(30)))
    return lives


@pytest.mark.parametrize("seed", range(20))
def test_buffers_alive_together_lie_apart_and_inside(seed):
    lives = drawn(seed)
    offsets, total = memory.plan(lives)
    assert not overlapping(lives, offsets)
    assert all(offset % memory.ALIGN == 0 for offset in offsets.values())
    assert max(offsets[life.buffer] + life.nbytes for life in lives) <= total
    alive = max(
        sum(memory.aligned(life.nbytes) for life in lives if life.begin <= at <= life.end) for at in range(130)
    )
    assert alive <= total <= min(memory._by_begin(lives)[1], memory._by_size(lives)[1])


def test_a_long_lived_buffer_does_not_split_the_arena():
    """Chosen as they come, the small long one lands above the first; then the large one fits nowhere."""
    lives = [Life(0, 640, 0, 1), Life(1, 64, 1, 9), Life(2, 704, 2, 9)]
    assert memory._by_begin(lives)[1] > memory.plan(lives)[1] == 768


def test_buffers_of_unknown_size_lie_after_the_rest():
    from squall.base.dim import Dim

    n = Dim("n") * 4
    offsets, total = memory.plan([Life(0, 100, 0, 1), Life(1, n, 0, 1), Life(2, n, 5, 6)])
    assert offsets[0] == 0 and offsets[1] == 128
    assert str(offsets[2]) != str(offsets[1]) and not isinstance(total, int)
