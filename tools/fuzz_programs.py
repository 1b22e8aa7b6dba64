"""Random whole programs, run twice: `python -m tools.fuzz_programs --programs 1000 --seed 0`.

`tools/fuzz.py` asks whether each op is right; this asks whether programs are: views of views and writes through them,
histories and hooks, functions compiled and called with changing sizes, transforms, modules saved and copied while they
are trained, memory shared with NumPy, threads, mistakes in the middle. `program_lines.py` draws a program line by line,
for the values that stand so far. Every line runs in two worlds: with `--against eager` in squall evaluated op by op
and in squall as it is (lazy, compiled, flushed and collected at random moments), which must give the same bits; with
`--against torch` in PyTorch and in squall. Errors, versions, shapes and dtypes are compared after each line, values
where a program reads them and at its end. What fails is made as short as it will go and printed.
"""

from __future__ import annotations

import argparse
import copy
import gc
import importlib
import pickle
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

import squall as sq
from squall.base.errors import TraceError
from tools.program_lines import Writer, usable

LENGTH = 30
# What values of a dtype may differ by from PyTorch's, of the largest in their tensor: far above rounding, far below a
# wrong program.
NEAR = {"float64": 1e-7, "float32": 2e-3, "complex64": 2e-3}
refused: Counter = Counter()  # why functions were not captured, over all programs


class DifferenceError(AssertionError):
    """Two worlds do not agree."""


class Setting(NamedTuple):
    """How squall runs a program.

    Attributes:
        eager: after every op.
        compiled: functions go through `sq.compile`.
        pending: unevaluated ops at which a flush is forced.
        flush: the chance of a flush after a line.
        collect: the chance of a garbage collection after a line.
        peek: compare metadata after each line, which itself asks for histories.
    """

    eager: bool = False
    compiled: bool = False
    pending: int = 4096
    flush: float = 0.0
    collect: float = 0.0
    peek: bool = True


PLAIN = Setting(eager=True)


def drawn_setting(rng: random.Random) -> Setting:
    """A way to run a program."""
    return Setting(
        compiled=rng.random() < 0.7,
        pending=rng.choice((4096, 4096, 1, 3, 20)),
        flush=rng.choice((0.0, 0.0, 0.3)),
        collect=rng.choice((0.0, 0.0, 0.2)),
        peek=rng.random() < 0.6,
    )


# ---------------------------------------------------------------- what programs are given
def grid(seed: int, shape: tuple) -> np.ndarray:
    """Multiples of an eighth in [-2, 2]."""
    return np.random.default_rng(seed).integers(-16, 17, shape) / 8


def first(value: Any) -> Any:
    """The value, or the first of several."""
    return value[0] if isinstance(value, tuple) else value


