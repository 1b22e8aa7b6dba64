"""Stride arithmetic of views: what a movement step does to strides and offset, and whether it can be a view at all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from squall.base.dim import Dim
from squall.base.dtypes import complex64, float32, int64
from squall.base.shapes import Shape, contiguous_strides, is_contiguous
from squall.frontend.state import local
from squall.ir.node import Node, SharedType, TensorType, tensor_type
from squall.ir.op import Op, constant_value, make, ops


def reshape_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides that read `shape` with `strides` as `new` without copying, or None when there are none."""
    if any(isinstance(s, Dim) for s in (*shape, *new)):
        return _symbolic_reshape_strides(shape, strides, new)
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


def _symbolic_reshape_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """`reshape_strides` where sizes may be symbols: equal dimensions at both ends keep their strides, and what lies
    between them is of numbers, or lies in one run."""
    shortest = min(len(shape), len(new))
    front = next((i for i in range(shortest) if shape[i] != new[i]), shortest)
    back = next((i for i in range(shortest - front) if shape[-1 - i] != new[-1 - i]), shortest - front)
    middle = slice(front, len(shape) - back)
    old_sizes, old_strides = shape[middle], strides[middle]
    new_sizes = new[front : len(new) - back]
    out: Shape | None
    if not any(isinstance(s, Dim) for s in (*old_sizes, *new_sizes)):
        out = reshape_strides(old_sizes, old_strides, new_sizes)
    else:
        run = [(size, stride) for size, stride in zip(old_sizes, old_strides, strict=True) if size != 1]
        one = all(a[1] == b[0] * b[1] for a, b in pairwise(run))
        out = tuple([s * run[-1][1] for s in contiguous_strides(new_sizes)]) if run and one else None
    return None if out is None else (*strides[:front], *out, *strides[len(shape) - back :])


class Layout(NamedTuple):
    """What a view step makes of a layout: shape, strides, offset in elements plus `starts` times `factors`, and
    whether the strides are row-major. `units` of the new elements are so many of the old ones: a complex number is two
    real ones."""

    shape: Shape
    strides: Shape
    offset: Any
    factors: tuple
    plain: bool
    units: tuple[int, int] = (1, 1)

    def moved(self, offset: Any, starts: tuple) -> Any:
        """The offset of what was at an offset."""
        new, old = self.units
        return (offset if new == old else offset * new // old) + self.start(starts)

    def start(self, starts: tuple) -> Any:
        """The offset for given starts."""
        offset = self.offset
        for start, factor in zip(starts, self.factors, strict=True):
            offset = offset + start * factor
        return offset


_layouts: dict[tuple, Layout | None] = {}
_row_major: dict[Shape, Shape] = {}
_UNKNOWN = Layout((), (), 0, (), False)


def row_major(shape: Shape) -> Shape:
    """`contiguous_strides`, remembered."""
    found = _row_major.get(shape)
    if found is None:
        if len(_row_major) > 20000:
            _row_major.clear()
        found = _row_major[shape] = contiguous_strides(shape)
    return found


def step_layout(op: Op, attrs: tuple, shape: Shape, strides: Shape) -> Layout | None:
    """The layout after a view step, or None when strides cannot express it. Raises what steps that do not fit raise."""
    key = (op, attrs, shape, strides)
    found = _layouts.get(key, _UNKNOWN)
    if found is _UNKNOWN:
        if len(_layouts) > 50000:
            _layouts.clear()
        start = TensorType((), int64)
        kind = complex64 if op in (ops.real, ops.imag, ops.as_real) else float32
        types = (TensorType(shape, kind), *(start,) * (len(attrs[0]) if op is ops.slice else 0))
        found = _layouts[key] = _step(op, attrs, shape, strides, op.result_type(types, attrs).shape)
    return found


def _step(op: Op, attrs: tuple, shape: Shape, strides: Shape, new: Shape) -> Layout | None:
    offset: Any = 0
    factors: tuple = ()
    out: Any = None
    if op is ops.permute:
        out = [strides[d] for d in attrs[0]]
    elif op is ops.expand:
        lead = len(new) - len(shape)
        out = [0] * lead + [0 if a == 1 and b != 1 else s for a, b, s in zip(shape, new[lead:], strides, strict=True)]
    elif op is ops.slice:
        dims, _, steps = attrs
        out = list(strides)
        factors = tuple(strides[d] for d in dims)
        for dim, step in zip(dims, steps, strict=True):
            out[dim] = strides[dim] * step
    elif op is ops.reshape:
        out = reshape_strides(shape, strides, new)
    elif op is ops.diagonal:
        distance, first, second = attrs
        out = [s for i, s in enumerate(strides) if i not in (first, second)] + [strides[first] + strides[second]]
        offset = distance * strides[second] if distance >= 0 else -distance * strides[first]
    elif op is ops.window:
        dims, _, steps, dilations = attrs
        out = list(strides)
        for dim, step, dilation in zip(dims, steps, dilations, strict=True):
            out[dim] = strides[dim] * step
            out.append(strides[dim] * dilation)
    elif op in _REINTERPRETING:
        return _reinterpreted(op, strides, new)
    return None if out is None else Layout(new, tuple(out), offset, factors, is_contiguous(new, tuple(out)))


_REINTERPRETING = (ops.real, ops.imag, ops.as_real, ops.as_complex)


def _reinterpreted(op: Op, strides: Shape, new: Shape) -> Layout | None:
    """Complex memory as real, or real memory as complex: the strides count other elements."""
    if op is ops.as_complex:
        if strides[-1] != 1 or any(s % 2 != 0 for s in strides[:-1]):
            return None
        out = tuple([s // 2 for s in strides[:-1]])
        return Layout(new, out, 0, (), is_contiguous(new, out), (1, 2))
    out = tuple([s * 2 for s in strides]) + ((1,) if op is ops.as_real else ())
    return Layout(new, out, int(op is ops.imag), (), is_contiguous(new, out), (2, 1))


def view_node(op: Op, node: Node, attrs: tuple, extra: tuple[Node, ...]) -> Node:
    """The Node of a view step: a zero-copy window when the value is computed and the step allows it, else (and
    while a function is traced, whose later calls read other memory) the op."""
    buffer = node.buffer
    if buffer is None or node.op is ops.scalar or local.state.trace is not None:
        return make(op, (node, *extra), attrs)
    type = node.type
    shape = type.shape
    layout = step_layout(op, attrs, shape, row_major(shape) if buffer.strides is None else buffer.strides)
    if layout is None:
        return make(op, (node, *extra), attrs)
    kind = SharedType if type.__class__ is SharedType else tensor_type
    starts = tuple([constant_value(n) if n.op is ops.constant else n.buffer for n in extra])
    dtype = type.dtype if layout.units == (1, 1) else op.result_type((type,), attrs).dtype
    offset = layout.start(starts) * dtype.itemsize
    return Node(ops.buffer, (), (), kind(layout.shape, dtype, type.device),
                buffer.view(offset, None if layout.plain else layout.strides))
