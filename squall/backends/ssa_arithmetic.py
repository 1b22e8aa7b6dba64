"""Arithmetic, comparisons and casts of the linear IR as LLVM text, the same for every LLVM target.

`ssa_text` walks a program and calls these with a writer, types and operand texts; each appends lines and returns
the result's operand. No fast-math flag is ever written. Where LLVM leaves a result undefined, it is defined here,
and `backends/python/execute` computes the same:

* Integer division by zero gives 0, its remainder the dividend; the smallest integer by -1 wraps. Nothing traps.
* A shift by the width or more gives 0, or the sign for a signed right shift.
* Float `max(a, b)` is `a if a > b else b`, and NaN if either is NaN (`min` likewise): zeros of either sign tie, and
  a tie gives `b`. With a constant first that is one instruction on x86.
* Float to integer truncates toward zero and saturates at i32 or i64 (NaN gives 0), then wraps to what is narrower,
  as PyTorch does for values in range: i8, u8, i16, u16 through i32; u32, and negative values of u64, through i64.
* 16-bit floats live in registers as i16 and only take casts and moves; casts to them go through f32, as PyTorch's.
"""

from __future__ import annotations

from collections.abc import Iterable

from squall.ir.linear import Type

NAMES = {"bool": "i1", "i8": "i8", "u8": "i8", "i16": "i16", "u16": "i16", "i32": "i32", "u32": "i32", "i64": "i64",
         "u64": "i64", "f16": "i16", "bf16": "i16", "f32": "float", "f64": "double", "ptr": "ptr"}  # fmt: skip
MANGLED = dict(NAMES, f32="f32", f64="f64", ptr="p0")
WIDTH = {"bool": 1, "i8": 8, "u8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64, "u64": 64,
         "f16": 16, "bf16": 16, "f32": 32, "f64": 64, "ptr": 64}  # fmt: skip
REAL = ("f32", "f64")
NAN = "0x7FF8000000000000"

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "rem": "frem", "neg": "fneg"}
_FLOAT_CALL = {"abs": "fabs", "fma": "fma", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
               "rint": "roundeven", "copysign": "copysign"}  # fmt: skip
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_FLOAT_ORDER = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_ORDER = {"eq": ("eq", "eq"), "ne": ("ne", "ne"), "lt": ("ult", "slt"), "le": ("ule", "sle"),
          "gt": ("ugt", "sgt"), "ge": ("uge", "sge")}  # fmt: skip


def spell(type: Type) -> str:
    """LLVM's name of a type in registers.

    Example:
        >>> spell(Type("f32", 4)), spell(Type("bf16"))
        ('<4 x float>', 'i16')
    """
    name = NAMES[type.scalar]
    return name if type.lanes == 1 else f"<{type.lanes} x {name}>"


def mangle(type: Type) -> str:
    """The suffix of an intrinsic's name for a type: `v16f32`."""
    return MANGLED[type.scalar] if type.lanes == 1 else f"v{type.lanes}{MANGLED[type.scalar]}"


def integer(type: Type, value: int) -> str:
    """An integer constant of a type, as an operand."""
    return str(value) if type.lanes == 1 else f"splat ({NAMES[type.scalar]} {value})"


def constant_integer(operand: str) -> int | None:
    """The value of an integer constant operand, or None when it is a register."""
    if operand[0] == "%":
        return None
    return 0 if operand == "zeroinitializer" else int(operand.rsplit(" ", 1)[-1].rstrip(")"))


def intrinsic(w, name: str, type: Type, *operands: str) -> str:
    """A call of `llvm.name` whose operands and result have one type."""
    text = spell(type)
    function = f"llvm.{name}.{mangle(type)}"
    if function not in w.declared:
        w.declared[function] = f"declare {text} @{function}({', '.join([text] * len(operands))})"
    return w.value(f"call {text} @{function}({', '.join([f'{text} {o}' for o in operands])})")


