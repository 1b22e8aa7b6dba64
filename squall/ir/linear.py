"""Linear IR: the kernel vocabulary between the compiler and the backends.

The compiler lowers a fused group to one `Program`; `compiler/expand` rewrites transcendental instructions into
the core set; a backend then turns the program into text (LLVM, C-like) or executes it one instruction at a time.
A program is structured code over virtual registers: every register is assigned once, loops and conditions nest,
and what a loop carries lives in a variable (`var`, `get`, `set`). Types carry signedness, so an instruction's
name never does. Entry functions follow the kernel ABI: `(ptr args, i64 begin, i64 end, ptr scratch)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

SCALARS = ("bool", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f16", "bf16", "f32", "f64", "ptr")
BYTES = {"bool": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "i32": 4, "u32": 4, "i64": 8, "u64": 8,
         "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "ptr": 8}


class Type(NamedTuple):
    """A scalar name of `SCALARS` and a lane count; one lane is a plain scalar."""

    scalar: str
    lanes: int = 1

    def __str__(self) -> str:
        return self.scalar if self.lanes == 1 else f"{self.scalar}x{self.lanes}"

    @property
    def is_float(self) -> bool:
        return self.scalar in ("f16", "bf16", "f32", "f64")

    @property
    def is_signed(self) -> bool:
        return self.scalar in ("i8", "i16", "i32", "i64")

    def with_scalar(self, scalar: str) -> Type:
        """The type of as many lanes of another scalar."""
        return Type(scalar, self.lanes)


BOOL, I64, PTR, F32, F64 = Type("bool"), Type("i64"), Type("ptr"), Type("f32"), Type("f64")

# name -> operand count. The core set every backend knows; operands and result share one type unless said.
ARITHMETIC = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "rem": 2,  # ints: truncated; floats: IEEE, rem is fmod
    "neg": 1, "abs": 1, "fma": 3, "sqrt": 1,
    "min": 2, "max": 2,  # floats: a NaN operand gives NaN
    "floor": 1, "ceil": 1, "trunc": 1, "rint": 1,  # rint: half to even
    "copysign": 2, "and": 2, "or": 2, "xor": 2, "not": 1, "shl": 2, "shr": 2,  # shr: arithmetic when signed
    "mulhi": 2,  # high half of the full product, u32 and u64
}
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")  # ordered except ne; the result is bool of the operand lanes
TRANSCENDENTAL = {  # removed by compiler/expand: no backend sees these
    "exp": 1, "exp2": 1, "expm1": 1, "log": 1, "log2": 1, "log10": 1, "log1p": 1,
    "sin": 1, "cos": 1, "tan": 1, "asin": 1, "acos": 1, "atan": 1, "atan2": 2,
    "sinh": 1, "cosh": 1, "tanh": 1, "asinh": 1, "acosh": 1, "atanh": 1,
    "erf": 1, "erfc": 1, "erfinv": 1, "lgamma": 1, "digamma": 1, "pow": 2, "rsqrt": 1, "reciprocal": 1,
    "round": 1, "floordiv": 2, "floormod": 2, "sigmoid": 1, "log_sigmoid": 1,
}
STRUCTURE = ("loop", "end", "if", "else", "var", "get", "set", "call", "return")
MEMORY = ("load", "store", "gather", "scatter", "gep", "alloca", "prefetch", "fence", "status", "tile")
TILE_DOTS = {"bf16": "f32", "i8": "i32", "u8": "i32"}  # what matrix tiles multiply, and what they add it in
SHAPING = ("const", "cast", "bitcast", "select", "splat", "iota", "extract", "insert", "shuffle", "reduce", "function",
           "dot", "scale", "fraction")


class Reg(NamedTuple):
    """A virtual register: its number and type."""

    number: int
    type: Type

    def __str__(self) -> str:
        return f"%{self.number}"


class Instr(NamedTuple):
    """One instruction: name, result register (or None), operands, and attributes.

    * `const`: attr value. `cast`: by value with the target type's rounding (float to int truncates toward zero,
      saturating never assumed). `bitcast`: by bits. `select`: (bool, a, b). `splat`: scalar to lanes.
      `iota`: 0, 1, 2... `extract`: (vector, lane). `insert`: (vector, scalar, lane). `shuffle`: (a, b), attr index
          tuple.
      `reduce`: one scalar out of the lanes by attr ("add", "mul", "min", "max", "and", "or", "xor") as a fixed
      pairwise tree: lanes i and i + half are combined, halving until one is left.
    * `load`: (ptr[, bool mask]), attr align; masked-off lanes read as zero and touch no memory. `store`:
      (value, ptr[, mask]), attr (align, nontemporal). `gather`: (ptr, i64 lane indices, mask) indexes elements of the
      result's scalar; `scatter`: (value, ptr, indices, mask), lanes in ascending order. bool occupies a byte of 0 or 1.
    * `gep`: (ptr, i64 index), attr scalar name: ptr + index * size. `alloca`: attr (Type, count), a ptr.
      `prefetch`: (ptr,), attr (write, locality). `status`: (ptr, i64 code, i64 detail): keep the first failure.
    * `dot`: (i32 lanes, u8 lanes, i8 lanes), four bytes for each sum: lane i plus the products of bytes 4 i to 4 i + 3,
      wrapping; of 16 sums, on processors that do it in one instruction. Or (f32 lanes, bf16 lanes, bf16 lanes), two
      for each sum: lane i plus the product of elements 2 i + 1, rounded, plus that of elements 2 i, rounded; subnormal
      numbers count as zero.
    * `scale`: (x, n), f32, any lanes: x times 2**floor(n), rounded once. `fraction`: x less its floor, rounded down;
      0 of either sign for whole numbers and infinities. Both on processors with AVX-512, in one instruction each.
    * `tile`: matrix tiles 0 to 7 of 16 rows of 64 bytes, of processors that have them, by attr: ("begin",) and
      ("end",) around their use by an entry and what it calls; ("zero", t); ("load", t) and ("store", t): (ptr, i64
      bytes between rows), and ("stream", t): a load of what need not stay in the first-level cache; ("dot", c, a, b,
      kind of `TILE_DOTS`): c[i, j] += the sum over words w of the dot product of a[i, w] and b[w, j], each a word of 4
      bytes. For "bf16" the products of first halves and those of second halves are added in two chains of ascending w
      from zero, these two, and that to c; subnormal numbers count as zero.
    * `loop`: result the i64 index, operands (low, high, step > 0); `if`: (bool,); both close with `end`; `else`
        between.
    * `var`: result is the variable, operand the initial value; `get`: (variable,); `set`: (variable, value).
    * `call`: operands (callee ptr or none, arguments), attr the function's name or None; `function`: address of a
      function of the same program by attr name; `return`: operand or none.
    """

    name: str
    result: Reg | None
    operands: tuple
    attr: object = None


class Function(NamedTuple):
    """A named body. `parameters` are registers; `result` is a type or None. Entry functions follow the kernel ABI."""

    name: str
    parameters: tuple[Reg, ...]
    result: Type | None
    body: tuple[Instr, ...]


class Program(NamedTuple):
    """What is compiled at once: functions, the entry's name last, and scratch bytes each thread needs."""

    functions: tuple[Function, ...]
    entry: str
    scratch_bytes: int = 0


