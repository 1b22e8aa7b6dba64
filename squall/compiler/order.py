"""The order in which tasks run: what each waits for, and whether one waits for another through any number of others."""

from __future__ import annotations

import heapq
from collections.abc import Callable

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
        for task, buffers in self.touched.items():
            self.touched[task] = {b for b in buffers if work.memories[b].kind == "arena"}
            for b in self.touched[task]:
                held = work.memories[b]
                self.left[b] = self.left.get(b, 0) + 1
                self.bytes[b] = held.nbytes if isinstance(held.nbytes, int) else 1

    def rank(self, task: Task, readers: list[Task]) -> int:
        """How welcome a task is: 0 when it hardly touches the arena, so that running it costs nothing and those that
        free memory need not wait for it; 1 when less memory is taken after it than before, 2 when no more, 3 otherwise.
        A result does not count when its one reader can follow at once.

        Args:
            readers: tasks that wait for nothing else.
        """
        change = size = 0
        for b in self.touched[task]:
            size += self.bytes[b]
            if b not in self.begun:
                passing = self.left[b] == 2 and any(b in self.touched[t] for t in readers)
                change += 0 if passing or self.left[b] == 1 else self.bytes[b]
            elif self.left[b] == 1:
                change -= self.bytes[b]
        if size <= SMALL_BYTES and readers:
            return 0
        return 1 if change < -SMALL_BYTES else 2 if change <= SMALL_BYTES else 3

    def run(self, task: Task) -> set[int]:
        """A task runs next; the buffers with which other tasks may be more welcome now."""
        for b in self.touched[task]:
            self.left[b] -= 1
            self.begun.add(b)
        return {b for b in self.touched[task] if self.left[b] == 1}


class _Ready:
    """Tasks that wait for nothing any more, the most welcome first."""

    def __init__(self, work: Work, arena: _Arena | None, follows: Callable[[Task], list[Task]]):
        self.tasks, self.arena, self.follows = work.tasks, arena, follows
        self.number = {t: i for i, t in enumerate(work.tasks)}
        self.places: dict[Task, tuple] = {}
        self.heap: list[tuple] = []
        self.touching: dict[int, list[Task]] = {}

    def add(self, task: Task) -> None:
        """A task became ready."""
        if self.arena is not None:
            for b in self.arena.touched[task]:
                self.touching.setdefault(b, []).append(task)
        self._put(task)

    def _put(self, task: Task) -> None:
        rank = 0 if self.arena is None else self.arena.rank(task, self.follows(task))
        place = (rank, task.last, self.number[task])
        if self.places.get(task) != place:
            self.places[task] = place
            heapq.heappush(self.heap, place)

    def next(self) -> Task | None:
        """The task to run now; None when there is none."""
        while self.heap:
            place = heapq.heappop(self.heap)
            task = self.tasks[place[2]]
            if self.places.get(task) != place:
                continue  # it has run, or has another place now
            del self.places[task]
            if self.arena is not None:
                changed = {t for b in self.arena.run(task) for t in self.touching[b] if t in self.places}
                for other in changed:
                    self._put(other)
            return task
        return None


def ordered(work: Work, sparing: bool = False) -> list[Task]:
    """Tasks so that each runs after what it reads and what it was told to follow; else as in the graph.

    Args:
        sparing: a task that is ready and lessens the memory in use runs first, one that does not add to it next. The
            gradient of a weight then follows that of its layer's input, whose memory both read, though it stands last
            in the graph.
    """
    after = {task: before(work, task) for task in work.tasks}
    users: dict[Task, list[Task]] = {t: [] for t in work.tasks}
    for task, found in after.items():
        for t in found:
            users[t].append(task)
    waiting = {t: len(found) for t, found in after.items()}

    def follows(task: Task) -> list[Task]:
        return [u for u in users[task] if waiting[u] == 1]

    ready = _Ready(work, _Arena(work) if sparing else None, follows)
    for task in work.tasks:
        if not waiting[task]:
            ready.add(task)
    out: list[Task] = []
    while (found := ready.next()) is not None:
        out.append(found)
        for t in users[found]:
            waiting[t] -= 1
        for t in users[found]:
            if not waiting[t]:
                ready.add(t)
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
