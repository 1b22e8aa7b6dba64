"""Every differentiable op, every sample: first and second gradient against differences, jvp against vjp."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from squall.base.dtypes import as_dtype, numpy_dtype
from squall.ir.node import Node, toposort
from squall.ir.op import Op, Sample
from squall.transforms.tangent import push_forward
from tests.ops.harness import (
    BACKENDS,
    DIFFERENTIABLE,
    arrays_of,
    bound,
    context_for,
    described,
    floating,
    gradients,
    inner,
    is_composite,
    is_smooth,
    names,
    op_gradients,
    outputs_of,
    picked,
    placeholders,
    slope,
)
from tools.fuzz_cases import CONSTANT_OPERANDS

# Their attribute, or the other operands, are of a float dtype of their own.
WIDE_BY_NATURE = {"cast", "call", "scan", "cond", "while_loop",
                  # refused in 16 bits, as in PyTorch
                  "cholesky", "eigh", "inverse", "lu_factor", "matrix_exp", "pinv", "qr", "slogdet", "solve",
                  "solve_triangular", "svd"}


def draw(shapes: list, seed: int) -> list:
    random = np.random.default_rng(seed)
    return [random.uniform(-1, 1, s) for s in shapes]


def is_float_output(node: Node) -> bool:
    return node.dtype.category == 2


# ---------------------------------------------------------------- gradients
def smooth_samples(op: Op) -> list[Sample]:
    return [s for s in op.samples() if is_smooth(op, s)]


# Operands or results are complex numbers: checked in test_complex.py.
OF_COMPLEX = frozenset(("complex", "real", "imag", "conj", "fft_c2c", "fft_r2c", "fft_c2r", "eig", "as_real",
                        "as_complex"))


def test_differentiable_ops_have_smooth_samples():
    bare = [op.name for op in DIFFERENTIABLE if not smooth_samples(op) and op.name not in OF_COMPLEX]
    assert not bare, f"no float64 sample that differences can check: {bare}"


def varied(op: Op, arrays: list) -> list[int]:
    """Positions of the operands that are differentiated."""
    return [i for i in floating(arrays) if (op.name, i) not in CONSTANT_OPERANDS]


def loss_of(op: Op, sample: Sample, arrays: list) -> tuple[list[Node], Node | None, dict]:
    """Input nodes, the outputs' inner product with weights that are inputs too, and the weights' bindings."""
    nodes = placeholders(arrays)
    made = [n for n in outputs_of(op(*nodes, **sample.attributes)) if is_float_output(n)]
    weights = [w.astype(numpy_dtype(n.dtype)) for n, w in zip(made, draw([n.shape for n in made], 3), strict=True)]
    others = placeholders(weights, len(nodes))
    return nodes, inner(made, others), bound(others, weights)


def value_at(root: Node, nodes: list[Node], fixed: dict) -> Any:
    return lambda arrays: float(BACKENDS["numpy"]([root], {**bound(nodes, arrays), **fixed})[0])


def agree(got: float, want: float, scale: float, message: str, tolerance: float) -> None:
    assert abs(got - want) <= tolerance * max(abs(want), scale, 1.0), f"{message}: rule {got}, differences {want}"


def check_slopes(root: Node, nodes: list[Node], arrays: list, positions: list[int], fixed: dict, message: str,
                 tolerance: float) -> None:
    """Gradients of a root against differences along random directions, one operand at a time."""
    parts = gradients(root, [nodes[i] for i in positions])
    run = value_at(root, nodes, fixed)
    present = [p for p in parts if p is not None]
    values = iter(BACKENDS["numpy"](present, {**bound(nodes, arrays), **fixed}))
    for position, part in zip(positions, parts, strict=True):
        direction = draw([arrays[position].shape], 11 + position)[0]
        gradient = next(values) if part is not None else np.zeros(arrays[position].shape)
        want = slope(run, arrays, {position: direction})
        products = gradient * direction
        agree(float(products.sum()), want, float(np.abs(products).sum()), f"{message}, operand {position}", tolerance)


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_gradient(op):
    for sample in smooth_samples(op):
        arrays = arrays_of(sample)
        nodes, root, fixed = loss_of(op, sample, arrays)
        if root is not None:
            check_slopes(root, nodes, arrays, varied(op, arrays), fixed, described(op, sample), 1e-7)


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_gradient_compiled(op):
    """The gradients' graphs through machine code, one program for the samples of an op."""
    roots, bindings = [], {}
    for sample in picked(smooth_samples(op)):
        arrays = arrays_of(sample)
        nodes, root, fixed = loss_of(op, sample, arrays)
        if root is not None:
            roots += [p for p in gradients(root, [nodes[i] for i in varied(op, arrays)]) if p is not None]
            bindings.update({**bound(nodes, arrays), **fixed})
    for got, want in zip(BACKENDS["cpu"](roots, bindings), BACKENDS["numpy"](roots, bindings), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10, err_msg=op.name)


