"""The handle: what a Tensor is made of, and `apply`, which records every op.

A Tensor is a mutable handle on an immutable Node. A fresh result owns its Node alone; the first view, in-place write or
`detach` gives it a `Cell`, the storage that aliases share: the current Node and a version. A view holds the cell and its
chain of view steps (`views.py`). History is an edge to the tape (`tape.py`).
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from squall.base.dtypes import DType, combine, default_dtype, promote
from squall.base.errors import AutogradError, TraceError
from squall.frontend.state import local
from squall.frontend.tape import GradRecord, Leaf, make_record
from squall.ir.node import Node, SharedType, TensorType, tensor_type
from squall.ir.op import NON_DIFFERENTIABLE, Op, make, ops


class Cell:
    """Storage: the current Node of the base, how often it was written, and who else can see the memory."""

    __slots__ = ("_node", "version", "shared", "__weakref__")

    def __init__(self, node: Node):
        self._node, self.version, self.shared = node, 0, None

    _cell = None

    def describe(self) -> str:
        """What version errors call it."""
        return f"tensor of shape {list(self._node.shape)}"


class Handle:
    """The slots of a Tensor and what recording needs; `tensor.Tensor` adds the methods users call.

    Slots: `_node` the value (for views a cached one), `_cell` the storage once shared, `_view` the chain of a view,
    `_edge` the history (None: no gradient wanted), `_rare` a dictionary for what few tensors have.
    """

    __slots__ = ("_node", "_cell", "_view", "_edge", "_rare", "__weakref__")

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
        from squall.ir.op import constant

        first = next(o for o in operands if isinstance(o, Handle))
        node = first.node
        lifted = tuple(
            o if isinstance(o, Handle) else wrap(o if isinstance(o, Node) else constant(o, node.dtype, node.device))
            for o in operands)
        return record(op, lifted, attrs)


_tensor_class: list[type] = [Handle]
_new = object.__new__


def set_tensor_class(cls: type) -> None:
    """Called once by `tensor.py`: the class results are made of."""
    _tensor_class[0] = cls


def wrap(node: Node, edge: Any = None) -> Any:
    """A Tensor around a Node, not listed as pending: for values that are computed or leaves."""
    cls = _tensor_class[0]
    out = _new(cls)
    out._node, out._cell, out._view, out._edge = node, None, None, edge
    return out


def result(node: Node, edge: Any = None) -> Any:
    """A Tensor around a new, uncomputed Node, listed as pending on this thread."""
    out = wrap(node, edge)
    state = local.state
    pending = state.pending
    pending.append(ref(out))
    if len(pending) > state.limit:
        _relieve(state)
    return out


def ensure_cell(tensor: Any) -> Cell:
    """The storage of a Tensor, made when first asked for."""
    cell = tensor._cell
    if cell is None:
        cell = tensor._cell = Cell(tensor._node)
        tensor._view = None
        if tensor._node.buffer is None:
            local.state.pending.append(ref(cell))
    return cell


def scalar_node(value: Any, dtype: DType, device: str = "cpu") -> Node:
    """A leaf for a Python number that may vary from call to call."""
    return Node(ops.scalar, (), (), tensor_type((), dtype, device), value)


def record(op: Op, operands: tuple, attrs: tuple) -> Any:
    """Record an op on Tensors whose dtypes are already right. Gives a Tensor, or a tuple of them."""
    nodes = tuple([t._node if t._cell is None else t.node for t in operands])
    state = local.state
    made = make(op, nodes, attrs)
    if state.level >= 2:
        return _record_carefully(op, operands, nodes, attrs, made, state)
    edges = tuple([t._edge if t._view is None else t.edge for t in operands]) if state.level else ()
    if made.__class__ is Node and not any(edges) and not _shared_among(nodes):
        return result(made)
    return _finish(op, operands, nodes, attrs, made, edges)


def _shared_among(nodes: tuple) -> bool:
    for node in nodes:
        if node.type.__class__ is SharedType:
            return True
    return False


def _finish(op: Op, operands: tuple, nodes: tuple, attrs: tuple, made: Any, edges: tuple) -> Any:
    history = None
    if any(edges) and op.grad is not NON_DIFFERENTIABLE:
        many = made.__class__ is tuple
        if many or made.type.dtype.category >= 2:
            history = make_record(op, attrs, operands, nodes, edges, made)
    if made.__class__ is tuple:
        out = tuple(_output(history, node, i) for i, node in enumerate(made))
        if history is not None and history.saved and "out" in history.saved:
            history.versions += tuple((ensure_cell(t), 0) for t in out)
    else:
        out = result(made, history)
        if history is not None and history.saved and "out" in history.saved:
            history.versions += ((ensure_cell(out), 0),)
    if _shared_among(nodes):
        from squall.frontend.evaluation import evaluate_tensors

        evaluate_tensors(out if isinstance(out, tuple) else (out,))
    return out


def _output(history: GradRecord | None, node: Node, index: int) -> Any:
    edge = None
    if history is not None and node.type.dtype.category >= 2:
        edge = GradRecord(ops.pick, (index,), (history,), (node.type,), node.type, None, ())
    return result(node, edge)


def _record_carefully(op: Op, operands: tuple, nodes: tuple, attrs: tuple, made: Any, state: Any) -> Any:
    if state.trace is not None:
        state.trace.saw(operands, nodes)
    edges = tuple([t.edge for t in operands]) if state.grad and not state.inference else ()
    out = _finish(op, operands, nodes, attrs, made, edges)
    if state.anomaly:
        _note_line(out)
    if state.eager and state.trace is None and not state.flushing:
        from squall.frontend.evaluation import evaluate_tensors

        evaluate_tensors(out if isinstance(out, tuple) else (out,))
    return out


def _note_line(out: Any) -> None:
    from squall.frontend.evaluation import user_line

    for tensor in out if isinstance(out, tuple) else (out,):
        if tensor._edge.__class__ is GradRecord:
            tensor._edge.where = user_line()


# ---------------------------------------------------------------- operands as users give them
def category_of(value: Any) -> int:
    """The promotion category of a Python number."""
    return 0 if value is True or value is False else 1 if isinstance(value, int) else 2


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
    if isinstance(value, (int, float)):
        if dtype.category < 2 and isinstance(value, float):
            value = int(value)
        return wrap(scalar_node(value, dtype, device))
    return cast(as_tensor_operand(value), dtype)


def as_tensor_operand(value: Any) -> Any:
    """A Tensor from what arithmetic accepts besides numbers: arrays and NumPy scalars; TypeError otherwise."""
    if isinstance(value, Handle):
        return value
    if hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        from squall.frontend.creation import tensor

        return tensor(value)
    raise TypeError(f"expected a Tensor, an array or a number, got {type(value).__name__}")


def is_operand(value: Any) -> bool:
    """Whether arithmetic accepts a value."""
    return isinstance(value, (Handle, int, float)) or hasattr(value, "__array__")


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
    operands = tuple(v if isinstance(v, (Handle, int, float)) else as_tensor_operand(v) for v in operands)
    return record(op, prepare(op, operands), op.pack(attributes))


def prepare(op: Op, operands: tuple) -> tuple:
    """Operands as Tensors of the dtypes the op's promotion asks for."""
    kind = op.promotion
    if kind in ("same", "float"):
        dtype = common_dtype(operands, kind == "float")
    elif kind == "first":
        dtype = operands[0].node.type.dtype
    elif kind == "sum":
        dtype = operands[0].node.type.dtype
        if dtype.category < 2:
            from squall.base.dtypes import int64

            dtype = int64
    else:
        tensors = [v for v in operands if isinstance(v, Handle)]
        return tuple(v if isinstance(v, Handle) else operand(v, tensors[0].node.dtype) for v in operands)
    device = next((v.node.device for v in operands if isinstance(v, Handle)), "cpu")
    return tuple(v if isinstance(v, Handle) and v.node.type.dtype is dtype else operand(v, dtype, device) for v in operands)


