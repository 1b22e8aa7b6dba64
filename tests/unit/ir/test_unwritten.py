"""Programs that are written when they are read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from squall.ir.linear import Function, Program
from squall.ir.unwritten import Unwritten


def test_it_is_written_when_read_and_equal_by_what_it_is_made_from() -> None:
    written = []

    def make() -> Program:
        written.append(1)
        return Program((Function("k", (), None, ()),), "k", 64)

    one, other = Unwritten("k", ("spec", 1), make, 64), Unwritten("k", ("spec", 1), make, 64)
    assert one == other and hash(one) == hash(other) and repr(one) == repr(other) == "Unwritten('k', ('spec', 1))"
    assert one != Unwritten("k", ("spec", 2), make, 64) and one != ("spec", 1)
    assert not written
    assert one.functions[0].name == one.entry and len(written) == 1


PROGRAM = """
import squall as sq
from squall.base import trace
from squall.nn import functional as F
x, w = sq.randn(33, 40), sq.randn(50, 40)
y = F.softmax(F.gelu(F.linear(x, w)), -1)
q = sq.randn(1, 2, 40, 16)
print((y.sum() + F.scaled_dot_product_attention(q, q, q).sum()).item() != 0)
print(trace.counters.get("kernels lowered", 0), trace.counters.get("kernels compiled", 0))
"""


def test_what_the_disk_has_is_never_written(tmp_path: Path) -> None:
    environment = os.environ | {"SQUALL_CACHE_DIR": str(tmp_path)}

    def run() -> list[str]:
        made = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
                              env=environment, timeout=600)
        return made.stdout.split()

    first, second = run(), run()
    assert first[0] == "True" and int(first[1]) > 0 and int(first[2]) > 0
    assert second == ["True", "0", "0"]
