"""frexp: floats taken apart into mantissa and exponent, by shifting their bits as a host step."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int32
from squall.ir.families import check_float, elementwise, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Library, Sample, declare, ops
from squall.ops.common import as_dtype_of, is_narrow
from squall.ops.samples import floats, special_values


def _frexp_type(types: tuple, attrs: tuple) -> tuple:
    (x,) = types
    check_float("frexp", x.dtype)
    return x, TensorType(x.shape, int32, x.device)


def _frexp(x: Any) -> tuple:
    import numpy

    mantissa, exponent = numpy.frexp(x if x.dtype.itemsize > 2 else x.astype(numpy.float32))
    exponent = numpy.where(numpy.isfinite(x), exponent, 0)
    return numpy.asarray(mantissa.astype(x.dtype)), numpy.asarray(exponent.astype(numpy.int32))


def _frexp_grad(context: Context, g: tuple) -> Any:
    if g[0] is None:
        return None
    type, exponent = context.types[0], context.output[1]
    wide = ops.cast(exponent, dtype=type.dtype)
    if is_narrow(type.dtype):
        return as_dtype_of(ops.mul(g[0], ops.exp2(ops.neg(wide))), type.dtype)
    return ops.mul(g[0], ops.exp2(ops.neg(wide)))


frexp = declare(
    "frexp", opaque, infer=_frexp_type, saves=("out",), grad=_frexp_grad, promotion="none", reference=_frexp,
    lowering=Library(_frexp), vmap=elementwise.batch,
    jvp=lambda context, t: (_frexp_grad(context, (t, None)), None),
    samples=lambda: [Sample((floats(s, i, 0.6, 0.9),), {}, str(s)) for i, s in enumerate(((3, 4), (), (0, 2)))]
    + [Sample((special_values(),), {}, "special values")],
    doc="A mantissa of size in [1/2, 1) and an exponent of 2 whose product is x. 0, infinities "
    "and NaN have exponent 0.")
