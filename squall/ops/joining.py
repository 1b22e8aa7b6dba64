"""Movement that makes room or joins: pad (with cropping and interior), concat and stack."""

from __future__ import annotations

from typing import Any

from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import common_device, movement
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Decompose, Sample, declare, ops
from squall.ops import codes, parts
from squall.ops.samples import floats
from squall.ops.slicing import is_int, position, slice_of, with_batch


def padded_size(size: Any, low: Any, high: Any, interior: int) -> Any:
    """The size after padding: `interior` new elements between neighbours, `low` before and `high` after."""
    between = 0 if is_int(size) and size == 0 else (size - 1) * interior
    return size + between + low + high


def _pad_type(types: tuple, attrs: tuple) -> TensorType:
    shape, (low, high, interior, _) = types[0].shape, attrs
    if not len(low) == len(high) == len(interior) == len(shape):
        raise ShapeError(
            f"pad: low {low}, high {high} and interior {interior} need one entry for each dimension of "
            f"shape {tuple(shape)}"
        )
    new = tuple(map(padded_size, shape, low, high, interior))
    if any(is_int(i) and i < 0 for i in interior) or any(is_int(n) and n < 0 for n in new):
        raise ShapeError(
            f"pad: shape {tuple(shape)} with low {low}, high {high}, interior {interior} is not a shape"
        )
    return types[0].with_shape(new)


def _pad_reference(x: Any, low: tuple, high: tuple, interior: tuple, value: Any) -> Any:
    import numpy

    if not low:
        return x
    wide = numpy.full(tuple(padded_size(n, 0, 0, i) for n, i in zip(x.shape, interior)), value, x.dtype)
    wide[tuple(slice_of(0, n, i + 1) for n, i in zip(x.shape, interior))] = x
    grown = numpy.pad(wide, [(max(a, 0), max(b, 0)) for a, b in zip(low, high)], constant_values=value)
    return grown[
        tuple(slice_of(max(-a, 0), n - max(-a, 0) - max(-b, 0), 1) for a, b, n in zip(low, high, grown.shape))
    ]


def pad_by(x: Any, low: tuple, high: tuple, interior: tuple | None = None, value: Any = 0) -> Any:
    """`pad`, or the operand itself when nothing is to be added or cropped."""
    interior = interior or (0,) * len(low)
    if not any(is_int(n) is False or n != 0 for n in (*low, *high, *interior)):
        return x
    return ops.pad(x, low=tuple(low), high=tuple(high), interior=tuple(interior), value=value)


def least(value: Any, bound: int) -> Any:
    """max(value, bound) of a size that may be symbolic, which is never negative."""
    return max(value, bound) if is_int(value) else value


def _pad_grad(context: Context, g: Any) -> Any:
    low, high, interior, _ = context.attrs
    shape = tuple(context.types[0].shape)
    if not any(interior):
        return pad_by(g, tuple(-n for n in low), tuple(-n for n in high))
    # Undo the cropping first; then every element of the operand has its place.
    g = pad_by(
        g,
        tuple(least(-n, 0) if is_int(n) else 0 for n in low),
        tuple(least(-n, 0) if is_int(n) else 0 for n in high),
    )
    starts = (position(least(n, 0), g.device) for n in low)
    return ops.slice(
        g, *starts, dims=tuple(range(len(shape))), sizes=shape, steps=tuple(i + 1 for i in interior)
    )


def _pad_tangent(context: Context, tangent: Any) -> Any:
    low, high, interior, _ = context.attrs
    return ops.pad(tangent, low=low, high=high, interior=interior, value=0)


def _pad_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    low, high, interior, value = attrs
    return ops.pad(operands[0], low=(0, *low), high=(0, *high), interior=(0, *interior), value=value), True


def _pad_samples() -> list[Sample]:
    cases = [
        ((3, 4), (1, 0), (2, 1), (0, 0), 0),
        ((3,), (0,), (1,), (2,), 0),
        ((2, 3), (-1, 1), (0, -2), (0, 1), 1.5),
        ((0, 2), (1, 0), (1, 0), (3, 0), 0),
        ((), (), (), (), 0),
        ((4,), (-1,), (-2,), (0,), 0),
        ((2, 5), (-2, -3), (1, 0), (1, 2), -1.0),
    ]
    return [
        Sample((floats(s, i),), {"low": a, "high": b, "interior": c, "value": v}, f"{s} by {a}, {b}, {c}")
        for i, (s, a, b, c, v) in enumerate(cases)
    ]


pad = declare(
    "pad",
    movement, parts=parts.pad, codes=codes.pad,
    attributes=("low", "high", "interior", "value"),
    defaults={"value": 0},
    infer=_pad_type,
    lowering=ByFamily("pad"),
    promotion="none",
    grad=_pad_grad,
    jvp=_pad_tangent,
    vmap=_pad_batch,
    reference=_pad_reference,
    samples=_pad_samples,
    doc="A value put before, after and between the elements of each dimension. Negative low or high crops, after the "
    "interior was added.",
)


