"""Elementwise work behind products: which becomes an epilogue of the nest, with the bits of kernels of its own."""

import numpy as np
import pytest

from squall.compiler.pipeline import STAGES, compile_plan
from squall.engine.execute import Executable
from squall.ir.op import ops
from squall.ir.plan import ContractStep
from tests.unit.engine.harness import Leaf, array_of, expected, request_of, same_bits

random = np.random.default_rng(9)


def normal(*shape, dtype="f4"):
    return random.normal(size=shape).astype(dtype)


def product(leaves, rows=70, columns=101, depth=33, dtype="f4"):
    x, w = leaves(normal(rows, depth, dtype=dtype)), leaves(normal(columns, depth, dtype=dtype))
    return ops.contract(x, w, equation="mk,nk->mn")


def run(plan, request):
    buffers = Executable(plan).run([n.buffer for n in request.inputs], [n.buffer for n in request.scalars])
    return [array_of(b, tuple(r.shape), r.dtype) for b, r in zip(buffers, request.roots, strict=True)]


def check(roots, leaves, labels):
    """The steps are as given, epilogues among them, and results are those of a plan without."""
    request = request_of(roots)
    plan = compile_plan(request)
    assert [s.label for s in plan.steps] == labels, plan.report
    for step in plan.steps:
        assert (step.label.startswith("contract+")) == (isinstance(step, ContractStep) and step.epilogue is not None)
    apart = compile_plan(request, tuple(s for s in STAGES if s.name != "finish"))
    assert all(s.epilogue is None for s in apart.steps if isinstance(s, ContractStep))
    got = run(plan, request)
    assert same_bits(got, run(apart, request))
    for x, y in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def test_bias_and_activation():
    leaves = Leaf()
    c = product(leaves)
    check([ops.gelu(ops.add(c, leaves(normal(101))), approximate="none")], leaves, ["contract+gelu"])


@pytest.mark.parametrize("depth", [401, 784, 3000])
def test_one_row_in_several_blocks(depth):
    leaves = Leaf()
    c = product(leaves, rows=1, depth=depth)
    check([ops.relu(ops.add(c, leaves(normal(101))))], leaves, ["contract+relu"])


def test_residual_and_what_it_feeds():
    leaves = Leaf()
    total = ops.add(product(leaves), leaves(normal(70, 101)))
    check([total, ops.relu(total)], leaves, ["contract+add+relu"])


def test_a_gradient_through_an_activation():
    leaves = Leaf()
    x = leaves(normal(70, 101))
    check([ops.mul(product(leaves), ops.cast(ops.gt(x, 0.0), dtype=x.dtype))], leaves, ["contract+mul"])


@pytest.mark.parametrize("dtype", ["f8", "f2"])
def test_dtypes_round_as_two_kernels_do(dtype):
    leaves = Leaf()
    c = product(leaves, dtype=dtype)
    roots = [ops.mul(ops.add(c, leaves(normal(101, dtype=dtype))), c)]
    request = request_of(roots)
    plan = compile_plan(request)
    assert [s.label for s in plan.steps] == ["contract+mul"]
    assert same_bits(run(plan, request), run(compile_plan(request, tuple(s for s in STAGES if s.name != "finish")),
                                             request))


def test_rows_of_several_dimensions():
    leaves = Leaf()
    c = ops.reshape(product(leaves, rows=72), shape=(8, 9, 101))
    check([ops.add(c, leaves(normal(8, 9, 101)))], leaves, ["contract+add"])


def test_what_stays_apart_and_why():
    leaves = Leaf()
    c, deep = product(leaves), product(leaves, depth=2000)
    for roots, reason in (
        ([ops.relu(deep)], "several blocks of k"),
        ([c, ops.relu(c)], "needed elsewhere"),
        ([ops.sum(c, dims=(1,), keepdim=False)], "not elementwise"),
        ([ops.mul(ops.permute(c, dims=(1, 0)), leaves(normal(101, 70)))], "other loops"),
    ):
        request = request_of(roots)
        plan = compile_plan(request)
        assert all(s.epilogue is None for s in plan.steps if isinstance(s, ContractStep))
        assert any(reason in line for line in plan.report), plan.report


def test_a_cycle_is_not_made():
    """What the group reads waits for the product by way of a reduction: they cannot be one."""
    leaves = Leaf()
    c = product(leaves)
    total = ops.sum(c, dims=(0, 1), keepdim=True)
    check([ops.sub(ops.add(c, leaves(normal(101))), total)], leaves, ["contract", "sum", "sub"])


def test_a_symbolic_batch_has_epilogues_too():
    import squall as sq

    weight, bias = sq.rand(40, 30), sq.rand(40)
    batch = sq.Dim("batch", min=1, max=512)
    layer = sq.compile(lambda x: (x @ weight.T + bias).relu(), dynamic_shapes=[{0: batch}])
    for rows in (3, 1, 65):
        x = sq.rand(rows, 30)
        assert layer(x).tolist() == (x @ weight.T + bias).relu().tolist()