class Second(NamedTuple):
    """Gradients times weights as a function: its root, what it is differentiated by, and how it is evaluated."""

    root: Node
    nodes: list[Node]
    arrays: list
    positions: list[int]
    fixed: dict


def second_of(op: Op, sample: Sample) -> Second | None:
    """The first gradients' inner product with constants, over the operands and the cotangents; None without any."""
    arrays = arrays_of(sample)
    nodes = placeholders(arrays)
    made = op(*nodes, **sample.attributes)
    floats = [n for n in outputs_of(made) if is_float_output(n)]
    weights = draw([n.shape for n in floats], 3)
    incoming = placeholders(weights, len(nodes))
    positions = varied(op, arrays)
    first = gradients(inner(floats, incoming), [nodes[i] for i in positions])
    present = [p for p in first if p is not None]
    probes = draw([p.shape for p in present], 5)
    fixed_nodes = placeholders(probes, len(nodes) + len(incoming))
    root = inner(present, fixed_nodes)
    if root is None:
        return None
    wanted = positions + list(range(len(nodes), len(nodes) + len(incoming)))
    return Second(root, [*nodes, *incoming], [*arrays, *weights], wanted, bound(fixed_nodes, probes))


def second_samples(op: Op) -> list[Sample]:
    return picked(smooth_samples(op))


def test_differentiable_ops_have_samples_of_second_order():
    constant = {"full_like"}  # its gradient is zero
    bare = [op.name for op in DIFFERENTIABLE if op.name not in OF_COMPLEX | constant
            and not any(second_of(op, s) for s in second_samples(op))]
    assert not bare, f"no sample with a gradient to differentiate again: {bare}"


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_second_gradient(op):
    """Reverse over reverse, against differences of the gradients."""
    for sample in second_samples(op):
        second = second_of(op, sample)
        if second is not None:
            check_slopes(*second, "second order: " + described(op, sample), 1e-6)


def check_both_modes(second: Second, about: str) -> None:
    """Tangents of the gradients along every operand and cotangent at once, against reverse over reverse."""
    wanted = [second.nodes[i] for i in second.positions]
    moves = draw([n.shape for n in wanted], 29)
    moved = placeholders(moves, len(second.nodes) + len(second.fixed))
    tangents = dict(zip(map(id, wanted), moved, strict=True))
    push_forward(toposort([second.root]), tangents)
    forward, backward = tangents.get(id(second.root)), inner(gradients(second.root, wanted), moved)
    bindings = {**bound(second.nodes, second.arrays), **second.fixed, **bound(moved, moves)}
    present = [n for n in (forward, backward) if n is not None]
    values = iter(float(v) for v in BACKENDS["numpy"](present, bindings))
    a, b = (0.0 if n is None else next(values) for n in (forward, backward))
    assert abs(a - b) <= 1e-8 * max(abs(a), 1.0), f"{about}: forward {a}, reverse {b}"


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_second_gradient_forward_over_reverse(op):
    """Tangents of the gradients along every operand and cotangent at once, against reverse over reverse."""
    for sample in second_samples(op):
        second = second_of(op, sample)
        if second is None:
            continue
        check_both_modes(second, described(op, sample))


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_rules_are_linear_where_the_cotangent_is_zero(op):
    """Tangents are found by transposing: the derivative of a rule in its cotangent, at 0, is the rule."""
    for sample in second_samples(op):
        second = second_of(op, sample)
        if second is None:
            continue
        count = len(sample.inputs)
        incoming, weights = second.nodes[count:], second.arrays[count:]
        moved = placeholders(weights, len(second.nodes) + len(second.fixed))
        tangents = dict(zip(map(id, incoming), moved, strict=True))
        push_forward(toposort([second.root]), tangents)
        operands = {**bound(second.nodes[:count], second.arrays[:count]), **second.fixed, **bound(moved, weights)}
        zero = {**operands, **bound(incoming, [np.zeros_like(w) for w in weights])}
        tangent = tangents.get(id(second.root))
        slope = 0.0 if tangent is None else float(BACKENDS["numpy"]([tangent], zero)[0])
        value = float(BACKENDS["numpy"]([second.root], {**operands, **bound(incoming, weights)})[0])
        assert abs(slope - value) <= 1e-9 * max(abs(value), 1.0), f"{described(op, sample)}: {slope}, not {value}"


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_gradient_of_each_operand_alone(op):
    """`saves` and rules depend on which operands need a gradient: alone or together, it is the same."""
    for sample in picked(smooth_samples(op)):
        arrays = arrays_of(sample)
        positions = varied(op, arrays)
        if len(positions) < 2:
            continue
        nodes = placeholders(arrays)
        made = op(*nodes, **sample.attributes)
        results = outputs_of(made)
        weights = draw([n.shape for n in results], 3)
        incoming = placeholders(weights, len(nodes))
        g = tuple(n if is_float_output(r) else None for n, r in zip(incoming, results, strict=True))
        g = g if isinstance(made, tuple) else g[0]
        bindings = {**bound(nodes, arrays), **bound(incoming, weights)}
        attrs = op.pack(sample.attributes)
        together = op_gradients(op, attrs, nodes, made, g, tuple(i in positions for i in range(len(nodes))))
        for position in positions:
            alone = op_gradients(op, attrs, nodes, made, g, tuple(i == position for i in range(len(nodes))))[position]
            assert (alone is None) == (together[position] is None), described(op, sample)
            if alone is not None:
                one, both = BACKENDS["numpy"]([alone, together[position]], bindings)
                np.testing.assert_array_equal(one, both, err_msg=described(op, sample))