def _concat_type(types: tuple, attrs: tuple) -> TensorType:
    (dim,), first = attrs, types[0]
    total = 0
    for t in types:
        if (
            len(t.shape) != len(first.shape)
            or not 0 <= dim < len(first.shape)
            or any(a != b for i, (a, b) in enumerate(zip(t.shape, first.shape, strict=True)) if i != dim)
        ):
            raise ShapeError(
                f"concat: shapes {tuple(first.shape)} and {tuple(t.shape)} differ outside of dim {dim}"
            )
        if t.dtype is not first.dtype:
            raise DtypeError(f"concat: dtypes {first.dtype} and {t.dtype} differ")
        total = total + t.shape[dim]
    common_device(concat, types)
    return first.with_shape(tuple(first.shape[:dim]) + (total,) + tuple(first.shape[dim + 1 :]))


def _concat_grad(context: Context, g: Any) -> tuple:
    (dim,), start, out = context.attrs, 0, []
    for t, needed in zip(context.types, context.needs, strict=True):
        size = t.shape[dim]
        at = position(start, t.device)
        out.append(ops.slice(g, at, dims=(dim,), sizes=(size,), steps=(1,)) if needed else None)
        start = start + size
    return tuple(out)


def _concat_reference(*xs: Any, dim: int) -> Any:
    import numpy

    return numpy.concatenate(xs, axis=dim)


def _concat_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    parts = [with_batch(o, b, size) for o, b in zip(operands, batched, strict=True)]
    return ops.concat(*parts, dim=attrs[0] + 1), True


concat = declare(
    "concat",
    movement, parts="each", codes="same",
    attributes=("dim",),
    infer=_concat_type,
    lowering=ByFamily("concat"),
    grad=_concat_grad,
    reference=_concat_reference,
    vmap=_concat_batch,
    samples=lambda: [
        Sample(tuple(floats(s, i) for i, s in enumerate(shapes)), {"dim": d}, f"{shapes} along {d}")
        for shapes, d in (
            (((2, 3), (1, 3)), 0),
            (((2, 3), (2, 1), (2, 4)), 1),
            (((3,),), 0),
            (((0,), (2,)), 0),
            (((2, 0), (2, 0)), 1),
        )
    ],
    doc="The operands one after the other along a dimension. Joining more than two is one op.",
)


def _stack_type(types: tuple, attrs: tuple) -> TensorType:
    (dim,), first = attrs, types[0]
    for t in types:
        if tuple(t.shape) != tuple(first.shape) or not 0 <= dim <= len(first.shape):
            raise ShapeError(f"stack: shapes {tuple(first.shape)} and {tuple(t.shape)} differ, or have no place {dim}")
        if t.dtype is not first.dtype:
            raise DtypeError(f"stack: dtypes {first.dtype} and {t.dtype} differ")
    common_device(stack, types)
    return first.with_shape(tuple(first.shape[:dim]) + (len(types),) + tuple(first.shape[dim:]))


def _stack(*xs: Any, dim: int) -> Any:
    shape = tuple(xs[0].shape)
    parts = [ops.reshape(x, shape=(*shape[:dim], 1, *shape[dim:])) for x in xs]
    return parts[0] if len(parts) == 1 else ops.concat(*parts, dim=dim)


def _stack_grad(context: Context, g: Any) -> tuple:
    (dim,), out = context.attrs, []
    for i, (t, needed) in enumerate(zip(context.types, context.needs, strict=True)):
        part = ops.slice(g, position(i, t.device), dims=(dim,), sizes=(1,), steps=(1,)) if needed else None
        out.append(None if part is None else ops.reshape(part, shape=tuple(t.shape)))
    return tuple(out)


def _stack_reference(*xs: Any, dim: int) -> Any:
    import numpy

    return numpy.stack(xs, axis=dim)


def _stack_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    parts = [with_batch(o, b, size) for o, b in zip(operands, batched, strict=True)]
    return ops.stack(*parts, dim=attrs[0] + 1), True


stack = declare(
    "stack",
    movement, codes="composite",
    parts="composite",
    attributes=("dim",),
    infer=_stack_type,
    lowering=Decompose(_stack),
    grad=_stack_grad,
    reference=_stack_reference,
    vmap=_stack_batch,
    samples=lambda: [
        Sample(tuple(floats(shape, i) for i in range(count)), {"dim": d}, f"{count} of {shape} along {d}")
        for shape, count, d in (((2, 3), 2, 0), ((2, 3), 3, 1), ((3,), 2, 1), ((), 2, 0), ((0, 2), 2, 1), ((4,), 1, 0))
    ],
    doc="The operands, which have one shape, one after the other along a new dimension.",
)
