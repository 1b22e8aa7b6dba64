"""Stride arithmetic of views: what a movement step does to strides and offset, and whether it can be a view at all."""

from __future__ import annotations

from typing import Any

from squall.base.dim import Dim
from squall.base.shapes import Shape, contiguous_strides, is_contiguous
from squall.frontend.state import local
from squall.ir.node import Node, SharedType, tensor_type
from squall.ir.op import Op, make, ops


def reshape_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides that read `shape` with `strides` as `new` without copying, or None when there are none."""
    if any(isinstance(s, Dim) for s in (*shape, *new)):
        return contiguous_strides(new) if is_contiguous(shape, strides) else None
    if 0 in shape:
        return contiguous_strides(new)
    old = [(size, stride) for size, stride in zip(shape, strides, strict=True) if size != 1]
    out: list = []
    i = 0
    j = 0
    new_sizes = list(new)
    while i < len(old):
        size, stride = old[i]
        i += 1
        while i < len(old) and stride == old[i][0] * old[i][1]:  # merge what lies in one run
            size, stride = size * old[i][0], old[i][1]
            i += 1
        run = size
        pieces = []
        while run > 1 or (j < len(new_sizes) and new_sizes[j] == 1):
            if j == len(new_sizes) or (new_sizes[j] != 1 and run % new_sizes[j]):  # type: ignore[operator]
                return None
            run //= new_sizes[j]
            pieces.append(run * stride)
            j += 1
        out.extend(pieces)
    out.extend([1] * (len(new_sizes) - len(out)))
    return tuple(out)


def step_strides(op: Op, attrs: tuple, starts: tuple[int, ...], shape: Shape, strides: Shape, new_shape: Shape) -> Any:
    """(strides, offset) of a view step on a layout, or None when it cannot be a view."""
    if op is ops.permute:
        return tuple(strides[d] for d in attrs[0]), 0
    if op is ops.expand:
        lead = len(new_shape) - len(shape)
        kept = tuple(0 if a == 1 and b != 1 else s
                     for a, b, s in zip(shape, new_shape[lead:], strides, strict=True))
        return (0,) * lead + kept, 0
    if op is ops.slice:
        dims, _, steps = attrs
        out = list(strides)
        offset = 0
        for dim, start, step in zip(dims, starts, steps, strict=True):
            offset = offset + start * strides[dim]
            out[dim] = strides[dim] * step
        return tuple(out), offset
    if op is ops.reshape:
        found = reshape_strides(shape, strides, new_shape)
        return None if found is None else (found, 0)
    if op is ops.diagonal:
        offset, first, second = attrs
        rest = tuple(s for i, s in enumerate(strides) if i not in (first, second))
        start = offset * strides[second] if offset >= 0 else -offset * strides[first]
        return rest + (strides[first] + strides[second],), start
    if op is ops.window:
        dims, _, steps, dilations = attrs
        out = list(strides)
        for dim, step, dilation in zip(dims, steps, dilations, strict=True):
            out[dim] = strides[dim] * step
            out.append(strides[dim] * dilation)
        return tuple(out), 0
    return None


def view_node(op: Op, node: Node, attrs: tuple, extra: tuple[Node, ...]) -> Node:
    """The Node of a view step: a zero-copy window when the value is computed and the step allows it, else (and
    while a function is traced, whose later calls read other memory) the op."""
    buffer = node.buffer
    made = make(op, (node, *extra), attrs)
    if buffer is None or node.op is ops.scalar or local.state.trace is not None:
        return made
    strides = buffer.strides if buffer.strides is not None else contiguous_strides(node.shape)
    starts = tuple(n.buffer for n in extra)
    layout = step_strides(op, attrs, starts, node.shape, strides, made.shape)
    if layout is None:
        return made
    new_strides, offset = layout
    plain = None if is_contiguous(made.shape, new_strides) else new_strides
    if node.type.__class__ is SharedType:
        type = SharedType(made.shape, made.dtype, made.device)
    else:
        type = tensor_type(made.shape, made.dtype, made.device)
    return Node(ops.buffer, (), (), type, buffer.view(offset * made.dtype.itemsize, plain))
