"""Executes a linear program on real memory, one instruction at a time, to the same bits as compiled code.

It takes the same arguments as a compiled kernel (an args block's address, work units, a scratch address), so a plan
can be run by either on the same buffers. What differs is speed, by some five orders of magnitude.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from squall.backends.python.values import STORAGE, arithmetic, cast, compare
from squall.base.errors import CompileError
from squall.ir.bits import encode
from squall.ir.linear import ARITHMETIC, BYTES, COMPARE, Function, Instr, Type
from squall.ir.unwritten import AnyProgram

# Addresses of functions, which cannot be mistaken for memory: the topmost ones.
_FUNCTION_BASE = 0xFFFF_FFFF_5000_0000


# How values are passed to machine code and back, one lane each.
_C_TYPES = {"ptr": ctypes.c_uint64, "i64": ctypes.c_int64, "u64": ctypes.c_uint64, "i32": ctypes.c_int32,
            "u32": ctypes.c_uint32, "f32": ctypes.c_float, "f64": ctypes.c_double, "bool": ctypes.c_bool}  # fmt: skip


def _prototype(parameters: Sequence[Type], result: Type | None) -> Any:
    kinds = [*parameters, result] if result is not None else list(parameters)
    for kind in kinds:
        if kind.lanes > 1 or kind.scalar not in _C_TYPES:
            raise CompileError(f"the python backend cannot exchange {kind} with machine code")
    returned = None if result is None else _C_TYPES[result.scalar]
    return ctypes.CFUNCTYPE(returned, *[_C_TYPES[kind.scalar] for kind in parameters])


class _Return(Exception):  # noqa: N818
    pass


class Executor:
    """A program made ready for execution.

    Args:
        program: without transcendental instructions (`compiler/expand` removes them).

    What its code calls by pointer may be machine code or another executor's `address`.

    Example:
        >>> from squall.ir.linear import Builder, Program
        >>> b = Builder.kernel("nothing")
        >>> Executor(Program((b.finish(),), "nothing"))(0, 0, 1, 0)
    """

    def __init__(self, program: AnyProgram):
        import numpy as np

        self.np = np
        self.program = program
        self.trees = {f.name: (f, _nest(f)) for f in program.functions}
        self.names = [f.name for f in program.functions]
        self.error: BaseException | None = None
        self._native: Any = None
        self.tiles: dict = {}

    def __call__(self, args: int, begin: int, end: int, scratch: int) -> None:
        """Run the entry function, as a compiled kernel would be called."""
        np = self.np
        words = [np.array([v], d) for v, d in zip((args, begin, end, scratch), ("u8", "i8", "i8", "u8"), strict=True)]
        with np.errstate(all="ignore"):
            self.call(self.program.entry, words)

    @property
    def address(self) -> int:
        """An address at which machine code can call the entry, while this executor lives.

        An error inside cannot pass through machine code: it is kept in `error`, and the call returns zero.
        """
        if self._native is None:
            function = self.trees[self.program.entry][0]
            kinds, result = [p.type for p in function.parameters], function.result

            def entry(*values: Any) -> Any:
                try:
                    words = [self.np.array([v], STORAGE[k.scalar]) for v, k in zip(values, kinds, strict=True)]
                    with self.np.errstate(all="ignore"):
                        made = self.call(function.name, words)
                    return None if result is None else made[0].item()
                except BaseException as error:
                    self.error = self.error or error
                    return None if result is None else 0

            self._native = _prototype(kinds, result)(entry)
        return ctypes.cast(self._native, ctypes.c_void_p).value or 0

    def call(self, name: str, arguments: list) -> Any:
        """Call a function of the program with arrays; returns its result."""
        function, tree = self.trees[name]
        frame = Frame(self, {p.number: a for p, a in zip(function.parameters, arguments, strict=True)})
        try:
            frame.run(tree)
        except _Return as result:
            return result.args[0]
        return None


def execute(program: AnyProgram, args: int, begin: int, end: int, scratch: int = 0) -> None:
    """Run a program's entry once; see `Executor`."""
    Executor(program)(args, begin, end, scratch)


