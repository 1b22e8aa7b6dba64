"""Kept parts of a `concat` whose places in it are consecutive memory are computed right there, and not copied.

So stacking the states of a loop costs nothing. The part's home becomes a stretch of the joined buffer; whoever reads
the whole waits for those who write the part.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.shapes import contiguous_strides
from squall.compiler.movement import is_one
from squall.compiler.pull import Home
from squall.compiler.work import Work
from squall.ir.node import Node
from squall.ir.op import Library


def put_parts(work: Work, node: Node) -> None:
    """Move the homes of a concat's parts into it, where that is possible."""
    (dim,) = node.attrs
    whole = work.homes[id(node)]
    if not all(is_one(n) for n in node.shape[:dim]):
        return
    offset: Any = whole.offset
    for part in node.inputs:
        base = part
        while base.op.name == "reshape" and work.home(base) is None:
            base = base.inputs[0]
        if _is_movable(work, base, node):
            home = Home(whole.buffer, contiguous_strides(tuple(base.shape)), offset)
            work.homes[id(base)] = home
            work.parts.setdefault(id(base), []).append(node)
        offset = offset + part.shape[dim] * whole.strides[dim]


def _is_movable(work: Work, base: Node, node: Node) -> bool:
    home = work.homes.get(id(base))
    if home is None or id(base) not in work.kept or id(base) in work.root_ids or base.dtype is not node.dtype:
        return False
    held = work.memories[home.buffer]
    if base.op.name in ("concat", "pick") or isinstance(base.op.lowering, Library):
        return False  # a library call writes from the beginning of its memory
    is_own = held.kind == "arena" and held.nbytes == prod(base.shape) * base.dtype.itemsize
    return is_own and id(base) not in work.parts


def is_placed(work: Work, part: Node, home: Home) -> bool:
    """Whether a part of a concat is computed at its place in it."""
    base = part
    while base.op.name == "reshape" and work.home(base) is None:
        base = base.inputs[0]
    found = work.homes.get(id(base))
    return found is not None and found.buffer == home.buffer and found.offset == home.offset
