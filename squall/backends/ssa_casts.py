"""Casts between scalars of the linear IR as LLVM text; the rules are those that `ssa_arithmetic` states.

bfloat16 is converted by integer operations on every machine (round to nearest even, NaN kept), since the
hardware's instruction flushes denormals. float16 uses the hardware where the table says there is one.
"""

from __future__ import annotations

from squall.backends.ssa_arithmetic import REAL, WIDTH, integer, mangle, spell
from squall.ir.linear import Type

# By bits of an integer: the smallest, and what is just above the largest.
_LIMITS = {32: ("0xC1E0000000000000", "0x41E0000000000000"), 64: ("0xC3E0000000000000", "0x43E0000000000000")}


def cast(w, operand: str, source: Type, target: Type) -> str:
    """An operand of type `source` as `target`, by value."""
    a, b = source.scalar, target.scalar
    if a == b:
        return operand
    single = source.with_scalar("f32")
    if a in ("f16", "bf16"):
        wide = (from_half if a == "f16" else from_brain)(w, operand, source)
        return cast(w, wide, single, target)
    if b in ("f16", "bf16"):
        return (to_half if b == "f16" else to_brain)(w, cast(w, operand, source, single), single)
    if a in REAL:
        return _from_real(w, operand, source, target)
    if b == "bool":
        return w.value(f"icmp ne {spell(source)} {operand}, {integer(source, 0)}")
    if b in REAL:
        return w.value(f"{'si' if source.is_signed else 'ui'}tofp {spell(source)} {operand} to {spell(target)}")
    if WIDTH[a] == WIDTH[b]:
        return operand
    change = "trunc" if WIDTH[a] > WIDTH[b] else "sext" if source.is_signed else "zext"
    return w.value(f"{change} {spell(source)} {operand} to {spell(target)}")


def _from_real(w, operand: str, source: Type, target: Type) -> str:
    b = target.scalar
    if b in REAL:
        return w.value(f"fp{'ext' if b == 'f64' else 'trunc'} {spell(source)} {operand} to {spell(target)}")
    zero = "0.0" if source.lanes == 1 else "zeroinitializer"
    if b == "bool":
        return w.value(f"fcmp une {spell(source)} {operand}, {zero}")
    if WIDTH[b] < 32 and _truncates(w, source):
        return _narrowed(w, operand, source, target)
    through = target.with_scalar("i64" if WIDTH[b] == 64 or b == "u32" else "i32")
    signed = _saturated(w, "si", operand, source, through)
    if b != "u64":
        return cast(w, signed, through, target)
    unsigned = _saturated(w, "ui", operand, source, target)
    negative = w.value(f"fcmp olt {spell(source)} {operand}, {zero}")
    text = spell(target)
    return w.value(f"select {spell(target.with_scalar('bool'))} {negative}, {text} {signed}, {text} {unsigned}")


def _saturated(w, sign: str, operand: str, source: Type, target: Type) -> str:
    if source.lanes > 1 and sign == "si":
        return _saturated_lanes(w, operand, source, target)
    function = f"llvm.fpto{sign}.sat.{mangle(target)}.{mangle(source)}"
    w.declared[function] = f"declare {spell(target)} @{function}({spell(source)})"
    return w.value(f"call {spell(target)} @{function}({spell(source)} {operand})")


def _truncates(w, source: Type) -> bool:
    """Whether the processor truncates such vectors in one instruction."""
    return source.scalar == "f32" and source.lanes > 1 and source.lanes in w.table.truncating


def _truncated(w, operand: str, source: Type) -> str:
    """float32 as int32 by that instruction: what does not fit, and NaN, gives the smallest number."""
    text, real, lanes = spell(source.with_scalar("i32")), spell(source), source.lanes
    name = {4: "sse2.cvttps2dq", 8: "avx.cvtt.ps2dq.256", 16: "avx512.mask.cvttps2dq.512"}[lanes]
    more = [text, "i16", "i32"] if lanes == 16 else []
    w.declared[name] = f"declare {text} @llvm.x86.{name}({', '.join([real, *more])})"
    given = f", {text} zeroinitializer, i16 -1, i32 4" if lanes == 16 else ""
    return w.value(f"call {text} @llvm.x86.{name}({real} {operand}{given})")


