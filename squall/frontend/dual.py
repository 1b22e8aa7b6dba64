"""Forward mode as a state of the thread: dual Tensors inside a level, under `sq.autograd.forward_ad`.

While a level is open, what is recorded is noted (`forward.py`), and a tangent is pushed along it when it is asked for.
So tangents cost nothing until then, and reverse mode inside a level is pushed along like anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from squall.base.errors import AutogradError, DtypeError, ShapeError
from squall.frontend.core import Handle, result, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.forward import Forward, fresh_node
from squall.frontend.passing import Passing
from squall.frontend.state import is_grad_enabled, local
from squall.frontend.tape import GradRecord
from squall.ir.node import Node, SharedType
from squall.ir.op import ops


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` gives: the value, and its tangent or None."""

    primal: Any
    tangent: Any


class DualLevel(Forward):
    """The thread's trace while a level is open.

    Attributes:
        seeds: tangents of the Tensors that were made dual, by the ids of their Nodes.
    """

    def __init__(self) -> None:
        super().__init__(())
        self.seeds: dict[int, Node | None] = {}

    def seed(self, node: Node, tangent: Node | None) -> None:
        """A Node whose tangent is given; None if it has none, whatever it was made of."""
        self.seeds[id(node)] = tangent
        self._carries[id(node)] = tangent is not None
        self._kept.append(node)

    def tangents(self, nodes: Sequence[Node]) -> list[Node | None]:
        """The tangents of values, which have none themselves; None where nothing that is dual reaches."""
        if not any([self.carries(n) for n in nodes]):  # noqa: C419 - each of them is noted
            return [None] * len(nodes)
        found = self.push_from({i: t for i, t in self.seeds.items() if t is not None}, nodes)
        own = [None if t is None else fresh_node(t) for t in found]
        for node in own:
            if node is not None:
                self.seed(node, None)
        return own

    # ------------------------------------------------------------ told by recording
    def saw(self, operands: tuple, nodes: tuple) -> None:
        """Tensors are being read: tangents do not ask for their history."""
        self.shared = self.shared or any(n.type.__class__ is SharedType for n in nodes)
        Passing.saw(self, operands, nodes)

    def made(self, tensors: Any) -> None:
        """Results were recorded."""
        for tensor in tensors if tensors.__class__ is tuple else (tensors,):
            self.carries(tensor.node)
        Passing.made(self, tensors)

    def batches(self) -> None:
        """A function is being traced per element inside: what it leaves are Nodes like others."""
        Passing.batches(self)

    def evaluates(self, nodes: Sequence[Node]) -> bool:
        """Evaluate what is asked for."""
        self.note_pending()
        return super().evaluates(nodes)

    def note_pending(self) -> None:
        """Note all that will be evaluated: Nodes then forget how they were made."""
        for reference in local.state.pending:
            holder = reference()
            node = None if holder is None else getattr(holder, "_node", None)
            if node is not None and node.buffer is None:
                self.carries(node)

    def detached(self, tensor: Any) -> Any:
        """A Tensor without history has no tangent either: the same value, in storage of its own."""
        if not self.carries(tensor.node):
            return None if self.around is None else self.around.detached(tensor)
        node = fresh_node(tensor.node)
        self.seed(node, None)
        return result(node)

    def shares(self, tensor: Any) -> bool:
        """Whether NumPy may see the memory of a Tensor: of those without a tangent, which could not follow writes."""
        self.note_pending()
        return self.around is None and not self.carries(tensor.node)

    def custom(self, function: Any, context: Any, nodes: tuple, outputs: tuple) -> tuple:
        """Results of a Function get the tangents that its own `jvp` says."""
        found = iter(self.tangents([n for n in nodes if n is not None]))
        tangents = [None if n is None else next(found) for n in nodes]
        if all(t is None for t in tangents):
            return super().custom(function, context, nodes, outputs)
        if function.jvp is None:
            raise AutogradError(f"Trying to use forward AD with {function.__name__} that does not support it because "
                                "it has not been implemented yet: give it a static jvp(ctx, *tangents)")
        moved = function.jvp(context, *(None if t is None else result(t) for t in tangents))
        moved = tuple(moved) if isinstance(moved, (tuple, list)) else (moved,)
        if len(moved) != len(outputs):
            raise AutogradError(f"{function.__name__}.jvp: expected {len(outputs)} tangents, one an output, got "
                                f"{len(moved)}")
        return tuple([self._moving(o, t) for o, t in zip(outputs, moved, strict=True)])

    def _moving(self, output: Any, tangent: Any) -> Any:
        """An output with a tangent of its own (or without one)."""
        if not isinstance(output, Handle) or output.node.dtype.category < 2:
            return output
        output = output if output._cell is None else result(output.node)
        output._node = fresh_node(output._node)
        self.seed(output._node, None if tangent is None else tangent.node)
        return output


