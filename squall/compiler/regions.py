"""Regions: runs of tasks none of which waits for another, which the runner starts as one launch.

First, tasks that run one program are brought together: each is put off until somebody needs one of them, and so are
tasks nobody waits for, such as the updates of an optimizer. Then neighbours that do not wait for each other make a run.
Buffers of a run live as long as the whole of it; how much more memory that may take is bounded.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from squall.compiler.group import Group, Task
from squall.compiler.order import before, touched
from squall.compiler.work import Work
from squall.ir.plan import ContractStep, KernelStep

HELD_BYTES = 4 << 20  # of the arena: most that what is put off holds, and most that a run touches
MOST_WORDS = 1 << 14  # of the args of a region, which lie on the runner's stack
CONTRACT_WORDS = 128


class Gatherer:
    """Brings the tasks of a plan into an order of runs.

    Args:
        work: the compilation. tasks: in an order that holds. steps: those of each task. made: the buffers that making
            the steps added, by task.
    """

    def __init__(self, work: Work, tasks: list[Task], steps: dict[Task, list[Any]], made: dict[Task, set[int]]):
        self.work, self.tasks, self.steps = work, tasks, steps
        self.before = {t: before(work, t) for t in tasks}
        self.arena = {t: self._arena(touched(work, t) | {work.joint(m) for m in made[t]}) for t in tasks}

    def _arena(self, buffers: set[int]) -> dict[int, int]:
        """Of some buffers those in the arena, with their bytes (0 where those are symbols: such never share memory)."""
        held = ((b, self.work.memories[b]) for b in buffers)
        return {b: m.nbytes if isinstance(m.nbytes, int) else 0 for b, m in held if m.kind == "arena"}

    def run(self) -> list[list[Task]]:
        """The tasks as runs."""
        return self._runs(self._together())

    def _together(self) -> list[Task]:
        """Tasks that run one program, one after the other."""
        needed = set().union(*self.before.values()) if self.before else set()
        count = Counter(self._program(t) for t in self.tasks)
        out: list[Task] = []
        waiting: dict[Any, list[Task]] = {}
        place: dict[Task, Any] = {}  # of those put off
        held: dict[int, int] = {}

        def release(key: Any) -> None:
            for task in waiting.pop(key, ()):
                out.append(task)
                del place[task]
            keep = set().union(*(self.arena[t] for t in place))
            for b in [b for b in held if b not in keep]:
                del held[b]

        for task in self.tasks:
            for early in self.before[task]:
                if early in place:
                    release(place[early])
            program = self._program(task)
            key = None if task in needed else "last"
            if key is None and program is not None and count[program] > 1:
                key = program
            if key is None or not isinstance(task, Group) or not self.steps[task]:
                out.append(task)
                continue
            wide = {**held, **self.arena[task]}  # what it touches may be free for others by the time it runs
            if sum(wide.values()) > HELD_BYTES:
                release(key)
                wide = {**held, **self.arena[task]}
            if sum(wide.values()) > HELD_BYTES:
                out.append(task)
                continue
            held = wide
            waiting.setdefault(key, []).append(task)
            place[task] = key
        for key in list(waiting):
            release(key)
        return out

    def _program(self, task: Task) -> Any:
        """What tells the programs of a task from those of others."""
        steps = self.steps[task]
        return tuple(id(s.program) for s in steps) if steps and all(isinstance(s, KernelStep) for s in steps) else None

    def _runs(self, tasks: list[Task]) -> list[list[Task]]:
        runs: list[list[Task]] = []
        members: set[Task] = set()
        buffers: dict[int, int] = {}
        words = 0
        for task in tasks:
            length = self._words(task)
            wide = {**buffers, **self.arena[task]}
            joins = (length >= 0 and members and words >= 0 and not members & self.before[task]
                     and words + length <= MOST_WORDS and sum(wide.values()) <= HELD_BYTES)
            if joins:
                runs[-1].append(task)
                members.add(task)
                buffers, words = wide, words + length
            else:
                runs.append([task])
                members, buffers, words = {task}, dict(self.arena[task]), length
        return runs

    def _words(self, task: Task) -> int:
        """Words of a task's args; -1 for one that starts no kernel."""
        total = 0
        for step in self.steps[task]:
            if isinstance(step, KernelStep):
                total += len(step.words)
            elif isinstance(step, ContractStep):
                total += len(step.words) + CONTRACT_WORDS
            else:
                return -1
        return total


def flatten(runs: list[list[Task]], steps: dict[Task, list[Any]]) -> tuple[list[Any], list[tuple[int, int]],
                                                                            dict[Task, tuple[int, int]]]:
    """The steps of runs in order: the first steps of all tasks of a run, then their second ones.

    Returns:
        steps; the regions among them; and for each task the numbers of the first and last step of its run.
    """
    out: list[Any] = []
    regions: list[tuple[int, int]] = []
    spans: dict[Task, tuple[int, int]] = {}
    for run in runs:
        begin = len(out)
        for stage in range(max(len(steps[t]) for t in run)):
            low = len(out)
            out += [steps[t][stage] for t in run if stage < len(steps[t])]
            if len(out) - low > 1:
                regions.append((low, len(out)))
        spans.update((t, (begin, max(begin, len(out) - 1))) for t in run)
    return out, regions, spans
