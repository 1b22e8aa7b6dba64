"""Kernels for AArch64 give the results of the oracle when QEMU runs them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.harness import OPS, arrays_of, bound, described, outputs_of, placeholders
from tests.ops.test_values import reference_of
from tests.system import aarch64

pytestmark = pytest.mark.skipif(aarch64.emulator() is None, reason="needs qemu-aarch64 (qemu-user-static)")

FEW = ("add", "exp", "sin", "erf", "where", "cast", "sum", "argmax", "softmax", "layer_norm", "cumsum", "gather", "pad",
       "random_bits", "contract", "linear", "convolution", "max_pool", "attention", "adam_update")  # fmt: skip


@pytest.mark.parametrize("name", FEW)
def test_value(name):
    op = next(op for op in OPS if op.name == name)
    roots, expected, labels, bindings, first = [], [], [], {}, 0
    for sample in op.samples():
        arrays = arrays_of(sample)
        if any(a.dtype.kind == "O" for a in arrays):
            continue
        nodes = placeholders(arrays, first)
        first += len(arrays)
        made = outputs_of(op(*nodes, **sample.attributes))
        roots += made
        expected += reference_of(op, sample)
        labels += [described(op, sample)] * len(made)
        bindings.update(bound(nodes, arrays))
    for got, want, node, label in zip(aarch64.run(roots, bindings), expected, roots, labels, strict=True):
        tolerance = 1e-11 if node.dtype.itemsize == 8 else 1e-5
        got = got.astype(np.asarray(want).dtype)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=label)
