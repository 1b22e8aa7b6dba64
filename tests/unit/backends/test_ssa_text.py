"""The text of kernels: deterministic, quick to write, without fast-math, and legal for machines we do not have."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from squall.backends import ssa_text
from squall.backends.cpu import write_program
from squall.backends.cpu.build import assembly_of, object_of
from squall.backends.cpu.table import Table
from squall.backends.cpu.target import host_target, named_target
from squall.base.errors import CompileError
from squall.compiler.expand import expand
from squall.ir.linear import F32, PTR, TRANSCENDENTAL, Builder, Program, Type
from tests.unit.backends.linear_support import lanewise
from tests.unit.backends.test_instructions import memory_program

GELU = """
from squall.backends import ssa_text
from squall.backends.cpu.table import Table
from tests.unit.backends.test_ssa_text import gelu
print(ssa_text.write(gelu(), Table()), end="")
"""


def gelu() -> Program:
    """x / 2 (1 + erf(x / sqrt 2)), masked."""
    kind = Type("f32", 16)

    def build(b, x):
        half = b.mul(x, b.const(0.5, kind))
        return b.fma(half, b.op("erf", b.mul(x, b.const(0.7071067811865476, kind))), half)

    return lanewise("gelu", [kind], kind, build)


def test_text_is_the_same_in_every_process():
    here = ssa_text.write(gelu(), Table())
    assert here == ssa_text.write(gelu(), Table())
    run = subprocess.run([sys.executable, "-c", GELU], capture_output=True, text=True, check=True)
    assert run.stdout == here


def test_no_fast_math_and_no_calls_of_libraries():
    for name, count in TRANSCENDENTAL.items():
        for scalar in ("f32", "f64"):
            kind = Type(scalar, 8)
            text = ssa_text.write(lanewise(name, [kind] * count, kind, lambda b, *x: b.op(name, *x)), Table())  # noqa: B023
            words = text.split()
            assert not {"fast", "contract", "reassoc", "nnan", "ninf", "nsz", "arcp", "afn", "frem"} & set(words)
            called = {w.split("(")[0] for w in words if w.startswith("@")}
            assert all(c.startswith("@llvm.") or c == f"@{name}" for c in called), called


def test_writing_is_quick():
    program = gelu()
    ssa_text.write(program, Table())
    best = min(_seconds(lambda: ssa_text.write(program, Table())) for _ in range(7))
    count = sum(len(f.body) for f in program.functions)
    # A few microseconds an instruction; the bound leaves room for a slow machine.
    assert best / count < 20e-6


def _seconds(function) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def test_products_and_sums_are_not_fused():
    kind = Type("f32", 16)
    program = lanewise("separate", [kind, kind], kind, lambda b, x, y: b.add(b.mul(x, y), y))
    if host_target().architecture == "x86_64":
        assert "vfmadd" not in assembly_of(write_program(program), ["separate"])
    code = assembly_of(write_program(program, named_target("neon")), ["separate"], named_target("neon"))
    assert "fmla" not in code and "fmul" in code


@pytest.mark.parametrize("isa", ["sse4", "avx2", "avx512", "neon"])
def test_objects_for_every_instruction_set(isa):
    """Text for machines other than this one becomes an object as well."""
    target = named_target(isa)
    texts = [(write_program(memory_program(), target), ("memory",)), (write_program(gelu(), target), ("gelu",))]
    for scalar in ("f16", "bf16", "bool", "u8", "i64"):
        kind, single = Type(scalar, 8), Type("f32", 8)

        def build(b, x, kind=kind, single=single):
            return b.cast(b.op("exp", b.cast(x, single)), kind)

        program = lanewise(f"through_{scalar}", [kind], kind, build)
        texts.append((write_program(program, target), (program.entry,)))
    for name in ("sin", "pow", "digamma"):
        kind = Type("f64", target.lanes(8))
        program = lanewise(f"long_{name}", [kind] * TRANSCENDENTAL[name], kind, lambda b, *x: b.op(name, *x))  # noqa: B023
        texts.append((write_program(program, target), (f"long_{name}",)))
    assert object_of(texts, target)[:4] == b"\x7fELF" or sys.platform == "darwin"


def test_a_transcendental_instruction_is_refused_by_name():
    b = Builder.kernel("k")
    b.op("exp", b.const(1.0, F32))
    with pytest.raises(CompileError, match=r"k: cannot write exp %\d+ of f32"):
        ssa_text.write(Program((b.finish(),), "k"), Table())
    assert "exp" not in ssa_text.write(expand(Program((b.finish(),), "k")), Table())


def test_an_open_structure_is_refused():
    b = Builder.kernel("k")
    b.emit("if", None, (b.const(True, Type("bool")),))
    with pytest.raises(CompileError, match="1 structures are not closed"):
        ssa_text.write(Program((b.finish(),), "k"), Table())


def test_constants_are_spelled_by_bits():
    b = Builder.kernel("k")
    out = b.argument(0, PTR)
    for value, kind in ((0.1, F32), (float("nan"), F32), (1e300, F32), (-1, Type("u8")), (255, Type("i8")),
                        (0.1, Type("bf16")), (1e6, Type("f16")), (0.1, Type("f64", 2)), (2**64 - 1, Type("u64"))):
        b.store(b.const(value, kind), out)
    text = ssa_text.write(Program((b.finish(),), "k"), Table())
    for spelled in ("float 0x3FB99999A0000000,", "float 0x7FF8000000000000,", "float 0x7FF0000000000000,", "i8 255,",
                    "i8 -1,", "i16 15821,", "i16 31744,", "splat (double 0x3FB999999999999A)",
                    "i64 18446744073709551615"):
        assert spelled in text, spelled
