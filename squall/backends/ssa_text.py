"""Writes a linear `Program` as LLVM IR text: one visit per instruction, lines appended in order.

The text is deterministic (it is a cache key): values are numbered in the order they are written, blocks by the
count of structures opened. Vectors are written as the program has them; constants are spelled in place; loops keep
their index in a phi and are entered by a test of their own, so that the body is one block; variables are stack
slots of the entry block that SROA turns into registers. A handler for each instruction returns the operand of its
result, or None: those of `ssa_shape` (with `ssa_arithmetic`, `ssa_casts`), of `ssa_memory`, and structure here; the
machine's table (`backends/cpu/table`) says what the machine has.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.backends import ssa_memory, ssa_shape
from squall.backends.ssa_arithmetic import spell
from squall.base.errors import CompileError
from squall.ir.linear import Function, Instr
from squall.ir.unwritten import AnyProgram


class Writer:
    """The state of one program's writing: declarations, and the lines and operands of the current function."""

    def __init__(self, table):
        self.table = table
        self.declared: dict[str, str] = {}
        self.parts: list[str] = []
        self.nontemporal = False

    def start(self, function: Function, is_entry: bool) -> None:
        """Open a function: its header, parameters and empty body."""
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.operands = {p.number: f"%{i}" for i, p in enumerate(function.parameters)}
        self.count = len(function.parameters) - 1
        self.structures = 0
        self.needed = ""  # features that the function names itself: other code is generated without them
        self.spread: dict[str, str] = {}  # i64 vectors that repeat one value, and which
        self.counting: set[str] = set()  # i64 vectors that count their lanes
        self.block = "body"
        self.open: list[tuple] = []
        self.result = "void" if function.result is None else spell(function.result)
        attributes = ("noalias align 8", "", "", "noalias align 64") if is_entry else None
        types = [spell(p.type) for p in function.parameters]
        if attributes and types == ["ptr", "i64", "i64", "ptr"]:
            types = [f"{text} {extra}".strip() for text, extra in zip(types, attributes, strict=True)]
        linkage = "" if is_entry else "internal "
        self.header = f"define {linkage}{self.result} @{function.name}({', '.join(types)}) nounwind {{\nentry:"

    def value(self, text: str) -> str:
        """Append an instruction with a result; returns the result's name."""
        self.count += 1
        name = f"%{self.count}"
        self.lines.append(f"{name} = {text}")
        return name

    def label(self, name: str) -> None:
        """Start a block."""
        self.lines.append(name + ":")
        self.block = name

    def structure(self) -> int:
        """A number for the labels of a new structure."""
        self.structures += 1
        return self.structures

    def slot(self, text: str) -> str:
        """A stack slot in the entry block."""
        name = f"%s{len(self.slots)}"
        self.slots.append(f"{name} = alloca {text}")
        return name

    def function(self, function: Function, is_entry: bool) -> None:
        """Write one function."""
        self.start(function, is_entry)
        operands, handlers = self.operands, HANDLERS
        for instruction in function.body:
            try:
                made = handlers[instruction.name](self, instruction)
            except (KeyError, IndexError, TypeError) as error:
                raise CompileError(
                    f"{function.name}: cannot write {instruction.name} "
                    f"{', '.join(map(str, instruction.operands))} of {_types(instruction)}: {error!r}"
                ) from error
            if made is not None:
                operands[instruction.result.number] = made  # type: ignore[union-attr]
        if self.open:
            raise CompileError(f"{function.name}: {len(self.open)} structures are not closed by end")
        self.lines.append("ret void" if function.result is None else "unreachable")
        if self.needed:
            self.header = self.header.replace(" nounwind {", f' nounwind "target-features"="{self.needed}" {{', 1)
        self.parts += [self.header, *self.slots, "br label %body", "body:", *self.lines, "}"]


def _types(instruction: Instr) -> str:
    return ", ".join(str(r.type) for r in instruction.operands) or str(instruction.result and instruction.result.type)


