"""What the compiler asks of a machine: the instruction set's name and the bytes of its vectors.

The backend of that machine knows the rest. The name is the `isa` knob, else what the processor has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from squall.base import config
from squall.compiler.nest.isa import ISAS
from squall.runtime.machine_code import binding
from squall.runtime.native import host_platform

_AVX512 = frozenset(("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"))
_AVX2 = frozenset(("avx2", "fma", "f16c"))


class Machine(NamedTuple):
    """An instruction set of `nest.isa.ISAS` and its vector bytes."""

    isa: str
    vector_bytes: int


@lru_cache(maxsize=1)
def _best() -> str:
    if host_platform().machine == "aarch64":
        return "neon"
    present = {name for name, on in binding().get_host_cpu_features().items() if on}
    return "avx512" if present >= _AVX512 else "avx2" if present >= _AVX2 else "sse4"


def machine() -> Machine:
    """The machine plans are made for."""
    isa = config.get("isa") or _best()
    return Machine(isa, ISAS[isa].register_bytes)
