"""Every op's samples through the compiler: right values, and the same bits fused, unfused and executed step by step."""

import numpy as np
import pytest

from squall.ir.op import ops
from tests.unit.engine.harness import Leaf, compiled, expected, same_bits, sample_roots

NAMES = sorted(op.name for op in ops if op.samples())
# Their references are float64 formulas beside which float32 has few digits where values are huge.
LOOSE = {"digamma", "polygamma"}


def _graphs(name):
    op = getattr(ops, name)
    for sample in op.samples():
        leaves = Leaf()
        try:
            roots = sample_roots(op, sample, leaves)
        except (RuntimeError, TypeError):  # the sample is float64 by nature
            leaves = Leaf()
            roots = sample_roots(op, sample, leaves, "float64")
        yield sample, roots, leaves


@pytest.mark.parametrize("name", NAMES)
def test_values_and_bits(name):
    for sample, roots, leaves in _graphs(name):
        got = compiled(roots, verify=True)
        if name not in LOOSE:
            for x, y in zip(got, expected(roots, leaves), strict=True):
                wide = "c16" if y.dtype.kind == "c" else "f8"
                np.testing.assert_allclose(x.astype(wide), y.astype(wide), rtol=1e-4, atol=1e-4, err_msg=sample.name)
        assert same_bits(got, compiled(roots, fuse=False)), f"{sample.name}: unfused"
        if sum(np.asarray(a).size for a in sample.inputs) <= 60:
            assert same_bits(got, compiled(roots, backend="python")), f"{sample.name}: python backend"
