"""The last stage: tasks in order become steps, buffers become slots, and all of it a `Plan`."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.compiler import chains, memory, regions
from squall.compiler.describe import BLOCK, LINES, Described, accumulator, describe
from squall.compiler.group import Group, Target
from squall.compiler.heavy import is_heavy_value, is_long, weight
from squall.compiler.lower import program_of
from squall.compiler.lower_rows import TOTALS
from squall.compiler.order import ordered, touched
from squall.compiler.pull import Home
from squall.compiler.scratch import storing, walks
from squall.compiler.spec import ELEMENT, Access, Spec, Store, Value
from squall.compiler.work import Memory, Work
from squall.ir.linear import BYTES
from squall.ir.plan import Input, KernelStep, Link, Output, Plan, Slot, Word

STREAM_BYTES = 32 << 20  # of results, which are then not found in a cache
HOST_BYTES = 256 << 10  # of results that share a block: who keeps one of them keeps the block
WALK_CYCLES = 80  # that a walk over a row takes beside its vectors: lanes become one, and each waits for the last


def _step(d: Described, label: str, checks: bool = False) -> KernelStep:
    cycles = d.unit_cost * weight(d.spec) // d.spec.lanes + (WALK_CYCLES * walks(d.spec) if d.spec.outer else 1)
    return KernelStep(d.spec, program_of(d.spec), d.words, d.units, 0, label, checks=checks, cycles=cycles)


def group_steps(work: Work, group: Group) -> list[KernelStep]:
    """The kernel of a group; two for a long reduction; none where nothing that is read would be written."""
    if not group.targets:
        return []
    if group.split:
        return _split_steps(work, group)
    described = describe(group, lambda b: b, work.vector_bytes)
    if _streams(work, described):
        described = described._replace(spec=described.spec._replace(stream=True))
    return [_step(described, group.label, group.checks)]


def _streams(work: Work, d: Described) -> bool:
    """Whether a kernel writes so much that its results will not be found in a cache, in whole lines: storing past the
    caches spares reading those lines first. Not where much is computed between one line and the next: that took longer
    (GELU of 100 MB 17.6 ms instead of 9.0)."""
    spec = d.spec
    if work.nested or spec.kind != "rows" or spec.tile or spec.partial or spec.lines or not spec.stores:
        return False
    if (is_long(spec) and not spec.exact) or any(is_heavy_value(spec.values[n]) for n in storing(spec)):
        return False
    total = 0
    for s in spec.stores:
        word, size = d.words[s.access.word], BYTES[s.scalar]
        if s.level != ELEMENT:
            continue
        held = work.memories[work.joint(word.value)]
        strides = [d.words[w].value * size if w is not None else size for _, w in s.access.strides]
        whole = all(isinstance(n, int) and n % 64 == 0 for n in (*strides, word.offset))
        if held.kind == "input" or s.access.inner != "unit" or s.access.indirect or not whole:
            return False
        total += held.nbytes if isinstance(held.nbytes, int) else 0
    return total >= STREAM_BYTES


def _split_steps(work: Work, group: Group) -> list[KernelStep]:
    """Blocks of reductions as units that leave partial results, then for each a kernel that adds them in order."""
    node = group.targets[0].node.inputs[0]
    dims, shape = group.targets[0].node.attrs[0], node.shape
    rows, length = prod(group.space.kept_shape()), prod(shape[d] for d in dims)
    described = describe(group, lambda b: b, work.vector_bytes)
    if not described.spec.blocked:
        group.split = False
        return group_steps(work, group)
    spec = described.spec
    sizes = {w: described.words[w].value for w in (*spec.outer, *spec.lines, spec.inner)}
    inner = sizes[spec.inner]
    if spec.kind == "columns":
        blocks, outer = -(-length // LINES), prod(sizes[w] for w in spec.outer)
        units = described.units * blocks
    else:
        lines = prod(sizes[w] for w in spec.lines)
        block_lines = max(1, BLOCK // max(1, inner))
        blocks, outer = -(-lines // block_lines) * -(-inner // BLOCK), rows
        units = rows * blocks
    given, parts, last = group.targets, [], []
    for target, store in zip(given, spec.stores, strict=True):
        value = spec.values[store.value]
        scalar = accumulator(value, spec.values)
        work.memories.append(Memory("arena", -1, rows * blocks * BYTES[scalar]))
        partial = len(work.memories) - 1
        parts.append(Target(target.node, Home(partial, target.home.strides)))
        combined = _combine(spec, value.attr, scalar, target.node, partial, target.home, outer, blocks, inner)
        last.append(_step(combined, group.label))
    group.targets = parts
    first = describe(group, lambda b: b, work.vector_bytes)._replace(units=units, unit_cost=BLOCK)
    group.targets = given
    return [_step(first, group.label + " in blocks", group.checks), *last]


def _combine(spec: Spec, kind: str, scalar: str, node: Any, partial: int, home: Home, outer: int, blocks: int,
             inner: int) -> Described:
    """Adds partial results: 16 running totals and a tree, or in order for columns, as one kernel would have."""
    short, is_rows = node.dtype.short, spec.kind == "rows"
    words = [Word("int", outer), Word("int", blocks), Word("int", inner), Word("slot", partial),
             Word("int", blocks * (1 if is_rows else inner)), Word("int", inner),
             Word("slot", home.buffer, home.offset * BYTES[short]), Word("int", 1 if is_rows else inner)]
    level = ELEMENT
    if is_rows:
        source, target = Access(3, ((0, 4),), "unit"), Access(6, ((0, 7),), None)
        loops: dict[str, Any] = {"outer": (0,), "lines": (), "inner": 1, "lanes": TOTALS}
        units, cost, reduced, stored = outer, blocks, 1, 1
    else:
        source, target = Access(3, ((0, 4), (1, 5)), "unit"), Access(6, ((0, 7),), "unit")
        loops = {"outer": (0,), "lines": (1,), "inner": 2, "lanes": spec.lanes}
        units, cost, reduced, stored = outer * -(-inner // spec.lanes), blocks * spec.lanes, ELEMENT, ELEMENT
    values = (Value("load", scalar, (), (source, False), level, 0), Value("reduce", short, (0,), kind, reduced, 1))
    stores = (Store(1, target, short, stored, 1),)
    made = Spec(spec.kind, values=values, stores=stores, words=len(words), **loops)
    return Described(made, tuple(words), units, cost)


def assemble(work: Work) -> Plan:
    """The plan of a compilation whose tasks are fused."""
    roots: dict[int, int] = {}
    for number, root in enumerate(work.roots):
        roots[number] = work.joint(work.homes[id(root)].buffer)
        held = work.memories[roots[number]]
        if held.kind != "input":
            held.kind, held.index = "output", number
    steps, shared, lives, linked = _steps(work)
    arena = [memory.Life(m, work.memories[m].nbytes, *span) for m, span in lives.items()
             if work.memories[m].kind == "arena"]
    layout = memory.plan(arena, _hosts(work, roots, lives))
    anchor = next((n for n, buffer in roots.items() if layout.places.get(buffer) == 0), 0)
    slots = []
    for i in range(len(work.memories)):
        buffer = work.joint(i)
        held = work.memories[buffer]
        kind, index = ("lent", anchor) if buffer in layout.inside else (held.kind, held.index)
        slots.append(Slot(kind, index, held.nbytes, layout.offsets.get(buffer, 0)))
    plan = _plan(work, tuple(slots), tuple(steps), roots, layout)
    return plan._replace(regions=tuple(shared), links=linked)


def _hosts(work: Work, roots: dict[int, int], lives: dict[int, tuple[int, int]]) -> list[memory.Life]:
    """The results that may share a block, from their first write on."""
    found = []
    for number, buffer in roots.items():
        held = work.memories[buffer]
        if number < len(work.request.together) and work.request.together[number] and held.kind == "output":
            if isinstance(held.nbytes, int) and held.nbytes >= HOST_BYTES and held.index == number:
                found.append(memory.Life(buffer, held.nbytes, lives[buffer][0], memory.NEVER))
    return found


def _steps(work: Work) -> tuple[list[Any], list[tuple[int, int]], dict[int, tuple[int, int]], tuple[Link, ...]]:
    """The steps in order, the regions among them, for each buffer the first and last step that may touch it, and the
    links between steps."""
    tasks = ordered(work, sparing=True)
    steps: dict[Any, list[Any]] = {}
    made: dict[Any, set[int]] = {}
    for task in tasks:
        before = len(work.memories)
        steps[task] = group_steps(work, task) if isinstance(task, Group) else task.steps(work)  # type: ignore[attr-defined]
        made[task] = set(range(before, len(work.memories)))
    runs = regions.Gatherer(work, tasks, steps, made).run() if work.fuse else [[t] for t in tasks]
    flat, shared, spans = regions.flatten(runs, steps)
    lives: dict[int, tuple[int, int]] = {}
    for task, (begin, end) in spans.items():
        for m in {*touched(work, task), *map(work.joint, made[task])}:
            first, last = lives.get(m, (begin, end))
            lives[m] = min(first, begin), max(last, end)
    linked = chains.links(work, flat, {id(s): t for t, made in steps.items() for s in made}) if work.fuse else ()
    return flat, shared, lives, linked


def _plan(work: Work, slots: tuple, steps: tuple, roots: dict[int, int], layout: memory.Layout) -> Plan:
    inputs = tuple(Input(tuple(n.shape), n.dtype, c, work.dense.get(i))
                   for i, (n, c) in enumerate(zip(work.request.inputs, work.request.contiguous, strict=True)))
    outputs = []
    for i, r in enumerate(work.roots):
        held = work.memories[roots[i]]
        outputs.append(Output(tuple(r.shape), r.dtype, roots[i], donor=held.index if held.kind == "input" else None,
                              place=layout.places.get(roots[i])))
    scalars = tuple(n.dtype for n in work.request.scalars)
    return Plan(inputs, scalars, slots, steps, tuple(outputs), layout.total, tuple(work.report), tuple(work.checks),
                shared_bytes=layout.shared)
