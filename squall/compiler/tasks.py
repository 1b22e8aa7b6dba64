"""Tasks of kept nodes: the groups and special steps that write each one's memory.

Nodes are visited from the results backwards, so that what turns out to be unreadable by an affine position is kept
too before its own turn comes.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.shapes import contiguous_strides
from squall.compiler import movement
from squall.compiler.group import Group, Target, is_reduction, reduction_kind
from squall.compiler.pull import Home
from squall.compiler.special import SPECIAL
from squall.compiler.work import Work
from squall.compiler.writing import add_group, write
from squall.ir.node import Node
from squall.ir.op import constant, ops

SPLIT_LENGTH = 1 << 16  # elements a reduction must have before it is spread over units
SPLIT_ROWS = 16  # results it may have at most


def build(work: Work) -> None:
    """Make the tasks of all kept nodes."""
    for node in reversed(work.order):
        if id(node) in work.kept:
            build_node(work, node)
            for whole in work.parts.get(id(node), ()):
                work.writers.setdefault(id(whole), []).extend(work.writers.get(id(node), ()))
    work.tasks.sort(key=lambda t: (t.last, t.first))
    for node, awaited in work.late.values():
        while work.home(awaited) is None and awaited.inputs:
            awaited = awaited.inputs[0]
        for task in work.writers.get(id(node), ()):
            task.after.extend(work.writers.get(id(awaited), ()))


def build_node(work: Work, node: Node) -> None:
    """Make the tasks that write one kept node."""
    if isinstance(prod(node.shape), int) and prod(node.shape) == 0:
        return
    if node.op.name != "concat" and (id(node), 0) in work.placed:
        return  # what it moves is written at its place in it
    make = SPECIAL.get(node.op.name) or _WRITES.get(node.op.name)
    if movement.is_simple_pad(node) or movement.is_placement(node):
        make = None
    if make is None and node.op.lowering.__class__.__name__ == "Library":
        make = SPECIAL["library"]
    if make is not None:
        make(work, node)
    elif is_reduction(node):
        _reduction(work, node)
    else:
        add_group(work, Group(tuple(node.shape), (), [Target(node, work.homes[id(node)])], [node]), node)


def _reduction(work: Work, node: Node) -> None:
    operand = node.inputs[0]
    shape, dims = tuple(operand.shape), node.attrs[0]
    group = Group(shape, dims, [Target(node, work.homes[id(node)])], [node], reduction_kind(shape, dims))
    count, length = prod(node.shape), prod(shape[d] for d in dims)
    known = isinstance(count, int) and isinstance(length, int)
    group.split = bool(known and count <= SPLIT_ROWS * (64 if group.kind == "columns" else 1) and length >= (
        SPLIT_LENGTH if group.kind == "rows" else 1024) and node.op.name in ("sum", "prod", "amax", "amin"))
    add_group(work, group, node)


def _concat(work: Work, node: Node) -> None:
    (dim,), home = node.attrs, work.homes[id(node)]
    offset: Any = home.offset
    for number, part in enumerate(node.inputs):
        place = Home(home.buffer, home.strides, offset)
        if (id(node), number) not in work.placed:
            write(work, node, part, place)
        offset = offset + part.shape[dim] * home.strides[dim]


def _update_slice(work: Work, node: Node) -> None:
    base, value, *starts = node.inputs
    dims, steps = node.attrs
    home = work.homes[id(node)]
    copy = write(work, node, base, home)
    strides = list(home.strides)
    places = []
    for d, step, start in zip(dims, steps, starts, strict=True):
        places.append((start, strides[d]))
        strides[d] = strides[d] * step
    task = write(work, node, value, Home(home.buffer, tuple(strides), home.offset), tuple(places))
    if copy is not None and work.home(base) is not None:
        work.copies.append((node, base, copy, [] if task is None else [task]))


def _interior_pad(work: Work, node: Node) -> None:
    """Fill, then write the elements apart; cropping was taken out by `simplify`."""
    low, _, interior, number = node.attrs
    home = work.homes[id(node)]
    fill = ops.expand(constant(number, node.dtype, node.device), shape=tuple(node.shape))
    write(work, node, fill, home)
    strides = contiguous_strides(tuple(node.shape))
    offset: Any = home.offset
    for n, s in zip(low, strides, strict=True):
        offset = offset + n * s
    spread = tuple(s * (i + 1) for s, i in zip(strides, interior, strict=True))
    write(work, node, node.inputs[0], Home(home.buffer, spread, offset))


_WRITES = {"concat": _concat, "update_slice": _update_slice, "pad": _interior_pad}
