"""Complex numbers: every op that takes them, against NumPy, compiled, and its gradient against differences.

The samples are those of the op's declaration, with an imaginary part put to each floating operand.
"""

from __future__ import annotations

import numpy as np
import pytest

import squall as sq
from squall.base.dtypes import as_dtype
from squall.base.errors import DtypeError
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Op, Sample, ops
from tests.ops.harness import BACKENDS, OPS, arrays_of, bound, op_gradients, outputs_of, placeholders

# Tested below; fft_r2c takes no complex numbers, the samples of while_loop have graphs of their own type.
_SKIPPED = frozenset(("cast", "complex", "real", "imag", "conj", "fft_r2c", "while_loop"))
_OF_PHASE = frozenset(("svd", "eig"))  # the loss of a check must not depend on the phase of its vectors
_OWN = frozenset(("real", "imag", "conj"))


def _takes_complex(op: Op) -> bool:
    return op.parts is not None and op.parts != "leaf" and op.name not in _SKIPPED and op.parts != "graph"


TAKING = [op for op in OPS if _takes_complex(op)]


def _with_imaginary(array: np.ndarray, seed: int) -> np.ndarray:
    if array.dtype != np.float64:
        return array
    return array + 1j * np.random.RandomState(seed).uniform(-0.7, 0.7, array.shape)


def _samples(op: Op) -> list[Sample]:
    out = []
    for sample in op.samples():
        arrays = arrays_of(sample)
        ordinary = not sample.name.startswith(("special", "ties", "large", "zeros"))
        if ordinary and any(a.dtype == np.float64 for a in arrays) and all(np.isfinite(a).all() for a in arrays):
            made = tuple(_with_imaginary(a, 11 + i) for i, a in enumerate(arrays))
            if all(a.dtype.kind != "f" for a in made):
                out.append(Sample(made, sample.attributes, sample.name))
    return out


def _run(op: Op, sample: Sample, backend: str) -> list:
    arrays = arrays_of(sample)
    nodes = placeholders(arrays)
    return BACKENDS[backend](outputs_of(op(*nodes, **sample.attributes)), bound(nodes, arrays))


@pytest.mark.parametrize("op", TAKING, ids=lambda op: op.name)
def test_values_are_numpys(op: Op) -> None:
    """The compiled program gives what the reference gives for complex128 and, more roughly, complex64."""
    for sample in _samples(op)[:6]:
        expected = _run(op, sample, "numpy")
        for got, want in zip(_run(op, sample, "cpu"), expected, strict=True):
            assert got.dtype == want.dtype, sample.name
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11, err_msg=sample.name)
        small = Sample(tuple(a.astype("complex64") if a.dtype.kind == "c" else a for a in sample.inputs),
                       sample.attributes)
        for got, want in zip(_run(op, small, "cpu"), expected, strict=True):
            assert got.dtype.itemsize <= 8
            np.testing.assert_allclose(got, want, rtol=3e-4, atol=3e-4, err_msg=sample.name)


def _loss(op: Op, sample: Sample, arrays: list, weights: list) -> float:
    results = _run(op, Sample(tuple(arrays), sample.attributes), "numpy")
    return float(sum((np.conj(w) * r).real.sum() for w, r in zip(weights, results, strict=True)))


@pytest.mark.parametrize("op", [o for o in TAKING if o.grad is not NON_DIFFERENTIABLE and o.name not in _OF_PHASE],
                         ids=lambda op: op.name)
def test_gradient_is_the_derivative_by_both_parts(op: Op) -> None:
    """Moving z by t d changes a real loss by t Re(sum(conj(grad) d)): PyTorch's convention."""
    for sample in _samples(op)[:3]:
        arrays = arrays_of(sample)
        nodes = placeholders(arrays)
        needs = tuple(a.dtype.kind == "c" for a in arrays)
        made = op(*nodes, **sample.attributes)
        outputs = outputs_of(made)
        if any(n.dtype.category < 2 for n in outputs) or not all(a.size for a in arrays):
            continue
        rng = np.random.RandomState(5)
        weights = [np.asarray(rng.randn(*n.shape) + (1j * rng.randn(*n.shape) if n.dtype.category == 3 else 0))
                   for n in outputs]
        seeds = placeholders(weights, len(nodes))
        g = tuple(seeds) if isinstance(made, tuple) else seeds[0]
        parts = op_gradients(op, op.pack(sample.attributes), nodes, made, g, needs)
        bindings = bound([*nodes, *seeds], [*arrays, *weights])
        for i, part in enumerate(parts):
            if not needs[i] or part is None:
                continue
            (gradient,) = BACKENDS["numpy"]([part], bindings)
            direction = rng.randn(*arrays[i].shape) + 1j * rng.randn(*arrays[i].shape)
            step, moved = 1e-6, []
            for sign in (1, -1):
                there = list(arrays)
                there[i] = arrays[i] + sign * step * direction
                moved.append(_loss(op, sample, there, weights))
            slope = (moved[0] - moved[1]) / (2 * step)
            found = (np.conj(gradient) * direction).real.sum()
            assert found == pytest.approx(slope, rel=1e-5, abs=1e-6), (op.name, sample.name, i)


