"""Changing what elements are: cast, bitcast; and a constant of another value's shape."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import (
    ALL,
    BY_SHORT,
    DType,
    float8_e5m2,
    float32,
    float64,
    int32,
    int64,
    numpy_dtype,
    uint8,
)
from squall.base.errors import DtypeError
from squall.ir.families import elementwise
from squall.ir.linear import Builder, Reg
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Context, Decompose, Sample, Scalar, declare, ops
from squall.ops import codes, parts
from squall.ops.common import number
from squall.ops.samples import floats, special_values


# ---------------------------------------------------------------- cast
def _target(types: tuple, attrs: tuple) -> DType:
    return attrs[0]


def _cast(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.cast(x, x.type.with_scalar(attrs[0].short))


def _cast_grad(context: Context, g: Any) -> Any:
    source = context.types[0].dtype
    return ops.cast(g, dtype=source) if source.category >= 2 else None


def _cast_tangent(context: Context, tangent: Any) -> Any:
    return ops.cast(tangent, dtype=context.attrs[0]) if context.attrs[0].category >= 2 else None


def _cast_reference(x: Any, dtype: DType) -> Any:
    import numpy

    target, small = numpy_dtype(dtype), dtype.itemsize <= 2
    if dtype.category == 3:
        return x.astype(target)
    if x.dtype.kind == "c":
        return x.astype(target) if dtype.category == 0 else _cast_reference(x.real, dtype)
    if dtype.category == 2:
        return to_float8(x, dtype) if dtype.is_float8 else (x.astype(numpy.float32) if small else x).astype(target)
    if x.dtype.kind in "biu" or dtype.category == 0:
        return x.astype(target)
    through = numpy.int64 if dtype.itemsize == 8 or dtype.name == "uint32" else numpy.int32
    whole = _saturated(x, through)
    if dtype.name == "uint64":
        return numpy.where(x < 0, whole.astype(target), _saturated(numpy.maximum(x, 0), numpy.uint64))
    return whole.astype(target)


def to_float8(array: Any, dtype: DType) -> Any:
    """Numbers as float8, by way of float32; beyond the range of float8_e4m3fn its largest, as PyTorch has it."""
    import numpy

    single = array.astype(numpy.float32)
    return (single if dtype is float8_e5m2 else numpy.clip(single, -448, 448)).astype(numpy_dtype(dtype))


def _saturated(x: Any, dtype: Any) -> Any:
    """Float to integer toward zero; beyond the range its end, NaN 0."""
    import numpy

    info = numpy.iinfo(dtype)
    wide = numpy.trunc(numpy.where(numpy.isnan(x), 0, x).astype(numpy.float64))
    low, high = wide <= float(info.min), wide >= float(info.max)
    inside = numpy.where(low | high, 0, wide).astype(dtype)
    return numpy.where(low, info.min, numpy.where(high, info.max, inside)).astype(dtype)


def _cast_samples() -> list[Sample]:
    import numpy

    values = numpy.concatenate([special_values(),
                                [2.5, -2.5, 300.7, -300.7, 70000.0, 3e9, -3e9, 1.00390625, 65520.0]])
    out = [Sample((floats((3, 4)),), {"dtype": float32}, "narrowed"),
           Sample((floats(()),), {"dtype": float64}, "zero-dim"),
           Sample((floats((0, 2)),), {"dtype": int32}, "size 0")]
    out += [Sample((values,), {"dtype": d}, f"special values to {d.name}") for d in ALL]
    whole = numpy.array([-300, -129, -1, 0, 1, 127, 128, 255, 256, 70000, 2**40 + 1])
    return out + [Sample((whole,), {"dtype": d}, f"integers to {d.name}") for d in ALL]


cast = declare(
    "cast", elementwise, parts=parts.cast, codes=codes.cast,
    attributes=("dtype",), grad=_cast_grad, jvp=_cast_tangent, lowering=Scalar(_cast),
    dtype=_target,
    promotion="none", reference=_cast_reference, samples=_cast_samples,
    doc="The same values in another dtype. Floats become integers toward zero; values out of range saturate at "
    "int32 or "
    "int64, then wrap. A floating gradient is cast back; there is none for integers.")


# ---------------------------------------------------------------- bitcast
def _bitcast_dtype(types: tuple, attrs: tuple) -> DType:
    source, target = types[0].dtype, attrs[0]
    if source.itemsize != target.itemsize:
        raise DtypeError(f"bitcast: {source} has {source.itemsize} bytes an element and {target} has "
                         f"{target.itemsize}")
    return target


def _bitcast(b: Builder, attrs: tuple, x: Reg) -> Reg:
    return b.bitcast(x, x.type.with_scalar(attrs[0].short))


def _bitcast_reference(x: Any, dtype: DType) -> Any:
    import numpy

    return numpy.ascontiguousarray(x).view(numpy_dtype(dtype)).reshape(x.shape)


bitcast = declare(
    "bitcast", elementwise, codes=codes.bitcast, attributes=("dtype",), grad=NON_DIFFERENTIABLE,
    lowering=Scalar(_bitcast), dtype=_bitcast_dtype,
    promotion="none", reference=_bitcast_reference,
    samples=lambda: [Sample((special_values(),), {"dtype": int64}, "special values"),
                     Sample((special_values().astype("float32"),), {"dtype": int32}, "special float32"),
                     Sample((floats((2, 3)).astype("float32"),), {"dtype": BY_SHORT["u32"]}, "float32"),
                     Sample((numpy_range(),), {"dtype": uint8}, "int8"),
                     Sample((numpy_range() > 0,), {"dtype": uint8}, "bool")],
    doc="The same bits under another dtype of the same size.")


def numpy_range() -> Any:
    """Every int8."""
    import numpy

    return numpy.arange(-128, 128).astype(numpy.int8)


# ---------------------------------------------------------------- a constant of another's shape
def _full_like_type(types: tuple, attrs: tuple) -> TensorType:
    return types[0]


def _full_like_expand(x: Any, value: float) -> Any:
    return ops.expand(number(value, x, x.dtype), shape=tuple(x.shape))


def _full_like_reference(x: Any, value: float) -> Any:
    import numpy

    return numpy.full(x.shape, value).astype(x.dtype)


full_like = declare(
    "full_like", elementwise, parts="composite", codes=codes.full_like,
    attributes=("value",), infer=_full_like_type, grad=lambda context, g: (None,),
    jvp=lambda context, tangent: None, lowering=Decompose(_full_like_expand), promotion="none",
    reference=_full_like_reference,
    samples=lambda: [Sample((floats(s),), {"value": v}) for s, v in (((3, 4), 0.0), ((), 1.5), ((0, 2), 1.0))],
    doc="A structural constant in the shape, dtype and device of a tensor, whose values are not read.")
