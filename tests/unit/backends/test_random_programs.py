"""Random linear programs: every instruction set and the python backend leave the same bits in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squall.ir.linear import ARITHMETIC, COMPARE, I64, PTR, Builder, Program, Reg, Type
from squall.ir.linear_text import parse, print_program
from squall.ir.linear_verify import INTEGERS, REAL, REDUCTIONS, TAKES, verify
from tests.unit.backends.linear_support import host_sets, run, same_bits, samples, storage

LANES = 8
SCALARS = ("bool", *INTEGERS, "f16", "bf16", *REAL)
FORMS = ("arithmetic", "arithmetic", "arithmetic", "compare", "cast", "select", "shuffle", "reduce", "branch", "loop")


class Maker:
    """Grows one program by drawn choices over a pool of live registers."""

    def __init__(self, draw):
        self.draw, self.b = draw, Builder.kernel("random_program")
        self.inputs = [draw(st.sampled_from(SCALARS)) for _ in range(3)]
        self.pool: list[Reg] = []

    def pick(self, scalars=SCALARS) -> Reg:
        """A live register of one of the scalars, cast when there is none."""
        fitting = [r for r in self.pool if r.type.scalar in scalars]
        if fitting and self.draw(st.booleans()):
            return self.draw(st.sampled_from(fitting))
        source = self.draw(st.sampled_from(self.pool))
        return self.b.cast(source, source.type.with_scalar(self.draw(st.sampled_from(scalars))))

    def same(self, register: Reg) -> Reg:
        """Another live value, as the type of a register."""
        return self.b.cast(self.draw(st.sampled_from(self.pool)), register.type)

    def step(self, depth: int) -> None:
        """Append one instruction or structure."""
        b, draw = self.b, self.draw
        form = draw(st.sampled_from(FORMS if depth < 2 else FORMS[:-2]))
        if form == "arithmetic":
            name = draw(st.sampled_from([n for n in ARITHMETIC if n != "rem"]))
            x = self.pick(TAKES.get(name, (*INTEGERS, *REAL)))
            self.pool.append(b.op(name, x, *(self.same(x) for _ in range(ARITHMETIC[name] - 1))))
        elif form == "compare":
            x = self.pick(("bool", *INTEGERS, *REAL))
            self.pool.append(b.compare(draw(st.sampled_from(COMPARE)), x, self.same(x)))
        elif form == "cast":
            self.pool.append(self.pick())
        elif form == "select":
            x = self.pick()
            self.pool.append(b.select(self.pick(("bool",)), x, self.same(x)))
        elif form == "shuffle":
            x = self.pick()
            index = tuple(draw(st.lists(st.integers(0, 2 * LANES - 1), min_size=LANES, max_size=LANES)))
            self.pool.append(b.shuffle(x, self.same(x), index))
        elif form == "reduce":
            kind = draw(st.sampled_from(list(REDUCTIONS)))
            self.pool.append(b.splat(b.reduce(self.pick(REDUCTIONS[kind]), kind), LANES))
        else:
            self.structure(form, depth)

    def structure(self, form: str, depth: int) -> None:
        """A branch or a loop that changes a variable; registers made inside leave the pool with it."""
        b, outside = self.b, list(self.pool)
        variable = b.var(self.pick())
        if form == "loop":
            with b.loop(b.int(0), b.int(self.draw(st.integers(0, 3)))) as i:
                self.pool.append(b.splat(i, LANES))
                self.pool.append(b.get(variable))
                self.several(depth + 1)
                b.set(variable, self.same(variable))
        else:
            condition = b.reduce(self.pick(("bool",)), "or")
            with b.when_else(condition) as otherwise:
                self.several(depth + 1)
                b.set(variable, self.same(variable))
                otherwise()
                self.pool = list(outside)
                self.several(depth + 1)
                b.set(variable, self.same(variable))
        self.pool = [*outside, b.get(variable)]

    def several(self, depth: int) -> None:
        for _ in range(self.draw(st.integers(1, 4))):
            self.step(depth)

    def program(self) -> tuple[Program, str]:
        """Loads, steps, one store."""
        b = self.b
        pointers = [b.argument(i, PTR) for i in range(4)]
        count = b.argument(4, I64)
        with b.loop(b.begin, b.end, b.int(LANES)) as i:
            mask = b.mask_below(b.sub(count, i), LANES)
            for scalar, pointer in zip(self.inputs, pointers, strict=False):
                self.pool.append(b.load(Type(scalar, LANES), b.gep(pointer, i, scalar), mask))
            for _ in range(self.draw(st.integers(3, 14))):
                self.step(0)
            last = self.pool[-1]
            b.store(last, b.gep(pointers[3], i, last.type.scalar), mask)
        return Program((b.finish(),), "random_program"), last.type.scalar


@st.composite
def programs(draw):
    maker = Maker(draw)
    program, scalar = maker.program()
    return program, maker.inputs, scalar, draw(st.integers(0, 2**16))


@pytest.mark.parametrize("isa", [host_sets()[0], host_sets()[-1]])
def test_random_programs_leave_the_same_bits(isa):
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(programs())
    def check(made):
        program, inputs, scalar, seed = made
        verify(program, expanded=True)
        text = print_program(program)
        assert print_program(parse(text)) == text
        arrays = [samples(s, 21, seed + n) for n, s in enumerate(inputs)]
        results = []
        for way in (isa, None):
            out = np.zeros(21, storage(scalar))
            run(program, [*arrays, out], (21,), (0, 21), way)
            results.append(out)
        assert same_bits(*results, scalar).all(), f"{results}\n{text}"

    check()
