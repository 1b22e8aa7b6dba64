"""What to say when a kernel met an index outside of its dimension, or a host step a matrix without a result: which op,
operand, value and line of the program.

A plan serves graphs recorded at different lines, so its kernels report no more than that a check failed. The graph that
was run still stands then, since checks come before the first overwriting: its value checks are repeated one by one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from squall.base.dim import evaluate
from squall.base.errors import IndexRangeError, LinAlgError, no_result
from squall.ir.graph import Graph, expand_composites
from squall.ir.node import Node, toposort
from squall.ir.op import Indexed, ops


def index_error(roots: Iterable[Node], value_of: Callable[[Node], Any], sizes: Mapping[str, int] | None = None,
                known: IndexError | None = None) -> IndexError:
    """The error for a graph that could not be evaluated.

    Args:
        roots: of the graph. value_of: gives a Node's value as an array. sizes: the symbols' values.
        known: what to raise when every check passes after all.

    Returns:
        IndexError: names the op, the operand, the first value outside, where it is, the dimension and its size, and
        the line that recorded the op.
    """
    whole = expand_composites(roots, lambda n: n.op is ops.call)
    for node in toposort(whole, lambda n: n.buffer is not None):
        if node.buffer is not None or node.op.checks is None:
            continue
        for check in node.op.checks(tuple([n.type for n in node.inputs]), node.attrs):
            size = evaluate(node.inputs[0].type.shape[check.dim], sizes or {})
            wrong = _outside(value_of(node.inputs[check.operand]), check, size)
            if wrong is not None:
                return IndexRangeError(_message(node, check, size, *wrong))
    return known or IndexRangeError("an index is out of range")


def matrix_error(roots: Iterable[Node], value_of: Callable[[Node], Any], known: LinAlgError) -> LinAlgError:
    """The error that a host step raised for a matrix, with the line that recorded the op.

    Args:
        roots, value_of: as for `index_error`. known: what the host step raised.
    """
    whole = expand_composites(roots, lambda n: n.op is ops.call)
    nodes = toposort(whole, lambda n: n.buffer is not None)
    tried = [n for n in nodes if n.op.name == known.op and n.buffer is None]
    inside = [n for n in _of_bodies(nodes) if n.op.name == known.op]
    for node in tried if len(tried) + len(inside) > 1 else ():  # which of them was it?
        try:
            node.op.reference(*map(value_of, node.inputs), **node.op.named(node.attrs))
        except LinAlgError as error:
            known, tried, inside = error, [node], []
            break
    lines = {getattr(n, "where", None) for n in (inside or tried)}
    line = lines.pop() if len(lines) == 1 else None
    return no_result(f"{known} It was recorded at {line}.", known.op) if line else known


def _of_bodies(nodes: Iterable[Node]) -> Iterator[Node]:
    """What the bodies of loops and branches hold."""
    for node in nodes:
        for body in node.attrs:
            if isinstance(body, Graph):
                inner = toposort(body.outputs)
                yield from inner
                yield from _of_bodies(inner)


def _outside(values: Any, check: Indexed, size: int) -> tuple[int, tuple[int, ...]] | None:
    """The first value that is not allowed, and its position."""
    bad = (values < (-size if check.signed else 0)) | (values >= size)
    if check.ignored is not None:
        bad &= values != check.ignored
    if not bad.any():
        return None
    flat = int(bad.reshape(-1).argmax())
    place, rest = [], flat
    for n in reversed(values.shape):
        rest, at = divmod(rest, n)
        place.append(at)
    return int(values.reshape(-1)[flat]), tuple(place[::-1])


def _message(node: Node, check: Indexed, size: int, value: int, place: tuple[int, ...]) -> str:
    at = f" at {list(place)}" if place else ""
    line = getattr(node, "where", None)
    return (f"{node.op.name}: {_name_of(node.op, check.operand)} holds {value}{at}: index {value} is out of range for "
            f"dimension {check.dim} of size {size} of {_name_of(node.op, 0)}"
            + (f". It was recorded at {line}." if line else ""))


def _name_of(op: Any, position: int) -> str:
    """An operand by number, and by name where the op's reference gives one."""
    for i, parameter in enumerate(inspect.signature(op.reference).parameters.values()):
        if parameter.kind is parameter.VAR_POSITIONAL and i <= position:
            return f"operand {position} (of {parameter.name})"
        if i == position:
            return f"operand {position} ({parameter.name})"
    return f"operand {position}"
