"""`sq.checkpoint`: history that keeps only what a function was given, and runs it again in backward.

The function runs once with a tape, which tells whose gradients are wanted, and is then dropped. Backward runs it again,
with the random numbers it drew, and goes back along the new tape. A policy (`policies.py`) may keep some results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.errors import ArgumentError, AutogradError
from squall.frontend.core import Handle, result, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.lifting import edge_type, frontier
from squall.frontend.passing import Passing, record_of
from squall.frontend.policies import Policy, named_policy
from squall.frontend.state import enable_grad, is_grad_enabled, local
from squall.frontend.tape import GradRecord, Leaf, run_backward
from squall.ir.node import Node, SharedType
from squall.ir.op import ops
from squall.ops.ordering import first_element


class Watch(Passing):
    """Notes the records and draws of a function; or gives it the draws of another run."""

    def __init__(self, draws: Sequence[tuple] | None = None):
        super().__init__()
        self.drawn: list[tuple[Any, Any, tuple[Node, Node]]] = []
        self.again = None if draws is None else iter(draws)
        self.shared = False

    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        self.shared = self.shared or any(n.type.__class__ is SharedType for n in nodes)
        super().saw(operands, nodes)

    def draw(self, generator: Any, words: Any) -> tuple[Node, Node]:
        """Random numbers: noted the first time, given again the second."""
        if self.again is None:
            nodes = super().draw(generator, words)
            self.drawn.append((generator, words, nodes))
            return nodes
        known = next(self.again, None)
        if known is None or known[0] is not generator or known[1] != words:
            raise AutogradError("a function drew other random numbers when it ran again in backward")
        return known[2]


class Selecting(Watch):
    """Keeps the results of chosen ops, and in the second run puts them in the place of results computed again.

    Nothing is computed when an op is recorded, so an op whose result is replaced never runs again.

    Attributes:
        found: for each op recorded, its name and the Nodes of its results, or None when they are not kept.
    """

    def __init__(self, policy: Policy, draws: Sequence[tuple] | None = None, known: list | None = None):
        super().__init__(draws)
        self.policy, self.found = policy, [] if known is None else known
        self.known = None if known is None else iter(known)
        self.read: tuple = ((), ())

    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read."""
        self.read = operands, nodes
        super().saw(operands, nodes)

    def made(self, tensors: Any) -> None:
        """Results were recorded."""
        super().made(tensors)
        if self._apart():
            return
        several = tensors if tensors.__class__ is tuple else (tensors,)
        if not several:
            return
        node = several[0].node
        node = node.inputs[0] if node.op is ops.pick and node.inputs else node
        if node.inputs and node.inputs is self.read[1]:
            self._met(node.op, several)

    def named(self, tensor: Any, name: str) -> None:
        """A Tensor got a name for policies."""
        if not self._apart():
            self._met(name, (tensor,))
        super().named(tensor, name)

    def _apart(self) -> bool:
        """Whether a body of a loop or branch is being recorded inside, whose values have no place outside of it."""
        trace: Any = local.state.trace
        while trace is not None and trace is not self:
            if trace.apart:
                return True
            trace = trace.around
        return False

    def _met(self, op: Any, tensors: tuple) -> None:
        label = op if isinstance(op, str) else op.name
        if self.known is None:
            saves = self.policy.saves(op, self.read)
            self.found.append((label, tuple(t.node for t in tensors) if saves else None))
            return
        name, nodes = next(self.known, (None, None))
        if name != label:
            raise AutogradError(f"checkpoint: the function did something else when it ran again in backward: {label} "
                                f"instead of {name}")
        for tensor, node in zip(tensors, nodes or (), strict=False):
            _replace(tensor, node)


def _replace(tensor: Any, node: Node) -> None:
    """Let a fresh result be a known value of the same kind; its history stays."""
    before = tensor._node
    if before is None or before.type != node.type or before.buffer is not None:
        return
    edge = tensor._edge
    if edge.__class__ is GradRecord:
        record, index = record_of(edge), edge.attrs[0] if edge.op is ops.pick else None
        if record.output.__class__ is tuple and index is not None:
            record.output = (*record.output[:index], node, *record.output[index + 1 :])
        elif record.output is before:
            record.output = node
    tensor._node = node


