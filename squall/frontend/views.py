"""Views and in-place writes, by functionalization at the handle.

A view is a cell and a chain of steps (op, attributes, start Nodes). Reading replays the steps on the cell's current
Node; writing runs the chain backwards: the new value goes into its parent by `update_slice` or the inverse
movement, and the cell gets the new base. With history, the same is done on Tensors, so the base's edge becomes the
update's.
"""

from __future__ import annotations

from collections import deque
from itertools import starmap
from operator import call, setitem
from typing import Any, NoReturn
from weakref import ref

from squall.base.dtypes import int64
from squall.base.errors import AutogradError, ShapeError
from squall.base.shapes import Shape, numel
from squall.frontend.arrays import array_view
from squall.frontend.cell import Cell
from squall.frontend.core import Handle, cast, ensure_cell, note_cell, record, require_no_grad_leaf, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.state import local
from squall.frontend.strides import row_major, step_layout, view_node
from squall.frontend.tape import GradRecord, Leaf, make_record
from squall.ir.node import Node, SharedType
from squall.ir.op import Op, make, ops

Step = tuple[Op, tuple, tuple[Node, ...]]


_set_node = Cell._node.__set__  # type: ignore[attr-defined]
_set_version = Cell.version.__set__  # type: ignore[attr-defined]
_set_edge = Handle._edge.__set__  # type: ignore[attr-defined]


class View:
    """How a handle sees its cell.

    Attributes:
        steps: from the cell's base to this handle (none for `.data`). base: the handle whose history this one's
            derives from, or None.
        epoch: the cell's version `_edge` was made for. source: the cell's Node the cached `_node` was replayed from.
        strides, offset: the logical layout, in elements. origin: "no_grad" or "several" for views PyTorch does not
        let be written in grad mode, "data" for `.data` and its views, whose writes do not count, else "".
    """

    __slots__ = ("base", "epoch", "offset", "origin", "source", "steps", "strides")

    def __init__(self, steps: tuple[Step, ...], base: Any, epoch: int, source: Node, strides: Shape, offset: Any,
                 origin: str = ""):
        self.steps, self.base, self.epoch, self.source = steps, base, epoch, source
        self.strides, self.offset, self.origin = strides, offset, origin

    def current(self, handle: Any, cell: Cell) -> Node:
        """The view's Node for the cell's present value."""
        source = cell._node
        node = handle._node
        if self.source is source and (node.buffer is not None or source.buffer is None):
            return node
        if local.state.trace is not None:  # replayed from the storage itself
            local.state.trace.tensors.setdefault(id(source), (source, cell))
        for op, attrs, extra in self.steps:
            source = view_node(op, source, attrs, extra)
        handle._node, self.source = source, cell._node
        return source

    def root(self) -> Any:
        """`base`, or what that was before its shape was changed in place."""
        base = self.base
        while base is not None and base._view is not None and base._view.base is not None:
            base = base._view.base
        return base

    def history(self, handle: Any) -> Any:
        """The view's edge, made again when its storage was written since."""
        now = handle._cell.version
        if now != self.epoch and self.origin != "no_grad" and handle._edge.__class__ is not Leaf:
            base = self.root()
            seen = base._view.steps if base._view is not None else ()
            if self.steps[: len(seen)] == seen:  # but for a leaf that was given another shape
                edge = base.edge
                handle._edge = None if edge is None else view_edge(base.node, edge, self.steps[len(seen):])
            self.epoch = now
        return handle._edge


def _view_record(op: Op, attrs: tuple, nodes: tuple, edge: Any, made: Node) -> Any:
    none = (None,) * (len(nodes) - 1)
    return make_record(op, attrs, (None, *none), nodes, (edge, *none), tuple([n.type for n in nodes]), made, made.type)


def view_edge(node: Node, edge: Any, steps: tuple[Step, ...]) -> Any:
    """The history of what view steps make of a Node with history `edge`, whatever the grad mode."""
    for op, attrs, extra in steps:
        made = view_node(op, node, attrs, extra)
        edge = _view_record(op, attrs, (node, *extra), edge, made)
        node = made
    return edge


