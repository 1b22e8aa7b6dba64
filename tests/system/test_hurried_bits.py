"""S14 of code made in a hurry: random programs give the same bits by it as by the code that takes its place."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from squall.runtime import doors

CASES = int(os.environ.get("SQUALL_HURRIED_BITS_CASES", "40"))
FIRST = int(os.environ.get("SQUALL_HURRIED_BITS_FIRST", "0"))
PROGRAM = """
import hashlib, sys
import squall as sq
from squall.base import trace
from squall.engine import link
from squall.runtime import hurry
from tests.system import programs
from tests.system.test_same_bits import bits

link.LONG = float("inf")  # all kernels but those of contractions
hurry.later = lambda piece: None  # which no better code replaces
for seed in range(int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[2])):
    shapes, steps = programs.generate(seed)
    values = bits(programs.run(shapes, steps, programs.inputs_of(shapes, seed)))
    print(seed, hashlib.sha256(b"".join(values)).hexdigest())
print(trace.counters.get("kernels hurried", 0), file=sys.stderr)
"""


def run(hurried: bool) -> tuple[list[str], int]:
    """A line for each program, and how many kernels were made in a hurry."""
    environment = os.environ | {"SQUALL_HURRY": str(int(hurried)), "PYTHONPATH": os.pathsep.join(sys.path)}
    if hurried:
        environment["SQUALL_CACHE"] = "0"
    made = subprocess.run([sys.executable, "-c", PROGRAM, str(FIRST), str(CASES)], capture_output=True, text=True,
                          check=False, env=environment, timeout=1200)
    assert made.returncode == 0, made.stderr
    return made.stdout.splitlines(), int(made.stderr.split()[-1])


@pytest.mark.skipif(not doors.possible(), reason="doors are for x86-64 Linux")
def test_hurried_code_has_the_same_bits() -> None:
    (hurried, count), (careful, none) = run(True), run(False)
    assert count >= CASES // 2 and none == 0
    assert len(careful) == CASES
    assert [line for line, other in zip(hurried, careful, strict=True) if line != other] == []
