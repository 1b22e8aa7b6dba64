"""Views and in-place writes, by functionalization at the handle.

A view is a cell and a chain of steps (op, attributes, start Nodes). Reading replays the steps on the cell's current
Node; writing runs the chain backwards: the new value goes into its parent by `update_slice` or the inverse movement, and
the cell gets the new base. With history, the same is done on Tensors, so the base's edge becomes the update's.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from squall.base.errors import ShapeError
from squall.base.shapes import Shape, contiguous_strides
from squall.frontend.core import Cell, Handle, _new, _tensor_class, ensure_cell, record, wrap
from squall.frontend.state import local
from squall.frontend.strides import step_strides, view_node
from squall.frontend.tape import make_record
from squall.ir.node import Node
from squall.ir.op import Op, ops

Step = tuple[Op, tuple, tuple[Node, ...]]


class View:
    """How a handle sees its cell.

    Attributes:
        steps: from the cell's base to this handle. base: the handle whose history this one's derives from, or None.
        epoch: the base's count of in-place writes with history when `_edge` was made. source: the cell's Node the cached
        `_node` was replayed from. strides, offset: the logical layout, in elements.
    """

    __slots__ = ("steps", "base", "epoch", "source", "strides", "offset")

    def __init__(self, steps: tuple[Step, ...], base: Any, epoch: int, source: Node, strides: Shape, offset: Any):
        self.steps, self.base, self.epoch, self.source = steps, base, epoch, source
        self.strides, self.offset = strides, offset

    def current(self, handle: Any, cell: Cell) -> Node:
        """The view's Node for the cell's present value."""
        source = cell._node
        node = handle._node
        if self.source is source and (node.buffer is not None or source.buffer is None):
            return node
        for op, attrs, extra in self.steps:
            source = view_node(op, source, attrs, extra)
        handle._node, self.source = source, cell._node
        return source

    def history(self, handle: Any) -> Any:
        """The view's edge, made again when its base was written since."""
        now = epoch_of(self.base)
        if now != self.epoch:
            base = self.base
            steps = self.steps[len(base._view.steps):] if base._view is not None else self.steps
            handle._edge = replay(wrap(base.node, base.edge), steps)[-1]._edge
            self.epoch = now
        return handle._edge


def epoch_of(handle: Any) -> int:
    """How often a handle's history was replaced by in-place writes."""
    try:
        return handle._rare.get("epoch", 0)
    except AttributeError:
        return 0


def rare(handle: Any) -> dict:
    """The dictionary of rarely used state of a handle."""
    try:
        return handle._rare
    except AttributeError:
        handle._rare = {}
        return handle._rare


def layout_of(tensor: Any) -> tuple[Shape, Any]:
    """Logical strides and storage offset of a Tensor, in elements."""
    view = tensor._view if tensor._cell is not None else None
    if view is not None:
        return view.strides, view.offset
    node = tensor.node
    strides = getattr(node.buffer, "strides", None)
    return (strides if strides is not None else contiguous_strides(node.shape)), 0


def make_view(tensor: Any, op: Op, attrs: tuple, starts: tuple[int, ...] = (), extra: tuple[Node, ...] = ()) -> Any:
    """A Tensor that sees `tensor` through one more step and shares its storage; None when strides cannot express it."""
    parent = tensor.node
    strides, offset = layout_of(tensor)
    node = view_node(op, parent, attrs, extra)
    layout = step_strides(op, attrs, starts, parent.shape, strides, node.shape)
    if layout is None:
        return None
    cell = ensure_cell(tensor)
    view = tensor._view
    base = tensor if view is None or view.base is None else view.base
    steps = (view.steps if view is not None else ()) + ((op, attrs, extra),)
    state = local.state
    edge = tensor.edge
    if state.trace is not None:
        state.trace.saw((tensor,), (parent,))
    history = None
    if edge is not None and state.grad and not state.inference:
        history = make_record(op, attrs, (tensor,) + (None,) * len(extra), (parent, *extra),
                              (edge,) + (None,) * len(extra), node)
    out = _new(_tensor_class[0])
    out._node, out._cell, out._edge = node, cell, history
    out._view = View(steps, base, epoch_of(base), cell._node, layout[0], offset + layout[1])
    if node.buffer is None:
        state.pending.append(ref(cell))
    return out


def alias(tensor: Any) -> Any:
    """Another handle on the same storage without history (`detach`)."""
    cell = ensure_cell(tensor)
    view = tensor._view
    out = _new(_tensor_class[0])
    out._node, out._cell, out._edge, out._view = tensor.node, cell, None, None
    if view is not None:
        out._view = View(view.steps, None, 0, cell._node, view.strides, view.offset)
    return out