def _level() -> DualLevel | None:
    """The open level, in or around what runs now."""
    trace = local.state.trace
    while isinstance(trace, Passing):
        if isinstance(trace, DualLevel):
            return trace
        trace = trace.around
    return None


class dual_level:
    """A context in which Tensors may be dual: `with dual_level(): ...`. Tangents are gone when it ends.

    Raises:
        AutogradError: inside another level, as in PyTorch; derivatives of derivatives are `sq.func.jvp` of `jvp`.

    Example:
        >>> import squall as sq
        >>> import squall.autograd.forward_ad as forward
        >>> with forward.dual_level():
        ...     x = forward.make_dual(sq.tensor(3.0), sq.tensor(1.0))
        ...     forward.unpack_dual(x * x).tangent.item()
        6.0
    """

    def __init__(self) -> None:
        self.level = DualLevel()

    def __enter__(self) -> DualLevel:
        return enter_dual_level(self.level)

    def __exit__(self, *error: Any) -> None:
        exit_dual_level(level=self.level)


def enter_dual_level(level: DualLevel | None = None) -> DualLevel:
    """Open a level; `exit_dual_level` closes it. Prefer `with dual_level()`."""
    if _level() is not None:
        raise AutogradError("dual_level: another level is open, and levels do not nest: take sq.func.jvp of a function "
                            "that calls sq.func.jvp")
    level = DualLevel() if level is None else level
    return level.__enter__()


def exit_dual_level(*, level: DualLevel | None = None) -> None:
    """Close the level opened last: what was recorded inside has no tangents any more.

    Raises:
        AutogradError: when none is open, or another one was opened since.
    """
    current = local.state.trace
    if not isinstance(current, DualLevel) or level not in (None, current):
        raise AutogradError("Trying to exit a forward AD level that was not the last one that was created.")
    current.__exit__()
    if current.shared and local.state.trace is None:  # before somebody writes that memory
        evaluate_tensors([wrap(n) for n, _ in current._recorded.values() if n.buffer is None])


def make_dual(tensor: Any, tangent: Any, *, level: DualLevel | None = None) -> Any:
    """A Tensor of the same value (and history) that carries a tangent, inside a `dual_level`.

    Args:
        tensor: floating or complex. tangent: of its shape and dtype. level: the innermost one.

    Returns:
        Tensor: what is computed from it carries tangents, which `unpack_dual` gives. Unlike in PyTorch it has storage
        of its own: in-place writes do not reach `tensor`.

    Raises:
        AutogradError: outside of a level. DtypeError: for whole numbers, and a tangent of another dtype. ShapeError:
        for a tangent of another shape.
    """
    found = _level()
    if found is None:
        raise AutogradError("Trying to create a dual Tensor for forward AD but no level exists, make sure to "
                            "enter_dual_level() first.")
    node, moved = tensor.node, tangent.node
    if node.dtype.category < 2:
        raise DtypeError(f"make_dual: expected a floating or complex primal, got {node.dtype}")
    if moved.dtype is not node.dtype:
        raise DtypeError(f"make_dual: expected a tangent of the primal's dtype {node.dtype}, got {moved.dtype}")
    if tuple(moved.shape) != tuple(node.shape):
        raise ShapeError("make_dual: Trying to set a forward gradient that has a different size than that of the "
                         f"original Tensor: {list(moved.shape)} for {list(node.shape)}")
    fresh = _again(tensor)
    found.seed(fresh.node, moved)
    return fresh


def _again(tensor: Any) -> Any:
    """The value and the history of a Tensor on a Node of its own."""
    node, edge = fresh_node(tensor.node), tensor.edge
    if edge is None or not is_grad_enabled():
        return result(node)
    return result(node, GradRecord(ops.reshape, (tuple(node.shape),), (edge,), (node.type,), node.type))


def unpack_dual(tensor: Any, *, level: DualLevel | None = None) -> UnpackedDualTensor:
    """(primal, tangent) of a Tensor: its value without the tangent, and the tangent, or None when it carries none.

    Outside of a level nothing carries a tangent.
    """
    found = _level()
    tangent = None if found is None else found.tangents([tensor.node])[0]
    if found is None or tangent is None:
        return UnpackedDualTensor(tensor, None)
    primal = _again(tensor)
    found.seed(primal.node, None)
    return UnpackedDualTensor(primal, result(tangent))


__all__ = ["DualLevel", "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual",
           "unpack_dual"]
