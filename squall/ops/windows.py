"""Movement over windows: window (a view of overlapping patches), and unwindow, its transpose.

Convolution and pooling are written with them: they become index maps, and cost nothing by themselves.
"""

from __future__ import annotations

from typing import Any

from squall.base.errors import ShapeError
from squall.ir.families import movement, zeros
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Decompose, Sample, declare, ops
from squall.ops.common import widened_expand
from squall.ops.joining import pad_by
from squall.ops.samples import floats
from squall.ops.slicing import arange, is_int, position

# From so many terms on, an overlapping sum is an indexed addition instead of a sum of shifted copies.
_MANY_TERMS = 32


def window_count(name: str, extent: Any, size: int, step: int, dilation: int, dim: int) -> Any:
    """How many positions a window takes along an extent; ShapeError when it does not fit once."""
    span = dilation * (size - 1) + 1
    if size < 1 or step < 1 or dilation < 1:
        raise ShapeError(
            f"{name}: size {size}, step {step} and dilation {dilation} of dim {dim} must be positive"
        )
    if is_int(extent) and extent < span:
        raise ShapeError(
            f"{name}: a window of {size} elements at dilation {dilation} does not fit in size {extent} "
            f"of dim {dim}"
        )
    return (extent - span) // step + 1


def _window_shape(
    name: str, shape: tuple, dims: tuple, sizes: tuple, steps: tuple, dilations: tuple
) -> tuple:
    if not len(dims) == len(sizes) == len(steps) == len(dilations):
        raise ShapeError(
            f"{name}: dims {dims}, sizes {sizes}, steps {steps}, dilations {dilations} differ in length"
        )
    if list(dims) != sorted(set(dims)) or any(not 0 <= d < len(shape) for d in dims):
        raise ShapeError(f"{name}: dims {dims} are not sorted dimensions of shape {tuple(shape)}")
    out = list(shape)
    for d, size, step, dilation in zip(dims, sizes, steps, dilations, strict=True):
        out[d] = window_count(name, shape[d], size, step, dilation, d)
    return (*out, *sizes)


def _window_type(types: tuple, attrs: tuple) -> TensorType:
    return types[0].with_shape(_window_shape("window", types[0].shape, *attrs))


def _window_reference(x: Any, dims: tuple, sizes: tuple, steps: tuple, dilations: tuple) -> Any:
    import numpy

    shape = _window_shape("window", x.shape, dims, sizes, steps, dilations)
    strides = list(x.strides)
    for d, step in zip(dims, steps, strict=True):
        strides[d] *= step
    strides += [x.strides[d] * dilation for d, dilation in zip(dims, dilations, strict=True)]
    return numpy.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _window_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    dims, *rest = attrs
    return op(operands[0], **op.named((tuple(d + 1 for d in dims), *rest))), True


def _window_samples() -> list[Sample]:
    cases = [
        ((5, 6), (0, 1), (2, 3), (1, 1), (1, 1)),
        ((2, 8), (1,), (3,), (2,), (2,)),
        ((0, 4), (1,), (2,), (2,), (1,)),
        ((7,), (0,), (2,), (3,), (1,)),
        ((3, 4), (), (), (), ()),
        ((2, 6, 6), (1, 2), (2, 2), (2, 2), (1, 1)),
    ]
    return [
        Sample((floats(s, i),), {"dims": d, "sizes": n, "steps": k, "dilations": e}, f"{n} over {s}")
        for i, (s, d, n, k, e) in enumerate(cases)
    ]


def _window_grad(context: Context, g: Any) -> Any:
    return ops.unwindow(g, shape=tuple(context.types[0].shape), **context.op.named(context.attrs))


window = declare(
    "window",
    movement, parts="each", codes="same",
    attributes=("dims", "sizes", "steps", "dilations"),
    infer=_window_type,
    lowering=ByFamily("window"),
    promotion="none",
    grad=_window_grad,
    vmap=_window_batch,
    reference=_window_reference,
    samples=_window_samples,
    doc="Each dimension of `dims` becomes the positions of a window; the elements of the windows are appended as "
    "trailing dimensions, in the order of dims.",
)


def _unwindow_type(types: tuple, attrs: tuple) -> TensorType:
    shape, *rest = attrs
    expected = _window_shape("unwindow", shape, *rest)
    if tuple(types[0].shape) != expected:
        raise ShapeError(
            f"unwindow: windows of shape {tuple(shape)} have shape {expected}, got {tuple(types[0].shape)}"
        )
    return types[0].with_shape(tuple(shape))


def _unwindow_reference(
    g: Any, shape: tuple, dims: tuple, sizes: tuple, steps: tuple, dilations: tuple
) -> Any:
    import numpy

    out = numpy.zeros(shape, g.dtype)
    lead = len(shape)
    for element in numpy.ndindex(*sizes):
        box = [slice(None)] * lead
        for d, e, step, dilation in zip(dims, element, steps, dilations, strict=True):
            box[d] = slice(e * dilation, e * dilation + (g.shape[d] - 1) * step + 1, step)
        out[tuple(box)] += g[(slice(None),) * lead + element]
    return out


