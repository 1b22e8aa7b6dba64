"""One differentiation of a function: it is run under fresh histories, and its tape pulls back and pushes forward.

Tangents go along what was recorded by the `jvp` rules of ops (`forward.py`). Where history says more than Nodes do, or
tangents need history themselves, they are found by transposing: what pulls back is linear in the cotangent, so pulling
back along it pushes forward. Nothing but what the tangents need is ever computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError
from squall.frontend.autograd import walk_back
from squall.frontend.core import Handle, result, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.forward import Forward, fresh_node
from squall.frontend.state import enable_grad, inference_mode, is_grad_enabled, local
from squall.frontend.tape import GradRecord, Leaf
from squall.ir.families import zeros
from squall.ir.op import ops

# The name of leaves that stand for cotangents of a function whose tangents were found: nothing asks for theirs again.
STAND_IN = "stand-in"


class Level:
    """One differentiation: the Tensors a function is run on, whose history begins anew, and the tape it leaves.

    Attributes:
        arguments: stand-ins for the given Tensors, with Nodes of their own if `fresh`. edges: where their gradients
        arrive.
    """

    def __init__(self, tensors: Sequence[Any], function: str, fresh: bool = False):
        for tensor in tensors:
            if not isinstance(tensor, Handle):
                raise TypeError(f"{function}: expected Tensors to differentiate by, got {type(tensor).__name__}")
            if tensor.node.dtype.category < 2:
                raise AutogradError(f"{function}: only Tensors of floating point dtype can require gradients, not "
                                    f"{tensor.node.dtype}")
        self.outer = is_grad_enabled()
        self.edges = [_begin(t, self.outer) for t in tensors]
        nodes = [fresh_node(t.node) if fresh else t.node for t in tensors]
        self.arguments = [wrap(n, e) for n, e in zip(nodes, self.edges, strict=True)]
        state = local.state
        if state.trace is not None:
            state.trace.saw(tuple(tensors), tuple(t.node for t in tensors))
            state.trace.made(tuple(self.arguments))
        self.own = {id(e) for e in self.edges if e.__class__ is Leaf}

    def run(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call the function with history on."""
        with inference_mode(False), enable_grad():
            return function(*args, **kwargs)

    def outside(self, edges: Sequence[Any], own: set[int] | frozenset = frozenset()) -> bool:
        """Whether some history ends anywhere but in this level's own arguments (and in `own`)."""
        mine = self.own | own
        seen: set[int] = set()
        stack = [e for e in edges if e is not None]
        while stack:
            edge = stack.pop()
            if id(edge) in seen:
                continue
            seen.add(id(edge))
            if edge.__class__ is Leaf:
                if id(edge) not in mine and getattr(edge, "name", None) is not STAND_IN:
                    return True
            else:
                stack.extend(e for e in edge.edges if e is not None)
        return False

    def released(self, tensor: Any, own: set[int] | frozenset = frozenset()) -> Any:
        """A result as the caller sees it: with history only if that leads outside."""
        if not isinstance(tensor, Handle) or tensor.edge is None:
            return tensor
        if self.outer and self.outside((tensor.edge,), own):
            return tensor
        node = tensor.node
        return wrap(node) if node.buffer is not None else result(node)


