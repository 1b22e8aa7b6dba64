"""Operands of contractions that a later one reads again are made anew for it, with the same bits, and not kept."""

from __future__ import annotations

import numpy as np

from squall.compiler.pipeline import STAGES, compile_plan
from squall.engine.execute import Executable
from squall.ir.op import ops
from tests.unit.engine.harness import Leaf, array_of, expected, request_of, same_bits

ROWS, WIDTH = 1024, 512


def normal(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape).astype(np.float32)


def run(plan, request):
    buffers = Executable(plan).run([n.buffer for n in request.inputs], [n.buffer for n in request.scalars])
    return [array_of(b, tuple(r.shape), r.dtype) for b, r in zip(buffers, request.roots, strict=True)]


def layers(leaves, count):
    """A chain of products and gelus, and what the gradients of its weights come to."""
    h, weights, kept = leaves(normal(ROWS, WIDTH)), [], []
    for i in range(count):
        weights.append(leaves(normal(WIDTH + i, WIDTH)[i:] / np.float32(WIDTH**0.5)))
        product = ops.contract(h, weights[-1], equation="mk,nk->mn")
        kept.append((h, product))
        h = ops.gelu(product, approximate="none")
    g, roots = ops.mul(h, 0.5), []
    for (x, product), w in zip(reversed(kept), reversed(weights), strict=True):
        g = ops.mul(g, ops.sigmoid(product))  # something that reads the product, as the gradient of gelu does
        roots.append(ops.contract(g, x, equation="mn,mk->nk"))
        g = ops.contract(g, w, equation="mn,nk->mk")
    return roots


def plans(roots):
    request = request_of(roots)
    return request, compile_plan(request), compile_plan(request, tuple(s for s in STAGES if s.name != "remake"))


def test_activations_are_made_again_for_the_gradients_of_weights():
    leaves = Leaf()
    roots = layers(leaves, 8)
    request, plan, kept = plans(roots)
    # Without, two values for each layer live until the backward pass.
    assert plan.arena_bytes <= kept.arena_bytes - 4 * ROWS * WIDTH * 4
    got = run(plan, request)
    assert same_bits(got, run(kept, request))
    for x, y in zip(got, expected(roots, leaves), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3)


def test_what_nothing_else_keeps_alive_is_not_computed_twice():
    leaves = Leaf()
    x, w = leaves(normal(ROWS, WIDTH)), leaves(normal(WIDTH, WIDTH))
    h = ops.relu(ops.contract(x, w, equation="mk,nk->mn"))
    first = ops.contract(h, w, equation="mk,nk->mn")
    roots = [ops.contract(ops.mul(first, 0.1), h, equation="mk,mn->kn")]
    request, plan, kept = plans(roots)
    assert [s.label for s in plan.steps] == [s.label for s in kept.steps]
    assert same_bits(run(plan, request), run(kept, request))


def test_padding_around_a_normalized_value_is_made_again():
    leaves = Leaf()
    x, scale = leaves(normal(4, 64, 64, 32)), leaves(normal(32))
    w = leaves(normal(32, 32))
    y = ops.contract(x, w, equation="npqc,oc->npqo")
    a = ops.pad(ops.relu(ops.mul(y, scale)), low=(0, 1, 1, 0), high=(0, 1, 1, 0), interior=(0,) * 4, value=0)
    z = ops.contract(a, w, equation="npqc,oc->npqo")
    g = ops.mul(z, z)
    late = ops.contract(g, a, equation="npqo,npqc->oc")
    roots = [late, ops.mul(y, ops.sum(late, dims=(0, 1), keepdim=False))]
    request, plan, kept = plans(roots)
    assert same_bits(run(plan, request), run(kept, request))
