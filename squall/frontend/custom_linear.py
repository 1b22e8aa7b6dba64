"""`custom_jvp`: functions whose derivative the user gives in forward mode, for both modes.

The rule runs when the function is called, on tangents that have nothing but a history; what pulls back along that
is the gradient. Where gradients are differentiated again it runs once more, on arguments that have history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.errors import ShapeError
from squall.frontend.checkpointing import Watch
from squall.frontend.core import Handle, cast, wrap
from squall.frontend.custom_calls import (
    Closure,
    CustomFunction,
    Given,
    attach,
    cotangents_of,
    plain,
    refusals,
    refused,
    tensor_leaves,
)
from squall.frontend.lifting import edge_type
from squall.frontend.state import enable_grad, local
from squall.frontend.tape import GradRecord, Leaf, NodeRules, run_backward
from squall.ir.families import zeros
from squall.ir.node import Node


class custom_jvp(CustomFunction):
    """A function whose derivative is given in forward mode, as in JAX: `@f.defjvp`. It serves reverse mode as well.

    Args:
        fun: takes and gives Tensors in nested containers. nondiff_argnums: positions of arguments that are not
            differentiated by, such as functions and settings; the rule gets them first.

    The rule `jvp(*nondiff, primals, tangents)` gets two tuples and gives (output, tangent of the output), the tangent
    linear in the tangents. It may be differentiated in turn.

    Raises:
        AutogradError: in backward, when a tensor from outside would need a gradient. ShapeError: when a tangent does
            not have its output's shape.

    Example:
        >>> import squall as sq
        >>> @sq.func.custom_jvp
        ... def log1pexp(x):
        ...     return (1 + x.exp()).log()
        >>> @log1pexp.defjvp
        ... def rule(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return log1pexp(x), t * (1 - 1 / (1 + x.exp()))
        >>> sq.func.grad(log1pexp)(sq.tensor(100.0)).item()
        1.0
    """

    kind, missing = "custom_jvp", "defjvp(rule)"
    rule: Callable | None = None

    def defjvp(self, jvp: Callable) -> Callable:
        """Give the rule; may be used as a decorator.

        Args:
            jvp: `jvp(*nondiff, primals, tangents)`, giving (output, tangent of the output).
        """
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Callable | None) -> None:
        """Give one function `jvp(tangent, output, *primals)` an argument, whose results are added; None for zero.

        Example:
            >>> import squall as sq
            >>> product = sq.func.custom_jvp(lambda x, y: x * y)
            >>> product.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: x * t)
            >>> sq.func.grad(product)(sq.tensor(2.0), sq.tensor(3.0)).item()
            3.0
        """
        if self.nondiff_argnums:
            raise TypeError("custom_jvp: defjvps cannot be used with nondiff_argnums; use defjvp")

        def jvp(primals: tuple, tangents: tuple) -> tuple:
            output = self(*primals)
            given = [
                rule(t, output, *primals) for rule, t in zip(jvps, tangents, strict=True) if rule is not None
            ]
            if not given:
                return output, pytree.map_leaves(lambda o: wrap(zeros(o.node.type)), output)
            total = given[0]
            for part in given[1:]:
                total = pytree.map_leaves(lambda a, b: a + b, total, part)
            return output, total

        self.rule = jvp

    def has_rule(self) -> bool:
        """Whether the rule was given."""
        return self.rule is not None

    def run(self, given: Given, watch: Watch, history: bool) -> tuple:
        """(flat outputs, their structure, their flat tangents, leaves of the tangents of tracked arguments)."""
        assert self.rule is not None
        leaves: list[Leaf] = []
        moves: list[Any] = []
        for i, node in enumerate(given.nodes):
            if node is None:
                moves.append(None)
                continue
            leaf = None
            if i in given.tracked:
                leaf = Leaf(node.type)
                leaves.append(leaf)
            moves.append(wrap(zeros(node.type), leaf))
        with watch, enable_grad():
            if local.state.trace is not None:
                local.state.trace.made(tuple(m for m in moves if m is not None))
            tangents = pytree.unflatten(given.structure, moves)
            made = self.rule(*given.others, given.stand_ins(history), tangents)
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError(
                f"custom_jvp: expected the rule of {self.label} to give (output, tangent), got "
                f"{type(made).__name__}"
            )
        outputs, structure = tensor_leaves(made[0], f"custom_jvp: expected the rule of {self.label}")
        try:
            found = pytree.flatten_up_to(structure, made[1])
        except ValueError as error:
            raise TypeError(
                f"custom_jvp: the rule of {self.label} must give a tangent in the containers of the output: "
                f"{error}"
            ) from None
        return outputs, structure, [self._fitted(t, o) for t, o in zip(found, outputs, strict=True)], leaves

    def _fitted(self, tangent: Any, output: Any) -> Any:
        if output.node.dtype.category < 2 or tangent is None:
            return None
        if not isinstance(tangent, Handle) or tuple(tangent.node.shape) != tuple(output.node.shape):
            got = (
                f"of shape {list(tangent.node.shape)}"
                if isinstance(tangent, Handle)
                else type(tangent).__name__
            )
            raise ShapeError(
                f"custom_jvp: the rule of {self.label} gave a tangent {got} for an output of shape "
                f"{list(output.node.shape)}"
            )
        return tangent if tangent.node.dtype is output.node.dtype else cast(tangent, output.node.dtype)

    def apply(self, given: Given) -> Any:
        """Call in grad mode."""
        if not given.tracked:
            return self.value(given)
        watch = Closure()
        outputs, structure, tangents, leaves = self.run(given, watch, False)
        own = set(map(id, leaves))
        edges = [*given.edges, *refused(watch.captured(own), "custom_jvp")]
        rule = _Pushed(self, given, tangents, leaves, watch.drawn)
        saved = [*(n for n in given.nodes if n is not None), *rule.saved()]
        types = tuple(map(edge_type, edges))
        made = attach(plain(outputs), edges, types, saved, rule, watch)
        return pytree.unflatten(structure, made)


class _Pushed:
    """The rule of a `custom_jvp`'s record: back along the history that its tangents left."""

    def __init__(self, function: custom_jvp, given: Given, tangents: list, leaves: list[Leaf], drawn: list):
        self.function, self.given, self.drawn, self.name = function, given, drawn, function.label
        self.edges = [None if t is None else t.edge for t in tangents]
        self.leaves = leaves

    def saved(self) -> list[Node]:
        """The values that the way back reads."""
        out: list[Node] = []
        seen: set[int] = set()
        stack = [e for e in self.edges if e is not None]
        while stack:
            edge = stack.pop()
            if edge.__class__ is GradRecord and id(edge) not in seen:
                seen.add(id(edge))
                out.extend(edge.saved_nodes())
                stack.extend(e for e in edge.edges if e is not None)
        return out

    def release(self) -> None:
        """Forget the way back."""
        self.edges = []

    def backward(self, record: GradRecord, gradient: tuple, rules: Any) -> tuple:
        """Gradients of the arguments with history."""
        nodes = rules is NodeRules
        edges, leaves = self.edges, self.leaves
        if not nodes:
            _, _, tangents, leaves = self.function.run(self.given, Closure(self.drawn), True)
            edges = [None if t is None else t.edge for t in tangents]
        arrived = [g.node if nodes else g for g in cotangents_of(record, gradient)]
        pairs = [(e, g) for e, g in zip(edges, arrived, strict=True) if e is not None]
        wanted = {id(leaf): leaf for leaf in leaves}
        found = run_backward(
            [e for e, _ in pairs], [g for _, g in pairs], rules, _ignore, True, wanted, None, set(wanted)
        )
        out = [found.get(id(leaf)) for leaf in leaves]
        return (*out, *refusals(record.types[len(out) :], rules))


def _ignore(leaf: Leaf, gradient: Any) -> None:
    """Gradients are returned, not gathered."""
