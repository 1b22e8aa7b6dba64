"""Every op, every sample: type rule, value on each backend, vmap against a loop, and a matrix of dtypes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from squall.base.dtypes import ALL, DType, as_dtype, numpy_dtype
from squall.base.errors import DtypeError
from squall.ir.op import NON_DIFFERENTIABLE, Op, Sample, ops
from tests.ops.harness import (
    BACKENDS,
    OPS,
    ORACLES,
    arrays_of,
    bound,
    described,
    is_composite,
    is_smooth,
    names,
    outputs_of,
    picked,
    placeholders,
)


# ---------------------------------------------------------------- values
def reference_of(op: Op, sample: Sample) -> tuple:
    """What the declaration says the results are."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = op.reference(*arrays_of(sample), **op.named(op.pack(sample.attributes)))
    return expected if isinstance(expected, tuple) else (expected,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", OPS, ids=names(OPS))
def test_value(op, backend):
    """All samples of an op, evaluated together."""
    roots, expected, labels, bindings = [], [], [], {}
    for sample in op.samples():
        arrays = arrays_of(sample)
        nodes = placeholders(arrays)
        made = outputs_of(op(*nodes, **sample.attributes))
        wanted = reference_of(op, sample)
        assert len(wanted) == len(made), described(op, sample)
        roots += made
        expected += wanted
        labels += [described(op, sample)] * len(made)
        bindings.update(bound(nodes, arrays))
    for got, want, node, label in zip(BACKENDS[backend](roots, bindings), expected, roots, labels, strict=True):
        assert got.shape == np.shape(want) == tuple(node.shape), label
        assert as_dtype(got.dtype) is node.dtype, label
        tolerance = 1e-11 if node.dtype.itemsize == 8 else 1e-5
        got = got.astype(np.asarray(want).dtype)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=label)


# ---------------------------------------------------------------- vmap
# A batch of seeds or offsets is refused: one draw covers the batch.
RANDOM = {"random_bits", "uniform", "normal", "bernoulli", "dropout"}


def batch_of(arrays: list, size: int) -> list:
    """Stacks of variations: floats move a little, so do integers by rolling along their first dimension."""
    random = np.random.default_rng(23)
    out = []
    for a in arrays:
        if a.dtype.kind == "f":
            moved = [a * (1 + 0.05 * random.uniform(0, 1, a.shape)) for _ in range(size - 1)]
            out.append(np.stack([a, *moved]).astype(a.dtype))
        else:
            out.append(np.stack([np.roll(a, i, axis=0) if a.ndim else a for i in range(size)]))
    return out


@pytest.mark.parametrize("op", OPS, ids=names(OPS))
def test_vmap_is_a_loop(op):
    size, tolerance = 3, 1e-9
    for sample in picked(list(op.samples())):
        arrays = arrays_of(sample)
        if not arrays:
            continue
        stacks = batch_of(arrays, size)
        masks = [tuple(True for _ in arrays)]
        if len(arrays) > 1:
            masks += [tuple(i == j for j in range(len(arrays))) for i in range(len(arrays))]
        for mask in masks:
            given = [s if b else a for s, a, b in zip(stacks, arrays, mask, strict=True)]
            nodes = placeholders(given)
            rule = op.vmap or op.family.batch
            try:
                made, batched = rule(op, tuple(nodes), mask, size, op.pack(sample.attributes))
            except TypeError as error:
                whole = any(b and a.dtype.kind in "iu" for a, b in zip(arrays, mask, strict=True))
                if op.name in RANDOM and whole:
                    continue
                assert is_composite(op) and "no batching rule" in str(error), described(op, sample)
                return
            assert batched
            got = BACKENDS["numpy"](outputs_of(made), bound(nodes, given))
            for i in range(size):
                one = [s[i] if b else a for s, a, b in zip(stacks, arrays, mask, strict=True)]
                single = placeholders(one)
                want = BACKENDS["numpy"](outputs_of(op(*single, **sample.attributes)), bound(single, one))
                for g, w in zip(got, want, strict=True):
                    g = g[i] if g.shape[:1] == (size,) and g.ndim == w.ndim + 1 else np.squeeze(g, 0)
                    message = f"{described(op, sample)} {mask}"
                    np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance, err_msg=message)


# ---------------------------------------------------------------- dtypes
# 16-bit results of sums that are rounded more than once: units allowed in place of one.
ROUNDINGS = {"linear": 8, "convolution": 16, "convolution_transpose": 16, "unwindow": 4,
             **dict.fromkeys([op.name for op in OPS if op.name.startswith("attention")], 16),
             **{f"{name}_update": 2 for name in ("sgd", "adam", "adamax", "nadam", "radam", "adagrad", "adadelta",
                                                "rmsprop", "rprop", "asgd")}}
