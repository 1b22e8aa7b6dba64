"""One layout from end to end: permutations move past elementwise ops, so that chains of them meet and cancel.

Convolutions, pooling and batch_norm compute with the channels last and turn their operands and results between that
and the order users see. Here each turn is pushed towards the results: an op of turned operands becomes a turned op,
until the next layer turns its operand the other way. What a ResNet computes between its first layer and its last is
then held with the channels last, and no value is ever moved for it.

Only order in memory changes: elementwise results keep every bit, and reductions are left as they are.
"""

from __future__ import annotations

from typing import Any

from squall.ir.node import Node
from squall.ir.op import Scalar, make, ops

MOST_ONES = 1  # dimensions other than 1 that an operand may have to be turned for nothing


def is_elementwise(node: Node) -> bool:
    """Whether a node is computed element by element."""
    return node.op.lowering.__class__ is Scalar


def _turn(rank: int) -> tuple[int, ...]:
    """From channels last to channels at dimension 1."""
    return (0, rank - 1, *range(1, rank - 1))


def _back(rank: int) -> tuple[int, ...]:
    return (0, *range(2, rank), 1)


def is_turned(node: Node) -> bool:
    """Whether a node is a permutation that puts its last dimension at 1."""
    rank = len(node.attrs[0]) if node.op.name == "permute" and node.inputs else 0
    return rank > 2 and node.attrs[0] == _turn(rank)


def _plain(operand: Node, rank: int) -> Node:
    """An operand with its channels last."""
    if is_turned(operand):
        return operand.inputs[0]
    shape = tuple(operand.shape)
    if not shape:
        return operand
    if len(shape) < rank:
        operand = make(ops.reshape, (operand,), ((1,) * (rank - len(shape)) + shape,))
    return make(ops.permute, (operand,), (_back(rank),))


def elementwise(node: Node) -> Node | None:
    """The turned op of plain operands, if more of its operands of full size are turned than are not."""
    rank, shape = len(node.shape), tuple(node.shape)
    if rank < 3 or not any(is_turned(n) and len(n.shape) == rank for n in node.inputs):
        return None
    whole = [is_turned(n) for n in node.inputs if tuple(n.shape) == shape and not _is_uniform(n)]
    if 2 * sum(whole) <= len(whole):
        return None
    operands = tuple(_plain(n, rank) for n in node.inputs)
    order = _back(rank)
    inner = Node(node.op, operands, node.attrs, node.type.with_shape(tuple(shape[d] for d in order)))
    return Node(ops.permute, (inner,), (_turn(rank),), node.type)


def _is_uniform(node: Node) -> bool:
    """Whether a node is a broadcast of few numbers."""
    while node.op.name in ("expand", "reshape", "permute") and node.inputs:
        node = node.inputs[0]
        if sum(not (isinstance(n, int) and n == 1) for n in node.shape) <= MOST_ONES:
            return True
    return node.op.name == "constant"


def pad(node: Node) -> Node | None:
    """A pad of a turned value as the turned pad of the value."""
    (x,), (low, high, interior, value) = node.inputs, node.attrs
    if not is_turned(x):
        return None
    order = _back(len(node.shape))
    turned: Any = tuple(tuple(part[d] for d in order) for part in (low, high, interior))
    return make(ops.permute, (make(ops.pad, x.inputs, (*turned, value)),), (_turn(len(node.shape)),))


def concat(node: Node) -> Node | None:
    """A concat of turned values as the turned concat of the values."""
    if not all(map(is_turned, node.inputs)):
        return None
    rank = len(node.shape)
    inner = make(ops.concat, tuple(n.inputs[0] for n in node.inputs), (_turn(rank)[node.attrs[0]],))
    return make(ops.permute, (inner,), (_turn(rank),))
