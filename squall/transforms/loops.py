"""The rules of `scan`: its gradient is a scan from the other end, its tangent and batch are scans of derived bodies.

The gradient reads what the forward scan saved for it, or runs the forward scan again to have it. Which carries take
part follows from the body: a carry has a gradient (a tangent, a batch) when something in the body gives it one,
which may need several looks, since carries become each other's operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from squall.ir.families import zeros
from squall.ir.graph import Graph, placeholder, rebuild
from squall.ir.node import Node, toposort
from squall.ir.op import Context, ops
from squall.ops.bodies import derive
from squall.transforms.batch import batch_nodes, spread
from squall.transforms.calls import derived
from squall.transforms.grad import gradient_graph
from squall.transforms.hoisting import Hoisted
from squall.transforms.residuals import cut
from squall.transforms.tangent import push_forward
from squall.transforms.walk import depending


class Linear(NamedTuple):
    """A body split for reverse mode, in the terms of `scan`'s attributes."""

    body: Graph
    saved: int
    pullback: Graph
    sources: tuple[int, ...]
    needs: tuple[bool, ...]


def is_float(node: Any) -> bool:
    """Whether a value has gradients."""
    return node.dtype.category >= 2


def closure(
    consts: int, carries: int, marked: Iterable[int], reach: Callable[[set[int]], Sequence[bool]]
) -> set[int]:
    """Inputs of a body that are marked once marks have gone around the loop until nothing changes.

    Args:
        marked: numbers of inputs. reach: from marked inputs to whether each output is marked.
    """
    found = set(marked)
    while True:
        outputs = reach(found)
        more = {consts + i for i in range(carries) if outputs[i]} - found
        if not more:
            return found
        found |= more


def needed(body: Graph, consts: int, carries: int, needs: Iterable[int]) -> tuple[bool, ...]:
    """Which inputs of a body need gradients when some do: carries that depend on those, too."""
    order = body.order()

    def reach(found: set[int]) -> list[bool]:
        below = depending(order, [body.inputs[i] for i in found])
        return [id(n) in below and is_float(n) for n in body.outputs]

    found = closure(consts, carries, needs, reach)
    return tuple(i in found and is_float(n) for i, n in enumerate(body.inputs))


def linearize(body: Graph, consts: int, carries: int, needs: tuple[bool, ...], visible: tuple[bool, ...]) -> Linear:
    """Split a body for the gradients of some inputs.

    Args:
        needs: by input. visible: by output, whether a cotangent may arrive.
    """
    whole = needed(body, consts, carries, [i for i, need in enumerate(needs) if need])
    arrived = tuple(v and is_float(n) for v, n in zip(visible, body.outputs, strict=True))
    gradients = gradient_graph(body, whole, arrived)
    parts = cut(gradients.outputs, gradients.inputs[len(body.inputs) :], body, consts, carries)
    forward = Graph(body.inputs, (*body.outputs, *parts.saved), body.name)
    return Linear(forward, len(parts.saved), parts.pullback, parts.sources, whole)


class Backward(NamedTuple):
    """The body of a scan from the other end, made of a pullback.

    Attributes:
        body: of the backward scan. consts: numbers of the forward inputs it reads as they are. carries: numbers of
        the forward carries whose cotangents it carries; `sums` those of forward consts whose gradients are added up
        beside them. stacks: what each x is: a source as in `scan`, or ("cotangent", y). slices: numbers of the xs
        whose gradients are its first ys. hoisted: by number of a const, how its gradient comes from the stacks at
        once.
    """

    body: Graph
    consts: list[int]
    carries: list[int]
    sums: list[int]
    stacks: list[Any]
    slices: list[int]
    hoisted: dict[int, Hoisted]


