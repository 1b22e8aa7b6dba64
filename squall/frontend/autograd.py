"""Differentiation as users call it: backward, grad, hooks on tensors, custom functions."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from squall.base import epoch
from squall.base.errors import ArgumentError, AutogradError, ShapeError
from squall.base.shapes import numel
from squall.frontend import known_backward
from squall.frontend.anomaly import check_gradients
from squall.frontend.core import Handle, record, result, wrap
from squall.frontend.creation import zeros_like
from squall.frontend.evaluation import flush
from squall.frontend.state import enable_grad, local, no_grad
from squall.frontend.tape import GradRecord, Leaf, NodeRules, run_backward
from squall.frontend.views import rare, write
from squall.ir.node import Node, SharedType
from squall.ir.op import constant, make, ops


class TensorRules:
    """Runs gradient rules on Tensors, so that gradients have history of their own (`create_graph`)."""

    @staticmethod
    def inputs(record: GradRecord) -> tuple:
        """What the rule reads of the operands, with their history."""
        if record.inputs is None:
            return (None,) * len(record.types)
        return tuple([None if n is None else wrap(n, e) for n, e in zip(record.inputs, record.edges, strict=True)])

    @staticmethod
    def output(record: GradRecord) -> Any:
        """What the rule reads of the result, with its history."""
        saved = record.output
        if saved.__class__ is tuple:
            return tuple(wrap(n, _pick_edge(record, i, n)) for i, n in enumerate(saved))
        return None if saved is None else wrap(saved, record)


def _pick_edge(record: GradRecord, index: int, node: Node) -> Any:
    if node.dtype.category < 2:
        return None
    return GradRecord(ops.pick, (index,), (record,), (node.type,), node.type)


def _start(tensor: Any, gradient: Any, create_graph: bool) -> Any:
    node = tensor.node
    if gradient is None:
        if node.shape != ():
            if numel(node.shape) != 1:
                raise AutogradError(f"grad can be implicitly created only for scalar outputs; this one has shape "
                                    f"{list(node.shape)}: give gradient=")
        one = constant(1, node.dtype, node.device)
        seed = one if node.shape == () else make(ops.expand, (one,), (tuple(node.shape),))
        return wrap(seed) if create_graph else seed
    if not isinstance(gradient, Handle):
        raise TypeError(f"backward: gradient must be a Tensor, got {type(gradient).__name__}")
    if gradient.node.shape != node.shape:
        raise ShapeError(
            f"Mismatch in shape: grad_output[0] has a shape of {list(gradient.node.shape)} and output[0] has a "
            f"shape of {list(node.shape)}."
        )
    if gradient.node.dtype is not node.dtype:
        gradient = record(ops.cast, (gradient,), (node.dtype,))
    return gradient if create_graph else gradient.node


def _gather_leaf(create_graph: bool) -> Any:
    def on_leaf(leaf: Leaf, gradient: Any) -> None:
        if local.state.trace is not None:
            local.state.trace.leaf(leaf)
        if create_graph:
            leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
        elif leaf.grad is None:
            leaf.grad = result(gradient)
        else:
            before = leaf.grad
            if before.edge is not None:
                leaf.grad = result(ops.add(before.node, gradient))
            else:
                with no_grad():
                    write(before, result(ops.add(before.node, gradient)))
        for hook in tuple(leaf.after.values()) if leaf.after else ():
            hook(leaf)

    return on_leaf


def _edges(tensors: Iterable[Any]) -> list:
    out = []
    for t in tensors:
        edge = t.edge
        if edge is None:
            raise AutogradError("element 0 of tensors does not require grad and does not have a grad_fn")
        out.append(edge)
    return out


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
             grad_variables: Any = None, inputs: Any = None) -> None:
    """Add the gradients of tensors to the `.grad` of every leaf (or of `inputs` only).

    Args:
        tensors: a Tensor or a sequence. grad_tensors: of the same shapes, None for scalars. retain_graph: keep what
            backward reads for another time (default: create_graph). create_graph: record the gradients' own history.
            grad_variables: the older name of grad_tensors.

    Raises:
        AutogradError: without history, on a second time through freed history, or when a saved value was modified
            in place.
    """
    tensors = (tensors,) if isinstance(tensors, Handle) else tuple(tensors)
    if grad_variables is not None:
        if grad_tensors is not None:
            raise ArgumentError("backward: grad_variables is the older name of grad_tensors; give one of them")
        grad_tensors = grad_variables
    given = (grad_tensors,) if grad_tensors is None or isinstance(grad_tensors, Handle) else tuple(grad_tensors)
    given = given * len(tensors) if len(given) == 1 and given[0] is None else given
    edges = _edges(tensors)
    wanted = None if inputs is None else {id(e): e for e in _edges((inputs,) if isinstance(inputs, Handle) else inputs)}
    retain = create_graph if retain_graph is None else retain_graph
    seeds = [_start(t, g, create_graph) for t, g in zip(tensors, given, strict=True)]
    walk_back(edges, seeds, create_graph, _gather_leaf(create_graph), retain, wanted)


def walk_back(edges: list, seeds: list, create_graph: bool, on_leaf: Any, retain: bool, wanted: Any) -> dict[int, Any]:
    """`tape.run_backward` with rules on Tensors or on Nodes; what reads memory NumPy can write is evaluated at once."""
    state = local.state
    if len(edges) == 1 and wanted is None and not create_graph and state.level < 2:
        if known_backward.run(edges[0], seeds[0], on_leaf, retain):
            return {}
    mode = enable_grad() if create_graph else no_grad()
    rules = TensorRules if create_graph else NodeRules
    watch = _Watch(state.anomaly)
    with mode:
        found = run_backward(edges, seeds, rules, on_leaf, retain, wanted, watch)
    if watch.shared and state.trace is None:  # before somebody writes that memory
        found = {k: g if g is None or isinstance(g, Handle) else result(g) for k, g in found.items()}
        flush()
    return found


class _Watch:
    """Sees each record after its rule ran: whether it read memory that NumPy can write, and in anomaly mode its
    gradients.
    """

    __slots__ = ("anomaly", "shared")

    def __init__(self, anomaly: bool):
        self.anomaly, self.shared = anomaly, False

    def __call__(self, record: GradRecord, gradients: tuple) -> None:
        for node in record.inputs or ():
            if node is not None and node.type.__class__ is SharedType:
                self.shared = True
        if self.anomaly:
            check_gradients(record, gradients)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool = False,
    *,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of outputs with respect to inputs, without touching `.grad`.

    Args:
        outputs, inputs: a Tensor or a sequence. grad_outputs: of the outputs' shapes, None for scalars. retain_graph:
            keep what backward reads for another time (default: create_graph). create_graph: record the gradients' own
            history. only_inputs: must be True. allow_unused: whether an input may have no part in the outputs.
            materialize_grads: zeros for such inputs.

    Returns:
        tuple: one Tensor an input, None for an unused one when allowed.

    Example:
        >>> import squall as sq
        >>> x = sq.tensor(3.0, requires_grad=True)
        >>> (g,) = sq.autograd.grad(x * x, x, create_graph=True)
        >>> sq.autograd.grad(g, x)[0].item()
        2.0
    """
    if not only_inputs:
        raise ArgumentError("grad: only_inputs must be True; use backward() to gather gradients of other leaves")
    outputs = (outputs,) if isinstance(outputs, Handle) else tuple(outputs)
    inputs = (inputs,) if isinstance(inputs, Handle) else tuple(inputs)
    given = (grad_outputs,) if grad_outputs is None or isinstance(grad_outputs, Handle) else tuple(grad_outputs)
    given = given * len(outputs) if len(given) == 1 and given[0] is None else given
    if any(t.edge is None for t in inputs):
        raise AutogradError("One of the differentiated Tensors does not require grad")
    targets = [t.edge for t in inputs]
    retain = create_graph if retain_graph is None else retain_graph
    seeds = [_start(t, g, create_graph) for t, g in zip(outputs, given, strict=True)]
    found = walk_back(_edges(outputs), seeds, create_graph, lambda leaf, g: None, retain, {id(e): e for e in targets})
    out: list = []
    for t, edge in zip(inputs, targets, strict=True):
        gradient = found.get(id(edge))
        if gradient is None:
            if not (allow_unused or materialize_grads):
                raise AutogradError("One of the differentiated Tensors appears to not have been used in the graph. "
                                    "Set allow_unused=True if this is the desired behavior.")
            out.append(zeros_like(t) if materialize_grads else None)
        else:
            out.append(gradient if isinstance(gradient, Handle) else result(gradient))
    return tuple(out)


