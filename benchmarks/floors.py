"""What the measurements are held against: a floor for each kind of work, and the best peer's time it is a ratio of.

A floor is a ratio (the best peer's median over squall's) or, where nobody else offers the like, a number of seconds or
of samples a second. Where the machine itself is the limit the share of that limit counts: a ratio floor also holds when
squall reaches 88 % of `benchmarks.limits`. Every number here was set before anything was measured.
"""

from __future__ import annotations

import fnmatch
import math
from dataclasses import dataclass

OWN = "squall"
NEAR_LIMIT = 0.88
NO_PEERS = (OWN, "machine limit", "python alone")


@dataclass(frozen=True)
class Floor:
    """One line of the table: which cases, and what they have to reach.

    `floor` and `aim` are ratios. `least` is for every single case where the floor is for their geometric mean. `way`
    names the squall contender that counts, the fastest one by default. `seconds` is an absolute limit instead of a
    ratio; `samples` with `rate` one of samples a second, per call of so many samples.
    """

    title: str
    cases: tuple[str, ...]
    floor: float = 0.0
    aim: float = 0.0
    least: float = 0.0
    way: str = ""
    seconds: float = 0.0
    rate: float = 0.0
    samples: int = 0
    threads: tuple[int, ...] = (1, 2)
    only: str = ""  # the one peer that counts
    without: tuple[str, ...] = ()  # contenders that do other work, and are shown only
    note: str = ""  # what a reader of its rows must know


