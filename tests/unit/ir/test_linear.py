"""Linear programs: what the specification refuses, by name, and text that reads back."""

from __future__ import annotations

import math
import re

import pytest

from squall.base.errors import CompileError
from squall.ir.bits import decode, encode, round_single
from squall.ir.linear import BOOL, F32, F64, I64, PTR, Builder, Program, Reg, Type
from squall.ir.linear_text import parse, parse_type, print_program
from squall.ir.linear_verify import verify

V = Type("f32", 8)
B8 = Type("bool", 8)


def broken(build, message: str, expanded: bool = False) -> None:
    b = Builder.kernel("k")
    build(b)
    with pytest.raises(CompileError, match=message):
        verify(Program((b.finish(),), "k"), expanded)


def vector(b: Builder) -> Reg:
    return b.const(1.0, V)


def test_the_message_names_function_instruction_and_rule():
    def build(b):
        b.emit("add", V, (vector(b), b.begin))

    broken(build, re.escape("k, instruction 1 `%6: f32x8 = add %5, %2`: operands f32x8, i64 are not all f32x8"))


REFUSED = {
    "no such instruction": lambda b: b.emit("frobnicate", V, (vector(b),)),
    "takes 2 operands, has 1": lambda b: b.emit("add", V, (vector(b),)),
    "is left after expansion": lambda b: b.op("exp", vector(b)),
    "does not take f16x4": lambda b: b.op("add", *[b.const(1.0, Type("f16", 4))] * 2),
    "does not take i32": lambda b: b.op("sqrt", b.const(1, Type("i32"))),
    "does not take f32x8": lambda b: b.op("and", vector(b), vector(b)),
    "compares f32x8 with i64": lambda b: b.emit("lt", B8, (vector(b), b.begin)),
    "cast to f32 first": lambda b: b.compare("lt", *[b.const(1.0, Type("bf16", 4))] * 2),
    "the mask of f32x8 lanes is boolx8": lambda b: b.emit("lt", BOOL, (vector(b), vector(b))),
    "is no value of i64": lambda b: b.const(0.5, I64),
    "a pointer is cast by bits only": lambda b: b.cast(b.args, I64),
    "differ in lanes": lambda b: b.cast(vector(b), F64),
    "differ in bits": lambda b: b.bitcast(vector(b), I64),
    "the condition is i64": lambda b: b.select(b.begin, vector(b), vector(b)),
    "spreads one lane": lambda b: b.emit("splat", V, (vector(b),)),
    "does not count in bool": lambda b: b.iota(B8),
    "has no lane 8": lambda b: b.extract(vector(b), 8),
    "puts i64 into f32x8": lambda b: b.insert(vector(b), b.begin, 0),
    "lanes \\(0, 16\\)": lambda b: b.shuffle(vector(b), vector(b), (0, 16)),
    "and does not take f32x8": lambda b: b.reduce(vector(b), "and"),
    "no reduction 'mean'": lambda b: b.reduce(vector(b), "mean"),
    "is no power of two": lambda b: b.reduce(b.const(1.0, Type("f32", 6)), "add"),
    "reads from i64": lambda b: b.load(V, b.begin),
    "alignment 3": lambda b: b.load(V, b.args, align=3),
    "writes to i64": lambda b: b.store(vector(b), b.begin),
    "the mask of f32x8": lambda b: b.store(vector(b), b.args, b.const(True, BOOL)),
    "indices are f32x8": lambda b: b.gather(V, b.args, vector(b), b.const(True, B8)),
    "takes ptr, i64, not ptr, f32x8": lambda b: b.gep(b.args, vector(b), "f32"),
    "counts in 'word'": lambda b: b.gep(b.args, b.begin, "word"),
    "not \\(Type, count\\)": lambda b: b.alloca(V, 0),
    "counts in i64": lambda b: b.emit("loop", I64, (b.begin, b.end, b.args)),
    "takes one bool": lambda b: b.emit("if", None, (b.begin,)),
    "stands in no if": lambda b: b.emit("else", None),
    "closes nothing": lambda b: b.emit("end", None),
    "loop not closed by end": lambda b: b.emit("loop", I64, (b.begin, b.end, b.int(1))),
    "%5 is no variable": lambda b: b.get(vector(b)),
    "is read without get": lambda b: b.add(*[b.var(vector(b))] * 2),
    "there is no function other": lambda b: b.call("other", ()),
    "calls no pointer": lambda b: b.emit("call", None, (b.begin,)),
    "k returns nothing": lambda b: b.emit("return", None, (b.begin,)),
    "not defined before": lambda b: b.add(Reg(99, I64), b.begin),
    "was assigned as i64, not f64": lambda b: b.add(*[Reg(2, F64)] * 2),
    "is assigned twice": lambda b: b.body.append(b.body[-1]) if b.int(3) else None,
    "it has no result": lambda b: b.emit("fence", V),
    "a result is missing": lambda b: b.emit("add", None, (b.begin, b.end)),
    "pointers come one at a time": lambda b: b.const(0, Type("ptr", 4)),
    "has no type of the IR": lambda b: b.const(0, Type("f8")),
    "takes ptr, i64, i64, not": lambda b: b.status(b.begin, b.begin, b.end),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    broken(REFUSED[message], message, expanded=True)


def test_registers_end_with_their_block():
    def loop(b):
        with b.loop(b.begin, b.end):
            inside = b.int(5)
        b.add(inside, inside)

    def branch(b):
        with b.when_else(b.compare("lt", b.begin, b.end)) as otherwise:
            inside = b.int(5)
            otherwise()
            b.add(inside, inside)

    broken(loop, "not visible here: its block ended")
    broken(branch, "not visible here: its block ended")


def test_entries_follow_the_kernel_abi():
    b = Builder("k", (PTR,))
    with pytest.raises(CompileError, match="an entry's parameters are"):
        verify(Program((b.finish(),), "k"))
    verify(Program((b.finish(),), "k"), kernel=False)
    with pytest.raises(CompileError, match="the entry other is not among the functions k"):
        verify(Program((b.finish(),), "other"))
    with pytest.raises(CompileError, match="two functions are called k"):
        verify(Program((b.finish(), b.finish()), "k"))


def test_calls_fit_their_callee():
    helper = Builder("helper", (F32,), F32)
    helper.emit("return", None, helper.parameters)
    for build, message in (
        (lambda b: b.call("helper", (b.begin,), F32), "helper takes f32, not i64"),
        (lambda b: b.call("helper", (b.const(1.0, F32),), I64), "helper returns f32"),
    ):
        b = Builder.kernel("k")
        build(b)
        with pytest.raises(CompileError, match=message):
            verify(Program((helper.finish(), b.finish()), "k"))


def sample() -> Program:
    helper = Builder("helper", (F32,), F32)
    helper.emit("return", None, (helper.op("exp", helper.parameters[0]),))
    b = Builder.kernel("k")
    room = b.alloca(V, 3)
    total = b.var(b.const(-math.inf, V))
    with b.loop(b.begin, b.end) as i, b.when_else(b.compare("lt", i, b.int(-4))) as otherwise:
        b.set(total, b.op("max", b.get(total), b.load(V, room, align=32)))
        b.store(b.get(total), room, align=64, nontemporal=True)
        otherwise()
        b.store(b.shuffle(b.get(total), b.get(total), (3, 1)), room)
        b.call("helper", (b.const(1e-30, F32),), F32)
        b.call(b.function("helper"), (b.const(True, BOOL),))
    b.emit("prefetch", None, (room,), (True, 1))
    return Program((helper.finish(), b.finish()), "k", 640)


def test_text_reads_back():
    program = sample()
    text = print_program(program)
    assert parse(text) == program
    assert print_program(parse(text)) == text
    assert text.splitlines()[0] == "program k scratch=640"
    verify(parse(text))
    b = Builder.kernel("k")
    b.const(math.nan, F32)
    again = parse(print_program(Program((b.finish(),), "k")))
    assert math.isnan(again.functions[0].body[0].attr)


@pytest.mark.parametrize(("text", "message"), [
    ("", "begins with"), ("program k scratch=0\n%1: i64 = const [1]", "outside a function"),
    ("program k scratch=0\nfunction k()\n%1: i64 = add %2, %3\nend function", "%2 is not defined before"),
    ("program k scratch=0\nfunction k()\n%1 = = add\nend function", "no instruction"),
    ("program k scratch=0\nfunction k(\nend function", "no function"),
    ("program k scratch=0\nfunction k()\n%1: f7 = const [1]\nend function", "'f7' is no type"),
    ("program k scratch=0\nfunction k()\n%1: f32 = const [1 + 1]\nend function", "no attribute"),
])  # fmt: skip
def test_text_that_is_no_program(text, message):
    with pytest.raises(CompileError, match=message):
        parse(text)


def test_types_read_back():
    for text in ("f32", "boolx16", "bf16x2", "ptr"):
        assert str(parse_type(text)) == text


def test_bits_of_constants():
    cases = {("f32", 0.1): 0x3DCCCCCD, ("f32", 1e39): 0x7F800000, ("f64", -0.0): 1 << 63, ("bf16", 1.00390625): 0x3F80,
             ("bf16", 1.01171875): 0x3F82, ("bf16", math.nan): 0x7FC0, ("f16", 65519.0): 0x7BFF,
             ("f16", 65520.0): 0x7C00, ("f16", -1e9): 0xFC00, ("i8", -1): 0xFF, ("u16", 65537): 1,
             ("bool", 2): 1, ("i32", -(2**31)): 1 << 31, ("f32", 10**400): 0x7F800000}  # fmt: skip
    for (scalar, value), bits in cases.items():
        assert encode(value, scalar) == bits, (scalar, value)
    for scalar, value in (("i8", -3), ("u64", 2**64 - 1), ("f64", 0.1), ("f16", -2.5), ("bf16", 3.0), ("bool", True)):
        assert decode(encode(value, scalar), scalar) == value
    assert round_single(0.1) == 0.10000000149011612
