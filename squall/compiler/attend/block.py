"""What forward and backward of attention share: a block of queries on its way, and the functions both call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from squall.compiler.attend import modify, softmax, tiles
from squall.compiler.attend.softmax import LOG2_E
from squall.compiler.attend.spec import AttentionSpec, Words, rounded
from squall.compiler.attend.tiles import KEYS, QUERIES
from squall.ir.linear import I64, Builder, Function, Reg, Type


def helpers(spec: AttentionSpec) -> list[Function]:
    """Functions of both kernels."""
    isa, scalar = tiles.target_isa(spec.isa), spec.scalar
    loaded = (spec.stored, spec.mask, *((scalar,) if spec.role == "backward" else ()))
    made = [tiles.load_rows(isa, s, scalar, f"load_{s}") for s in dict.fromkeys(loaded) if s]
    stored = scalar if spec.role == "forward" else spec.stored
    made += [tiles.store_rows(isa, stored, scalar), tiles.turn(isa, scalar), softmax.weights(isa, scalar)]
    made += [softmax.adjust(isa, scalar, spec.causal, bool(spec.mask))] if spec.causal or spec.mask else []
    if spec.flex:
        made += [modify.modify(isa, scalar, spec.flex, True)]
        made += [modify.modify(isa, scalar, spec.flex, False)] if spec.flex.listed and spec.flex.keep else []
    return made + ([softmax.drop(isa, scalar)] if spec.dropout else [])


class Block:
    """A block of queries on its way: registers shared by the steps of one unit."""

    def __init__(self, b: Builder, spec: AttentionSpec):
        self.b, self.spec, self.scalar = b, spec, spec.scalar
        self.isa = tiles.target_isa(spec.isa)
        self.words = Words(b, spec)
        self.one = b.const(1.0, Type(self.scalar))
        self.lanes = self.isa.lanes(self.scalar)
        self.queries, self.keys = self.words["queries"], self.words["keys"]
        self.features = rounded(b, self.words["features"], self.lanes)
        self.width = rounded(b, self.words["width"], self.lanes)
        self.step, self.reach = b.int(QUERIES), b.int(KEYS)
        self.in_place = spec.stored == self.scalar

    def ceiling(self, value: Reg) -> Reg:
        """Blocks that a count takes."""
        return self.b.op("div", self.b.add(value, self.b.int(QUERIES - 1)), self.step)

    def load(self, tensor: str, start: Reg, first: Reg, rows: Reg, columns: Reg, width: Reg, target: Reg,
             factor: Reg) -> None:
        """Rows of a tensor, dense in workspace."""
        w = self.words
        self.b.call(f"load_{w.stored(tensor)}", (w.row(tensor, start, first), w[f"{tensor}_row"], w[f"{tensor}_step"],
                                                 rows, columns, target, width, factor))

    def lying(self, tensor: str, start: Reg, first: Reg, rows: Reg, target: Reg | None) -> tuple[Reg, Reg, Reg]:
        """Keys or values to be read element by element: address, stride of rows, stride of features. They are read
        where they lie, or from workspace if they must be converted."""
        w, b = self.words, self.b
        if target is None:
            return w.row(tensor, start, first), w[f"{tensor}_row"], w[f"{tensor}_step"]
        size, width = (w["features"], self.features) if tensor == "k" else (w["width"], self.width)
        self.load(tensor, start, first, rows, size, width, target, self.one)
        return target, width, b.int(1)

    def score_mask(self, start: Reg, first: Reg, rows: Reg, key: Reg, keys: Reg, space: Reg, turned: Reg) -> tuple:
        """The mask of a block of scores, keys by queries: address, stride of keys, of queries (0: one for all)."""
        w, b = self.words, self.b
        step = b.gep(start, b.mul(key, w["mask_step"]), self.spec.mask)
        where = b.gep(step, b.mul(first, w["mask_row"]), self.spec.mask)
        factor = b.const(LOG2_E, Type(self.scalar))
        alike = b.compare("eq", w["mask_row"], b.int(0))
        row, lane = b.var(b.int(1)), b.var(b.int(0))
        name = f"load_{self.spec.mask}"
        with b.when_else(alike) as otherwise:
            b.call(name, (where, b.int(0), w["mask_step"], b.int(1), keys, turned, self.reach, factor))
            otherwise()
            b.call(name, (where, w["mask_row"], w["mask_step"], rows, keys, space, self.reach, factor))
            b.call("turn", (space, self.reach, turned, self.step, self.step, self.reach))
            b.set(row, self.step)
            b.set(lane, b.int(1))
        return turned, b.get(row), b.get(lane)

    @property
    def factor(self) -> Reg:
        """What queries are multiplied by: scores are in units of ln 2 unless the user's functions see them first."""
        b = self.b
        return self.words["scale"] if self.spec.flex else b.mul(self.words["scale"], b.const(LOG2_E, Type(self.scalar)))

    def enter(self, lead: Reg) -> None:
        """Begin with a leading index: its batch and head."""
        if self.spec.flex:
            self.batch = self.b.op("div", lead, self.words["heads"])
            self.head = self.b.sub(lead, self.b.mul(self.batch, self.words["heads"]))

    @contextmanager
    def meetings(self, number: Reg, most: Reg) -> Iterator[tuple[Reg, Reg, Reg | None]]:
        """Past the blocks of keys that a block of queries meets: first key, how many, whether all are kept."""
        b, w, flex = self.b, self.words, self.spec.flex
        if not (flex and flex.listed):
            with b.loop(b.int(0), most, self.reach) as key:
                yield key, b.op("min", b.sub(most, key), self.reach), None
            return
        at = b.add(b.mul(self.batch, w["listed_batch"]), b.mul(self.head, w["listed_head"]))
        line = b.gep(w["listed"], b.add(at, b.mul(number, w["listed_row"])), "i64")
        with b.loop(b.int(1), b.add(b.load(I64, line), b.int(1))) as i:
            entry = b.load(I64, b.gep(line, i, "i64"))
            key = b.mul(b.op("shr", entry, b.int(1)), self.reach)
            whole = b.compare("eq", b.op("and", entry, b.int(1)), b.int(1))
            yield key, b.op("min", b.sub(most, key), self.reach), whole

    def modified(self, source: Reg, target: Reg, highest: Reg, keys: Reg, columns: Reg, first: Reg, key: Reg,
                 whole: Reg | None) -> None:
        """Apply the user's functions to a block of scores."""
        b, flex = self.b, self.spec.flex
        given = (source, target, highest, *self.where(keys, columns, first, key))
        if whole is None or not (flex and flex.keep):
            b.call("modify", given)
            return
        with b.when_else(whole) as otherwise:
            b.call("modify_whole", given)
            otherwise()
            b.call("modify", given)

    def where(self, keys: Reg, columns: Reg, first: Reg, key: Reg) -> tuple[Reg, ...]:
        """What the user's functions are told besides scores: sizes and place of a block, captured tensors."""
        assert self.spec.flex is not None  # only kernels with the user's functions ask
        captured = (self.words[n] for n in self.spec.flex.names)
        return (keys, columns, self.batch, self.head, first, key, *captured)

    def no_mask(self) -> tuple:
        """What `adjust` is given when there is no mask."""
        return self.words["lse"], self.b.int(0), self.b.int(0)

    def dropped(self, source: Reg, target: Reg, keys: Reg, columns: Reg, row: Reg, key: Reg) -> None:
        """Apply dropout to a block of weights or of their gradients."""
        w, b = self.words, self.b
        per_row = b.op("shr", b.add(self.keys, b.int(3)), b.int(2))
        b.call("drop", (source, target, keys, columns, w["seed"], w["offset"], row, per_row,
                        b.op("shr", key, b.int(2)), w["threshold"], w["factor"]))


def fill(b: Builder, scalar: str, lanes: int, place: Reg, count: Reg, value: float) -> None:
    """Whole vectors of one value."""
    with b.loop(b.int(0), count, b.int(lanes)) as j:
        b.store(b.const(value, Type(scalar, lanes)), b.gep(place, j, scalar))
