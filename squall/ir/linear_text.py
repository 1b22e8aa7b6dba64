"""Prints linear programs and reads them back: one instruction a line, nested by structure.

    program k scratch=0
    function k(%1: ptr, %2: i64, %3: i64, %4: ptr)
      %6: i64 = loop %2, %3, %5
        %7: ptr = gep %1, %6 ['f32']
      end
    end function

What stands in brackets is the instruction's attribute. `parse(print_program(p))` equals `p` (NaN constants aside,
which equal nothing).
"""

from __future__ import annotations

import ast
import math
import re

from squall.base.errors import CompileError
from squall.ir.linear import SCALARS, Function, Instr, Program, Reg, Type
from squall.ir.unwritten import AnyProgram


def print_program(program: AnyProgram) -> str:
    """The text of a program."""
    lines = [f"program {program.entry} scratch={program.scratch_bytes}"]
    for function in program.functions:
        lines += print_function(function)
    return "\n".join([*lines, ""])


def print_function(function: Function) -> list[str]:
    """The lines of one function."""
    parameters = ", ".join([f"{p}: {p.type}" for p in function.parameters])
    result = f" -> {function.result}" if function.result is not None else ""
    lines, depth = [f"function {function.name}({parameters}){result}"], 1
    for instruction in function.body:
        if instruction.name in ("end", "else"):
            depth -= 1
        lines.append("  " * depth + print_instruction(instruction))
        if instruction.name in ("loop", "if", "else"):
            depth += 1
    return [*lines, "end function"]


def print_instruction(instruction: Instr) -> str:
    """One instruction, as `%3: f32 = add %1, %2`.

    Example:
        >>> x = Reg(1, Type("f32", 8))
        >>> print_instruction(Instr("extract", Reg(2, Type("f32")), (x,), 3))
        '%2: f32 = extract %1 [3]'
    """
    result = f"{instruction.result}: {instruction.result.type} = " if instruction.result is not None else ""
    operands = " " + ", ".join(map(str, instruction.operands)) if instruction.operands else ""
    attribute = f" [{_attribute(instruction.attr)}]" if instruction.attr is not None else ""
    return f"{result}{instruction.name}{operands}{attribute}"


def _attribute(value: object) -> str:
    if isinstance(value, Type):
        return str(value)
    if isinstance(value, tuple):
        inner = ", ".join([_attribute(v) for v in value])
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, bool | str | int) or value is None:
        return repr(value)
    if isinstance(value, float):
        return repr(float(value))
    raise CompileError(f"an attribute of a linear instruction cannot be {value!r}")


_LINE = re.compile(r"(?:%(\d+): (\w+) = )?(\w+)((?: %\d+(?:, %\d+)*)?)(?: \[(.*)\])?$")
_HEAD = re.compile(r"function (\S+)\((.*)\)(?: -> (\w+))?$")


def parse_type(text: str) -> Type:
    """A type from its text: `f32`, `f32x16`."""
    scalar, _, lanes = text.partition("x")
    if scalar not in SCALARS or (lanes and not lanes.isdigit()):
        raise CompileError(f"{text!r} is no type of the linear IR")
    return Type(scalar, int(lanes or 1))


def parse(text: str) -> Program:
    """The program that `print_program` printed.

    Raises:
        CompileError: a line that is no instruction, or uses a register nobody defined.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    head = re.match(r"program (\S+) scratch=(\d+)$", lines[0]) if lines else None
    if head is None:
        raise CompileError("a linear program begins with `program NAME scratch=BYTES`")
    functions, body, current, registers = [], [], None, {}
    for line in lines[1:]:
        if line.startswith("function "):
            current, body, registers = _parse_head(line), [], {}
            registers.update({p.number: p for p in current.parameters})
        elif current is None:
            raise CompileError(f"outside a function: {line}")
        elif line == "end function":
            functions.append(current._replace(body=tuple(body)))
            current = None
        else:
            body.append(_parse_line(line, registers))
    return Program(tuple(functions), head[1], int(head[2]))


def _parse_head(line: str) -> Function:
    match = _HEAD.match(line)
    if match is None:
        raise CompileError(f"no function: {line}")
    pairs = [part.split(": ") for part in match[2].split(", ")] if match[2] else []
    parameters = tuple([Reg(int(number[1:]), parse_type(kind)) for number, kind in pairs])
    return Function(match[1], parameters, parse_type(match[3]) if match[3] else None, ())


def _parse_line(line: str, registers: dict[int, Reg]) -> Instr:
    match = _LINE.match(line)
    if match is None:
        raise CompileError(f"no instruction: {line}")
    number, kind, name, operands, attribute = match.groups()
    try:
        used = tuple([registers[int(part.strip()[1:])] for part in operands.split(",")]) if operands else ()
    except KeyError as error:
        raise CompileError(f"%{error.args[0]} is not defined before: {line}") from error
    result = Reg(int(number), parse_type(kind)) if number else None
    if result is not None:
        registers[result.number] = result
    return Instr(name, result, used, _parse_attribute(attribute) if attribute is not None else None)


def _parse_attribute(text: str) -> object:
    return _value(ast.parse(text.strip(), mode="eval").body, text)


def _value(node: ast.AST, text: str) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple):
        return tuple([_value(element, text) for element in node.elts])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, text)  # type: ignore[operator]
    if isinstance(node, ast.Name):
        return {"nan": math.nan, "inf": math.inf}.get(node.id) or parse_type(node.id)
    raise CompileError(f"no attribute: [{text}]")
