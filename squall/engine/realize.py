"""The conductor of uncompiled evaluation: Nodes in, computed buffers out, through the plan cache."""

from __future__ import annotations

import threading
from collections import deque
from itertools import starmap
from operator import call
from typing import Any

from squall.base import config, trace
from squall.base.caches import Cache
from squall.base.collecting import Pause
from squall.base.errors import IndexRangeError, LinAlgError, SquallError, TraceError
from squall.compiler.pipeline import compile_plan
from squall.engine import oracle, ready
from squall.engine.diagnose import index_error, matrix_error
from squall.engine.execute import Executable
from squall.engine.generalize import Family, Symbolic, abstract, families, generalize
from squall.engine.keys import Signature, signature
from squall.engine.overwriting import Gate, beside_others, gates, met
from squall.ir.node import Node
from squall.ir.op import ops
from squall.ir.plan import Request
from squall.runtime import leaving
from squall.runtime.fork import in_child

plans = Cache("plans", 1024)
_set_buffer = Node.buffer.__set__  # type: ignore[attr-defined]


def evaluate(roots: list[Node]) -> None:
    """Compute Nodes and fill their buffer slots; either all slots are filled or none.

    The native run and the filling of the slots are one chain of C calls, which no signal handler can interrupt. Threads
    may evaluate graphs that share nodes: one at a time reads or changes graphs, while kernels run beside each other.
    """
    began = trace.begin()
    while (other := _evaluate(roots)) is not None:
        other.wait()
    trace.end("flush", began)


@leaving.run
def _evaluate(roots: list[Node]) -> Gate | None:
    """Evaluate, unless another thread is overwriting what the graph reads: then its gate."""
    gate = None
    with _graphs.lock:
        roots = list({id(r): r for r in roots if r.buffer is None}.values())
        if not roots:
            return None
        if config.get("backend") == "numpy":
            try:
                buffers = oracle.run(roots)
            except IndexError as error:
                raise index_error(roots, oracle.value_of, known=error) from None
            except LinAlgError as error:
                raise matrix_error(roots, oracle.value_of, error) from None
            deque(map(_set_buffer, roots, buffers), maxlen=0)
            _finish(roots)
            return None
        began = trace.begin()
        found = signature(roots)
        trace.end("walk", began)
        if gates and (other := met(found.order)) is not None:
            return other
        planned = plans.get(found.key)
        if planned is None:
            with trace.span("compile"), Pause():
                planned = plans.put(found.key, _plan(roots, found))
        elif ready.met_again(plans.hits):
            ready.make_ready(found, *planned, _failed)
        if any(found.donatable) and beside_others() > 1:
            gate = Gate(roots)
            gate.open()
    try:
        _run(roots, found, *planned)
    finally:
        if gate is not None:
            gate.done()
    return None


def _run(roots: list[Node], found: Signature, executable: Any, sizes: dict[str, int]) -> None:
    calls, buffers = executable.prepare([n.buffer for n in found.inputs], [n.buffer for n in found.scalars], sizes)
    fill = [(_set_buffer, root, buffer) for root, buffer in zip(roots, buffers, strict=True)]
    lock = _graphs.lock
    try:
        try:
            deque(starmap(call, (*calls, (lock.acquire,), *fill, (lock.release,))), maxlen=0)
        except IndexError:  # the runner stopped at a kernel that reported a failure: say which
            executable.check_status()
            raise
        executable.check_status()
    except IndexRangeError as error:
        raise index_error(roots, _value, known=error) from None
    except LinAlgError as error:
        raise matrix_error(roots, _value, error) from None
    with lock:
        _finish(roots)


def _failed(executable: Executable, told: tuple) -> None:
    """Raise what stopped a plan that native code ran: (roots, the runner's code, the status word, its detail)."""
    roots, code, status, detail = told
    try:
        executable.raise_status(status, detail)
    except IndexRangeError as error:
        raise index_error(roots, _value, known=error) from None
    raise SquallError(f"a plan stopped with code {code}")


def _value(node: Node) -> Any:
    """A Node's value as an array, computed if need be."""
    evaluate([node])
    return oracle.array_of(node)