@pytest.mark.parametrize("name", sorted(_OWN))
def test_parts_of_special_values(name: str) -> None:
    """real, imag and conj keep NaN, infinities and signs of zeros."""
    op = getattr(ops, name)
    for sample in op.samples():
        (got,), (want,) = _run(op, sample, "cpu"), _run(op, sample, "numpy")
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got.real), np.signbit(want.real))


def test_what_is_not_defined_is_refused() -> None:
    """An op without a rule for parts names itself and the dtype."""
    z = placeholders([np.ones(3, np.complex64)])[0]
    for op in (ops.amax, ops.floor, ops.lt):
        with pytest.raises(DtypeError, match=f"{op.name}: not implemented for squall.complex64"):
            op(z, dims=(0,), keepdim=False) if op is ops.amax else op(*[z] * (2 if op is ops.lt else 1))


def test_every_elementwise_op_says_what_complex_is() -> None:
    """A result type exists or a DtypeError: nothing falls through to a kernel of real numbers."""
    z = TensorType((3,), as_dtype("complex64"))
    for op in OPS:
        if op.family.name == "elementwise" and op.parts is None and not op.attributes:
            with pytest.raises(DtypeError):
                op(*placeholders([np.ones(z.shape, np.complex64)] * len(op.samples()[0].inputs)))


def _pair(seed: int = 0, *shape: int) -> tuple:
    rng = np.random.RandomState(seed)
    return rng.randn(*shape) + 1j * rng.randn(*shape), rng.randn(*shape) + 1j * rng.randn(*shape)


def test_programs_over_views_writes_and_numbers() -> None:
    """Strided complex memory, in-place writes and Python numbers, as NumPy has them."""
    a, b = _pair(1, 4, 5)
    x, y = sq.tensor(a), sq.from_numpy(b)
    got = (x.T[1:4:2] * 2j + y.T[::2][:2]).sum(0)
    np.testing.assert_allclose(got.numpy(), (a.T[1:4:2] * 2j + b.T[::2][:2]).sum(0), rtol=1e-13)
    x[1:3] *= 1 - 1j
    a[1:3] *= 1 - 1j
    x[0, 0] = 3j
    a[0, 0] = 3j
    np.testing.assert_allclose(x.numpy(), a, rtol=1e-14)
    y += 1
    np.testing.assert_array_equal(b, y.numpy())
    assert (x[0, 0].item(), complex(x[0, 0]), x.dtype) == (3j, 3j, sq.complex128)


@pytest.mark.parametrize(("a", "b", "result"), [
    ("complex64", "float64", "complex128"), ("complex64", "int64", "complex64"), ("float16", "complex64", "complex64"),
    ("complex64", "complex128", "complex128")])
def test_promotion_is_pytorchs(a: str, b: str, result: str) -> None:
    """Complex beside real tensors keeps the larger parts."""
    made = sq.ones(2, dtype=getattr(sq, a)) + sq.ones(2, dtype=getattr(sq, b))
    assert made.dtype is getattr(sq, result)


def test_numbers_keep_the_precision_of_tensors() -> None:
    """A complex number beside float64 is complex128, beside integers the default."""
    assert (sq.ones(2, dtype=sq.float64) * 1j).dtype is sq.complex128
    assert (sq.ones(2, dtype=sq.int64) * 1j).dtype is sq.complex64
    assert (sq.ones(2, dtype=sq.complex64) * sq.tensor(1.0, dtype=sq.float64)).dtype is sq.complex64


def test_training_on_complex_parameters() -> None:
    """Compiled and uncompiled steps give the same bits, and the loss falls."""
    def losses(compile: bool) -> list:
        a, b = _pair(3, 6, 6)
        w = sq.tensor(a.astype("complex64"), requires_grad=True)
        x = sq.tensor(b.astype("complex64"))

        def step(x: sq.Tensor) -> sq.Tensor:
            w.grad = None
            loss = (w @ x - x).abs().square().mean()
            loss.backward()
            with sq.no_grad():
                w.sub_(w.grad * 0.1)
            return loss

        run = sq.compile(step) if compile else step
        return [run(x).item() for _ in range(6)]

    plain, compiled = losses(False), losses(True)
    assert plain == compiled
    assert plain[-1] < 0.8 * plain[0]


