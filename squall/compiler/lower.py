"""Specs to programs, each once: the memo of lowered and expanded kernels, and the measure of what lowering costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from squall.base import config, trace
from squall.base.caches import Cache
from squall.compiler import lower_columns, lower_epilogue, lower_rows, sequence
from squall.compiler.expand import expand
from squall.compiler.spec import Spec
from squall.ir.linear import Program
from squall.ir.linear_text import print_program
from squall.ir.linear_verify import verify

programs = Cache("lowered kernels", 4096)
_LOWERINGS = {"rows": lower_rows.lower, "columns": lower_columns.lower}


def program_of(spec: Spec) -> Program:
    """The program of a spec, over the core instruction set."""
    return once(spec, lambda: _LOWERINGS[spec.kind](spec))


def epilogue_program(made: lower_epilogue.EpilogueSpec) -> Program:
    """The program of an epilogue of the nest."""
    return once(made, lambda: lower_epilogue.lower(made), kernel=False)


def sequence_program(spec: sequence.SequenceSpec) -> Program:
    """The program of a sequence spec."""
    return once(spec, lambda: sequence.lower(spec))


def _checked(program: Program, kernel: bool) -> Program:
    """The program over the core set; its specification is checked before and after when the `verify` knob is on."""
    check = config.get("verify")
    expanded = expand(verify(program, kernel=kernel) if check else program)
    if check:
        verify(expanded, expanded=True, kernel=kernel)
    if config.get("debug") >= 3:
        trace.debug(3, print_program(expanded))
    return expanded


def once(spec: Hashable, make: Callable[[], Program], kernel: bool = True) -> Program:
    """The program of a key over the core set: made once, checked when the `verify` knob is on."""
    found = programs.get(spec)
    if found is None:
        started = time.perf_counter()
        found = programs.put(spec, _checked(make(), kernel))
        trace.count("kernels lowered")
        trace.count("lowering microseconds", round((time.perf_counter() - started) * 1e6))
    return found