DIVIDING = {"floor_divide", "trunc_divide", "fmod", "remainder"}
TYPED = [op for op in OPS if op.name not in RANDOM
         and (op.family.name in ("elementwise", "reduce", "scan") or is_composite(op))]


def allowed(op: Op) -> list:
    """The dtypes a frontend may hand the op in place of the sample's floats."""
    floating_only = op.grad is not NON_DIFFERENTIABLE and is_composite(op)
    if op.promotion in ("float", "none") or floating_only:
        return [d for d in ALL if d.category == 2]
    return list(ALL)


def in_dtype(op: Op, arrays: list, dtype: DType) -> list:
    """The sample's floats as another dtype: for integers and bool scaled to be nonnegative and small."""
    target = numpy_dtype(dtype)
    out = []
    for array in arrays:
        if array.dtype.kind == "f":
            array = np.abs(array * 3).astype(target) if dtype.category < 2 else array.astype(target)
        out.append(array)
    if op.name in DIVIDING and dtype.category < 2:
        out[1] = np.maximum(out[1], 1).astype(target)
    return out


def in_float64(op: Op, arrays: list, sample: Sample) -> list:
    """The results from the same values in float64."""
    wide = [a.astype(np.float64) if as_dtype(a.dtype).category == 2 else a for a in arrays]
    nodes = placeholders(wide)
    return BACKENDS["numpy"](outputs_of(op(*nodes, **sample.attributes)), bound(nodes, wide))


def check_accuracy(op: Op, got: np.ndarray, exact: np.ndarray, dtype: DType, message: str) -> None:
    """Within about one rounding of the result for 16-bit floats; looser for float32, where the oracle itself rounds."""
    unit = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-18, "float64": 1e-11}[as_dtype(got.dtype).name]
    if not exact.size or not np.isfinite(exact).all():
        return
    least = 1e-3 if op.family.name == "elementwise" else np.abs(exact).mean()
    units = np.abs(got.astype(np.float64) - exact) / np.maximum(np.abs(exact), least) / unit
    assert units.max() <= 1.3 * ROUNDINGS.get(op.name, 1), f"{message} in {dtype}: {units.max()} units"


@pytest.mark.parametrize("op", TYPED, ids=names(TYPED))
def test_dtypes(op):
    """Each dtype gives a result of the declared type; composites in 16 bits round like one op."""
    sample = next((s for s in op.samples() if is_smooth(op, s)), None)
    if sample is None or (op.promotion == "none" and not is_composite(op)) or op.name == "while_loop":
        return
    for dtype in allowed(op):
        arrays = in_dtype(op, arrays_of(sample), dtype)
        nodes = placeholders(arrays)
        try:
            made = outputs_of(op(*nodes, **sample.attributes))
        except DtypeError:
            assert dtype.category < 2, f"{op.name} refuses {dtype}"
            continue
        exact = in_float64(op, arrays, sample) if dtype.category == 2 else [None] * len(made)
        for backend in ORACLES.values():
            for got, want, node in zip(backend(made, bound(nodes, arrays)), exact, made, strict=True):
                assert as_dtype(got.dtype) is node.dtype and got.shape == tuple(node.shape)
                if want is not None and node.dtype.category == 2:
                    check_accuracy(op, got, want, dtype, described(op, sample))


# ---------------------------------------------------------------- the vocabulary
VOCABULARY = """
    add sub mul div pow maximum minimum fmod remainder floor_divide trunc_divide atan2 copysign bitwise_and bitwise_or
    bitwise_xor shift_left shift_right logical_and logical_or logical_xor eq ne lt le gt ge neg abs sign sqrt rsqrt
    reciprocal square exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    erf erfc erfinv lgamma digamma floor ceil trunc round sigmoid logical_not bitwise_not isnan isinf isfinite where
    cast bitcast relu gelu silu leaky_relu elu softplus log_sigmoid hardtanh clamp pow_scalar lerp addcmul addcdiv
    mish hardswish hardsigmoid selu nan_to_num sum prod amax amin any all argmax argmin mean var logsumexp norm softmax
    log_softmax layer_norm rms_norm batch_norm group_norm cross_entropy nll_loss mse_loss l1_loss bce_with_logits
    embedding cumsum cumprod sgd_update adam_update
"""


def test_the_vocabulary_is_declared():
    missing = sorted(set(VOCABULARY.split()) - {op.name for op in ops})
    assert not missing, f"ops of the vocabulary that are not declared: {missing}"