def rare(handle: Any) -> dict:
    """The dictionary of rarely used state of a handle."""
    try:
        return handle._rare
    except AttributeError:
        handle._rare = {}
        return handle._rare


def layout_of(tensor: Any) -> tuple[Shape, Any]:
    """Logical strides and storage offset of a Tensor, in elements: row-major but for views, however the buffer lies."""
    view = tensor._view if tensor._cell is not None else None
    return (row_major(tensor.node.type.shape), 0) if view is None else (view.strides, view.offset)


def make_view(tensor: Any, op: Op, attrs: tuple, starts: tuple[int, ...] = (), extra: tuple[Node, ...] = (),
              named: Shape | None = None) -> Any:
    """A Tensor that sees `tensor` through one more step and shares its storage; None when strides cannot express it.

    Args:
        starts, extra: of a slice, as numbers and as Nodes. named: the strides PyTorch gives dimensions of size 1, where
            they are not those of the step.
    """
    return see_through(tensor, ((op, attrs, extra),), starts, named)


def see_through(tensor: Any, more: tuple[Step, ...], starts: tuple = (), named: Shape | None = None) -> Any:
    """`make_view` of several steps at once; `starts` belong to the first."""
    node = tensor.node
    strides, offset = layout_of(tensor)
    state = local.state
    edge = tensor.edge if state.grad and not state.inference else None
    if state.trace is not None:
        state.trace.saw((tensor,), (node,))
    for op, attrs, extra in more:
        layout = step_layout(op, attrs, node.type.shape, strides)
        if layout is None:
            return None
        made = view_node(op, node, attrs, extra)
        if edge is not None:
            edge = _view_record(op, attrs, (node, *extra), edge, made)
        node, strides, offset = made, layout.strides, layout.moved(offset, starts)
        starts = ()
    cell = ensure_cell(tensor)
    view = tensor._view
    base, steps, origin = tensor, more, ""
    if view is not None:
        base = tensor if view.base is None else view.root()
        steps, origin = view.steps + more, view.origin
    if origin != "data" and (not state.grad or state.inference):
        origin = "no_grad"
    out = wrap(node, edge)
    out._cell = cell
    out._view = View(steps, base, cell.version, cell._node, named or strides, offset, origin)
    state.pending.append(ref(cell))  # computed or not: a loop is heard by what it lists
    if state.trace is not None:
        state.trace.made(out)
    return out


def shared_tensor(node: Node, strides: Shape | None) -> Any:
    """A Tensor over memory that somebody else can see too; strides in elements, None for row-major."""
    out = wrap(node)
    cell = ensure_cell(out)
    cell.shared = 1
    if strides is not None:
        out._node, out._view = node, View((), None, 0, node, strides, 0)
    return out


def alias(tensor: Any, origin: str = "") -> Any:
    """Another handle on the same storage without history (`detach`; `.data` with origin "data")."""
    cell = ensure_cell(tensor)
    view = tensor._view
    strides, offset = (None, 0) if view is None and not origin else layout_of(tensor)
    trace = local.state.trace
    if trace is not None:
        trace.saw((tensor,), (tensor.node,))
    out = wrap(None)  # type: ignore[arg-type]
    if strides is not None:
        out._node = tensor.node
        steps = () if view is None else view.steps
        kept = "data" if view is not None and view.origin == "data" else origin
        out._view = View(steps, None, 0, cell._node, strides, offset, kept)
    out._cell = cell
    return out


def same_handle(tensor: Any) -> Any:
    """A handle like another one: its storage, view and history."""
    out = wrap(tensor._node, tensor._edge)
    out._cell, out._view = tensor._cell, tensor._view
    if local.state.trace is not None:
        local.state.trace.made(out)
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
        elif op is ops.reshape or (
            op is ops.expand and value.node.shape != shape and numel(value.node.shape) == numel(shape)
        ):
            value = record(ops.reshape, (value,), (shape,))
        elif op is ops.diagonal:
            value = _write_diagonal(parent, value, attrs)
        elif op is ops.real or op is ops.imag:
            other = record(ops.imag if op is ops.real else ops.real, (parent,), ())
            value = record(ops.complex, (value, other) if op is ops.real else (other, value), ())
        elif op is ops.as_real or op is ops.as_complex:
            value = record(ops.as_complex if op is ops.as_real else ops.as_real, (value,), ())
        elif op is ops.window and _windows_apart(attrs, value.node.shape):
            value = _write_windows(parent, value, attrs)
        elif op is not ops.expand or value.node.shape != shape:
            _refuse_overlap()
    return value


