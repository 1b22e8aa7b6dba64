"""Movement along dimensions: slice and update_slice with run-time starts, flip, pad, concat.

Starts are zero-dimensional int64 Nodes, so that a moving window reuses one kernel. Frontends normalise negative and
clipped bounds before recording.
"""

from __future__ import annotations

import builtins
from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import IndexRangeError, ShapeError
from squall.ir.families import movement, zeros
from squall.ir.node import Node, TensorType
from squall.ir.op import ByFamily, Context, Sample, constant, declare, make, ops
from squall.ops.common import number
from squall.ops.samples import floats


def is_int(value: Any) -> bool:
    """Whether a size is known, rather than symbolic."""
    return isinstance(value, int)


def position(value: Any, device: str = "cpu") -> Node:
    """An int64 Node of a structural index: a constant, or a symbolic size."""
    return (
        constant(value, int64, str(device)) if is_int(value) else make(ops.extent, (), (value, str(device)))
    )


def arange(size: Any, device: str = "cpu", dtype: Any = int64) -> Node:
    """The Node 0, 1, ... size - 1."""
    return make(ops.iota, (), (size, dtype, str(device)))


def check_starts(name: str, shape: tuple, dims: tuple, starts: tuple) -> None:
    """ShapeError unless dims are sorted dimensions of the shape, with one int64 zero-dimensional start each."""
    if list(dims) != sorted(set(dims)) or any(not 0 <= d < len(shape) for d in dims):
        raise ShapeError(f"{name}: dims {dims} are not sorted dimensions of shape {tuple(shape)}")
    if len(starts) != len(dims):
        raise ShapeError(f"{name}: {len(starts)} starts for dims {dims}")
    for t in starts:
        if t.dtype is not int64 or t.shape != ():
            raise ShapeError(f"{name}: a start must be a zero-dimensional int64, got {t}")


def check_span(name: str, extent: Any, size: Any, step: int, dim: int) -> None:
    """IndexRangeError when so many elements at a step cannot lie in the extent wherever they start."""
    if step < 1:
        raise ShapeError(f"{name}: step {step} of dim {dim} is not positive")
    if is_int(extent) and is_int(size) and (size < 0 or (size and (size - 1) * step >= extent)):
        raise IndexRangeError(
            f"{name}: {size} elements at step {step} do not fit in size {extent} of dim {dim}"
        )


def _slice_type(types: tuple, attrs: tuple) -> TensorType:
    operand, (dims, sizes, steps) = types[0], attrs
    check_starts("slice", operand.shape, dims, types[1:])
    shape = list(operand.shape)
    for d, size, step in zip(dims, sizes, steps, strict=True):
        check_span("slice", shape[d], size, step, d)
        shape[d] = size
    return operand.with_shape(tuple(shape))


def slices(name: str, shape: tuple, dims: tuple, sizes: tuple, steps: tuple, starts: tuple) -> tuple:
    """NumPy slices for the references; IndexRangeError when they leave the array."""
    out = [slice_of(0, size, 1) for size in shape]
    for d, size, step, start in zip(dims, sizes, steps, map(int, starts), strict=True):
        if size and (start < 0 or start + (size - 1) * step >= shape[d]):
            raise IndexRangeError(
                f"{name}: start {start} with {size} elements at step {step} leaves size {shape[d]} of dim {d}"
            )
        out[d] = slice_of(start, size, step)
    return tuple(out)


def slice_of(start: int, size: int, step: int) -> Any:
    """A Python slice of exactly `size` elements."""
    return builtins.slice(start, start + (size - 1) * step + 1 if size else start, step)


def _slice_reference(x: Any, *starts: Any, dims: tuple, sizes: tuple, steps: tuple) -> Any:
    return x[slices("slice", x.shape, dims, sizes, steps, starts)]


def _slice_grad(context: Context, g: Any) -> tuple:
    dims, _, steps = context.attrs
    starts = context.inputs[1:]
    return ops.update_slice(zeros(context.types[0]), g, *starts, dims=dims, steps=steps), *(
        None for _ in starts
    )