def arithmetic(w, name: str, type: Type, *operands: str) -> str:
    """Any instruction of `ARITHMETIC` on operands of one type."""
    if type.scalar in REAL:
        if name in ("min", "max"):
            return _float_extreme(w, name, type, *operands)
        if name in _FLOAT:
            return w.value(f"{_FLOAT[name]} {spell(type)} {', '.join(operands)}")
        return intrinsic(w, _FLOAT_CALL[name], type, *operands)
    if name in _INTEGER:
        return w.value(f"{_INTEGER[name]} {spell(type)} {operands[0]}, {operands[1]}")
    return _INTEGER_SPECIAL[name](w, name, type, *operands)


def _float_extreme(w, name: str, type: Type, a: str, b: str) -> str:
    text, order = spell(type), "gt" if name == "max" else "lt"
    # A constant that is no NaN decides where a NaN can only come from, and one select brings it along.
    ordered = "o" if b[0] == "%" or NAN in b else "u"
    test = w.value(f"fcmp {ordered}{order} {text} {a}, {b}")
    best = w.value(f"select {spell(type.with_scalar('bool'))} {test}, {text} {a}, {text} {b}")
    if ordered == "u" or (a[0] != "%" and NAN not in a):
        return best
    test = w.value(f"fcmp uno {text} {a}, {'0.0' if type.lanes == 1 else 'zeroinitializer'}")
    return w.value(f"select {spell(type.with_scalar('bool'))} {test}, {text} {a}, {text} {best}")


def _divide(w, name: str, type: Type, a: str, b: str) -> str:
    text, sign, condition = spell(type), "s" if type.is_signed else "u", spell(type.with_scalar("bool"))
    known = constant_integer(b)
    if known is not None and known not in (0, -1):
        return w.value(f"{sign}{name} {text} {a}, {b}")
    one, zero = integer(type, 1), integer(type, 0)
    is_zero = w.value(f"icmp eq {text} {b}, {zero}")
    avoid, is_minus = is_zero, None
    if type.is_signed:
        is_minus = w.value(f"icmp eq {text} {b}, {integer(type, -1)}")
        avoid = w.value(f"or {condition} {is_zero}, {is_minus}")
    divisor = w.value(f"select {condition} {avoid}, {text} {one}, {text} {b}")
    result = w.value(f"{sign}{name} {text} {a}, {divisor}")
    if name == "rem":
        return w.value(f"select {condition} {is_zero}, {text} {a}, {text} {result}")
    if is_minus:
        negated = w.value(f"sub {text} {zero}, {a}")
        result = w.value(f"select {condition} {is_minus}, {text} {negated}, {text} {result}")
    return w.value(f"select {condition} {is_zero}, {text} {zero}, {text} {result}")


def _shift(w, name: str, type: Type, a: str, b: str) -> str:
    text, width = spell(type), WIDTH[type.scalar]
    instruction = "shl" if name == "shl" else "ashr" if type.is_signed else "lshr"
    known = constant_integer(b)
    if known is not None and 0 <= known < width:
        return w.value(f"{instruction} {text} {a}, {b}")
    if instruction == "ashr":
        return w.value(f"ashr {text} {a}, {_unsigned(w, 'umin', type, b, integer(type, width - 1))}")
    inside = w.value(f"icmp ult {text} {b}, {integer(type, width)}")
    amount = _unsigned(w, "umin", type, b, integer(type, width - 1))
    shifted = w.value(f"{instruction} {text} {a}, {amount}")
    return w.value(f"select {spell(type.with_scalar('bool'))} {inside}, {text} {shifted}, {text} {integer(type, 0)}")


def _unsigned(w, name: str, type: Type, a: str, b: str) -> str:
    return intrinsic(w, name, type, a, b)


def _extreme(w, name: str, type: Type, a: str, b: str) -> str:
    if type.scalar == "bool":
        return w.value(f"{'and' if name == 'min' else 'or'} {spell(type)} {a}, {b}")
    return intrinsic(w, ("s" if type.is_signed else "u") + name, type, a, b)


def _absolute(w, name: str, type: Type, a: str) -> str:
    if not type.is_signed:
        return a
    negated = w.value(f"sub {spell(type)} {integer(type, 0)}, {a}")
    return intrinsic(w, "smax", type, a, negated)


def _multiply_add(w, name: str, type: Type, a: str, b: str, c: str) -> str:
    product = w.value(f"mul {spell(type)} {a}, {b}")
    return w.value(f"add {spell(type)} {product}, {c}")


