"""Composites over a symbolic batch: recorded once with a `Dim`, right at every size."""

from __future__ import annotations

import numpy as np
import pytest

from squall.base.dim import Dim
from squall.base.dtypes import float64, int64
from squall.ir.graph import placeholder
from squall.ir.interpret import evaluate
from squall.ir.node import TensorType
from squall.ir.op import ops
from tests.ops.harness import bound, gradients, inner

BATCH = Dim("batch", min=1, max=512)


def classify(x, w, b, target):
    """Normalization, a reduction and a loss over the batch: what a train step needs."""
    y, _, variance = ops.batch_norm(x, w, b)
    shifted = ops.add(y, ops.reshape(ops.sqrt(variance), shape=(1, 5)))
    scaled = ops.mul(shifted, ops.std(shifted, dims=(0,), keepdim=True, correction=0.0))
    return ops.add(ops.cross_entropy(scaled, target, label_smoothing=0.1), ops.mean(scaled, dims=(0, 1), keepdim=False))


def graph(batch):
    types = [TensorType((batch, 5), float64), TensorType((5,), float64), TensorType((5,), float64),
             TensorType((batch,), int64)]
    nodes = [placeholder(i, t) for i, t in enumerate(types)]
    loss = classify(*nodes)
    return nodes, [loss, *gradients(inner([loss], [ops.full_like(loss, value=1.0)]), nodes[:3])]


@pytest.mark.parametrize("size", [2, 7, 64])
def test_one_graph_serves_every_size(size):
    random = np.random.default_rng(size)
    arrays = [random.normal(size=(size, 5)), random.uniform(0.5, 1.5, 5), random.normal(size=5),
              random.integers(0, 5, size)]
    symbolic, concrete = graph(BATCH), graph(size)
    got = evaluate(symbolic[1], bound(symbolic[0], arrays), decompose=True, sizes={"batch": size})
    want = evaluate(concrete[1], bound(concrete[0], arrays))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
