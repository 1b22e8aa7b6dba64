"""Running linear programs both ways, on arrays: compiled for an instruction set, and by the python backend."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np

from squall.backends.cpu import compile_program
from squall.backends.cpu.target import host_target, named_target
from squall.backends.python import execute
from squall.backends.python.values import STORAGE
from squall.compiler.expand import expand
from squall.ir.linear import I64, PTR, Builder, Program, Reg, Type
from squall.ir.linear_verify import verify

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
ORDER = ("sse4", "avx2", "avx512")


def host_sets() -> tuple[str, ...]:
    """The instruction sets this machine can run, least first."""
    best = host_target().isa
    return ORDER[: ORDER.index(best) + 1] if best in ORDER else (best,)


def storage(scalar: str) -> np.dtype:
    """How elements of a scalar lie in memory."""
    return np.dtype("uint8" if scalar == "bool" else STORAGE[scalar])


@lru_cache(maxsize=512)
def _address(program: Program, isa: str) -> int:
    return compile_program(program, named_target(isa) if isa else None)


def run(program: Program, arrays: list[np.ndarray], words: tuple[int, ...] = (), units: tuple[int, int] = (0, 1),
        isa: str | None = "") -> None:
    """Run a program on arrays, whose addresses come first in its args; `isa` None: by the python backend."""
    args = np.array([a.ctypes.data for a in arrays] + [w & (2**64 - 1) for w in words], np.uint64)
    scratch = np.zeros(program.scratch_bytes + 64, np.uint8)
    if isa is None:
        execute(program, args.ctypes.data, *units, scratch.ctypes.data)
    else:
        KERNEL(_address(program, isa))(args.ctypes.data, *units, scratch.ctypes.data)


def lanewise(name: str, operands: list[Type], result: Type, build, scales: bool = False) -> Program:
    """A kernel that applies `build(builder, *registers)` to whole arrays, lane blocks at a time, under a mask."""
    b, lanes = Builder.kernel(name), result.lanes
    pointers = [b.argument(i, PTR) for i in range(len(operands) + 1)]
    count = b.argument(len(pointers), I64)
    with b.loop(b.begin, b.end, b.int(lanes)) as i:
        left = b.sub(count, i)
        mask = b.mask_below(left, lanes) if lanes > 1 else b.compare("lt", b.int(0), left)
        values = [b.load(t, b.gep(p, i, t.scalar), mask) for t, p in zip(operands, pointers, strict=False)]
        b.store(build(b, *values), b.gep(pointers[-1], i, result.scalar), mask)
    return verify(expand(verify(Program((b.finish(),), name)), scales), expanded=True)


def apply(program: Program, arrays: list[np.ndarray], result: Type, isa: str | None = "") -> np.ndarray:
    """Run a `lanewise` program on arrays of one length."""
    out = np.zeros(len(arrays[0]), storage(result.scalar))
    run(program, [*arrays, out], (len(out),), (0, len(out)), isa)
    return out


def same_bits(a: np.ndarray, b: np.ndarray, scalar: str) -> np.ndarray:
    """Where two results have equal bits; NaN of any payload is one value."""
    nan = {"f16": 0x7C00, "bf16": 0x7F80}.get(scalar)
    if nan is not None:
        both = ((a & 0x7FFF) > nan) & ((b & 0x7FFF) > nan)
    else:
        both = np.isnan(a) & np.isnan(b) if scalar in ("f32", "f64") else np.zeros(a.shape, bool)
    bits = np.dtype(f"u{a.dtype.itemsize}")
    return both | (a.view(bits) == b.view(bits))


def samples(scalar: str, count: int, seed: int) -> np.ndarray:
    """Random bits of a scalar, with its awkward values in front."""
    rng = np.random.default_rng(seed)
    kind = storage(scalar)
    if scalar == "bool":
        return rng.integers(0, 2, count).astype(np.uint8)
    bits = rng.integers(0, 256, count * kind.itemsize, dtype=np.uint8).view(kind)
    if kind.kind == "f":
        mild = (rng.standard_normal(count) * 10).astype(kind)
        bits = np.where(rng.random(count) < 0.6, mild, bits)
        info = np.finfo(kind)
        edges = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny,
                 info.smallest_subnormal, 2.0**31, -(2.0**31), 2.0**63, 2.0**64, 255.9, -0.9, 65519.9]  # fmt: skip
        edges = np.array(edges).astype(kind)
    elif scalar in ("f16", "bf16"):
        edges = np.array([0, 0x8000, 1, 0x7C00, 0xFC00, 0x7E00, 0x7F80, 0x3C00, 0x3F80, 0x7BFF, 0x03FF, 0x7FC0], kind)
    else:
        info = np.iinfo(kind)
        small = rng.integers(max(info.min, -9), 10, count).astype(kind)
        bits = np.where(rng.random(count) < 0.5, small, bits)
        edges = np.array([0, 1, info.max, info.min, 2, 3, info.max - 1, info.min + 1], kind)
    bits[: min(count, len(edges))] = edges[:count]
    return np.ascontiguousarray(bits)


def pairs(scalar: str, count: int, seed: int) -> list[np.ndarray]:
    """Two samples in which the awkward values of one meet those of the other."""
    a = samples(scalar, count, seed)
    return [a, np.ascontiguousarray(np.roll(a, 1 + seed % 7)[::-1])]


def constant(b: Builder, value, register: Reg) -> Reg:
    """A constant of a register's type."""
    return b.const(value, register.type)
