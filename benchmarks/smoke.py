"""A quick gate against lost speed: squall beside reference loops in one run, compared with ratios in `smoke.json`.

    python -m benchmarks.smoke [--update] [--rounds N] [NAME ...]

Each case is a program of squall and a reference: the machine's own speed of multiply-adds or of memory, measured by a
loop that squall's compiler did not choose, or plain Python. Both run in turns, on one thread; what counts is the least
time of the one by the least time of the other. Raw times say nothing here: a slow or busy machine slows both. A case
that comes out worse than its committed ratio by more than 15 % is measured again for longer, up to four times, and
fails only when it never comes out better. Ratios are kept by processor; for one without them nothing is compared.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import nn
from squall.backends.cpu.target import host_target
from squall.engine import roofline
from squall.runtime import host
from squall.runtime.memory import host_pool
from squall.runtime.plan_image import Bind, PlanImage, Step

COMMITTED = Path(__file__).with_name("smoke.json")
WORSE = 1.15
PAUSE = 0.5
ATTEMPTS = 5
CALLS = 5  # in a row
Call = Callable[[], object]


# ---------------------------------------------------------------- references
def multiply_adds(operations: float) -> Call:
    """As many operations as fast as this machine does them."""
    peak, _, turn = roofline.reference_kernels()
    lanes = host_target().lanes(4)
    out = (ctypes.c_float * lanes)(*[1.0] * lanes)
    image = PlanImage([Step(peak, (max(int(operations / turn), 1), Bind(0)))], 1)
    return lambda: (image.run([ctypes.addressof(out)]), out)


def moved_bytes(nbytes: int) -> Call:
    """As many bytes read and written, two to one, as fast as this machine does it."""
    _, stream, _ = roofline.reference_kernels()
    each = max(nbytes // 3 // 4096, 1) * 4096
    blocks = [host_pool().zeros(each), host_pool().zeros(each)]
    image = PlanImage([Step(stream, (Bind(0), Bind(1), each // 4, 1))], 2)
    return lambda: image.run([block.pointer for block in blocks])


def plain_python(turns: int) -> Call:
    """So many turns of a loop over small objects."""

    def loop() -> int:
        table: dict[tuple[int, int], int] = {}
        for i in range(turns):
            key = (i & 31, i & 7)
            table[key] = table.get(key, 0) + len(key)
        return len(table)

    return loop


# ---------------------------------------------------------------- cases: squall's call, and its reference
def product() -> tuple[Call, Call]:
    """A product of squares: share of the peak."""
    x, y = sq.rand(384, 384) + 0, sq.rand(384, 384) + 0
    compiled = sq.compile(lambda x, y: x @ y)
    return lambda: compiled(x, y), multiply_adds(2.0 * 384**3)


def convolution() -> tuple[Call, Call]:
    """A 3 x 3 convolution of 64 channels: share of the peak."""
    x, w = sq.rand(4, 64, 28, 28) + 0, sq.rand(64, 64, 3, 3) + 0
    compiled = sq.compile(lambda x, w: F.conv2d(x, w, padding=1))
    return lambda: compiled(x, w), multiply_adds(2.0 * 4 * 64 * 64 * 9 * 28 * 28)


def softmax() -> tuple[Call, Call]:
    """Softmax of rows, against moving its bytes."""
    x = sq.rand(1024, 768) + 0
    compiled = sq.compile(lambda x: x.softmax(-1))
    return lambda: compiled(x), moved_bytes(8 * 1024 * 768)


def elementwise() -> tuple[Call, Call]:
    """A fused chain, against moving its bytes."""
    x, y = sq.rand(1024, 1024) + 0, sq.rand(1024, 1024) + 0
    compiled = sq.compile(lambda x, y: ((x * 2 + y).relu() - x) * y)
    return lambda: compiled(x, y), moved_bytes(12 << 20)


def column_sums() -> tuple[Call, Call]:
    """Sums over rows, against moving the bytes."""
    x = sq.rand(2048, 512) + 0
    compiled = sq.compile(lambda x: x.sum(0))
    return lambda: compiled(x), moved_bytes(4 * 2048 * 512)


def layer_norm() -> tuple[Call, Call]:
    """Layer norm forward and backward, against moving its bytes."""
    x, w, b = (sq.rand(*shape).requires_grad_() for shape in ((512, 768), (768,), (768,)))

    @sq.compile
    def step(x: Any, w: Any, b: Any) -> Any:
        return sq.autograd.grad((F.layer_norm(x, (768,), w, b) ** 2).sum(), (x, w, b))

    return lambda: step(x, w, b), moved_bytes(16 * 512 * 768)


def train_step() -> tuple[Call, Call]:
    """A compiled train step of a perceptron, against its multiply-adds."""
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = sq.optim.AdamW(model.parameters(), lr=1e-4)
    x, y = sq.rand(64, 784), sq.arange(64) % 10

    @sq.compile
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda: step(x, y), multiply_adds(6.0 * 64 * (784 * 256 + 256 * 128 + 128 * 10))


def small_expression() -> tuple[Call, Call]:
    """Recording and evaluating a small expression, forty times, against plain Python."""
    x, y = sq.rand(8) + 0, sq.rand(8) + 0

    def call() -> None:
        for _ in range(40):
            (x + y).sum().item()

    return call, plain_python(1000)


def small_backward() -> tuple[Call, Call]:
    """An uncompiled step of a tiny network, four times, against plain Python."""
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = sq.optim.SGD(model.parameters(), lr=1e-3)
    x = sq.rand(4, 8)

    def call() -> None:
        for _ in range(4):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    return call, plain_python(3000)


def compiled_call() -> tuple[Call, Call]:
    """Calling a compiled function that does next to nothing, a hundred times, against plain Python."""
    x = sq.rand(4) + 0
    compiled = sq.compile(lambda x: x + 1)

    def call() -> None:
        for _ in range(100):
            compiled(x)

    return call, plain_python(3000)


CASES = {f.__name__: f for f in (product, convolution, softmax, elementwise, column_sums, layer_norm, train_step,
                                 small_expression, small_backward, compiled_call)}  # fmt: skip


# ---------------------------------------------------------------- measuring
def _least(call: Call) -> float:
    best = float("inf")
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def ratio(name: str, rounds: int) -> float:
    """The least of squall's times by the least of the reference's, measured in turns."""
    own, reference = CASES[name]()
    for _ in range(20):
        own()
        reference()
    least = [float("inf"), float("inf")]
    for _ in range(rounds):
        for i, call in enumerate((own, reference)):
            least[i] = min(least[i], _least(call))
    return least[0] / least[1]


def processor() -> str:
    """What ratios are kept by."""
    return f"{host.facts().processor} {host_target().isa}"


def check(names: list[str], committed: dict[str, float], rounds: int,
          measure: Callable[[str, int], float] = ratio) -> dict[str, tuple[float, bool]]:
    """Ratio, and whether it is good enough, of each case; what is not is measured again."""
    found = {}
    for name in names:
        limit = committed.get(name, float("inf")) * WORSE
        best = measure(name, rounds)
        for attempt in range(1, ATTEMPTS):
            if best <= limit:
                break
            time.sleep(PAUSE * attempt)  # what else the machine does may end
            best = min(best, measure(name, rounds * 2**attempt))
        found[name] = best, best <= limit
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command; gives its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smoke", description="A quick gate against lost speed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"cases: {', '.join(CASES)}")
    parser.add_argument("--update", action="store_true", help="write what is measured to smoke.json")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in CASES]
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    sq.set_num_threads(1)
    names, here = options.names or list(CASES), processor()
    whole = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    committed = {} if options.update else whole.get(here, {})
    if not committed and not options.update:
        print(f"no ratios are kept for {here} in {COMMITTED.name}; nothing is compared (--update writes them)")
    found = check(names, committed, options.rounds)
    for name, (measured, good) in found.items():
        kept = f"committed {committed[name]:8.3f}" if name in committed else "nothing committed"
        print(f"{name:<18} {measured:8.3f} of its reference, {kept}{'' if good else '   WORSE BY MORE THAN 15 %'}")
    if options.update:
        whole[here] = whole.get(here, {}) | {name: round(measured, 4) for name, (measured, _) in found.items()}
        COMMITTED.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    return 0 if all(good for _, good in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
