"""Matrix products and convolutions of the contraction nest beside PyTorch and NumPy, on one pinned thread.

`python benchmarks/contraction.py [--quick] [--only matmul|convolution|compile]`. Each line alternates all contenders
and a register-only loop of multiply-adds, so that a slow moment of the machine meets all of them; times are processor
time, since other programs may run. Outputs are compared before anything is measured. Medians; "peak" is the share of
the loop's speed, "x" the peer's time over ours.
"""

import argparse
import ctypes
import os
import sys
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# E402 below: the variables, the pinning and the path above must be set before what reads them is imported.
import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks import limits  # noqa: E402
from squall.backends import ssa_text  # noqa: E402
from squall.backends.cpu.build import compile_functions  # noqa: E402
from squall.backends.cpu.table import table_for  # noqa: E402
from squall.backends.cpu.target import host_target  # noqa: E402
from squall.compiler import nest  # noqa: E402
from squall.compiler.nest.convolution import (  # noqa: E402
    Convolution,
    Placed,
    forward,
    gradient_extents,
    gradient_padding,
    input_gradient,
    weight_gradient,
)
from squall.compiler.nest.microkernel import microkernel  # noqa: E402
from squall.ir.linear import Program  # noqa: E402

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
TARGET = host_target()
ISA = nest.ISAS[TARGET.isa]
torch.set_num_threads(1)
compiled = {}


def compile_program(key, program, fresh=False):
    """The entry of a program, and the milliseconds from its linear IR to code."""
    started = time.perf_counter()
    text = ssa_text.write(program, table_for(TARGET.architecture, TARGET.features))
    if fresh:  # a comment makes the text one that no cache holds
        text += f"\n; {time.time_ns()}\n"
    address = compile_functions({(key, text): (text, [program.entry])}, TARGET)[(key, text)][program.entry]
    return KERNEL(address), (time.perf_counter() - started) * 1e3


def kernel(library):
    if library not in compiled:
        compiled[library] = compile_program(library, nest.program(library))[0]
    return compiled[library]


def aligned(count, dtype="f4"):
    raw = np.zeros(count * np.dtype(dtype).itemsize + 4096, "u1")
    start = -raw.ctypes.data % 4096
    return raw[start:start + count * np.dtype(dtype).itemsize].view(dtype)


scratch = aligned(64 << 20, "u1")


def caller(placed, a, b, c, **options):
    """A function that runs contractions on arrays."""
    calls = []
    for part in placed:
        plan = nest.plan(part.contraction, TARGET.isa, 1, **options)
        starts = {name: array.ctypes.data + offset * array.itemsize
                  for name, array, offset in zip("abc", (a, b, c), part[1:], strict=True)}
        for step in plan.steps:
            words = np.array([starts[w] if isinstance(w, str) else w for w in step.words], "i8")
            assert step.scratch_bytes <= scratch.nbytes
            calls.append((kernel(step.library), words, words.ctypes.data, step.units))

    room = scratch.ctypes.data

    def run(_=(a, b, c)):  # which must live as long as the function
        for entry, _, address, units in calls:
            entry(address, 0, units, room)
    return run


PEAK, PEAK_WORK = limits.multiply_adds()


def measure(contenders, rounds):
    """Medians of processor time per call, contenders in turn."""
    contenders = {**contenders, "peak": PEAK}
    times, counts = {name: [] for name in contenders}, {}
    for name, call in contenders.items():
        call()
        started = time.thread_time()
        call()
        counts[name] = max(1, int(4e-3 / max(time.thread_time() - started, 1e-7)))
    for _ in range(rounds):
        for name, call in contenders.items():
            started = time.thread_time()
            for _ in range(counts[name]):
                call()
            times[name].append((time.thread_time() - started) / counts[name])
    return {name: float(np.median(values)) for name, values in times.items()}


def report(title, work, contenders, rounds):
    times = measure(contenders, rounds)
    peak = PEAK_WORK / times.pop("peak")
    ours = times.pop("squall")
    peers = "  ".join(f"{name} {work / t / 1e9:5.0f} (x {t / ours:4.2f})" for name, t in times.items())
    print(f"{title:38s} squall {work / ours / 1e9:5.0f} GF, {work / ours / peak:4.2f} of peak   {peers}", flush=True)


def close(name, got, wanted, tolerance=2e-5):
    error = abs(got - wanted).max() / abs(wanted).max()
    if not error < tolerance:
        raise SystemExit(f"{name}: outputs differ by {error:.1e} of the largest")


