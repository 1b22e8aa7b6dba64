"""Packing ahead: the next strip of A becomes tiles of parts between the products of the strip before it.

Matrix tiles are multiplied in a unit of their own, 16 cycles each, in which the vector units would stand still; a line
of A takes them about as long. So while a strip of 32 rows is multiplied, a few lines of the next are packed behind some
of the products (`part_driver`), and what is left of them before it is needed. A job says what is to be packed, in a few
words of memory. It takes whole steps of k whose numbers are neighbours; others are packed at once, by `part_pack`.
"""

from __future__ import annotations

from squall.compiler.nest.pieces import BITS, SIDE, STEP, VECTOR, raise_size, split, store_parts
from squall.ir.linear import I64, PTR, Builder, Function, Reg

WORDS = ("left", "row", "step", "steps", "apart", "source", "offsets", "k_table", "target")  # of a job
PLACES = ("source", "offsets", "k_table", "target")
REST, FOLD = "pack_rest", "fold_sizes"


class Ahead:
    """A job in registers: from `Ahead(...)` to `keep` its next lines can be packed.

    Args:
        job: words of a job. tops: a vector for each row of the strip, of the largest sizes lane by lane. slot_bytes:
            what the tiles of a step take.
    """

    def __init__(self, b: Builder, job: Reg, tops: Reg, slot_bytes: int):
        self.b, self.job, self.tops, self.slot = b, job, tops, slot_bytes
        held = {name: b.load(PTR if name in PLACES else I64, self._word(name)) for name in WORDS}
        self.steps, self.apart = held["steps"], held["apart"]
        self.start, self.offsets, self.k_table, self.tiles = (held[name] for name in PLACES)
        self.left, self.row, self.step = (b.var(held[name]) for name in WORDS[:3])
        self.top = b.var(b.load(BITS, self._top()))
        self.line, self.target = b.var(self.start), b.var(self.tiles)
        self._meet_row(held["step"])

    def _word(self, name: str) -> Reg:
        return self.b.gep(self.job, self.b.int(WORDS.index(name)), "i64")

    def _top(self) -> Reg:
        return self.b.gep(self.tops, self.b.mul(self.b.get(self.row), self.b.int(SIDE)), "u32")

    def _meet_row(self, step: Reg) -> None:
        """Where a row lies, and where its lines go from a step on."""
        b, row = self.b, self.b.get(self.row)
        b.set(self.line, b.gep(self.start, b.load(I64, b.gep(self.offsets, row, "i64")), "f32"))
        group = b.op("div", row, b.int(SIDE))
        line = b.mul(b.op("and", row, b.int(SIDE - 1)), b.int(4 * SIDE))
        at = b.add(b.mul(group, self.apart), b.add(b.mul(step, b.int(self.slot)), line))
        b.set(self.target, b.gep(self.tiles, at, "i8"))

    def pack(self, count: Reg) -> None:
        """Up to `count` lines: a row's one after another."""
        b = self.b
        done = b.op("min", count, b.get(self.left))
        with b.loop(b.int(0), done):
            self._line()
        b.set(self.left, b.sub(b.get(self.left), done))

    def _line(self) -> None:
        b, target, step = self.b, self.b.get(self.target), self.b.get(self.step)
        offset = b.load(I64, b.gep(self.k_table, b.mul(step, b.int(STEP)), "i64"))
        source = b.gep(b.get(self.line), offset, "f32")
        pair = b.load(VECTOR, source), b.load(VECTOR, b.gep(source, b.int(SIDE), "f32"))
        raise_size(b, self.top, pair)
        store_parts(b, split(b, *pair, True), target)
        b.set(self.target, b.gep(target, b.int(self.slot), "i8"))
        b.set(self.step, b.add(step, b.int(1)))
        with b.when(b.compare("eq", b.get(self.step), self.steps)):
            b.store(b.get(self.top), self._top())
            b.set(self.top, b.const(0, BITS))
            b.set(self.step, b.int(0))
            b.set(self.row, b.add(b.get(self.row), b.int(1)))
            self._meet_row(b.int(0))

    def keep(self) -> None:
        """Where the job stands, for who goes on with it."""
        b = self.b
        for name in WORDS[:3]:
            b.store(b.get(getattr(self, name)), self._word(name))
        b.store(b.get(self.top), self._top())


def begin(b: Builder, job: Reg, values: dict[str, Reg]) -> None:
    """Write a job that begins."""
    for place, name in enumerate(WORDS):
        b.store(values.get(name, b.int(0)), b.gep(job, b.int(place), "i64"))


def pack_rest(slot_bytes: int) -> Function:
    """`pack_rest(job, tops)`: all lines that are left."""
    b = Builder(REST, (PTR, PTR))
    job, tops = b.parameters
    ahead = Ahead(b, job, tops, slot_bytes)
    ahead.pack(b.get(ahead.left))
    ahead.keep()
    return b.finish()


def fold_sizes(rows: int) -> Function:
    """`fold_sizes(tops, sizes)`: the largest size of each of a strip's rows, from a vector for each of them."""
    b = Builder(FOLD, (PTR, PTR))
    tops, sizes = b.parameters
    with b.loop(b.int(0), b.int(rows), b.int(SIDE)) as first:
        vectors = [b.load(BITS, b.gep(tops, b.mul(b.add(first, b.int(i)), b.int(SIDE)), "u32")) for i in range(SIDE)]
        place, size = b.gep(sizes, first, "u32"), 1
        while len(vectors) > 1:
            vectors = [_halved(b, *pair, size) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
            size *= 2
        b.store(b.op("max", b.load(BITS, place), vectors[0]), place)
    return b.finish()


def _halved(b: Builder, x: Reg, y: Reg, size: int) -> Reg:
    """The larger of lanes that are `size` apart: of `x` in lanes whose number lacks that bit, of `y` in the others."""
    lanes = range(SIDE)
    low = b.shuffle(x, y, tuple(SIDE + j - size if j & size else j for j in lanes))
    high = b.shuffle(x, y, tuple(SIDE + j if j & size else j + size for j in lanes))
    return b.op("max", low, high)
