"""Differential testing of every op against NumPy: `make fuzz`, or `python -m tools.fuzz --cases 100000 --seed 0`.

Hypothesis draws cases (`fuzz_cases.py`) in blocks of 500, each with a seed of its own: `--first 37` goes on with
block 37. A case is evaluated by the compiled path on operands of the drawn memory layouts and compared with the op's
NumPy reference; gradients are compared with differences of the reference. What fails is made as small as it will go
and printed as a program.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from typing import Any

import numpy as np

import squall as sq
from squall.base.dtypes import as_dtype, numpy_dtype
from squall.frontend.core import record
from squall.frontend.evaluation import evaluate_tensors
from squall.ir.op import Op, ops
from tools import fuzz_cases
from tools.fuzz_cases import CONSTANT_OPERANDS, SYMMETRIC_OPERANDS, Case, Operand, arrays_of, draw_case

BLOCK = 500
TOGETHER = 10  # cases that are recorded and compiled together
# Roundings of the dtype that a result may be off by, of the scale of what went in and came out.
UNITS = {
    "complex128": 2.0**-52,
    "complex64": 2.0**-23,
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
}
ALLOWED = {"complex128": 2e5, "complex64": 200, "float64": 2e5, "float32": 200, "float16": 12, "bfloat16": 12}


__all__ = ["Case", "Operand", "block", "main", "program", "run"]


class MismatchError(AssertionError):
    """squall and NumPy do not agree."""


# ---------------------------------------------------------------- running a case
def tensor_of(array: np.ndarray, layout: str) -> Any:
    """A Tensor of an array's values, in memory laid out in some way."""
    whole = sq.tensor(array, dtype=as_dtype(array.dtype))
    if not array.ndim or layout == "plain":
        return whole
    if layout == "transposed":
        order = tuple(reversed(range(array.ndim)))
        return sq.tensor(np.ascontiguousarray(array.transpose(order)), dtype=whole.dtype).permute(*order)
    if layout == "expanded" and array.shape[0] > 1 and all((array[:1] == array).reshape(-1).tolist()):
        return whole[:1].expand(*array.shape)
    if layout == "offset":
        padded = np.concatenate([np.zeros((1, *array.shape[1:]), array.dtype), array])
        return sq.tensor(padded, dtype=whole.dtype)[1:]
    if layout == "strided":
        wide = np.repeat(array, 2, axis=array.ndim - 1)
        return sq.tensor(wide, dtype=whole.dtype)[..., ::2]
    return whole


def values_for(case: Case) -> list[np.ndarray]:
    """The arrays of a case; an expanded operand is the same along its first dimension."""
    arrays = arrays_of(case)
    return [
        np.broadcast_to(a[:1], a.shape).copy() if o.layout == "expanded" and a.ndim and a.shape[0] > 1 else a
        for a, o in zip(arrays, case.operands, strict=True)
    ]


def reference(op: Op, arrays: list, attributes: dict) -> tuple | None:
    """What NumPy gives, or None where the reference has no answer."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = op.reference(*arrays, **attributes)
        except (ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError):
            return None
        except TypeError:
            if any(a.dtype.kind == "V" or a.dtype.name == "bfloat16" for a in arrays):
                return None  # what NumPy itself does not do in this dtype
            raise
    return tuple(map(np.asarray, made)) if isinstance(made, tuple) else (np.asarray(made),)


def widened(arrays: list) -> list:
    """Floats as float64, complex numbers as complex128."""
    wide = {2: np.float64, 3: np.complex128}
    return [a.astype(wide[c]) if (c := as_dtype(a.dtype).category) in wide else a for a in arrays]


class Attempt:
    """One case, recorded: what is to be evaluated, and what it is compared with.

    Attributes:
        expected: the reference's results, None when it has no answer.
    """

    def __init__(self, case: Case):
        self.case, self.op = case, getattr(ops, case.op)
        self.arrays = values_for(case)
        self.expected = reference(self.op, widened(self.arrays), case.attributes)
        self.outputs: tuple = ()
        self.slope: Slope | None = None
        if self.expected is None:
            return
        tensors = [tensor_of(a, o.layout) for a, o in zip(self.arrays, case.operands, strict=True)]
        made = record(self.op, tuple(tensors), self.op.pack(case.attributes))
        self.outputs = made if isinstance(made, tuple) else (made,)
        if case.gradient:
            self.slope = Slope(self.op, case, self.arrays, self.expected)

    def check(self) -> bool:
        """Compare; False when the reference has nothing to compare with."""
        if self.expected is None:
            return False
        if len(self.outputs) != len(self.expected):
            raise MismatchError(f"{len(self.outputs)} results instead of {len(self.expected)}")
        same = reference(self.op, self.arrays, self.case.attributes)
        largest = (float(np.max(np.abs(a), initial=0, where=np.isfinite(a))) for a in widened(self.arrays)
                   if a.dtype.kind in "fc")  # fmt: skip
        scale = max([1.0, *largest])
        for number, (output, want) in enumerate(zip(self.outputs, self.expected, strict=True)):
            got = output.numpy()
            if tuple(got.shape) != tuple(np.shape(want)):
                raise MismatchError(f"result {number} has shape {got.shape}, NumPy's {np.shape(want)}")
            compare(got, want, None if same is None else same[number], scale, f"result {number}")
        if self.slope is not None:
            self.slope.check()
        return True


def run(*cases: Case) -> int:
    """Compare cases, evaluated together; how many the reference had an answer for.

    Raises:
        MismatchError: naming the case and the first difference.
    """
    attempts = [Attempt(case) for case in cases]
    waiting = [t for a in attempts for t in (*a.outputs, *(a.slope.gradients if a.slope is not None else ()))]
    evaluate_tensors([t for t in waiting if t is not None and t.node.buffer is None])
    compared = 0
    for attempt in attempts:
        try:
            compared += attempt.check()
        except MismatchError as error:
            raise MismatchError(f"{attempt.case.op}: {error}") from None
    return compared


def compare(got: np.ndarray, want: np.ndarray, beside: np.ndarray | None, scale: float, what: str) -> None:
    """MismatchError unless each value agrees with the reference in float64, or with that in the case's dtypes."""
    dtype = as_dtype(got.dtype)
    bad = _differs(got, want, dtype, scale)
    if bad.any() and beside is not None and np.shape(beside) == got.shape:
        bad &= _differs(got, beside, dtype, scale)
    if bad.any():
        place = tuple(int(i[0]) for i in np.nonzero(bad)) if got.ndim else ()
        raise MismatchError(
            f"{what} at {place}: {got[place]!r}, NumPy gives {want[place]!r} ({int(bad.sum())} of "
            f"{got.size} differ)"
        )