class Builder:
    """Writes one function. Each method appends an instruction and returns its register.

    Example:
        >>> b = Builder.kernel("double_it")
        >>> x = b.load(Type("ptr"), b.gep(b.args, b.int(0), "ptr"))
        >>> with b.loop(b.begin, b.end) as i:
        ...     p = b.gep(x, i, "f32")
        ...     v = b.load(F32, p)
        ...     b.store(b.add(v, v), p)
        >>> b.finish().name
        'double_it'
    """

    def __init__(self, name: str, parameters: tuple[Type, ...], result: Type | None = None):
        self.name, self.result_type, self.body, self._next = name, result, [], 0
        self.parameters = tuple(self.register(t) for t in parameters)
        self._constants: list[dict] = [{}]

    @classmethod
    def kernel(cls, name: str) -> Builder:
        """A builder of an entry function; `.args`, `.begin`, `.end`, `.scratch` are its parameters."""
        builder = cls(name, (PTR, I64, I64, PTR))
        builder.args, builder.begin, builder.end, builder.scratch = builder.parameters
        return builder

    def register(self, type: Type) -> Reg:
        self._next += 1
        return Reg(self._next, type)

    def emit(self, name: str, type: Type | None, operands: tuple = (), attr: object = None) -> Reg:
        result = self.register(type) if type is not None else None
        self.body.append(Instr(name, result, operands, attr))
        return result  # type: ignore[return-value]

    def finish(self) -> Function:
        return Function(self.name, self.parameters, self.result_type, tuple(self.body))

    # constants are remembered per open block, so that a register is never used outside the block that made it
    def const(self, value: float | int | bool, type: Type) -> Reg:
        key = (repr(value), type)
        for scope in reversed(self._constants):
            if key in scope:
                return scope[key]
        made = self._constants[-1][key] = self.emit("const", type, (), value)
        return made

    def int(self, value: int) -> Reg:
        return self.const(value, I64)

    # arithmetic
    def op(self, name: str, *operands: Reg) -> Reg:
        """Any instruction of ARITHMETIC or TRANSCENDENTAL by name; operands share the result's type."""
        return self.emit(name, operands[0].type, operands)

    def add(self, a: Reg, b: Reg) -> Reg:
        return self.op("add", a, b)

    def sub(self, a: Reg, b: Reg) -> Reg:
        return self.op("sub", a, b)

    def mul(self, a: Reg, b: Reg) -> Reg:
        return self.op("mul", a, b)

    def fma(self, a: Reg, b: Reg, c: Reg) -> Reg:
        return self.op("fma", a, b, c)

    def compare(self, name: str, a: Reg, b: Reg) -> Reg:
        return self.emit(name, a.type.with_scalar("bool"), (a, b))

    def select(self, condition: Reg, a: Reg, b: Reg) -> Reg:
        return self.emit("select", a.type, (condition, a, b))

    def cast(self, value: Reg, type: Type) -> Reg:
        return value if value.type == type else self.emit("cast", type, (value,))

    def bitcast(self, value: Reg, type: Type) -> Reg:
        """The same bits; a boolean, one bit in registers, counts as the byte 0 or 1 that it is in memory, unless a mask
        becomes one integer."""
        if value.type.lanes != type.lanes:
            return self.emit("bitcast", type, (value,))
        if value.type.scalar == "bool" != type.scalar:
            value = self.cast(value, type.with_scalar("u8"))
        elif type.scalar == "bool" != value.type.scalar:
            byte = self.bitcast(value, type.with_scalar("u8"))
            return self.compare("ne", byte, self.const(0, byte.type))
        return self.emit("bitcast", type, (value,))

    # lanes
    def splat(self, value: Reg, lanes: int) -> Reg:
        return value if lanes == 1 else self.emit("splat", Type(value.type.scalar, lanes), (value,))

    def iota(self, type: Type) -> Reg:
        return self.emit("iota", type)

    def mask_below(self, count: Reg, lanes: int) -> Reg:
        """Lanes whose number is below the i64 `count`."""
        return self.compare("lt", self.iota(Type("i64", lanes)), self.splat(count, lanes))

    def extract(self, vector: Reg, lane: int) -> Reg:
        return self.emit("extract", Type(vector.type.scalar), (vector,), lane)

    def insert(self, vector: Reg, scalar: Reg, lane: int) -> Reg:
        return self.emit("insert", vector.type, (vector, scalar), lane)

    def shuffle(self, a: Reg, b: Reg, index: tuple[int, ...]) -> Reg:
        return self.emit("shuffle", Type(a.type.scalar, len(index)), (a, b), tuple(index))

    def reduce(self, vector: Reg, kind: str) -> Reg:
        return vector if vector.type.lanes == 1 else self.emit("reduce", Type(vector.type.scalar), (vector,), kind)

    # memory
    def gep(self, pointer: Reg, index: Reg, scalar: str) -> Reg:
        return self.emit("gep", PTR, (pointer, index), scalar)

    def load(self, type: Type, pointer: Reg, mask: Reg | None = None, align: int = 0) -> Reg:
        return self.emit("load", type, (pointer,) if mask is None else (pointer, mask), align)

    def store(
        self, value: Reg, pointer: Reg, mask: Reg | None = None, align: int = 0, nontemporal: bool = False
    ) -> None:
        self.emit("store", None, (value, pointer) if mask is None else (value, pointer, mask), (align, nontemporal))

    def gather(self, type: Type, pointer: Reg, indices: Reg, mask: Reg) -> Reg:
        return self.emit("gather", type, (pointer, indices, mask))

    def scatter(self, value: Reg, pointer: Reg, indices: Reg, mask: Reg) -> None:
        self.emit("scatter", None, (value, pointer, indices, mask))

    def alloca(self, type: Type, count: int = 1) -> Reg:
        return self.emit("alloca", PTR, (), (type, count))

    def status(self, pointer: Reg, code: Reg, detail: Reg) -> None:
        self.emit("status", None, (pointer, code, detail))

    def argument(self, word: int, type: Type) -> Reg:
        """The word of the args block, read as `type` (one lane; f32 and smaller words hold f64 or i64 and are cast)."""
        wide = type if type.scalar in ("ptr", "i64", "f64") else (F64 if type.is_float else I64)
        return self.cast(self.load(wide, self.gep(self.args, self.int(word), "i64")), type)

    # variables and control
    def var(self, initial: Reg) -> Reg:
        return self.emit("var", initial.type, (initial,))

    def get(self, variable: Reg) -> Reg:
        return self.emit("get", variable.type, (variable,))

    def set(self, variable: Reg, value: Reg) -> None:
        self.emit("set", None, (variable, value))

    def call(self, callee: str | Reg, arguments: tuple[Reg, ...], result: Type | None = None) -> Reg:
        """Call a function of this program by name, or any by pointer."""
        if isinstance(callee, str):
            return self.emit("call", result, tuple(arguments), callee)
        return self.emit("call", result, (callee, *arguments))

    def function(self, name: str) -> Reg:
        return self.emit("function", PTR, (), name)

    @contextmanager
    def _block(self) -> Iterator[None]:
        self._constants.append({})
        yield
        self._constants.pop()

    @contextmanager
    def loop(self, low: Reg, high: Reg, step: Reg | None = None) -> Iterator[Reg]:
        index = self.emit("loop", I64, (low, high, step if step is not None else self.int(1)))
        with self._block():
            yield index
        self.emit("end", None)

    @contextmanager
    def when(self, condition: Reg) -> Iterator[None]:
        self.emit("if", None, (condition,))
        with self._block():
            yield
        self.emit("end", None)

    @contextmanager
    def when_else(self, condition: Reg) -> Iterator[Callable[[], None]]:
        """Yields a callable that switches to the else branch."""
        self.emit("if", None, (condition,))
        self._constants.append({})

        def otherwise() -> None:
            self._constants[-1] = {}
            self.emit("else", None)

        yield otherwise
        self._constants.pop()
        self.emit("end", None)
