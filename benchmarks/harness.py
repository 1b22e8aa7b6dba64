"""Runs contenders in turn, compares their outputs first, and keeps medians with their spread.

A case names its contenders, each a function that builds a `Program`. For every thread count one child process
is pinned to that many cores before anything is imported; in it all contenders are built, their outputs compared
with the reference's, and then measured in rounds: each round takes one sample of every contender, in an order
that rotates, so that a slow moment of the machine meets all of them. A contender whose outputs differ is
reported as wrong and gets no time. A contender that needs an environment of its own, or may take forever, is built
in a process beside it (`benchmarks.apart`) and takes its turns from there.
"""

import gc
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks import limits
from benchmarks.apart import Apart

OWN = "squall"
LIMIT = "machine limit"  # no contender: what the processor itself allows, see `benchmarks.limits`
# Worker threads of the contender before keep spinning for a moment; they shall not take this one's cores.
SETTLE_SECONDS = 0.005
NOT_INSTALLED, FAILED, WRONG, MEASURED = "not installed", "failed", "wrong", "measured"


@dataclass
class Program:
    """A contender ready to run: `outputs` once, for comparison, then `call` as often as it takes.

    A program that is not timed by its calls gives `reading` instead: a number each time it is asked, such as the
    seconds that a process of its own reports, or bytes.
    """

    call: Callable[[], object]
    outputs: Callable[[], list | None]  # None: there is nothing to compare
    reading: Callable[[], float] | None = None

    def calibrate(self, settings: "Settings") -> int:
        """Warm up, and say how many calls make one sample."""
        return 1 if self.reading else calibrate(self, settings)

    def sample(self, calls: int, per_call: int) -> float:
        """Seconds per user call over one sample, or one reading."""
        return self.reading() if self.reading else sample(self, calls, per_call)

    def close(self) -> None:
        """Nothing more will be asked."""


@dataclass(frozen=True)
class Case:
    """One workload: who takes part, how closely they must agree, and what a call is."""

    name: str
    group: str
    about: str
    contenders: dict[str, Callable[[], Program]]
    reference: tuple[str, ...] = ("torch eager", "numpy")
    tolerance: float = 1e-4
    per_call: int = 1  # user calls inside one `call`; times are per user call
    full: bool = False  # only with --full: seconds per call
    threads: tuple[int, ...] = (1, 2)
    unit: str = "s"  # or "bytes"
    rounds: int = 1000  # at most so many, where a sample takes long
    flops: float = 0.0  # float32 operations of a call, counting a multiply-add as two
    traffic: float = 0.0  # bytes that a call has to move from and to memory


def repeated(call: Callable[[], Any], times: int) -> Callable[[], Any]:
    """A function that makes a call so many times."""

    def run() -> None:
        for _ in range(times):
            call()

    return call if times == 1 else run


@dataclass(frozen=True)
class Settings:
    """How long to measure."""

    rounds: int = 25
    sample_seconds: float = 0.02
    warmup_seconds: float = 0.3
    warmup_calls: int = 3
    limit_seconds: float = 120.0  # rounds stop early when a case takes longer than this

    @classmethod
    def quick(cls) -> "Settings":
        """A look in passing: a few seconds for each case."""
        return cls(rounds=7, sample_seconds=0.01, warmup_seconds=0.1, limit_seconds=20.0)


@dataclass
class Outcome:
    """What came of one contender: seconds per user call, one per round, or why there are none."""

    status: str
    reason: str = ""
    calls_per_sample: int = 0
    samples: list[float] = field(default_factory=list)


CASES: dict[str, Case] = {}


def register(case: Case) -> Case:
    """Add a case to the table; names are unique."""
    if case.name in CASES:
        raise ValueError(f"two benchmark cases are called {case.name!r}")
    CASES[case.name] = case
    return case


# ---------------------------------------------------------------------------------------------- in the child