def _differs(got: np.ndarray, want: np.ndarray, dtype: Any, scale: float) -> np.ndarray:
    if dtype.category < 2:
        with np.errstate(all="ignore"):
            return np.asarray(got != np.asarray(want).astype(got.dtype))
    if dtype.category == 3:
        with np.errstate(all="ignore"):
            near = np.abs(got - want) <= ALLOWED[dtype.name] * UNITS[dtype.name] * np.maximum(
                np.abs(want), scale
            )
        return np.asarray(~(near | ~np.isfinite(want)))
    with np.errstate(all="ignore"):
        want = np.asarray(want, dtype=np.float64)
        exact = got.astype(np.float64)
        rounded = want.astype(numpy_dtype(dtype)).astype(np.float64)
        finite = np.where(np.isfinite(want), np.abs(want), 0)
        limit = ALLOWED[dtype.name] * UNITS[dtype.name] * np.maximum(finite, scale)
        near = np.abs(exact - want) <= limit
        largest = (
            float(np.finfo(np.float32).max) if dtype.name == "bfloat16" else float(np.finfo(got.dtype).max)
        )
        edge = (finite > 0.9 * largest) | (np.abs(exact) > 0.9 * largest)
        equal = (exact == rounded) | (np.isnan(exact) & np.isnan(rounded)) | near
        return np.asarray(~equal & ~(edge & (np.sign(exact) == np.sign(want))))


