"""Fusion of groups: kernels over one iteration space become one kernel, and what only it reads is not stored.

Two groups merge when one walk (for reductions of rows: one walk per phase) can serve both, when neither waits for
something that waits for the other, and when each value is read at the position where it is made. Decisions and the
reasons against are noted in the report.
"""

from __future__ import annotations

from math import prod

from squall.compiler.affine import Unfit
from squall.compiler.describe import ordered_alike
from squall.compiler.group import Group, Task
from squall.compiler.order import before
from squall.compiler.work import Work
from squall.compiler.writing import check_loops
from squall.ir.node import Node

MOST_VALUES = 300
MOST_TARGETS = 16
REACH = 400  # nodes between two groups, beyond which they are not considered together
NEIGHBOURS = 6


class Fuser:
    """Merges the groups of a compilation."""

    def __init__(self, work: Work):
        self.work = work
        self.readers: dict[int, set[Task]] = {}
        self.spans: list[Task] = []  # merged groups: they lie at several places of the order
        for task in work.tasks:
            for node in task.reads:
                self.readers.setdefault(id(node), set()).add(task)

    def before(self, task: Task) -> set[Task]:
        """The tasks that must run directly before one."""
        return before(self.work, task)

    def waits(self, late: Task, early: Task, direct: bool) -> bool:
        """Whether `late` depends on `early` through other tasks (or at all, when `direct`)."""
        stack = [t for t in self.before(late) if direct or t is not early]
        seen = set(stack)
        while stack:
            task = stack.pop()
            if task is early:
                return True
            if task.last < early.first and not self._spanned(task.last, early.first):
                continue
            for t in self.before(task):
                if t not in seen:
                    seen.add(t)
                    stack.append(t)
        return False

    def _spanned(self, low: int, high: int) -> bool:
        """Whether a merged group reaches from before one place of the order to after another: through it, something
        early in the order can wait for something late."""
        return any(g.first <= low and g.last >= high for g in self.spans)

    def run(self) -> None:
        """Merge what can be: producers into consumers first, then neighbours that read the same."""
        recent: dict[tuple, list[Group]] = {}
        parts: dict[tuple, list[Group]] = {}
        joined = self._parts_of_concats()
        for task in list(self.work.tasks):
            if isinstance(task, Group) and task.merged is None and task in joined:
                self._neighbours(task, parts)
            if task.merged is not None or not isinstance(task, Group) or not task.inside:
                continue
            group: Group = task
            changed = not group.split
            while changed:
                changed = False
                producers = [t for t in self.before(group) if isinstance(t, Group) and _open(t)]
                for producer in sorted(producers, key=lambda t: -t.last):
                    if group.first - producer.last > REACH and not self._only_for(producer, group):
                        continue
                    merged = self.merge(producer, group)
                    if merged is not None:
                        group, changed = merged, True
                        break
            self._neighbours(group, recent)
        self.work.tasks = [t for t in self.work.tasks if t.merged is None]
        for task in self.work.tasks:
            if isinstance(task, Group):
                self._drop_unread(task)  # by readers merged meanwhile

    def _parts_of_concats(self) -> set[Task]:
        """Tasks that compute parts of concats in their places: what reads the same may be one kernel."""
        work = self.work
        updates = {t for *_, copy, writes in work.copies for t in (copy, *writes)}
        writers = (work.writers.get(key, ()) for key, n in work.kept.items() if n.op.name == "concat")
        return {t for found in writers for t in found if isinstance(t, Group) and not t.inside} - updates

    def _only_for(self, producer: Group, group: Group) -> bool:
        """Whether elementwise work is there for another elementwise kernel only, as the clipping of a gradient is for
        its parameter's update, however many other parameters lie between."""
        if producer.space.reduced or group.space.reduced:
            return False
        return all(self.readers.get(id(n), set()) <= {group} for n in producer.inside.values())

    def _neighbours(self, group: Group, recent: dict[tuple, list[Group]]) -> None:
        key = (group.space.shape, group.space.reduced, group.kind, group.split)
        others = recent.setdefault(key, [])
        single = prod(group.space.shape) == 1
        reads = {id(n) for n in group.reads if single or prod(n.shape) != 1}  # a shared number is no reason
        for other in reversed(others[-NEIGHBOURS:]):
            if other.merged is None and other is not group and reads & {id(n) for n in other.reads}:
                apart = group.first - other.last > REACH
                if apart or self.waits(group, other, True) or self.waits(other, group, True):
                    continue
                merged = self.merge(other, group)
                if merged is not None:
                    group = merged
        others.append(group)

    def merge(self, first: Group, second: Group) -> Group | None:
        """One group of two, or None."""
        reason = self._reason_against(first, second)
        if reason is not None:
            self.work.note(f"{first.label} and {second.label} apart: {reason}")
            return None
        wide = first if first.space.reduced or not second.space.reduced else second
        inside = [*first.inside.values(), *second.inside.values()]
        targets, reduced = first.targets + second.targets, tuple(sorted(wide.space.reduced))
        group = Group(wide.space.shape, reduced, targets, inside, wide.kind)
        group.split = first.split
        group.targets = [t for t in group.targets if self._is_wanted(group, t.node, {first, second})]
        try:
            group.pull(self.work)
            check_loops(group)
            if len(group.puller.values) > MOST_VALUES:  # type: ignore[union-attr]
                raise Unfit
        except Unfit:
            self.work.note(f"{first.label} and {second.label} apart: a value is read at another position than its own")
            return None
        if self._waits_for_itself(first, second, group):
            self.work.note(f"{first.label} and {second.label} apart: one of both would read a value that waits for it")
            return None
        self._replace(first, second, group)
        return group

    def _waits_for_itself(self, first: Group, second: Group, group: Group) -> bool:
        """Whether what a merged group reads, and neither of its parts did, waits for one of them: a value that the
        second read through a movement out of the first's memory is read where the movement itself is kept, when there
        is no such memory any more."""
        known = {id(n) for part in (first, second) for n in part.reads}
        writers = {t.found() for n in group.reads if id(n) not in known for t in self.work.writers.get(id(n), ())}
        return any(t is part or self.waits(t, part, True) for t in writers for part in (first, second))

    def _reason_against(self, first: Group, second: Group) -> str | None:
        a, b = first.space, second.space
        if len(first.puller.values) + len(second.puller.values) > MOST_VALUES:  # type: ignore[union-attr]
            return "one kernel of both would be too long"
        if first.split != second.split:
            return "a long reduction is done in two steps"
        if first.split and (self.waits(second, first, True) or self.waits(first, second, True)):
            return "one long reduction waits for the other"
        if a.reduced and b.reduced:
            if a.shape != b.shape or a.reduced != b.reduced:
                return "they reduce different dimensions"
            if first.kind == "columns" and (self.waits(second, first, True) or self.waits(first, second, True)):
                return "one reduction of columns waits for the other"
        elif a.reduced or b.reduced:
            row, plain = (first, second) if a.reduced else (second, first)
            if not row.space.fits(plain.space.shape):
                return "other loops"
            if row.kind == "columns" and (plain is first or plain.space.shape == row.space.shape):
                return "a reduction of columns walks once"
        elif a.shape != b.shape:
            return "other loops"
        if not ordered_alike(first, second):
            return "reductions of different widths"
        if len(first.targets) + len(second.targets) > MOST_TARGETS:
            return "too many results"
        if self._reads_whole(first, second) or self._reads_whole(second, first):
            return "one reads a value of which the other writes a part"
        if self.waits(second, first, False) or self.waits(first, second, False):
            return "something between them waits for one and is waited for by the other"
        return None

    def _replace(self, first: Group, second: Group, group: Group) -> None:
        group.first, group.last = min(first.first, second.first), max(first.last, second.last)
        group.after = [t for t in (*first.after, *second.after) if t.found() not in (first, second)]
        for task in (first, second):
            task.merged = group
        self.spans = [g for g in self.spans if g.merged is None] + [group]
        position = self.work.tasks.index(second)
        self.work.tasks[position] = group
        self.work.tasks.remove(first)
        for old in (first, second):
            for node in old.reads:
                self.readers.get(id(node), set()).discard(old)
        for node in group.reads:
            self.readers.setdefault(id(node), set()).add(group)
        self.work.note(f"{group.label} in one kernel")

    def _drop_unread(self, group: Group) -> None:
        """Results that, after all merges, only their own kernel reads are not stored."""
        wanted = [t for t in group.targets if self._is_wanted(group, t.node, {group})]
        if len(wanted) < len(group.targets) and wanted:
            group.targets = wanted
            group.pull(self.work)

    def _reads_whole(self, reader: Group, writer: Group) -> bool:
        """Whether a group reads memory that holds, as a part of another value, what a group writes."""
        wholes: list[Node] = [t.node for t in writer.targets]
        read = {id(n) for n in reader.reads}
        while wholes:
            wholes = [whole for node in wholes for whole in self.work.parts.get(id(node), ())]
            if any(id(whole) in read for whole in wholes):
                return True
        return False

    def _is_wanted(self, group: Group, node: Node, own: set[Task]) -> bool:
        """Whether somebody but the kernel itself needs a result in memory."""
        work = self.work
        if id(node) in work.root_ids or id(node) in work.parts or id(node) not in group.inside:
            return True
        return bool(self.readers.get(id(node), set()) - own)  # type: ignore[operator]


def _open(group: Group) -> bool:
    return not group.split and bool(group.inside)


def fuse(work: Work) -> None:
    """Merge the groups of a compilation, unless the `fuse` knob is off."""
    if work.fuse:
        Fuser(work).run()
