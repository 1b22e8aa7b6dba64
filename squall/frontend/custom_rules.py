"""`custom_vjp`: functions whose gradient the user gives by a pair of functions, under JAX's names.

What the forward rule computes has no history, so nothing but the residuals is kept. Where gradients are differentiated
again, it runs once more with history. `custom_linear.py` has the forward kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.errors import AutogradError, ShapeError
from squall.frontend.core import Handle, wrap
from squall.frontend.custom_calls import (
    Closure,
    CustomFunction,
    Given,
    attach,
    cotangents_of,
    refusals,
    refused,
    tensor_leaves,
)
from squall.frontend.lifting import edge_type
from squall.frontend.state import enable_grad, no_grad
from squall.frontend.tape import GradRecord, NodeRules
from squall.ir.node import Node


class custom_vjp(CustomFunction):
    """A function whose gradient is given by a pair of functions, as in JAX: `f.defvjp(forward, backward)`.

    Args:
        fun: takes and gives Tensors in nested containers. nondiff_argnums: positions of arguments that are not
            differentiated by, such as functions and settings; backward gets them first.

    `forward(*args)` gives (output, residuals): the residuals are whatever backward needs. `backward(*nondiff,
    residuals, cotangents)` gives one gradient an argument in a tuple, in the argument's containers; None stands for
    zeros. Both may be differentiated in turn. Forward mode works too, by transposing.

    Raises:
        AutogradError: in backward, when a tensor from outside would need a gradient. ShapeError: when a gradient does
            not have its argument's shape.

    Example:
        >>> import squall as sq
        >>> @sq.func.custom_vjp
        ... def clipped(x):
        ...     return x * 1.0
        >>> clipped.defvjp(lambda x: (x * 1.0, None), lambda _, g: (g.clamp(-1.0, 1.0),))
        >>> sq.func.grad(lambda x: (clipped(x) * 5).sum())(sq.ones(2))
        tensor([1., 1.])
    """

    kind, missing = "custom_vjp", "defvjp(forward, backward)"
    forward: Callable | None = None
    pull: Callable | None = None

    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """Give the rule: forward with residuals, and backward."""
        self.forward, self.pull = fwd, bwd

    def has_rule(self) -> bool:
        """Whether the rule was given."""
        return self.forward is not None

    def run(self, given: Given, watch: Closure, history: bool) -> tuple:
        """(flat outputs, their structure, flat residuals, their structure)."""
        assert self.forward is not None
        with watch, enable_grad() if history else no_grad():
            made = self.forward(*given.all(given.stand_ins(history)))
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(
                f"custom_vjp: expected the forward rule of {self.label} to give (output, residuals), got "
                f"{type(made).__name__}"
            )
        outputs, structure = tensor_leaves(made[0], f"custom_vjp: expected the forward rule of {self.label}")
        return outputs, structure, *pytree.flatten(made[1])

    def apply(self, given: Given) -> Any:
        """Call in grad mode."""
        if not given.tracked:
            return self.value(given)
        watch = Closure()
        outputs, structure, residuals, packing = self.run(given, watch, False)
        captured = watch.captured(set())
        edges = [*given.edges, *refused(captured, "custom_vjp")]
        kept = [r.node if isinstance(r, Handle) else r for r in residuals]
        saved = [n for n in (*given.nodes, *kept) if n.__class__ is Node]
        rule = _Pulled(self, given, kept, (structure, packing), watch.drawn)
        types = tuple(map(edge_type, edges))
        return pytree.unflatten(structure, attach(outputs, edges, types, saved, rule, watch))


class _Pulled:
    """The rule of a `custom_vjp`'s record: the user's backward."""

    def __init__(self, function: custom_vjp, given: Given, kept: list, structures: tuple, drawn: list):
        self.function, self.given, self.kept, self.structures = function, given, kept, structures
        self.drawn, self.name = drawn, function.label

    def release(self) -> None:
        """Forget the arguments and residuals."""
        self.kept = []

    def backward(self, record: GradRecord, gradient: tuple, rules: Any) -> tuple:
        """Gradients of the arguments with history."""
        function, given = self.function, self.given
        structure, packing = self.structures
        nodes = rules is NodeRules
        residuals = [wrap(r) if r.__class__ is Node else r for r in self.kept]
        if not nodes:  # the values are known; only their history is wanted
            _, _, again, found = function.run(given, Closure(self.drawn), True)
            if found != packing:
                raise AutogradError(
                    f"custom_vjp: the forward rule of {self.name} gave other residuals when it ran again"
                )
            residuals = [
                wrap(r, a.edge) if r.__class__ is Node else a for r, a in zip(self.kept, again, strict=True)
            ]
        cotangents = pytree.unflatten(structure, cotangents_of(record, gradient))
        assert function.pull is not None
        made = function.pull(*given.others, pytree.unflatten(packing, residuals), cotangents)
        parts = self._parts(made)
        out = [self._fitted(i, parts[i]) for i in given.tracked]
        out = [p if p is None or not nodes else p.node for p in out]
        return (*out, *refusals(record.types[len(out) :], rules))

    def _parts(self, made: Any) -> list:
        """One gradient or None a leaf of the arguments."""
        count = len(self.given.chosen)
        if not isinstance(made, (tuple, list)) or len(made) != count:
            got = f"{len(made)}" if isinstance(made, (tuple, list)) else type(made).__name__
            raise TypeError(
                f"custom_vjp: expected the backward rule of {self.name} to give a tuple of {count} gradients, "
                f"one an argument, got {got}"
            )
        try:
            return pytree.flatten_up_to(self.given.structure, tuple(made))
        except ValueError as error:
            raise TypeError(
                f"custom_vjp: the backward rule of {self.name} must give gradients in the containers of the "
                f"arguments: {error}"
            ) from None

    def _fitted(self, leaf: int, part: Any) -> Any:
        node = self.given.nodes[leaf]
        if part is None or node is None:
            return None
        if not isinstance(part, Handle):
            raise TypeError(
                f"custom_vjp: expected the backward rule of {self.name} to give Tensors or None, got "
                f"{type(part).__name__}"
            )
        if tuple(part.node.shape) != tuple(node.shape):
            raise ShapeError(
                f"custom_vjp: the backward rule of {self.name} gave a gradient of shape "
                f"{list(part.node.shape)} for an argument of shape {list(node.shape)}"
            )
        return part
