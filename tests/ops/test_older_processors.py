"""The op tests with this machine cut down to older instruction sets: a few ops of each kind every day, all when asked.

    python -m pytest tests/ops/test_older_processors.py -m big
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from squall.base import config
from squall.runtime import host, matrix_tiles
from tests.ops import test_derivatives, test_values
from tests.ops.harness import OPS

_ORDER = ("avx512", "avx2", "sse4")
_BEST = host.isa()
# With matrix tiles the best set, asked for by name, is one without them.
OLDER = _ORDER[_ORDER.index(_BEST) + (not matrix_tiles.granted()):] if _BEST in _ORDER else ()
# Every family of lowering, every kind of instruction that differs: masks, gathers, conversions, fma, wide integers.
FEW = (
    "add", "div", "exp", "sin", "pow", "erf", "floor", "cast", "where", "remainder", "shift_left", "sum",
    "argmax", "mean", "softmax", "layer_norm", "cross_entropy", "cumsum", "gather", "scatter_add",
    "index_put", "concat", "pad", "sort", "random_bits", "contract", "matmul", "linear", "convolution",
    "attention", "max_pool", "adam_update",
)  # fmt: skip

pytestmark = pytest.mark.skipif(not OLDER, reason=f"the oldest instruction set squall knows here is {_BEST}")


@pytest.fixture(params=OLDER or ("none",))
def older(request):
    """An instruction set older than this machine's, in force."""
    with config.options(isa=request.param):
        yield request.param


@pytest.mark.parametrize("name", FEW)
def test_value(name, older):
    test_values.test_value(next(op for op in OPS if op.name == name), "cpu")


@pytest.mark.parametrize("name", ["matmul", "convolution", "softmax", "layer_norm", "attention"])
def test_gradient(name, older):
    test_derivatives.test_gradient_compiled(next(op for op in OPS if op.name == name))


@pytest.mark.parametrize("rows", range(1, 10))
@pytest.mark.parametrize("transposed", [False, True])
def test_products_of_few_rows(rows, transposed, older):
    """Rows about the height of a tile, each way the nest reads a second operand."""
    import squall as sq

    chance = np.random.default_rng(rows)
    a, b = chance.standard_normal((rows, 40)), chance.standard_normal((40, 70))
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):
        x = sq.tensor(a.astype(dtype))
        y = sq.tensor(np.ascontiguousarray(b.T).astype(dtype)).T if transposed else sq.tensor(b.astype(dtype))
        np.testing.assert_allclose((x @ y).numpy(), a @ b, rtol=tolerance, atol=tolerance)


@pytest.mark.big
@pytest.mark.parametrize("isa", OLDER or ("none",))
def test_all_op_tests(isa):
    """The whole of tests/ops in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/ops", "--ignore", __file__]
    run = subprocess.run(command, env={**os.environ, "SQUALL_ISA": isa}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-5000:]
