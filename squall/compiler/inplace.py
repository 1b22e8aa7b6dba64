"""Overwriting memory instead of copying it: updates of a buffer nobody reads later, and donated inputs.

* An update (`update_slice`, the scatters) begins with a copy of its base. The copy goes when every other reader of the
  base can run before the write, and what the write itself reads of the base is read where it is written.
* A result computed element by element takes over a donatable input of the same size that it reads at the very place
  it writes.
* Kernels that check indices and library calls run before the first write to a donated input, so that a plan that failed
  or was interrupted changed nothing.

Buffers that become one are joined in `Work.joined`; orderings become `after` edges of tasks.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base import config
from squall.base.shapes import contiguous_strides
from squall.compiler.group import Group, Target, Task
from squall.compiler.order import Ancestry
from squall.compiler.work import Work
from squall.ir.node import Node


class Overwriter:
    """Finds what can be overwritten."""

    def __init__(self, work: Work):
        self.work = work
        self.readers: dict[int, list[Task]] = {}
        for task in work.tasks:
            for node in task.reads:
                self.readers.setdefault(id(node), []).append(task)
        self.wholes = {id(n) for part, found in work.parts.items() if part in self.readers for n in found}
        self.taken: set[int] = set()
        self.donated: list[tuple[int, Task]] = []
        self.checking = [t for t in work.tasks if t.checks or t.stops]
        self.ancestry = Ancestry(work)

    def run(self) -> None:
        """Join buffers, drop copies, order tasks."""
        for update in sorted(self.work.copies, key=lambda u: self.work.position[id(u[0])]):
            self._update(*update)
        if config.get("donate"):
            together = {id(n) for n, t in zip(self.work.roots, self.work.request.together, strict=False) if t}
            for lends in (False, True):  # results that lend memory of their own until they are written come last
                for task in self.work.tasks:
                    if isinstance(task, Group) and not task.space.reduced:
                        self._take_over(task, [t for t in task.targets if (id(t.node) in together) is lends])

    def _is_free(self, node: Node) -> bool:
        """Whether a node's memory may be written over once it has been read."""
        work = self.work
        home = work.homes.get(id(node))
        if home is None or id(node) in work.root_ids or home.strides != contiguous_strides(tuple(node.shape)):
            return False
        held = work.memories[home.buffer]
        if not self._is_own(node):
            return False
        if held.kind == "input":
            return config.get("donate") and work.request.donatable[held.index] and held.index not in self.taken
        return work.latest.get(work.joint(home.buffer), node) is node  # no older value of memory written since

    def _is_own(self, node: Node) -> bool:
        """Whether a node's buffer holds it alone, and is not that of a concat it is a part of."""
        held = self.work.memories[self.work.homes[id(node)].buffer]
        return held.nbytes == prod(node.shape) * node.dtype.itemsize and id(node) not in (
            self.work.parts.keys() | self.wholes)

    def _update(self, node: Node, base: Node, copy: Task, writes: list[Task]) -> None:
        work = self.work
        if not self._is_free(base) or not self._is_own(node):
            return
        others = [t for t in self.readers.get(id(base), ()) if t is not copy and t not in writes]
        first = set(writes)
        if any(self.ancestry.waits(t, first | {copy}) for t in others):
            return
        buffer = work.homes[id(base)].buffer
        if any(not _reads_where_it_writes(t, buffer) for t in writes if any(n is base for n in t.reads)):
            return
        donor = work.memories[work.joint(buffer)]
        if donor.kind == "input" and not work.nested and not self._after_checks(list(writes)):
            return
        for t in writes:
            t.after = [x for x in t.after if x is not copy]
            self.ancestry.put_after(t, others + list(work.writers.get(id(base), ())))
        work.tasks.remove(copy)
        work.writers[id(node)] = [t for t in work.writers[id(node)] if t is not copy]
        if not work.writers[id(node)]:
            work.writers[id(node)] = list(self.work.writers.get(id(base), ()))
        self._join(node, base)

    def _join(self, node: Node, base: Node) -> None:
        work = self.work
        ours, theirs = work.homes[id(node)].buffer, work.homes[id(base)].buffer
        if work.memories[theirs].kind == "input":
            self.taken.add(work.memories[theirs].index)
        work.join(ours, theirs)
        work.latest[work.joint(theirs)] = node
        work.note(f"{node.op.name} overwrites its base")

    def _after_checks(self, tasks: list[Task]) -> bool:
        """Order all index checks and library calls before some tasks; False when one of them waits for these."""
        writes = set(tasks)
        if any(t in writes or self.ancestry.waits(t, writes) for t in self.checking):
            return False
        for task in tasks:
            self.ancestry.put_after(task, self.checking)
        return True

    def _take_over(self, group: Group, targets: list[Target]) -> None:
        """Give some results of an elementwise kernel the memory of inputs it reads at the same places."""
        work = self.work
        for target in targets:
            node = target.node
            if id(node) not in work.root_ids or target.home.buffer != work.homes[id(node)].buffer:
                continue
            if work.joint(target.home.buffer) != target.home.buffer or target.starts:
                continue
            for source in group.reads:
                if self._fits(group, target, source) and self._ordered(group, source):
                    self._join(node, source)
                    break

    def _fits(self, group: Group, target: Target, source: Node) -> bool:
        home = self.work.homes[id(source)]
        if self.work.memories[home.buffer].kind != "input" or not self._is_free(source):
            return False
        node = target.node
        same = tuple(node.shape) == tuple(source.shape) and node.dtype.itemsize == source.dtype.itemsize
        return same and _loads_only(group, home.buffer, group.address(target))

    def _ordered(self, group: Group, source: Node) -> bool:
        others = [t for t in self.readers.get(id(source), ()) if t is not group]
        if any(self.ancestry.waits(t, {group}) for t in others) or not self._after_checks([group]):
            return False
        self.ancestry.put_after(group, others)
        return True


def _loads_only(group: Group, buffer: int, address: Any) -> bool:
    """Whether a kernel reads a buffer at one address only."""
    values = group.puller.values  # type: ignore[union-attr]
    return all(v.attr[1] == address for v in values if v.op == "load" and v.attr[0] == buffer)


def _reads_where_it_writes(task: Task, buffer: int) -> bool:
    """Whether a task that writes one result reads a buffer at no other element than the one it writes."""
    if not isinstance(task, Group) or task.space.reduced or len(task.targets) != 1:
        return False
    return _loads_only(task, buffer, task.address(task.targets[0]))


def overwrite(work: Work) -> None:
    """Run the stage."""
    Overwriter(work).run()