def replay(start: Any, steps: tuple[Step, ...]) -> list:
    """`start` and what each step makes of it, as Tensors with history."""
    chain = [start]
    for op, attrs, extra in steps:
        chain.append(record(op, (chain[-1], *(wrap(n) for n in extra)), attrs))
    return chain


def write_back(start: Any, steps: tuple[Step, ...], value: Any) -> Any:
    """The base with the view at the end of `steps` replaced by `value`; all Tensors."""
    chain = replay(start, steps[:-1]) if steps else []
    for (op, attrs, extra), parent in zip(reversed(steps), reversed(chain), strict=True):
        shape = tuple(parent.node.shape)
        if op is ops.slice:
            dims, _, strides = attrs
            value = record(ops.update_slice, (parent, value, *(wrap(n) for n in extra)), (dims, strides))
        elif op is ops.permute:
            value = record(ops.permute, (value,), (tuple(attrs[0].index(i) for i in range(len(shape))),))
        elif op is ops.reshape or (op is ops.expand and value.node.shape != shape and _same_count(value.node.shape, shape)):
            value = record(ops.reshape, (value,), (shape,))
        elif op is ops.diagonal:
            value = _write_diagonal(parent, value, attrs)
        elif op is not ops.expand or value.node.shape != shape:
            raise ShapeError(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
                "Please clone() the tensor before performing the operation.")
    return value


def _same_count(a: Shape, b: Shape) -> bool:
    from squall.base.shapes import numel

    return numel(a) == numel(b)


def _write_diagonal(parent: Any, value: Any, attrs: tuple) -> Any:
    from squall.frontend.indexing import write_diagonal

    return write_diagonal(parent, value, attrs)


def write(target: Any, value: Any, tracked: bool = True) -> None:
    """Replace what `target` shows by `value` (a Tensor of the same shape and dtype) in place.

    Args:
        tracked: False for `.data`, whose writes neither count as versions nor change history.
    """
    cell = ensure_cell(target)
    state = local.state
    if state.trace is not None:
        state.trace.wrote(cell, target)
    elif cell.shared is not None:
        _write_shared(target, cell, value, tracked)
        return
    view = target._view
    history = tracked and state.grad and not state.inference
    if view is None:
        node = value.node
        if history and (target._edge is not None or value.edge is not None):
            target._edge = value.edge
            _new_epoch(target)
    else:
        node = _write_view(target, cell, view, value, history)
    cell._node = node
    if tracked:
        cell.version += 1
    state.pending.append(ref(cell))


def _new_epoch(base: Any) -> None:
    extra = rare(base)
    extra["epoch"] = extra.get("epoch", 0) + 1


def _write_view(target: Any, cell: Cell, view: View, value: Any, history: bool) -> Node:
    base = view.base if history else None
    if base is None:
        return write_back(wrap(cell._node), view.steps, wrap(value.node)).node
    prefix = base._view.steps if base._view is not None else ()
    new_base = write_back(wrap(base.node, base.edge), view.steps[len(prefix):], value)
    base._edge = new_base._edge
    _new_epoch(base)
    if prefix:
        return write_back(wrap(cell._node), prefix, wrap(new_base.node)).node
    return new_base.node


def _write_shared(target: Any, cell: Cell, value: Any, tracked: bool) -> None:
    """Memory that NumPy sees is written at once; everything pending that read it was evaluated when recorded."""
    from squall.frontend.evaluation import evaluate_tensors
    from squall.frontend.interop import array_view

    evaluate_tensors((value,))
    array_view(target.node)[...] = array_view(value.node)
    old = cell._node
    cell._node = Node(old.op, (), old.attrs, old.type, old.buffer)
    history = tracked and local.state.grad and not local.state.inference
    if history and (target.edge is not None or value.edge is not None):
        if target._view is None:
            target._edge = value.edge
            _new_epoch(target)
        else:
            _write_view(target, cell, target._view, value, True)
    if tracked:
        cell.version += 1


def write_op(target: Any, out: Any, name: str) -> Any:
    """Finish an in-place op: check that the result fits the target and write it. Returns the target."""
    node, mine = out.node, target.node
    if node.shape != mine.shape:
        raise ShapeError(f"{name}: output with shape {list(mine.shape)} doesn't match the broadcast shape {list(node.shape)}")
    if node.dtype.category > mine.dtype.category:
        raise ShapeError(f"{name}: result type {node.dtype} can't be cast to the desired output type {mine.dtype}")
    from squall.frontend.core import cast

    data = isinstance(target, Handle) and getattr(target, "_rare", None)
    write(target, cast(out, mine.dtype), not (data and data.get("untracked")))
    return target
