"""Kernels that must go through positions one after the other: scatters in index order, running sums and products.

A unit is one position of the free dimensions, of which the last may fill lanes; inside it the sequence is walked in
row-major order. `SequenceSpec` is the kernel's key; all extents and strides are words.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.compiler.reducers import extreme
from squall.ir.linear import I64, PTR, Builder, Program, Reg, Type

_SMALL = ("f16", "bf16")


class SequenceSpec(NamedTuple):
    """`kind`: "set", "add" (scatter), "sum", "prod" (scan). `free`: outer free loops; `lanes`: 0 without an inner free
    loop. `walked`: loops of the sequence. `indices`: for each index tensor whether it changes along the inner loop.

    Words: free extents, the inner extent, walked extents; then for target, source and each index: pointer, strides of
    free loops, of the inner loop, of walked loops (none for a scatter's target); then for each index the size of its
    dimension, the target's stride there, the status code; at last the status block.
    """

    kind: str
    scalar: str
    source: str
    free: int
    lanes: int
    walked: int
    indices: tuple[bool, ...] = ()

    @property
    def is_scatter(self) -> bool:
        """Whether positions of the target come from index tensors."""
        return self.kind in ("set", "add")


class _Stream:
    """One tensor the kernel walks: its place and the words of its strides."""

    def __init__(self, lowering: _Lowering, scalar: str, walked: bool):
        spec = lowering.spec
        self.scalar, self.place = scalar, lowering.word(PTR)
        self.free = [lowering.word() for _ in range(spec.free)]
        self.inner = lowering.word()
        self.walked = [lowering.word() for _ in range(spec.walked)] if walked else []


class _Lowering:
    """Writes the kernel of one spec."""

    def __init__(self, spec: SequenceSpec):
        self.spec, self.b = spec, Builder.kernel("sequence")
        self.next = 0

    def word(self, type: Type = I64) -> Reg:
        self.next += 1
        return self.b.argument(self.next - 1, type)

    def build(self) -> Program:
        b, spec = self.b, self.spec
        free = [self.word() for _ in range(spec.free)]
        self.extent = self.word()
        walked = [self.word() for _ in range(spec.walked)]
        self.target = _Stream(self, spec.scalar, not spec.is_scatter)
        self.source = _Stream(self, spec.source, True)
        self.indices = [_Stream(self, "i64", True) for _ in spec.indices]
        self.sizes = [(self.word(), self.word(), self.word()) for _ in spec.indices]
        self.status = self.word(PTR)
        lanes = max(1, spec.lanes)
        chunks = b.op("div", b.add(self.extent, b.int(lanes - 1)), b.int(lanes))
        with b.loop(b.begin, b.end) as unit:
            j = b.mul(b.op("rem", unit, chunks), b.int(lanes))
            position = self._decompose(b.op("div", unit, chunks), free)
            mask = b.mask_below(b.sub(self.extent, j), lanes)
            places = [self._placed(s, position, j) for s in (self.target, self.source, *self.indices)]
            self._walk(places, walked, mask, lanes)
        return Program((b.finish(),), "sequence")

    def _decompose(self, flat: Reg, sizes: list[Reg]) -> list[Reg]:
        b, out = self.b, []
        for size in reversed(sizes[1:]):
            out.append(b.op("rem", flat, size))
            flat = b.op("div", flat, size)
        return [flat, *reversed(out)] if sizes else []

    def _placed(self, s: _Stream, position: list[Reg], j: Reg) -> Reg:
        b, place = self.b, s.place
        for index, stride in zip(position, s.free, strict=True):
            place = b.gep(place, b.mul(index, stride), s.scalar)
        return b.gep(place, b.mul(j, s.inner), s.scalar)

    def _walk(self, places: list[Reg], walked: list[Reg], mask: Reg, lanes: int) -> None:
        b, spec = self.b, self.spec
        count = b.int(1)
        for n in walked:
            count = b.mul(count, n)
        scalar = "f32" if spec.scalar in _SMALL else spec.scalar
        type = Type(scalar, lanes)
        running = None
        if not spec.is_scatter:
            running = b.var(b.const(1 if spec.kind == "prod" else 0, type))
        with b.loop(b.int(0), count) as step:
            at = self._decompose(step, walked)
            target, source, *indices = [
                self._moved(s, p, at) for s, p in zip((self.target, self.source, *self.indices), places, strict=True)]
            value = b.cast(self._read(self.source, source, mask, lanes), type)
            if running is not None:
                held = b.get(running)
                new = b.mul(held, value) if spec.kind == "prod" else b.add(held, value)
                b.set(running, new)
                self._write(target, None, new, mask, lanes)
            else:
                self._scatter(target, indices, value, mask, lanes)

    def _moved(self, s: _Stream, place: Reg, at: list[Reg]) -> Reg:
        for index, stride in zip(at, s.walked, strict=False):
            place = self.b.gep(place, self.b.mul(index, stride), s.scalar)
        return place

    def _steps(self, s: _Stream, lanes: int) -> Reg:
        type = Type("i64", lanes)
        return self.b.mul(self.b.iota(type), self.b.splat(s.inner, lanes))

    def _read(self, s: _Stream, place: Reg, mask: Reg, lanes: int) -> Reg:
        b = self.b
        if lanes == 1:
            return b.load(Type(s.scalar), place)
        return b.gather(Type(s.scalar, lanes), place, self._steps(s, lanes), mask)

    def _write(self, place: Reg, offsets: Reg | None, value: Reg, mask: Reg, lanes: int) -> None:
        b, s = self.b, self.target
        value = b.cast(value, value.type.with_scalar(s.scalar))
        if lanes == 1:
            b.store(value, place if offsets is None else b.gep(place, offsets, s.scalar))
            return
        steps = self._steps(s, lanes)
        b.scatter(value, place, steps if offsets is None else b.add(steps, offsets), mask)

    def _scatter(self, target: Reg, indices: list[Reg], value: Reg, mask: Reg, lanes: int) -> None:
        b, spec = self.b, self.spec
        total = None
        for i, place in enumerate(indices):
            width = lanes if spec.indices[i] else 1
            index = self._checked(self._read(self.indices[i], place, mask, width), i, mask if width > 1 else None)
            offset = b.mul(index, b.splat(self.sizes[i][1], width))
            offset = offset if width == lanes else b.splat(offset, lanes)
            total = offset if total is None else b.add(total, offset)
        if spec.kind == "add":
            s = self.target
            type = Type(s.scalar, lanes)
            if lanes == 1:
                held = b.load(type, b.gep(target, total, s.scalar))  # type: ignore[arg-type]
            else:
                held = b.gather(type, target, b.add(self._steps(s, lanes), total), mask)  # type: ignore[arg-type]
            held = b.cast(held, value.type)
            value = b.op("or", held, value) if value.type.scalar == "bool" else b.add(held, value)
        self._write(target, total, value, mask, lanes)

    def _checked(self, index: Reg, i: int, mask: Reg | None) -> Reg:
        """An index from 0; one out of range is reported and taken as 0."""
        b, type = self.b, index.type
        size, _, code = self.sizes[i]
        extent, zero = b.splat(size, type.lanes), b.const(0, type)
        at = b.select(b.compare("lt", index, zero), b.add(index, extent), index)
        wrong = b.op("or", b.compare("lt", at, zero), b.compare("ge", at, extent))
        if mask is not None:
            wrong = b.op("and", wrong, mask)
        with b.when(b.reduce(wrong, "or")):
            worst = b.select(wrong, index, b.const(extreme("i64", False), type))
            b.status(self.status, code, b.reduce(worst, "max"))
        return b.select(wrong, zero, at)


def lower(spec: SequenceSpec) -> Program:
    """The program of a sequence spec."""
    return _Lowering(spec).build()
