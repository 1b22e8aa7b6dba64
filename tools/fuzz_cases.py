"""Random calls of ops for `tools/fuzz.py`: drawn from what the op records declare, so that every op takes part.

A case starts from one of an op's samples. Its sizes are changed consistently (0 and 1 among them), families with a
free shape get a new one, dimensions and flags are drawn anew, operands get other dtypes and memory layouts. What the
op's own shape rule refuses falls back to the sample, so every draw is a case. Values depend on a seed of the case.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

import squall.ops
import squall.transforms  # noqa: F401 - rules of ops that carry graphs
from squall.base.dtypes import ALL, DType, as_dtype, numpy_dtype
from squall.base.errors import SquallError
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Decompose, Library, Op, Sample, ops

SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33)
LARGEST = 4000  # elements of an operand: some references integrate for each
LAYOUTS = ("plain", "transposed", "strided", "offset", "expanded")
VALUES = ("sample", "normal", "special")
# Read in one triangle, with the gradient of symmetric changes: differences are taken along those.
SYMMETRIC_OPERANDS = {("eigh", 0)}
# Operands that a rule gives no gradient although they are floats, as in PyTorch.
CONSTANT_OPERANDS = {("gammainc", 0), ("nll_loss", 2), ("cross_entropy", 2)}
DIVIDING = ("floor_divide", "trunc_divide", "fmod", "remainder", "div")
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 1e-3, 30.0)
POLES = ("polygamma",)  # beside which no rounding of an operand is small
OPERAND_FLAGS = ("listed",)  # that say which operands there are
SHAPE_ATTRIBUTES = ("shape", "sizes", "size", "least")


class Operand(NamedTuple):
    """Shape, dtype and layout of one operand."""

    shape: tuple[int, ...]
    dtype: str
    layout: str


class Case(NamedTuple):
    """One call: an op by name, the sample its values come from, attributes, operands, how values are drawn."""

    op: str
    sample: int
    attributes: dict[str, Any]
    operands: tuple[Operand, ...]
    values: str
    seed: int
    gradient: bool


def linked(op: Op) -> bool:
    """Whether an op's operands are results of another op on one another, so that none may be drawn alone."""
    return op.name.endswith("_backward")


def all_ops() -> list[Op]:
    """Every op that can be called with arrays; `call` has its tests elsewhere."""
    return [
        op for op in ops if op.name not in ("call", "pick", "after") and op.samples() and op.parts != "leaf"
    ]


_samples: dict[str, list[Sample]] = {}


def samples_of(op: Op) -> list[Sample]:
    """The op's samples, but for large ones."""
    if op.name not in _samples:
        _samples[op.name] = [s for s in op.samples() if sum(np.size(a) for a in s.inputs) <= 20000]
    return _samples[op.name]


def draw_case(op: Op, choose: Any) -> Case | None:
    """A case of an op.

    Args:
        choose: `choose(sequence) -> element`, the source of all choices.
    """
    samples = samples_of(op)
    if not samples:
        return None
    number = choose(range(len(samples)))
    sample = samples[number]
    arrays = [np.asarray(a) for a in sample.inputs]
    attributes = op.named(op.pack(sample.attributes))
    floating = choose(float_dtypes(op, arrays))
    base = [(a.shape, _dtype(op, a, floating)) for a in arrays]
    changed = _changed(op, [s for s, _ in base], attributes, choose)
    for shapes, attrs in (changed, ([s for s, _ in base], attributes)):
        types = tuple(TensorType(tuple(s), as_dtype(d)) for s, (_, d) in zip(shapes, base, strict=True))
        if _accepts(op, types, attrs):
            break
    else:
        floating = "float64"
        base = [(a.shape, a.dtype.name) for a in arrays]
        shapes, attrs = [a.shape for a in arrays], attributes
    values = choose(
        VALUES if op.family.name == "elementwise" and op.name not in DIVIDING else ("sample", "normal")
    )
    if isinstance(op.lowering, Library) or op.promotion == "none" or op.name in POLES:
        values = "sample"
    layouts = LAYOUTS[:-1] if linked(op) or isinstance(op.lowering, Library) else LAYOUTS
    operands = tuple(Operand(tuple(s), d, choose(layouts)) for s, (_, d) in zip(shapes, base, strict=True))
    smooth = values != "special" and not sample.name.startswith(("special", "ties", "large"))
    gradient = (
        op.grad is not NON_DIFFERENTIABLE
        and floating in ("float32", "float64")
        and smooth
        and not _completes(op.name, attrs, shapes)
        and choose((True, False, False))
        and any(o.dtype == floating for o in operands)
        and not any(o.dtype.startswith("complex") or o.layout == "expanded" for o in operands)
    )
    return Case(op.name, number, attrs, operands, values, choose(range(10000)), gradient)


