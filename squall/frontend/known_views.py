"""What making a view of a kind comes to, remembered for native code (`native_views.py`).

A kind is a method with its arguments (positions left out), the type of what is viewed, its logical strides, and how
its memory lies or that it is not computed. The first view of a kind is made by Python; what it came to is written down
here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.dtypes import int64
from squall.frontend.strides import row_major, step_layout
from squall.ir.node import TensorType, tensor_type
from squall.ir.op import infer_type, ops

INT64_TYPE = tensor_type((), int64)
# by kind: None where Python makes the views, else (steps without starts, how many starts, for each step whether its
# gradient reads the starts, each step's type, strides, offset and its factors by start, (bytes, factors, strides) of
# the window in the memory or None for a value that is not computed, operand types of each step)
known: dict[tuple, tuple | None] = {}


def learn(key: tuple, method: Callable, tensor: Any, *arguments: Any) -> Any:
    """What a method gives, and what it came to put down under a key."""
    node, view = tensor.node, tensor._view
    out = method(tensor, *arguments)
    if len(known) > 50000:
        known.clear()
    known[key] = _described(tensor, node, view, out)
    return out


def _described(tensor: Any, node: Any, before: Any, out: Any) -> tuple | None:
    view = getattr(out, "_view", None)
    if view is None or out is tensor or out._cell is not tensor._cell or node.type.__class__ is not TensorType:
        return None
    offset = 0 if before is None else before.offset
    steps = view.steps[0 if before is None else len(before.steps):]
    if view.offset.__class__ is not int or not steps or any(extra for _, _, extra in steps[1:]):
        return None
    extra = steps[0][2]
    if any(n.op is not ops.scalar for n in extra):
        return None
    starts = tuple([n.buffer for n in extra])
    types, operands, reads = _types(node.type, steps)
    logical = _place(steps, node.type.shape, row_major(node.type.shape) if before is None else before.strides)
    if logical is None or reads is None:
        return None
    window = None
    buffer = node.buffer
    if buffer is not None:
        lies = _place(steps, node.type.shape, row_major(node.type.shape) if buffer.strides is None else buffer.strides)
        if lies is None or out.node.op is not ops.buffer or out.node.type is not types[-1]:
            return None
        size = node.type.dtype.itemsize
        window = (lies[0] * size, tuple([f * size for f in lies[1]]), out.node.buffer.strides)
        moved = sum(s * f for s, f in zip(starts, window[1], strict=True))
        if out.node.buffer.pointer != buffer.pointer + window[0] + moved:
            return None
    if view.offset != offset + logical[0] + sum(s * f for s, f in zip(starts, logical[1], strict=True)):
        return None
    bare = tuple([(op, attrs, ()) for op, attrs, _ in steps])
    return bare, len(starts), reads, types, view.strides, *logical, window, operands


def _types(type: TensorType, steps: tuple) -> tuple[tuple, tuple, tuple | None]:
    """Each step's result type and operand types, and whether its gradient reads the starts."""
    types, operands, reads = [], [], []
    for op, attrs, extra in steps:
        given = (type, *(INT64_TYPE,) * len(extra))
        saved = op.saved((True, *(False,) * len(extra)))
        if saved not in ((), tuple(range(1, len(given)))):
            return (), (), None
        type = infer_type(op, given, attrs)
        types.append(type)
        operands.append(given)
        reads.append(bool(saved))
    return tuple(types), tuple(operands), tuple(reads)


def _place(steps: tuple, shape: tuple, strides: tuple) -> tuple[int, tuple] | None:
    """Offset, and factor of each start, after view steps on a layout; None where strides cannot express them."""
    offset, factors = 0, ()
    for op, attrs, extra in steps:
        layout = step_layout(op, attrs, shape, strides)
        if layout is None:
            return None
        offset += layout.offset
        factors = layout.factors if extra else factors
        shape, strides = layout.shape, layout.strides
    return offset, factors
