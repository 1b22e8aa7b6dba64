"""The rules of `cond` and `while_loop`.

The gradient of a choice is a choice of gradients: each runs its branch again. Over a batch of predicates both
branches run and results are selected. A loop that stops by a condition has tangents; its gradient is that of a scan
over its limit whose steps are skipped once the condition fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from squall.base.dtypes import bool_
from squall.base.errors import AutogradError
from squall.ir.families import zeros
from squall.ir.graph import Graph, inline, placeholder
from squall.ir.node import Node, TensorType
from squall.ir.op import Context, constant, ops
from squall.ops.bodies import derive
from squall.transforms.batch import batch_graph
from squall.transforms.calls import derived
from squall.transforms.grad import gradient_graph
from squall.transforms.loops import batched_body, closure, linearize, pull_scan, renumbered
from squall.transforms.tangent import push_forward, tangent_graph


# ---------------------------------------------------------------- cond
def _cond_grad(context: Context, g: tuple) -> tuple:
    named, wanted = context.op.named(context.attrs), context.needs[1:]
    types = context.out_type
    floating = [k for k, t in enumerate(types) if t.dtype.category >= 2]
    backs, needs = (named["true_back"], named["false_back"]), named["needs"]
    if backs[0] is None or any(w and not n for w, n in zip(wanted, needs, strict=True)):
        arrived, needs = tuple(k in floating for k in range(len(types))), wanted
        backs = tuple(
            derived(graph, ("grad", needs, arrived), lambda graph=graph: gradient_graph(graph, needs, arrived))
            for graph in (named["true"], named["false"])
        )
    parts = [zeros(types[k]) if g[k] is None else g[k] for k in floating]
    made = iter(ops.cond(*context.inputs, *parts, true=backs[0], false=backs[1]))
    gradients = [next(made) if need else None for need in needs]
    return None, *(part if want else None for part, want in zip(gradients, wanted, strict=True))


def _cond_tangent(context: Context, *tangents: Any) -> tuple:
    named = context.op.named(context.attrs)
    given = tuple(t is not None for t in tangents[1:])
    graphs = [
        derived(named[k], ("jvp", given), lambda k=k: tangent_graph(named[k], given)) for k in ("true", "false")
    ]
    moved = (t for t in tangents[1:] if t is not None)
    if not graphs[0].outputs:
        return (None,) * len(context.out_type)
    made = iter(ops.cond(*context.inputs, *moved, true=graphs[0], false=graphs[1]))
    return tuple(next(made) if t.dtype.category >= 2 else None for t in context.out_type)


def _cond_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    named, inner = op.named(attrs), batched[1:]
    graphs = [
        derived(named[k], ("vmap", inner, size), lambda k=k: batch_graph(named[k], inner, size))
        for k in ("true", "false")
    ]
    if not batched[0]:
        return ops.cond(*operands, true=graphs[0], false=graphs[1]), True
    chosen = [ops.call(*operands[1:], graph=graph) for graph in graphs]
    return tuple(ops.where(_aligned(operands[0], a), a, b) for a, b in zip(*chosen, strict=True)), True


def _aligned(test: Any, value: Any) -> Any:
    """A batch of predicates in the rank of a batched value."""
    rank = len(value.shape)
    return test if rank == 1 else ops.reshape(test, shape=(*test.shape, *(1,) * (rank - 1)))


# ---------------------------------------------------------------- while_loop
def bounded(condition: Graph, body: Graph, consts: int) -> Graph:
    """The body of the scan that a loop with a limit is: after `consts` it carries whether the loop goes on, then the
    loop's own carries."""
    types = body.input_types
    going = TensorType((), bool_, types[0].device if types else "cpu")
    inputs = [placeholder(i, t) for i, t in enumerate((*types[:consts], going, *types[consts:]))]
    arguments = (*inputs[:consts], *inputs[consts + 1 :])
    test = ops.logical_and(inputs[consts], inline(condition, arguments)[0])
    stay = Graph(body.inputs, body.inputs[consts:], "stay")
    after = ops.cond(test, *arguments, true=body, false=stay)
    return Graph(inputs, (test, *after), f"bounded {body.name}")


def _while_grad(context: Context, g: tuple) -> tuple:
    named = context.op.named(context.attrs)
    condition, body, consts, limit = (named[k] for k in ("condition", "body", "consts", "limit"))
    if limit is None:
        raise AutogradError(
            "while_loop: gradients need the values of every step, and how many steps there can be: give "
            "max_iterations, or use sq.scan; sq.jvp works without"
        )
    step = derived(body, ("bounded", condition, consts), lambda: bounded(condition, body, consts))
    carries = len(body.outputs) + 1
    needs = (*context.needs[:consts], False, *context.needs[consts:])
    visible = (True,) * carries
    linear = derived(
        step,
        ("scan linear", consts, carries, needs, visible),
        lambda: linearize(step, consts, carries, needs, visible),
    )
    start = constant(True, bool_, body.inputs[consts].device)
    operands = (*context.inputs[:consts], start, *context.inputs[consts:])
    scan = {"consts": consts, "carries": carries, "length": limit, "reverse": False}
    outputs = ops.scan(*operands, **scan, body=linear.body)
    parts = pull_scan(linear, scan, operands, outputs, (None, *g))
    del parts[consts]
    return tuple(part if need else None for part, need in zip(parts, context.needs, strict=True))


