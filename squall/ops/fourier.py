"""Discrete Fourier transforms as host steps: complex to complex, real to half-complex, half-complex to real.

NumPy's pocketfft computes. A spectrum of real numbers is symmetric, so only its first half along the last of `dims`
is kept (size n // 2 + 1). `norm` is NumPy's: which direction is divided by the number of elements, "backward" (the
inverse), "forward", or both by its root ("ortho").
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import complex_of, real_of
from squall.base.errors import DtypeError
from squall.ir.families import opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Library, Sample, declare, ops
from squall.ops.common import number
from squall.ops.samples import floats
from squall.ops.slicing import arange, with_batch

OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _same(types: tuple, attrs: tuple) -> TensorType:
    if types[0].dtype.category != 3:
        raise DtypeError(f"fft_c2c: expected a complex operand, got {types[0].dtype}")
    return types[0]


def _c2c(x: Any, dims: tuple, forward: bool, norm: Any) -> Any:
    import numpy

    if x.size == 0:
        return x
    return (numpy.fft.fftn if forward else numpy.fft.ifftn)(x, axes=dims, norm=norm)


def _c2c_grad(context: Context, g: Any) -> Any:
    dims, forward, norm = context.attrs
    return ops.fft_c2c(g, dims=dims, forward=not forward, norm=OPPOSITE[norm])


def _batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    named = op.named(attrs)
    named["dims"] = tuple(d + 1 for d in named["dims"])
    return op(with_batch(operands[0], batched[0], size), **named), True


def _linear(context: Context, t: Any) -> Any:
    return context.op(t, **context.op.named(context.attrs))


_CASES = (((4, 6), (1,)), ((3, 5), (0, 1)), ((2, 3, 4), (0, 2)), ((7,), (0,)), ((1, 2), (1,)))
_NORMS = ("backward", "forward", "ortho")


def _c2c_samples() -> list[Sample]:
    return [Sample((floats(s, i) + 1j * floats(s, i + 9),), {"dims": d, "forward": f, "norm": n}, f"{s} over {d}")
            for i, (s, d) in enumerate(_CASES) for f in (True, False) for n in (_NORMS if i == 0 else _NORMS[:1])]


fft_c2c = declare(
    "fft_c2c", opaque, attributes=("dims", "forward", "norm"), infer=_same, grad=_c2c_grad, holomorphic=False,
    jvp=_linear, vmap=_batch, parts="library", promotion="none", lowering=Library(_c2c), reference=_c2c,
    samples=_c2c_samples, doc="The discrete Fourier transform of complex numbers over dims, or its inverse.")


# ---------------------------------------------------------------- real to half-complex
def _r2c_type(types: tuple, attrs: tuple) -> TensorType:
    (x,), (dims, _) = types, attrs
    if x.dtype.category != 2 or x.dtype.itemsize < 4:
        raise DtypeError(f"fft_r2c: expected a float32 or float64 operand, got {x.dtype}")
    shape = tuple(n // 2 + 1 if d == dims[-1] else n for d, n in enumerate(x.shape))
    return TensorType(shape, complex_of(x.dtype), x.device)


def _r2c(x: Any, dims: tuple, norm: Any) -> Any:
    import numpy

    return numpy.fft.rfftn(x, axes=dims, norm=norm)


def _longer(x: Any, dim: int, size: Any) -> Any:
    """Zeros put behind a dimension."""
    rank = len(x.shape)
    high = tuple(size - x.shape[d] if d == dim else 0 for d in range(rank))
    return ops.pad(x, low=(0,) * rank, high=high, interior=(0,) * rank, value=0)


def _r2c_grad(context: Context, g: Any) -> Any:
    dims, norm = context.attrs
    whole = _longer(g, dims[-1], context.types[0].shape[dims[-1]])
    return ops.real(ops.fft_c2c(whole, dims=dims, forward=False, norm=OPPOSITE[norm]))


fft_r2c = declare(
    "fft_r2c", opaque, attributes=("dims", "norm"), infer=_r2c_type, grad=_r2c_grad, holomorphic=False, jvp=_linear,
    vmap=_batch, parts="library", promotion="none", lowering=Library(_r2c), reference=_r2c,
    samples=lambda: [Sample((floats(s, i),), {"dims": d, "norm": n}, f"{s} over {d}")
                     for i, (s, d) in enumerate(_CASES) for n in (_NORMS if i == 0 else _NORMS[:1])],
    doc="The first half, along the last of dims, of the Fourier transform of real numbers.")


# ---------------------------------------------------------------- half-complex to real
def _c2r_type(types: tuple, attrs: tuple) -> TensorType:
    (x,), (dims, _, size) = types, attrs
    if x.dtype.category != 3:
        raise DtypeError(f"fft_c2r: expected a complex operand, got {x.dtype}")
    shape = tuple(size if d == dims[-1] else n for d, n in enumerate(x.shape))
    return TensorType(shape, real_of(x.dtype), x.device)


def _c2r(x: Any, dims: tuple, norm: Any, size: int) -> Any:
    import numpy

    sizes = [size if d == dims[-1] else x.shape[d] for d in dims]
    if not x.size:  # NumPy leaves the sums of nothing as the memory was
        return numpy.zeros([size if d == dims[-1] else n for d, n in enumerate(x.shape)], x.real.dtype)
    return numpy.fft.irfftn(x, s=sizes, axes=dims, norm=norm)


def _c2r_grad(context: Context, g: Any) -> Any:
    dims, norm, size = context.attrs
    half = ops.fft_r2c(g, dims=dims, norm=OPPOSITE[norm])
    place = arange(half.shape[dims[-1]], str(g.device))
    once = ops.logical_or(ops.eq(place, 0), ops.eq(ops.mul(place, 2), size))
    rank = len(half.shape)
    once = ops.reshape(once, shape=tuple(half.shape[d] if d == dims[-1] else 1 for d in range(rank)))
    return ops.add(half, ops.where(once, number(0.0, half), half))


def _c2r_samples() -> list[Sample]:
    out = []
    for i, (shape, dims) in enumerate(_CASES):
        half = tuple(n // 2 + 1 if d == dims[-1] else n for d, n in enumerate(shape))
        out += [Sample((floats(half, i) + 1j * floats(half, i + 9),),
                       {"dims": dims, "norm": n, "size": shape[dims[-1]]}, f"{shape} over {dims}")
                for n in (_NORMS if i == 0 else _NORMS[:1])]
    return out


fft_c2r = declare(
    "fft_c2r", opaque, attributes=("dims", "norm", "size"), infer=_c2r_type, grad=_c2r_grad, holomorphic=False,
    jvp=_linear, vmap=_batch, parts="library", promotion="none", lowering=Library(_c2r), reference=_c2r,
    samples=_c2r_samples, doc="Real numbers of the given size from the first half of their Fourier transform.")
