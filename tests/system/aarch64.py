"""Plans for AArch64, run on this machine by QEMU: kernels are compiled as for any other target, linked into a program
that calls them one after the other over memory at a fixed place, and writes its results to standard output.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from typing import Any

import numpy as np

from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import named_target
from squall.backends.ssa_text import write
from squall.base import config
from squall.base.dtypes import numpy_dtype
from squall.compiler.contract import resolve
from squall.compiler.pipeline import compile_plan
from squall.engine.bind import Binding
from squall.engine.link import _programs
from squall.ir.plan import ContractStep, Request
from squall.runtime import linking
from squall.runtime.machine_code import SHORT_PASSES, Unit, compile_objects
from squall.runtime.plan_image import Bind, PlanImage

MACHINE = 183
CODE, DATA = 0x400000, 0x20000000
HEADER = 64  # how many steps, where results are, how many bytes

# system_call(number, three arguments) as words: an assembler for another machine is not at hand.
# mov x8, x0; mov x0, x1; mov x1, x2; mov x2, x3; svc #0; ret
SYSTEM_CALL = (0xAA0003E8, 0xAA0103E0, 0xAA0203E1, 0xAA0303E2, 0xD4000001, 0xD65F03C0)
START = f"""
@system_call = internal constant [6 x i32] [{", ".join(f"i32 {word}" for word in SYSTEM_CALL)}], align 16

@entering = internal global ptr @system_call

define void @start() noreturn {{
entry:
  %data = inttoptr i64 {DATA} to ptr
  %count = load volatile i64, ptr %data
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %body]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %out
body:
  %skip = mul i64 %i, 32
  %from = add i64 %skip, {DATA + HEADER}
  %step = inttoptr i64 %from to ptr
  %kernel = load ptr, ptr %step
  %args.at = getelementptr i64, ptr %step, i64 1
  %args = load ptr, ptr %args.at
  %units.at = getelementptr i64, ptr %step, i64 2
  %units = load i64, ptr %units.at
  %scratch.at = getelementptr i64, ptr %step, i64 3
  %scratch = load ptr, ptr %scratch.at
  call void %kernel(ptr %args, i64 0, i64 %units, ptr %scratch)
  %up = add i64 %i, 1
  br label %head
out:
  %enter = load volatile ptr, ptr @entering
  %results.at = getelementptr i64, ptr %data, i64 1
  %results = load i64, ptr %results.at
  %bytes.at = getelementptr i64, ptr %data, i64 2
  %bytes = load i64, ptr %bytes.at
  %wrote = call i64 %enter(i64 64, i64 1, i64 %results, i64 %bytes)
  %gone = call i64 %enter(i64 93, i64 0, i64 0, i64 0)
  unreachable
}}

define ptr @memset(ptr %to, i32 %value, i64 %count) noinline {{
entry:
  %byte = trunc i32 %value to i8
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %body]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %out
body:
  %at = getelementptr i8, ptr %to, i64 %i
  store volatile i8 %byte, ptr %at
  %up = add i64 %i, 1
  br label %head
out:
  ret ptr %to
}}

define ptr @memcpy(ptr %to, ptr %source, i64 %count) noinline {{
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%up, %body]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %out
body:
  %from = getelementptr i8, ptr %source, i64 %i
  %byte = load volatile i8, ptr %from
  %at = getelementptr i8, ptr %to, i64 %i
  store volatile i8 %byte, ptr %at
  %up = add i64 %i, 1
  br label %head
out:
  ret ptr %to
}}
"""


def emulator() -> str | None:
    """QEMU's user emulator of AArch64: `SQUALL_TEST_QEMU`, or on the path; None without one."""
    return os.environ.get("SQUALL_TEST_QEMU") or shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


class _Layout(linking._Layout):
    """Relocations of AArch64; the image starts at a page, so offsets in it do for addresses."""

    def _resolve(self, i: int, at: int, kind: int, symbol: Any, addend: int) -> None:
        target = self.places.get((i, symbol.place))
        target = self.symbols[symbol.name] if target is None else target + symbol.value
        word = struct.unpack_from("<I", self.data, at)[0]
        value = target + addend
        if kind == 275:  # ADR_PREL_PG_HI21
            pages = (value >> 12) - (at >> 12)
            word |= (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
        elif kind in (277, 278, 284, 285, 286, 299):  # ADD and LDST with the low 12 bits, by the size of what is loaded
            shift = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}[kind]
            word |= (value & 0xFFF) >> shift << 10
        elif kind == 257:  # ABS64
            struct.pack_into("<q", self.data, at, CODE + value)
            return
        elif kind == 261:  # PREL32, of what unwinding needs
            struct.pack_into("<i", self.data, at, value - at)
            return
        elif kind in (282, 283):  # JUMP26, CALL26
            word |= (value - at) >> 2 & 0x3FFFFFF
        else:
            raise AssertionError(f"relocation {kind} of {symbol}")
        struct.pack_into("<I", self.data, at, word)