def threads(*functions: Callable) -> list:
    """What functions give that run on threads of their own, at once."""
    results: list = [None] * len(functions)
    errors: dict[int, Exception] = {}

    def run(number: int) -> None:
        try:
            results[number] = functions[number]()
        except Exception as error:
            errors[number] = error

    running = [threading.Thread(target=run, args=(k,)) for k in range(len(functions))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return results


def halve(parameter: Any) -> None:
    """A hook."""
    parameter.grad.mul_(0.5)


def refusing(function: Callable) -> Callable:
    """A compiled function; called as it is where it cannot be captured, which is an error that says so."""
    compiled = sq.compile(function)

    def call(*given: Any, **named: Any) -> Any:
        try:
            return compiled(*given, **named)
        except TraceError as error:
            refused[str(error).split("\n")[0][:120]] += 1
            return function(*given, **named)

    return call


class World:
    """A library, and the values of a program that runs in it.

    Args:
        name: "squall" or "torch".
        setting: how squall runs.
        seed: for flushes and collections.
    """

    def __init__(self, name: str, setting: Setting, seed: int):
        self.name, self.setting, self.rng = name, setting, random.Random(seed)
        self.library: Any = importlib.import_module(name)
        self.read: list = []
        self.versions: dict[str, tuple] = {}
        L = self.library
        functions = importlib.import_module(f"{name}.nn.functional")
        checkpoint = sq.checkpoint if name == "squall" else importlib.import_module("torch.utils.checkpoint").checkpoint
        self.values: dict[str, Any] = {
            "L": L, "F": functions, "nn": L.nn, "optim": L.optim, "func": L.func, "np": np, "copy": copy, "gc": gc,
            "pickle": pickle, "grid": grid, "first": first, "threads": threads, "halve": halve, "Double": double(L),
            "read": lambda *given: self.read.extend(map(plain, given)), "seeded": self.seeded, "checkpoint": checkpoint,
            "compiled": refusing if setting.compiled else lambda f: f,
            "G0": L.tensor([0.5], dtype=L.float64), "G1": L.tensor([1.0, 2.0, -1.0], dtype=L.float64),
        }  # fmt: skip
        self.note_versions()
        self.run("f0 = compiled(lambda x, s: (x * s).sin())")

    def seeded(self, module: Any, seed: int) -> Any:
        """A module with values of our own, in float64."""
        module = module.double()
        with self.library.no_grad():
            for number, p in enumerate(module.parameters()):
                p.copy_(self.library.tensor(grid(seed + number, tuple(p.shape)) * 0.5))
        return module

    def run(self, line: str) -> tuple[str, ...]:
        """Run a line; the names of the built-in classes of the error it raised, nearest first."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                if self.name == "torch":
                    exec(line, self.values)
                else:
                    with sq.options(pending_nodes=self.setting.pending, eager=self.setting.eager):
                        exec(line, self.values)
                        self._disturb()
        except Exception as error:
            if not isinstance(error, NameError):
                self.after_error(line)
            self.message = f"{type(error).__name__}: {str(error)[:200]}"
            return tuple(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
        return ()

    def _disturb(self) -> None:
        if self.rng.random() < self.setting.flush:
            sq.flush()
        if self.rng.random() < self.setting.collect:
            gc.collect()

    def after_error(self, line: str) -> None:
        """What a backward pass had done when it failed is nobody's promise: gradients and histories are dropped."""
        if "backward" not in line and "grad(" not in line:
            return
        for name, value in list(self.values.items()):
            if isinstance(value, self.library.Tensor):
                if not usable(value):
                    del self.values[name]
                elif value.is_leaf:
                    value.grad = None
                elif value.requires_grad:
                    del self.values[name]

    def tensors(self) -> dict:
        """The program's Tensors."""
        return {n: v for n, v in self.values.items() if isinstance(v, self.library.Tensor)}

    def facts(self) -> dict:
        """What is known of Tensors without their values."""
        return {name: facts(t, self.versions[name][1]) for name, t in self.tensors().items()}

    def note_versions(self) -> None:
        """How often a Tensor was written before a program had it is an implementation's own."""
        for name, t in self.tensors().items():
            if name not in self.versions or self.versions[name][0] is not t:
                self.versions[name] = t, 0 if t.is_inference() else t._version

    def results(self) -> dict:
        """All values of the program: of Tensors and their gradients, arrays, modules and optimizers."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = {n: plain(v) for n, v in self.values.items() if n[0] in "xG" and n[1:].isdigit()}
            for name, t in self.tensors().items():
                try:
                    made[name] = plain(t)
                except Exception as error:
                    raise DifferenceError(f"unreadable {name}: {type(error).__name__}: {error}") from error
                if usable(t) and (t.is_leaf or t.retains_grad):
                    made[f"{name}.grad"] = plain(t.grad)
            for name, value in self.values.items():
                if name[0] == "m" and name[1:].isdigit():
                    made[name] = [plain(v) for v in value.state_dict().values()]
                    made[f"{name}.grad"] = [plain(p.grad) for p in value.parameters()]
                elif name[0] == "o" and name[1:].isdigit():
                    made[name] = plain_state(value.state_dict()["state"])
        return made


def facts(t: Any, written: int) -> tuple:
    """Shape, dtype, version and history of a Tensor, or that it has none any more."""
    shape, dtype = tuple(t.shape), str(t.dtype).split(".")[-1]
    try:
        leaf = t.grad_fn is None  # PyTorch brings a view's history up to date when it is asked for
    except RuntimeError:
        return shape, dtype
    return shape, dtype, t.requires_grad, leaf, *(() if t.is_inference() else (t._version - written,))


def plain_state(value: Any) -> Any:
    """An optimizer's state as arrays, in order of names; how steps are counted is left out."""
    left_out = ("step", "mu_product")
    if isinstance(value, dict):
        known = sorted(((str(k), v) for k, v in value.items() if k not in left_out), key=lambda pair: pair[0])
        return [plain_state(v) for _, v in known if not isinstance(v, dict) or v]
    return plain(value)


def plain(value: Any) -> Any:
    """A Tensor as an array, anything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach()
        return np.array(value.cpu().numpy())
    return np.array(value) if isinstance(value, np.ndarray) else value


def double(library: Any) -> Any:
    """A function with a gradient of its own."""

    class Double(library.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * x * 2

    return Double


# ---------------------------------------------------------------- running in two worlds
def memory(name: str) -> Callable[[Any], Any]:
    """How a library tells what shares memory."""
    if name == "squall":
        return lambda t: id(t.untyped_storage()._shared)
    return lambda t: t.untyped_storage()._cdata


def drawn(world: World, seed: int, length: int) -> Iterator[str]:
    """Lines for the values of a world as they come to stand."""
    writer = Writer(world.values, random.Random(seed), world.library.Tensor, memory(world.name))
    for _ in range(length):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            line = writer.line()
        yield line


def play(lines: Iterable[str], worlds: tuple[World, World]) -> None:
    """Run lines in two worlds.

    Raises:
        DifferenceError: at the first difference, with the lines that ran as `lines`.
    """
    one, other = worlds
    done: list[str] = []
    try:
        for line in lines:
            done.append(line)
            compare_errors(one, other, one.run(line), other.run(line))
            one.note_versions()
            other.note_versions()
            if other.setting.peek:
                compare_facts(one, other)
            compare_values({str(k): v for k, v in enumerate(one.read)}, {str(k): v for k, v in enumerate(other.read)},
                           near_of(one, other), "read")  # fmt: skip
            one.read.clear()
            other.read.clear()
        done.append("# the end")
        compare_facts(one, other)
        with sq.options(pending_nodes=other.setting.pending):
            compare_values(one.results(), other.results(), near_of(one, other), "result")
    except DifferenceError as difference:
        difference.lines = done  # type: ignore[attr-defined]
        raise


def near_of(one: World, other: World) -> float:
    """How near values must be: equal bits between two ways to run squall, by the least exact dtype otherwise."""
    if one.name == other.name:
        return 0.0
    dtypes = {str(t.dtype).split(".")[-1] for t in one.tensors().values()}
    one.values["__near__"] = max([NEAR[d] for d in dtypes if d in NEAR], default=1e-7)
    return one.values["__near__"]


def compare_errors(one: World, other: World, first: tuple, second: tuple) -> None:
    """The same class of error, or a class of squall's that is one."""
    right = {*second, *(("NotImplementedError",) if "RuntimeError" in second else ())}
    if bool(first) != bool(second) or (first and first[0] not in right):
        said = one.message if first else "no error", other.message if second else "no error"
        raise DifferenceError(f"error: {said[0]} | {said[1]}")


def compare_facts(one: World, other: World) -> None:
    """The same shapes, dtypes, versions and histories."""
    first, second = one.facts(), other.facts()
    for name in first.keys() | second.keys():
        if any(a != b for a, b in zip(first.get(name, ("none",)), second.get(name, ("none",)), strict=False)):
            raise DifferenceError(f"facts of {name}: {first.get(name)} | {second.get(name)}")


def compare_values(first: dict, second: dict, near: float, what: str) -> None:
    """The same values, bit for bit or nearly."""
    for name in sorted(first.keys() | second.keys()):
        a, b = first.get(name), second.get(name)
        if not same(a, b, near):
            raise DifferenceError(f"{what} {name}: {a!r} | {b!r}")


def same(a: Any, b: Any, near: float) -> bool:
    """Whether two values are equal, or near."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, near) for x, y in zip(a, b, strict=True))
    if isinstance(a, (np.ndarray, float)) and isinstance(b, (np.ndarray, float)):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not near or a.dtype.kind not in "fc":
            return a.tobytes() == b.tobytes() or (a.dtype.kind in "fc" and np.array_equal(a, b, equal_nan=True))
        with np.errstate(all="ignore"):
            scale = np.max(np.abs(a), initial=1.0, where=np.isfinite(a))
            return bool(np.all((np.abs(a - b) <= near * scale) | (a == b) | (np.isnan(a) & np.isnan(b))))
    return str(a) == str(b).replace("squall", "torch") or bool(np.all(a == b))


# ---------------------------------------------------------------- one program, and many
def worlds_for(against: str, seed: int) -> tuple[World, World]:
    """The two worlds of a program."""
    rng = random.Random(seed)
    return World("squall" if against == "eager" else "torch", PLAIN, seed), World("squall", drawn_setting(rng), seed)


def check(seed: int, against: str, length: int = LENGTH) -> DifferenceError | None:
    """Draw a program and run it; the difference it shows."""
    pair = worlds_for(against, seed)
    try:
        play(drawn(pair[0], seed, length), pair)
    except DifferenceError as difference:
        return difference
    return None


def shown(lines: list[str], against: str, seed: int) -> DifferenceError | None:
    """The difference that lines show."""
    try:
        play(lines, worlds_for(against, seed))
    except DifferenceError as difference:
        return difference
    return None


def shorten(difference: DifferenceError, against: str, seed: int) -> tuple[list[str], str]:
    """Fewer lines with a difference of the same sort, and what it says."""
    lines = [line for line in difference.lines if line != "# the end"]  # type: ignore[attr-defined]
    said, sort = str(difference), str(difference).split()[0]
    size = max(len(lines) // 2, 1)
    while size:
        position = 0
        while position < len(lines):
            fewer = lines[:position] + lines[position + size:]
            found = shown(fewer, against, seed)
            if found is not None and str(found).split()[0] == sort:
                lines, said = fewer, str(found)
            else:
                position += size
        size //= 2
    return lines, said


def main(arguments: list[str] | None = None) -> int:
    """Run programs until enough ran; what fails is printed shortened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program; the next has the next")
    parser.add_argument("--length", type=int, default=LENGTH, help="lines of a program")
    parser.add_argument("--against", choices=("eager", "torch"), default="eager")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    parser.add_argument("--refused", action="store_true", help="say why functions were not captured")
    given = parser.parse_args(arguments)
    began, failures = time.perf_counter(), 0
    for seed in range(given.seed, given.seed + given.programs):
        difference = check(seed, given.against, given.length)
        if difference is not None:
            failures += 1
            lines, said = shorten(difference, given.against, seed)
            setting = worlds_for(given.against, seed)[1].setting
            print(f"--- program {seed} against {given.against}, {setting}", *lines, f"# {said}", sep="\n", flush=True)
            if not given.keep_going:
                return 1
    for reason, count in refused.most_common() if given.refused else ():
        print(f"{count:6} {reason}")
    print(f"{given.programs} programs in {time.perf_counter() - began:.0f} s, {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
