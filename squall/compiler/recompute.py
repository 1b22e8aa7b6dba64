"""Values that a kernel stores only for others, and that those compute as cheaply as they read them: x - mean of a norm,
of which the backward pass reads x and a number for each row instead. The large result is then neither written nor kept.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.compiler.affine import Unfit
from squall.compiler.fuse import Fuser
from squall.compiler.group import Group, Target
from squall.compiler.heavy import is_heavy
from squall.compiler.work import Work
from squall.compiler.writing import check_loops
from squall.ir.node import Node

LEAST = 1 << 14  # elements worth it
MORE = 6  # values that a reader may compute instead


def recompute(work: Work) -> None:
    """Take such results away, unless the `fuse` knob is off."""
    if not work.fuse:
        return
    fuser = Fuser(work)
    for task in list(work.tasks):
        if isinstance(task, Group) and len(task.targets) > 1:
            for target in list(task.targets):
                if len(task.targets) > 1 and _is_passing(work, task, target.node):
                    _take_away(work, fuser, task, target.node)


def _is_passing(work: Work, group: Group, node: Node) -> bool:
    """Whether a result is large, cheap, and of no use but to other kernels."""
    size = prod(node.shape)
    if not isinstance(size, int) or size < LEAST or node.op.family.name != "elementwise":
        return False
    if id(node) in work.root_ids or id(node) in work.parts or id(node) not in group.inside or len(node.inputs) > 2:
        return False
    return not is_heavy(node.op.name, node.attrs, len(node.inputs)) and work.writers.get(id(node), []) != []


def _large(nodes: list[Node], size: Any) -> int:
    """How many have about so many elements, or more, or nobody knows."""
    counts = [prod(n.shape) for n in nodes]
    return sum(1 for n in counts if not isinstance(n, int) or n * 4 >= size)


def _take_away(work: Work, fuser: Fuser, group: Group, node: Node) -> None:
    readers = [t for t in fuser.readers.get(id(node), ()) if t is not group]
    if not readers or not all(isinstance(t, Group) for t in readers):
        return
    groups: list[Group] = [t for t in readers if isinstance(t, Group)]
    home, size = work.homes.pop(id(node)), prod(node.shape)
    kept = work.kept.pop(id(node))
    before = {g: (list(g.reads), len(g.puller.values)) for g in groups}  # type: ignore[union-attr]
    targets, wanted = group.targets, list(group.targets)
    del group.inside[id(node)]
    fits = True
    try:
        for g in groups:
            g.pull(work)
            check_loops(g)
            reads, values = before[g]
            fits &= _large(g.reads, size) <= _large(reads, size)
            fits &= len(g.puller.values) <= values + MORE  # type: ignore[union-attr]
            for n in g.reads:
                if id(n) in group.inside and all(t.node is not n for t in wanted):
                    wanted.append(Target(n, work.homes[id(n)]))
        if fits:
            group.targets = [t for t in wanted if t.node is not node]
            group.pull(work)
            check_loops(group)
    except Unfit:
        fits = False
    if fits:
        for g in groups:
            for n in g.reads:
                fuser.readers.setdefault(id(n), set()).add(g)
        work.writers.pop(id(node), None)
        work.note(f"{node.op.name} is computed where it is read")
        return
    work.homes[id(node)], work.kept[id(node)] = home, kept
    group.inside[id(node)] = node
    group.targets = targets
    for g in [*groups, group]:
        g.pull(work)