def backward_of(linear: Linear, consts: int, carries: int, arrived: tuple[bool, ...]) -> Backward:
    """The backward scan's body.

    Args:
        arrived: by output of the forward body (without the saved), whether a cotangent of all its steps arrives; for
            carries whether that of the last one does, which only matters where nothing goes around.
    """
    needs = [i for i, need in enumerate(linear.needs) if need]
    turning = [i - consts for i in needs if consts <= i < consts + carries]
    fixed = [s for s in linear.sources if s < consts]
    stacked = [s for s in linear.sources if s >= consts]
    floating = [k for k, n in enumerate(linear.body.outputs[: len(arrived)]) if is_float(n)]
    of_ys = [k for k in floating if k >= carries and arrived[k]]
    values = linear.pullback.inputs[: len(linear.sources)]
    cotangents = dict(zip(floating, linear.pullback.inputs[len(linear.sources) :], strict=True))
    replaced: dict[int, Node] = {id(c): zeros(c.type) for c in cotangents.values()}
    gradients = dict(zip(needs, linear.pullback.outputs, strict=True))

    def stand(node: Node, index: int) -> Node:
        made = replaced[id(node)] = placeholder(index, node.type)
        return made

    def built(sums: list[int]) -> tuple[list[Node], list[Node], dict[int, Node]]:
        """Inputs, accumulators among them, and the gradients over them."""
        inputs = [
            stand(v, i) for i, v in enumerate(v for v, s in zip(values, linear.sources, strict=True) if s < consts)
        ]
        inputs += [stand(cotangents[j], len(inputs) + i) for i, j in enumerate(turning)]
        totals = [placeholder(len(inputs) + i, gradients[c].type) for i, c in enumerate(sums)]
        inputs += totals
        moving = [v for v, s in zip(values, linear.sources, strict=True) if s >= consts]
        inputs += [stand(v, len(inputs) + i) for i, v in enumerate((*moving, *(cotangents[k] for k in of_ys)))]
        rebuild(toposort(linear.pullback.outputs, lambda n: id(n) in replaced), replaced)
        made = {i: replaced[id(g)] for i, g in gradients.items()}
        return inputs, totals, made

    of_consts = [i for i in needs if i < consts]
    inputs, _, made = built([])
    first = len(fixed) + len(turning)
    hoisted: dict[int, Any] = {
        c: h for c in of_consts if (h := Hoisted.of(made[c], inputs[:first], inputs[first:])) is not None
    }
    sums = [c for c in of_consts if c not in hoisted]
    if sums:
        base = dict(replaced)
        replaced.clear()
        replaced.update({id(c): base[id(c)] for c in cotangents.values() if base[id(c)].op is not ops.input})
        inputs, totals, made = built(sums)
        first = len(fixed) + len(turning) + len(sums)
        hoisted = {c: Hoisted.of(made[c], inputs[:first], inputs[first:]) for c in hoisted}
    else:
        totals = []
    slices = [i for i in needs if i >= consts + carries]
    outputs = [made[consts + j] for j in turning]
    outputs += [ops.add(t, made[c]) for t, c in zip(totals, sums, strict=True)]
    outputs += [made[i] for i in slices]
    for h in hoisted.values():
        h.place(outputs, len(turning) + len(sums))
    body = Graph(inputs, outputs, linear.pullback.name)
    return Backward(body, fixed, turning, sums, [*stacked, *(("cotangent", k) for k in of_ys)], slices, hoisted)


def pull_scan(
    linear: Linear, named: dict[str, Any], operands: Sequence[Any], outputs: Sequence[Any], g: Sequence[Any]
) -> list[Any]:
    """Gradients of a scan's operands, None where there is none.

    Args:
        named: the scan's attributes. outputs: its results, the saved ones among them. g: a cotangent or None for each
            result but the saved.
    """
    consts, carries, length = named["consts"], named["carries"], named["length"]
    arrived = tuple(part is not None for part in g)
    key = ("scan backward", linear.sources, linear.needs, consts, carries, arrived[carries:])
    made: Backward = derived(linear.pullback, key, lambda: backward_of(linear, consts, carries, arrived))
    types = [n.type for n in linear.body.outputs]
    starts = [zeros(types[j]) if g[j] is None else g[j] for j in made.carries]
    starts += [zeros(linear.body.inputs[c].type) for c in made.sums]
    count = len(linear.needs)

    def stack_of(source: Any) -> Any:
        if source.__class__ is tuple:
            return g[source[1]]
        return operands[source] if source < count else outputs[source - count]

    stacks = [stack_of(s) for s in made.stacks]
    out: list[Any] = [None] * count
    given = (*(operands[c] for c in made.consts), *starts, *stacks)
    results: tuple = ()
    if made.body.outputs:
        results = ops.scan(
            *given,
            body=made.body,
            consts=len(made.consts),
            carries=len(starts),
            length=length,
            reverse=not named["reverse"],
        )
    turning, sums = len(made.carries), len(made.sums)
    for j, part in zip(made.carries, results, strict=False):
        out[consts + j] = part
    for c, part in zip(made.sums, results[turning:], strict=False):
        out[c] = part
    for i, part in zip(made.slices, results[turning + sums :], strict=False):
        out[i] = part
    for c, h in made.hoisted.items():
        out[c] = h.value(stacks, results, length)
    return out


