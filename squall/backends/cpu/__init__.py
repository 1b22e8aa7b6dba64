"""The CPU backend: x86-64 and AArch64 through LLVM."""

from __future__ import annotations

from squall.backends.cpu.build import compile_functions
from squall.backends.cpu.table import Table, table_for
from squall.backends.cpu.target import Target, host_target
from squall.backends.ssa_text import write
from squall.ir.unwritten import AnyProgram

__all__ = ["Table", "compile_program", "table_for", "write_program"]


def write_program(program: AnyProgram, target: Target | None = None) -> str:
    """The LLVM text of an expanded program for a CPU, this one by default."""
    target = target or host_target()
    return write(program, table_for(target.architecture, target.features))


def compile_program(program: AnyProgram, target: Target | None = None) -> int:
    """The address of an expanded program's entry, compiled for a CPU of this machine's kind unless a cache knows it."""
    text = write_program(program, target)
    return compile_functions({text: (text, [program.entry])}, target)[text][program.entry]
