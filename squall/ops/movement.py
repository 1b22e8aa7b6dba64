"""Movement: reshape, permute, expand. They become index maps and cost nothing when fused."""

from __future__ import annotations

from typing import Any

from squall.base.errors import ShapeError
from squall.base.shapes import infer_reshape
from squall.ir.families import movement
from squall.ir.node import TensorType
from squall.ir.op import ByFamily, Context, Sample, declare, ops
from squall.ops.samples import floats


def _reshape_type(types: tuple, attrs: tuple) -> TensorType:
    return types[0].with_shape(infer_reshape(types[0].shape, attrs[0], "reshape"))


def _reshape_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    return ops.reshape(operands[0], shape=(size, *attrs[0])), True


reshape = declare(
    "reshape", movement, parts="each", codes="same",
    attributes=("shape",), infer=_reshape_type, lowering=ByFamily("reshape"), promotion="none",
    grad=lambda context, g: ops.reshape(g, shape=context.types[0].shape), vmap=_reshape_batch,
    reference=lambda x, shape: x.reshape(shape),
    samples=lambda: [Sample((floats((3, 4)),), {"shape": s}) for s in ((12,), (2, 6), (4, 3), (1, 12, 1))]
    + [Sample((floats(()),), {"shape": (1,)}), Sample((floats((0, 3)),), {"shape": (3, 0)})],
    doc="The same elements in row-major order under another shape. The shape is concrete: -1 is solved before "
    "recording.")


def _permute_type(types: tuple, attrs: tuple) -> TensorType:
    shape, dims = types[0].shape, attrs[0]
    if sorted(dims) != list(range(len(shape))):
        raise ShapeError(f"permute: dims {dims} are not a permutation of the {len(shape)} dimensions")
    return types[0].with_shape(tuple(shape[d] for d in dims))


def _permute_grad(context: Context, g: Any) -> Any:
    dims = context.attrs[0]
    return ops.permute(g, dims=tuple(dims.index(i) for i in range(len(dims))))


permute = declare(
    "permute", movement, parts="each", codes="same",
    attributes=("dims",), infer=_permute_type, lowering=ByFamily("permute"), promotion="none",
    grad=_permute_grad, reference=lambda x, dims: x.transpose(dims),
    vmap=lambda op, operands, batched, size, attrs:
        (ops.permute(operands[0], dims=(0, *(d + 1 for d in attrs[0]))), True),
    samples=lambda: [Sample((floats((2, 3, 4)),), {"dims": d}) for d in ((2, 0, 1), (0, 1, 2), (1, 0, 2))]
    + [Sample((floats(()),), {"dims": ()})],
    doc="Dimensions in another order.")


def _expand_type(types: tuple, attrs: tuple) -> TensorType:
    shape, new = types[0].shape, attrs[0]
    lead = len(new) - len(shape)
    if lead < 0 or any(a != b and not (isinstance(a, int) and a == 1)
                       for a, b in zip(shape, new[lead:], strict=True)):
        raise ShapeError(f"expand: shape {tuple(shape)} cannot expand to {tuple(new)}: only sizes of 1 expand")
    return types[0].with_shape(tuple(new))


def sum_to(value: Any, shape: tuple) -> Any:
    """Undo a broadcast: sum a gradient over what was expanded from `shape`."""
    lead = len(value.shape) - len(shape)
    dims = tuple(range(lead)) + tuple(
        i + lead for i, size in enumerate(shape)
        if isinstance(size, int) and size == 1 and value.shape[i + lead] != 1)
    if not dims:
        return value
    value = ops.sum(value, dims=dims, keepdim=True)
    return ops.reshape(value, shape=tuple(shape)) if lead else value


def _expand_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    (operand,), (new,) = operands, attrs
    missing = len(new) - (len(operand.shape) - 1)
    shape = tuple(operand.shape)
    aligned = ops.reshape(operand, shape=shape[:1] + (1,) * missing + shape[1:]) if missing else operand
    return ops.expand(aligned, shape=(size, *new)), True


def _broadcast_reference(x: Any, shape: tuple) -> Any:
    import numpy

    return numpy.broadcast_to(x, shape)


expand = declare(
    "expand", movement, parts="each", codes="same",
    attributes=("shape",), infer=_expand_type, lowering=ByFamily("expand"), promotion="none",
    grad=lambda context, g: sum_to(g, context.types[0].shape), reference=_broadcast_reference, vmap=_expand_batch,
    samples=lambda: [Sample((floats(s),), {"shape": n}) for s, n in
                     (((3, 1), (3, 4)), ((), (2, 2)), ((1,), (0,)), ((4,), (2, 4)))],
    doc="Sizes of 1 repeated without copying, and new leading dimensions.")