def _nest(function: Function) -> list:
    """The body as a tree: (instruction, body, else body) where a structure opens, plain instructions elsewhere."""
    root: list = []
    current, stack = root, []
    for instruction in function.body:
        if instruction.name in ("loop", "if"):
            node: tuple = (instruction, [], [])
            current.append(node)
            stack.append((current, node))
            current = node[1]
        elif instruction.name == "else":
            current = stack[-1][1][2]
        elif instruction.name == "end":
            current = stack.pop()[0]
        else:
            current.append(instruction)
    if stack:
        raise CompileError(f"{function.name}: {len(stack)} structures are not closed by end")
    return root


class Frame:
    """One activation of a function: its registers and the memory it allocated."""

    def __init__(self, machine: Executor, registers: dict):
        self.machine, self.np, self.registers = machine, machine.np, registers
        self.kept: list = []

    def run(self, tree: list) -> None:
        """Execute instructions in order."""
        registers = self.registers
        for item in tree:
            if type(item) is tuple:  # an instruction is a tuple of its own type
                self.structure(*item)
                continue
            handler = HANDLERS.get(item.name)
            if handler is None:
                raise CompileError(f"the python backend does not know {item.name}; expand the program first")
            made = handler(self, item, [registers[r.number] for r in item.operands])
            if item.result is not None:
                registers[item.result.number] = made

    def structure(self, instruction: Instr, body: list, otherwise: list) -> None:
        """Execute a loop or a condition."""
        values = [self.registers[r.number][0] for r in instruction.operands]
        if instruction.name == "if":
            self.run(body if values[0] else otherwise)
            return
        for index in range(int(values[0]), int(values[1]), int(values[2])):
            self.registers[instruction.result.number] = self.np.array([index], "i8")  # type: ignore[union-attr]
            self.run(body)

    def memory(self, address: int, scalar: str, count: int):
        """`count` elements of memory as an array that shares it."""
        storage = self.np.dtype("uint8" if scalar == "bool" else STORAGE[scalar])
        space = (ctypes.c_uint8 * (storage.itemsize * count)).from_address(int(address))
        return self.np.frombuffer(space, storage, count)


# A handler takes the frame, the instruction and its operands' values, and returns the result.


def _const(f: Frame, i: Instr, v: list) -> Any:
    np, kind = f.np, i.result.type  # type: ignore[union-attr]
    size = BYTES[kind.scalar]
    bits = np.array([encode(i.attr, kind.scalar)], f"u{size}").view(STORAGE[kind.scalar])  # type: ignore[arg-type]
    return np.repeat(bits, kind.lanes)


def _bitcast(f: Frame, i: Instr, v: list) -> Any:
    np, (a,), source, target = f.np, v, i.operands[0].type, i.result.type  # type: ignore[union-attr]
    if source.scalar == "bool":
        a = np.packbits(a, bitorder="little")
    if target.scalar == "bool":
        return np.unpackbits(a.view("u1"), bitorder="little", count=target.lanes).astype(bool)
    return a.view(STORAGE[target.scalar])


def _splat(f: Frame, i: Instr, v: list) -> Any:
    return f.np.repeat(v[0], i.result.type.lanes)  # type: ignore[union-attr]


def _iota(f: Frame, i: Instr, v: list) -> Any:
    kind = i.result.type  # type: ignore[union-attr]
    counts = f.np.arange(kind.lanes, dtype="i8")
    return cast(f.np, counts, Type("i64", kind.lanes), kind)


def _insert(f: Frame, i: Instr, v: list) -> Any:
    result = v[0].copy()
    result[i.attr] = v[1][0]
    return result


def _reduce(f: Frame, i: Instr, v: list) -> Any:
    a, scalar = v[0], i.operands[0].type.scalar
    while len(a) > 1:
        half = len(a) // 2
        a = arithmetic(f.np, str(i.attr), Type(scalar, half), a[:half], a[half:])
    return a


def _load(f: Frame, i: Instr, v: list) -> Any:
    np, kind = f.np, i.result.type  # type: ignore[union-attr]
    if len(v) == 2 and not v[1].all():
        return _gathered(f, kind, v[0], np.arange(kind.lanes, dtype="i8"), v[1])
    loaded = f.memory(v[0][0], kind.scalar, kind.lanes)
    return loaded != 0 if kind.scalar == "bool" else loaded.copy()