def captured_error(request: Request, buffers: list, scalars: list, sizes: dict[str, int],
                   known: IndexError | LinAlgError) -> IndexError | LinAlgError:
    """What to raise when a captured graph met an index outside of its dimension, or a matrix without a result, given
    what it was run on."""
    bound = oracle.bindings(request, buffers, scalars, sizes)

    def value_of(node: Node) -> Any:
        return oracle.value_of(node, bound, sizes)

    if isinstance(known, LinAlgError):
        return matrix_error(request.roots, value_of, known)
    return index_error(request.roots, value_of, sizes, known)


def _finish(roots: list[Node]) -> None:
    for root in roots:  # computed: from now on a leaf, whatever made it
        root.op, root.attrs, root.inputs = ops.buffer, (), ()


class _Graphs:
    """The lock under which graphs are read and changed; a forked child gets a new one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_graphs = _Graphs()


def graphs_lock() -> Any:
    """The lock under which graphs are read and changed, for native code; a forked child has another."""
    return _graphs.lock


in_child(_graphs.__init__)  # type: ignore[misc]


def _plan(roots: list[Node], found: Signature) -> tuple[Any, dict[str, int]]:
    """What runs a graph met for the first time, with the values of its symbols: a family's plan, or a new one."""
    if any(n.op is ops.input and n.buffer is None for n in found.order):
        raise TraceError("a tensor recorded inside a body of scan, cond, while_loop or vmap was kept and read outside; "
                         "it has no value of its own there: return it from the body")
    member = abstract(found)
    if member is None:
        return _compile(*_described(roots, found), found), {}
    family = families.get_or_make(member.structure, Family)
    for plan in family.plans:
        sizes = plan.match(member)
        if sizes is not None:
            return plan.executable, sizes
    for old in reversed(family.members[-4:]):
        general = generalize(found, member, old)
        if general is None:
            continue
        order, leaves, symbols, forms = general
        position = {id(n): i for i, n in enumerate(found.order)}
        try:
            executable = _compile(tuple(order[position[id(r)]] for r in roots), tuple(leaves), found)
        except SquallError:  # an op that lowers only for known sizes: these graphs stay concrete
            break
        family.plans.append(Symbolic(symbols, forms, executable))
        return executable, family.plans[-1].match(member) or {}
    family.members.append(member)
    return _compile(*_described(roots, found), found), {}


def _described(roots: list[Node], found: Signature) -> tuple[tuple, tuple]:
    """Roots and inputs of a copy of the graph: what the compiler leaves to the garbage collector refers to no live
    value, which would keep memory and make the next flush believe that somebody can still read it."""
    copies: dict[int, Node] = {}
    inputs: list[Node] = []
    for node in found.order:
        copy = node
        if node.buffer is None:
            copy = Node(node.op, tuple([copies[id(o)] for o in node.inputs]), node.attrs, node.type)
        elif node.op is not ops.scalar:
            copy = Node(ops.input, (), (len(inputs),), node.type)
            inputs.append(copy)
        copies[id(node)] = copy
    return tuple([copies[id(r)] for r in roots]), tuple(inputs)


def _compile(roots: tuple, inputs: tuple, found: Signature) -> Any:
    trace.count("plans compiled")
    trace.debug(1, f"new plan: {len(found.order)} nodes, {len(roots)} results, {len(inputs)} inputs")
    request = Request(
        roots,
        inputs,
        tuple(found.scalars),
        found.donatable,
        tuple(n.buffer.strides is None for n in found.inputs),
    )
    return Executable(compile_plan(request))


def prepare_request(request: Request, name: str) -> Any:
    """What runs a captured graph: `prepare(buffers, scalars, sizes) -> (calls, output buffers)` and
    `check_status()`.
    """
    if config.get("backend") == "numpy":
        return oracle.OracleExecutable(request)
    trace.count("plans compiled")
    trace.debug(1, f"captured {name}: {len(request.roots)} results, {len(request.inputs)} inputs")
    with trace.span("compile"), Pause():
        return Executable(compile_plan(request))
