"""Chains: contractions of which each reads, row by row, what the one before made and nobody else reads.

Between two layers of a network lies a value as large as the batch. Where rows are many it leaves the caches before the
next layer reads it, although a row of the next layer needs one row of it only. A binding may run such steps together,
one block of rows after the other (`runtime/native_chain.py`), with only a block of what lies between them kept, in the
cache. `links` finds the steps for which that can be; `rows_at_once` says, once sizes are known, whether it pays.

No bit depends on it: every element is computed as by the steps one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain, pairwise
from math import prod
from typing import Any

from squall.base.dim import evaluate
from squall.compiler.finish import Finished, grid_of
from squall.compiler.group import Special
from squall.compiler.pull import Home
from squall.compiler.work import Work
from squall.ir.linear import BYTES
from squall.ir.node import Node
from squall.ir.plan import ContractStep, KernelStep, Link, Plan, Word

KEPT_BYTES = 384 << 10  # of a block's rows, operand and result included: they share the second-level cache with weights
WEIGHT_BYTES = 512 << 10  # of all second operands together
BETWEEN_BYTES = 1 << 20  # less than this between the steps stays in the cache anyway
LEAST_ROWS = 64  # of a block: each packs its second operands anew


def links(work: Work, flat: list[Any], tasks: Mapping[int, Any]) -> tuple[Link, ...]:
    """The places in a plan's steps where one makes rows that only the next one reads.

    Args:
        flat: the steps in order. tasks: what the steps are of, by the step's identity.
    """
    if not all(isinstance(step, (ContractStep, KernelStep)) for step in flat):
        return ()
    uses = [Counter(work.joint(w.value) for w in words_of(step) if w.kind == "slot") for step in flat]
    everywhere = Counter(chain.from_iterable(used.elements() for used in uses))
    found = []
    for number, (step, after) in enumerate(pairwise(flat)):
        if not isinstance(step, ContractStep) or not isinstance(after, ContractStep):
            continue
        read = after.operands[0]
        buffer = work.joint(read.value) if read.kind == "slot" and read.offset == 0 else -1
        alone = uses[number][buffer] == uses[number + 1][buffer] == 1 and everywhere[buffer] == 2
        if buffer < 0 or not alone or work.memories[buffer].kind != "arena":
            continue
        made = _rows_made(work, tasks.get(id(step)), buffer)
        if made is not None:
            written = next(w for w in words_of(step) if w.kind == "slot" and work.joint(w.value) == buffer)
            found.append(Link(number, written, read, *made))
            work.note(f"{step.label} and {after.label} by blocks of rows, where those are many")
    return tuple(found)


def words_of(step: Any) -> tuple[Word, ...]:
    """All words of a step that may name a slot."""
    if isinstance(step, KernelStep):
        return step.words
    operands = step.operands if step.epilogue is None else step.operands[:2]
    return (*operands, *step.words)


def _rows_made(work: Work, task: Any, buffer: int) -> tuple[Any, Any] | None:
    """The number of rows that a task writes to a buffer, one after the other without gaps, and the bytes of one."""
    if isinstance(task, Finished):
        grid: Any = task.grid
        results = [(t.node, t.home) for t in task.group.targets]
    elif isinstance(task, Special) and task.name == "contract":
        node = next((n for n in work.kept.values() if task in work.writers.get(id(n), ())), None)
        grid = None if node is None else grid_of(task.made[0].contraction, node)
        results = [] if node is None else [(node, work.homes[id(node)])]
    else:
        return None
    for node, home in results:
        if grid is not None and work.joint(home.buffer) == buffer and _dense(node, home, grid):
            return grid[0], grid[1] * node.dtype.itemsize
    return None


def _dense(node: Node, home: Home, grid: tuple[Any, Any]) -> bool:
    strides, size = [], 1
    for n in reversed(node.shape):
        strides.append(size)
        size = size * n
    return home.offset == 0 and tuple(home.strides) == tuple(reversed(strides)) and size == grid[0] * grid[1]


def chain_at(plan: Plan, number: int) -> list[Link]:
    """The links that follow each other from a step on."""
    by_step = {link.step: link for link in plan.links}
    found = []
    while number in by_step:
        found.append(by_step[number])
        number += 1
    return found


def rows_at_once(plan: Plan, chain: list[Link], sizes: dict[str, int], threads: int) -> int:
    """How many rows the steps of a chain should run together; 0 where they are better run one after the other."""
    steps = [plan.steps[link.step] for link in chain] + [plan.steps[chain[-1].step + 1]]
    rows = {evaluate(link.rows, sizes) for link in chain}
    widths = [evaluate(link.row_bytes, sizes) for link in chain]
    weights = between = 0
    for step, width in zip(steps, [0, *widths], strict=True):
        extents = _extents(step, sizes)
        size = BYTES[step.contraction.dtype]
        weights += extents["n"] * extents["k"] * size
        rows.add(extents["m"])
        if width and not _reads_rows(step, width, sizes):
            return 0
        between += width or extents["k"] * size
    count = rows.pop()
    if rows or weights > WEIGHT_BYTES or count * sum(widths) < BETWEEN_BYTES:
        return 0
    most = KEPT_BYTES // (between + _extents(steps[-1], sizes)["n"] * BYTES[steps[-1].contraction.accumulate])
    at_once = min(most, -(-count // (4 * threads)))
    return at_once // 16 * 16 if at_once >= LEAST_ROWS else 0


def _extents(step: ContractStep, sizes: dict[str, int]) -> dict[str, int]:
    """Rows, columns and depth of a contraction."""
    dims = step.contraction.dims
    return {kind: prod(evaluate(d.extent, sizes) for d in dims if d.kind == kind) for kind in "mnk"}


def _reads_rows(step: ContractStep, width: int, sizes: dict[str, int]) -> bool:
    """Whether a contraction's rows are those of its first operand, `width` bytes apart and no longer."""
    size = BYTES[step.contraction.dtype]
    stride = width // size
    reach = 0
    for d in reversed(step.contraction.dims):
        extent, apart = evaluate(d.extent, sizes), evaluate(d.a_stride, sizes)
        if extent == 1:
            continue
        if d.kind == "m":
            if apart != stride:
                return False
            stride *= extent
        elif d.kind == "k":
            reach += (extent - 1) * apart
            if apart < 0:
                return False
        elif d.kind == "batch":
            return False
    return reach < width // size
