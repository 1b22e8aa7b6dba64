"""Attention nodes to plan steps: operands as strided views, words, units, workspace."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from squall.base import config
from squall.base.dtypes import float32
from squall.base.shapes import contiguous_strides
from squall.compiler.attend import backward, backward_tiles, few, forward, forward_tiles
from squall.compiler.attend.dots import lanes_of
from squall.compiler.attend.few import BESIDE, FEW, ROW, STRETCH
from squall.compiler.attend.pieces import STEP
from squall.compiler.attend.spec import AttentionSpec, Flex
from squall.compiler.attend.tiles import COMPUTE, KEYS, QUERIES
from squall.compiler.group import Special
from squall.compiler.lower import unwritten
from squall.compiler.movement import is_one
from squall.compiler.nest.isa import ISAS
from squall.compiler.pull import Home
from squall.compiler.views import operand
from squall.compiler.work import Memory, Work
from squall.compiler.writing import write
from squall.ir.linear import BYTES
from squall.ir.node import Node
from squall.ir.plan import KernelStep, Word
from squall.ops.attention import attributes, split, threshold
from squall.ops.common import as_dtype_of
from squall.ops.flex_attention import parts
from squall.runtime import matrix_tiles

FORWARD = ("attention", "attention_dropout", "flex_attention")
BACKWARD = tuple(f"{name}_backward" for name in FORWARD)
GRAIN_PRODUCTS = 1 << 20  # multiply-adds worth handing to another thread
GRAIN_ELEMENTS = 1 << 16  # of keys and values that few queries meet: as many are worth another thread
GRAIN_COMBINED = 64  # leading indices whose stretches are worth it
LARGE = 1 << 40  # above any number of queries or keys
GROUP = 8  # blocks of queries of a unit on matrix tiles: keys and values are put into parts once for them
UNITS = 8  # as many units are wanted before they grow to that
_PROGRAMS = {"forward": forward.program, "forward_tiles": forward_tiles.program,
             "backward": backward.program, "backward_tiles": backward_tiles.program,
             "few": few.program, "combine": few.combine_program}
_ENTRIES = {"forward": "attention_forward", "backward": "attention_backward", "few": "attention_few",
            "combine": "attention_combine"}


class _Operands:
    """Collects what a step reads and writes, as words."""

    def __init__(self, work: Work, node: Node):
        self.work, self.node = work, node
        self.words: dict[str, Word] = {}
        self.reads: list[Node] = []
        self.places: set[int] = set()

    def tensor(self, name: str, view: Home, shape: Sequence[Any], short: str, lead: int) -> None:
        """A tensor's address and strides; one of fewer or smaller dimensions than the scores is met again and again."""
        strides = [0 if isinstance(n, int) and n == 1 else s for n, s in zip(shape, view.strides, strict=True)]
        strides = [0] * (lead + 2 - len(strides)) + strides
        self.words[name] = Word("slot", view.buffer, view.offset * BYTES[short])
        self.words[f"{name}_row"], self.words[f"{name}_step"] = (Word("int", s) for s in strides[-2:])
        self.words.update((f"{name}_lead{d}", Word("int", s)) for d, s in enumerate(strides[:lead]))

    def read(self, node: Node) -> Home:
        """The view of an operand."""
        base, view = operand(self.work, node)
        self.reads.append(base)
        return view

    def wide(self, node: Node) -> Home:
        """The view of an operand that is computed in its own dtype; a copy of a 16-bit one."""
        if node.dtype.short == COMPUTE[node.dtype.short]:
            return self.read(node)
        value = as_dtype_of(node, float32)
        copy = self.written(None, value.type)
        write(self.work, self.node, value, copy)
        return copy

    def written(self, pick: Node | None, type: Any) -> Home:
        """Where a result goes; memory of its own when nobody reads it."""
        work = self.work
        if pick is not None:
            home = work.homes[id(pick)]
        else:
            work.memories.append(Memory("arena", -1, prod(type.shape) * type.dtype.itemsize))
            home = Home(len(work.memories) - 1, contiguous_strides(tuple(type.shape)))
        self.places.add(home.buffer)
        return home


