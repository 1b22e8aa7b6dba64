"""DESIGN S14: the bits of a result do not depend on laziness, flush points, threads, or compilation.

`SQUALL_SAME_BITS_CASES` sets how many random programs run (each in six ways); the default suits CI.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

import squall as sq
from tests.system import programs

CASES = int(os.environ.get("SQUALL_SAME_BITS_CASES", "60"))
FIRST = int(os.environ.get("SQUALL_SAME_BITS_FIRST", "0"))
BLOCK = 20


def bits(values: list) -> list[bytes]:
    sq.flush()
    return [np.asarray(v.detach().numpy()).tobytes() for v in values]


def compare(name: str, seed: int, expected: list[bytes], values: list) -> None:
    shapes, steps = programs.generate(seed)
    got = bits(values)
    for position, (a, b) in enumerate(zip(expected, got, strict=True)):
        if a != b:
            step = steps[position - len(shapes)] if position >= len(shapes) else "input"
            x, y = np.frombuffer(a, "f4"), np.frombuffer(b, "f4")
            pytest.fail(
                f"program {seed} ({shapes}): value {position} ({step}) differs {name}: "
                f"{int((x.view('u4') != y.view('u4')).sum()) if x.size == y.size else 'size'} of {x.size} elements"
                f"\n{steps}"
            )


def check(seed: int) -> None:
    rng = random.Random(seed)
    shapes, steps = programs.generate(seed)
    inputs = programs.inputs_of(shapes, seed)
    threads = sq.get_num_threads()
    try:
        sq.set_num_threads(1)
        expected = bits(programs.run(shapes, steps, inputs))
        for count in (2, 3):
            sq.set_num_threads(count)
            points = {i for i in range(len(steps)) if rng.random() < 0.4}
            compare(f"on {count} threads with flushes after {points}", seed, expected,
                    programs.run(shapes, steps, inputs, points))
        sq.set_eager(True)
        compare("eagerly", seed, expected, programs.run(shapes, steps, inputs))
        sq.set_eager(False)
        compiled = sq.compile(lambda *given: programs.run(shapes, steps, list(given)))
        compare("compiled", seed, expected, compiled(*inputs))
        few = sq.compile(lambda *given: programs.run(shapes, steps, list(given))[-1])
        compare("compiled with one result", seed, expected[-1:], [few(*inputs)])
    finally:
        sq.set_eager(False)
        sq.set_num_threads(threads)


@pytest.mark.parametrize("block", range(FIRST // BLOCK, (FIRST + CASES + BLOCK - 1) // BLOCK))
def test_random_programs_have_the_same_bits(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        check(seed)
