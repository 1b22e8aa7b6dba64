"""Gradients of what every step of a loop reads, taken out of the loop.

Such a gradient is a sum over the steps. Where one step's part is a contraction (the gradient of a weight) or a sum
(of a bias), all steps together are one contraction or one sum over stacked values, instead of one small one for each
step and an addition to an accumulator as large as the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall.ir.families import movement
from squall.ir.node import Node, toposort
from squall.ir.op import ops
from squall.transforms.batch import batch_nodes
from squall.transforms.walk import depending

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Hoisted:
    """One gradient as ops on stacks.

    Attributes:
        root: the gradient of one step. operands: values of a step it is made of, stacked: xs of the loop by number,
        or ys that the loop gives in addition.
    """

    def __init__(self, root: Node, fixed: Sequence[Node], xs: Sequence[Node]):
        self.root = root
        self.number = {id(n): i for i, n in enumerate(xs)}
        self.moving = depending(toposort([root]), (*fixed, *xs))
        self.bases: list[Node] = []
        self.places: dict[int, int] = {}

    @classmethod
    def of(cls, root: Node, fixed: Sequence[Node], xs: Sequence[Node]) -> Hoisted | None:
        """The hoisted form of a gradient, or None if it must be added up step by step.

        Args:
            fixed: inputs of the body that have no stack: consts and carries. xs: those that are slices.
        """
        made = cls(root, fixed, xs)
        return made if made._fits(root) else None

    def _fits(self, node: Node) -> bool:
        base = self._below(node)
        if base.op is ops.add and base.dtype.category >= 2:
            same = all(tuple(n.shape) == tuple(base.shape) for n in base.inputs)
            return same and all(self._fits(n) for n in base.inputs)
        if base.op is not ops.contract and base.op is not ops.sum:
            return False
        if base.op is ops.contract and (base.dtype.itemsize < 4 or any(base.attrs[1:])):
            return False  # 16-bit parts are rounded step by step; parts of products are not stacked
        if not all(id(n) in self.moving for n in base.inputs):
            return False
        self.bases += [self._below(n) for n in base.inputs]
        return True

    def _below(self, node: Node) -> Node:
        """The value that a chain of moves rearranges."""
        while _moves(node) and id(node) not in self.number:
            node = node.inputs[0]
        return node

    def place(self, outputs: list[Node], first: int) -> None:
        """Make the body's outputs hold what is to be stacked.

        Args:
            outputs: of the body, to be added to. first: how many of them are carries.
        """
        position = {id(n): i for i, n in reversed(list(enumerate(outputs))) if i >= first}
        for base in self.bases:
            if id(base) in self.number:
                continue
            if id(base) not in position:
                position[id(base)] = len(outputs)
                outputs.append(base)
            self.places[id(base)] = position[id(base)]

    def value(self, stacks: Sequence[Any], results: Sequence[Any], length: Any) -> Any:
        """The gradient over all steps.

        Args:
            stacks: the loop's xs. results: the loop's results.
        """
        values: dict[int, Any] = {}
        for base in self.bases:
            values[id(base)] = (
                stacks[self.number[id(base)]] if id(base) in self.number else results[self.places[id(base)]]
            )
        return self._of(self.root, values, length)

    def _of(self, node: Node, values: dict[int, Any], length: Any) -> Any:
        if _moves(node):
            inner = self._of(node.inputs[0], values, length)
            return node.op(inner, *node.inputs[1:], **node.op.named(node.attrs))
        if node.op is ops.add:
            return ops.add(*(self._of(n, values, length) for n in node.inputs))
        a, *b = (self._stacked(n, values, length) for n in node.inputs)
        if node.op is ops.sum:
            dims, keepdim = node.attrs[0], node.attrs[1]
            made = ops.sum(a, dims=(0, *(d + 1 for d in dims)), keepdim=False)
            return ops.reshape(made, shape=tuple(node.shape)) if keepdim else made
        equation = node.attrs[0]
        letter = next(c for c in LETTERS if c not in equation)
        left, _, out = equation.partition("->")
        first, _, second = left.partition(",")
        return ops.contract(a, b[0], equation=f"{letter}{first},{letter}{second}->{out}")

    def _stacked(self, node: Node, values: dict[int, Any], length: Any) -> Any:
        if id(node) not in values:
            known = dict(values)
            batch_nodes(toposort([node], lambda n: id(n) in values), known, length)
            return known[id(node)]
        return values[id(node)]


def _moves(node: Node) -> bool:
    return node.op.family is movement and len(node.inputs) == 1 and node.op.name in ("reshape", "permute", "flip")