def _above(w, operand: str, source: Type) -> str:
    """Whether numbers are too large for int32."""
    return w.value(f"fcmp oge {spell(source)} {operand}, splat (float {_LIMITS[32][1]})")


def _narrowed(w, operand: str, source: Type, target: Type) -> str:
    """Narrow integers: the smallest int32 wraps to 0 as NaN has to, and the largest to -1."""
    word = source.with_scalar("i32")
    text, condition = spell(word), spell(source.with_scalar("bool"))
    above, whole = _above(w, operand, source), _truncated(w, operand, source)
    kept = w.value(f"select {condition} {above}, {text} {integer(word, -1)}, {text} {whole}")
    return cast(w, kept, word, target)


def _saturated_lanes(w, operand: str, source: Type, target: Type) -> str:
    """The same by comparisons: LLVM's intrinsic goes through lanes one by one, with a branch for each."""
    real, text, condition = spell(source), spell(target), spell(target.with_scalar("bool"))
    bits = WIDTH[target.scalar]
    if bits == 32 and _truncates(w, source):
        above, whole = _above(w, operand, source), _truncated(w, operand, source)
        kept = w.value(f"select {condition} {above}, {text} {integer(target, (1 << 31) - 1)}, {text} {whole}")
        is_nan = w.value(f"fcmp uno {real} {operand}, zeroinitializer")
        return w.value(f"select {condition} {is_nan}, {text} zeroinitializer, {text} {kept}")
    element = "float" if source.scalar == "f32" else "double"
    low, high = (f"splat ({element} {limit})" for limit in _LIMITS[bits])
    above = w.value(f"fcmp oge {real} {operand}, {low}")
    clamped = w.value(f"select {condition} {above}, {real} {operand}, {real} {low}")
    below = w.value(f"fcmp olt {real} {clamped}, {high}")
    inside = w.value(f"select {condition} {below}, {real} {clamped}, {real} zeroinitializer")
    whole = w.value(f"fptosi {real} {inside} to {text}")
    kept = w.value(f"select {condition} {below}, {text} {whole}, {text} {integer(target, (1 << (bits - 1)) - 1)}")
    is_nan = w.value(f"fcmp uno {real} {operand}, zeroinitializer")
    return w.value(f"select {condition} {is_nan}, {text} zeroinitializer, {text} {kept}")


def from_brain(w, operand: str, source: Type) -> str:
    """bfloat16 bits as float32: the upper half of it."""
    word, single = source.with_scalar("i32"), source.with_scalar("f32")
    wide = w.value(f"zext {spell(source)} {operand} to {spell(word)}")
    wide = w.value(f"shl {spell(word)} {wide}, {integer(word, 16)}")
    return w.value(f"bitcast {spell(word)} {wide} to {spell(single)}")


def to_brain(w, operand: str, source: Type) -> str:
    """float32 as bfloat16 bits: half an ulp and the last kept bit are added, then the lower half is dropped."""
    word = source.with_scalar("i32")
    text, half = spell(word), spell(source.with_scalar("bf16"))
    bits = w.value(f"bitcast {spell(source)} {operand} to {text}")
    upper = w.value(f"lshr {text} {bits}, {integer(word, 16)}")
    odd = w.value(f"and {text} {upper}, {integer(word, 1)}")
    rounding = w.value(f"add {text} {odd}, {integer(word, 0x7FFF)}")
    rounded = w.value(f"add {text} {bits}, {rounding}")
    rounded = w.value(f"lshr {text} {rounded}, {integer(word, 16)}")
    quiet = w.value(f"or {text} {upper}, {integer(word, 0x40)}")
    is_nan = w.value(f"fcmp uno {spell(source)} {operand}, {operand}")
    kept = w.value(f"select {spell(source.with_scalar('bool'))} {is_nan}, {text} {quiet}, {text} {rounded}")
    return w.value(f"trunc {text} {kept} to {half}")


def _half_type(type: Type) -> str:
    return "half" if type.lanes == 1 else f"<{type.lanes} x half>"


