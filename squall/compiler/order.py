"""The order in which tasks run: what each waits for, and whether one waits for another through any number of others."""

from __future__ import annotations

import heapq

from squall.base.errors import CompileError
from squall.compiler.group import Group, Task
from squall.compiler.work import Work

SMALL_BYTES = 4096  # of the arena: a task that touches no more is neither here nor there for its size


def before(work: Work, task: Task) -> set[Task]:
    """The tasks that must have run directly before one."""
    found = {t.found() for n in task.reads for t in work.writers.get(id(n), ())}
    found |= {t.found() for t in task.after}
    found.discard(task)
    return found


def touched(work: Work, task: Task) -> set[int]:
    """The buffers a task reads or writes."""
    found = {work.homes[id(n)].buffer for n in task.reads}
    found |= {t.home.buffer for t in task.targets} if isinstance(task, Group) else task.touches(work)  # type: ignore[attr-defined]
    return set(map(work.joint, found))


class _Arena:
    """Which arena buffers would be free after a task: those that no task still to come touches."""

    def __init__(self, work: Work):
        self.bytes: dict[int, int] = {}
        self.touched = {t: touched(work, t) for t in work.tasks}
        self.left: dict[int, int] = {}
        self.begun: set[int] = set()
        for buffers in self.touched.values():
            for b in buffers:
                held = work.memories[b]
                if held.kind == "arena":
                    self.left[b] = self.left.get(b, 0) + 1
                    self.bytes[b] = held.nbytes if isinstance(held.nbytes, int) else 1

    def rank(self, task: Task, readers: list[Task]) -> int:
        """How welcome a task is: 0 when it hardly touches the arena, so that running it costs nothing and those that
        free memory need not wait for it; 1 when no more memory is taken after it than before, 2 otherwise. Its result
        does not count when its one reader can follow at once."""
        change = size = 0
        for b in self.touched[task]:
            if b not in self.left:
                continue
            size += self.bytes[b]
            if b not in self.begun:
                passing = len(readers) == 1 and self.left[b] == 2 and b in self.touched[readers[0]]
                change += 0 if passing or self.left[b] == 1 else self.bytes[b]
            elif self.left[b] == 1:
                change -= self.bytes[b]
        return 0 if size <= SMALL_BYTES and readers else 1 + (change > 0)

    def run(self, task: Task) -> None:
        """A task runs next."""
        for b in self.touched[task]:
            if b in self.left:
                self.left[b] -= 1
                self.begun.add(b)


def ordered(work: Work, sparing: bool = False) -> list[Task]:
    """Tasks so that each runs after what it reads and what it was told to follow; else as in the graph.

    Args:
        sparing: a task that is ready and does not add to the memory in use runs first. The gradient of a weight then
            follows that of its layer's input, whose memory both read, though it stands last in the graph.
    """
    after = {task: before(work, task) for task in work.tasks}
    users: dict[Task, list[Task]] = {t: [] for t in work.tasks}
    for task, found in after.items():
        for t in found:
            users[t].append(task)
    waiting = {t: len(found) for t, found in after.items()}
    number = {t: i for i, t in enumerate(work.tasks)}
    arena = _Arena(work) if sparing else None

    def place(t: Task) -> tuple:
        follows = [u for u in users[t] if waiting[u] == 1]
        return (arena.rank(t, follows) if arena is not None else 0, t.last, number[t])

    ready = [place(t) for t in work.tasks if not waiting[t]]
    heapq.heapify(ready)
    out: list[Task] = []
    while ready:
        task = work.tasks[heapq.heappop(ready)[2]]
        out.append(task)
        if arena is not None:
            arena.run(task)
        for t in users[task]:
            waiting[t] -= 1
        for t in users[task]:
            if not waiting[t]:
                heapq.heappush(ready, place(t))
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
