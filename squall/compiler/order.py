"""The order in which tasks run: what each waits for, and whether one waits for another through any number of others."""

from __future__ import annotations

import heapq

from squall.base.errors import CompileError
from squall.compiler.group import Task
from squall.compiler.work import Work


def before(work: Work, task: Task) -> set[Task]:
    """The tasks that must have run directly before one."""
    found = {t.found() for n in task.reads for t in work.writers.get(id(n), ())}
    found |= {t.found() for t in task.after}
    found.discard(task)
    return found


def ordered(work: Work) -> list[Task]:
    """Tasks so that each runs after what it reads and what it was told to follow; else as in the graph."""
    after = {task: before(work, task) for task in work.tasks}
    users: dict[Task, list[Task]] = {t: [] for t in work.tasks}
    for task, found in after.items():
        for t in found:
            users[t].append(task)
    waiting = {t: len(found) for t, found in after.items()}
    number = {t: i for i, t in enumerate(work.tasks)}
    ready = [(t.last, number[t]) for t in work.tasks if not waiting[t]]
    heapq.heapify(ready)
    out: list[Task] = []
    while ready:
        task = work.tasks[heapq.heappop(ready)[1]]
        out.append(task)
        for t in users[task]:
            waiting[t] -= 1
            if not waiting[t]:
                heapq.heappush(ready, (t.last, number[t]))
    if len(out) < len(work.tasks):
        stuck = ", ".join(t.label for t in work.tasks if waiting[t])
        raise CompileError(f"tasks wait for each other: {stuck}")
    if len(out) != len(work.tasks):
        stuck = ", ".join(t.label for t in work.tasks if waiting[t])
        raise CompileError(f"tasks wait for each other in a circle: {stuck}")
    return out


class Ancestry:
    """All that each task waits for, as bit masks; edges may be added.

    A removed task may stay in the masks: answers err on the side of waiting.
    """

    def __init__(self, work: Work):
        order = ordered(work)
        self.bit = {task: 1 << i for i, task in enumerate(order)}
        self.above: dict[Task, int] = {}
        for task in order:
            mask = 0
            for t in before(work, task):
                mask |= self.above[t] | self.bit[t]
            self.above[task] = mask

    def waits(self, late: Task, early: set[Task]) -> bool:
        """Whether a task is one of several, or waits for one."""
        mask = self.above[late] | self.bit[late]
        return any(mask & self.bit[t] for t in early)

    def put_after(self, task: Task, others: list[Task]) -> None:
        """Make a task wait for others, none of which waits for it."""
        others = [t.found() for t in others if t.found() is not task]
        task.after = [*task.after, *others]
        more = 0
        for t in others:
            more |= self.above[t] | self.bit[t]
        if not more & ~self.above[task]:
            return
        own = self.bit[task]
        for t, mask in self.above.items():
            if t is task or mask & own:
                self.above[t] = mask | more
