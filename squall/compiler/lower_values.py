"""Values of a `Spec` as linear-IR instructions, at the level where each is known.

Registers hold the compute form of a value: 16-bit floats as float32 that a cast to 16 bits would keep. A value known
outside the inner loop is a scalar and is spread over the lanes where it was made, since nothing later moves code out
of loops.
"""

from __future__ import annotations

from typing import Any

from squall.compiler.describe import compute_scalar
from squall.compiler.lower_random import philox
from squall.compiler.spec import ELEMENT, KERNEL, LINE, ROW, Access, Spec, Value
from squall.ir.linear import BYTES, COMPARE, I64, PTR, Builder, Reg, Type
from squall.ir.op import op_named

NARROW = ("i8", "u8", "i16", "u16")
_BOUNDS = {"maximum": ("maximum",), "minimum": ("minimum",), "clamp": ("maximum", "minimum")}


def number_of(text: str, scalar: str) -> Any:
    """The Python number a constant's text stands for."""
    if scalar in ("f16", "bf16", "f32", "f64"):
        return float.fromhex(text) if text != "nan" else float("nan")
    return bool(int(text)) if scalar == "bool" else int(text)


def rounded(b: Builder, reg: Reg, scalar: str) -> Reg:
    """A computed register as its dtype holds it."""
    if scalar in ("f16", "bf16") and reg.type.scalar == "f32":
        return b.cast(b.cast(reg, reg.type.with_scalar(scalar)), reg.type)
    return reg


def convert(b: Builder, reg: Reg, scalar: str) -> Reg:
    """A cast by value."""
    return rounded(b, b.cast(reg, reg.type.with_scalar(compute_scalar(scalar))), scalar)


def instruction(b: Builder, name: str, attrs: tuple, scalar: str, args: list[Reg]) -> Reg:
    """An elementwise op on compute forms, rounded to its dtype."""
    if name == "cast":
        return convert(b, args[0], scalar)
    build = op_named(name).lowering.build
    if callable(build):
        made = build(b, attrs, *args)
    elif build in COMPARE:
        made = b.compare(build, *args)
    elif build == "select":
        made = b.select(*args)
    else:
        made = b.op(build, *args)
    return rounded(b, made, scalar)


def _clamped(spec: Spec, number: int) -> tuple[int, list[tuple[str, int]]] | None:
    """Of a cast of float32 to narrow integers the value that comes in and the bounds it is clamped by, in their order:
    `maximum` or `minimum` and a value of the kernel; None if it is none."""
    v = spec.values[number]
    if v.scalar not in NARROW or v.level != ELEMENT or not (v.op == "convert" or _is_inst(v, "cast")):
        return None
    bounds: list[tuple[str, int]] = []
    source = v.operands[0]
    while _is_inst(inner := spec.values[source], *_BOUNDS) and inner.scalar == "f32":
        names = _BOUNDS[inner.attr[0]]
        others = [n for n in inner.operands if spec.values[n].level != KERNEL]
        fixed = [n for n in inner.operands if n not in others]
        if len(others) != 1 or (len(names) == 2 and others[0] != inner.operands[0]):
            break
        bounds[:0] = zip(names, fixed, strict=True)
        source = others[0]
    return (source, bounds) if bounds else None


def _is_inst(v: Value, *names: str) -> bool:
    return v.op == "inst" and v.attr[0] in names


