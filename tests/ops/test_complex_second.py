"""Second derivatives of ops of complex numbers, as functions of their real and imaginary parts.

Each operand is the complex number of a real array of pairs and each result is taken apart again, so what is checked is
what `test_derivatives.py` checks of real ops: reverse over reverse against differences, and forward over reverse.
"""

from __future__ import annotations

import numpy as np
import pytest

from squall.ir.node import Node
from squall.ir.op import NON_DIFFERENTIABLE, Op, Sample, ops
from tests.ops.harness import (
    OPS,
    arrays_of,
    bound,
    described,
    gradients,
    inner,
    outputs_of,
    placeholders,
)
from tests.ops.test_complex import _OF_PHASE, TAKING, _samples
from tests.ops.test_derivatives import OF_COMPLEX, Second, check_both_modes, check_slopes, draw

# Results of real operands are complex, or the other way round: their own samples serve.
OWN = [op for op in OPS if op.name in OF_COMPLEX - _OF_PHASE]
DERIVED = [*(op for op in TAKING if op.grad is not NON_DIFFERENTIABLE and op.name not in _OF_PHASE and op not in OWN),
           *OWN]


def samples_of(op: Op) -> list[Sample]:
    if op not in OWN:
        return _samples(op)[:3]
    return [s for s in op.samples() if all(np.isfinite(a).all() and a.dtype.itemsize >= 8 for a in arrays_of(s))
            and "complex64" not in s.name][:3]


def second_of(op: Op, sample: Sample) -> Second | None:
    """The first gradients' inner product with constants, over parts of the operands and the cotangents."""
    arrays, varied = [], []
    for i, a in enumerate(arrays_of(sample)):
        if a.dtype.kind == "c" or (a.dtype == np.float64 and op in OWN):
            varied.append(i)
        arrays.append(np.stack((a.real, a.imag), -1) if a.dtype.kind == "c" else a)
    if not all(a.size for a in arrays) or not varied:
        return None
    nodes = placeholders(arrays)
    given = [ops.as_complex(n) if np.iscomplexobj(a) else n for n, a in zip(nodes, arrays_of(sample), strict=True)]
    results: list[Node] = []
    for node in outputs_of(op(*given, **sample.attributes)):
        if node.dtype.category >= 2:
            results.append(ops.as_real(node) if node.dtype.category == 3 else node)
    weights = draw([n.shape for n in results], 3)
    incoming = placeholders(weights, len(nodes))
    loss = inner(results, incoming)
    if loss is None:
        return None
    present = [p for p in gradients(loss, [nodes[i] for i in varied]) if p is not None]
    probes = draw([p.shape for p in present], 5)
    fixed = placeholders(probes, len(nodes) + len(incoming))
    root = inner(present, fixed)
    if root is None:
        return None
    wanted = varied + list(range(len(nodes), len(nodes) + len(incoming)))
    return Second(root, [*nodes, *incoming], [*arrays, *weights], wanted, bound(fixed, probes))


def test_most_ops_have_one():
    """What is left has gradients of constants, or none."""
    bare = {op.name for op in DERIVED if not any(second_of(op, s) for s in samples_of(op))}
    assert bare <= {"full_like", "sign"}, bare


@pytest.mark.parametrize("op", DERIVED, ids=lambda op: op.name)
def test_second_derivatives(op: Op) -> None:
    for sample in samples_of(op):
        second = second_of(op, sample)
        if second is None:
            continue
        check_slopes(*second, "second order: " + described(op, sample), 2e-5)
        check_both_modes(second, described(op, sample))