def checkpoint(function: Callable, *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True,
               policy: Any = None, context_fn: Callable | None = None, **kwargs: Any) -> Any:
    """Call a function so that backward runs it again instead of keeping what it computed.

    Args:
        function: takes and returns Tensors in nested containers; may use modules and random numbers.
        args, kwargs: for it.
        use_reentrant: accepted for PyTorch's sake; there is one way. preserve_rng_state: whether the second run draws
            the random numbers of the first. policy: what is kept all the same: names of ops (as in `sq.explain`), a
            function `policy(context, op, *operands)` giving a `CheckpointPolicy` or a bool, or one of
            "nothing_saveable", "everything_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable", or what
            `save_only_these_names` gives. context_fn: gives two context managers, for the first and the second run,
            such as `create_selective_checkpoint_contexts` makes.

    Returns:
        What the function returns.

    Raises:
        AutogradError: in backward, when the second run does something else than the first.

    Example:
        >>> import squall as sq
        >>> x = sq.tensor(2.0, requires_grad=True)
        >>> sq.checkpoint(lambda v: v.exp() * v, x).backward()
        >>> abs(x.grad.item() - 3 * 2.718281828**2) < 1e-4
        True
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    contexts = context_fn() if context_fn is not None else (contextlib.nullcontext(), contextlib.nullcontext())
    chosen = named_policy(getattr(contexts[0], "policy", None) if policy is None else policy)
    leaves, structure = pytree.flatten((args, kwargs))
    frozen = [_Frozen(v.node, v.edge) if isinstance(v, Handle) else v for v in leaves]
    with Watch() if chosen is None else Selecting(chosen) as watch, contexts[0]:
        made, out_structure = pytree.flatten(function(*args, **kwargs))
    tensors = [t for t in made if isinstance(t, Handle)]
    if watch.shared and watch.around is None:
        evaluate_tensors(tensors)
    edges = [t.edge if isinstance(t, Handle) else None for t in made]
    _, captured, _ = frontier(edges, watch.records)
    if not captured:
        return pytree.unflatten(out_structure, made)
    tracked = [i for i, e in enumerate(edges) if e is not None]
    found = watch.found if isinstance(watch, Selecting) else []
    kept = (*(v.node for v in frozen if isinstance(v, _Frozen)), *(n for _, nodes in found for n in nodes or ()))
    record = GradRecord(None, (), tuple(captured), tuple(edge_type(e) for e in captured),
                        tuple(made[i].node.type for i in tracked), kept or None)
    draws = watch.drawn if preserve_rng_state else None
    watching = (lambda: Watch(draws)) if chosen is None else lambda: Selecting(chosen, draws, found)
    record.extra = _Again(function, structure, frozen, (watching, contexts[1]), tracked, captured)
    for number, position in enumerate(tracked):
        node = made[position].node
        edge = GradRecord(ops.pick, (number,), (record,), (node.type,), node.type)
        made[position] = result(node, edge) if node.buffer is None else wrap(node, edge)
    if watch.around is not None:
        watch.around.made(tuple(made[i] for i in tracked))
    return pytree.unflatten(out_structure, made)


class _Frozen:
    """A Tensor argument as it was: its value and history."""

    __slots__ = ("edge", "node")

    def __init__(self, node: Node, edge: Any):
        self.node, self.edge = node, edge


class _Again:
    """The rule of a checkpoint's record: run the function again and go back along the tape it leaves."""

    name = "Checkpoint"

    def __init__(self, function: Callable, structure: Any, frozen: list, contexts: tuple, tracked: list[int],
                 captured: list[Any]):
        self.function, self.structure, self.frozen, self.contexts = function, structure, frozen, contexts
        self.tracked, self.captured = tracked, captured

    def release(self) -> None:
        """Forget the arguments and what was kept."""
        self.frozen, self.contexts = [], (Watch, contextlib.nullcontext())

    def backward(self, record: GradRecord, gradient: tuple, rules: Any) -> tuple:
        """Gradients of everything outside that the function read."""
        # Read only when the gradient is there, and apart from what the first run read: else both runs would be one.
        arrived = next(g for g in gradient if g is not None)
        token = first_element(arrived.node if isinstance(arrived, Handle) else arrived)
        leaves = [wrap(ops.after(v.node, token), v.edge) if isinstance(v, _Frozen) else v for v in self.frozen]
        args, kwargs = pytree.unflatten(self.structure, leaves)
        watching, context = self.contexts
        with watching(), context, enable_grad():
            made, _ = pytree.flatten(self.function(*args, **kwargs))
        types = tuple(made[i].node.type if isinstance(made[i], Handle) else None for i in self.tracked if i < len(made))
        if types != record.out_type:
            raise AutogradError("checkpoint: the function gave other results when it ran again in backward: "
                                f"{types} instead of {record.out_type}")
        pairs = [(made[i].edge, g) for i, g in zip(self.tracked, gradient, strict=True) if g is not None]
        wanted = {id(e): e for e in self.captured}
        roots, seeds = [e for e, _ in pairs], [g for _, g in pairs]
        found = run_backward(roots, seeds, rules, _ignore, True, wanted, None, set(wanted))
        return tuple(found.get(id(e)) for e in self.captured)


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients are returned, not gathered."""


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True
) -> Any:
    """Run a chain of modules in segments, all but the last of which are checkpointed.

    Args:
        functions: a `nn.Sequential`, or functions of one value each. segments: how many; the last takes what division
            leaves over. input: for the first. use_reentrant, preserve_rng_state: as for `checkpoint`.

    Returns:
        What the last gives.

    Raises:
        ArgumentError: for fewer functions than segments.

    Example:
        >>> import squall as sq
        >>> net = sq.nn.Sequential(*[sq.nn.Linear(2, 2) for _ in range(4)])
        >>> sq.func.checkpoint_sequential(net, 2, sq.ones(1, 2)).shape
        squall.Size([1, 2])
    """
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(chain) // segments if segments > 0 else 0
    if not size:
        raise ArgumentError(f"checkpoint_sequential: {len(chain)} functions cannot be cut into {segments} segments")

    def run(part: list, value: Any) -> Any:
        for function in part:
            value = function(value)
        return value

    for start in range(0, size * (segments - 1), size):
        part = chain[start : start + size]
        input = checkpoint(lambda value, part=part: run(part, value), input, use_reentrant=use_reentrant,
                           preserve_rng_state=preserve_rng_state)
    return run(chain[size * (segments - 1) :], input)
