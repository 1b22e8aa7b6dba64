"""Registering fused groups as the writers of kept nodes; what cannot be read where it is becomes kept as well."""

from __future__ import annotations

from math import prod

from squall.base.errors import CompileError
from squall.compiler.affine import Unfit
from squall.compiler.group import Group, Target, is_reduction
from squall.compiler.loops import fix_loops
from squall.compiler.pull import Home
from squall.compiler.work import Work
from squall.ir.node import Node


def add_group(work: Work, group: Group, node: Node) -> Group:
    """Pull a group, keeping what cannot be read where it is, and register it as a writer of `node`."""
    while True:
        try:
            group.pull(work)
            check_loops(group)
            break
        except Unfit:
            _promote(work, group)
    work.add(group, list(group.inside.values()) or [t.node for t in group.targets], node)
    return group


def check_loops(group: Group) -> None:
    """The reduced dimensions of a row must collapse into one loop."""
    raws = group.puller.values  # type: ignore[union-attr]
    addresses = [r.attr[1] for r in raws if r.op == "load"] + [r.attr for r in raws if r.op == "position"]
    fix_loops(group, addresses + [group.address(t) for t in group.targets])


def _promote(work: Work, group: Group) -> None:
    """Keep the operand of the node at which pulling failed."""
    stuck, work.stuck = work.stuck, None
    if stuck is None and len(group.inside) == 1:  # loops that do not collapse: the reduction's operand
        stuck = next(iter(group.inside.values()))
    if stuck is None:
        raise CompileError(f"{group.label}: cannot be lowered")
    candidates = [n for n in stuck.inputs[:1] if work.home(n) is None]
    if not is_reduction(stuck) and not candidates and id(stuck) not in group.inside:
        candidates = [stuck]
    if not candidates:
        raise CompileError(f"{stuck.op.name}: its operand lies in memory and still cannot be read")
    work.note(f"{candidates[0].op.name} is kept: {stuck.op.name} cannot read through it")
    work.keep(candidates[0])


def write(work: Work, node: Node, value: Node, home: Home, starts: tuple = ()) -> Group | None:
    """A task that writes a value's elements to a place in the memory of `node`."""
    if isinstance(prod(value.shape), int) and prod(value.shape) == 0:
        return None
    return add_group(work, Group(tuple(value.shape), (), [Target(value, home, starts)], []), node)
