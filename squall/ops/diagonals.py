"""diagonal: of two dimensions one, as a strided slice of the flattened pair."""

from __future__ import annotations

from typing import Any

from squall.base.dim import larger, smaller
from squall.base.errors import ShapeError
from squall.ir.families import movement
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.samples import floats
from squall.ops.slicing import position


def diagonal_span(shape: tuple, offset: int, dim1: int, dim2: int) -> tuple:
    """The length of a diagonal and where it starts in the flattened two dimensions."""
    n, m = shape[dim1], shape[dim2]
    length = larger(smaller(n, m - offset) if offset >= 0 else smaller(n + offset, m), 0)
    return (length, offset if offset >= 0 else -offset * m) if length > 0 else (0, 0)


def _diagonal_type(types: tuple, attrs: tuple) -> TensorType:
    shape, (offset, dim1, dim2) = types[0].shape, attrs
    if dim1 == dim2 or not (0 <= dim1 < len(shape) and 0 <= dim2 < len(shape)):
        raise ShapeError(f"diagonal: dims {dim1} and {dim2} are not two dimensions of shape {tuple(shape)}")
    rest = tuple(n for i, n in enumerate(shape) if i not in (dim1, dim2))
    return types[0].with_shape((*rest, diagonal_span(shape, offset, dim1, dim2)[0]))


def _to_end(rank: int, dim1: int, dim2: int) -> tuple:
    return (*(i for i in range(rank) if i not in (dim1, dim2)), dim1, dim2)


def _diagonal(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    length, start = diagonal_span(tuple(x.shape), offset, dim1, dim2)
    x = ops.permute(x, dims=_to_end(len(x.shape), dim1, dim2))
    *rest, n, m = x.shape
    x = ops.reshape(x, shape=(*rest, n * m))
    return ops.slice(x, position(start, x.device), dims=(len(rest),), sizes=(length,), steps=(m + 1,))


def _diagonal_grad(context: Context, g: Any) -> Any:
    (offset, dim1, dim2), shape = context.attrs, tuple(context.types[0].shape)
    length, start = diagonal_span(shape, offset, dim1, dim2)
    n, m, lead = shape[dim1], shape[dim2], len(shape) - 2
    end = start + (length - 1) * (m + 1) + 1 if length else 0
    g = ops.pad(g, low=(0,) * lead + (start,), high=(0,) * lead + (n * m - end,), interior=(0,) * lead + (m,))
    order = _to_end(len(shape), dim1, dim2)
    g = ops.reshape(g, shape=tuple(shape[i] for i in order))
    return ops.permute(g, dims=tuple(order.index(i) for i in range(len(shape))))


def _diagonal_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    offset, dim1, dim2 = attrs
    return op(operands[0], offset=offset, dim1=dim1 + 1, dim2=dim2 + 1), True


diagonal = declare(
    "diagonal",
    movement, parts="composite", codes="composite",
    attributes=("offset", "dim1", "dim2"),
    defaults={"offset": 0, "dim1": 0, "dim2": 1},
    infer=_diagonal_type,
    lowering=Decompose(_diagonal),
    promotion="none",
    grad=_diagonal_grad,
    vmap=_diagonal_batch,
    reference=lambda x, offset, dim1, dim2: x.diagonal(offset, dim1, dim2),
    samples=lambda: [
        Sample((floats(s, i),), {"offset": o, "dim1": a, "dim2": b})
        for i, (s, o, a, b) in enumerate(
            (
                ((3, 4), 0, 0, 1),
                ((3, 4), 1, 0, 1),
                ((3, 4), -2, 1, 0),
                ((2, 3, 3), -1, 1, 2),
                ((2, 3, 4), 2, 2, 0),
                ((0, 3), 0, 0, 1),
                ((2, 2), 5, 0, 1),
            )
        )
    ],
    doc="A diagonal of two dimensions, as the last dimension of the result.",
)