def build(case: Case, wanted: Callable[[str], bool]) -> tuple[dict[str, Program], dict[str, Outcome]]:
    """The contenders that could be built, and why the others could not."""
    programs, outcomes = {}, {}
    for name, make in case.contenders.items():
        if not wanted(name):
            continue
        try:
            programs[name] = make.start(case.name, name) if isinstance(make, Apart) else make()
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            status = NOT_INSTALLED if missing and missing != OWN else FAILED
            outcomes[name] = Outcome(status, f"{type(error).__name__}: {error}")
        except Exception as error:  # a contender that cannot be built is a result, not the end of the run
            outcomes[name] = failed(error)
    return programs, outcomes


def failed(error: Exception) -> Outcome:
    """The outcome of an exception, with its traceback on the error stream."""
    traceback.print_exception(error)
    return Outcome(FAILED, f"{type(error).__name__}: {str(error).strip()[:300]}")


def compare(case: Case, programs: dict[str, Program]) -> dict[str, Outcome]:
    """Run every contender once; those that disagree with the reference, with the reason."""
    outputs, outcomes = {}, {}
    for name, program in programs.items():
        try:
            values = program.outputs()
            if values is not None:
                outputs[name] = [np.asarray(value, dtype=np.float64) for value in values]
        except Exception as error:  # the same: a result
            outcomes[name] = failed(error)
    reference = next((name for name in (*case.reference, *outputs) if name in outputs), None)
    for name, values in outputs.items():
        why = difference(outputs[reference], values, case.tolerance)
        if why:
            outcomes[name] = Outcome(WRONG, f"differs from {reference}: {why}")
    return outcomes


def difference(wanted: list, got: list, tolerance: float) -> str | None:
    """What differs by more than the tolerance, relative to the largest value of the output."""
    if len(wanted) != len(got):
        return f"{len(got)} outputs, wanted {len(wanted)}"
    for index, (x, y) in enumerate(zip(wanted, got, strict=True)):
        if x.shape != y.shape:
            return f"output {index} has shape {y.shape}, wanted {x.shape}"
        scale = float(np.max(np.abs(x))) if x.size else 0.0
        error = float(np.max(np.abs(x - y))) if x.size else 0.0
        if not error <= tolerance * max(scale, 1e-30):
            return f"output {index} is off by {error:.3g} of {scale:.3g}"
    return None


def calibrate(program: Program, settings: Settings) -> int:
    """Warm up, and say how many calls make one sample."""
    began, calls, last = time.perf_counter(), 0, 0.0
    while calls < settings.warmup_calls or time.perf_counter() - began < settings.warmup_seconds:
        start = time.perf_counter()
        program.call()
        last = time.perf_counter() - start
        calls += 1
        if calls >= settings.warmup_calls and last > settings.warmup_seconds:
            break
    return max(1, round(settings.sample_seconds / max(last, 1e-9)))


def sample(program: Program, calls: int, per_call: int) -> float:
    """Seconds per user call, over one sample."""
    call = program.call
    gc.collect()
    time.sleep(SETTLE_SECONDS)
    gc.disable()
    try:
        began = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - began) / (calls * per_call)
    finally:
        gc.enable()


def measure(case: Case, settings: Settings, wanted: Callable[[str], bool]) -> dict[str, Outcome]:
    """All contenders of a case in this process, and those beside it."""
    programs, outcomes = build(case, wanted)
    try:
        outcomes |= compare(case, programs)
        if case.flops or case.traffic:
            programs[LIMIT] = limits.program(case.flops, case.traffic)
        take_turns(case, settings, programs, outcomes)
    finally:
        for program in programs.values():
            program.close()
    return {name: outcomes[name] for name in (*case.contenders, LIMIT) if name in outcomes}