_scalar_types: dict[DType, TensorType] = {}


def _short_result(op: Op, operands: tuple, nodes: tuple, edges: tuple, type: TensorType, state: Any) -> Any:
    """`record` and `result` written out for elementwise ops whose result has the operands' one type."""
    node = Node(op, nodes, (), type)
    out = _new(_tensor_class[0])
    out._node = node
    out._cell = out._view = out._edge = None
    if state.level and any(edges) and type.dtype.category >= 2 and op.grad is not NON_DIFFERENTIABLE:
        if op.saves == ():
            out._edge = GradRecord(op, (), edges, (type,) * len(nodes), type, None, ())
        else:
            out._edge = make_record(op, (), operands, nodes, edges, node)
            if "out" in out._edge.saved:
                out._edge.versions += ((ensure_cell(out), 0),)
    pending = state.pending
    pending.append(ref(out))
    if len(pending) > state.limit:
        _relieve(state)
    return out


def unary(op: Op, x: Any) -> Any:
    """Apply an elementwise op of one operand and no attributes."""
    node = x._node if x._cell is None else x.node
    type = node.type
    state = local.state
    if state.level < 2 and type.__class__ is TensorType and type.dtype.category == 2 and op.dtype is None:
        return _short_result(op, (x,), (node,), (x._edge if x._view is None else x.edge,), type, state)
    return apply(op, (x,))