# ---------------------------------------------------------------- the rules
def _scan_grad(context: Context, g: tuple) -> tuple:
    named = context.op.named(context.attrs)
    shown = len(context.out_type) - named["saved"]
    arrived = tuple(part is not None for part in g)
    total: list[Any] = [None] * len(context.needs)
    if any(arrived[:shown]):
        usable = named["pullback"] is not None and not any(
            need and not had for need, had in zip(context.needs, named["needs"], strict=True)
        )
        linear, outputs = None, context.output
        if usable:
            linear = Linear(*(named[k] for k in Linear._fields))
        _add(total, _gradients(context, named, linear, outputs, g[:shown]))
    if any(arrived[shown:]):  # of what was saved for a gradient that is itself differentiated
        hidden = tuple(part if i >= shown else None for i, part in enumerate(g))
        _add(total, _gradients(context, named, None, None, hidden))
    return tuple(part if need else None for part, need in zip(total, context.needs, strict=True))


def _gradients(context: Context, named: dict, linear: Linear | None, outputs: Any, g: Sequence[Any]) -> list:
    """Gradients by what was saved, else by a forward scan that saves it."""
    if linear is not None:
        return pull_scan(linear, named, context.inputs, outputs, g)
    body, consts, carries = named["body"], named["consts"], named["carries"]
    visible = tuple(i < carries or part is not None for i, part in enumerate(g))
    visible += (False,) * (len(body.outputs) - len(visible))
    made: Linear = derived(
        body,
        ("scan linear", consts, carries, context.needs, visible),
        lambda: linearize(body, consts, carries, context.needs, visible),
    )
    outputs = context.output
    if made.saved or outputs is None:
        again = {k: named[k] for k in ("consts", "carries", "length", "reverse")}
        outputs = ops.scan(*context.inputs, **again, body=made.body)
    kept = [i for i, v in enumerate(visible) if v]
    return _pull_visible(made, named, context.inputs, outputs, g, kept)


def _pull_visible(
    linear: Linear, named: dict, operands: Sequence[Any], outputs: Sequence[Any], g: Sequence[Any], kept: list[int]
) -> list:
    """`pull_scan` for a pullback that takes cotangents of some outputs only: they go first."""
    count, own = len(linear.needs), len(linear.body.outputs)
    order = [*kept, *(i for i in range(own) if i not in set(kept))]
    place = {old: new for new, old in enumerate(order)}
    sources = tuple(s if s < count else count + place[s - count] for s in linear.sources)
    body = derived(
        linear.body,
        ("reordered", tuple(order)),
        lambda: Graph(linear.body.inputs, [linear.body.outputs[i] for i in order], linear.body.name),
    )
    moved = linear._replace(body=body, sources=sources, saved=own - len(kept))
    return pull_scan(
        moved, named, operands, [outputs[i] if i < len(outputs) else None for i in order], [g[i] for i in kept]
    )


def _add(total: list, parts: Sequence[Any]) -> None:
    for i, part in enumerate(parts):
        if part is not None:
            total[i] = part if total[i] is None else ops.add(total[i], part)


def _scan_tangent(context: Context, *tangents: Any) -> tuple:
    named = context.op.named(context.attrs)
    body, consts, carries, length = (named[k] for k in ("body", "consts", "carries", "length"))
    given = tuple(i for i, t in enumerate(tangents) if t is not None)
    inner, turning, with_ys = derived(
        body, ("scan tangent", consts, carries, given), lambda: _tangent_body(body, consts, carries, given)
    )
    if not turning and not with_ys:
        return (None,) * len(context.out_type)
    fixed = [tangents[i] for i in given if i < consts]
    starts = [
        tangents[consts + j] if tangents[consts + j] is not None else zeros(body.outputs[j].type) for j in turning
    ]
    moving = [tangents[i] for i in given if i >= consts + carries]
    operands = (
        *context.inputs[:consts],
        *fixed,
        *context.inputs[consts : consts + carries],
        *starts,
        *context.inputs[consts + carries :],
        *moving,
    )
    made = ops.scan(
        *operands,
        body=inner,
        consts=consts + len(fixed),
        carries=carries + len(turning),
        length=length,
        reverse=named["reverse"],
    )
    out: list[Any] = [None] * len(context.out_type)
    for j, part in zip(turning, made[carries:], strict=False):
        out[j] = part
    for k, part in zip(with_ys, made[carries + len(turning) :], strict=False):
        out[k] = part
    return tuple(
        zeros(t) if part is None and t.dtype.category >= 2 else part
        for part, t in zip(out, context.out_type, strict=True)
    )


