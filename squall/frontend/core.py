"""The handle: what a Tensor is made of, and `record` and `apply`, which record every op.

A Tensor is a mutable handle on an immutable Node. A fresh result owns its Node alone; the first view, in-place write or
`detach` gives it a `Cell`, the storage that aliases share: the current Node and a version. A view holds the cell
and its chain of view steps (`views.py`). History is an edge to the tape (`tape.py`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

from squall.base.dim import Dim
from squall.base.dtypes import DType, bool_, combine, default_dtype, float32, int64, promote, real_of
from squall.base.errors import AutogradError, DtypeError
from squall.frontend.arrays import computed, literal
from squall.frontend.cell import Cell
from squall.frontend.entries import Native, note_as_given
from squall.frontend.evaluation import evaluate_tensors, pressure, user_place, value_unavailable
from squall.frontend.state import local
from squall.frontend.tape import GradRecord, Leaf, make_record
from squall.ir.node import Node, SharedType, TensorType, tensor_type
from squall.ir.op import NON_DIFFERENTIABLE, Op, constant, infer_type, make, ops


class Handle:
    """The slots of a Tensor and what recording needs; `tensor.Tensor` adds the methods users call.

    Slots: `_node` the value (for views a cached one), `_cell` the storage once shared, `_view` the chain of a view,
    `_edge` the history (None: no gradient wanted), `_rare` a dictionary for what few tensors have.
    """

    __slots__ = ("__weakref__", "_cell", "_edge", "_node", "_rare", "_view")
    if TYPE_CHECKING:  # what `tensor.Tensor` adds and lower modules use
        shape: Any
        dtype: Any
        ndim: Any
        requires_grad: Any
        numel: Any
        detach: Any
        detach_array: Any
        narrow: Any
        reshape: Any
        __mul__: Any
        __rmul__: Any
        __float__: Any
        tolist: Any
        __int__: Any

    @property
    def node(self) -> Node:
        """The current value: the owned Node, the cell's, or the view's steps replayed on the cell's."""
        cell = self._cell
        if cell is None:
            return self._node
        view = self._view
        return cell._node if view is None else view.current(self, cell)

    @property
    def edge(self) -> Any:
        """The current history: regenerated for a view whose base was written in place."""
        view = self._view
        return self._edge if view is None or view.base is None else view.history(self)

    @property
    def version(self) -> int:
        """How often the storage was written in place."""
        cell = self._cell
        return 0 if cell is None else cell.version

    _version = version

    def describe(self) -> str:
        """What version errors call it."""
        node = self.node
        return f"tensor of shape {list(node.shape)} and dtype {node.dtype}"

    @classmethod
    def __squall_apply__(cls, op: Op, operands: tuple, attrs: tuple) -> Any:
        """Ops called by rules on Tensors: numbers are constants, Nodes are values without history."""
        first = next(o for o in operands if isinstance(o, Handle))
        node = first.node
        lifted = tuple(
            o if isinstance(o, Handle) else wrap(o if isinstance(o, Node) else constant(o, node.dtype, node.device))
            for o in operands)
        return record(op, lifted, attrs)


_tensor_class: list[type] = [Handle]
_watching = [0]
_new = object.__new__


def set_tensor_class(cls: type) -> None:
    """Called once by `tensor.py`: the class results are made of."""
    _tensor_class[0] = cls


def wrap(node: Node, edge: Any = None) -> Any:
    """A Tensor around a Node, not listed as pending: for values that are computed or leaves."""
    out = _new(_tensor_class[0])
    out._node, out._edge = node, edge
    out._cell = out._view = None
    if _watching[0] and local.state.trace is not None:
        local.state.trace.wrapped(out)
    return out


def watch_wrapping(change: int) -> None:
    """One trace more or less in the process that wants to know which handles are put around Nodes."""
    _watching[0] += change


