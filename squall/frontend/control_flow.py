"""`sq.scan`, `sq.cond`, `sq.while_loop`: loops and choices on values, part of the program instead of Python's.

The functions they take are recorded once (`bodies.py`) and compiled once, however many steps there are; nothing in
Python runs between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from squall.base import pytree
from squall.base.dtypes import bool_, default_dtype, int64
from squall.base.errors import DtypeError, ShapeError
from squall.frontend.bodies import Body, Outside, closed, interned, is_tensor, leaf_names, stop_tangents
from squall.frontend.core import as_tensor_operand, operand, plain_number, record, wrap
from squall.frontend.evaluation import evaluate_tensors, user_line
from squall.frontend.state import is_grad_enabled, local
from squall.ir.families import zeros
from squall.ir.graph import Graph
from squall.ir.node import Node, tensor_type
from squall.ir.op import constant, ops
from squall.transforms.residuals import cut


def _tensors(leaves: Sequence[Any], what: str, names: Sequence[str]) -> list[Any]:
    """Leaves as Tensors; Python numbers become zero-dimensional ones."""
    out = []
    for leaf, name in zip(leaves, names, strict=True):
        leaf = plain_number(leaf)
        if isinstance(leaf, (bool, int, float)):
            dtype = bool_ if isinstance(leaf, bool) else int64 if isinstance(leaf, int) else default_dtype()
            out.append(wrap(constant(leaf, dtype)) if isinstance(leaf, bool) else operand(leaf, dtype))
            continue
        try:
            out.append(as_tensor_operand(leaf))
        except TypeError:
            raise TypeError(
                f"{what}{name}: expected a Tensor, an array or a number, got {type(leaf).__name__}"
            ) from None
    return out


def _describe(node: Any) -> str:
    return f"{node.dtype} of shape {list(node.shape)}"


def _check_like(function: str, before: Sequence[Any], after: Sequence[Any], names: Sequence[str]) -> None:
    """Every carry keeps its shape and dtype."""
    for a, b, name in zip(before, after, names, strict=True):
        if a.dtype is not b.dtype:
            raise DtypeError(
                f"{user_line()}: {function}: the carry{name} was {_describe(a)} and became {_describe(b)}; a carry "
                f"keeps its dtype: cast it with .to({a.dtype}), or start with one of {b.dtype}"
            )
        if tuple(a.shape) != tuple(b.shape):
            raise ShapeError(
                f"{user_line()}: {function}: the carry{name} was {_describe(a)} and became {_describe(b)}; a carry "
                "keeps its shape"
            )


def _check_structure(function: str, what: str, before: Any, after: Any) -> None:
    if before != after:
        shown = [repr(pytree.unflatten(s, ["*"] * _leaves_of(s))).replace("'*'", "*") for s in (before, after)]
        raise ShapeError(
            f"{user_line()}: {function}: {what} was {shown[0]} and became {shown[1]}; it must stay the same"
        )


def _leaves_of(structure: Any) -> int:
    return 1 if structure.type is None else sum(map(_leaves_of, structure.children))


# ---------------------------------------------------------------- scan
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
    starts = _tensors(starts, "scan: init", names)
    slices = _tensors(slices, "scan: xs", leaf_names(xs))
    count = _length(slices, leaf_names(xs), length)
    types = [t.node.type for t in starts]
    types += [tensor_type(tuple(t.node.shape)[1:], t.node.dtype, t.node.device) for t in slices]
    y_structure: list[Any] = []

    def step(given: list) -> list:
        carry = pytree.unflatten(carry_structure, given[: len(starts)])
        made = f(carry, pytree.unflatten(xs_structure, given[len(starts) :]))
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError(f"scan: expected the function to return (carry, y), got {type(made).__name__}")
        after, structure = pytree.flatten(made[0])
        _check_structure("scan", "the carry's structure", carry_structure, structure)
        ys, ys_structure = pytree.flatten(made[1])
        y_structure.append(ys_structure)
        after = _tensors(after, "scan: the carry", names)
        _check_like("scan", [t.node for t in starts], [t.node for t in after], names)
        return [*after, *_tensors(ys, "scan: y", leaf_names(made[1]))]

    body = Body("scan", step, types, "each step")
    results = _record_scan(body, starts, slices, count, reverse)
    carry, ys = results[: len(starts)], results[len(starts) :]
    return pytree.unflatten(carry_structure, list(carry)), pytree.unflatten(y_structure[-1], list(ys))


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
    _evaluate_shared(body, made)
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
    outside.capture(body.trace, [*outputs, *gradients])
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


def _evaluate_shared(body: Body, made: Sequence[Any]) -> None:
    """Reads of memory that NumPy can write happen before the call returns."""
    if body.trace.shared and local.state.trace is None:
        evaluate_tensors([t for t in made if t.node.buffer is None])


# ---------------------------------------------------------------- cond
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
            f"{user_line()}: cond: the predicate must be one bool, got {_describe(pred.node)}; compare, or "
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
            return _tensors(flat, "cond: the result", leaf_names(made))

        return call

    branches = [Body("cond", calling(f), types, "once") for f in (true_fn, false_fn)]
    _check_branches(branches, structures)
    if pred.node.shape:
        pred = pred.reshape(())
    made = _record_cond(branches, pred, tensors)
    return pytree.unflatten(structures[0][0], list(made))


def _check_branches(branches: list[Body], structures: list) -> None:
    _check_structure("cond", "the result of one function", structures[0][0], structures[1][0])
    for a, b, name in zip(branches[0].outputs, branches[1].outputs, structures[0][1], strict=True):
        if a.dtype is not b.dtype or tuple(a.shape) != tuple(b.shape):
            error = ShapeError if a.dtype is b.dtype else DtypeError
            raise error(
                f"{user_line()}: cond: the result{name} of true_fn is {_describe(a)}, that of false_fn "
                f"{_describe(b)}; both must be alike"
            )


def _record_cond(branches: list[Body], pred: Any, tensors: list) -> Sequence[Any]:
    if not branches[0].outputs:
        return ()
    outside = Outside()
    for body in branches:
        outside.capture(body.trace, body.outputs)
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
            outside.capture(body.trace, gradients)
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
            at = [edge_of.get(i) for i in range(consts)] + [id(e) if e is not None else None for e in body.leaves]
            wanted = [gradients.get(at[i]) for i, need in enumerate(named["needs"]) if need]
            typed = [sequence[i] for i, need in enumerate(named["needs"]) if need]
            parts = [zeros(n.type) if g is None else g for g, n in zip(wanted, typed, strict=True)]
            inputs, more, roots = closed(sequence, parts, cotangents)
            named[f"{key}_back"] = interned(Graph((*inputs, *more), roots, f"backward of {key} branch"))
    made = record(ops.cond, (pred, *outside.tensors, *tensors), ops.cond.pack(named))
    for body in branches:
        _evaluate_shared(body, made)
    return made


# ---------------------------------------------------------------- while_loop
def while_loop(cond_fn: Callable, body_fn: Callable, init: Any, max_iterations: int | None = None) -> Any:
    """Run a function from state to state while a condition on the state holds.

    Args:
        cond_fn: `cond_fn(carry)` gives a bool Tensor of one element. body_fn: `body_fn(carry)` gives the next carry,
        of
            the same structure, shapes and dtypes. Both may read Tensors from outside. init: the first carry: Tensors
            in nested containers. max_iterations: stop after so many steps at the latest. Gradients (`backward`,
            `grad`) need it, since they keep every step; `jvp` does not.

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
    if max_iterations is not None and max_iterations < 0:
        raise ValueError(f"while_loop: max_iterations must not be negative, got {max_iterations}")
    leaves, structure = pytree.flatten(init)
    names = leaf_names(init)
    starts = _tensors(leaves, "while_loop: init", names)
    types = [t.node.type for t in starts]

    def test(given: list) -> list:
        made = cond_fn(pytree.unflatten(structure, given))
        made = wrap(constant(made, bool_)) if isinstance(made, bool) else made
        if not is_tensor(made) or made.node.dtype is not bool_ or any(n != 1 for n in made.node.shape):
            got = _describe(made.node) if is_tensor(made) else type(made).__name__
            raise DtypeError(f"{user_line()}: while_loop: cond_fn must give one bool, got {got}")
        return [made.reshape(()) if made.node.shape else made]

    def step(given: list) -> list:
        after, found = pytree.flatten(body_fn(pytree.unflatten(structure, given)))
        _check_structure("while_loop", "the carry's structure", structure, found)
        after = _tensors(after, "while_loop: the carry", names)
        _check_like("while_loop", [t.node for t in starts], [t.node for t in after], names)
        return after

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
    _evaluate_shared(body, made)
    return pytree.unflatten(structure, list(made))


def _bounded(test: Callable, step: Callable, starts: list, structure: Any, limit: int) -> Any:
    """The loop as a scan over its limit, whose steps do nothing once the condition fails."""

    def advance(state: tuple, _: Any) -> tuple:
        going, carry = state
        going = going & test(carry)[0]
        return (going, cond(going, lambda *c: step(list(c)), lambda *c: list(c), *carry)), None

    (_, carry), _ = scan(advance, (wrap(constant(True, bool_)), list(starts)), None, length=limit)
    return pytree.unflatten(structure, list(carry))
