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


def by_begin(lives):
    return memory._placed(sorted(lives, key=lambda life: (life.begin, -life.nbytes)), [], True).total


def by_size(lives):
    return memory._placed(sorted(lives, key=lambda life: (-life.nbytes, life.begin)), [], False).total


@pytest.mark.parametrize("seed", range(20))
def test_buffers_alive_together_lie_apart_and_inside(seed):
    lives = drawn(seed)
    offsets, total, *_ = memory.plan(lives)
    assert not overlapping(lives, offsets)
    assert all(offset % memory.ALIGN == 0 for offset in offsets.values())
    assert max(offsets[life.buffer] + life.nbytes for life in lives) <= total
    alive = max(
        sum(memory.aligned(life.nbytes) for life in lives if life.begin <= at <= life.end) for at in range(130)
    )
    assert alive <= total <= min(by_begin(lives), by_size(lives))


def test_a_long_lived_buffer_does_not_split_the_arena():
    """Chosen as they come, the small long one lands above the first; then the large one fits nowhere."""
    lives = [Life(0, 640, 0, 1), Life(1, 64, 1, 9), Life(2, 704, 2, 9)]
    assert by_begin(lives) > memory.plan(lives).total == 768


def test_buffers_of_unknown_size_lie_after_the_rest():
    from squall.base.dim import Dim

    n = Dim("n") * 4
    offsets, total, *_ = memory.plan([Life(0, 100, 0, 1), Life(1, n, 0, 1), Life(2, n, 5, 6)])
    assert offsets[0] == 0 and offsets[1] == 128
    assert str(offsets[2]) != str(offsets[1]) and not isinstance(total, int)


MB = 1 << 20


@pytest.mark.parametrize("seed", range(20))
def test_what_lies_in_the_memory_of_results_dies_before_they_are_written(seed):
    draw = random.Random(seed)
    lives = []
    for number in range(60):
        begin = draw.randrange(100)
        lives.append(Life(number, draw.choice([1, 3, 12]) * MB // 4, begin, begin + draw.randrange(60)))
    hosts = [Life(100 + i, draw.choice([5, 9, 16]) * MB // 4, draw.randrange(60, 160), memory.NEVER) for i in range(12)]
    made, alone = memory.plan(lives, hosts), memory.plan(lives)
    assert made.total < alone.total and made.inside and made.shared == sum(h.nbytes for h in hosts)
    arena = [life for life in lives if life.buffer not in made.inside]
    assert not overlapping(arena, made.offsets)
    assert all(0 <= made.offsets[life.buffer] <= made.total - life.nbytes for life in arena)
    block = [life for life in lives if life.buffer in made.inside]
    assert not overlapping([*block, *hosts], made.offsets | made.places)
    assert all(0 <= made.offsets[life.buffer] <= made.shared - life.nbytes for life in block)


def test_results_keep_memory_of_their_own_where_sharing_spares_little():
    lives = [Life(0, 64 * MB, 0, 1), Life(1, 64 * MB, 1, 2)]
    late, early = Life(2, MB, 5, memory.NEVER), Life(3, 64 * MB, 0, memory.NEVER)
    assert memory.plan(lives, [late]).places == {} and memory.plan(lives, [early]).shared == 0
    assert memory.plan(lives, [late, early._replace(begin=3)]).inside


def test_a_buffer_that_is_read_when_a_result_is_written_does_not_lie_in_it():
    host = Life(9, 8 * MB, 4, memory.NEVER)
    assert memory.plan([Life(0, 8 * MB, 0, 3)], [host]).inside == {0}
    assert not memory.plan([Life(0, 8 * MB, 0, 4)], [host]).inside