def take_turns(case: Case, settings: Settings, programs: dict[str, Program], outcomes: dict[str, Outcome]) -> None:
    """Fill `outcomes` with samples of the programs that are not in it yet; who fails leaves."""
    running = [name for name in programs if name not in outcomes]
    for name in list(running):
        try:
            outcomes[name] = Outcome(MEASURED, calls_per_sample=programs[name].calibrate(settings))
        except Exception as error:  # a result, as above
            outcomes[name] = failed(error)
            running.remove(name)
    began = time.perf_counter()
    for turn in range(min(settings.rounds, case.rounds)):
        if turn >= 3 and time.perf_counter() - began > settings.limit_seconds:
            break
        shift = turn % max(len(running), 1)
        for name in running[shift:] + running[:shift]:
            outcome = outcomes[name]
            try:
                outcome.samples.append(programs[name].sample(outcome.calls_per_sample, case.per_call))
            except Exception as error:
                outcomes[name] = failed(error)
                running.remove(name)


def measure_request(request: dict) -> dict:
    """What a child was asked for, as plain data; see `benchmarks.child`."""
    allowed = request["contenders"]
    outcomes = measure(
        CASES[request["case"]],
        Settings(**request["settings"]),
        lambda name: not allowed or any(part in name for part in allowed),
    )
    return {name: asdict(outcome) for name, outcome in outcomes.items()}


# ---------------------------------------------------------------------------------------------- in the parent


def run(case: Case, threads: int, settings: Settings, contenders: list[str]) -> dict:
    """Measure a case with a number of threads in a process of its own; the entry of the results file."""
    request = {"case": case.name, "threads": threads, "settings": asdict(settings), "contenders": contenders}
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", json.dumps(request)],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    lines = process.stdout.strip().splitlines()
    if process.returncode or not lines:
        outcomes = {OWN: Outcome(FAILED, f"the process ended with status {process.returncode}")}
    else:
        outcomes = {name: Outcome(**fields) for name, fields in json.loads(lines[-1]).items()}
    return entry(case, threads, outcomes)


def entry(case: Case, threads: int, outcomes: dict[str, Outcome]) -> dict:
    """One case with one number of threads, as it stands in a results file."""
    own, results = best_own(outcomes), {}
    ours = {name: outcome.samples for name, outcome in outcomes.items() if name.startswith(OWN) and outcome.samples}
    for name, outcome in outcomes.items():
        results[name] = {"status": outcome.status, "reason": outcome.reason}
        if outcome.samples:
            results[name] |= spread(outcome.samples) | {"calls_per_sample": outcome.calls_per_sample}
            if own and name not in ours:
                results[name]["ratio"] = ratio(outcome.samples, ours[own])
                results[name]["ratios"] = {way: ratio(outcome.samples, samples) for way, samples in ours.items()}
    found = {"case": case.name, "about": case.about, "threads": threads, "own": own, "results": results}
    return found if case.unit == "s" else found | {"unit": case.unit}


def best_own(outcomes: dict[str, Outcome]) -> str | None:
    """The fastest squall contender: what a user gets who uses squall as intended."""
    own = [name for name, outcome in outcomes.items() if name.startswith(OWN) and outcome.samples]
    return min(own, key=lambda name: statistics.median(outcomes[name].samples), default=None)


def spread(samples: list[float]) -> dict:
    """Median, quartiles, median absolute deviation, minimum and count of a list of seconds."""
    middle = statistics.median(samples)
    low, _, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else (middle, middle, middle)
    return {
        "median": middle,
        "quartiles": [low, high],
        "mad": statistics.median(abs(value - middle) for value in samples),
        "minimum": min(samples),
        "rounds": len(samples),
    }


def ratio(peer: list[float], own: list[float]) -> dict:
    """The ratio of medians, peer to squall (above 1: squall is faster), and the quartiles over rounds."""
    rounds = [a / b for a, b in zip(peer, own, strict=False)]
    low, _, high = statistics.quantiles(rounds, n=4) if len(rounds) > 1 else (rounds[0],) * 3
    return {"medians": statistics.median(peer) / statistics.median(own), "quartiles": [low, high]}
