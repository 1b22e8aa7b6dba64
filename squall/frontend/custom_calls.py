"""What calls of functions with rules of their own share (`custom_rules.py`, `custom_linear.py`).

Like `Function` of `custom.py`, an application hangs one GradRecord on its results and is never a Node. Arguments and
results are nested containers of Tensors. What such a function reads from outside must not need a gradient: its rule
gives none, so the record has an edge there that refuses one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError
from squall.frontend.checkpointing import Watch
from squall.frontend.core import Handle, result, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.lifting import edge_type, frontier
from squall.frontend.state import is_grad_enabled, local, no_grad
from squall.frontend.tape import GradRecord, Leaf, NodeRules
from squall.ir.families import zeros
from squall.ir.op import ops


class Closure(Watch):
    """Notes the histories from outside that a function reads though they are none of its arguments'."""

    def __init__(self, draws: Sequence[tuple] | None = None):
        super().__init__(draws)
        self.met: dict[int, Any] = {}
        self.inner: set[int] = set()

    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        for tensor in operands:
            edge = tensor.edge
            if edge is not None:
                self.met[id(edge)] = edge
        super().saw(operands, nodes)

    def made(self, tensors: Any) -> None:
        """Results were recorded, or stand-ins made."""
        for tensor in tensors if tensors.__class__ is tuple else (tensors,):
            if tensor._edge.__class__ is Leaf:
                self.inner.add(id(tensor._edge))
                self.kept.append(tensor._edge)
        super().made(tensors)

    def captured(self, own: set[int]) -> list[Any]:
        """The edges from outside, but for `own`."""
        return frontier(self.met.values(), self.records, self.inner | own)[1]


class _Refused:
    """The rule of a value that a custom function reads from outside: its gradient is not known."""

    def __init__(self, name: str):
        self.name = name

    def release(self) -> None:
        """Nothing is kept."""

    def backward(self, record: GradRecord, gradient: Any, rules: Any) -> tuple:
        """Refuse."""
        raise AutogradError(
            f"{self.name}: the function reads a tensor of shape {list(record.out_type.shape)} from outside "
            "that requires grad, and its rule gives it no gradient: pass it as an argument, or detach() it"
        )


def refused(edges: Sequence[Any], name: str) -> list[GradRecord]:
    """Edges that raise when a gradient passes on to what is behind them."""
    out = []
    for edge in edges:
        type = edge_type(edge)
        record = GradRecord(None, (), (edge,), (type,), type)
        record.extra = _Refused(name)
        out.append(record)
    return out


class Given:
    """The arguments of one call: those to differentiate by as flat leaves, the others as they are.

    Attributes:
        leaves: what is no Tensor. nodes: of all leaves, None where no Tensor is. tracked: positions of leaves that
        have history. edges: theirs.
    """

    def __init__(self, args: tuple, fixed: tuple[int, ...]):
        self.count, self.fixed = len(args), fixed
        self.chosen = tuple(i for i in range(len(args)) if i not in fixed)
        self.others = tuple(args[i] for i in fixed)
        self.leaves, self.structure = pytree.flatten(tuple(args[i] for i in self.chosen))
        tensors = [t for t in self.leaves if isinstance(t, Handle)]
        self.nodes = [t.node if isinstance(t, Handle) else None for t in self.leaves]
        self.tracked = [
            i
            for i, t in enumerate(self.leaves)
            if isinstance(t, Handle) and t.edge is not None and t.node.dtype.category >= 2
        ]
        self.edges = [self.leaves[i].edge for i in self.tracked]
        state = local.state
        if state.trace is not None:
            state.trace.saw(tuple(tensors), tuple(t.node for t in tensors))
        self.leaves = [None if n is not None else v for v, n in zip(self.leaves, self.nodes, strict=True)]

    def stand_ins(self, history: bool) -> tuple:
        """The chosen arguments on Tensors of their own, with the history of the arguments or without any."""
        edges = dict(zip(self.tracked, self.edges, strict=True)) if history else {}
        made = [
            v if n is None else wrap(n, edges.get(i))
            for i, (v, n) in enumerate(zip(self.leaves, self.nodes, strict=True))
        ]
        if local.state.trace is not None:
            local.state.trace.made(tuple(t for t in made if isinstance(t, Handle)))
        return pytree.unflatten(self.structure, made)

    def all(self, chosen: tuple) -> tuple:
        """All arguments in order, given the chosen ones."""
        by_place = dict(zip((*self.chosen, *self.fixed), (*chosen, *self.others), strict=True))
        return tuple(by_place[i] for i in range(self.count))


