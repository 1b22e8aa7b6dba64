"""`sq.while_loop`: a function run from state to state while a condition on the state holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.dtypes import bool_
from squall.base.errors import ArgumentError, DtypeError
from squall.frontend.bodies import Body
from squall.frontend.branching import cond
from squall.frontend.captures import (
    Outside,
    check_like,
    check_structure,
    closed,
    describe,
    evaluate_shared,
    interned,
    is_tensor,
    leaf_names,
    stop_tangents,
    tensors_of,
)
from squall.frontend.core import record, wrap
from squall.frontend.evaluation import user_line
from squall.frontend.scanning import scan
from squall.frontend.state import is_grad_enabled
from squall.ir.graph import Graph
from squall.ir.op import constant, ops


def while_loop(cond_fn: Callable, body_fn: Callable, init: Any = None, max_iterations: int | None = None, *,
               carried_inputs: Any = None) -> Any:
    """Run a function from state to state while a condition on the state holds.

    Args:
        cond_fn: `cond_fn(carry)` gives a bool Tensor of one element. body_fn: `body_fn(carry)` gives the next carry,
        of
            the same structure, shapes and dtypes. Both may read Tensors from outside. init: the first carry: Tensors
            in nested containers. max_iterations: stop after so many steps at the latest. Gradients (`backward`,
            `grad`) need it, since they keep every step; `jvp` does not. carried_inputs: in the place of init, as
            PyTorch has it: a tuple whose parts the functions take as arguments of their own.

    Returns:
        The carry for which the condition does not hold.

    Raises:
        ShapeError, DtypeError: when the carry changes, or the condition is not one bool. AutogradError: in backward,
            without max_iterations.

    Example:
        >>> import squall as sq
        >>> sq.while_loop(lambda c: c[0] < 100, lambda c: (c[0] * 2, c[1] + 1), (sq.tensor(3), sq.tensor(0)))
        (tensor(192), tensor(6))
    """
    if carried_inputs is not None:
        if init is not None:
            raise ArgumentError("while_loop: give init or carried_inputs, not both")
        return while_loop(lambda carry: cond_fn(*carry), lambda carry: tuple(body_fn(*carry)), tuple(carried_inputs),
                          max_iterations)
    if init is None:
        raise TypeError("while_loop() missing 1 required positional argument: 'init'")
    if max_iterations is not None and max_iterations < 0:
        raise ValueError(f"while_loop: max_iterations must not be negative, got {max_iterations}")
    leaves, structure = pytree.flatten(init)
    names = leaf_names(init)
    starts = tensors_of(leaves, "while_loop: init", names)
    types = [t.node.type for t in starts]

    test, step = _flat_functions(cond_fn, body_fn, structure, starts, names)
    condition, body = Body("while_loop", test, types, "refused"), Body("while_loop", step, types, "refused")
    tracked = is_grad_enabled() and (any(t.edge is not None for t in starts) or bool(body.captured))
    if tracked and max_iterations is not None:
        return _bounded(test, step, starts, structure, max_iterations)
    if tracked and body.impure:
        stop_tangents()
    outside = Outside()
    outside.capture(condition.trace, condition.outputs)
    outside.capture(body.trace, body.outputs)
    outside.track(body.trace, list(body.captured.values()))
    graphs = []
    for part in (condition, body):
        inputs, _, roots = closed([*outside.nodes, *part.inputs], part.outputs)
        graphs.append(interned(Graph(inputs, roots, part.name)))
    named = {"condition": graphs[0], "body": graphs[1], "consts": len(outside.nodes), "limit": max_iterations}
    made = record(ops.while_loop, (*outside.tensors, *starts), ops.while_loop.pack(named))
    evaluate_shared(body, made)
    return pytree.unflatten(structure, list(made))


def _flat_functions(cond_fn: Callable, body_fn: Callable, structure: Any, starts: list, names: list[str]) -> tuple:
    """Condition and body of flat Tensors, checked."""

    def test(given: list) -> list:
        made = cond_fn(pytree.unflatten(structure, given))
        made = wrap(constant(made, bool_)) if isinstance(made, bool) else made
        if not is_tensor(made) or made.node.dtype is not bool_ or any(n != 1 for n in made.node.shape):
            got = describe(made.node) if is_tensor(made) else type(made).__name__
            raise DtypeError(f"{user_line()}: while_loop: cond_fn must give one bool, got {got}")
        return [made.reshape(()) if made.node.shape else made]

    def step(given: list) -> list:
        after, found = pytree.flatten(body_fn(pytree.unflatten(structure, given)))
        check_structure("while_loop", "the carry's structure", structure, found)
        after = tensors_of(after, "while_loop: the carry", names)
        check_like("while_loop", [t.node for t in starts], [t.node for t in after], names)
        return after

    return test, step


def _bounded(test: Callable, step: Callable, starts: list, structure: Any, limit: int) -> Any:
    """The loop as a scan over its limit, whose steps do nothing once the condition fails."""

    def advance(state: tuple, _: Any) -> tuple:
        going, carry = state
        going = going & test(carry)[0]
        return (going, cond(going, lambda *c: step(list(c)), lambda *c: list(c), *carry)), None

    (_, carry), _ = scan(advance, (wrap(constant(True, bool_)), list(starts)), None, length=limit)
    return pytree.unflatten(structure, list(carry))