def _tangent_body(
    body: Graph, consts: int, carries: int, given: tuple[int, ...]
) -> tuple[Graph, list[int], list[int]]:
    """The body that carries tangents beside values; which carries have one, and which outputs behind them."""
    order = body.order()

    def pushed(found: Iterable[int]) -> tuple[dict[int, Node], dict[int, Any]]:
        seeds = {i: placeholder(i, body.inputs[i].type) for i in sorted(found)}
        tangents: dict[int, Any] = {id(body.inputs[i]): s for i, s in seeds.items()}
        push_forward(order, tangents)
        return seeds, tangents

    def reach(found: set[int]) -> list[bool]:
        tangents = pushed(found)[1]
        return [tangents.get(id(n)) is not None for n in body.outputs]

    found = closure(consts, carries, given, reach)
    seeds, tangents = pushed(found)
    turning = [j for j in range(carries) if consts + j in found]
    last = consts + carries
    sequence = [
        *body.inputs[:consts],
        *(seeds[i] for i in given if i < consts),
        *body.inputs[consts:last],
        *(seeds[consts + j] for j in turning),
        *body.inputs[last:],
        *(seeds[i] for i in given if i >= last),
    ]
    with_ys = [k for k in range(carries, len(body.outputs)) if tangents.get(id(body.outputs[k])) is not None]
    wanted = [
        *body.outputs[:carries],
        *(_or_zeros(tangents.get(id(body.outputs[j])), body.outputs[j]) for j in turning),
        *(tangents[id(body.outputs[k])] for k in with_ys),
    ]
    return renumbered(sequence, wanted, f"tangent of {body.name}"), turning, with_ys


def _or_zeros(tangent: Any, like: Node) -> Node:
    return zeros(like.type) if tangent is None else tangent


def renumbered(sequence: Sequence[Node], outputs: Sequence[Node], name: str) -> Graph:
    """A graph over fresh placeholders, in the order of a sequence of old ones."""
    fresh = [placeholder(i, n.type) for i, n in enumerate(sequence)]
    replaced = dict(zip(map(id, sequence), fresh, strict=True))
    rebuild(toposort(outputs, lambda n: id(n) in replaced), replaced)
    return Graph(fresh, [replaced[id(n)] for n in outputs], name)


def _scan_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    named = op.named(attrs)
    body, consts, carries, length = (named[k] for k in ("body", "consts", "carries", "length"))
    inner, whole, marked = derived(
        body,
        ("scan batch", consts, carries, batched, size),
        lambda: batched_body(body, consts, carries, batched, size),
    )
    given = []
    for i, operand in enumerate(operands):
        if batched[i] and i >= consts + carries:
            operand = ops.permute(operand, dims=(1, 0, *range(2, len(operand.shape))))
        elif whole[i] and not batched[i]:
            operand = ops.expand(operand, shape=(size, *operand.shape))
        given.append(operand)
    made = ops.scan(*given, body=inner, consts=consts, carries=carries, length=length, reverse=named["reverse"])
    out = []
    for k, part in enumerate(made):
        if not marked[k]:
            part = ops.expand(part, shape=(size, *part.shape))
        elif k >= carries:
            part = ops.permute(part, dims=(1, 0, *range(2, len(part.shape))))
        out.append(part)
    return tuple(out), True


def batched_body(
    body: Graph, consts: int, carries: int, batched: Sequence[bool], size: Any
) -> tuple[Graph, tuple[bool, ...], tuple[bool, ...]]:
    """A body over a batch of some inputs: the graph, and which of its inputs and outputs carry the batch."""
    order = body.order()

    def reach(found: set[int]) -> list[bool]:
        below = depending(order, [body.inputs[i] for i in found])
        return [id(n) in below for n in body.outputs]

    found = closure(consts, carries, [i for i, b in enumerate(batched) if b], reach)
    whole = tuple(i in found for i in range(len(body.inputs)))
    marked = reach(found)
    marked[:carries] = whole[consts : consts + carries]
    inputs = [
        placeholder(i, n.type.with_shape((size, *n.shape))) if i in found else n for i, n in enumerate(body.inputs)
    ]
    values: dict[int, Any] = {
        id(old): new for i, (old, new) in enumerate(zip(body.inputs, inputs, strict=True)) if i in found
    }
    batch_nodes(order, values, size)
    outputs = [spread(n, values, size) if m else n for n, m in zip(body.outputs, marked, strict=True)]
    return renumbered(inputs, outputs, f"batch of {body.name}"), whole, tuple(marked)


derive("scan", grad=_scan_grad, jvp=_scan_tangent, vmap=_scan_batch)