def result(node: Node, edge: Any = None) -> Any:
    """A Tensor around a new, uncomputed Node, listed as pending on this thread."""
    out = _new(_tensor_class[0])
    out._node, out._edge = node, edge
    out._cell = out._view = None
    state = local.state
    pending = state.pending
    pending.append(ref(out))
    if len(pending) > state.limit:
        pressure(state)
    return out


def ensure_cell(tensor: Any) -> Cell:
    """The storage of a Tensor, made when first asked for."""
    cell = tensor._cell
    if cell is None:
        cell = Cell(tensor._node)
        edge = tensor._edge
        if edge.__class__ is GradRecord:
            note_cell(edge, cell, 0)
        local.state.pending.append(ref(cell))
        tensor._view, tensor._cell, tensor._node = None, cell, None  # a stale Node would keep its memory
    return cell


def note_cell(record: GradRecord, cell: Cell, version: int) -> None:
    """Tell the record that made a Tensor which storage and version its saved result is in."""
    if record.op is ops.pick:
        record = record.edges[0]
    if record.output is not None:
        record.cells += ((cell, version),)


def scalar_node(value: Any, dtype: DType, device: str = "cpu") -> Node:
    """A leaf for a Python number that may vary from call to call; of a complex dtype what makes it of two."""
    if dtype.is_float8:
        return make(ops.cast, (scalar_node(value, float32, device),), (dtype,))
    if dtype.category == 3:
        parts = (value.real, value.imag) if value.__class__ is complex else (value, 0.0)
        return make(ops.complex, tuple([scalar_node(v, real_of(dtype), device) for v in parts]), ())
    return Node(ops.scalar, (), (), tensor_type((), dtype, device), value)


# (op, attributes, ids of operand types) -> (result type, operand types, plain, differentiable, plain but for checks);
# the types keep their ids
_known: dict[tuple, tuple] = {}


def _learn(op: Op, nodes: tuple, attrs: tuple) -> tuple:
    """What recording an op on operands of these types comes to. Raises what shapes and dtypes that do not fit raise."""
    types = tuple([n.type for n in nodes])
    type = infer_type(op, types, attrs)
    many = type.__class__ is tuple
    usual = not many and not any(t.__class__ is SharedType for t in types)
    plain = usual and op.checks is None
    differentiable = op.grad is not NON_DIFFERENTIABLE and (many or type.dtype.category >= 2)
    if len(_known) > 50000:
        _known.clear()
    found = _known[(op, attrs, *map(id, types))] = (type, types, plain, differentiable, usual)
    return found


def record(op: Op, operands: tuple, attrs: tuple) -> Any:
    """Record an op on Tensors whose dtypes are already right. Gives a Tensor, or a tuple of them."""
    native = Native.record
    if native is not None:
        out = native(op, operands, attrs)
        if out is not None:
            return out
    if len(operands) == 1:
        (a,) = operands
        nodes = (a._node if a._cell is None else a.node,)
        found = _known.get((op, attrs, id(nodes[0].type)))
    elif len(operands) == 2:
        a, b = operands
        nodes = (a._node if a._cell is None else a.node, b._node if b._cell is None else b.node)
        found = _known.get((op, attrs, id(nodes[0].type), id(nodes[1].type)))
    else:
        nodes = tuple([t._node if t._cell is None else t.node for t in operands])
        found = _known.get((op, attrs, *[id(n.type) for n in nodes]))
    type, types, plain, differentiable, _ = found or _learn(op, nodes, attrs)
    state = local.state
    level = state.level
    if level > 1 or not plain:
        return _record_carefully(op, operands, nodes, attrs, type, types, differentiable, state)
    node = _new(Node)
    node.op, node.inputs, node.attrs, node.type, node.buffer = op, nodes, attrs, type, None
    out = _new(_tensor_class[0])
    out._node = node
    out._cell = out._view = out._edge = None
    if level and differentiable:
        edges = tuple([t._edge if t._view is None else t.edge for t in operands])
        if any(edges):
            out._edge = make_record(op, attrs, operands, nodes, edges, types, node, type)
    pending = state.pending
    pending.append(ref(out))
    if len(pending) > state.limit:
        pressure(state)
    return out


