"""Expansion: rewrites transcendental instructions into the core set that every backend knows.

Runs after lowering and before a backend. f32 and f64 are expanded by the functions of `math_*`, f16 and bf16 through
f32, integer powers and divisions by their own; `rem` of floats is expanded too, since no machine has it. Registers
keep their numbers, so text before and after can be compared; new ones are numbered behind the function's last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from squall.base.errors import CompileError
from squall.compiler import math_exp, math_log, math_power, math_special, math_trig
from squall.compiler.math_lanes import Lanes
from squall.ir.linear import BYTES, PTR, TRANSCENDENTAL, Builder, Function, Instr, Program, Reg, Type

EXPANSIONS: dict[str, Callable[..., Reg]] = {
    **math_exp.EXPANSIONS, **math_log.EXPANSIONS, **math_trig.EXPANSIONS, **math_special.EXPANSIONS,
    **math_power.EXPANSIONS,
}  # fmt: skip
_CANDIDATES = frozenset(TRANSCENDENTAL) | {"rem"}


class Expander(Builder):
    """A builder that continues a function's register numbers and keeps tables of constants on its stack.

    Args:
        function: the function whose body is rewritten. scales: whether the processor has `scale` (see `ir/linear`).
    """

    def __init__(self, function: Function, scales: bool):
        super().__init__(function.name, (), function.result)
        numbers = [i.result.number for i in function.body if i.result is not None]
        self._next = max([p.number for p in function.parameters] + numbers, default=0)
        self.scales = scales
        self.tables: dict[tuple, Reg] = {}
        self.prologue: list[Instr] = []

    def table(self, values: Sequence[int], scalar: str) -> Reg:
        """A pointer to constants, written once where the function begins."""
        key = (tuple(values), scalar)
        if key not in self.tables:
            body, self.body = self.body, self.prologue
            kind = Type(scalar)
            pointer = self.emit("alloca", PTR, (), (kind, len(values)))
            for index, value in enumerate(values):
                place = self.emit("gep", PTR, (pointer, self.emit("const", Type("i64"), (), index)), scalar)
                self.emit("store", None, (self.emit("const", kind, (), value), place), (BYTES[scalar], False))
            self.tables[key], self.body = pointer, body
        return self.tables[key]

    def replace(self, instruction: Instr, operands: tuple[Reg, ...]) -> Reg:
        """Emit the expansion of one instruction; returns the register that holds its result."""
        name, kind = instruction.name, operands[0].type
        if kind.scalar in ("f32", "f64"):
            return EXPANSIONS[name](Lanes(self, kind, self.scales), *operands)
        if kind.scalar in ("f16", "bf16"):
            single = kind.with_scalar("f32")
            made = EXPANSIONS[name](Lanes(self, single, self.scales), *(self.cast(r, single) for r in operands))
            return self.cast(made, kind)
        if name == "pow":
            return math_power.integer_power(self, *operands)
        if name in ("floordiv", "floormod"):
            return math_power.integer_floor(self, name, *operands)
        if name == "round":
            return operands[0]
        raise CompileError(f"{self.name}: {name} takes floats, not {kind} ({instruction.result})")


def expand_function(function: Function, scales: bool = False) -> Function:
    """A function without transcendental instructions; the same object when it had none."""
    if not any(i.name in _CANDIDATES for i in function.body):
        return function
    builder, renamed = Expander(function, scales), {}
    for instruction in function.body:
        name, operands = instruction.name, instruction.operands
        if renamed and operands:
            operands = tuple([renamed.get(r.number, r) for r in operands])
            instruction = instruction._replace(operands=operands)
        if name in _CANDIDATES and (name != "rem" or operands[0].type.is_float):
            renamed[instruction.result.number] = builder.replace(instruction, operands)  # type: ignore[union-attr]
            continue
        builder.body.append(instruction)
        _follow(builder, name)
    body = (*builder.prologue, *builder.body)
    return function._replace(body=body)


def _follow(builder: Expander, name: str) -> None:
    """Open and close the scopes in which the builder remembers constants, along the structure copied."""
    scopes = builder._constants
    if name in ("loop", "if"):
        scopes.append({})
    elif name == "else":
        scopes[-1] = {}
    elif name == "end":
        scopes.pop()


def expand(program: Program, scales: bool = False) -> Program:
    """A program of core instructions only.

    Args:
        scales: whether the processor has `scale` (AVX-512): float32 exponentials take fewer instructions, and have bits
            of their own.

    Example:
        >>> b = Builder.kernel("k")
        >>> _ = b.op("reciprocal", b.const(4.0, Type("f32")))
        >>> [i.name for i in expand(Program((b.finish(),), "k")).functions[0].body]
        ['const', 'const', 'div']
    """
    functions = tuple([expand_function(f, scales) for f in program.functions])
    if all(new is old for new, old in zip(functions, program.functions, strict=True)):
        return program
    return program._replace(functions=functions)