def products(rounds, quick):
    rng = np.random.default_rng(0)
    shapes = [(768, 768, 768), (64, 64, 64), (256, 256, 256), (512, 3072, 768), (128, 768, 3072), (32, 3072, 768),
              (8, 768, 768), (1, 768, 768)]
    for m, n, k in shapes[:3] if quick else shapes:
        for ta, tb in ((False, False), (False, True), (True, False), (True, True)):
            if m < 64 and ta:
                continue
            a = rng.standard_normal((k, m) if ta else (m, k), dtype="f4")
            b = rng.standard_normal((n, k) if tb else (k, n), dtype="f4")
            c, other = np.full((m, n), np.nan, "f4"), np.empty((m, n), "f4")
            left, right = (a.T if ta else a), (b.T if tb else b)
            contraction = nest.matmul(m, n, k, "f32", ta, tb)
            run = caller([Placed(contraction)], a, b, c)
            run()
            close("matmul", c, left.astype("f8") @ right.astype("f8"))
            x, y = (torch.from_numpy(v) for v in (a, b))
            x, y, out = (x.t() if ta else x), (y.t() if tb else y), torch.empty(m, n)
            report(f"{m}x{n}x{k} {'NT'[ta]}{'NT'[tb]}", 2 * m * n * k,
                   {"squall": run, "torch": lambda x=x, y=y, out=out: torch.mm(x, y, out=out),
                    "numpy": lambda p=left, q=right, o=other: np.matmul(p, q, out=o)}, rounds)




LAYERS = [(8, 64, 56, 64, 3, 1), (8, 128, 28, 128, 3, 1), (8, 256, 14, 256, 3, 1), (8, 512, 7, 512, 3, 1),
          (8, 64, 56, 256, 1, 1), (8, 1024, 14, 256, 1, 1), (8, 128, 56, 128, 3, 2), (8, 3, 224, 64, 7, 2)]


def convolutions(rounds, quick):
    torch.manual_seed(0)
    for batch, channels, size, filters, taps, stride in LAYERS[:4] if quick else LAYERS:
        with torch.no_grad():
            _layer(batch, channels, size, filters, taps, stride, rounds)


def _layer(batch, channels, size, filters, taps, stride, rounds):
    pad = taps // 2
    padded = size + 2 * pad
    c = Convolution(batch, channels, filters, (padded,) * 2, (taps,) * 2, (stride,) * 2, (1, 1))
    x, w = torch.randn(batch, channels, size, size), torch.randn(filters, channels, taps, taps)
    y = torch.randn(batch, filters, *c.out)
    work = 2 * y.numel() * channels * taps * taps
    title = f"{batch}x{channels}x{size}x{size} {taps}x{taps}/{stride} -> {filters}"
    px = torch.nn.functional.pad(x, (pad,) * 4).contiguous().numpy()
    out = np.full(y.shape, np.nan, "f4")
    run = caller([forward(c)], px, w.numpy(), out)
    run()
    close("convolution", out, torch.conv2d(x, w, stride=stride, padding=pad).numpy())
    report(title + " forward", work, {"squall": run, "torch": lambda: torch.conv2d(x, w, stride=stride, padding=pad)},
           rounds)

    def gradients(which, double=False):
        tensors = [t.double() for t in (y, x, w)] if double else [y, x, w]
        return torch.ops.aten.convolution_backward(*tensors, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1,
                                                   which)

    out = np.full(w.shape, np.nan, "f4")
    run = caller([weight_gradient(c)], y.numpy(), px, out)
    run()
    wanted = gradients([False, True, False], True)[1]
    close("weight gradient", out, wanted.numpy())
    theirs = abs(gradients([False, True, False])[1] - wanted).max()
    print(f"    largest error of the weight gradient: squall {abs(out - wanted.numpy()).max():.1e}, torch {theirs:.1e}")
    report(title + " weight", work, {"squall": run, "torch": lambda: gradients([False, True, False])}, rounds)

    before, room = gradient_padding(c), gradient_extents(c, (size,) * 2, (pad,) * 2)
    py = np.zeros((batch, filters, *room), "f4")
    py[:, :, before[0]:before[0] + c.out[0], before[1]:before[1] + c.out[1]] = y.numpy()
    out = np.full(x.shape, np.nan, "f4")
    run = caller(input_gradient(c, (size,) * 2, (pad,) * 2), py, w.numpy(), out)
    run()
    close("input gradient", out, gradients([True, False, False])[0].numpy())
    report(title + " input", work, {"squall": run, "torch": lambda: gradients([True, False, False])}, rounds)


def compile_times():
    """From linear IR to code: one new tile on its own, and everything one dtype needs."""
    for rows, vectors in ((ISA.tile.rows, ISA.tile.vectors), *ISA.flat):
        made = microkernel(ISA, "f32", rows, vectors)
        ms = min(compile_program(made.name, Program((made,), made.name), fresh=True)[1] for _ in range(3))
        print(f"microkernel {rows}x{vectors}: {ms:.0f} ms")
    for dtype in ("f32", "f64", "bf16", "i32"):
        accumulate = nest.ACCUMULATE[dtype]
        library = nest.Library("contract", dtype, accumulate, dtype, TARGET.isa)
        started = time.perf_counter()
        program = nest.program(library)
        python = (time.perf_counter() - started) * 1e3
        ms = compile_program(library, program, fresh=True)[1]
        print(f"all of {dtype}: {python:.0f} ms in Python, {ms:.0f} ms from linear IR to code")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["matmul", "convolution", "compile"])
    choices = parser.parse_args()
    rounds = 7 if choices.quick else 15
    if choices.only in (None, "compile"):
        compile_times()
    if choices.only in (None, "matmul"):
        products(rounds, choices.quick)
    if choices.only in (None, "convolution"):
        convolutions(rounds, choices.quick)


if __name__ == "__main__":
    main()