def _completes(name: str, attributes: dict, shapes: list) -> bool:
    """Whether a result holds vectors that complete a basis: any such vectors do, so they have no gradient."""
    return name == "svd" and attributes["full"] and shapes[0][-1] != shapes[0][-2]


def float_dtypes(op: Op, arrays: list) -> list[str]:
    """What the floats of a sample may become."""
    if not any(a.dtype == np.float64 for a in arrays):
        return ["float64"]
    if isinstance(op.lowering, Library) or op.family.name in ("control", "sort") or linked(op):
        return ["float32", "float64"]
    floats = ["float16", "bfloat16", "float32", "float64"]
    composite = isinstance(op.lowering, Decompose)
    if op.promotion in ("float", "none") or (op.grad is not NON_DIFFERENTIABLE and composite):
        return floats
    return [d.name for d in ALL] if op.family.name in ("elementwise", "reduce") else floats


def _dtype(op: Op, array: np.ndarray, floating: str) -> str:
    return floating if array.dtype == np.float64 else array.dtype.name


def _accepts(op: Op, types: tuple, attributes: dict) -> bool:
    if any(prod(t.shape) > LARGEST for t in types):
        return False
    try:
        op.result_type(types, op.pack(attributes))
    except (SquallError, ValueError, TypeError, IndexError, ZeroDivisionError, AssertionError):
        return False
    return True


# ---------------------------------------------------------------- shapes and attributes
def _changed(op: Op, shapes: list[tuple], attributes: dict, choose: Any) -> tuple[list[tuple], dict]:
    """Other shapes and attributes; not always ones that the op takes."""
    family = op.family.name
    if family == "control" or linked(op) or any(hasattr(v, "order") for v in attributes.values()):
        return shapes, attributes
    free = choose((True, True, False))
    if family == "elementwise" and free and isinstance(op.lowering, Decompose) is False:
        return _broadcast(len(shapes), choose), attributes
    if (
        len(shapes) == 1
        and free
        and {"dim", "dims"} & set(attributes)
        and family in ("reduce", "scan", "opaque", "sort")
    ):
        shapes = [tuple(choose(SIZES) for _ in range(choose((0, 1, 2, 2, 3, 3, 4))))]
    else:
        shapes, attributes = _resized(shapes, attributes, choose)
    return shapes, _other_attributes(shapes, attributes, choose)


def _broadcast(count: int, choose: Any) -> list[tuple]:
    whole = tuple(choose(SIZES) for _ in range(choose((0, 1, 1, 2, 2, 3, 4))))
    shapes = []
    for _ in range(count):
        shape = whole[choose(range(len(whole) + 1)) if choose((True, False, False)) else 0 :]
        shapes.append(tuple(1 if choose((True, False, False, False)) else s for s in shape))
    return shapes