def positional(function: Callable, args: tuple, kwargs: dict) -> tuple:
    """Arguments by position, with defaults; TypeError for what has none."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except ValueError:  # a builtin tells nothing of its arguments
        bound = None
    if bound is None:
        return args
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{function.__name__}: arguments by keyword only, {sorted(bound.kwargs)}, cannot be told to a "
            "derivative's rule; make them positional"
        )
    return bound.args


def tensor_leaves(tree: Any, what: str) -> tuple[list, Any]:
    """Leaves that must be Tensors, and the structure."""
    leaves, structure = pytree.flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Handle):
            raise TypeError(f"{what} to give only Tensors, got {type(leaf).__name__}")
    return leaves, structure


def attach(outputs: list, edges: list, types: tuple, saved: list, rule: Any, watch: Watch) -> list:
    """The results with one record as their history; integer ones have none.

    Args:
        outputs: Tensors. edges: where gradients go. types: of those. saved: Nodes to keep for the rule.
    """
    if watch.shared and local.state.trace is None:
        evaluate_tensors([t for t in outputs if t.node.buffer is None])
    record = GradRecord(
        None, (), tuple(edges), types, tuple(t.node.type for t in outputs), tuple(saved) or None
    )
    record.extra = rule
    out = []
    for number, tensor in enumerate(outputs):
        node, edge = tensor.node, None
        if node.dtype.category >= 2:
            edge = GradRecord(ops.pick, (number,), (record,), (node.type,), node.type)
        out.append(wrap(node, edge) if node.buffer is not None else result(node, edge))
    if local.state.trace is not None:
        local.state.trace.made(tuple(t for t in out if t._edge is not None))
    return out


def plain(outputs: list) -> list:
    """The results without history."""
    return [wrap(t.node) if t.node.buffer is not None else result(t.node) for t in outputs]


def cotangents_of(record: GradRecord, gradient: tuple) -> list:
    """What arrived at each output as Tensors, zeros where nothing did."""
    out = []
    for g, type in zip(gradient, record.out_type, strict=True):
        out.append(wrap(zeros(type)) if g is None else g if isinstance(g, Handle) else wrap(g))
    return out


class CustomFunction:
    """What functions with rules of their own share: call, arguments, positions that are not differentiated by."""

    kind, missing = "", ""
    has_rule: Callable[[], bool]
    apply: Callable[[Given], Any]

    def __init__(self, fun: Callable, nondiff_argnums: Any = ()):
        functools.update_wrapper(self, fun)
        self.fun = fun
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        if any(n < 0 for n in numbers):
            raise ValueError(f"{self.kind}: nondiff_argnums must be positions from 0, got {numbers}")
        self.nondiff_argnums = tuple(sorted(set(numbers)))
        self.label = getattr(fun, "__name__", type(fun).__name__)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.has_rule():
            raise AttributeError(f"{self.kind}: {self.label} has no rule yet; give one with {self.missing}")
        args = positional(self.fun, args, kwargs)
        late = [n for n in self.nondiff_argnums if n >= len(args)]
        if late:
            raise ValueError(
                f"{self.kind}: nondiff_argnums names position {late[0]}, but {self.label} was called with "
                f"{len(args)} arguments"
            )
        return self.apply(Given(args, self.nondiff_argnums)) if is_grad_enabled() else self.fun(*args)

    def value(self, given: Given) -> Any:
        """The function's results where no argument has history; what it captures must not get a gradient."""
        with Closure() as watch, no_grad():
            leaves, structure = tensor_leaves(
                self.fun(*given.all(given.stand_ins(False))), f"{self.kind}: expected {self.label}"
            )
        captured = watch.captured(set())
        if captured:
            edges, types = refused(captured, self.kind), tuple(map(edge_type, captured))
            leaves = attach(leaves, edges, types, [], _Nothing(), watch)
        else:
            leaves = plain(leaves)
        return pytree.unflatten(structure, leaves)


class _Nothing:
    """The rule of results that only depend on what has no gradient."""

    name = "Custom"

    def release(self) -> None:
        """Nothing is kept."""

    def backward(self, record: GradRecord, gradient: Any, rules: Any) -> tuple:
        """Something for each edge, all of which refuse."""
        return refusals(record.types, rules)


def refusals(types: Sequence[Any], rules: Any) -> tuple:
    """Gradients for edges that refuse any."""
    return tuple(zeros(t) if rules is NodeRules else wrap(zeros(t)) for t in types)