def test_symbolic_and_batched_programs() -> None:
    """One compilation serves every size, and vmap and jvp agree with what they stand for."""
    a, b = _pair(4, 7, 3)
    f = sq.compile(lambda x: (x * x.conj()).exp().sum(1), dynamic_shapes=[{0: sq.Dim("n", min=1, max=64)}])
    for n in (1, 3, 7):
        np.testing.assert_allclose(f(sq.tensor(a[:n])).numpy(), np.exp(a[:n] * a[:n].conj()).sum(1), rtol=1e-12)
    rows = sq.vmap(lambda v: v.exp().sum())(sq.tensor(a))
    np.testing.assert_allclose(rows.numpy(), np.exp(a).sum(1), rtol=1e-12)
    value, tangent = sq.func.jvp(lambda v: v * v, (sq.tensor(a),), (sq.tensor(b),))
    np.testing.assert_allclose(tangent.numpy(), 2 * a * b, rtol=1e-13)
    np.testing.assert_allclose(value.numpy(), a * a, rtol=1e-13)


def test_printing() -> None:
    """Both parts, with PyTorch's widths and dtype."""
    assert repr(sq.tensor([1 + 2j, -0.5 - 1j])) == "tensor([ 1.0000+2.j, -0.5000-1.j])"
    assert repr(sq.tensor([1j], dtype=sq.complex128)) == "tensor([0.+1.j], dtype=squall.complex128)"


def test_vectors_of_any_phase() -> None:
    """Gradients through singular vectors, eigenvectors and Q, of losses that do not depend on their phase."""
    a, _ = _pair(8, 4, 3)
    weights = np.random.RandomState(9).randn(3)

    def loss(x: sq.Tensor) -> sq.Tensor:
        u, s, vh = sq.linalg.svd(x, full_matrices=False)
        values, vectors = sq.linalg.eigh(x.mH @ x)
        w = sq.tensor(weights)
        return ((u * w) @ vh).abs().sum() + (s * w).sum() + (vectors.abs() * w).sum() + (values * w).sum()

    x = sq.tensor(a, requires_grad=True)
    loss(x).backward()
    direction, _ = _pair(10, 4, 3)
    moved = [loss(sq.tensor(a + t * direction)).item() for t in (1e-6, -1e-6)]
    found = (x.grad.numpy().conj() * direction).real.sum()
    assert found == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("transform", ["fft", "ifft2", "rfftn", "irfft", "hfft", "ihfft2"])
@pytest.mark.parametrize("norm", ["backward", "forward", "ortho"])
def test_fourier_transforms_are_numpys(transform: str, norm: str) -> None:
    """Values of all three kinds, and their gradient against a difference."""
    a, direction = _pair(12, 3, 6)
    a, direction = (a.real, direction.real) if transform.startswith(("rfft", "ihfft")) else (a, direction)
    x = sq.tensor(a, requires_grad=True)
    out = getattr(sq.fft, transform)(x, norm=norm)
    if hasattr(np.fft, transform):
        np.testing.assert_allclose(out.detach().numpy(), getattr(np.fft, transform)(a, norm=norm), atol=1e-12)
    weights = sq.tensor(_pair(13, *out.shape)[0] if out.is_complex() else _pair(13, *out.shape)[0].real)

    def loss(t: float) -> float:
        made = getattr(sq.fft, transform)(sq.tensor(a + t * direction), norm=norm)
        made = (weights.conj() * made).sum()
        return (made.real if made.is_complex() else made).item()

    out.backward(weights)
    slope = (np.conj(x.grad.numpy()) * direction).real.sum()
    assert slope == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-6)


def test_fourier_arguments() -> None:
    """Sizes cut and fill; what makes no sense is named."""
    x = sq.arange(6.0)
    np.testing.assert_allclose(sq.fft.rfft(x, n=8).numpy(), np.fft.rfft(np.arange(6.0), n=8), atol=1e-5)
    np.testing.assert_allclose(sq.fft.fft(x, n=4).numpy(), np.fft.fft(np.arange(6.0), n=4), atol=1e-5)
    with pytest.raises(RuntimeError, match=r"fft\.fft: invalid number of data points \(0\)"):
        sq.fft.fft(x, n=0)
    with pytest.raises(RuntimeError, match=r"fft\.ifft: norm must be"):
        sq.fft.ifft(x, norm="both")
    with pytest.raises(NotImplementedError, match=r"fft\.rfft: expected a real input"):
        sq.fft.rfft(x * 1j)


def test_real_numbers_of_an_empty_transform_are_zero():
    empty = np.empty((0, 2, 16), complex)
    for _ in range(20):
        np.full((6, 2, 16), 7.0)  # memory that is given back: NumPy's own result is what lies there
        assert not ops.fft_c2r.reference(empty, dims=(0,), norm="backward", size=6).any()