def attend(work: Work, node: Node, picks: list[Node | None]) -> None:
    """Make the task of an attention node.

    Args:
        picks: the node of each result, None for those that nobody reads.
    """
    is_forward = node.op.name in FORWARD
    first = 0 if is_forward else 1
    q, k, v = node.inputs[first : first + 3]
    rest = node.inputs[3 if is_forward else 6 :]
    flex = is_flex(node)
    causal, scale, p = (False, node.attrs[0], 0.0) if flex else attributes(node.attrs)
    mask, drawn = ((), ()) if flex else split(rest, p)
    lead = len(q.shape) - 2
    spec = AttentionSpec("forward" if is_forward else "backward", q.dtype.short, work.isa, lead, causal,
                         mask[0].dtype.short if mask else "", bool(drawn), functions(node, rest) if flex else None,
                         has_tiles(work.isa) and COMPUTE[q.dtype.short] == "f32")
    o = _Operands(work, node)
    given = [("q", q), ("k", k), ("v", v), *(("mask", m) for m in mask)]
    for name, value in given:
        o.tensor(name, o.read(value), tuple(value.shape), value.dtype.short, lead)
    for name, value in () if is_forward else (("g", node.inputs[0]), ("out", node.inputs[4])):
        o.tensor(name, o.wide(value), tuple(value.shape), spec.scalar, lead)
    types = node.type
    results = [("out", 0)] if is_forward else [("gq", 0), ("gk", 1), ("gv", 2)]
    for name, i in results:
        o.tensor(name, o.written(picks[i], types[i]), tuple(types[i].shape), types[i].dtype.short, lead)
    sums = _dense(o, node, picks, is_forward)
    o.words["lse"] = Word("slot", sums.buffer, sums.offset * BYTES[spec.scalar])
    for name, value in zip(("seed", "offset"), drawn, strict=False):
        o.words[name] = Word("slot", (view := o.read(value)).buffer, view.offset * 8)
    o.words |= {"threshold": Word("int", threshold(p)), "factor": Word("float", 1 / (1 - p)),
                "scale": Word("float", scale)}
    o.words |= {"queries": Word("int", q.shape[-2]), "keys": Word("int", k.shape[-2]),
                "features": Word("int", q.shape[-1]), "width": Word("int", v.shape[-1])}
    o.words |= {f"extent{d}": Word("int", q.shape[d]) for d in range(lead)}
    if flex:
        o.words["heads"] = Word("int", prod(q.shape[1:-2]))
        _captured(o, *parts(rest, node.attrs))
    is_few = 1 - _exceeds(q.shape[-2], FEW) if is_forward and not drawn and not flex else 0
    steps = _by_stretches(o, spec, is_few, q, k, v) if _can_be(is_few, 1) else []
    if _can_be(is_few, 0):
        group = _group(spec, q) if spec.tiles and is_forward else 1
        o.words["group"] = Word("int", group)
        units, grain = _units(q, k, v, is_forward, group)
        steps.append(_step(o, spec, units * (1 - is_few), grain, _scratch(spec, q, k, v, group)))
    work.add(Special(node.op.name, o.reads, steps, o.places), [node], node)


def _step(o: _Operands, spec: AttentionSpec, units: Any, grain: Any, scratch: Any) -> KernelStep:
    """A kernel call over the operands."""
    words = tuple(o.words[name] for name in spec.names)
    make = _PROGRAMS[f"{spec.role}{'_tiles' if spec.tiles else ''}"]
    name = {"few": "attention_few", "combine": "attention_combine"}.get(spec.role, o.node.op.name)
    program = unwritten(spec, _ENTRIES[spec.role], lambda: make(spec))
    return KernelStep(spec, program, words, units, grain, name, scratch)


def _exceeds(size: Any, most: int) -> Any:
    """1 if a size is above a number, else 0."""
    return int(size > most) if isinstance(size, int) else (size + (LARGE - most - 1)) // LARGE


def _can_be(indicator: Any, value: int) -> bool:
    return not isinstance(indicator, int) or indicator == value