def _while_tangent(context: Context, *tangents: Any) -> tuple:
    named = context.op.named(context.attrs)
    condition, body, consts = named["condition"], named["body"], named["consts"]
    given = tuple(i for i, t in enumerate(tangents) if t is not None)
    test, step, turning = derived(
        body,
        ("while tangent", condition, consts, given),
        lambda: _while_tangent_graphs(condition, body, consts, given),
    )
    fixed = [tangents[i] for i in given if i < consts]
    starts = [
        zeros(body.outputs[j].type) if tangents[consts + j] is None else tangents[consts + j] for j in turning
    ]
    made = ops.while_loop(
        *context.inputs[:consts],
        *fixed,
        *context.inputs[consts:],
        *starts,
        condition=test,
        body=step,
        consts=consts + len(fixed),
        limit=named["limit"],
    )
    out: list[Any] = [None] * len(body.outputs)
    for j, part in zip(turning, made[len(out) :], strict=True):
        out[j] = part
    return tuple(
        zeros(t) if part is None and t.dtype.category >= 2 else part
        for part, t in zip(out, context.out_type, strict=True)
    )


def _while_tangent_graphs(
    condition: Graph, body: Graph, consts: int, given: tuple[int, ...]
) -> tuple[Graph, Graph, list[int]]:
    order, carries = body.order(), len(body.outputs)

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
    moved = [seeds[i] for i in given if i < consts], [seeds[consts + j] for j in turning]
    sequence = [*body.inputs[:consts], *moved[0], *body.inputs[consts:], *moved[1]]
    after = [tangents.get(id(body.outputs[j])) for j in turning]
    outputs = [
        *body.outputs,
        *(zeros(body.outputs[j].type) if t is None else t for t, j in zip(after, turning, strict=True)),
    ]
    test = renumbered(
        [*condition.inputs[:consts], *moved[0], *condition.inputs[consts:], *moved[1]],
        condition.outputs,
        condition.name,
    )
    return test, renumbered(sequence, outputs, f"tangent of {body.name}"), turning


def _while_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    named = op.named(attrs)
    condition, body, consts = named["condition"], named["body"], named["consts"]
    test, step, whole = derived(
        body,
        ("while batch", condition, consts, batched, size),
        lambda: _while_batch_graphs(condition, body, consts, batched, size),
    )
    given = [
        ops.expand(o, shape=(size, *o.shape)) if w and not b else o
        for o, w, b in zip(operands, whole, batched, strict=True)
    ]
    made = ops.while_loop(*given, condition=test, body=step, consts=consts, limit=named["limit"])
    return tuple(
        part if w else ops.expand(part, shape=(size, *part.shape))
        for part, w in zip(made, whole[consts:], strict=True)
    ), True


def _while_batch_graphs(
    condition: Graph, body: Graph, consts: int, batched: tuple, size: Any
) -> tuple[Graph, Graph, tuple[bool, ...]]:
    """Condition and body over a batch; where conditions differ, the loop runs while one holds, and the others
    stay."""
    carries = len(body.outputs)
    inner, whole, _ = batched_body(body, consts, carries, batched, size)
    tests = _test_batched(condition, whole, size)
    if tests is None:
        single = [
            n.type.with_shape((size, *n.shape)) if w else n.type
            for n, w in zip(condition.inputs, whole, strict=True)
        ]
        fresh = [placeholder(i, t) for i, t in enumerate(single)]
        return Graph(fresh, _on_unbatched(condition, fresh, whole), condition.name), inner, whole
    whole = tuple(w or i >= consts for i, w in enumerate(whole))
    inner, whole, _ = batched_body(body, consts, carries, whole, size)
    tests = batch_graph(condition, whole, size)
    arguments = [placeholder(i, n.type) for i, n in enumerate(inner.inputs)]
    going = inline(tests, arguments)[0]
    after = inline(inner, arguments)
    outputs = [ops.where(_aligned(going, a), a, b) for a, b in zip(after, arguments[consts:], strict=True)]
    some = Graph(tests.inputs, [ops.any(tests.outputs[0], dims=(0,), keepdim=False)], condition.name)
    return some, Graph(arguments, outputs, inner.name), whole


def _test_batched(condition: Graph, whole: tuple, size: Any) -> Graph | None:
    """The condition over a batch, or None when it reads nothing that differs by element."""
    reads = needed_inputs(condition)
    return batch_graph(condition, whole, size) if any(w and r for w, r in zip(whole, reads, strict=True)) else None


def needed_inputs(graph: Graph) -> tuple[bool, ...]:
    """Which inputs a graph's outputs depend on."""
    order = {id(n) for n in graph.order()}
    return tuple(id(n) in order for n in graph.inputs)


def _on_unbatched(condition: Graph, fresh: list[Node], whole: tuple) -> list[Node]:
    """The condition's output over placeholders of which it reads only those of its own types."""
    given = [old if w else new for old, new, w in zip(condition.inputs, fresh, whole, strict=True)]
    return list(inline(condition, given))


derive("cond", grad=_cond_grad, jvp=_cond_tangent, vmap=_cond_batch)
derive("while_loop", grad=_while_grad, jvp=_while_tangent, vmap=_while_batch)
