"""Complex numbers from real ones and back: complex, real, imag, conj.

What other ops do to complex numbers is in their records (`parts`, written in `squall.ops.parts`). Gradients follow
PyTorch's convention: the gradient of a real loss is its derivative by the real part plus i times that by the imaginary.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, complex_of, float32, float64, int64, real_of
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import elementwise, opaque
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Decompose, Op, Sample, constant, declare, ops
from squall.ops import parts
from squall.ops.samples import floats


def complex_samples() -> list[Sample]:
    """Shapes with sizes 0 and 1, complex64 and complex128, NaN and infinities in either part."""
    import numpy

    nan, inf = numpy.nan, numpy.inf
    special = numpy.array([complex(a, b) for a in (0.0, -0.0, 1.5, nan, inf, -inf) for b in (0.0, -2.0, nan, inf)])
    out = [Sample((floats(s) + 1j * floats(s, 5),), {}, str(s)) for s in ((3, 4), (), (0, 2), (2, 1, 70))]
    return [*out, Sample(((floats((5,)) + 1j * floats((5,), 3)).astype("complex64"),), {}, "complex64"),
            Sample((special,), {}, "special values")]


# ---------------------------------------------------------------- complex
def _complex_type(types: tuple, attrs: tuple) -> DType:
    for t in types:
        if t.dtype is not types[0].dtype or t.dtype not in (float32, float64):
            raise DtypeError(f"complex: expected two float32 or two float64 operands, got {types[0].dtype} and "
                             f"{types[-1].dtype}")
    return complex_of(types[0].dtype)


def _complex_reference(re: Any, im: Any) -> Any:
    import numpy

    re, im = numpy.broadcast_arrays(re, im)
    out = numpy.empty(re.shape, numpy.complex128 if re.dtype == numpy.float64 else numpy.complex64)
    out.real, out.imag = re, im
    return out


def _two_parts() -> list[Sample]:
    return [Sample((floats(a), floats(b, 3)), {}, f"{a} and {b}")
            for a, b in (((3, 4), (3, 4)), ((), ()), ((4,), (3, 1)), ((0, 2), (0, 2)))]


def _joined(context: Context, re: Any, im: Any) -> Any:
    given = re if im is None else im
    zero = ops.full_like(given, value=0.0)
    return ops.complex(zero if re is None else re, zero if im is None else im)


complex_ = declare(
    "complex", elementwise, parts=parts.joined, holomorphic=False, dtype=_complex_type,
    grad=lambda context, g: (ops.real(g), ops.imag(g)),
    jvp=_joined,
    lowering=ByFamily("parts"), reference=_complex_reference, samples=_two_parts,
    doc="The complex numbers of a real and an imaginary part.")


# ---------------------------------------------------------------- real, imag, conj
def _part_dtype(types: tuple, attrs: tuple) -> DType:
    if types[0].dtype.category != 3:
        raise DtypeError(f"expected a complex tensor, got {types[0].dtype}")
    return real_of(types[0].dtype)


def _part(name: str, grad: Any, doc: str) -> Op:
    def reference(z: Any) -> Any:
        return getattr(z, name).copy()

    return declare(name, elementwise, parts=getattr(parts, name), holomorphic=False, dtype=_part_dtype, grad=grad,
                   jvp=lambda context, t: context.op(t), lowering=ByFamily("parts"), reference=reference,
                   samples=complex_samples, doc=doc)


real = _part("real", lambda context, g: ops.complex(g, ops.full_like(g, value=0.0)), "The real part.")
imag = _part("imag", lambda context, g: ops.complex(ops.full_like(g, value=0.0), g), "The imaginary part.")


def _complex_dtype(types: tuple, attrs: tuple) -> DType:
    _part_dtype(types, attrs)
    return types[0].dtype


conj = declare(
    "conj", elementwise, parts=parts.conj, holomorphic=False, dtype=_complex_dtype,
    grad=lambda context, g: ops.conj(g), jvp=lambda context, t: ops.conj(t), lowering=ByFamily("parts"),
    reference=lambda z: z.conj(), samples=complex_samples, doc="The complex conjugate.")


# ---------------------------------------------------------------- the memory of complex numbers
def _pairs_type(types: tuple, attrs: tuple) -> TensorType:
    (z,) = types
    return z.with_shape((*z.shape, 2)).with_dtype(_part_dtype(types, attrs))


def _pairs(z: Any) -> Any:
    shape = (*z.shape, 1)
    return ops.concat(ops.reshape(ops.real(z), shape=shape), ops.reshape(ops.imag(z), shape=shape), dim=len(shape) - 1)


def _pairs_reference(z: Any) -> Any:
    import numpy

    return numpy.stack((z.real, z.imag), -1)


def _first_dim(op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    return op(operands[0]), True


as_real = declare(
    "as_real", opaque, parts="composite", holomorphic=False, infer=_pairs_type,
    grad=lambda context, g: ops.as_complex(g), jvp=lambda context, t: ops.as_real(t), vmap=_first_dim,
    promotion="none", lowering=Decompose(_pairs),
    reference=_pairs_reference, samples=complex_samples,
    doc="Real and imaginary part as a last dimension of size 2: the memory of complex numbers as it is.")


def _joined_type(types: tuple, attrs: tuple) -> TensorType:
    (x,) = types
    if x.dtype not in (float32, float64):
        raise DtypeError(f"as_complex: expected float32 or float64, got {x.dtype}")
    if not x.shape or x.shape[-1] != 2:
        raise ShapeError(f"as_complex: the last dimension must have size 2, got shape {list(x.shape)}")
    return x.with_shape(tuple(x.shape[:-1])).with_dtype(complex_of(x.dtype))


def _join_pairs(x: Any) -> Any:
    last, shape = len(x.shape) - 1, tuple(x.shape[:-1])

    def part(at: int) -> Any:
        taken = ops.slice(x, constant(at, int64), dims=(last,), sizes=(1,), steps=(1,))
        return ops.reshape(taken, shape=shape)

    return ops.complex(part(0), part(1))


as_complex = declare(
    "as_complex", opaque, holomorphic=False, infer=_joined_type, grad=lambda context, g: ops.as_real(g),
    jvp=lambda context, t: ops.as_complex(t), vmap=_first_dim, promotion="none", lowering=Decompose(_join_pairs),
    reference=lambda x: _complex_reference(x[..., 0], x[..., 1]),
    samples=lambda: [Sample((floats(s),), {}, str(s)) for s in ((3, 2), (2,), (0, 2), (4, 1, 2))],
    doc="Complex numbers from a last dimension of size 2 that holds real and imaginary part.")