def binary(op: Op, floating: bool = False, reverse: bool = False) -> Any:
    """The method of an operator: a short path for two Tensors of one type or a Tensor and a number, else `apply`."""
    short = op.dtype is None
    least = 2 if floating else 0

    def method(self: Any, other: Any) -> Any:
        state = local.state
        if short and state.level < 2:
            a = self._node if self._cell is None else self.node
            type = a.type
            if type.__class__ is TensorType and type.dtype.category >= least:
                e = self._edge if self._view is None else self.edge
                if other.__class__ is float or other.__class__ is int:
                    if type.dtype.category == 2 or (other.__class__ is int and type.dtype.category == 1):
                        scalar = _scalar_types.get(type.dtype) or _scalar_types.setdefault(type.dtype, tensor_type((), type.dtype))
                        b = Node(ops.scalar, (), (), scalar, other)
                        if reverse:
                            return _number_result(op, (None, self), (b, a), (None, e), type, state)
                        return _number_result(op, (self, None), (a, b), (e, None), type, state)
                elif isinstance(other, Handle):
                    b = other._node if other._cell is None else other.node
                    if type is not b.type and type == b.type and b.type.__class__ is TensorType:
                        b.type = type  # equal: the next comparison is of identities
                    if type is b.type:
                        f = other._edge if other._view is None else other.edge
                        if reverse:
                            return _short_result(op, (other, self), (b, a), (f, e), type, state)
                        return _short_result(op, (self, other), (a, b), (e, f), type, state)
        if not is_operand(other):
            return NotImplemented
        return apply(op, (other, self) if reverse else (self, other))

    method.__name__ = op.name
    method.__doc__ = op.doc
    return method


def _number_result(op: Op, operands: tuple, nodes: tuple, edges: tuple, type: TensorType, state: Any) -> Any:
    """`_short_result` with a number among the operands."""
    if state.level and any(edges) and op.grad is not NON_DIFFERENTIABLE:
        node = Node(op, nodes, (), type)
        history = make_record(op, (), operands, nodes, edges, node)
        out = result(node, history)
        if history is not None and history.saved and "out" in history.saved:
            history.versions += ((ensure_cell(out), 0),)
        return out
    return result(Node(op, nodes, (), type))


def _relieve(state: Any) -> None:
    from squall.frontend.evaluation import pressure

    pressure(state)


def require_no_grad_leaf(tensor: Any) -> None:
    """AutogradError when an in-place write would lose a leaf's gradient."""
    if not local.state.grad or local.state.inference:
        return
    view = tensor._view
    base = view.base if view is not None else None
    if base is not None and base._edge.__class__ is Leaf:
        raise AutogradError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if tensor._edge.__class__ is Leaf:
        raise AutogradError("a leaf Variable that requires grad is being used in an in-place operation.")


def value_unavailable(what: str) -> TraceError:
    """The error for asking a traced Tensor for its value."""
    return TraceError(
        f"{what}: the value of a traced tensor was asked for. Inside sq.compile and vmap values are not known yet: use "
        "sq.where or sq.cond in place of a Python if on a value, return the tensor and read it outside, or leave this "
        "part uncompiled.")
