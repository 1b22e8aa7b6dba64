"""`sq.scan`: a loop over slices with state, recorded once (`bodies.py`) and compiled once for any number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.dtypes import int64
from squall.base.errors import ShapeError
from squall.frontend.bodies import Body
from squall.frontend.captures import (
    Outside,
    check_like,
    check_structure,
    closed,
    evaluate_shared,
    interned,
    leaf_names,
    stop_tangents,
    tensors_of,
)
from squall.frontend.core import record, wrap
from squall.ir.graph import Graph
from squall.ir.node import Node, tensor_type
from squall.ir.op import constant, ops
from squall.transforms.residuals import cut


def scan(
    f: Callable, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: int = 1
) -> tuple[Any, Any]:
    """Run a function once for each slice of `xs`, handing a state from step to step.

    Means, but recorded and compiled once, whatever the length:

        carry, ys = init, []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, sq.stack(ys)

    Args:
        f: `f(carry, x) -> (carry, y)`; carry, x and y are Tensors in nested containers, the carry of one structure,
            shape and dtype throughout. It may read Tensors from outside, which get gradients, draw random numbers,
            and call modules. init: the first carry. xs: Tensors whose dimension 0 is walked along; None for none.
            length: the number of steps, needed when `xs` is None. reverse: begin with the last slice; y of a slice
            stays in its place. unroll: accepted for JAX's sake: steps are native already, values and speed do not
            depend on it.

    Returns:
        tuple: (last carry, ys stacked along a new dimension 0).

    Raises:
        ShapeError, DtypeError: when a carry changes, or slices do not fit. TraceError: when f asks for a value.

    Example:
        >>> import squall as sq
        >>> def step(total, x):
        ...     total = total + x
        ...     return total, total * 2
        >>> last, ys = sq.scan(step, sq.tensor(0.0), sq.tensor([1.0, 2.0, 3.0]))
        >>> last.item(), ys.tolist()
        (6.0, [2.0, 6.0, 12.0])
    """
    if unroll < 1:
        raise ValueError(f"scan: unroll must be at least 1, got {unroll}")
    starts, carry_structure = pytree.flatten(init)
    slices, xs_structure = pytree.flatten(xs)
    names = leaf_names(init)
    starts = tensors_of(starts, "scan: init", names)
    slices = tensors_of(slices, "scan: xs", leaf_names(xs))
    count = _length(slices, leaf_names(xs), length)
    types = [t.node.type for t in starts]
    types += [tensor_type(tuple(t.node.shape)[1:], t.node.dtype, t.node.device) for t in slices]
    y_structure: list[Any] = []
    step = _flat_step(f, (carry_structure, xs_structure), starts, names, y_structure)
    body = Body("scan", step, types, "each step")
    results = _record_scan(body, starts, slices, count, reverse)
    carry, ys = results[: len(starts)], results[len(starts) :]
    return pytree.unflatten(carry_structure, list(carry)), pytree.unflatten(y_structure[-1], list(ys))


def _flat_step(f: Callable, structures: tuple, starts: list, names: list[str], y_structure: list) -> Callable:
    """The function of flat Tensors; it notes the structure of y."""

    def step(given: list) -> list:
        carry = pytree.unflatten(structures[0], given[: len(starts)])
        made = f(carry, pytree.unflatten(structures[1], given[len(starts) :]))
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError(f"scan: expected the function to return (carry, y), got {type(made).__name__}")
        after, structure = pytree.flatten(made[0])
        check_structure("scan", "the carry's structure", structures[0], structure)
        ys, ys_structure = pytree.flatten(made[1])
        y_structure.append(ys_structure)
        after = tensors_of(after, "scan: the carry", names)
        check_like("scan", [t.node for t in starts], [t.node for t in after], names)
        return [*after, *tensors_of(ys, "scan: y", leaf_names(made[1]))]

    return step


def _length(slices: list, names: list[str], length: Any) -> Any:
    found = length
    for tensor, name in zip(slices, names, strict=True):
        shape = tuple(tensor.node.shape)
        if not shape:
            raise ShapeError(f"scan: xs{name} has no dimension to walk along; it is zero-dimensional")
        if found is None:
            found = shape[0]
        elif shape[0] != found:
            wanted = f"length={length}" if length is not None else f"xs{names[0]} has {found}"
            raise ShapeError(f"scan: xs{name} has {shape[0]} slices along dimension 0, but {wanted}")
    if found is None:
        raise ShapeError("scan: without xs the number of steps is not known: give length")
    if isinstance(found, int) and found < 0:
        raise ShapeError(f"scan: length must not be negative, got {found}")
    return found


def _record_scan(body: Body, starts: list, slices: list, length: Any, reverse: bool) -> list:
    """Record the op on Tensors, with what backward needs if something has history."""
    first = len(starts)
    streams = list(body.trace.streams.values())
    sequence = [*body.inputs[:first], *(s[2].node for s in streams), *body.inputs[first:]]
    leaves = [*body.leaves[:first], *(None for _ in streams), *body.leaves[first:]]
    starts = [*starts, *(wrap(s[1]) for s in streams)]
    carries = len(starts)
    after = [ops.add(s[2].node, constant(s[3], int64)) for s in streams]
    outputs = [*body.outputs[:first], *after, *body.outputs[first:]]
    for s in streams:
        generator, used = s[0], s[3]
        generator.take(used * 4 * length)
    operands = [*starts, *slices]
    given = {id(leaf) for leaf, t in zip(leaves, operands, strict=True) if leaf is not None and t.edge is not None}
    needed = _needed(body, leaves, given, first)
    outside = Outside()
    named: dict[str, Any] = {"carries": carries, "length": length, "reverse": reverse}
    if not needed:
        outside.capture(body.trace, outputs)
        inputs, _, roots = closed([*outside.nodes, *sequence], outputs)
        named.update(body=interned(Graph(inputs, roots, "body")))
    else:
        _differentiable(body, outside, sequence, leaves, outputs, needed, carries, named)
    consts = len(outside.nodes)
    made = record(ops.scan, (*outside.tensors, *operands), ops.scan.pack({**named, "consts": consts}))
    saved = named.get("saved", 0)
    evaluate_shared(body, made)
    made = made[: len(made) - saved]
    return [*made[:first], *made[carries:]]


def _needed(body: Body, leaves: list, given: set[int], carries: int) -> set[int]:
    """Edges that get gradients: those with history outside, what is captured, and carries that come to depend on
    them."""
    found = given | set(body.captured)
    if not found:
        return found
    while True:
        more = {id(leaves[j]) for j in range(carries) if leaves[j] is not None and body.reach[j] & found} - found
        if not more:
            return found
        found |= more


def _differentiable(
    body: Body,
    outside: Outside,
    sequence: list,
    leaves: list,
    outputs: list,
    needed: set[int],
    carries: int,
    named: dict,
) -> None:
    """Fill in a scan's attributes so that it saves what its backward reads."""
    if body.impure:
        stop_tangents()
    own = [leaf for leaf in leaves if leaf is not None and id(leaf) in needed]
    captured = list(body.captured.values())
    cotangents, gradients = body.gradients([*own, *captured])
    outside.capture(body.trace, [*outputs, *gradients], captured)
    outside.track(body.trace, captured)
    consts = len(outside.nodes)
    inputs, arrived, roots = closed([*outside.nodes, *sequence], [*outputs, *gradients], cotangents)
    forward = Graph(inputs, roots[: len(outputs)], "body")
    by_input: dict[int, Node] = {}
    for leaf, gradient in zip((*own, *captured), roots[len(outputs) :], strict=True):
        at = outside.edges[id(leaf)] if id(leaf) in outside.edges else consts + _position(leaves, leaf)
        by_input[at] = gradient
    order = sorted(by_input)
    parts = cut([by_input[i] for i in order], arrived, forward, consts, carries)
    named.update(
        body=interned(Graph(inputs, (*forward.outputs, *parts.saved), "body")),
        saved=len(parts.saved),
        pullback=interned(parts.pullback),
        sources=parts.sources,
        needs=tuple(i in by_input for i in range(len(inputs))),
    )


def _position(leaves: list, leaf: Any) -> int:
    return next(i for i, known in enumerate(leaves) if known is leaf)