def _gathered(f: Frame, kind: Type, pointer: Any, indices: Any, mask: Any) -> Any:
    np, size = f.np, BYTES[kind.scalar]
    result = np.zeros(kind.lanes, STORAGE[kind.scalar])
    for lane in np.flatnonzero(mask):
        result[lane] = f.memory(int(pointer[0]) + int(indices[lane]) * size, kind.scalar, 1)[0]
    return result


def _gather(f: Frame, i: Instr, v: list) -> Any:
    return _gathered(f, i.result.type, *v)  # type: ignore[union-attr]


def _store(f: Frame, i: Instr, v: list) -> None:
    kind = i.operands[0].type
    if len(v) == 3 and not v[2].all():
        _scattered(f, kind, v[0], v[1], f.np.arange(kind.lanes, dtype="i8"), v[2])
        return
    f.memory(v[1][0], kind.scalar, kind.lanes)[:] = v[0]


def _scattered(f: Frame, kind: Type, value: Any, pointer: Any, indices: Any, mask: Any) -> None:
    size = BYTES[kind.scalar]
    for lane in f.np.flatnonzero(mask):
        f.memory(int(pointer[0]) + int(indices[lane]) * size, kind.scalar, 1)[0] = value[lane]


def _scatter(f: Frame, i: Instr, v: list) -> None:
    _scattered(f, i.operands[0].type, *v)


def _address(f: Frame, value: int) -> Any:
    return f.np.array([value & 0xFFFF_FFFF_FFFF_FFFF], "u8")


def _gep(f: Frame, i: Instr, v: list) -> Any:
    return _address(f, int(v[0][0]) + int(v[1][0]) * BYTES[i.attr])  # type: ignore[index]


def _alloca(f: Frame, i: Instr, v: list) -> Any:
    kind, count = i.attr  # type: ignore[misc]
    space = f.np.zeros(BYTES[kind.scalar] * kind.lanes * count + 64, "u1")
    f.kept.append(space)
    return _address(f, (space.ctypes.data + 63) & ~63)


def _status(f: Frame, i: Instr, v: list) -> None:
    words = f.memory(v[0][0], "i64", 2)
    if words[0] == 0:
        words[0], words[1] = v[1][0], v[2][0]


def _tile(f: Frame, i: Instr, v: list) -> None:
    action, *tiles = i.attr  # type: ignore[misc]
    np, held = f.np, f.machine.tiles
    if action == "zero":
        held[tiles[0]] = np.zeros((16, 64), "u1")
    elif action in ("load", "stream", "store"):
        lines = [f.memory(int(v[0][0]) + row * int(v[1][0]), "u8", 64) for row in range(16)]
        if action != "store":
            held[tiles[0]] = np.stack(lines)
        else:
            for line, row in zip(lines, held[tiles[0]], strict=True):
                line[:] = row
    elif action == "dot":
        c, a, b, kind = tiles
        held[c] = tile_dot(np, held[c], held[a], held[b], kind)


def _dot(f: Frame, i: Instr, v: list) -> Any:
    total, a, b = v
    if i.result.type.scalar == "f32":  # type: ignore[union-attr]
        return dot_pairs(f.np, total, a, b)
    parts = (f.np.asarray(x).reshape(-1, 4).astype("i4") for x in (a, b))
    return (total + f.np.multiply(*parts).sum(1, dtype="i4")).astype("i4")


def _scale(f: Frame, i: Instr, v: list) -> Any:
    np, (x, n) = f.np, v
    by = np.floor(np.clip(np.nan_to_num(n), -1000, 1000)).astype("i4")
    return np.where(np.isnan(n), n, np.ldexp(x, by)).astype("f4")


def _fraction(f: Frame, i: Instr, v: list) -> Any:
    np, x = f.np, v[0].astype("f8")
    exact = np.where(np.isinf(x), 0.0, x - np.floor(x))
    near = exact.astype("f4")
    return np.where((near > exact) | (near == 1), np.nextafter(near, np.float32(0)), near)