def _record_carefully(op: Op, operands: tuple, nodes: tuple, attrs: tuple, type: Any, types: tuple,
                      differentiable: bool, state: Any) -> Any:
    """`record` where something special holds: several results, checked values, shared memory, tracing, eager mode."""
    if state.trace is not None:
        state.trace.saw(operands, nodes)
    node = Node(op, nodes, attrs, type)
    where = user_place() if state.anomaly or op.checks is not None else None
    if op.checks is not None:
        node.where = where
    many = type.__class__ is tuple
    made: Any = tuple([Node(ops.pick, (node,), (i,), t) for i, t in enumerate(type)]) if many else node
    history = None
    if differentiable and state.grad and not state.inference:
        edges = tuple([t.edge for t in operands])
        if any(edges):
            history = make_record(op, attrs, operands, nodes, edges, types, made, type)
            if where is not None and history is not None:
                history.where = where
    out = tuple([_output(history, n, i) for i, n in enumerate(made)]) if many else result(node, history)
    if state.trace is not None:
        state.trace.made(out)
    shared = any(t.__class__ is SharedType for t in types)
    if state.trace is None and not state.flushing and (shared or state.eager):
        evaluate_tensors(out if many else (out,))
    return out


def _output(history: GradRecord | None, node: Node, index: int) -> Any:
    edge = None
    if history is not None and node.type.dtype.category >= 2:
        edge = GradRecord(ops.pick, (index,), (history,), (node.type,), node.type)
    return result(node, edge)


# ---------------------------------------------------------------- operands as users give them
def category_of(value: Any) -> int:
    """The promotion category of a Python number."""
    if value is True or value is False:
        return 0
    return 1 if isinstance(value, (int, Dim)) else 3 if isinstance(value, complex) else 2


def common_dtype(values: tuple, floating: bool = False) -> DType:
    """PyTorch's result type of Tensors and Python numbers together."""
    dims = zero = None
    number = None
    for value in values:
        if isinstance(value, Handle):
            type = value.node.type
            if type.shape:
                dims = type.dtype if dims is None else promote(dims, type.dtype)
            else:
                zero = type.dtype if zero is None else promote(zero, type.dtype)
        else:
            number = max(category_of(value), -1 if number is None else number)
    dtype = combine(dims, zero, number)
    return default_dtype() if floating and dtype.category < 2 else dtype


def cast(tensor: Any, dtype: DType) -> Any:
    """A Tensor of another dtype; itself when it already is."""
    return tensor if tensor.node.type.dtype is dtype else record(ops.cast, (tensor,), (dtype,))


def operand(value: Any, dtype: DType, device: str = "cpu") -> Any:
    """A Tensor of a dtype from a Tensor, ndarray or Python number (which becomes a run-time scalar)."""
    if isinstance(value, Handle):
        return cast(value, dtype)
    value = plain_number(value)
    if isinstance(value, Dim):  # its value is known when the program runs
        return cast(wrap(scalar_node(value, int64, device)), dtype)
    if isinstance(value, (int, float, complex)):
        if dtype.category < 2 and isinstance(value, float):
            value = int(value) if dtype.category else value != 0
        return wrap(scalar_node(value, dtype, device))
    return cast(as_tensor_operand(value), dtype)


def plain_number(value: Any) -> Any:
    """A NumPy scalar as the Python number it counts as in arithmetic; anything else as it is."""
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def as_tensor_operand(value: Any) -> Any:
    """A Tensor from what arithmetic accepts besides numbers: arrays; TypeError otherwise."""
    if isinstance(value, Handle):
        return value
    if hasattr(value, "__squall_tensor__"):  # squall.numpy's ndarray
        return value.__squall_tensor__
    if hasattr(value, "__array__"):
        return wrap(computed(literal(value)))
    raise TypeError(f"expected a Tensor, an array or a number, got {type(value).__name__}")


