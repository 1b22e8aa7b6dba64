"""A user's functions of scores inside a block: programs (see `ops.scalar_program`) over vectors of queries.

Every query is a lane, keys and captured elements that do not depend on the query stay numbers until they meet one. What
depends on no key is computed once a vector, what depends on neither once a block.
"""

from __future__ import annotations

from typing import Any

from squall.compiler.attend.softmax import LOG2_E, NOTHING
from squall.compiler.attend.spec import Flex
from squall.compiler.attend.tiles import QUERIES, higher
from squall.compiler.describe import compute_scalar
from squall.compiler.lower_values import instruction, number_of
from squall.compiler.nest.isa import Isa
from squall.ir.linear import I64, PTR, Builder, Function, Reg, Type
from squall.ops.scalar_program import levels

_KEY, _SCORE = 2, 3  # levels of values


class _Values:
    """The values of a program where they are known: level by level, as the loops are entered."""

    def __init__(self, b: Builder, flex: Flex, program: tuple, words: dict[str, Reg], lanes: int, inputs: dict):
        self.b, self.flex, self.program, self.words, self.lanes = b, flex, program, words, lanes
        self.inputs = inputs
        self.levels = levels(program)
        self.found: dict[int, Reg] = {}

    def enter(self, level: int) -> None:
        """Compute what is known from this level on, anew."""
        for number, step in enumerate(self.program):
            if self.levels[number] == level:
                self.found[number] = self._value(step)

    @property
    def result(self) -> Reg:
        """The program's result, in every lane."""
        return self._spread(self.found[len(self.program) - 1])

    def _spread(self, reg: Reg) -> Reg:
        return reg if reg.type.lanes == self.lanes else self.b.splat(reg, self.lanes)

    def _value(self, step: Any) -> Reg:
        b = self.b
        if step.op == "input":
            return self.inputs[step.attrs[0]]
        if step.op == "constant":
            return b.const(number_of(step.attrs[0], step.dtype), Type(compute_scalar(step.dtype)))
        args = [self.found[o] for o in step.operands]
        if any(a.type.lanes > 1 for a in args):
            args = [self._spread(a) for a in args]
        if step.op == "element":
            return self._element(step, args)
        return instruction(b, step.op, step.attrs, step.dtype, args)

    def _element(self, step: Any, args: list[Reg]) -> Reg:
        """An element of a captured tensor; an index from the end when negative, the nearest one beyond."""
        b, (number,) = self.b, step.attrs
        place, stored = self.words[f"captured{number}"], self.flex.captured[number][0]
        lanes = args[0].type.lanes if args else 1
        total = b.int(0) if lanes == 1 else b.const(0, Type("i64", lanes))
        for d, given in enumerate(args):
            at = b.cast(given, Type("i64", lanes))
            size, stride = (self.words[f"captured{number}_{w}{d}"] for w in ("size", "stride"))
            size, stride = (size, stride) if lanes == 1 else (b.splat(size, lanes), b.splat(stride, lanes))
            zero, one = b.const(0, at.type), b.const(1, at.type)
            at = b.select(b.compare("lt", at, zero), b.add(at, size), at)
            at = b.op("max", b.op("min", at, b.sub(size, one)), zero)
            total = b.add(total, b.mul(at, stride))
        if lanes == 1:
            loaded = b.load(Type(stored), b.gep(place, total, stored))
        else:
            loaded = b.gather(Type(stored, lanes), place, total, b.const(True, Type("bool", lanes)))
        return b.cast(loaded, loaded.type.with_scalar(compute_scalar(stored)))


def _begin(name: str, flex: Flex, pointers: int) -> tuple[Builder, list[Reg], dict[str, Reg]]:
    """A builder of a function of some pointers, then (keys, columns, batch, head, query, key, words of captured)."""
    kinds = tuple(PTR if n.startswith("captured") and "_" not in n else I64 for n in flex.names)
    b = Builder(name, (*(PTR,) * pointers, *(I64,) * 6, *kinds))
    fixed = pointers + 6
    return b, list(b.parameters[:fixed]), dict(zip(flex.names, b.parameters[fixed:], strict=True))


def _queries(b: Builder, query: Reg, j: Reg, lanes: int) -> Reg:
    small = Type("i32", lanes)
    return b.add(b.iota(small), b.splat(b.cast(b.add(query, j), Type("i32")), lanes))


def modify(isa: Isa, scalar: str, flex: Flex, masked: bool) -> Function:
    """`modify(source, target, highest, keys, columns, batch, head, query, key, ...)`: scores become what the user's
    functions make of them, in units of ln 2, and `highest` is raised. Not `masked`: all of a block is kept
    (`modify_whole`)."""
    b, fixed, words = _begin("modify" if masked else "modify_whole", flex, 3)
    source, target, highest, keys, columns, batch, head, query, key = fixed
    vector, inputs = isa.vector(scalar), {}
    lanes = vector.lanes
    inputs[1], inputs[2] = (b.cast(v, Type("i32")) for v in (batch, head))
    programs = [_Values(b, flex, p, words, lanes, inputs) for p in (flex.score, flex.keep if masked else ()) if p]
    for p in programs:
        p.enter(0)
    with b.loop(b.int(0), columns, b.int(lanes)) as j:
        inputs[3] = _queries(b, query, j, lanes)
        for p in programs:
            p.enter(1)
        top = b.var(b.load(vector, b.gep(highest, j, scalar)))
        with b.loop(b.int(0), keys) as r:
            at = b.add(b.mul(r, b.int(QUERIES)), j)
            value = inputs[0] = b.load(vector, b.gep(source, at, scalar))
            inputs[4] = b.cast(b.add(key, r), Type("i32"))
            for p in programs:
                p.enter(_KEY)
                p.enter(_SCORE)
            if flex.score:
                value = b.cast(programs[0].result, vector)
            value = b.mul(value, b.const(LOG2_E, vector))
            if masked and flex.keep:
                value = b.select(programs[-1].result, value, b.const(NOTHING, vector))
            b.store(value, b.gep(target, at, scalar))
            b.set(top, higher(b, b.get(top), value))
        b.store(b.get(top), b.gep(highest, j, scalar))
    return b.finish()


def change(isa: Isa, scalar: str, flex: Flex) -> Function:
    """`change(raw, gradients, keys, columns, batch, head, query, key, ...)`: gradients of scores become those of what
    the user's function was given; a gradient of 0 stays 0, whatever its factor."""
    b, fixed, words = _begin("change", flex, 2)
    raw, gradients, keys, columns, batch, head, query, key = fixed
    vector, inputs = isa.vector(scalar), {}
    lanes = vector.lanes
    inputs[1], inputs[2] = (b.cast(v, Type("i32")) for v in (batch, head))
    program = _Values(b, flex, flex.change, words, lanes, inputs)
    program.enter(0)
    with b.loop(b.int(0), columns, b.int(lanes)) as j:
        inputs[3] = _queries(b, query, j, lanes)
        program.enter(1)
        with b.loop(b.int(0), keys) as r:
            at = b.add(b.mul(r, b.int(QUERIES)), j)
            inputs[0] = b.load(vector, b.gep(raw, at, scalar))
            place = b.gep(gradients, at, scalar)
            given = inputs[5] = b.load(vector, place)
            inputs[4] = b.cast(b.add(key, r), Type("i32"))
            program.enter(_KEY)
            program.enter(_SCORE)
            made = b.cast(program.result, vector)
            b.store(b.select(b.compare("eq", given, b.const(0.0, vector)), given, made), place)
    return b.finish()
