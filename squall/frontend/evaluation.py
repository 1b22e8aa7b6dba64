"""When values are computed, and which: the flush.

A flush evaluates what was asked for, every live value of this thread that is still pending, and what live history saved
(DESIGN S7), all in one plan. `pressure` forces one when too much is pending, at a point of the loop that repeats,
so that a long loop without reads meets the same plan again and again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from squall.base import config, trace
from squall.base.errors import TraceError
from squall.engine import ready, realize
from squall.frontend.cell import Cell
from squall.frontend.state import ThreadState, local
from squall.frontend.tape import NEW, WALKED, saved_nodes
from squall.ir.node import Node


def flush() -> None:
    """Evaluate everything pending on this thread. `optimizer.step()` ends with it.

    Example:
        >>> import squall as sq
        >>> x = sq.ones(3) * 2
        >>> sq.flush()
    """
    evaluate(())


def evaluate_tensors(tensors: Iterable[Any]) -> None:
    """Evaluate Tensors, and whatever else is pending. A view needs its storage, of which it is a window."""
    tensors = tuple(tensors)
    evaluate([t.node if t._cell is None or t._cell._node.buffer is not None else t._cell._node for t in tensors])
    apart = [node for node in [t.node for t in tensors] if node.buffer is None]
    if apart:  # the storage lies in a way the view's strides cannot express
        evaluate(apart)


def value_of(tensor: Any) -> Node:
    """The computed Node of a Tensor; computed again when another thread writes to its storage meanwhile."""
    node = tensor.node
    while node.buffer is None:
        evaluate_tensors((tensor,))
        node = tensor.node
    return node


def evaluate(requested: Iterable[Node]) -> None:
    """Evaluate Nodes together with all live pending values of this thread."""
    state = local.state
    native = ready.Native.flush
    if native is not None:
        requested = list(requested)
        if native(state, requested[:]):
            return
    if state.trace is not None:
        waiting = [n for n in requested if n.buffer is None]
        if waiting and not state.trace.evaluates(waiting):
            raise value_unavailable("evaluate")
        return
    roots = [n for n in requested if n.buffer is None]
    if state.flushing:
        realize.evaluate(roots)
        return
    pending: list = state.pending
    records: list = []
    try:
        state.flushing = True
        state.pending = []
        live = _live(pending, records)
        if state.broken:
            realize.evaluate(roots)
            _evaluate_apart(live)
            state.broken = False
        elif roots or live:
            trace.count("flushes")
            realize.evaluate(roots + live)
        state.retained = 0
    except BaseException as error:
        state.broken = state.broken or isinstance(error, Exception)
        state.pending = pending + state.pending
        for record in records:
            if record.state == WALKED:
                record.state = NEW
        raise
    finally:
        state.flushing = False


def _evaluate_apart(nodes: list[Node]) -> None:
    """After a flush that failed: what can be computed is, and the rest is left until somebody asks for it again."""
    for node in nodes:
        try:
            realize.evaluate([node])
        except Exception:
            trace.count("values left broken")


def _live(pending: list, records: list) -> list[Node]:
    """Uncomputed Nodes of live handles and cells, and what their history saved."""
    roots: list[Node] = []
    edges: list[Any] = []
    for reference in pending:
        held = reference()
        if held is None:
            continue
        if held.__class__ is not Cell:
            if held._edge is not None:
                edges.append(held._edge)
            if held._cell is not None:
                continue
        node = held._node
        if node.buffer is None:
            roots.append(node)
    roots += saved_nodes(edges, records)
    return roots


def user_line() -> str:
    """file:line of the innermost frame outside squall."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "squall":
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"


class Place(NamedTuple):
    """A place in the user's program that is only put into words when an error needs them."""

    code: Any
    instruction: int

    def __str__(self) -> str:
        lines = (line for first, end, line in self.code.co_lines() if first <= self.instruction < end)
        return f"{self.code.co_filename}:{next(lines, None) or self.code.co_firstlineno}"


own_files: dict[str, bool] = {}  # by file, whether it is one of squall's


def user_place() -> Place | None:
    """Where the innermost frame outside squall stands, cheaply."""
    frame: Any = sys._getframe(1)  # native code asks on behalf of the user's own frame
    while frame is not None:
        code = frame.f_code
        own = own_files.get(code.co_filename)
        if own is None:
            name = frame.f_globals.get("__name__", "")
            own = own_files[code.co_filename] = name == "squall" or name.startswith("squall.")
        if not own:
            return Place(code, frame.f_lasti)
        frame = frame.f_back
    return None


class ValueUnavailableError(TraceError):
    """A traced Tensor was asked for its value."""


class UnknownSizeError(ValueUnavailableError):
    """A function of ours had to read values to make its result; `function` is its name."""

    def __init__(self, text: str, function: str):
        super().__init__(text)
        self.function = function


def value_unavailable(what: str) -> ValueUnavailableError:
    """The error for asking a traced Tensor for its value."""
    return ValueUnavailableError(
        f"{what}: the value of a traced tensor was asked for. Inside sq.compile, vmap, scan and cond values are not "
        "known yet: use sq.where or sq.cond in place of a Python if on a value, sq.while_loop in place of a while, "
        "sq.scan in place of a loop over values, return the tensor and read it outside, or leave this part uncompiled.")


def retained(state: ThreadState, nbytes: int) -> None:
    """Note memory that pending work may keep alive; too much forces a flush."""
    state.retained += nbytes
    if state.retained > config.get("pending_megabytes") << 20 and not state.flushing and state.pending:
        evaluate(())


def pressure(state: ThreadState) -> None:
    """Too much is pending. Listen until the period of what is recorded is known, flush, and from then on flush
    once every so many whole periods: equal graphs, one plan. Another loop shows by another op at that point, or by
    new plans."""
    if state.trace is not None or state.flushing:
        state.limit = len(state.pending) + 1000
        return
    latest = _signature(state.pending[-1]())
    if state.rhythm is None:
        anchor, strikes = state.anchor
        if latest == anchor and strikes < 2:
            before = realize.plans.misses
            evaluate(())
            state.anchor = (anchor, strikes + 1 if realize.plans.misses > before else 0)
            return
        state.rhythm = []
    count = len(state.pending)
    if state.rhythm and count <= state.rhythm[-1][1]:  # flushed since: what was heard before is no part of this
        state.rhythm = []
    state.rhythm.append((latest, count))
    heard = len(state.rhythm)
    period = _period([signature for signature, _ in state.rhythm]) if heard in (64, 256, 1024, 4096) else 0
    if not period and heard < 4096:
        return
    base = config.get("pending_nodes")
    # writes and views are listed as pending too, but not heard
    length = state.rhythm[-1][1] - state.rhythm[-1 - period][1] if period else 0
    state.limit = max(base // length, 1) * length - 1 if period else base
    state.rhythm = None
    state.anchor = (latest, 0)
    evaluate(())


def _signature(held: Any) -> Any:
    if held is None or held._node is None:
        return None
    node = held._node
    return (node.op.name, node.attrs, getattr(node.type, "shape", None))


def _period(signatures: list) -> int:
    """The period of a sequence when it repeats at least twice, else 0 (Knuth, Morris and Pratt's failure function)."""
    failure = [0] * len(signatures)
    k = 0
    for i in range(1, len(signatures)):
        while k and signatures[i] != signatures[k]:
            k = failure[k - 1]
        if signatures[i] == signatures[k]:
            k += 1
        failure[i] = k
    period = len(signatures) - failure[-1]
    return period if period <= len(signatures) // 2 else 0
