"""From a pulled group to a `Spec` and the words of its args block.

Loops are fixed here: atoms of one class (kept, reduced) that every address walks as one are collapsed, extents and
strides become words, each value gets the level and the phase at which it is known. Everything that differs between
equal groups goes to the words; the `Spec` is their common structure and the kernel's key.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from squall.compiler import scratch
from squall.compiler.affine import Affine, Run
from squall.compiler.group import Group
from squall.compiler.heavy import has_heavy
from squall.compiler.loops import Loops, fix_loops
from squall.compiler.pull import Raw
from squall.compiler.spec import ELEMENT, KERNEL, LINE, ROW, Access, Spec, Store, Value
from squall.ir.linear import BYTES
from squall.ir.plan import Word

MOST_SUMS = 20  # registers of running sums of columns
BLOCK = 4096  # elements summed in lanes before a tree, see lower_rows
LINES = 128  # rows summed one after the other in a "columns" kernel
CHUNK = 8192  # elements of an elementwise unit
TILE = (64, 32)  # outer positions and inner elements of a tile, see `_put_last`
MANY_GUARDS = 4  # guarded loads of an element from which on guards are asked once a row, and rows done in tiles
ORDERED = ("sum", "prod")


class Described(NamedTuple):
    """A kernel to run: its spec, words, and how many units, with the elements of a unit (for the grain)."""

    spec: Spec
    words: tuple[Word, ...]
    units: Any
    unit_cost: Any


class Words:
    """The args block under construction. Equal words are not shared: two sizes may be equal by chance."""

    def __init__(self) -> None:
        self.list: list[Word] = []

    def add(self, kind: str, value: Any, offset: Any = 0) -> int:
        self.list.append(Word(kind, value, offset))
        return len(self.list) - 1

    def size(self, value: Any) -> int:
        return self.add("int", value)


class Describer:
    """Turns the raw values of a group into spec values, allotting words in order."""

    def __init__(self, group: Group, loops: Loops, words: Words, code_base: int = 0):
        self.group, self.loops, self.words = group, loops, words
        self.values: list[Value] = []
        self.base = len(loops.outer)
        self.is_rows = group.kind == "rows"

    def level_of(self, position: Affine) -> int:
        """The level at which a position changes."""
        level = KERNEL
        for v in position.terms:
            if isinstance(v, Run):
                level = max(level, self.values[v.value].level)
            elif v is self.loops.inner:
                level = ELEMENT
            elif v in self.loops.number:
                level = max(level, ROW if self.loops.number[v] < self.base else LINE)
        return level

    def phase_of(self, operands: tuple[int, ...]) -> int:
        return max((self.values[n].phase for n in operands), default=0)

    def access(self, position: Affine, word: int) -> Access:
        """An address with its strides as words."""
        strides, indirect, inner = [], [], None
        for v, c in sorted(position.terms.items(), key=self._order):
            if isinstance(v, Run):
                indirect.append((v.value, None if isinstance(c, int) and c == 1 else self.words.size(c)))
            elif v is self.loops.inner:
                inner = "unit" if isinstance(c, int) and c == 1 else self.words.size(c)
            elif v in self.loops.number:
                strides.append((self.loops.number[v], self.words.size(c)))
        return Access(word, tuple(strides), inner, tuple(indirect))

    def _order(self, term: tuple) -> tuple:
        v = term[0]
        if isinstance(v, Run):
            return (2, v.value)
        return (0, self.loops.number[v]) if v in self.loops.number else (1, v.serial)

    def value(self, raw: Raw, slot_of: Any) -> Value:
        """One raw value with level, phase and words."""
        op, scalar, operands, attr = raw
        level = max((self.values[n].level for n in operands), default=KERNEL)
        phase = self.phase_of(operands)
        if op == "word":
            attr = self.words.add("scalar", attr[1])
        elif op == "load":
            buffer, position, guarded = attr
            level = max(level, self.level_of(position))
            word = self.words.add("slot", slot_of(buffer), position.constant * BYTES[scalar])
            attr = (self.access(position, word), guarded)
        elif op == "position":
            level = max(level, self.level_of(attr))
            attr = self.access(attr, self.words.size(attr.constant))
        elif op == "inside":
            attr = self.words.size(attr)
        elif op == "wrap":
            attr = (self.words.size(attr[0]), self.words.size(attr[1]), self.words.add("status", 0))
        elif op == "reduce":
            level, phase = (ROW if self.is_rows else ELEMENT), phase + 1
        return Value(op, scalar, operands, attr, level, phase)


def describe(group: Group, slot_of: Any, vector_bytes: int) -> Described:
    """The spec and words of a pulled group.

    Args:
        group: after its `pull`. slot_of: the plan slot of a buffer number.
        vector_bytes: of the machine's registers.

    Raises:
        Unfit: when the reduced dimensions cannot be walked as one loop.
    """
    raws = group.puller.values  # type: ignore[union-attr]
    targets = [group.address(t) for t in group.targets]
    addresses = [r.attr[1] for r in raws if r.op == "load"] + [r.attr for r in raws if r.op == "position"] + targets
    loops, words = fix_loops(group, addresses), Words()
    outer = tuple(words.size(loops.extent[a]) for a in loops.outer)
    lines = tuple(words.size(loops.extent[a]) for a in loops.lines)
    extent = 1 if loops.inner is None else loops.extent[loops.inner]
    inner = words.size(extent)
    d = Describer(group, loops, words)
    for raw in raws:
        d.values.append(d.value(raw, slot_of))
    stores = []
    for target, number, position in zip(group.targets, group.numbers, targets, strict=True):
        short = target.node.dtype.short
        value = d.values[number]
        level = max(value.level, d.level_of(position))
        word = words.add("slot", slot_of(target.home.buffer), position.constant * BYTES[short])
        stores.append(Store(number, d.access(position, word), short, level, value.phase))
    count = prod([loops.extent[a] for a in loops.lines])
    total = count * extent if group.space.reduced else extent
    spec = _shape_spec(group, d, outer, lines, inner, stores, vector_bytes, extent, total)
    rows = prod([loops.extent[a] for a in loops.outer])
    if spec.tile:
        last = loops.extent[loops.outer[-1]]
        rows = prod([loops.extent[a] for a in loops.outer[:-1]]) * ((last + (spec.tile - 1)) // spec.tile)
    return Described(spec._replace(words=len(words.list)), tuple(words.list), *_units(spec, rows, extent, total, count))


def _shape_spec(group: Group, d: Describer, outer: tuple, lines: tuple, inner: int, stores: list[Store],
                vector_bytes: int, extent: Any, total: Any) -> Spec:
    values = tuple(d.values)
    lanes = lane_count(group.kind, values, vector_bytes)
    chunk = 0
    plain = group.kind == "rows" and not group.space.reduced and d.loops.inner is not None
    if d.loops.is_tiled:
        chunk = TILE[1]
    elif d.loops.is_widened:
        chunk = 4 * lanes
    elif plain and (not outer or _may_exceed(extent, 2 * CHUNK)):
        chunk = CHUNK
    length = prod([d.loops.extent[a] for a in d.loops.lines]) if group.kind == "columns" else total
    blocked = bool(group.space.reduced) and _may_exceed(length, LINES if group.kind == "columns" else BLOCK)
    guarded = plain and not chunk and sum(v.op == "load" and v.attr[1] for v in values) >= MANY_GUARDS
    spec = Spec(group.kind, outer, lines, inner, lanes, values, tuple(stores), chunk, blocked, group.split,
                tile=TILE[0] if d.loops.is_tiled or (guarded and outer) else 0)
    whole = group.kind == "rows" and isinstance(extent, int) and extent % lanes == 0
    if whole and (guarded or has_heavy(spec)):
        spec = spec._replace(exact=True)
    if group.kind == "columns" or lines or group.split or _may_exceed(extent, scratch.ELEMENTS):
        return spec
    return spec._replace(scratch=scratch.choose(spec))


def _may_exceed(size: Any, limit: int) -> bool:
    return not isinstance(size, int) or size > limit


def compute_scalar(scalar: str) -> str:
    """What a dtype is computed in."""
    return "f32" if scalar in ("f16", "bf16") else scalar


def accumulator(value: Value, values: Any) -> str:
    """The scalar a reduction accumulates in."""
    if value.attr in ORDERED:
        return compute_scalar(value.scalar)
    return compute_scalar(values[value.operands[0]].scalar)


def lane_count(kind: str, values: tuple[Value, ...], vector_bytes: int) -> int:
    """Lanes of the inner loop: of ordered reductions of rows a function of their dtype alone, twice a register; of
    columns, each summed by itself, as many as leave all sums in registers."""
    sums = [accumulator(v, values) for v in values if v.op == "reduce" and accumulator(v, values)[0] == "f"]
    if kind == "columns":
        vectors = 4 if len(sums) <= MOST_SUMS // 4 else 2 if len(sums) <= MOST_SUMS // 2 else 1
        return vectors * vector_bytes // max((BYTES[s] for s in sums), default=4)
    if sums:
        return 2 * vector_bytes // BYTES[sums[0]]
    sizes = {BYTES[compute_scalar(v.scalar)] for v in values if v.level == ELEMENT and v.scalar != "bool"}
    if any(v.op == "reduce" for v in values):
        return 2 * vector_bytes // max(sizes, default=4)
    floats = {BYTES[compute_scalar(v.scalar)] for v in values if v.level == ELEMENT and v.scalar[-1:].isdigit()
              and "f" in v.scalar}
    size = min(floats) if floats else max(sizes, default=4 if len(values) > 1 else 1)
    return vector_bytes // size


def _units(spec: Spec, rows: Any, extent: Any, total: Any, lines: Any) -> tuple[Any, Any]:
    if spec.kind == "columns":
        chunks = (extent + (spec.lanes - 1)) // spec.lanes
        return rows * chunks, spec.lanes * total
    if spec.chunk:
        return rows * ((extent + (spec.chunk - 1)) // spec.chunk), spec.chunk * max(1, spec.tile) * lines
    return rows, total * max(1, spec.tile)


def ordered_alike(a: Group, b: Group) -> bool:
    """Whether the reductions of two groups fill lanes alike, so that one kernel can do both."""
    def width(group: Group) -> set[int]:
        return {8 if n.dtype.short == "f64" else 4 for n in group.inside.values()
                if n.op.family.name == "reduce" and n.inputs[0].dtype.category == 2}

    both = width(a) | width(b)
    return len(both) <= 1

