"""Random straight-line programs over Tensors, for tests that compare ways of evaluating the same program.

A program is data: a list of steps over numbered values, so that a failing one can be printed, run again and shrunk.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import squall as sq


class Step(NamedTuple):
    """One operation: its name, the numbers of its operands, and a number that varies it."""

    name: str
    operands: tuple[int, ...]
    number: float


UNARY = ("relu", "tanh", "exp", "gelu", "sigmoid", "neg", "square", "sin", "half")
BINARY = ("add", "mul", "sub", "maximum", "div")
SHAPED = ("sum_last", "sum_first", "mean_all", "softmax", "log_softmax", "layer_norm", "transpose", "slice", "matmul",
          "outer_sum", "amax_last", "cumsum", "flip", "cat", "in_place", "view_write")
SIZES = (1, 2, 3, 5, 8, 17, 33, 64, 130)


def generate(seed: int, length: int = 12) -> tuple[tuple[tuple[int, int], ...], list[Step]]:
    """Input shapes and steps of a program."""
    rng = random.Random(seed)
    rows, columns = rng.choice(SIZES), rng.choice(SIZES)
    shapes = tuple((rows, columns) if rng.random() < 0.7 else (1, columns) for _ in range(3))
    steps = []
    for position in range(length):
        known = 3 + position
        name = rng.choice(rng.choice((UNARY, BINARY, SHAPED)))
        steps.append(Step(name, (rng.randrange(known), rng.randrange(known)), rng.choice((0.5, 1.25, -2.0, 3.0))))
    return shapes, steps


def apply(step: Step, x: Any, y: Any) -> Any:
    """One step on Tensors of two dimensions; the result has two dimensions."""
    name, number = step.name, step.number
    if name in ("relu", "tanh", "sigmoid", "neg", "square", "sin"):
        return getattr(x, name)()
    if name == "exp":
        return (x * 0.125).exp()
    if name == "gelu":
        return sq.nn.functional.gelu(x)
    if name == "half":
        return (x.to(sq.bfloat16) * number).to(sq.float32)
    if name == "div":
        return (
            x / (y.abs().sum(0, keepdim=True) + 1.0)
            if y.shape[1] in (1, x.shape[1]) or x.shape[1] == 1
            else x / number
        )
    if name in BINARY:
        fits = all(a == b or 1 in (a, b) for a, b in zip(x.shape, y.shape, strict=True))
        return getattr(x, name)(y) if fits else getattr(x, name)(sq.tensor(number))
    return _shaped(name, x, y, number)


def _shaped(name: str, x: Any, y: Any, number: float) -> Any:
    if name == "sum_last":
        return x.sum(1, keepdim=True)
    if name == "sum_first":
        return x.sum(0, keepdim=True)
    if name == "mean_all":
        return x.mean().reshape(1, 1) + x * 0.5
    if name in ("softmax", "log_softmax"):
        return getattr(x, name)(1)
    if name == "layer_norm":
        return sq.nn.functional.layer_norm(x, (x.shape[1],))
    if name == "transpose":
        return x.t()
    if name == "slice":
        return x[x.shape[0] // 2:, ::2]
    if name == "matmul":
        return x @ x.t() if x.shape[1] != y.shape[0] else x @ y
    if name == "outer_sum":
        return x.sum(1).unsqueeze(1) + x.sum(0).unsqueeze(0)
    if name == "amax_last":
        return x.amax(1, keepdim=True) - x
    if name == "cumsum":
        return x.cumsum(1)
    if name == "flip":
        return x.flip(0)
    if name == "cat":
        return sq.cat([x, x * number], 1)[:, :130]
    made = x.clone()
    if name == "in_place":
        return made.mul_(number).add_(1.0)
    made[:, 0] = number
    return made


def run(shapes: tuple, steps: list[Step], inputs: list[Any], flush_after: set[int] = frozenset()) -> list[Any]:  # type: ignore[assignment]
    """All values of a program; a flush is forced after some steps."""
    values = list(inputs)
    for position, step in enumerate(steps):
        x, y = (values[i] for i in step.operands)
        values.append(apply(step, x, y))
        if position in flush_after:
            sq.flush()
    return values


def inputs_of(shapes: tuple, seed: int) -> list[Any]:
    """Normal inputs of the shapes, the same for a seed."""
    generator = sq.Generator().manual_seed(seed)
    made = [sq.randn(*s, generator=generator) for s in shapes]
    sq.flush()
    return made
