"""A process whose kernels are all on disk trains without LLVM: llvmlite is not even imported."""

from __future__ import annotations

import json
import sys

import pytest

from squall.runtime import host
from tests.meta import tree

pytestmark = pytest.mark.skipif(not host.facts().triple.startswith("x86_64") or sys.platform != "linux",
                                reason="elsewhere LLVM loads its own objects")

TRAIN = """
import json, sys
import squall as sq
import squall.nn.functional as F
from squall import nn
sq.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
optimizer = sq.optim.AdamW(model.parameters(), lr=1e-3)
data, target = sq.rand(8, 1, 8, 8), sq.arange(8) % 10

@sq.compile
def step(data, target):
    loss = F.cross_entropy(model(data), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss

losses = [step(data, target).item() for _ in range(12)]
halves = [(data[i:i + 2] * 0.5).sum().item() for i in range(12)]
print(json.dumps([losses, halves, sorted(name for name in sys.modules if name.startswith("llvmlite"))]))
"""


def test_a_train_step_with_a_warm_cache_never_imports_llvmlite(tmp_path):
    cold, warm = (json.loads(tree.run_python(TRAIN, SQUALL_CACHE_DIR=str(tmp_path), SQUALL_CACHE="1"))
                  for _ in range(2))
    assert cold[2]
    assert warm[2] == []
    assert warm[:2] == cold[:2]  # the same code, so the same bits