def tile_dot(np: Any, c: Any, a: Any, b: Any, kind: str) -> Any:
    """The tile c plus the product of a and b, all as bytes; see `Instr`."""
    if kind != "bf16":
        parts = [t.view("i1" if kind == "i8" else "u1").reshape(16, 16, 4).astype("i4") for t in (a, b)]
        return (c.view("i4") + np.einsum("iwp,wjp->ij", *parts, dtype="i4")).astype("i4").view("u1")

    wide = [_flushed(np, (t.view("u2").astype("u4") << 16).view("f4").reshape(16, 16, 2)) for t in (a, b)]
    chains = [np.zeros((16, 16), "f4") for _ in range(2)]
    for w in range(16):  # a product is exact in float32, but for those too small or too large
        for p in range(2):
            exact = wide[0][:, w, p, None].astype("f8") * wide[1][w, None, :, p] + chains[p]
            chains[p] = _flushed(np, exact.astype("f4"))
    total = _flushed(np, c.view("f4")) + _flushed(np, chains[0] + chains[1])
    return _flushed(np, total).astype("f4").view("u1")


def _flushed(np: Any, x: Any) -> Any:
    """Subnormal numbers as zeros."""
    return np.where(abs(x) < np.float32(2.0**-126), np.copysign(np.float32(0), x), x)


def dot_pairs(np: Any, total: Any, a: Any, b: Any) -> Any:
    """Sums plus the products of pairs of bfloat16 numbers, the second of each pair first; see `Instr`."""
    wide = [_flushed(np, (np.asarray(x).view("u2").astype("u4") << 16).view("f4").reshape(-1, 2)) for x in (a, b)]
    total = _flushed(np, np.asarray(total, "f4"))
    for p in (1, 0):  # a product is exact in float64, and its sum rounded there first all but never matters
        total = _flushed(np, (wide[0][:, p].astype("f8") * wide[1][:, p] + total).astype("f4"))
    return total.astype("f4")


def _set(f: Frame, i: Instr, v: list) -> None:
    f.registers[i.operands[0].number] = v[1]


def _function(f: Frame, i: Instr, v: list) -> Any:
    return _address(f, _FUNCTION_BASE + f.machine.names.index(str(i.attr)))


def _call(f: Frame, i: Instr, v: list) -> Any:
    machine = f.machine
    if i.attr:
        return machine.call(str(i.attr), v)
    address = int(v[0][0])
    if 0 <= address - _FUNCTION_BASE < len(machine.names):
        return machine.call(machine.names[address - _FUNCTION_BASE], v[1:])
    types, result = [r.type for r in i.operands[1:]], i.result.type if i.result is not None else None
    made = _prototype(types, result)(address)(*[a[0].item() for a in v[1:]])
    return None if result is None else f.np.array([made], STORAGE[result.scalar])


def _return(f: Frame, i: Instr, v: list) -> None:
    raise _Return(v[0] if v else None)


def _arithmetic(f: Frame, i: Instr, v: list) -> Any:
    return arithmetic(f.np, i.name, i.result.type, *v)  # type: ignore[union-attr]


HANDLERS: dict[str, Callable[[Frame, Instr, list], Any]] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    **dict.fromkeys(COMPARE, lambda f, i, v: compare(f.np, i.name, *v)),
    "const": _const, "bitcast": _bitcast, "splat": _splat, "iota": _iota, "insert": _insert, "reduce": _reduce,
    "cast": lambda f, i, v: cast(f.np, v[0], i.operands[0].type, i.result.type),
    "select": lambda f, i, v: f.np.where(*v),
    "extract": lambda f, i, v: v[0][[i.attr]],
    "shuffle": lambda f, i, v: f.np.concatenate(v)[f.np.array(i.attr)],
    "load": _load, "store": _store, "gather": _gather, "scatter": _scatter, "gep": _gep, "alloca": _alloca,
    "prefetch": lambda f, i, v: None, "fence": lambda f, i, v: None, "status": _status,
    "tile": _tile, "dot": _dot, "scale": _scale, "fraction": _fraction,
    "var": lambda f, i, v: v[0], "get": lambda f, i, v: v[0], "set": _set,
    "function": _function, "call": _call, "return": _return,
}  # fmt: skip