def _refuse_overlap() -> NoReturn:
    raise ShapeError(
        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
        "Please clone() the tensor before performing the operation.")


def _windows_apart(attrs: tuple, shape: Shape) -> bool:
    """Whether windows of one dimension share no element."""
    dims, sizes, steps, _ = attrs
    return len(dims) == 1 and (sizes[0] <= steps[0] or shape[dims[0]] == 1)


def _write_windows(parent: Any, value: Any, attrs: tuple) -> Any:
    """`parent` with windows replaced, each element by its number."""
    shape = tuple(parent.node.shape)
    if not all(isinstance(n, int) for n in shape):
        _refuse_overlap()
    if not numel(value.node.shape):
        return parent
    numbers = record(ops.reshape, (wrap(make(ops.iota, (), (numel(shape), int64, parent.node.device))),), (shape,))
    places = record(ops.window, (numbers,), attrs)
    flat = [record(ops.reshape, (t,), ((numel(t.node.shape),),)) for t in (parent, places, value)]
    return record(ops.reshape, (record(ops.scatter, tuple(flat), (0,)),), (shape,))


def _write_diagonal(parent: Any, value: Any, attrs: tuple) -> Any:
    """`parent` with a diagonal replaced."""
    offset, first, second = attrs
    rank = len(parent.node.shape)
    steps = wrap(make(ops.iota, (), (value.node.shape[-1], int64, value.node.device)))
    rows, columns = steps - min(offset, 0), steps + max(offset, 0)
    order = tuple(d for d in range(rank) if d not in (first, second)) + (first, second)
    moved = record(ops.permute, (parent,), (order,))
    put = record(ops.index_put, (moved, value, rows, columns), ((rank - 2, rank - 1), False))
    return record(ops.permute, (put,), (tuple(order.index(d) for d in range(rank)),))


# ---------------------------------------------------------------- writing
def write(target: Any, value: Any, tracked: bool = True) -> None:
    """Replace what `target` shows by `value` (a Tensor of the same shape and dtype) in place.

    Everything that can fail or be interrupted comes first; the write itself is a row of plain attribute stores, between
    which Python runs no signal handler, so that Ctrl-C leaves every tensor as it was before or after.

    Args:
        tracked: False for `.data`, whose writes neither count as versions nor change history.
    """
    cell = ensure_cell(target)
    state = local.state
    view = target._view
    if state.trace is not None:
        state.trace.saw((value,), (value.node,))
    elif cell.shared is not None:
        _write_shared(target, cell, value, tracked)
        return
    history = tracked and state.grad and not state.inference
    if history:
        check_in_place(target, value)
    holder, edge, node = _written(target, cell, view, value, history)
    if state.trace is not None:
        state.trace.wrote(cell, target)
        if holder is not None and holder is not target:
            state.trace.wrote(cell, holder)
    version = cell.version + tracked
    _note_result(value, cell, version)
    state.pending.append(ref(cell))
    if holder is None:
        cell._node = node
        cell.version = version
        return
    state.pending.append(ref(holder))
    cell._node = node
    cell.version = version
    holder._edge = edge


def overwrite(target: Any, value: Any, tracked: bool = True) -> None:
    """`write` of a value that does not come from the target: the target's history ends in zeros, the value's goes
    on.
    """
    state = local.state
    if value.node.type.__class__ is SharedType:
        value = record(ops.reshape, (value,), (tuple(value.node.shape),))  # a copy: others write that memory
    if tracked and state.grad and not state.inference:
        check_in_place(target, value)
        edges = (target.edge, value.edge)
        if any(edges):
            type = value.node.type
            value = wrap(value.node, GradRecord(ops.update_slice, ((), ()), edges, (type, type), type))
            if state.trace is not None:
                state.trace.made(value)
    elif value._edge is not None:
        if state.trace is not None:
            state.trace.saw((value,), (value.node,))
        value = wrap(value.node)  # the values only: what its history saved is not in this storage
    write(target, value, tracked)