def is_operand(value: Any) -> bool:
    """Whether arithmetic accepts a value."""
    return isinstance(value, (Handle, int, float, complex, Dim)) or hasattr(value, "__array__")


def apply(op: Op, operands: tuple, **attributes: Any) -> Any:
    """Apply an op of the table to Tensors and numbers as a user would: dtypes promoted, numbers as run-time scalars.

    Args:
        op: from `squall.ir.op.ops`. operands: Tensors, arrays, Python numbers; at least one Tensor.
        attributes: by name; dims already normalised.

    Example:
        >>> import squall as sq
        >>> from squall.ir.op import ops
        >>> apply(ops.maximum, (sq.tensor([1.0, 5.0]), 2)).tolist()
        [2.0, 5.0]
    """
    attrs = op.pack(attributes)
    native = Native.apply
    if native is not None:
        out = native(op, operands, attrs)
        if out is not None:
            return out
    operands = tuple([v if isinstance(v, Handle) else _accepted(v) for v in operands])
    prepared = prepare(op, operands)
    note_as_given(op, operands, prepared)
    return record(op, prepared, attrs)


def _accepted(value: Any) -> Any:
    value = plain_number(value)
    return value if isinstance(value, (int, float, complex, Dim)) else as_tensor_operand(value)


def prepare(op: Op, operands: tuple) -> tuple:
    """Operands as Tensors of the dtypes the op's promotion asks for."""
    kind = op.promotion
    if kind in ("same", "float"):
        dtype = common_dtype(operands, kind == "float")
    elif kind == "first":
        dtype = operands[0].node.type.dtype
    elif kind == "sum":
        dtype = operands[0].node.type.dtype
        dtype = int64 if dtype.category < 2 else dtype
    else:
        tensors = [v for v in operands if isinstance(v, Handle)]
        return tuple(v if isinstance(v, Handle) else operand(v, tensors[0].node.dtype) for v in operands)
    device = next((v.node.device for v in operands if isinstance(v, Handle)), "cpu")
    return tuple(
        v if isinstance(v, Handle) and v.node.type.dtype is dtype else operand(v, dtype, device)
        for v in operands
    )


# ---------------------------------------------------------------- short paths of everyday operators
_scalar_types: dict[DType, TensorType] = {}


def _scalar_type(dtype: DType) -> TensorType:
    found = _scalar_types.get(dtype)
    if found is None:
        found = _scalar_types[dtype] = tensor_type((), dtype)
    return found


def _elementwise(
    op: Op, operands: tuple, nodes: tuple, edges: tuple, types: tuple, type: TensorType, state: Any
) -> Any:
    """`record` and `result` written out for an elementwise op whose operands and result have one floating type (but for
    numbers), or whose operands have no history."""
    node = _new(Node)
    node.op, node.inputs, node.attrs, node.type, node.buffer = op, nodes, (), type, None
    out = _new(_tensor_class[0])
    out._node = node
    out._cell = out._view = out._edge = None
    if state.level and any(edges):
        out._edge = make_record(op, (), operands, nodes, edges, types, node, type)
    pending = state.pending
    pending.append(ref(out))
    if len(pending) > state.limit:
        pressure(state)
    return out


_keeping: dict[Op, bool] = {}


def keeps_dtype(op: Op) -> bool:
    """Whether the result of floating operands has their dtype."""
    found = _keeping.get(op)
    if found is None:
        types = (TensorType((), float32),) * 2
        try:
            found = op.dtype is None or (not isinstance(op.dtype, DType) and op.dtype(types, ()) is float32)
        except DtypeError:  # not of floating operands
            found = False
        _keeping[op] = found
    return found