def _multiply_high(w, name: str, type: Type, a: str, b: str) -> str:
    text, width = spell(type), WIDTH[type.scalar]
    wide = f"i{2 * width}" if type.lanes == 1 else f"<{type.lanes} x i{2 * width}>"
    amount = str(width) if type.lanes == 1 else f"splat (i{2 * width} {width})"
    first, second = (w.value(f"zext {text} {x} to {wide}") for x in (a, b))
    product = w.value(f"mul {wide} {first}, {second}")
    return w.value(f"trunc {wide} {w.value(f'lshr {wide} {product}, {amount}')} to {text}")


def _negate(w, name: str, type: Type, a: str) -> str:
    return w.value(f"sub {spell(type)} {integer(type, 0)}, {a}")


def _invert(w, name: str, type: Type, a: str) -> str:
    return w.value(f"xor {spell(type)} {a}, {integer(type, -1)}")


def _same(w, name: str, type: Type, a: str) -> str:
    return a


_INTEGER_SPECIAL = {
    "div": _divide, "rem": _divide, "shl": _shift, "shr": _shift, "min": _extreme, "max": _extreme,
    "abs": _absolute, "fma": _multiply_add, "mulhi": _multiply_high, "neg": _negate, "not": _invert,
    "floor": _same, "ceil": _same, "trunc": _same, "rint": _same,
}  # fmt: skip


_SCALING = {"scale": ("scalef", "{a}, {b}, {none}, {mask} -1{round}"),
            "fraction": ("reduce", "{a}, i32 9, {none}, {mask} -1{round}")}  # fmt: skip


def scaling(w, name: str, type: Type, *operands: str) -> str:
    """`scale` or `fraction` of float32, by AVX-512's instructions for 4, 8 and 16 lanes."""
    lanes = type.lanes
    if lanes > 16:
        half = Type("f32", lanes // 2)
        parts = [scaling(w, name, half, *(_lanes(w, type, o, range(k, k + half.lanes)) for o in operands))
                 for k in (0, half.lanes)]
        index = ", ".join(f"i32 {k}" for k in range(lanes))
        return w.value(f"shufflevector {spell(half)} {parts[0]}, {spell(half)} {parts[1]}, <{lanes} x i32> <{index}>")
    if lanes < 4:
        four = [w.value(f"insertelement <4 x float> poison, float {o}, i64 0") if lanes == 1
                else _lanes(w, type, o, (0, 1, 0, 1)) for o in operands]
        made = scaling(w, name, Type("f32", 4), *four)
        return w.value(f"extractelement <4 x float> {made}, i64 0") if lanes == 1 else _lanes(
            w, Type("f32", 4), made, (0, 1))
    text, (known, form) = spell(type), _SCALING[name]
    function = f"llvm.x86.avx512.mask.{known}.ps.{32 * lanes}"
    given = {"a": f"{text} {operands[0]}", "b": f"{text} {operands[-1]}", "none": f"{text} zeroinitializer",
             "mask": "i16" if lanes == 16 else "i8", "round": ", i32 4" if lanes == 16 else ""}
    kinds = [text, text if name == "scale" else "i32 immarg", text, given["mask"], *["i32 immarg"] * (lanes == 16)]
    w.declared[function] = f"declare {text} @{function}({', '.join(kinds)})"
    return w.value(f"call {text} @{function}({form.format(**given)})")


def _lanes(w, type: Type, operand: str, picked: Iterable[int]) -> str:
    index = [f"i32 {k}" for k in picked]
    return w.value(f"shufflevector {spell(type)} {operand}, {spell(type)} poison, <{len(index)} x i32> "
                   f"<{', '.join(index)}>")  # fmt: skip


def compare(w, name: str, type: Type, a: str, b: str) -> str:
    """A comparison of two operands of a type; the result is `i1` lanes."""
    if type.scalar in REAL:
        return w.value(f"fcmp {_FLOAT_ORDER[name]} {spell(type)} {a}, {b}")
    return w.value(f"icmp {_ORDER[name][type.is_signed]} {spell(type)} {a}, {b}")