class Emitter:
    """Writes the values of one kernel.

    Attributes:
        b: the builder. words: the register of each args word. regs: compute-form registers of values outside the
        inner loop; spread: the same over lanes. places: pointers (or integers, for positions) advanced by the loops
        entered so far, by what they belong to. streams: whether whole vectors are now stored past the caches.
        sure: conditions that are known to hold where code is now written. late: values that are asked for by number.
    """

    def __init__(self, spec: Spec, b: Builder):
        self.spec, self.b, self.lanes = spec, b, spec.lanes
        self.streams = False
        self.sure: frozenset[int] = frozenset()
        self.late: frozenset[int] = frozenset()
        self.words: dict[int, Reg] = {}
        self.regs: dict[int, Reg] = {}
        self.spread: dict[int, Reg] = {}
        self.places: dict[Any, Reg] = {}
        self.accesses: dict[Any, tuple[Access, str]] = {}
        for number, v in enumerate(spec.values):
            if v.op == "load":
                self.accesses[number] = v.attr[0], v.scalar
            elif v.op == "position":
                self.accesses[number] = v.attr, "i64"
        for position, s in enumerate(spec.stores):
            self.accesses["store", position] = s.access, s.scalar
        self.clamped = {n: found for n in range(len(spec.values)) if (found := _clamped(spec, n)) is not None}
        self.sound: dict[int, Reg] = {}
        self.to_spread = {n for v in spec.values if v.level == ELEMENT for n in v.operands
                          if spec.values[n].level < ELEMENT and spec.values[n].op != "const"}
        self.to_spread |= {s.value for s in spec.stores if s.level == ELEMENT and spec.values[s.value].level < ELEMENT}

    def word(self, number: int, type: Type = I64) -> Reg:
        """An args word; all are loaded at the kernel's beginning."""
        return self.words[number]

    def load_words(self) -> None:
        """Load every word of the args block."""
        kinds: dict[int, Type] = {}
        for key, (access, _) in self.accesses.items():
            is_position = isinstance(key, int) and self.spec.values[key].op == "position"
            kinds[access.word] = I64 if is_position else PTR
        for v in self.spec.values:
            if v.op == "word":
                kinds[v.attr] = Type(v.scalar)
            elif v.op == "wrap":
                kinds[v.attr[2]] = PTR
        for number in range(self.spec.words):
            self.words[number] = self.b.argument(number, kinds.get(number, I64))

    # places: one address or integer per access, advanced loop by loop
    def enter_kernel(self) -> None:
        """Values and places that no loop changes."""
        for key, (access, _) in self.accesses.items():
            self.places[key] = self.words[access.word]
        self.emit_level(KERNEL, 0)
        for number, (_, bounds) in self.clamped.items():
            self.sound[number] = self._are_numbers([n for _, n in bounds])

    def advance(self, indices: dict[int, Reg], first: int, last: int) -> None:
        """Move every place by the indices of loops first <= number < last that it depends on."""
        for key, (access, scalar) in self.accesses.items():
            for loop, stride in access.strides:
                if first <= loop < last:
                    self.move(key, scalar, indices[loop], stride)

    def move(self, key: Any, scalar: str, index: Reg, stride: int | None) -> None:
        """Move a place by so many strides."""
        b = self.b
        step = index if stride is None else b.mul(index, self.words[stride])
        self.places[key] = self._moved(key, self.places[key], step, scalar)

    def _moved(self, key: Any, place: Reg, step: Reg, scalar: str) -> Reg:
        return self.b.gep(place, step, scalar) if place.type == PTR else self.b.add(place, step)

    def emit_level(self, level: int, phase: int) -> None:
        """All values of one level and phase, in order; they may be used until the loop they are in ends."""
        self.emit_some([n for n, v in enumerate(self.spec.values) if n not in self.late and v.level == level
                        and v.phase == phase and v.op != "reduce" and n not in self.regs])

    def emit_some(self, numbers: list[int]) -> None:
        """Values outside the inner loop."""
        for number in numbers:
            self.set_value(number, self.emit(number, self.spec.values[number], self.regs, None, None))

    def set_value(self, number: int, reg: Reg) -> None:
        """Keep a value made outside the inner loop, spread over lanes where the inner loop reads it."""
        self.regs[number] = reg
        if number in self.to_spread:
            self.spread[number] = self.b.splat(reg, self.lanes)

    def operand(self, number: int, local: dict[int, Reg], lanes: int) -> Reg:
        """A value with as many lanes as its reader has."""
        if number in local:
            reg = local[number]
            return reg if reg.type.lanes == lanes else self.b.splat(reg, lanes)
        v = self.spec.values[number]
        if v.op == "const":
            return self.constant(v, lanes)
        if lanes == 1:
            return self.regs[number]
        if number in self.spread:
            return self.spread[number]
        return self.b.splat(self.regs[number], lanes)

    def constant(self, v: Value, lanes: int) -> Reg:
        return self.rounded(self.b.const(number_of(v.attr, v.scalar), Type(compute_scalar(v.scalar), lanes)), v.scalar)

    def rounded(self, reg: Reg, scalar: str) -> Reg:
        """A computed register as its dtype holds it."""
        return rounded(self.b, reg, scalar)

    def emit(self, number: int, v: Value, local: dict[int, Reg], j: Reg | None, mask: Reg | None) -> Reg:
        """One value; for those of the inner loop `j` is the index of lane 0 and `mask` the live lanes (None: all)."""
        b, lanes = self.b, self.lanes if v.level == ELEMENT else 1
        if v.op == "const":
            return self.constant(v, lanes)
        if v.op == "word":
            return self.words[v.attr]
        if v.op == "load":
            return self._load(number, v, local, j, mask)
        if v.op == "position":
            return self._position(number, v, local, j)
        if v.op == "select" and v.operands[0] in self.sure:
            return self.operand(v.operands[1], local, lanes)
        args = [self.operand(n, local, lanes) for n in v.operands]
        if number in self.sound and lanes > 1:
            args = [self._clamp(number, local)]
        if v.op == "inst":
            return self.instruction(v, args)
        if v.op == "inside":
            size = b.splat(self.words[v.attr], lanes)
            return b.op("and", b.compare("ge", args[0], b.const(0, args[0].type)), b.compare("lt", args[0], size))
        if v.op == "and":
            return b.op("and", *args)
        if v.op == "select":
            return b.select(*args)
        if v.op == "convert":
            return self.convert(args[0], v.scalar)
        if v.op == "wrap":
            return self._wrap(v, args, mask)
        if v.op == "random":
            return philox(b, *args)
        raise AssertionError(v.op)

    def convert(self, reg: Reg, scalar: str) -> Reg:
        """A cast by value."""
        return convert(self.b, reg, scalar)

    def instruction(self, v: Value, args: list[Reg]) -> Reg:
        """An elementwise op on compute forms, rounded to its dtype."""
        name, attrs = v.attr
        b = self.b
        if name == "bitcast":
            source = self.spec.values[v.operands[0]].scalar
            kept = b.bitcast(b.cast(args[0], args[0].type.with_scalar(source)), args[0].type.with_scalar(v.scalar))
            return b.cast(kept, kept.type.with_scalar(compute_scalar(v.scalar)))
        return instruction(b, name, attrs, v.scalar, args)

    def _are_numbers(self, numbers: list[int]) -> Reg:
        """Whether none of some values of the kernel is NaN, for each lane."""
        b, all_are = self.b, None
        for number in numbers:
            reg = self.operand(number, {}, 1)
            one = b.compare("eq", reg, reg)
            all_are = one if all_are is None else b.op("and", all_are, one)
        return b.splat(all_are, self.lanes)  # type: ignore[arg-type]

    def _clamp(self, number: int, local: dict[int, Reg]) -> Reg:
        """The operand of a cast to narrow integers, clamped. NaN need not be passed on at each bound, since it gives 0
        like any number between -1 and 1: it stays what it is, and where a bound is NaN all is made 0."""
        b, (source, bounds) = self.b, self.clamped[number]
        reg = self.operand(source, local, self.lanes)
        for name, bound in bounds:
            limit = self.operand(bound, local, self.lanes)
            reg = b.select(b.compare("gt" if name == "maximum" else "lt", limit, reg), limit, reg)
        return b.select(self.sound[number], reg, b.const(0, reg.type))

    # memory
    def _indirect(self, access: Access, local: dict[int, Reg], lanes: int) -> list[Reg]:
        out = []
        for number, stride in access.indirect:
            at = self.operand(number, local, lanes)
            out.append(at if stride is None else self.b.mul(at, self.b.splat(self.words[stride], lanes)))
        return out

    def _lane_steps(self, access: Access, j: Reg, local: dict[int, Reg]) -> Reg:
        """What each lane adds to a place."""
        b, type = self.b, Type("i64", self.lanes)
        total = None
        if access.inner is not None:
            total = b.add(b.iota(type), b.splat(j, self.lanes))
            if access.inner != "unit":
                total = b.mul(total, b.splat(self.words[access.inner], self.lanes))  # type: ignore[index]
        for step in self._indirect(access, local, self.lanes):
            total = step if total is None else b.add(total, step)
        return b.const(0, type) if total is None else total

    def _is_indirect_by_lane(self, access: Access) -> bool:
        return any(self.spec.values[n].level == ELEMENT for n, _ in access.indirect)

    def _place(self, key: Any, local: dict[int, Reg]) -> Reg:
        access, scalar = self.accesses[key]
        place = self.places[key]
        for step in self._indirect(access, local, 1):
            place = self._moved(key, place, step, scalar)
        return place

    def _load(self, number: int, v: Value, local: dict[int, Reg], j: Reg | None, mask: Reg | None) -> Reg:
        b, (access, guarded) = self.b, v.attr
        guard = v.operands[-1] if guarded and v.operands[-1] not in self.sure else None
        if v.level != ELEMENT:
            held = None if guard is None else self.operand(guard, local, 1)
            loaded = b.load(Type(v.scalar), self._place(number, local), held)
            return b.cast(loaded, Type(compute_scalar(v.scalar)))
        type = Type(v.scalar, self.lanes)
        if guard is not None:
            allowed = self.operand(guard, local, self.lanes)
            mask = allowed if mask is None else b.op("and", mask, allowed)
        if access.inner == "unit" and not self._is_indirect_by_lane(access):
            loaded = b.load(type, b.gep(self._place(number, local), j, v.scalar), mask)  # type: ignore[arg-type]
        else:
            mask = b.const(True, type.with_scalar("bool")) if mask is None else mask
            loaded = b.gather(type, self.places[number], self._lane_steps(access, j, local), mask)  # type: ignore[arg-type]
        return b.cast(loaded, type.with_scalar(compute_scalar(v.scalar)))

    def _position(self, number: int, v: Value, local: dict[int, Reg], j: Reg | None) -> Reg:
        if v.level != ELEMENT:
            return self._place(number, local)
        steps = self._lane_steps(v.attr, j, local)  # type: ignore[arg-type]
        return self.b.add(steps, self.b.splat(self.places[number], self.lanes))

    def _wrap(self, v: Value, args: list[Reg], mask: Reg | None) -> Reg:
        """A checked index from 0; what is out of range is reported and read as 0."""
        b, type = self.b, args[0].type
        size, code, status = (self.words[w] for w in v.attr)
        extent, zero = b.splat(size, type.lanes), b.const(0, type)
        at = b.select(b.compare("lt", args[0], zero), b.add(args[0], extent), args[0])
        wrong = b.op("or", b.compare("lt", at, zero), b.compare("ge", at, extent))
        for condition in (*args[1:], mask):
            if condition is not None and condition.type.lanes == type.lanes:
                wrong = b.op("and", wrong, condition)
        with b.when(b.reduce(wrong, "or")):
            worst = b.select(wrong, args[0], b.const(-(1 << 62), type))
            b.status(status, code, b.reduce(worst, "max"))
        return b.select(wrong, zero, at)

    def store(self, position: int, local: dict[int, Reg], j: Reg | None, mask: Reg | None) -> None:
        """Write a result."""
        b, s = self.b, self.spec.stores[position]
        key = ("store", position)
        lanes = self.lanes if s.level == ELEMENT else 1
        reg = self.operand(s.value, local, lanes)
        reg = b.cast(reg, reg.type.with_scalar(s.scalar))
        if s.level != ELEMENT:
            b.store(reg, self._place(key, local))
        elif s.access.inner == "unit" and not self._is_indirect_by_lane(s.access):
            streams = self.streams and mask is None
            align = min(64, lanes * BYTES[s.scalar]) if streams else 0
            b.store(reg, b.gep(self._place(key, local), j, s.scalar), mask, align, streams)  # type: ignore[arg-type]
        else:
            mask = b.const(True, reg.type.with_scalar("bool")) if mask is None else mask
            b.scatter(reg, self.places[key], self._lane_steps(s.access, j, local), mask)  # type: ignore[arg-type]


__all__ = ["ELEMENT", "KERNEL", "LINE", "ROW", "Emitter", "number_of"]