_NOT_OF_BOOL = frozenset(("abs", "neg", "relu", "floor", "ceil", "trunc", "round"))


def unary(op: Op, x: Any) -> Any:
    """Apply an elementwise op of one operand and no attributes."""
    native = Native.unary
    if native is not None:
        out = native(op, x)
        if out is not None:
            return out
    node = x._node if x._cell is None else x.node
    type = node.type
    state = local.state
    if state.level < 2 and type.__class__ is TensorType and type.dtype.category == 2 and keeps_dtype(op):
        return _elementwise(op, (x,), (node,), (x._edge if x._view is None else x.edge,), (type,), type, state)
    if type.dtype is bool_ and op.name in _NOT_OF_BOOL:
        raise DtypeError(f"{op.name}: not implemented for squall.bool; cast with .to()")
    return apply(op, (x,))


def _not_a_tensor(op: Op, value: Any) -> TypeError:
    """What to raise for an operator's method that was called through its class, as `Tensor.__rand__(2, 3)`."""
    return TypeError(f"{op.name}: argument 'self' must be Tensor, not {type(value).__name__}")


def binary(op: Op, floating: bool = False, reverse: bool = False) -> Any:
    """The method of an operator: a short path for two Tensors of one type or a Tensor and a number, else `apply`."""
    short = keeps_dtype(op)
    least = 2 if floating else 0 if op.dtype is None else 1

    def method(self: Any, other: Any) -> Any:
        state = local.state
        try:
            a = self._node if self._cell is None else self.node
        except AttributeError:
            raise _not_a_tensor(op, self) from None
        type = a.type
        kind = other.__class__
        if state.level < 2 and type.__class__ is TensorType and type.dtype.category >= least:
            e = self._edge if self._view is None else self.edge
            if kind is float or kind is int:
                if type.dtype.category == 2 or (kind is int and type.dtype.category == 1):
                    scalar = _scalar_types.get(type.dtype) or _scalar_type(type.dtype)
                    b = Node(ops.scalar, (), (), scalar, other)
                    if not short:
                        other = wrap(b)
                        return record(op, (other, self) if reverse else (self, other), ())
                    if reverse:
                        return _elementwise(op, (None, self), (b, a), (None, e), (scalar, type), type, state)
                    return _elementwise(op, (self, None), (a, b), (e, None), (type, scalar), type, state)
            elif isinstance(other, Handle):
                b = other._node if other._cell is None else other.node
                if type is b.type or (type == b.type and b.type.__class__ is TensorType):
                    if not short:
                        return record(op, (other, self) if reverse else (self, other), ())
                    f = other._edge if other._view is None else other.edge
                    if reverse:
                        return _elementwise(op, (other, self), (b, a), (f, e), (type, type), type, state)
                    return _elementwise(op, (self, other), (a, b), (e, f), (type, type), type, state)
        if not is_operand(other):
            return NotImplemented
        return apply(op, (other, self) if reverse else (self, other))

    method.__name__ = op.name
    method.__doc__ = op.doc
    return method


# ---------------------------------------------------------------- in-place writes and leaves
def require_no_grad_leaf(tensor: Any) -> None:
    """AutogradError when an in-place write would lose a leaf's gradient."""
    state = local.state
    if not state.grad or state.inference:
        return
    view = tensor._view
    base = view.root() if view is not None else None
    if tensor._edge.__class__ is Leaf:
        raise AutogradError("a leaf Variable that requires grad is being used in an in-place operation.")
    if base is not None and base._edge.__class__ is Leaf and view.origin == "":
        raise AutogradError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


__all__ = [
    "Cell", "Handle", "Native", "apply", "as_tensor_operand", "binary", "cast", "category_of", "common_dtype",
    "ensure_cell", "is_operand", "operand", "plain_number", "prepare", "record", "require_no_grad_leaf",
    "result", "scalar_node", "set_tensor_class", "unary", "value_unavailable", "wrap",
]  # fmt: skip