def from_half(w, operand: str, source: Type) -> str:
    """float16 bits as float32, exactly."""
    single, word = source.with_scalar("f32"), source.with_scalar("i32")
    if w.table.half:
        value = w.value(f"bitcast {spell(source)} {operand} to {_half_type(source)}")
        return w.value(f"fpext {_half_type(source)} {value} to {spell(single)}")
    # The exponent and mantissa moved into place are the value times 2**-112, denormals included.
    text, real = spell(word), spell(single)
    wide = w.value(f"zext {spell(source)} {operand} to {text}")
    size = w.value(f"and {text} {wide}, {integer(word, 0x7FFF)}")
    moved = w.value(f"shl {text} {size}, {integer(word, 13)}")
    small = w.value(f"bitcast {text} {moved} to {real}")
    scale = "0x46F0000000000000"
    scaled = w.value(f"fmul {real} {small}, {scale if source.lanes == 1 else f'splat (float {scale})'}")
    finite = w.value(f"bitcast {real} {scaled} to {text}")
    special = w.value(f"or {text} {moved}, {integer(word, 0x7F800000)}")
    is_special = w.value(f"icmp ugt {text} {size}, {integer(word, 0x7BFF)}")
    kept = w.value(f"select {spell(source.with_scalar('bool'))} {is_special}, {text} {special}, {text} {finite}")
    sign = w.value(f"and {text} {wide}, {integer(word, 0x8000)}")
    sign = w.value(f"shl {text} {sign}, {integer(word, 16)}")
    return w.value(f"bitcast {text} {w.value(f'or {text} {kept}, {sign}')} to {real}")


def to_half(w, operand: str, source: Type) -> str:
    """float32 as float16 bits, to nearest even."""
    target, word = source.with_scalar("f16"), source.with_scalar("i32")
    text, real, condition = spell(word), spell(source), spell(source.with_scalar("bool"))
    if w.table.half:
        value = w.value(f"fptrunc {real} {operand} to {_half_type(target)}")
        return w.value(f"bitcast {_half_type(target)} {value} to {spell(target)}")
    bits = w.value(f"bitcast {real} {operand} to {text}")
    size = w.value(f"and {text} {bits}, {integer(word, 0x7FFFFFFF)}")
    # Adding one half leaves a denormal's units in the last bits of the sum, rounded by the addition itself.
    magnitude = w.value(f"bitcast {text} {size} to {real}")
    half = "0x3FE0000000000000"
    aligned = w.value(f"fadd {real} {magnitude}, {half if source.lanes == 1 else f'splat (float {half})'}")
    denormal = w.value(f"sub {text} {w.value(f'bitcast {real} {aligned} to {text}')}, {integer(word, 0x3F000000)}")
    odd = w.value(f"lshr {text} {size}, {integer(word, 13)}")
    odd = w.value(f"and {text} {odd}, {integer(word, 1)}")
    normal = w.value(f"add {text} {size}, {integer(word, 0xFFF - (112 << 23))}")
    normal = w.value(f"lshr {text} {w.value(f'add {text} {normal}, {odd}')}, {integer(word, 13)}")
    is_small = w.value(f"icmp ult {text} {size}, {integer(word, 0x38800000)}")
    finite = w.value(f"select {condition} {is_small}, {text} {denormal}, {text} {normal}")
    is_large = w.value(f"icmp ugt {text} {size}, {integer(word, 0x477FEFFF)}")
    finite = w.value(f"select {condition} {is_large}, {text} {integer(word, 0x7C00)}, {text} {finite}")
    is_nan = w.value(f"icmp ugt {text} {size}, {integer(word, 0x7F800000)}")
    finite = w.value(f"select {condition} {is_nan}, {text} {integer(word, 0x7E00)}, {text} {finite}")
    sign = w.value(f"lshr {text} {bits}, {integer(word, 16)}")
    sign = w.value(f"and {text} {sign}, {integer(word, 0x8000)}")
    return w.value(f"trunc {text} {w.value(f'or {text} {finite}, {sign}')} to {spell(target)}")
