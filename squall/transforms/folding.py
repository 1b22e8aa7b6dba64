"""Work on values that stay as they are, taken out of a graph; a scale and a shift behind a product go into its weight.

A frozen program's weights are known. A convolution or linear layer whose channels are then multiplied by known numbers,
as batch normalisation does when it evaluates, is the same with other weights, and what is added to its channels is a
bias. 3 x 3 convolutions are computed with fewer products (`ops.winograd`). Whatever depends on known values alone is
computed once and read from then on. The first two round otherwise than the graph as it was written; the last keeps
every bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

from squall.base.dtypes import int8, uint8
from squall.ir.families import movement
from squall.ir.graph import rebuild
from squall.ir.node import Node, toposort, users
from squall.ir.op import ops
from squall.ops import winograd

SMALL = 1 << 14  # elements; larger values are taken out only where they are no larger than what they are made of


class Folding(NamedTuple):
    """A graph without work on known values.

    Attributes:
        roots: of the graph that is left. made: what it reads in the place of that work, expressions of the known
            leaves; they are leaves to it. notes: what was folded into what, in words.
    """

    roots: list[Node]
    made: list[Node]
    notes: list[str]


def fold(roots: Sequence[Node], known: Iterable[Node]) -> Folding | None:
    """Take out of a graph what depends on known leaves alone; None where there is nothing to take out.

    Args:
        roots: the graph. known: leaves whose values stay as they are; numbers are among them.

    Example:
        >>> from squall.base.dtypes import float32
        >>> from squall.ir.graph import placeholder
        >>> from squall.ir.node import tensor_type
        >>> x, w = placeholder(0, tensor_type((2, 3), float32)), placeholder(1, tensor_type((4, 3), float32))
        >>> s = placeholder(2, tensor_type((4,), float32))
        >>> fold([ops.mul(ops.linear(x, w), s)], [w, s]).notes
        ['mul into linear']
    """
    leaves = {id(n): n for n in known}
    scaled, notes = _Products(roots, leaves).run()
    quick, weights = _with_fewer_products(scaled, leaves, notes)
    made = _taken_out(quick, leaves, weights)
    return Folding(quick, made, notes) if made else None


class _Known:
    """Which nodes of an order depend on known leaves alone, and on one that is no number."""

    def __init__(self, leaves: dict[int, Node]):
        self.weights = {key for key, n in leaves.items() if n.op is not ops.scalar}
        self.neutral = {key for key, n in leaves.items() if n.op is ops.scalar}

    def add(self, node: Node) -> None:
        """Look at a node after its operands."""
        key = id(node)
        if key in self.weights or key in self.neutral or node.op.checks is not None:
            return
        if node.op is ops.constant:
            self.neutral.add(key)
        elif node.inputs and all(id(n) in self.weights or id(n) in self.neutral for n in node.inputs):
            (self.weights if any(id(n) in self.weights for n in node.inputs) else self.neutral).add(key)


class _Products:
    """Scales and shifts of channels behind products with known weights, folded into these."""

    def __init__(self, roots: Sequence[Node], leaves: dict[int, Node]):
        self.roots, self.known = list(roots), _Known(leaves)
        self.order = toposort(self.roots)
        readers = users(self.order)
        outside = {id(r) for r in self.roots}
        self.single = {key for key, found in readers.items() if len(found) == 1 and key not in outside}
        self.notes: list[str] = []

    def run(self) -> tuple[list[Node], list[str]]:
        """The roots, and what was folded."""
        replaced: dict[int, Node] = {}
        for node in self.order:
            self.known.add(node)
            operands = tuple([replaced[id(n)] for n in node.inputs])
            made = self._folded(node, operands) if node.op.name in ("mul", "div", "add", "sub") else None
            if made is None:
                rebuild([node], replaced)
                self.known.add(replaced[id(node)])
                continue
            replaced[id(node)] = made
            self.notes.append(f"{node.op.name} into {made.op.name}")
        return [replaced[id(r)] for r in self.roots], self.notes

    def _folded(self, node: Node, operands: tuple[Node, ...]) -> Node | None:
        """The product that gives what an op makes of a product and known numbers, or None."""
        name = node.op.name
        for at in (0, 1) if name in ("mul", "add") else (0,):
            product, by = operands[at], operands[1 - at]
            if id(node.inputs[at]) in self.single and id(by) in self.known.weights and self._is_product(product):
                column = _column(product, by)
                if column is not None and tuple(node.shape) == tuple(product.shape):
                    return self._product(product, name, column)
        return None

    def _is_product(self, node: Node) -> bool:
        """Whether a node is a product with known weights, of floating numbers."""
        if node.op.name not in ("linear", "convolution", "convolution_transpose") or node.dtype.category != 2:
            return False
        if node.op.name == "convolution_transpose" and node.attribute("groups") != 1:
            return False
        return all(id(n) in self.known.weights for n in node.inputs[1:])

    def _product(self, product: Node, name: str, column: Node) -> Node:
        x, weight, *rest = product.inputs
        bias = rest[0] if rest else None
        if name in ("mul", "div"):
            rank, at = len(weight.shape), 1 if product.op.name == "convolution_transpose" else 0
            shape = tuple(column.shape[0] if d == at else 1 for d in range(rank))
            by = getattr(ops, name)
            weight = by(weight, ops.reshape(column, shape=shape))
            bias = None if bias is None else by(bias, column)
        elif bias is not None:
            bias = getattr(ops, name)(bias, column)
        else:
            bias = column if name == "add" else ops.neg(column)
        operands = (x, weight) if bias is None else (x, weight, bias)
        for made in toposort(operands[1:]):
            self.known.add(made)
        return Node(product.op, operands, product.attrs, product.type)


def _column(product: Node, by: Node) -> Node | None:
    """Known numbers, one for each channel of a product, as a vector; None for other numbers."""
    rank, channels = len(product.shape), product.inputs[1].shape[0]
    at = rank - 1
    if product.op.name != "linear":
        at = 1
        channels = product.shape[1]
    shape = (1,) * (rank - len(by.shape)) + tuple(by.shape)
    if len(shape) != rank or by.dtype is not product.dtype or channels.__class__ is not int:
        return None
    if shape[at] != channels or any(n != 1 for d, n in enumerate(shape) if d != at):
        return None
    return by if len(by.shape) == 1 else ops.reshape(by, shape=(channels,))


def _with_fewer_products(roots: list[Node], leaves: dict[int, Node], notes: list[str]) -> tuple[list[Node], set[int]]:
    """Convolutions with known weights by Winograd's filters where that pays, and the transformed weights."""
    known, replaced = _Known(leaves), {}
    weights: set[int] = set()
    for node in toposort(roots):
        known.add(node)
        if not _takes_tiles(node, known):
            rebuild([node], replaced)
            continue
        (x, weight, *bias), padding = (replaced[id(n)] for n in node.inputs), node.attrs[1]
        made = winograd.transformed(weight)
        weights.add(id(made))
        replaced[id(node)] = winograd.correlate(x, made, padding, *bias)
        notes.append("convolution by tiles of 2 x 2")
    return [replaced[id(r)] for r in roots], weights


