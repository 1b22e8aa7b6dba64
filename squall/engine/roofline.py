"""How much work a step of a plan is, and how fast this machine could do it at most.

Work is counted from the plan, not from the machine: two operations for each multiply-add of a contraction (other
kernels count no operations), and the bytes of every piece of memory a kernel is given, once. The limits (multiply-adds
a second; bytes a second from memory and from the second-level cache) are measured for a machine and number of threads,
and kept on disk beside the kernels. Other work on the machine makes a measurement too low, never too high: the first
few processes that ask measure again, and the best is kept.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import time
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from squall.backends.cpu.build import compile_functions
from squall.backends.cpu.target import host_target
from squall.base.dim import evaluate
from squall.compiler.chains import words_of
from squall.ir.plan import ContractStep, KernelStep, Plan
from squall.runtime import disk_cache, host
from squall.runtime.memory import host_pool
from squall.runtime.native import get_num_threads
from squall.runtime.plan_image import Bind, PlanImage, Step

_FORMAT = 2
_MEASUREMENTS = 4
_CHAINS = 12  # multiply-adds in flight: more than latency times units of any processor
_ROUNDS = 7
_MEMORY_BYTES = 96 << 20  # of each of two arrays, at least; twice the last cache if that is more


class Work(NamedTuple):
    """Floating-point (or integer) operations of contractions, bytes of operands, and the sizes as text."""

    operations: int
    nbytes: int
    sizes: str = ""


class Limits(NamedTuple):
    """What this machine does at most: operations a second, and bytes a second from the cache and from memory. Operands
    of up to `cache_bytes` are taken to come from the cache."""

    operations: float
    cache: float
    memory: float
    cache_bytes: int

    def seconds(self, work: Work) -> float:
        """The least time some work can take."""
        speed = self.cache if work.nbytes <= self.cache_bytes else self.memory
        return max(work.operations / self.operations, work.nbytes / speed)


def work_of(plan: Plan, step: KernelStep | ContractStep | list, sizes: dict[str, int],
            inside: frozenset[int] = frozenset()) -> Work:
    """The work of one step of a plan, or of a list of steps that run as one, for the values of its symbols; slots
    `inside` are no memory that is read or written."""
    if isinstance(step, list):
        linked = [n for n, s in enumerate(plan.steps) if any(s is one for one in step)]
        kept = [link for link in plan.links if link.step in linked and link.step + 1 in linked]
        passed = frozenset(word.value for link in kept for word in (link.written, link.read))
        parts = [work_of(plan, part, sizes, passed) for part in step]
        return Work(sum(p.operations for p in parts), sum(p.nbytes for p in parts))
    slots = {word.value for word in words_of(step) if word.kind == "slot"} - inside
    if isinstance(step, ContractStep) and step.epilogue is not None:
        slots.discard(step.operands[2].value)  # the sums, which the epilogue takes as they are made
    nbytes = sum(int(evaluate(plan.slots[slot].nbytes, sizes)) for slot in slots)
    if not isinstance(step, ContractStep):
        return Work(0, nbytes)
    extents = dict.fromkeys(("batch", "m", "n", "k"), 1)
    for dim in step.contraction.dims:
        extents[dim.kind] *= evaluate(dim.extent, sizes)
    operations = 2 * prod(extents.values())
    if step.contraction.triangle:
        operations //= 2
    text = "x".join(str(extents[kind]) for kind in ("m", "n", "k"))
    return Work(operations, nbytes, text if extents["batch"] == 1 else f"{extents['batch']} of {text}")


# ---------------------------------------------------------------- the machine's limits
def _peak_text(lanes: int, fused: bool) -> str:
    """A kernel of the ABI: args[0] times, `_CHAINS` independent multiply-adds of vectors; one word is stored."""
    vector = f"<{lanes} x float>"
    name = f"@llvm.fma.v{lanes}f32"
    phis, steps, sums = [], [], []
    for i in range(_CHAINS):
        phis.append(f"  %x{i} = phi {vector} [%start{i}, %entry], [%y{i}, %head]")
        if fused:
            steps.append(f"  %y{i} = call {vector} {name}({vector} %x{i}, {vector} %factor, {vector} %term)")
        else:
            steps.append(f"  %z{i} = fmul {vector} %x{i}, %factor\n  %y{i} = fadd {vector} %z{i}, %term")
        before = f"%sum{i - 1}" if i else "zeroinitializer"
        sums.append(f"  %sum{i} = fadd {vector} {before}, %y{i}")
    starts = "\n".join(f"  %start{i} = insertelement {vector} %term, float {i}.0, i32 0" for i in range(_CHAINS))
    declared = f"declare {vector} {name}({vector}, {vector}, {vector})\n" if fused else ""
    return "\n".join((
        declared + "define void @peak(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {", "entry:",
        "  %times = load i64, ptr %args", "  %each = sub i64 %end, %begin", "  %all = mul i64 %times, %each",
        "  %out.at = getelementptr i64, ptr %args, i64 1", "  %out = load ptr, ptr %out.at",
        f"  %given = load {vector}, ptr %out, align 4",
        f"  %factor = fadd {vector} %given, zeroinitializer", f"  %term = fsub {vector} %given, %factor", starts,
        "  br label %head", "head:", "  %i = phi i64 [0, %entry], [%up, %head]", *phis, *steps,
        "  %up = add i64 %i, 1", "  %more = icmp slt i64 %up, %all", "  br i1 %more, label %head, label %out.block",
        "out.block:", *sums, f"  %first = extractelement {vector} %sum{_CHAINS - 1}, i32 0",
        "  %none = fcmp oeq float %first, 1.25e-1", "  br i1 %none, label %keep, label %done", "keep:",
        "  store float %first, ptr %out", "  br label %done", "done:", "  ret void", "}", ""))


def _stream_text(lanes: int) -> str:
    """A kernel of the ABI: unit i adds args[2] floats of the array args[1] to those of args[0], args[3] times."""
    vector, step = f"<{lanes} x float>", 4 * lanes
    parts = []
    for u in range(4):
        parts.append(f"  %a{u}.at = getelementptr float, ptr %a.from, i64 {u * lanes}\n"
                     f"  %b{u}.at = getelementptr float, ptr %b.from, i64 {u * lanes}\n"
                     f"  %a{u} = load {vector}, ptr %a{u}.at, align 64\n"
                     f"  %b{u} = load {vector}, ptr %b{u}.at, align 64\n"
                     f"  %c{u} = fadd {vector} %a{u}, %b{u}\n  store {vector} %c{u}, ptr %a{u}.at, align 64")
    body = "\n".join(parts)
    return f"""define void @stream(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{
entry:
  %a = load ptr, ptr %args
  %b.at = getelementptr i64, ptr %args, i64 1
  %b = load ptr, ptr %b.at
  %n.at = getelementptr i64, ptr %args, i64 2
  %n = load i64, ptr %n.at
  %times.at = getelementptr i64, ptr %args, i64 3
  %times = load i64, ptr %times.at
  %from = mul i64 %begin, %n
  %to = mul i64 %end, %n
  br label %again
again:
  %t = phi i64 [0, %entry], [%t.up, %next]
  br label %head
head:
  %i = phi i64 [%from, %again], [%up, %head]
  %a.from = getelementptr float, ptr %a, i64 %i
  %b.from = getelementptr float, ptr %b, i64 %i
{body}
  %up = add i64 %i, {step}
  %more = icmp slt i64 %up, %to
  br i1 %more, label %head, label %next
next:
  %t.up = add i64 %t, 1
  %repeat = icmp slt i64 %t.up, %times
  br i1 %repeat, label %again, label %out
out:
  ret void
}}
"""


def _best_seconds(step: Step, values: list[int]) -> float:
    """The least time of several runs of a step, the threads awake."""
    image = PlanImage([step], len(values))
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        image.run(values)
        best = min(best, time.perf_counter() - began)
    return best


def reference_kernels() -> tuple[int, int, int]:
    """Addresses of the kernels that go as fast as this machine can (`_peak_text`, `_stream_text`), and the operations
    of one turn of the first."""
    target = host_target()
    lanes = target.lanes(4)
    texts = {("peak", lanes): (_peak_text(lanes, target.isa != "sse4"), ("peak",)),
             ("stream", lanes): (_stream_text(lanes), ("stream",))}
    found = compile_functions(texts)
    return found["peak", lanes]["peak"], found["stream", lanes]["stream"], 2 * _CHAINS * lanes


def _measured(threads: int) -> Limits:
    target = host_target()
    lanes = target.lanes(4)
    peak, stream, turn = reference_kernels()
    out = (ctypes.c_float * lanes)(*[1.0] * lanes)
    times, units = 20_000, 32 * threads
    seconds = _best_seconds(Step(peak, (times, Bind(0)), units=units), [ctypes.addressof(out)])
    operations = float(turn) * times * units / seconds

    def bandwidth(nbytes: int, units: int, passes: int) -> float:
        """Bytes a second over two arrays of `nbytes`, each read, one written."""
        each = nbytes // units // 1024 * 1024
        one, two = host_pool().zeros(each * units), host_pool().zeros(each * units)
        step = Step(stream, (Bind(0), Bind(1), each // 4, passes), units=units)
        return 3.0 * each * units * passes / _best_seconds(step, [one.pointer, two.pointer])

    _, second, last = target.cache_bytes
    cached = max(second // 4, 64 << 10)
    memory = bandwidth(max(_MEMORY_BYTES, 2 * last if last < 256 << 20 else 0), 16 * threads, 1)
    return Limits(operations, bandwidth(cached * threads, threads, 400), memory, second * threads)


@lru_cache(maxsize=16)
def _limits(isa: str, threads: int) -> Limits:
    facts = host.facts()
    whole = repr(("roofline", _FORMAT, facts.processor, facts.features, isa, threads))
    key = hashlib.sha256(whole.encode()).hexdigest()
    kept: Any = disk_cache.disk().get(key)
    known, times = Limits(0.0, 0.0, 0.0, 0), 0
    if kept is not None:
        try:
            (operations, cache, memory, cache_bytes), times = json.loads(kept)
            known = Limits(float(operations), float(cache), float(memory), int(cache_bytes))
        except (ValueError, TypeError):
            times = 0
    if times >= _MEASUREMENTS:
        return known
    best = Limits(*map(max, known, _measured(threads)))
    disk_cache.disk().put(key, json.dumps((best, times + 1)).encode())
    return best


def limits() -> Limits:
    """This machine's limits with the threads in use; measured (half a second) by the first processes that ask.

    Example:
        >>> limits().operations > 0
        True
    """
    return _limits(host_target().isa, get_num_threads())