def spread(vector: Any, rank: int, dim: int) -> Any:
    """A [batch, size] value as [batch, 1, ..., size, ..., 1] with its size at `dim` of `rank` dimensions."""
    batch, size = vector.shape
    return ops.reshape(vector, shape=(batch, *(size if i == dim else 1 for i in range(1, rank))))


def _column(start: Any, batched: bool, size: Any) -> Any:
    """A start as [batch, 1]."""
    if batched:
        return ops.reshape(start, shape=(size, 1))
    return ops.expand(ops.reshape(start, shape=(1, 1)), shape=(size, 1))


def with_batch(operand: Any, batched: bool, size: Any) -> Any:
    """The operand with its batch at dimension 0, repeated when it has none."""
    return operand if batched else ops.expand(operand, shape=(size, *operand.shape))


def _slice_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    dims, sizes, steps = attrs
    x = with_batch(operands[0], batched[0], size)
    plain = [i for i, b in enumerate(batched[1:]) if not b]
    if plain:
        x = ops.slice(
            x,
            *(operands[1 + i] for i in plain),
            dims=tuple(dims[i] + 1 for i in plain),
            sizes=tuple(sizes[i] for i in plain),
            steps=tuple(steps[i] for i in plain),
        )
    for i, is_batched in enumerate(batched[1:]):
        if is_batched:  # each element of the batch starts elsewhere: read by index
            shape = tuple(x.shape)
            reach = ops.mul(arange(sizes[i], x.device), position(steps[i], x.device))
            index = ops.add(_column(operands[1 + i], True, size), reach)
            new = shape[: dims[i] + 1] + (sizes[i],) + shape[dims[i] + 2 :]
            index = ops.expand(spread(index, len(shape), dims[i] + 1), shape=new)
            x = ops.gather(x, index, dim=dims[i] + 1)
    return x, True


def _at(*values: int) -> tuple:
    import numpy

    return tuple(numpy.asarray(v, numpy.int64) for v in values)


def _slice_samples() -> list[Sample]:
    cases = [
        ((5, 4), (1,), (0,), (3,), (1,)),
        ((5, 4), (0, 1), (0, 1), (3, 2), (2, 2)),
        ((7,), (6,), (0,), (1,), (3,)),
        ((4, 0), (0,), (0,), (2,), (1,)),
        ((4,), (4,), (0,), (0,), (1,)),
        ((), (), (), (), ()),
        ((2, 70), (3,), (1,), (33,), (2,)),
    ]
    return [
        Sample((floats(s, i), *_at(*starts)), {"dims": d, "sizes": n, "steps": k}, f"{s} from {starts}")
        for i, (s, starts, d, n, k) in enumerate(cases)
    ]


slice = declare(
    "slice",
    movement, parts="each", codes="same",
    attributes=("dims", "sizes", "steps"),
    infer=_slice_type,
    lowering=ByFamily("slice"),
    promotion="none",
    saves=lambda needs: tuple(range(1, len(needs))),
    grad=_slice_grad,
    vmap=_slice_batch,
    reference=_slice_reference,
    samples=_slice_samples,
    doc="A box of elements: `sizes` elements along `dims`, from run-time starts (zero-dimensional int64), at positive "
    "steps.",
)


def _update_type(types: tuple, attrs: tuple) -> TensorType:
    base, value, (dims, steps) = types[0], types[1], attrs
    check_starts("update_slice", base.shape, dims, types[2:])
    if len(value.shape) != len(base.shape) or value.dtype is not base.dtype:
        raise ShapeError(f"update_slice: value {value} does not go into base {base}")
    for d, (extent, size) in enumerate(zip(base.shape, value.shape, strict=True)):
        if d in dims:
            check_span("update_slice", extent, size, steps[dims.index(d)], d)
        elif extent != size:
            raise ShapeError(
                f"update_slice: size {size} of the value at dim {d} must be {extent}: {value} into {base}"
            )
    return base


def _update_reference(base: Any, value: Any, *starts: Any, dims: tuple, steps: tuple) -> Any:
    out = base.copy()
    out[slices("update_slice", base.shape, dims, tuple(value.shape[d] for d in dims), steps, starts)] = value
    return out