def write(program: AnyProgram, table) -> str:
    """The LLVM text of a program for the machine a table describes.

    Args:
        program: a linear program without transcendental instructions.
        table: what the machine has (see `backends/cpu/table`): `half`, `mask_registers`, and a `header`.

    Returns:
        The module's text; equal programs and tables give equal text.

    Raises:
        CompileError: an instruction no backend knows, or one with operands it does not take.
    """
    writer = Writer(table)
    for function in program.functions:
        writer.function(function, function.name == program.entry)
    text = [table.header] if table.header else []
    text += writer.declared.values()
    text += writer.parts
    if writer.nontemporal:
        text.append("!0 = !{i32 1}")
    text.append("")
    return "\n".join(text)


# Structure.


def _loop(w: Writer, i: Instr) -> str:
    low, high, step = (w.operands[r.number] for r in i.operands)
    number, before = w.structure(), w.block
    enters = w.value(f"icmp slt i64 {low}, {high}")
    w.lines.append(f"br i1 {enters}, label %b{number}, label %e{number}")
    w.label(f"b{number}")
    # The latch's block is known at the end; its name stands in the line that is kept back.
    w.open.append(("loop", number, before, low, high, step, len(w.lines)))
    w.lines.append("")
    return f"%i{number}"


def _if(w: Writer, i: Instr) -> None:
    number = w.structure()
    w.lines.append(f"br i1 {w.operands[i.operands[0].number]}, label %t{number}, label %f{number}")
    w.label(f"t{number}")
    w.open.append(("if", number))


def _else(w: Writer, i: Instr) -> None:
    number = w.open.pop()[1]
    w.lines.append(f"br label %e{number}")
    w.label(f"f{number}")
    w.open.append(("else", number))


def _end(w: Writer, i: Instr) -> None:
    kind, number, *rest = w.open.pop()
    if kind == "loop":
        before, low, high, step, place = rest
        w.lines[place] = f"%i{number} = phi i64 [ {low}, %{before} ], [ %j{number}, %{w.block} ]"
        w.lines.append(f"%j{number} = add nsw i64 %i{number}, {step}")
        again = w.value(f"icmp slt i64 %j{number}, {high}")
        w.lines.append(f"br i1 {again}, label %b{number}, label %e{number}")
        w.label(f"e{number}")
        return
    target = f"{'f' if kind == 'if' else 'e'}{number}"
    w.lines.append(f"br label %{target}")
    w.label(target)


def _var(w: Writer, i: Instr) -> str:
    (initial,) = i.operands
    name = w.slot(spell(initial.type))
    w.lines.append(f"store {spell(initial.type)} {w.operands[initial.number]}, ptr {name}")
    return name


def _get(w: Writer, i: Instr) -> str:
    (variable,) = i.operands
    return w.value(f"load {spell(variable.type)}, ptr {w.operands[variable.number]}")


def _set(w: Writer, i: Instr) -> None:
    variable, value = i.operands
    w.lines.append(f"store {spell(value.type)} {w.operands[value.number]}, ptr {w.operands[variable.number]}")


def _call(w: Writer, i: Instr) -> str | None:
    arguments = i.operands if i.attr else i.operands[1:]
    callee = f"@{i.attr}" if i.attr else w.operands[i.operands[0].number]
    passed = ", ".join([f"{spell(r.type)} {w.operands[r.number]}" for r in arguments])
    if i.result is None:
        w.lines.append(f"call void {callee}({passed})")
        return None
    return w.value(f"call {spell(i.result.type)} {callee}({passed})")


def _return(w: Writer, i: Instr) -> None:
    operand = i.operands[0] if i.operands else None
    w.lines.append("ret void" if operand is None else f"ret {spell(operand.type)} {w.operands[operand.number]}")
    w.label(f"d{w.structure()}")


HANDLERS: dict[str, Callable[[Writer, Instr], str | None]] = {
    **ssa_shape.HANDLERS, **ssa_memory.HANDLERS,
    "loop": _loop, "end": _end, "if": _if, "else": _else, "var": _var, "get": _get, "set": _set, "call": _call,
    "return": _return,
}  # fmt: skip
