"""Scalar functions as data: what a user's score function does to one score, kept by content in an op's attributes.

A program is a tuple of steps, the last its result. A step is an elementwise op on earlier steps, a constant, an input
(the score, the batch, the head, the query, the key, the gradient of the result), or one element of a captured tensor.
Equal functions give equal programs, so kernels and plans are found again however often a function is traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from squall.base.dtypes import int64
from squall.ir.node import Node, tensor_type
from squall.ir.op import Scalar, constant, op_named, ops
from squall.ops.common import device_of
from squall.ops.slicing import position

INPUTS = ("score", "batch", "head", "query", "key", "gradient")


class Step(NamedTuple):
    """One value of a program.

    op: an elementwise op's name, "input", "constant" or "element". attrs: its attributes; the input's number; the
    constant's text; the captured tensor's number. dtype: of the value. operands: numbers of steps; of an element its
    index, one for each dimension.
    """

    op: str
    attrs: tuple
    dtype: Any
    operands: tuple[int, ...] = ()


class NotScalarError(Exception):
    """A function does something that no program says."""


class _Partial(NamedTuple):
    """A captured tensor with some dimensions indexed: for each dimension the number of a step, or None."""

    captured: int
    index: tuple


def program_of(outputs: Node, inputs: dict[int, int], captured: dict[int, int], order: Sequence[Node]) -> tuple:
    """The program of a zero-dimensional Node.

    Args:
        inputs: by id of a placeholder its number in `INPUTS`. captured: by id of a Node the number of an operand.
        order: all Nodes the result needs, operands first.

    Raises:
        NotScalarError: when a Node is neither elementwise nor an element of a captured tensor.
    """
    steps: list[Step] = []
    known: dict[Step, int] = {}
    values: dict[int, Any] = {}

    def add(step: Step) -> int:
        if step not in known:
            known[step] = len(steps)
            steps.append(step)
        return known[step]

    def element(partial: _Partial, dtype: Any) -> Any:
        if any(i is None for i in partial.index):
            return partial
        return add(Step("element", (partial.captured,), dtype, tuple(partial.index)))

    for node in order:
        if id(node) in inputs:
            values[id(node)] = add(Step("input", (inputs[id(node)],), node.dtype))
        elif id(node) in captured:
            values[id(node)] = element(_Partial(captured[id(node)], (None,) * len(node.shape)), node.dtype)
        elif node.op is ops.constant:
            values[id(node)] = add(Step("constant", (node.attrs[0],), node.dtype))
        elif node.op.name in ("take", "index"):
            values[id(node)] = element(_indexed(node, values), node.dtype)
        elif isinstance(node.op.lowering, Scalar) and node.shape == ():
            operands = tuple(values[id(n)] for n in node.inputs)
            if any(isinstance(o, _Partial) for o in operands):
                raise NotScalarError(f"{node.op.name} of a tensor")
            attrs = () if node.op is ops.cast else node.attrs
            values[id(node)] = add(Step(node.op.name, attrs, node.dtype, operands))
        else:
            raise NotScalarError(f"{node.op.name} of shape {tuple(node.shape)}")
    last = values[id(outputs)]
    return tuple(steps[: last + 1]) if last == len(steps) - 1 else _ending(steps, last)


def _ending(steps: list[Step], last: int) -> tuple:
    """Only the steps that one of them needs, it being the last."""
    needed = {last}
    for number in range(last, -1, -1):
        if number in needed:
            needed.update(steps[number].operands)
    number = {old: new for new, old in enumerate(sorted(needed))}
    return tuple(steps[n]._replace(operands=tuple(number[o] for o in steps[n].operands)) for n in sorted(needed))


def _indexed(node: Node, values: dict[int, Any]) -> _Partial:
    """`take` or `index` with zero-dimensional indices."""
    x, *where = node.inputs
    partial = values[id(x)]
    if not isinstance(partial, _Partial) or any(n.shape != () for n in where):
        raise NotScalarError(f"{node.op.name} of what is no captured tensor")
    dims = (node.attrs[0],) if node.op is ops.take else tuple(node.attrs[0])
    free = [d for d, i in enumerate(partial.index) if i is None]
    index = list(partial.index)
    for d, n in zip(dims, where, strict=True):
        index[free[d]] = values[id(n)]
    return _Partial(partial.captured, tuple(index))


def levels(program: tuple) -> list[int]:
    """Where each value may be computed: 0 once for all scores, 1 for each query, 2 for each key (alike for all
    queries), 3 for each score."""
    found: list[int] = []
    for step in program:
        if step.op == "input":
            found.append((3, 0, 0, 1, 2, 3)[step.attrs[0]])
            continue
        needed = {found[o] for o in step.operands}
        found.append(3 if 3 in needed or {1, 2} <= needed else max(needed, default=0))
    return found


def is_input(program: tuple, name: str) -> bool:
    """Whether a program gives one of its inputs as it is."""
    return program[-1].op == "input" and INPUTS[program[-1].attrs[0]] == name


def run_program(program: tuple, inputs: Sequence[Any], captured: Sequence[Any]) -> Any:
    """A program on whole values that broadcast against each other: Nodes, or anything ops apply to. An index counts
    from the end when it is negative, and what lies outside reads the nearest element."""
    made: list[Any] = []
    for step in program:
        operands = [made[o] for o in step.operands]
        if step.op == "input":
            value = inputs[step.attrs[0]]
        elif step.op == "constant":
            value = Node(ops.constant, (), (step.attrs[0], step.dtype), tensor_type((), step.dtype))
        elif step.op == "element":
            value = _elements(captured[step.attrs[0]], operands)
        elif step.op == "cast":
            value = ops.cast(operands[0], dtype=step.dtype)
        else:
            op = op_named(step.op)
            value = op(*operands, **op.named(step.attrs))
        made.append(value)
    return made[-1]


def _elements(x: Any, indices: list) -> Any:
    """Elements of a captured tensor."""
    inside = []
    for size, given in zip(x.shape, indices, strict=True):
        at = given if given.dtype is int64 else ops.cast(given, dtype=int64)
        extent = position(size, device_of(at))
        at = ops.where(ops.lt(at, constant(0, int64)), ops.add(at, extent), at)
        last = ops.sub(extent, constant(1, int64))
        inside.append(ops.maximum(ops.minimum(at, last), constant(0, int64)))
    if not inside:
        return x
    return ops.take(x, inside[0], dim=0) if len(inside) == 1 else ops.index(x, *inside, dims=tuple(range(len(inside))))
