"""Random whole programs: lazy, compiled and disturbed as op by op, bit for bit (DESIGN S14). `make fuzz-programs` runs
many more.

`SQUALL_PROGRAMS` sets how many run; the default suits CI.
"""

import os

import pytest

from tools import fuzz_programs
from tools.fuzz_programs import Setting, World

PROGRAMS = int(os.environ.get("SQUALL_PROGRAMS", "24"))
BLOCK = 6


@pytest.mark.parametrize("block", range((PROGRAMS + BLOCK - 1) // BLOCK))
def test_random_programs_end_as_op_by_op(block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        difference = fuzz_programs.check(seed, "eager")
        if difference is not None:
            lines, said = fuzz_programs.shorten(difference, "eager", seed)
            pytest.fail(f"program {seed}, {fuzz_programs.worlds_for('eager', seed)[1].setting}:\n"
                        + "\n".join(lines) + f"\n{said}")  # fmt: skip


def test_a_difference_is_found_and_made_short(monkeypatch):
    right = World.facts

    def wrong(world):
        """A world that takes every fifth Tensor for one of another shape, unless it is the plain one."""
        found = right(world)
        if not world.setting.eager:
            found = {n: ((7,), *f[1:]) if n == "v3" else f for n, f in found.items()}
        return found

    monkeypatch.setattr(World, "facts", wrong)
    lines = ["v1 = L.ones(2)", "v2 = v1 + 1", "v3 = v1 * 2", "v4 = v2 + v3", "read(v4)"]
    difference = fuzz_programs.shown(lines, "eager", 0)
    assert difference is not None
    shortened, said = fuzz_programs.shorten(difference, "eager", 0)
    assert shortened == ["v1 = L.ones(2)", "v3 = v1 * 2"] and "(7,)" in said


def test_errors_are_compared_and_programs_go_on():
    worlds = World("squall", Setting(eager=True), 0), World("squall", Setting(compiled=True), 0)
    fuzz_programs.play(["v1 = L.ones(2, 3)", "v1[9]", "with L.no_grad():\n    raise ValueError", "v1 += 1"], worlds)
    assert worlds[1].values["v1"].tolist() == [[2] * 3] * 2
    with pytest.raises(fuzz_programs.DifferenceError, match="error"):
        fuzz_programs.compare_errors(*worlds, ("IndexError",), ())