class RemovableHandle:
    """Takes a hook away again."""

    def __init__(self, hooks: dict, key: int):
        self.hooks, self.key = hooks, key

    def remove(self) -> None:
        """Remove the hook; a second time does nothing."""
        self.hooks.pop(self.key, None)
        epoch.bump()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()


_hook_number = [0]


def add_hook(holder: Any, attribute: str, hook: Any) -> RemovableHandle:
    """Register a hook in a dictionary attribute of an edge."""
    hooks = getattr(holder, attribute)
    if hooks is None:
        hooks = {}
        setattr(holder, attribute, hooks)
    _hook_number[0] += 1
    hooks[_hook_number[0]] = hook
    if holder.__class__ is Leaf:
        epoch.bump()  # compiled functions have run the hooks of leaves while they were captured
    return RemovableHandle(hooks, _hook_number[0])


def register_hook(tensor: Any, hook: Any) -> RemovableHandle:
    """Call `hook(grad)` when the gradient of a tensor is recorded; what it returns (if not None) takes its place."""
    edge = tensor.edge
    if edge is None:
        raise AutogradError("cannot register a hook on a tensor that doesn't require gradient")

    def on_gradient(gradient: Any) -> Any:
        plain = not isinstance(gradient, Handle)
        changed = hook(result(gradient) if plain else gradient)
        return changed.node if plain and isinstance(changed, Handle) else changed

    return add_hook(edge, "hooks", on_gradient)


def retain_grad(tensor: Any) -> None:
    """Keep the gradient of a tensor that is not a leaf in its `.grad`."""
    if tensor.edge.__class__ is Leaf or rare(tensor).get("retains"):
        return
    rare(tensor)["retains"] = True
    reference = weakref.ref(tensor)

    def keep(gradient: Any) -> None:
        held = reference()
        if held is not None:
            before = rare(held).get("grad")
            rare(held)["grad"] = gradient if before is None else before + gradient

    register_hook(tensor, keep)