def _begin(tensor: Any, outer: bool) -> Any:
    """A fresh edge for a Tensor: a leaf, or a step that passes gradients on to the history it has outside."""
    node, edge = tensor.node, tensor.edge
    if edge is None or not outer:
        return Leaf(node.type)
    return GradRecord(ops.reshape, (tuple(node.shape),), (edge,), (node.type,), node.type)


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients are returned, not gathered."""


def pull(outputs: Sequence[Any], cotangents: Sequence[Any], edges: Sequence[Any], create: bool) -> list[Any]:
    """Gradients at edges, given those of the outputs; None where nothing arrives. The tape stays usable.

    Args:
        create: whether the gradients get history of their own.
    """
    pairs = [(t, c) for t, c in zip(outputs, cotangents, strict=True) if t.edge is not None and c is not None]
    roots, seeds = [t.edge for t, _ in pairs], [c if create else c.node for _, c in pairs]
    found = walk_back(roots, seeds, create, _ignore, True, {id(e): e for e in edges})
    gradients = [found.get(id(e)) for e in edges]
    return [g if g is None or isinstance(g, Handle) else result(g) for g in gradients]


def zeros_of(tensor: Any) -> Any:
    """Zeros like a Tensor, without history."""
    return wrap(zeros(tensor.node.type))


def _flat_outputs(made: Any, function: str) -> tuple[list, Any]:
    leaves, structure = pytree.flatten(made)
    for leaf in leaves:
        if not isinstance(leaf, Handle):
            raise TypeError(f"{function}: expected the function to return only Tensors, got {type(leaf).__name__}; use "
                            "has_aux=True for other results")
    return leaves, structure


def _split_aux(made: Any, has_aux: bool, function: str) -> tuple[Any, Any]:
    if not has_aux:
        return made, None
    if not (isinstance(made, tuple) and len(made) == 2):
        raise TypeError(f"{function}: with has_aux the function must return a tuple (output, aux)")
    return made


class Linearized:
    """A function run once at a point, with what pulls cotangents back and pushes tangents forward."""

    def __init__(self, function: Callable, primals: tuple, has_aux: bool, name: str, forward: bool = False):
        leaves, self.structure = pytree.flatten(primals)
        self.level = Level(leaves, name, forward)
        self.trace = Forward(self.level.arguments) if forward else None
        with self.trace or contextlib.nullcontext():
            made = self.level.run(function, *pytree.unflatten(self.structure, self.level.arguments))
        made, aux = _split_aux(made, has_aux, name)
        self.outputs, self.out_structure = _flat_outputs(made, name)
        self.aux = pytree.map_leaves(self.level.released, aux)
        self._back: tuple | None = None
        self._create: bool | None = None

    def value(self) -> Any:
        """The function's result."""
        return pytree.unflatten(self.out_structure, [self.level.released(t) for t in self.outputs])

    def create(self, given: Sequence[Any]) -> bool:
        """Whether gradients need history: when the tape or what is pulled back leads outside."""
        if not (self.level.outer and is_grad_enabled()):
            return False
        if any(g is not None and g.edge is not None for g in given):
            return True
        if self._create is None:
            self._create = self.level.outside([t.edge for t in self.outputs])
        return self._create

    def back(self, cotangents: Sequence[Any], create: bool | None = None) -> list[Any]:
        """One gradient a primal leaf; cotangents of None are zeros."""
        wanted = self.create(cotangents) if create is None else create
        gradients = pull(self.outputs, cotangents, self.level.edges, wanted)
        return [zeros_of(a) if g is None else self.level.released(g)
                for g, a in zip(gradients, self.level.arguments, strict=True)]

    def transposed(self) -> tuple[list, list]:
        """Stand-ins for cotangents of the outputs (None where no gradient flows), and the gradients they give."""
        if self._back is None:
            holders = [None if t.edge is None else wrap(zeros(t.node.type), Leaf(t.node.type)) for t in self.outputs]
            if local.state.trace is not None:
                local.state.trace.made(tuple(h for h in holders if h is not None))
            self._back = holders, pull(self.outputs, holders, self.level.edges, True)
        return self._back

    def forth(self, tangents: Sequence[Any]) -> list[Any]:
        """One tangent an output; tangents of None are zeros."""
        if self.by_rules(tangents):
            made = self._pushed(tangents)
        else:
            made = self._transposed(tangents)
        if self.trace is not None and self.trace.shared and local.state.trace is None:
            evaluate_tensors([*self.outputs, *made])
        return made

    def by_rules(self, tangents: Sequence[Any]) -> bool:
        """Whether tangents go along Nodes by the ops' rules: nothing stopped them, and they need no history."""
        return self.trace is not None and not self.trace.stopped and not self.create(tangents)

    def _pushed(self, tangents: Sequence[Any]) -> list[Any]:
        trace = self.trace
        assert trace is not None
        found = trace.push([t.node for t in self.outputs], [None if t is None else t.node for t in tangents])
        return [zeros_of(output) if t is None or not trace.continues(output.edge) else result(t)
                for t, output in zip(found, self.outputs, strict=True)]

    def _transposed(self, tangents: Sequence[Any]) -> list[Any]:
        holders, gradients = self.transposed()
        pairs = [(g, t) for g, t in zip(gradients, tangents, strict=True) if g is not None and t is not None]
        edges = [h.edge for h in holders if h is not None]
        for edge in edges:
            edge.name = None  # while tangents go along, rules may differentiate by it
        pushed = iter(pull([g for g, _ in pairs], [t for _, t in pairs], edges, self.create(tangents)))
        own = frozenset(map(id, edges))
        out = []
        for holder, output in zip(holders, self.outputs, strict=True):
            tangent = None if holder is None else next(pushed)
            out.append(zeros_of(output) if tangent is None else self.level.released(tangent, own))
        for edge in edges:
            edge.name = STAND_IN
        return out


def chosen_arguments(args: tuple, argnums: Any, function: str) -> tuple[int, ...]:
    """Positions from 0 of the arguments to differentiate by; AutogradError for one that is not there."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in numbers:
        if not -len(args) <= n < len(args):
            raise AutogradError(f"{function}: got argnum={n}, but only {len(args)} positional inputs")
    return tuple(n % len(args) for n in numbers)


def function_of_chosen(func: Callable, args: tuple, kwargs: dict, chosen: tuple[int, ...]) -> Callable:
    """The function of some arguments alone, the others as given."""
    def of_chosen(*values: Any) -> Any:
        full = list(args)
        for n, value in zip(chosen, values, strict=True):
            full[n] = value
        return func(*full, **kwargs)

    return of_chosen