def _update_grad(context: Context, g: Any) -> tuple:
    (dims, steps), starts, value = context.attrs, context.inputs[2:], context.types[1]
    base = ops.update_slice(g, zeros(value), *starts, dims=dims, steps=steps) if context.needs[0] else None
    sizes = tuple(value.shape[d] for d in dims)
    inner = ops.slice(g, *starts, dims=dims, sizes=sizes, steps=steps) if context.needs[1] else None
    return base, inner, *(None for _ in starts)


def _update_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    dims, steps = attrs
    base, value = (with_batch(o, b, size) for o, b in zip(operands[:2], batched[:2], strict=True))
    if not any(batched[2:]):
        up = tuple(d + 1 for d in dims)
        return ops.update_slice(base, value, *operands[2:], dims=up, steps=steps), True
    # Starts differ over the batch: each base element asks which value element, if any, lands on it.
    hit = None
    for d, step, start, is_batched in zip(dims, steps, operands[2:], batched[2:], strict=True):
        extent, count = base.shape[d + 1], value.shape[d + 1]
        if is_int(count) and count == 0:
            return base, True
        offset = ops.sub(arange(extent, base.device), _column(start, is_batched, size))
        inside = ops.logical_and(ops.ge(offset, 0), ops.lt(offset, position(count * step, base.device)))
        if step > 1:
            inside = ops.logical_and(inside, ops.eq(ops.remainder(offset, step), 0))
        index = ops.where(inside, ops.floor_divide(offset, step), number(0, offset))
        new = tuple(value.shape[: d + 1]) + (extent,) + tuple(value.shape[d + 2 :])
        value = ops.gather(value, ops.expand(spread(index, len(new), d + 1), shape=new), dim=d + 1)
        inside = spread(inside, len(new), d + 1)
        hit = inside if hit is None else ops.logical_and(hit, inside)
    return ops.where(hit, value, base), True


def _update_samples() -> list[Sample]:
    cases = [
        ((5, 4), (2, 4), (1,), (0,), (1,)),
        ((5, 4), (2, 2), (1, 0), (0, 1), (3, 2)),
        ((6,), (0,), (2,), (0,), (1,)),
        ((), (), (), (), ()),
        ((3, 5), (3, 1), (4,), (1,), (1,)),
    ]
    return [
        Sample((floats(s, i), floats(v, i + 9), *_at(*starts)), {"dims": d, "steps": k}, f"{v} into {s}")
        for i, (s, v, starts, d, k) in enumerate(cases)
    ]


update_slice = declare(
    "update_slice",
    movement, parts="each", codes="same",
    attributes=("dims", "steps"),
    infer=_update_type,
    lowering=ByFamily("update_slice"),
    promotion="none",
    saves=lambda needs: tuple(range(2, len(needs))),
    grad=_update_grad,
    vmap=_update_batch,
    reference=_update_reference,
    samples=_update_samples,
    doc="The base with a box of its elements replaced by the value: what `slice` of the same starts would read.",
)


def _flip_reference(x: Any, dims: tuple) -> Any:
    import numpy

    return numpy.flip(x, dims)


def _flip_type(types: tuple, attrs: tuple) -> TensorType:
    check_starts("flip", types[0].shape, attrs[0], (TensorType((), int64),) * len(attrs[0]))
    return types[0]


flip = declare(
    "flip",
    movement, parts="each", codes="same",
    attributes=("dims",),
    infer=_flip_type,
    lowering=ByFamily("flip"),
    promotion="none",
    grad=lambda context, g: ops.flip(g, dims=context.attrs[0]),
    reference=_flip_reference,
    vmap=lambda op, operands, batched, size, attrs: (
        ops.flip(operands[0], dims=tuple(d + 1 for d in attrs[0])),
        True,
    ),
    samples=lambda: [
        Sample((floats(s),), {"dims": d})
        for s, d in (((3, 4), (0,)), ((3, 4), (0, 1)), ((0, 2), (1,)), ((), ()), ((2, 3, 5), (0, 2)))
    ],
    doc="The elements of `dims` in reverse order.",
)
