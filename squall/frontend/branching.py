"""`sq.cond`: one of two functions, chosen by a value; both are recorded, and the chosen one runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.dtypes import bool_
from squall.base.errors import DtypeError, ShapeError
from squall.frontend.bodies import Body
from squall.frontend.captures import (
    Outside,
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
from squall.frontend.core import as_tensor_operand, plain_number, record
from squall.frontend.evaluation import user_line
from squall.frontend.state import is_grad_enabled
from squall.ir.families import zeros
from squall.ir.graph import Graph
from squall.ir.node import Node
from squall.ir.op import ops


def cond(pred: Any, true_fn: Callable, false_fn: Callable, *operands: Any) -> Any:
    """Call one of two functions, chosen by a value; the other one is not run.

    Args:
        pred: a bool Tensor of one element, or a Python bool, which calls the function at once. true_fn, false_fn:
        take
            the operands and return Tensors in nested containers, both of the same structure, shapes and dtypes. They
            may read Tensors from outside, which get gradients. operands: Tensors in nested containers.

    Returns:
        What the chosen function returns.

    Raises:
        DtypeError: when pred is not one bool. ShapeError, DtypeError: when the results of the two do not agree.

    Example:
        >>> import squall as sq
        >>> x = sq.tensor([3.0, -4.0])
        >>> sq.cond(x.sum() > 0, lambda v: v * 2, lambda v: -v, x).tolist()
        [-3.0, 4.0]
    """
    pred = plain_number(pred)
    if isinstance(pred, bool):
        return (true_fn if pred else false_fn)(*operands)
    if not is_tensor(pred):
        raise DtypeError(
            f"cond: the predicate must be a bool, or a bool Tensor of one element, got {type(pred).__name__}"
        )
    if pred.node.dtype is not bool_ or any(n != 1 for n in pred.node.shape):
        raise DtypeError(
            f"{user_line()}: cond: the predicate must be one bool, got {describe(pred.node)}; compare, or "
            "reduce it with .any() or .all()"
        )
    leaves, structure = pytree.flatten(operands)
    where = [i for i, v in enumerate(leaves) if is_tensor(v) or hasattr(v, "__array__")]
    tensors = [as_tensor_operand(leaves[i]) for i in where]
    types = [t.node.type for t in tensors]
    structures: list[Any] = []

    def calling(function: Callable) -> Callable:
        def call(given: list) -> list:
            values = list(leaves)
            for i, tensor in zip(where, given, strict=True):
                values[i] = tensor
            made = function(*pytree.unflatten(structure, values))
            flat, found = pytree.flatten(made)
            structures.append((found, leaf_names(made)))
            return tensors_of(flat, "cond: the result", leaf_names(made))

        return call

    branches = [Body("cond", calling(f), types, "once") for f in (true_fn, false_fn)]
    _check_branches(branches, structures)
    if pred.node.shape:
        pred = pred.reshape(())
    made = _record_cond(branches, pred, tensors)
    return pytree.unflatten(structures[0][0], list(made))


def _check_branches(branches: list[Body], structures: list) -> None:
    check_structure("cond", "the result of one function", structures[0][0], structures[1][0])
    for a, b, name in zip(branches[0].outputs, branches[1].outputs, structures[0][1], strict=True):
        if a.dtype is not b.dtype or tuple(a.shape) != tuple(b.shape):
            error = ShapeError if a.dtype is b.dtype else DtypeError
            raise error(
                f"{user_line()}: cond: the result{name} of true_fn is {describe(a)}, that of false_fn "
                f"{describe(b)}; both must be alike"
            )


def _record_cond(branches: list[Body], pred: Any, tensors: list) -> Sequence[Any]:
    if not branches[0].outputs:
        return ()
    outside = Outside()
    for body in branches:
        outside.capture(body.trace, body.outputs, list(body.captured.values()))
    has = [t.edge is not None and t.node.dtype.category >= 2 for t in tensors]
    tracked = is_grad_enabled() and (any(has) or any(b.captured for b in branches))
    found: list[tuple[list[Node], dict[int, Node]]] = []
    if tracked:
        if any(b.impure for b in branches):
            stop_tangents()
        for body in branches:
            own = [leaf for leaf, h in zip(body.leaves, has, strict=True) if h]
            captured = list(body.captured.values())
            cotangents, gradients = body.gradients([*own, *captured])
            outside.capture(body.trace, gradients, captured)
            outside.track(body.trace, captured)
            found.append((cotangents, {id(e): g for e, g in zip((*own, *captured), gradients, strict=True)}))
    consts = len(outside.nodes)
    named: dict[str, Any] = {}
    if tracked:
        named["needs"] = (*(t.edge is not None for t in outside.tensors), *has)
    edge_of = {at: edge for edge, at in outside.edges.items()}
    for number, (body, key) in enumerate(zip(branches, ("true", "false"), strict=True)):
        sequence = [*outside.nodes, *body.inputs]
        inputs, _, roots = closed(sequence, body.outputs)
        named[key] = interned(Graph(inputs, roots, f"{key} branch"))
        if tracked:
            cotangents, gradients = found[number]
            at: list[Any] = [edge_of.get(i) for i in range(consts)]
            at += [None if e is None else id(e) for e in body.leaves]
            wanted = [gradients.get(at[i]) for i, need in enumerate(named["needs"]) if need]
            typed = [sequence[i] for i, need in enumerate(named["needs"]) if need]
            parts = [zeros(n.type) if g is None else g for g, n in zip(wanted, typed, strict=True)]
            inputs, more, roots = closed(sequence, parts, cotangents)
            named[f"{key}_back"] = interned(Graph((*inputs, *more), roots, f"backward of {key} branch"))
    made = record(ops.cond, (pred, *outside.tensors, *tensors), ops.cond.pack(named))
    for body in branches:
        evaluate_shared(body, made)
    return made