def _takes_tiles(node: Node, known: _Known) -> bool:
    """Whether a node is a convolution of something else with known weights, of a kind that is quicker by tiles."""
    if node.op is not ops.convolution or id(node) in known.weights or id(node.inputs[1]) not in known.weights:
        return False
    stride, _, dilation, groups = node.attrs
    return winograd.pays(node.inputs[1].shape, stride, dilation, groups, node.dtype)


def _taken_out(roots: list[Node], leaves: dict[int, Node], wanted: set[int]) -> list[Node]:
    """The largest expressions of known leaves that the rest of a graph reads, less the views around them; those that
    are `wanted`, however large."""
    known, order = _Known(leaves), toposort(roots)
    for node in order:
        known.add(node)
    made: dict[int, Node] = {}
    for node in order:
        if id(node) in known.weights:
            continue
        for operand in node.inputs:
            found = _behind_views(operand)
            if id(found) in known.weights and found.inputs and (id(found) in wanted or _is_worth(found)):
                made[id(found)] = found
    return list(made.values())


def _behind_views(node: Node) -> Node:
    while node.inputs and (_is_view(node) or _is_of_bytes(node)):
        node = node.inputs[0]
    return node


def _is_view(node: Node) -> bool:
    return node.op.family is movement and len(node.inputs) == 1 and node.op.name != "pad"


def _is_of_bytes(node: Node) -> bool:
    """Whether bytes are made wider integers: products read the bytes themselves."""
    return node.op is ops.cast and node.dtype.category == 1 and node.inputs[0].dtype in (int8, uint8)


def _is_worth(node: Node) -> bool:
    """Whether a value is one Tensor, and not much larger than what it is made of."""
    if node.type.__class__ is tuple or not all(n.__class__ is int for n in node.shape):
        return False
    size = prod(node.shape)
    return size <= SMALL or size <= sum(prod(n.shape) for n in toposort([node]) if not n.inputs)