FLOORS = (
    Floor("MLP train step, batch 64", ("mlp-train-64",), 1.2, 2.0),
    Floor("MLP train step, batch 512", ("mlp-train-512",), 1.1, 1.35),
    Floor("LeNet train step, batch 64", ("lenet-train",), 1.3, 3.0),
    Floor("ResNet-18 train step, batch 32", ("resnet18-train",), 1.0, 1.3),
    Floor("ResNet-50 train step, batch 8", ("resnet50-train",), 0.95, 1.3),
    Floor("ResNet inference", ("resnet*-infer-*",), 0.95, 1.1, 0.95),
    Floor("convolutions of ResNet-50, forward", ("conv-*-forward",), 0.95, 1.1, 0.7),
    Floor("the same, gradient of the data", ("conv-*-data",), 0.85, 1.1, 0.7),
    Floor("the same, gradient of the weights", ("conv-*-weight",), 0.8, 1.1, 0.7),
    Floor("float32 matrix products", ("gemm-f32-*", "matmul-*"), 1.0, 1.1, 0.8),
    Floor("bfloat16 and int8 matrix products", ("gemm-bf16-*", "gemm-int8-*"), 1.0, 1.1),
    Floor("linear with epilogue", ("linear-gelu-*", "linear-relu-*", "linear-residual-*"), 1.0, 1.15),
    Floor(
        "softmax, layer norm, GELU chains, cross entropy",
        ("softmax-*", "layernorm-*", "gelu-*", "cross-entropy-*"), 1.3, 1.8,
    ),
    Floor("attention, forward", ("attention-*forward*",), 1.7, 2.2),
    Floor("attention, forward and backward", ("attention-training-*",), 1.4, 2.0),
    Floor("GPT train step", ("gpt-train-full",), 1.0, 1.25),
    Floor("GPT-2 small forward, 512 tokens", ("gpt2-forward",), 1.0, 1.25),
    Floor("GPT-2 small, one token at 511", ("gpt2-decode",), 1.0, 1.35),
    Floor("MiniLM, 1 x 32", ("minilm-1x32",), 1.2, 1.7),
    Floor("MiniLM, 32 x 128", ("minilm-32x128",), 1.1, 1.5),
    Floor("one sample through 784-128-64-10", ("one-sample-784",), 2.0, 3.0, way="squall frozen, a Tensor"),
    Floor("one sample through 2-8-1, a Tensor", ("one-sample-2",), 5.0, 8.0, way="squall compiled, a Tensor"),
    Floor("one sample through 2-8-1, into given memory", ("one-sample-2",), 20.0, 90.0, way="squall frozen, bound"),
    Floor("compiled call with 100 parameters", ("call-100-parameters",), 3.0, 10.0, without=("torch eager",),
          note="PyTorch eager, shown beside it, calls a Python function that looks at two of the 100 tensors; nothing "
               "is looked up, checked or guarded, so it does other work. The floor is for calls of compiled functions, "
               "which take all 100."),
    Floor("64-64-23, batched", ("batched-64-64-23",), rate=25e6, samples=65536, threads=(2,)),
    Floor("uncompiled train steps, MLP", ("mlp-train-*",), 0.8, 1.2, way="squall uncompiled", only="torch eager"),
    Floor(
        "uncompiled train steps, networks and GPT", ("lenet-train", "resnet18-train", "gpt-train-*"), 1.0, 1.2,
        way="squall uncompiled", only="torch eager",
    ),
    Floor("linear, forward and backward", ("linear-forward-backward",), 1.0, 2.0),
    Floor("first train step, nothing kept: MLP and LeNet", ("first-step-mlp-cold", "first-step-lenet-cold"), 1.0, 2.0,
          least=1.0, only="jax"),
    Floor("first train step, nothing kept: ResNet-18", ("first-step-resnet18-cold",), 0.7, 2.0, only="jax"),
    Floor("first train step, code kept: MLP and LeNet", ("first-step-mlp-warm", "first-step-lenet-warm"), seconds=0.6),
    Floor("first train step, code kept: ResNet-18 and GPT", ("first-step-resnet18-warm", "first-step-gpt-warm"),
          seconds=1.5),
    Floor("memory of training", ("memory-*",), 1 / 0.6, 2.0, only="torch eager"),
    Floor("a new expression, first time", ("new-expression",), seconds=15e-3),
    Floor("one operation, computed", ("one-operation",), seconds=10e-6),
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """One case beside its floor."""

    title: str
    entry: dict
    own: str
    peer: str  # the best one, or nobody
    ratio: float  # the peer's median over squall's; 0 without a peer
    spread: tuple[float, float]
    limit: float  # share of the machine's limit; 0 where it is not known
    floor: Floor
    held: bool


def best_peer(results: dict, floor: Floor) -> str:
    """The quickest measured contender that is not squall."""
    peers = [
        name for name, result in results.items()
        if "median" in result and not name.startswith(NO_PEERS) and (not floor.only or name == floor.only)
        and name not in floor.without
    ]  # fmt: skip
    return min(peers, key=lambda name: results[name]["median"], default="")


def verdict(floor: Floor, entry: dict) -> Verdict | None:
    """How a case stands; None when the squall contender that counts has no time."""
    results = entry["results"]
    own = floor.way or entry["own"]
    if own is None or "median" not in results.get(own, {}):
        return None
    peer, median = best_peer(results, floor), results[own]["median"]
    limit = results.get("machine limit", {}).get("median", 0.0) / median
    if not peer:
        value, spread = 0.0, (0.0, 0.0)
    else:
        value = results[peer]["median"] / median
        # Older results hold the spread only beside squall's fastest way.
        known = results[peer].get("ratios", {}).get(own) or (results[peer]["ratio"] if own == entry["own"] else None)
        spread = tuple(known["quartiles"]) if known else (0.0, 0.0)
    return Verdict(
        floor.title, entry, own, peer, value, spread, limit, floor, holds(floor, value, median, limit)
    )


def holds(floor: Floor, value: float, median: float, limit: float) -> bool:
    """Whether one case reaches what is asked of a single one."""
    if floor.seconds:
        return median <= floor.seconds
    if floor.rate:
        return floor.samples / median >= floor.rate
    return value >= (floor.least or floor.floor) or limit >= NEAR_LIMIT


def verdicts(entries: list[dict]) -> list[tuple[Floor, list[Verdict]]]:
    """Every floor with the cases that were measured for it."""
    found = []
    for floor in FLOORS:
        mine = [
            entry for entry in entries
            if entry["threads"] in floor.threads and any(fnmatch.fnmatch(entry["case"], one) for one in floor.cases)
        ]  # fmt: skip
        found.append((floor, [v for v in (verdict(floor, entry) for entry in mine) if v is not None]))
    return found


def together(floor: Floor, cases: list[Verdict]) -> tuple[float, bool]:
    """The geometric mean of a floor's cases, and whether the floor holds for them all."""
    ratios = [max(case.ratio, 1e-9) for case in cases if case.peer]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else 0.0
    each = all(case.held for case in cases)
    if floor.seconds or floor.rate:
        return mean, each
    enough = mean >= floor.floor or all(case.limit >= NEAR_LIMIT for case in cases)
    return mean, enough and (each or not floor.least)