def _resized(shapes: list[tuple], attributes: dict, choose: Any) -> tuple[list[tuple], dict]:
    """One size in place of another wherever it stands."""
    known = sorted({s for shape in shapes for s in shape})
    if not known:
        return shapes, attributes
    replaced = {}
    for _ in range(choose((1, 1, 2))):
        replaced[choose(known)] = choose(SIZES)

    def swap(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(swap(v) for v in value)
        return replaced.get(value, value) if isinstance(value, int) and not isinstance(value, bool) else value

    made = {k: swap(v) if k in SHAPE_ATTRIBUTES else v for k, v in attributes.items()}
    return [tuple(replaced.get(s, s) for s in shape) for shape in shapes], made


def _other_attributes(shapes: list[tuple], attributes: dict, choose: Any) -> dict:
    """Dimensions and flags drawn anew."""
    rank = len(shapes[0]) if shapes else 0
    out = dict(attributes)
    for name, value in attributes.items():
        if isinstance(value, bool) and name not in OPERAND_FLAGS and choose((True, False)):
            out[name] = not value
        elif name == "dim" and isinstance(value, int) and rank:
            out[name] = choose(range(rank))
        elif (
            name == "dims"
            and isinstance(value, tuple)
            and "steps" not in attributes
            and "sizes" not in attributes
        ):
            if sorted(value) == list(range(rank)) and list(value) != sorted(value):
                out[name] = _shuffled(rank, choose)
            elif "keepdim" in attributes or len(value) != rank:
                out[name] = tuple(d for d in range(rank) if choose((True, False)))
    return out


def _shuffled(rank: int, choose: Any) -> tuple[int, ...]:
    left, out = list(range(rank)), []
    while left:
        out.append(left.pop(choose(range(len(left)))))
    return tuple(out)


# ---------------------------------------------------------------- values
def arrays_of(case: Case) -> list[np.ndarray]:
    """The operands' values in their dtypes."""
    op = getattr(ops, case.op)
    sample = samples_of(op)[case.sample]
    random = np.random.default_rng(case.seed)
    checks = op.checks(_types(case), op.pack(case.attributes)) if op.checks is not None else ()
    bounds = {c.operand: (case.operands[0].shape[c.dim], c.signed) for c in checks}
    out = []
    for position, (given, operand) in enumerate(zip(sample.inputs, case.operands, strict=True)):
        given = np.asarray(given)
        dtype = as_dtype(operand.dtype)
        array = _filled(op, given, operand, dtype, case.values, random, position)
        if position in bounds and array.size:
            size, signed = bounds[position]
            array = np.mod(array, max(size, 1)) - (size * random.integers(0, 2, array.shape) if signed else 0)
            array = array.astype(given.dtype)
        out.append(array)
    return out


def _types(case: Case) -> tuple:
    return tuple(TensorType(o.shape, as_dtype(o.dtype)) for o in case.operands)


def _filled(
    op: Op, given: np.ndarray, operand: Operand, dtype: DType, values: str, random: Any, position: int
) -> Any:
    shape, target = operand.shape, numpy_dtype(dtype)
    structured = isinstance(op.lowering, Library) or op.promotion == "none"
    if given.shape == shape and structured:
        return given.astype(target)
    pool = given[np.isfinite(given)] if given.dtype.kind in "fc" else given.reshape(-1)
    if given.dtype.kind != "f" or structured:
        picked = random.choice(pool, shape) if pool.size else np.zeros(shape)
        picked = np.asarray(picked)
        if given.dtype.kind == "f" and pool.size:
            picked = picked * random.uniform(0.9, 1.1, shape)
        return picked.astype(target)
    if values == "special":
        array = random.choice(np.array(SPECIAL), shape)
    elif values == "normal" or not pool.size:
        array = random.normal(size=shape)
    else:
        array = random.choice(pool, shape) * random.uniform(0.9, 1.1, shape)
    if dtype.category < 2:
        array = np.abs(np.nan_to_num(array, posinf=3, neginf=3) * 3)
        if op.name in DIVIDING and position == 1:
            array = np.maximum(array, 1)
        array = np.minimum(array, 100)
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(target)
