"""The specification of the linear IR, executable: `verify` says which instruction breaks which rule.

On between compiler stages in tests and under debugging. A register is visible in the block that assigned it and in
blocks inside; a variable is touched by `get` and `set` only.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.base.errors import CompileError
from squall.ir.linear import (
    ARITHMETIC,
    BOOL,
    BYTES,
    COMPARE,
    I64,
    PTR,
    SCALARS,
    TILE_DOTS,
    TRANSCENDENTAL,
    Function,
    Instr,
    Program,
    Reg,
    Type,
)  # fmt: skip
from squall.ir.linear_text import print_instruction

REAL = ("f32", "f64")
HALF = ("f16", "bf16")
INTEGERS = ("i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64")
# What an arithmetic instruction takes; everything else takes integers, f32 and f64.
TAKES = {
    **dict.fromkeys(("sqrt", "copysign"), REAL),
    **dict.fromkeys(("and", "or", "xor", "not"), (*INTEGERS, "bool")),
    **dict.fromkeys(("min", "max"), (*INTEGERS, *REAL, "bool")),
    **dict.fromkeys(("shl", "shr"), INTEGERS),
    "mulhi": ("u32", "u64"),
}
# Integers have these of the transcendental instructions; 16-bit floats have all of them, through f32.
INTEGER_TRANSCENDENTAL = ("pow", "round", "floordiv", "floormod")
REDUCTIONS = {"add": (*INTEGERS, *REAL), "mul": (*INTEGERS, *REAL), "min": TAKES["min"], "max": TAKES["max"],
              "and": TAKES["and"], "or": TAKES["or"], "xor": TAKES["xor"]}  # fmt: skip
RESULTLESS = ("store", "scatter", "prefetch", "fence", "status", "tile", "end", "if", "else", "set", "return")


class Broken(Exception):  # noqa: N818
    """A rule an instruction breaks; the message becomes part of a CompileError."""


def need(condition: object, message: str) -> None:
    """Raise `Broken` unless a condition holds."""
    if not condition:
        raise Broken(message)


def verify(program: Program, expanded: bool = False, kernel: bool = True) -> Program:
    """Check a program; returns it.

    Args:
        program: what a compiler stage made. expanded: also demand that no transcendental instruction is left.
        kernel: the entry must follow the kernel ABI; else it is a function that kernels call by pointer.

    Raises:
        CompileError: names the function, the instruction, its number in the body, and the rule.

    Example:
        >>> from squall.ir.linear import Builder
        >>> b = Builder.kernel("k")
        >>> bad = b.emit("add", I64, (b.begin, b.args))
        >>> verify(Program((b.finish(),), "k"))
        Traceback (most recent call last):
        squall.base.errors.CompileError: k, instruction 0 `%5: i64 = add %2, %1`: operands i64, ptr are not all i64
    """
    signatures: dict[str, Function] = {}
    for function in program.functions:
        if function.name in signatures:
            raise CompileError(f"two functions are called {function.name}")
        signatures[function.name] = function
    entry = signatures.get(program.entry)
    if entry is None:
        raise CompileError(f"the entry {program.entry} is not among the functions {', '.join(signatures)}")
    if kernel and ([p.type for p in entry.parameters] != [PTR, I64, I64, PTR] or entry.result is not None):
        raise CompileError(f"{entry.name}: an entry's parameters are (ptr, i64, i64, ptr), and it returns nothing")
    for function in program.functions:
        _Check(function, signatures, expanded).run()
    return program


class _Check:
    """The state of checking one function."""

    def __init__(self, function: Function, signatures: dict[str, Function], expanded: bool):
        self.function, self.signatures, self.expanded = function, signatures, expanded
        self.assigned: set[int] = set()
        self.scopes: list[dict[int, Type]] = [{}]
        self.open: list[str] = []
        self.variables: set[int] = set()

    def run(self) -> None:
        for parameter in self.function.parameters:
            self.define(parameter)
        for index, instruction in enumerate(self.function.body):
            try:
                self.instruction(instruction)
            except Broken as broken:
                text = print_instruction(instruction)
                raise CompileError(f"{self.function.name}, instruction {index} `{text}`: {broken}") from None
        if self.open:
            raise CompileError(f"{self.function.name}: {' and '.join(self.open)} not closed by end")

    def define(self, register: Reg) -> None:
        kind = register.type
        need(kind.scalar in SCALARS and kind.lanes >= 1, f"{register} has no type of the IR: {kind}")
        need(kind.scalar != "ptr" or kind.lanes == 1, "pointers come one at a time")
        need(register.number not in self.assigned, f"{register} is assigned twice")
        self.assigned.add(register.number)
        self.scopes[-1][register.number] = kind

    def used(self, instruction: Instr) -> None:
        for position, register in enumerate(instruction.operands):
            need(isinstance(register, Reg), f"operand {position} is {register!r}, not a register")
            kinds = [s[register.number] for s in self.scopes if register.number in s]
            known = register.number in self.assigned
            need(kinds, f"{register} is {'not visible here: its block ended' if known else 'not defined before'}")
            need(kinds[0] == register.type, f"{register} was assigned as {kinds[0]}, not {register.type}")
            touches = instruction.name in ("get", "set") and position == 0
            need(touches or register.number not in self.variables, f"variable {register} is read without get")

    def instruction(self, i: Instr) -> None:
        rule = RULES.get(i.name)
        need(rule is not None, "no such instruction")
        self.used(i)
        needs_result = i.name not in RESULTLESS and not (i.name == "call" and i.result is None)
        need((i.result is not None) == needs_result, "a result is missing" if needs_result else "it has no result")
        rule(self, i, [r.type for r in i.operands])  # type: ignore[misc]
        if i.result is not None:
            self.define(i.result)
            if i.name == "var":
                self.variables.add(i.result.number)


Types = list[Type]


def _count(types: Types, *counts: int) -> None:
    need(len(types) in counts, f"takes {' or '.join(map(str, counts))} operands, has {len(types)}")


def _all(types: Types, kind: Type) -> None:
    need(all(t == kind for t in types), f"operands {', '.join(map(str, types))} are not all {kind}")


def _lanes(kind: Type, other: Type) -> None:
    need(kind.lanes == other.lanes, f"{kind} and {other} differ in lanes")


def _mask(mask: Type, kind: Type) -> None:
    need(mask == kind.with_scalar("bool"), f"the mask of {kind} lanes is {kind.with_scalar('bool')}, not {mask}")


def _arithmetic(c: _Check, i: Instr, t: Types) -> None:
    _count(t, ARITHMETIC[i.name])
    _all(t, i.result.type)  # type: ignore[union-attr]
    need(t[0].scalar in TAKES.get(i.name, (*INTEGERS, *REAL)), f"does not take {t[0]}")


def _transcendental(c: _Check, i: Instr, t: Types) -> None:
    need(not c.expanded, "is left after expansion")
    _count(t, TRANSCENDENTAL[i.name])
    _all(t, i.result.type)  # type: ignore[union-attr]
    whole = t[0].scalar in INTEGERS and i.name in INTEGER_TRANSCENDENTAL
    need(whole or t[0].is_float, f"does not take {t[0]}")


def _compare(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 2)
    need(t[0] == t[1], f"compares {t[0]} with {t[1]}")
    need(t[0].scalar not in HALF, f"does not take {t[0]}; cast to f32 first")
    _mask(i.result.type, t[0])  # type: ignore[union-attr]


def _const(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 0)
    need(isinstance(i.attr, bool | int | float), f"the value {i.attr!r} is no number")
    whole = i.result.type.is_float or i.attr == int(i.attr) if _finite(i.attr) else i.result.type.is_float  # type: ignore
    need(whole, f"{i.attr!r} is no value of {i.result.type}")  # type: ignore[union-attr]


def _finite(value) -> bool:
    return value - value == 0


def _cast(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 1)
    _lanes(t[0], i.result.type)  # type: ignore[union-attr]
    need("ptr" not in (t[0].scalar, i.result.type.scalar), "a pointer is cast by bits only")  # type: ignore[union-attr]


def _bits(kind: Type) -> int:
    return kind.lanes * (1 if kind.scalar == "bool" else 8 * BYTES[kind.scalar])


def _bitcast(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 1)
    target = i.result.type  # type: ignore[union-attr]
    need(_bits(t[0]) == _bits(target), f"{t[0]} and {target} differ in bits")
    need("ptr" not in (t[0].scalar, target.scalar) or t[0].lanes == target.lanes, "a pointer is one i64")


def _select(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 3)
    _all(t[1:], i.result.type)  # type: ignore[union-attr]
    need(t[0] == BOOL or t[0] == t[1].with_scalar("bool"), f"the condition is {t[0]}")


def _splat(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 1)
    need(t[0] == Type(i.result.type.scalar), f"spreads one lane, not {t[0]}")  # type: ignore[union-attr]


def _iota(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 0)
    need(i.result.type.scalar in (*INTEGERS, *REAL), f"does not count in {i.result.type}")  # type: ignore[union-attr]


def _extract(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 2 if i.name == "insert" else 1)
    one, whole = Type(t[0].scalar), i.name == "insert"
    need(isinstance(i.attr, int) and 0 <= i.attr < t[0].lanes, f"{t[0]} has no lane {i.attr!r}")
    need(i.result.type == (t[0] if whole else one), f"the result of {t[0]} is {i.result.type}")  # type: ignore[union-attr]
    need(not whole or t[1] == one, f"puts {t[-1]} into {t[0]}")


def _shuffle(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 2)
    need(t[0] == t[1], f"mixes {t[0]} and {t[1]}")
    need(isinstance(i.attr, tuple) and all(0 <= lane < 2 * t[0].lanes for lane in i.attr), f"lanes {i.attr!r}")
    need(i.result.type == Type(t[0].scalar, len(i.attr)), "as many lanes as indices")  # type: ignore


def _reduce(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 1)
    need(i.attr in REDUCTIONS, f"no reduction {i.attr!r}")
    need(t[0].scalar in REDUCTIONS[str(i.attr)], f"{i.attr} does not take {t[0]}")
    need(t[0].lanes & (t[0].lanes - 1) == 0, f"halves lanes, and {t[0].lanes} is no power of two")
    need(i.result.type == Type(t[0].scalar), f"the result is one lane of {t[0]}")  # type: ignore[union-attr]


def _align(value: object) -> None:
    need(isinstance(value, int) and value >= 0 and value & (value - 1) == 0, f"alignment {value!r}")


def _load(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 1, 2)
    need(t[0] == PTR, f"reads from {t[0]}")
    if len(t) == 2:
        _mask(t[1], i.result.type)  # type: ignore[union-attr]
    _align(i.attr or 0)


def _store(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 2, 3)
    need(t[1] == PTR, f"writes to {t[1]}")
    if len(t) == 3:
        _mask(t[2], t[0])
    if i.attr is not None:
        need(isinstance(i.attr, tuple) and len(i.attr) == 2, f"attribute {i.attr!r}, not (align, nontemporal)")
        _align(i.attr[0])  # type: ignore[index]


def _gather(c: _Check, i: Instr, t: Types) -> None:
    value, rest = (t[0], t[1:]) if i.name == "scatter" else (i.result.type, t)  # type: ignore[union-attr]
    _count(t, 4 if i.name == "scatter" else 3)
    need(rest[0] == PTR, f"indexes {rest[0]}")
    need(rest[1].scalar in INTEGERS, f"indices are {rest[1]}")
    _lanes(rest[1], value)
    _mask(rest[2], value)


def _gep(c: _Check, i: Instr, t: Types) -> None:
    need(t == [PTR, I64], f"takes ptr, i64, not {', '.join(map(str, t))}")
    need(i.attr in BYTES and i.result.type == PTR, f"counts in {i.attr!r}")  # type: ignore[union-attr]


def _alloca(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 0)
    good = isinstance(i.attr, tuple) and len(i.attr) == 2 and isinstance(i.attr[0], Type) and i.attr[1] > 0
    need(good and i.result.type == PTR, f"attribute {i.attr!r}, not (Type, count)")  # type: ignore[union-attr]


def _takes(*kinds: Type) -> Callable[[_Check, Instr, Types], None]:
    def rule(c: _Check, i: Instr, t: Types) -> None:
        need(t == list(kinds), f"takes {', '.join(map(str, kinds)) or 'nothing'}, not {', '.join(map(str, t))}")

    return rule


def _tile(c: _Check, i: Instr, t: Types) -> None:
    action, *tiles = i.attr if isinstance(i.attr, tuple) and i.attr else ("",)
    count = {"begin": 0, "end": 0, "zero": 1, "load": 1, "stream": 1, "store": 1, "dot": 4}.get(action, -1)
    need(count == len(tiles), f"attribute {i.attr!r}")
    need(action != "dot" or tiles.pop() in TILE_DOTS, f"multiplies {i.attr!r}, not one of {', '.join(TILE_DOTS)}")
    need(all(isinstance(n, int) and 0 <= n < 8 for n in tiles), f"names tiles {tiles}, not 0 to 7")
    _takes(*((PTR, I64) if action in ("load", "stream", "store") else ()))(c, i, t)


def _dot(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 3)
    kinds = [Type("i32", 16), Type("u8", 64), Type("i8", 64)], [Type("f32", 16), Type("bf16", 32), Type("bf16", 32)]
    names = " or ".join(", ".join(map(str, kind)) for kind in kinds)
    need(t in kinds and i.result.type == t[0], f"takes {names}")  # type: ignore[union-attr]


def _same_singles(count: int) -> Callable[[_Check, Instr, Types], None]:
    def check(c: _Check, i: Instr, t: Types) -> None:
        _count(t, count)
        need(i.result.type.scalar == "f32" and set(t) == {i.result.type}, "takes float32")  # type: ignore[union-attr]

    return check


def _loop(c: _Check, i: Instr, t: Types) -> None:
    need(t == [I64, I64, I64] and i.result.type == I64, "counts in i64: low, high, step")  # type: ignore[union-attr]
    c.scopes.append({})
    c.open.append("loop")


def _if(c: _Check, i: Instr, t: Types) -> None:
    need(t == [BOOL], f"takes one bool, not {', '.join(map(str, t))}")
    c.open.append("if")
    c.scopes.append({})


def _else(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 0)
    need(c.open and c.open[-1] == "if", "stands in no if")
    c.open[-1] = "else"
    c.scopes[-1] = {}


def _end(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 0)
    need(c.open, "closes nothing")
    c.open.pop()
    c.scopes.pop()


def _var(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 1)
    _all(t, i.result.type)  # type: ignore[union-attr]


def _get(c: _Check, i: Instr, t: Types) -> None:
    _count(t, 2 if i.name == "set" else 1)
    need(i.operands[0].number in c.variables, f"{i.operands[0]} is no variable")
    _all(t, t[0] if i.name == "set" else i.result.type)  # type: ignore[union-attr]


def _call(c: _Check, i: Instr, t: Types) -> None:
    if i.attr is None:
        need(t and t[0] == PTR, "calls no pointer")
        return
    callee = c.signatures.get(str(i.attr))
    need(callee is not None, f"there is no function {i.attr}")
    wanted = [p.type for p in callee.parameters]  # type: ignore[union-attr]
    need(t == wanted, f"{i.attr} takes {', '.join(map(str, wanted))}, not {', '.join(map(str, t))}")
    need((i.result and i.result.type) == callee.result, f"{i.attr} returns {callee.result}")  # type: ignore


def _function(c: _Check, i: Instr, t: Types) -> None:
    need(i.attr in c.signatures and not t, f"there is no function {i.attr}")


def _return(c: _Check, i: Instr, t: Types) -> None:
    wanted = [] if c.function.result is None else [c.function.result]
    need(t == wanted, f"{c.function.name} returns {c.function.result or 'nothing'}")


RULES: dict[str, Callable[[_Check, Instr, Types], None]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic), **dict.fromkeys(TRANSCENDENTAL, _transcendental),
    **dict.fromkeys(COMPARE, _compare), "const": _const, "cast": _cast, "bitcast": _bitcast, "select": _select,
    "splat": _splat, "iota": _iota, "extract": _extract, "insert": _extract, "shuffle": _shuffle, "reduce": _reduce,
    "function": _function, "load": _load, "store": _store, "gather": _gather, "scatter": _gather, "gep": _gep,
    "alloca": _alloca, "prefetch": _takes(PTR), "fence": _takes(), "status": _takes(PTR, I64, I64),
    "tile": _tile, "dot": _dot, "scale": _same_singles(2), "fraction": _same_singles(1),
    "loop": _loop, "end": _end, "if": _if, "else": _else, "var": _var, "get": _get, "set": _get, "call": _call,
    "return": _return,
}  # fmt: skip
