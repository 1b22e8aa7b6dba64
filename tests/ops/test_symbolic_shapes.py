"""The shape rule of every op with symbolic sizes: inferred once with a `Dim`, it is right at every size."""

from __future__ import annotations

from typing import Any

import pytest

from squall.base.dim import Dim, evaluate
from squall.base.errors import SquallError
from squall.ir.node import TensorType
from squall.ir.op import Op, Sample
from tests.ops.harness import OPS, arrays_of, described, names, type_of

N = Dim("n", min=2)
SIZES = (2, 3, 5, 8, 64)
# What stands for a size that a sample has: a symbol, and expressions in one.
EXPRESSIONS = {"n": N, "2*n + 1": 2 * N + 1, "4*n": 4 * N}
# Attributes that hold sizes; they change with the operands' sizes.
SIZED = ("shape", "sizes", "size", "length", "least")
# Shapes follow from values of other attributes only (carried graphs), or there is no operand with a size.
WITHOUT_SIZES = {"cond", "scan", "while_loop"}
REFUSED = (SquallError, TypeError, ValueError, IndexError, AssertionError)


def substituted(value: Any, old: int, new: Any) -> Any:
    """A size in place of another, in shapes and attributes that hold sizes."""
    if isinstance(value, tuple):
        return tuple(substituted(v, old, new) for v in value)
    return new if value.__class__ is int and value == old else value


def inferred(op: Op, sample: Sample, old: int, new: Any) -> tuple:
    """The result types with a size in place of another."""
    types = tuple(type_of(a) for a in arrays_of(sample))
    types = tuple(TensorType(substituted(t.shape, old, new), t.dtype, t.device) for t in types)
    attributes = op.named(op.pack(sample.attributes))
    attributes = {k: substituted(v, old, new) if k in SIZED else v for k, v in attributes.items()}
    made = op.result_type(types, op.pack(attributes))
    return made if isinstance(made, tuple) else (made,)


def attempt(op: Op, sample: Sample, old: int, new: Any) -> tuple | None:
    """The result types, or None where the rule refuses."""
    try:
        return inferred(op, sample, old, new)
    except REFUSED:
        return None


def sizes_of(sample: Sample) -> list[int]:
    return sorted({s for a in arrays_of(sample) for s in a.shape if s > 1})


def check(op: Op, sample: Sample, old: int, name: str) -> bool:
    """Whether a size of a sample may be symbolic; if so its results are compared at every size."""
    symbolic = attempt(op, sample, old, EXPRESSIONS[name])
    if symbolic is None:
        return False
    for size in SIZES:
        concrete = attempt(op, sample, old, evaluate(EXPRESSIONS[name], {"n": size}))
        if concrete is None:
            continue
        message = f"{described(op, sample)}: {name} for {old}, n = {size}"
        assert len(symbolic) == len(concrete), message
        for s, c in zip(symbolic, concrete, strict=True):
            assert s.dtype is c.dtype, message
            assert tuple(evaluate(d, {"n": size}) for d in s.shape) == tuple(c.shape), f"{message}: {s} is not {c}"
    return True


SIZEABLE = [op for op in OPS if op.name not in WITHOUT_SIZES and any(sizes_of(s) for s in op.samples())]


@pytest.mark.parametrize("op", SIZEABLE, ids=names(SIZEABLE))
def test_shape_rule_with_symbols(op):
    served = dict.fromkeys(EXPRESSIONS, 0)
    for sample in op.samples()[:40]:
        for old in sizes_of(sample):
            for name in EXPRESSIONS:
                served[name] += check(op, sample, old, name)
    assert served["n"], f"{op.name}: no size of any sample may be symbolic"
    assert served["2*n + 1"] or served["4*n"], f"{op.name}: no size may be an expression"


def test_every_op_with_operands_takes_part():
    left_out = {op.name for op in OPS} - {op.name for op in SIZEABLE} - WITHOUT_SIZES
    assert left_out <= {"iota", "extent", "random_bits", "uniform", "normal"}, left_out