# ---------------------------------------------------------------- tangents
def tangent_of(op: Op, attrs: tuple, nodes: list[Node], made: Any, tangents: list) -> Any:
    needs = tuple(t is not None for t in tangents)
    context = context_for(op, attrs, nodes, made, needs, everything=True)
    return op.jvp(context, *tangents) if op.jvp else op.family.tangent(context, tuple(tangents))


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_tangent_agrees_with_gradient(op):
    for sample in picked(smooth_samples(op)):
        arrays = arrays_of(sample)
        positions = varied(op, arrays)
        nodes = placeholders(arrays)
        made = op(*nodes, **sample.attributes)
        moves = draw([arrays[i].shape for i in positions], 17)
        moved = placeholders(moves, len(nodes))
        everyone: list = [None] * len(nodes)
        for i, t in zip(positions, moved, strict=True):
            everyone[i] = t
        for tangents in [everyone] + [[t if i == p else None for i, t in enumerate(everyone)] for p in positions]:
            result = tangent_of(op, op.pack(sample.attributes), nodes, made, tangents)
            if result is NotImplemented:
                assert is_composite(op), f"{op.name} has no jvp and no decomposition to derive it from"
                return
            outs = outputs_of(result) if isinstance(result, tuple) else [result]
            results = outputs_of(made)
            for r, t in zip(results, outs, strict=True):
                if t is not None:
                    same = t.shape == r.shape and t.dtype is r.dtype
                    assert same, f"{described(op, sample)}: tangent {t.type} of {r.type}"
            kept = [(r, t) for r, t in zip(results, outs, strict=True) if is_float_output(r)]
            weights = draw([r.shape for r, _ in kept], 3)
            incoming = placeholders(weights, 2 * len(nodes))
            wanted = [p for p in positions if tangents[p] is not None]
            forward = inner([t for _, t in kept], incoming)
            root = inner([r for r, _ in kept], incoming)
            backward = inner(gradients(root, [nodes[p] for p in wanted]), [tangents[p] for p in wanted])
            bindings = {**bound(nodes, arrays), **bound(moved, moves), **bound(incoming, weights)}
            a, b = (0.0 if n is None else float(BACKENDS["numpy"]([n], bindings)[0]) for n in (forward, backward))
            assert abs(a - b) <= 1e-9 * max(abs(a), 1.0), f"{described(op, sample)}: forward {a}, backward {b}"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=names(DIFFERENTIABLE))
def test_gradient_in_16_bits(op, dtype):
    """Gradients of 16-bit operands have their dtype, and are near those of the same values in float64."""
    target = numpy_dtype(as_dtype(dtype))
    sample = next(iter(picked(smooth_samples(op))), None)
    if sample is None or op.name in WIDE_BY_NATURE:
        return
    arrays = [a.astype(target) if a.dtype == np.float64 else a for a in arrays_of(sample)]
    exact = [a.astype(np.float64) if a.dtype == target else a for a in arrays]
    found = []
    for values in (arrays, exact):
        nodes, root, fixed = loss_of(op, sample, values)
        positions = [i for i, a in enumerate(values) if a.dtype == values[floating(exact)[0]].dtype]
        parts = gradients(root, [nodes[i] for i in positions if (op.name, i) not in CONSTANT_OPERANDS])
        assert all(p.dtype is nodes[positions[0]].dtype for p in parts if p is not None)
        found.append(BACKENDS["decomposed"]([p for p in parts if p is not None], {**bound(nodes, values), **fixed}))
    for got, want in zip(*found, strict=True):
        scale = np.abs(want).mean() + np.abs(want)
        error = np.abs(got.astype(np.float64) - want) / np.where(scale == 0, 1, scale)
        assert error.max(initial=0) < (0.01 if dtype == "float16" else 0.06), f"{described(op, sample)}: {error.max()}"
