"""What the compiler asks of a machine: the instruction set's name and the bytes of its vectors.

The backend of that machine knows the rest. The name is the `isa` knob, else what the processor has.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from squall.base import config
from squall.compiler.nest.isa import ISAS
from squall.runtime import host


class Machine(NamedTuple):
    """An instruction set of `nest.isa.ISAS` and its vector bytes."""

    isa: str
    vector_bytes: int


@lru_cache(maxsize=1)
def _best() -> str:
    return host.isa() or "sse4"


def machine() -> Machine:
    """The machine plans are made for."""
    isa = config.get("isa") or _best()
    return Machine(isa, ISAS[isa].register_bytes)