def _note_result(value: Any, cell: Cell, version: int) -> None:
    """An op's saved result is from now on what the written storage shows."""
    if value._edge.__class__ is GradRecord and value._cell is None:
        note_cell(value._edge, cell, version)


def _written(target: Any, cell: Cell, view: View | None, value: Any, history: bool) -> tuple[Any, Any, Node]:
    """(the handle whose history changes or None, its new edge, the storage's new Node)."""
    if view is None:
        changes = history and (target._edge is not None or value.edge is not None)
        return (target if changes else None), value.edge, value.node
    base = view.root() if history else None
    if base is None or (base.edge is None and value.edge is None):
        node = write_back(wrap(cell._node), view.steps, wrap(value.node)).node
        if history and base is None and (target._edge is not None or value.edge is not None):
            return target, value.edge, node  # a detached view: history of its own
        return None, None, node
    prefix = base._view.steps if base._view is not None else ()
    new_base = write_back(wrap(base.node, base.edge), view.steps[len(prefix):], value)
    node = write_back(wrap(cell._node), prefix, wrap(new_base.node)).node if prefix else new_base.node
    return base, new_base._edge, node


def _write_shared(target: Any, cell: Cell, value: Any, tracked: bool) -> None:
    """Memory that NumPy sees is written at once; everything pending that read it was evaluated when recorded."""
    history = tracked and local.state.grad and not local.state.inference
    if history:
        check_in_place(target, value)
    holder, edge, _ = _written(target, cell, target._view, value, history)
    evaluate_tensors((value,))
    old = cell._node
    node = Node(old.op, (), old.attrs, old.type, old.buffer)
    version = cell.version + tracked
    _note_result(value, cell, version)
    steps = [
        (setitem, array_view(target.node), ..., array_view(value.node)),
        (_set_node, cell, node),
        (_set_version, cell, version),
    ]
    if holder is not None:
        local.state.pending.append(ref(holder))
        steps.append((_set_edge, holder, edge))
    deque(starmap(call, steps), maxlen=0)  # one call of C: no signal handler runs in between


def check_in_place(target: Any, value: Any) -> None:
    """AutogradError where PyTorch refuses an in-place write in grad mode."""
    view = target._view
    base = view.root() if view is not None else None
    if target.edge is None and value.edge is None and (base is None or base.edge is None):
        return
    if base is not None and view.origin in _REFUSED:
        raise AutogradError(_REFUSED[view.origin])
    require_no_grad_leaf(target)


_REFUSED = {
    "no_grad": "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that "
    "this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view "
    "and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both "
    "outside (if you want the inplace to be tracked).",
    "several": "Output of a function that returns multiple views is being modified inplace. Such functions do not "
    "allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one.",
}


def write_op(target: Any, out: Any, name: str) -> Any:
    """Finish an in-place op: check that the result fits the target and write it. Returns the target."""
    node, mine = out.node, target.node
    if node.shape != mine.shape:
        raise ShapeError(
            f"{name}: output with shape {list(mine.shape)} doesn't match the broadcast shape {list(node.shape)}"
        )
    if node.dtype.category > mine.dtype.category:
        raise ShapeError(f"{name}: result type {node.dtype} can't be cast to the desired output type {mine.dtype}")
    record = out._edge
    if record.__class__ is GradRecord and record.holders is not None and record.holders[0] is target:
        record.holders = (None, *record.holders[1:])  # the rule reads the value as it was, which nobody can change
    write(target, cast(out, mine.dtype), not untracked(target))
    return target


def untracked(target: Any) -> bool:
    """Whether writes through a handle count neither as versions nor as history (`.data`)."""
    view = target._view
    return view is not None and view.origin == "data"
