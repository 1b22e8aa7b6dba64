"""Specs to programs: what a plan holds is unwritten and becomes text only where the disk has no code of it.

The memo of lowered and expanded kernels is here, and the measure of what lowering costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from squall.base import config, trace
from squall.base.caches import Cache
from squall.compiler import lower_columns, lower_epilogue, lower_rows, sequence
from squall.compiler.expand import expand
from squall.compiler.spec import Spec
from squall.compiler.target import machine
from squall.ir.linear import Program
from squall.ir.linear_text import print_program
from squall.ir.linear_verify import verify
from squall.ir.unwritten import AnyProgram, Unwritten

programs = Cache("lowered kernels", 256)
_known = Cache("kernels of plans", 4096)
_LOWERINGS = {"rows": lower_rows.lower, "columns": lower_columns.lower}


def program_of(spec: Spec) -> AnyProgram:
    """The program of a spec, over the core instruction set."""
    scratch = lower_rows.scratch_bytes(spec) if spec.kind == "rows" else 0
    return unwritten(spec, "rows", lambda: _LOWERINGS[spec.kind](spec), scratch)


def epilogue_program(made: lower_epilogue.EpilogueSpec) -> AnyProgram:
    """The program of an epilogue of the nest."""
    return unwritten(made, "epilogue", lambda: lower_epilogue.lower(made), kernel=False)


def sequence_program(spec: sequence.SequenceSpec) -> AnyProgram:
    """The program of a sequence spec."""
    return unwritten(spec, "sequence", lambda: sequence.lower(spec))


def unwritten(spec: Hashable, entry: str, make: Callable[[], Program], scratch_bytes: int = 0,
              kernel: bool = True) -> AnyProgram:
    """The one program of a spec, which `make` lowers when it is needed.

    Args:
        spec: what it is made from. entry: the name of its entry. scratch_bytes: that it will declare.
        kernel: whether the entry follows the kernel ABI.
    """
    return _known.get_or_make(spec, lambda: Unwritten(entry, spec, lambda: _once(spec, make, kernel), scratch_bytes))


def _checked(program: Program, kernel: bool) -> Program:
    """The program over the core set; its specification is checked before and after when the `verify` knob is on."""
    check = config.get("verify")
    expanded = expand(verify(program, kernel=kernel) if check else program, machine().isa == "avx512")
    if check:
        verify(expanded, expanded=True, kernel=kernel)
    if config.get("debug") >= 3:
        trace.debug(3, print_program(expanded))
    return expanded


def _once(spec: Hashable, make: Callable[[], Program], kernel: bool) -> Program:
    """The program of a key over the core set: made once, checked when the `verify` knob is on."""
    key = spec, machine().isa
    found = programs.get(key)
    if found is None:
        started = time.perf_counter()
        found = programs.put(key, _checked(make(), kernel))
        trace.count("kernels lowered")
        trace.count("lowering microseconds", round((time.perf_counter() - started) * 1e6))
    return found
