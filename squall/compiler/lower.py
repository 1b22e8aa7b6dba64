"""Specs to programs, each once: the memo of lowered and expanded kernels, and the measure of what lowering costs."""

from __future__ import annotations

import time

from squall.base import trace
from squall.base.caches import Cache
from squall.compiler import lower_columns, lower_rows
from squall.compiler.expand import expand
from squall.compiler.spec import Spec
from squall.ir.linear import Program

programs = Cache("lowered kernels", 4096)
_LOWERINGS = {"rows": lower_rows.lower, "columns": lower_columns.lower}


def program_of(spec: Spec) -> Program:
    """The program of a spec, over the core instruction set."""
    found = programs.get(spec)
    if found is None:
        started = time.perf_counter()
        found = programs.put(spec, expand(_LOWERINGS[spec.kind](spec)))
        trace.count("kernels lowered")
        trace.count("lowering microseconds", round((time.perf_counter() - started) * 1e6))
    return found