class _Memory:
    """The data segment while it is laid out."""

    def __init__(self, first: int):
        self.bytes = bytearray(first)

    def put(self, data: bytes) -> int:
        """Bytes at the next line; gives their address."""
        self.bytes += bytes(-len(self.bytes) % 64)
        at = DATA + len(self.bytes)
        self.bytes += data
        return at


def _linked(programs: dict[Any, Any]) -> tuple[_Layout, dict[Any, int]]:
    """The code, and the address of each program."""
    target, table = named_target("neon"), table_for("aarch64")
    names = {key: f"kernel_{i}" for i, key in enumerate(programs)}
    units = [Unit(write(program, table), {program.entry: names[key]}) for key, program in programs.items()]
    blobs = compile_objects([Unit(START, {name: name for name in ("start", "memset", "memcpy")})], target.code, ())
    blobs += compile_objects(units, target.code, SHORT_PASSES)
    layout = _Layout([linking._Object(blob, MACHINE) for blob in blobs])
    assert not layout.stubs, f"functions of a C library: {sorted(layout.stubs)}"
    layout.resolve()
    return layout, {key: CODE + layout.symbols[name] for key, name in names.items()}


def _executable(layout: _Layout, data: bytes) -> bytes:
    """A static program: code at CODE, data at DATA."""
    code = bytes(layout.data)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, MACHINE, 1, CODE + layout.symbols["start"],
                         64, 0, 0, 64, 56, 2, 0, 0, 0)  # fmt: skip
    places = 0x1000, 0x1000 + (len(code) + 0xFFF & ~0xFFF)
    parts = ((7, places[0], CODE, code, layout.size), (6, places[1], DATA, data, len(data)))
    segments = b"".join(struct.pack("<IIQQQQQQ", 1, flags, at, to, to, len(part), size, 0x1000)
                        for flags, at, to, part, size in parts)  # fmt: skip
    return (header + segments).ljust(places[0], b"\0") + code.ljust(places[1] - places[0], b"\0") + data


def run(roots: list[Any], bindings: dict[Any, np.ndarray]) -> list[np.ndarray]:
    """Values of Nodes over placeholders, computed by AArch64 code."""
    inputs = sorted(bindings, key=lambda node: node.attrs[0])
    with config.options(isa="neon"):
        request = Request(tuple(roots), tuple(inputs), (), (False,) * len(inputs), (True,) * len(inputs))
        plan = compile_plan(request)._replace(regions=())
        programs = _programs(plan)
        for step in plan.steps:
            if isinstance(step, ContractStep):
                programs.update({made.key: made.program for made in resolve(step, {})})
        layout, addresses = _linked(programs)
        binding = Binding(plan, addresses, {}, "cpu")
    steps = [step for image in binding.segments for step in image.steps]
    assert all(isinstance(image, PlanImage) for image in binding.segments)
    memory = _Memory(HEADER + 32 * len(steps))
    values = [memory.put(np.ascontiguousarray(bindings[node]).tobytes() or bytes(8)) for node in inputs]
    values += [memory.put(bytes(max(nbytes, 8))) for nbytes in binding.output_bytes]
    first, last = values[len(inputs)], DATA + len(memory.bytes)
    values += [memory.put(bytes(max(binding.arena_bytes, 8))), memory.put(bytes(16))]
    scratch = memory.put(bytes(max([step.scratch for step in steps], default=0) + 64))

    def bound(word: Any) -> int:
        at, constant = word if isinstance(word, Bind) else (-1, word)
        return (values[at] if at >= 0 else 0) + constant

    table = [len(steps), first, last - first, 0, 0, 0, 0, 0]
    for step in steps:
        args = memory.put(b"".join(struct.pack("<q", bound(word)) for word in step.args) or bytes(8))
        table += (step.kernel, args, bound(step.units), scratch)
    memory.bytes[:8 * len(table)] = struct.pack(f"<{len(table)}q", *table)
    told = _emulated(_executable(layout, bytes(memory.bytes)))
    out = []
    for made, at in zip(plan.outputs, values[len(inputs):], strict=False):
        kind = np.dtype(numpy_dtype(made.dtype))
        assert made.strides is None
        count = int(np.prod(made.shape))
        out.append(np.frombuffer(told, kind, count, at - first).reshape(made.shape))
    return out


def _emulated(program: bytes) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".aarch64", delete=False) as file:
        file.write(program)
    try:
        os.chmod(file.name, 0o700)
        run = subprocess.run([str(emulator()), file.name], capture_output=True, timeout=120, check=False)
    finally:
        os.unlink(file.name)
    assert run.returncode == 0, f"the program ended with {run.returncode}: {run.stderr[-300:]!r}"
    return run.stdout
