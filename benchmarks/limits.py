"""What the processor allows: multiply-adds that touch no memory, and copying that does nothing else.

A case that says how many operations and bytes it needs gets one more line, the seconds that the machine itself would
take: the larger of operations over the speed of a loop of independent multiply-adds in registers (all cores of the run
counted alike) and bytes over the speed of a copy of as many. Both are measured in the same rounds as the case.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.harness import Program

TURNS = 20_000


@cache
def multiply_adds() -> tuple[Callable[[], object], int]:
    """A function that runs the loop in registers once, and its float32 operations."""
    import numpy as np

    from squall.backends import ssa_text
    from squall.backends.cpu.build import compile_functions
    from squall.backends.cpu.table import table_for
    from squall.backends.cpu.target import host_target
    from squall.compiler import nest
    from squall.ir.linear import Builder, Program

    target = host_target()
    isa = nest.ISAS[target.isa]
    vector, chains = isa.vector("f32"), isa.tile.rows * isa.tile.vectors
    b = Builder.kernel("peak")
    x = b.load(vector, b.args)
    sums = [b.var(b.const(float(index), vector)) for index in range(chains)]  # distinct, or LLVM keeps only one
    with b.loop(b.begin, b.end):
        for total in sums:
            b.set(total, b.fma(x, x, b.get(total)))
    whole = b.get(sums[0])
    for total in sums[1:]:
        whole = b.add(whole, b.get(total))
    b.store(whole, b.scratch)
    text = ssa_text.write(Program((b.finish(),), "peak"), table_for(target.architecture, target.features))
    address = compile_functions({"peak": (text, ["peak"])}, target)["peak"]["peak"]
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(address)
    room = np.zeros(64, np.float32)
    place = room.ctypes.data + -room.ctypes.data % 64

    def run(_: object = room) -> None:  # the memory lives as long as the function
        entry(place, 0, TURNS, place)

    return run, 2 * chains * vector.lanes * TURNS


@cache
def copying(nbytes: int) -> tuple[Callable[[], object], int]:
    """A function that copies half as many bytes as are to be moved, each core of the run a share, and the bytes: memory
    of the same size lies in the same caches."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    cores = len(os.sched_getaffinity(0))
    source, target = (np.ones(nbytes // 2, np.uint8) for _ in range(2))
    shares = list(zip(np.array_split(target, cores), np.array_split(source, cores), strict=True))
    if cores == 1:
        return lambda: np.copyto(target, source), nbytes
    helpers = ThreadPoolExecutor(cores)
    return lambda: list(helpers.map(lambda share: np.copyto(*share), shares)), nbytes


def rate(work: tuple[Callable[[], object], int]) -> float:
    """Operations or bytes a second, the best of three."""
    run, count = work
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        run()
        best = max(best, count / (time.perf_counter() - began))
    return best


def seconds(flops: float, traffic: float) -> float:
    """How long the machine would need, on as many cores as this process may use."""
    cores = len(os.sched_getaffinity(0))
    computing = flops / (rate(multiply_adds()) * cores) if flops else 0.0
    return max(computing, traffic / rate(copying(int(traffic))) if traffic else 0.0)


def program(flops: float, traffic: float) -> Program:
    """The line of a case."""
    from benchmarks.harness import Program

    return Program(call=lambda: None, outputs=lambda: None, reading=lambda: seconds(flops, traffic))