# ---------------------------------------------------------------- gradients
class Slope:
    """The gradients of a case along a random direction, and differences of the reference along it.

    Attributes:
        gradients: recorded, one an operand or None; empty where differences tell nothing.
    """

    def __init__(self, op: Op, case: Case, arrays: list, expected: tuple):
        random = np.random.default_rng(case.seed + 1)
        self.case, self.gradients = case, []
        self.chosen = [
            i
            for i, o in enumerate(case.operands)
            if o.dtype in ("float32", "float64") and (op.name, i) not in CONSTANT_OPERANDS and arrays[i].size
        ]
        self.moves = {i: random.uniform(-1, 1, arrays[i].shape) for i in self.chosen}
        for i in self.chosen:
            if (op.name, i) in SYMMETRIC_OPERANDS:
                self.moves[i] = self.moves[i] + self.moves[i].swapaxes(-1, -2)
        weights = {k: random.uniform(-1, 1, e.shape) for k, e in enumerate(expected) if e.dtype.kind == "f"}
        self.difference = self._difference(op, widened(arrays), weights)
        if self.difference is None:
            return
        tensors = [tensor_of(a, o.layout) for a, o in zip(arrays, case.operands, strict=True)]
        leaves = [t.detach().requires_grad_() if i in self.moves else t for i, t in enumerate(tensors)]
        made = record(op, tuple(leaves), op.pack(case.attributes))
        outputs = made if isinstance(made, tuple) else (made,)
        pairs = [(o, weights[k]) for k, o in enumerate(outputs) if k in weights and o.requires_grad]
        if not pairs:
            raise MismatchError(f"{op.name}: no gradient, though differences give {self.difference}")
        cotangents = [sq.tensor(w, dtype=o.dtype) for o, w in pairs]
        wanted = [leaves[i] for i in self.chosen]
        self.gradients = list(sq.autograd.grad([o for o, _ in pairs], wanted, cotangents, allow_unused=True))

    def _difference(self, op: Op, wide: list, weights: dict) -> float | None:
        """The slope of the reference; None where two steps do not agree: at kinks and steps."""

        def total(step: float) -> float:
            moved = [np.asarray(a + step * self.moves[i]) if i in self.moves else a for i, a in enumerate(wide)]
            made = reference(op, moved, self.case.attributes)
            return (
                float("nan") if made is None else sum(float((w * made[k]).sum()) for k, w in weights.items())
            )

        def slope(step: float) -> float:
            return (8 * (total(step) - total(-step)) - (total(2 * step) - total(-2 * step))) / (12 * step)

        if not self.chosen or not weights:
            return None
        with np.errstate(all="ignore"):
            first, second, here = slope(1e-4), slope(3e-5), total(0.0)
            sides = (total(1e-6) - here) / 1e-6, (here - total(-1e-6)) / 1e-6  # of equal values, that change places
        agree = np.isfinite(first) and abs(first - second) <= 1e-6 * max(1.0, abs(first))
        agree = agree and abs(sides[0] - sides[1]) <= 1e-2 * max(1.0, abs(second))
        return second if agree else None

    def check(self) -> None:
        """MismatchError unless the gradients say what the differences say."""
        pairs = [
            (g, self.moves[i]) for g, i in zip(self.gradients, self.chosen, strict=False) if g is not None
        ]
        if self.difference is None or not self.gradients:
            return
        parts = [g.detach().numpy().astype(np.float64) * m for g, m in pairs]
        got, size = float(sum(p.sum() for p in parts)), float(sum(np.abs(p).sum() for p in parts))
        tolerance = 1e-5 if all(self.case.operands[i].dtype == "float64" for i in self.chosen) else 2e-3
        if not abs(got - self.difference) <= tolerance * max(1.0, abs(self.difference), size):
            raise MismatchError(f"gradient along a direction: {got}, differences give {self.difference}")


# ---------------------------------------------------------------- drawing and showing
def program(cases: tuple[Case, ...]) -> str:
    """Cases as a program."""
    return "from tools.fuzz import *\nrun(" + ",\n    ".join(map(repr, cases)) + ")"


def cases(chosen: list[Op] | None = None) -> Any:
    """A Hypothesis strategy of lists of cases of some ops, by default of all."""
    from hypothesis import strategies

    known = [op for op in (chosen or fuzz_cases.all_ops()) if fuzz_cases.samples_of(op)]

    @strategies.composite
    def case(draw: Any) -> Case:
        def choose(sequence: Any) -> Any:
            return sequence[draw(strategies.integers(0, len(sequence) - 1))]

        made = draw_case(choose(known), choose)
        assert made is not None
        return made

    return strategies.lists(case(), min_size=TOGETHER, max_size=TOGETHER)


def block(
    number: int, seed: int, count: int = BLOCK, chosen: list[Op] | None = None
) -> tuple[int, str | None]:
    """Run a block of cases: how many were compared, and the smallest failing program if any."""
    import hypothesis

    compared, last = [0], [""]

    @hypothesis.seed(seed * 1_000_003 + number)
    @hypothesis.settings(
        max_examples=max(count // TOGETHER, 1),
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    )
    @hypothesis.given(cases(chosen))
    def check(drawn: list[Case]) -> None:
        last[0] = program(tuple(drawn))
        try:
            compared[0] += run(*drawn)
        except Exception:
            for case in drawn:
                last[0] = program((case,))
                run(case)
            last[0] = program(tuple(drawn))  # only together
            raise

    try:
        check()
    except Exception as error:  # whatever a case brings up is a finding
        return compared[0], f"{last[0]}\n# {type(error).__name__}: {error}"
    return compared[0], None


def main(arguments: list[str] | None = None) -> int:
    """Run blocks until enough cases were drawn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the block to begin with")
    parser.add_argument("--op", action="append", help="only ops of these names")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    given = parser.parse_args(arguments)
    chosen = [getattr(ops, name) for name in given.op] if given.op else None
    began, compared, failures = time.perf_counter(), 0, 0
    blocks = -(-given.cases // BLOCK)
    for number in range(given.first, blocks):
        done, failure = block(number, given.seed, min(BLOCK, given.cases - number * BLOCK), chosen)
        compared += done
        print(
            f"block {number + 1} of {blocks}, seed {given.seed}: {compared} compared, "
            f"{time.perf_counter() - began:.0f} s",
            flush=True,
        )
        if failure is not None:
            failures += 1
            print(
                f"block {number} fails, smallest case:\n{failure}\ngo on with --seed {given.seed} --first {number + 1}",
                flush=True,
            )
            if not given.keep_going:
                return 1
    print(f"{compared} cases compared with NumPy, {failures} blocks failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