def _by_stretches(o: _Operands, whole: AttentionSpec, is_few: Any, q: Node, k: Node, v: Node) -> list[KernelStep]:
    """The steps of few queries: each stretch of keys, and what adds them up where there are several."""
    spec = whole._replace(role="few", tiles=False)
    lead, keys, size = prod(q.shape[:-2]), k.shape[-2], BYTES[spec.scalar]
    stretches = (keys + (STRETCH - 1)) // STRETCH if not isinstance(keys, int) else max(1, -(-keys // STRETCH))
    several = is_few * _exceeds(keys, STRETCH)
    rows = q.shape[-2] if isinstance(q.shape[-2], int) else FEW
    o.words["partial"] = Word("int", 0)
    f, w = (((n + (lanes_of(spec.scalar) - 1)) // lanes_of(spec.scalar)) * lanes_of(spec.scalar)
            for n in (q.shape[-1], v.shape[-1]))
    if _can_be(several, 1):
        o.work.memories.append(Memory("arena", -1, lead * stretches * rows * (w + BESIDE) * size))
        o.words["partial"] = Word("slot", len(o.work.memories) - 1)
        o.places.add(len(o.work.memories) - 1)
    each = STRETCH * (f + w)
    grain = max(1, GRAIN_ELEMENTS // max(1, each)) if isinstance(each, int) else 1
    room = FEW * (f + 3 * w + 2 * ROW + 2 * KEYS) + KEYS * (f + w)
    steps = [_step(o, spec, is_few * lead * stretches, grain, room * size)]
    if _can_be(several, 1):
        combine = spec._replace(role="combine", stored=spec.scalar, causal=False, mask="")
        steps.append(_step(o, combine, several * lead, GRAIN_COMBINED, room * size))
    return steps


def is_flex(node: Node) -> bool:
    """Whether functions of the user's change scores."""
    return node.op.name.startswith("flex_")


def functions(node: Node, rest: tuple) -> Flex:
    """What a kernel is keyed on of the user's functions."""
    _, captured = parts(rest, node.attrs)
    programs = (tuple(step._replace(dtype=step.dtype.short) for step in p) for p in node.attrs[1:4])
    return Flex(*programs, bool(node.attrs[4]), tuple((c.dtype.short, len(c.shape)) for c in captured))


def _captured(o: _Operands, blocks: tuple, captured: tuple) -> None:
    """The words of the list of blocks and of captured tensors."""
    for value in blocks:
        view = o.read(value)
        if view.strides[-1] != 1:
            view = o.written(None, value.type)
            write(o.work, o.node, value, view)
        steps = (0 if isinstance(n, int) and n == 1 else s for n, s in zip(value.shape, view.strides, strict=True))
        o.words["listed"] = Word("slot", view.buffer, view.offset * 8)
        o.words |= {f"listed_{n}": Word("int", s) for n, s in zip(("batch", "head", "row"), steps, strict=False)}
    for i, value in enumerate(captured):
        view = o.read(value)
        o.words[f"captured{i}"] = Word("slot", view.buffer, view.offset * BYTES[value.dtype.short])
        for d, (size, stride) in enumerate(zip(value.shape, view.strides, strict=True)):
            o.words |= {f"captured{i}_size{d}": Word("int", size), f"captured{i}_stride{d}": Word("int", stride)}


def _dense(o: _Operands, node: Node, picks: list[Node | None], is_forward: bool) -> Home:
    """Where the logarithms of sums lie, row-major."""
    if is_forward:
        return o.written(picks[1], node.type[1])
    sums = node.inputs[5]
    view = o.wide(sums)
    wanted = zip(view.strides, contiguous_strides(tuple(sums.shape)), sums.shape, strict=True)
    if all(found == dense or is_one(size) for found, dense, size in wanted):
        return view
    copy = o.written(None, sums.type)
    write(o.work, node, sums, copy)
    return copy


def has_tiles(isa: str) -> bool:
    """Whether float32 products are summed by matrix tiles: where the machine has them and the `isa` knob does not name
    the instruction set."""
    return isa == "avx512" and not config.get("isa") and matrix_tiles.granted()


def _group(spec: AttentionSpec, q: Node) -> int:
    """Blocks of queries of a unit. Each has a list of its own where blocks of keys are listed."""
    blocks, leads = (q.shape[-2] + (QUERIES - 1)) // QUERIES, prod(q.shape[:-2])
    if spec.flex and spec.flex.listed:
        return 1
    if not isinstance(blocks, int) or not isinstance(leads, int):
        return GROUP
    return max(1, min(GROUP, blocks, blocks * leads // UNITS))


def _units(q: Node, k: Node, v: Node, is_forward: bool, group: int) -> tuple[Any, Any]:
    """Units, and the grain: how many are worth a thread."""
    leads, queries = prod(q.shape[:-2]), QUERIES * group
    units = leads * ((q.shape[-2] + (queries - 1)) // queries) if is_forward else leads
    rows = queries if is_forward else q.shape[-2]
    each = rows * k.shape[-2] * (q.shape[-1] + v.shape[-1]) * (1 if is_forward else 2)
    return units, max(1, GRAIN_PRODUCTS // max(1, each)) if isinstance(each, int) else 1


def _scratch(spec: AttentionSpec, q: Node, k: Node, v: Node, group: int) -> Any:
    """Bytes of workspace: a bound of what the kernels take."""
    lanes = STEP if spec.tiles else ISAS[spec.isa].lanes(spec.scalar)
    f, w = (((n + (lanes - 1)) // lanes) * lanes for n in (q.shape[-1], v.shape[-1]))
    if spec.tiles and spec.role == "forward":
        return forward_tiles.words(f, w, group) * BYTES["f32"]
    blocks = 5 * (f + w) * max(QUERIES, KEYS) + 5 * KEYS * QUERIES + 8 * QUERIES
    if spec.role == "backward":
        blocks = blocks + k.shape[-2] * (f + w)
        blocks = blocks + (backward_tiles.words(f, w) if spec.tiles else 0)
    return blocks * BYTES[COMPUTE[spec.stored]]
