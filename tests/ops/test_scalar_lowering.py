"""What elementwise ops are lowered to: each sample through the instructions, expanded to the core set and executed.

The kernel is the plainest there is: a loop over elements that were broadcast beforehand.
"""

from __future__ import annotations

import numpy as np
import pytest

from squall.backends.python.execute import execute
from squall.base.dtypes import DType, as_dtype, bfloat16, float16
from squall.compiler.expand import expand
from squall.ir.linear import COMPARE, Builder, Program, Type
from squall.ir.node import Node
from squall.ir.op import Op, Sample, Scalar
from tests.ops.harness import OPS, arrays_of, described, names, placeholders

SCALAR = [op for op in OPS if isinstance(op.lowering, Scalar)]
LANES = 4


def element(b: Builder, op: Op, attrs: tuple, operands: list):
    """One element by the op's lowering."""
    build = op.lowering.build
    if not isinstance(build, str):
        return build(b, attrs, *operands)
    return b.compare(build, *operands) if build in COMPARE else b.op(build, *operands)


def kernel(op: Op, attrs: tuple, types: list[DType], result: DType, lanes: int) -> Program:
    """A kernel over groups of lanes; operand i is args word i, the result the last."""
    b = Builder.kernel(op.name)
    pointers = [b.argument(i, Type("ptr")) for i in range(len(types) + 1)]
    with b.loop(b.begin, b.end) as i:
        first = b.mul(i, b.int(lanes))
        loaded = [b.load(Type(t.short, lanes), b.gep(p, first, t.short)) for p, t in zip(pointers, types)]
        made = element(b, op, attrs, loaded)
        b.store(b.cast(made, Type(result.short, lanes)), b.gep(pointers[-1], first, result.short))
    return expand(Program((b.finish(),), op.name))


def run(op: Op, sample: Sample, arrays: list, node: Node, lanes: int) -> np.ndarray:
    """The op's result, computed by the python backend."""
    size = int(np.prod(node.shape))
    groups = -(-size // lanes)
    flat = [np.resize(np.broadcast_to(a, node.shape).ravel(), groups * lanes) for a in arrays]
    out = np.zeros(groups * lanes, node.dtype.name)
    program = kernel(op, op.pack(sample.attributes), [as_dtype(a.dtype) for a in arrays], node.dtype, lanes)
    args = np.array([a.ctypes.data for a in [*flat, out]], np.int64)
    execute(program, args.ctypes.data, 0, groups)
    return out[:size].reshape(node.shape)


def has_16_bits(dtype: DType) -> bool:
    return dtype in (float16, bfloat16)


@pytest.mark.parametrize("op", SCALAR, ids=names(SCALAR))
def test_lowering(op):
    for sample in op.samples():
        arrays = arrays_of(sample)
        for variant in [arrays, [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]]:
            if variant is not arrays and op.name == "bitcast":
                continue
            node = op(*placeholders(variant), **sample.attributes)
            if not np.prod(node.shape) or has_16_bits(node.dtype):
                continue
            with np.errstate(all="ignore"):
                want = np.asarray(op.reference(*variant, **op.named(op.pack(sample.attributes))))
                want = want.astype(node.dtype.name)
            got = run(op, sample, variant, node, LANES)
            tolerance = {"float32": 5e-6, "float64": 1e-13}.get(node.dtype.name, 0)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance,
                                       err_msg=f"{described(op, sample)} {variant[0].dtype}")