def _lone(values: tuple, d: int, rank: int) -> tuple:
    """Padding amounts that are zero but at one dimension."""
    return tuple(values[0] if i == d else 0 for i in range(rank))


def _one_term(part: Any, d: int, offset: Any, extent: Any, step: int) -> Any:
    """A value whose dimension d holds every step-th element of the result, put there."""
    rank, count = len(part.shape), part.shape[d]
    high = extent - offset - ((count - 1) * step + 1)
    return pad_by(part, _lone((offset,), d, rank), _lone((high,), d, rank), _lone((step - 1,), d, rank))


def _trailing(g: Any, start: int, count: int) -> Any:
    last = len(g.shape) - 1
    return ops.slice(g, position(start, g.device), dims=(last,), sizes=(count,), steps=(1,))


def _tiled(part: Any, d: int, step: int) -> Any:
    """Windows of at most `step` elements, which do not overlap, laid along d: [.., P, .., k] to P * step."""
    rank = len(part.shape)
    missing = step - part.shape[-1]
    part = pad_by(part, (0,) * rank, _lone((missing,), rank - 1, rank))
    part = ops.permute(part, dims=(*range(d + 1), rank - 1, *range(d + 1, rank - 1)))
    shape = tuple(part.shape)
    return ops.reshape(part, shape=shape[:d] + (shape[d] * step,) + shape[d + 2 :])


def _overlapping(g: Any, d: int, extent: Any, step: int, dilation: int) -> Any:
    """The sum by adding at indices, for windows with very many shifted copies."""
    rank, count, size = len(g.shape), g.shape[d], g.shape[-1]
    g = ops.permute(g, dims=(*range(d + 1), rank - 1, *range(d + 1, rank - 1)))
    shape = tuple(g.shape)
    g = ops.reshape(g, shape=shape[:d] + (count * size,) + shape[d + 2 :])
    at = ops.reshape(ops.mul(arange(count, g.device), step), shape=(count, 1))
    index = ops.add(at, ops.mul(arange(size, g.device), dilation))
    base = zeros(TensorType(shape[:d] + (extent,) + shape[d + 2 :], g.dtype, g.device))
    return ops.index_add(base, ops.reshape(index, shape=(count * size,)), g, dim=d)


def _along(g: Any, d: int, extent: Any, step: int, dilation: int) -> Any:
    """The sum over one dimension of windows: positions at d, elements last."""
    size, rank = g.shape[-1], len(g.shape)
    dense = dilation == 1
    terms = -(-size // step) if dense else size
    if terms > _MANY_TERMS:
        return _overlapping(g, d, extent, step, dilation)
    total = None
    for term in range(terms):
        if dense:  # runs of `step` elements of each window tile the dimension
            count = min(step, size - term * step)
            part = _tiled(_trailing(g, term * step, count) if count < size else g, d, step)
            offset = term * step
            part = pad_by(
                part, _lone((offset,), d, rank - 1), _lone((extent - offset - part.shape[d],), d, rank - 1)
            )
        else:
            part = _trailing(g, term, 1)
            part = _one_term(
                ops.reshape(part, shape=tuple(part.shape[:-1])), d, term * dilation, extent, step
            )
        total = part if total is None else ops.add(total, part)
    return total


@widened_expand
def _unwindow(g: Any, shape: tuple, dims: tuple, sizes: tuple, steps: tuple, dilations: tuple) -> Any:
    for d, step, dilation in reversed(list(zip(dims, steps, dilations, strict=True))):
        g = _along(g, d, shape[d], step, dilation)
    return g


def _unwindow_grad(context: Context, g: Any) -> Any:
    _, dims, sizes, steps, dilations = context.attrs
    return ops.window(g, dims=dims, sizes=sizes, steps=steps, dilations=dilations)


def _unwindow_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    shape, dims, *rest = attrs
    return op(operands[0], **op.named(((size, *shape), tuple(d + 1 for d in dims), *rest))), True


def _unwindow_samples() -> list[Sample]:
    out = [
        *_window_samples(),
        Sample(
            (floats((40,)),), {"dims": (0,), "sizes": (34,), "steps": (1,), "dilations": (1,)}, "many terms"
        ),
    ]
    return [
        Sample(
            (floats(_window_shape("", s.inputs[0].shape, *s.attributes.values()), 5),),
            {"shape": s.inputs[0].shape, **s.attributes},
            s.name,
        )
        for s in out
    ]


unwindow = declare(
    "unwindow",
    movement, parts="composite",
    attributes=("shape", "dims", "sizes", "steps", "dilations"),
    infer=_unwindow_type,
    lowering=Decompose(_unwindow),
    promotion="none",
    grad=_unwindow_grad,
    vmap=_unwindow_batch,
    reference=_unwindow_reference,
    samples=_unwindow_samples,
    doc="The transpose of `window`: the elements of all windows added where they came from, in a value of `shape`.",
)
