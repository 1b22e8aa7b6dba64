"""The CPU backend: x86-64 and AArch64 through LLVM."""

from __future__ import annotations

from squall.backends.cpu.table import Table, table_for
from squall.backends.ssa_text import write
from squall.ir.linear import Program

__all__ = ["Table", "table_for", "write_program"]


def write_program(program: Program, architecture: str = "x86_64", features: str = "+f16c") -> str:
    """The LLVM text of an expanded program for a CPU named as LLVM names it; see `table_for`."""
    return write(program, table_for(architecture, features))
