"""Complex numbers from real ones and back: complex, real, imag, conj.

What other ops do to complex numbers is in their records (`parts`, written in `squall.ops.parts`). Gradients follow
PyTorch's convention: the gradient of a real loss is its derivative by the real part plus i times that by the imaginary.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import DType, complex_of, float32, float64, real_of
from squall.base.errors import DtypeError
from squall.ir.families import elementwise
from squall.ir.op import ByFamily, Context, Op, Sample, declare, ops
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
