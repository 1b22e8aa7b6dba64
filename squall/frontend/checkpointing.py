"""`sq.checkpoint`: history that keeps only what a function was given, and runs it again in backward.

The function runs once with a tape, which tells whose gradients are wanted, and is then dropped. Backward runs it again,
with the random numbers it drew, and goes back along the new tape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError
from squall.frontend.core import Handle, result, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.lifting import edge_type, frontier
from squall.frontend.passing import Passing
from squall.frontend.state import enable_grad, is_grad_enabled
from squall.frontend.tape import GradRecord, Leaf, run_backward
from squall.ir.node import Node, SharedType
from squall.ir.op import ops
from squall.ops.ordering import first_element


class _Watch(Passing):
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
            raise AutogradError("checkpoint: the function drew other random numbers when it ran again in backward")
        return known[2]


def checkpoint(function: Callable, *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True,
               **kwargs: Any) -> Any:
    """Call a function so that backward runs it again instead of keeping what it computed.

    Args:
        function: takes and returns Tensors in nested containers; may use modules and random numbers.
        args, kwargs: for it.
        use_reentrant: accepted for PyTorch's sake; there is one way. preserve_rng_state: whether the second run draws
            the random numbers of the first.

    Returns:
        What the function returns.

    Example:
        >>> import squall as sq
        >>> x = sq.tensor(2.0, requires_grad=True)
        >>> sq.checkpoint(lambda v: v.exp() * v, x).backward()
        >>> abs(x.grad.item() - 3 * 2.718281828**2) < 1e-4
        True
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    leaves, structure = pytree.flatten((args, kwargs))
    frozen = [_Frozen(v.node, v.edge) if isinstance(v, Handle) else v for v in leaves]
    with _Watch() as watch:
        made, out_structure = pytree.flatten(function(*args, **kwargs))
    tensors = [t for t in made if isinstance(t, Handle)]
    if watch.shared and watch.around is None:
        evaluate_tensors(tensors)
    edges = [t.edge if isinstance(t, Handle) else None for t in made]
    _, captured, _ = frontier(edges, watch.records)
    if not captured:
        return pytree.unflatten(out_structure, made)
    tracked = [i for i, e in enumerate(edges) if e is not None]
    record = GradRecord(None, (), tuple(captured), tuple(edge_type(e) for e in captured),
                        tuple(made[i].node.type for i in tracked),
                        tuple(v.node for v in frozen if isinstance(v, _Frozen)) or None)
    record.extra = _Again(function, structure, frozen, watch.drawn if preserve_rng_state else None, tracked, captured)
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

    def __init__(self, function: Callable, structure: Any, frozen: list, draws: list | None, tracked: list[int],
                 captured: list[Any]):
        self.function, self.structure, self.frozen, self.draws = function, structure, frozen, draws
        self.tracked, self.captured = tracked, captured

    def release(self) -> None:
        """Forget the arguments."""
        self.frozen = []

    def backward(self, record: GradRecord, gradient: tuple, rules: Any) -> tuple:
        """Gradients of everything outside that the function read."""
        # Read only when the gradient is there, and apart from what the first run read: else both runs would be one.
        arrived = next(g for g in gradient if g is not None)
        token = first_element(arrived.node if isinstance(arrived, Handle) else arrived)
        leaves = [wrap(ops.after(v.node, token), v.edge) if isinstance(v, _Frozen) else v for v in self.frozen]
        args, kwargs = pytree.unflatten(self.structure, leaves)
        with _Watch(self.draws), enable_grad():
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
