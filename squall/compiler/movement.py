"""Movement ops as maps: the position at which an operand is read, given the position of the result.

`MAPS[op](node, index, starts)` gives the operand's position; `guards` are the bounds a `pad` puts on it. A map
raises `Split` or `Unfit` (see `affine`). `concat` and `update_slice` are no maps: they are writes into one buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from squall.base.shapes import contiguous_strides
from squall.compiler.affine import ZERO, Affine, Index, Unfit, exact, flatten, unravel
from squall.ir.node import Node

Starts = Callable[[Node], Affine]


def is_one(size: Any) -> bool:
    """Whether a size is the int 1."""
    return isinstance(size, int) and size == 1


def canonical(index: Index, shape: tuple) -> Index:
    """Positions of dimensions of size 1 are 0."""
    return tuple([ZERO if n.__class__ is int and n == 1 else e for e, n in zip(index, shape, strict=True)])


def broadcast(index: Index, shape: tuple) -> Index:
    """The position in an operand that broadcasts, from the position in the result."""
    lead = len(index) - len(shape)
    return canonical(index[lead:], shape)


def segments(old: tuple, new: tuple) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Runs of dimensions of two shapes that hold the same elements: ((begin, end) of old, (begin, end) of new)."""
    out = []
    i = j = 0
    while i < len(old) or j < len(new):
        begin = i, j
        a = b = 1
        while True:
            if i > begin[0] and j > begin[1] and a == b:
                break
            if i == len(old) and j == len(new):
                break
            take_old = j == len(new) or (i < len(old) and (i == begin[0] or _smaller(a, b)))
            if take_old:
                a, i = a * old[i], i + 1
            else:
                b, j = b * new[j], j + 1
        while i < len(old) and is_one(old[i]):
            i += 1
        while j < len(new) and is_one(new[j]):
            j += 1
        out.append(((begin[0], i), (begin[1], j)))
    return out


def _smaller(a: Any, b: Any) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    return exact(b, a) is not None


def _reshape(node: Node, index: Index, starts: Starts) -> Index:
    """Merge and split positions, run by run of dimensions of equal element count."""
    old, new = node.inputs[0].shape, node.shape
    out: list[Affine] = []
    for (a, b), (c, d) in segments(old, new):
        source, target = old[a:b], new[c:d]
        if prod(source) != prod(target):
            raise Unfit
        if 0 in source:  # no position is ever asked for
            out.extend(ZERO for _ in source)
            continue
        if len(source) == 1 and len(target) == 1:
            out.append(index[c])
            continue
        out.extend(unravel(flatten(index[c:d], contiguous_strides(target)), source))
    return canonical(tuple(out), old)


def _permute(node: Node, index: Index, starts: Starts) -> Index:
    out: list[Affine] = [ZERO] * len(index)
    for position, d in enumerate(node.attrs[0]):
        out[d] = index[position]
    return tuple(out)


def _expand(node: Node, index: Index, starts: Starts) -> Index:
    return broadcast(index, node.inputs[0].shape)


def _slice(node: Node, index: Index, starts: Starts) -> Index:
    dims, _, steps = node.attrs
    out = list(index)
    for d, step, start in zip(dims, steps, node.inputs[1:], strict=True):
        out[d] = index[d] * step + starts(start)
    return tuple(out)


def _flip(node: Node, index: Index, starts: Starts) -> Index:
    out = list(index)
    for d in node.attrs[0]:
        out[d] = index[d] * -1 + (node.shape[d] - 1)
    return canonical(tuple(out), node.shape)


def _window(node: Node, index: Index, starts: Starts) -> Index:
    dims, _, steps, dilations = node.attrs
    rank = len(node.inputs[0].shape)
    out = list(index[:rank])
    for k, d in enumerate(dims):
        out[d] = index[d] * steps[k] + index[rank + k] * dilations[k]
    return canonical(tuple(out), node.inputs[0].shape)


def _diagonal(node: Node, index: Index, starts: Starts) -> Index:
    offset, first, second = node.attrs
    rest = list(index[:-1])
    along = index[-1]
    out: list[Affine] = []
    for d in range(len(node.inputs[0].shape)):
        if d == first:
            out.append(along + max(-offset, 0))
        elif d == second:
            out.append(along + max(offset, 0))
        else:
            out.append(rest.pop(0))
    return canonical(tuple(out), node.inputs[0].shape)


def crop(node: Node, index: Index, starts: Starts) -> Index:
    """`pad` without interior: the operand's position, which the guards of `pad_bounds` keep inside."""
    low = node.attrs[0]
    return tuple(e + -n for e, n in zip(index, low, strict=True))


def pad_bounds(node: Node) -> list[int]:
    """Dimensions in which a position of the result may lie outside the operand."""
    low, high, _, _ = node.attrs
    return [d for d, (a, b) in enumerate(zip(low, high, strict=True)) if _may_exceed(a) or _may_exceed(b)]


def _may_exceed(size: Any) -> bool:
    return not isinstance(size, int) or size > 0


MAPS: dict[str, Callable[[Node, Index, Starts], Index]] = {
    "reshape": _reshape, "permute": _permute, "expand": _expand, "slice": _slice, "flip": _flip, "window": _window,
    "diagonal": _diagonal,
}


def is_map(node: Node) -> bool:
    """Whether a node only renames positions of its first operand."""
    return node.op.name in MAPS


def is_simple_pad(node: Node) -> bool:
    """Whether a node is a `pad` that puts nothing between elements."""
    return node.op.name == "pad" and all(isinstance(n, int) and n == 0 for n in node.attrs[2])


def uniform_value(node: Node) -> Node | None:
    """The constant that every element of a node is, or None."""
    while node.op.name in ("expand", "reshape", "permute", "slice", "flip"):
        node = node.inputs[0]
    return node if node.op.name == "constant" else None


def is_placement(node: Node) -> bool:
    """Whether a node is a value placed, densely, into a constant: an `update_slice` that is a pad."""
    return (node.op.name == "update_slice" and all(isinstance(k, int) and k == 1 for k in node.attrs[1])
            and uniform_value(node.inputs[0]) is not None)
