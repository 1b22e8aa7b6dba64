"""Constants, casts by bits, selection and lane shaping of the linear IR as LLVM text; see `ssa_text`."""

from __future__ import annotations

from squall.backends.ssa_arithmetic import NAMES, arithmetic, compare, integer, intrinsic, scaling, spell
from squall.backends.ssa_casts import cast
from squall.ir.bits import encode, round_single
from squall.ir.linear import ARITHMETIC, BYTES, COMPARE, Instr, Type


def literal(value, type: Type) -> str:
    """A constant of a type as LLVM spells it: floats by the bits of the double of equal value."""
    scalar = type.scalar
    if scalar == "f32" or scalar == "f64":
        value = decode_safe(value)
        text = f"0x{encode(round_single(value) if scalar == 'f32' else value, 'f64'):016X}"
        if type.lanes > 1:
            return "zeroinitializer" if text == "0x0000000000000000" else f"splat ({NAMES[scalar]} {text})"
        return text
    if scalar == "ptr":
        bits = encode(value, scalar)
        return f"inttoptr (i64 {bits} to ptr)" if bits else "null"
    if scalar == "bool":
        text = "true" if value else "false"
        return text if type.lanes == 1 else f"splat (i1 {text})"
    bits = encode(value, scalar)
    if scalar[0] == "i" and bits >> (8 * BYTES[scalar] - 1):
        bits -= 1 << (8 * BYTES[scalar])
    return integer(type, bits)


def decode_safe(value) -> float:
    """A Python number as a double; integers beyond its range become infinities."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _arithmetic(w, i: Instr) -> str:
    at = w.operands
    return arithmetic(w, i.name, i.result.type, *[at[r.number] for r in i.operands])  # type: ignore[union-attr]


def _compare(w, i: Instr) -> str:
    a, b = i.operands
    left, right = w.operands[a.number], w.operands[b.number]
    if i.name == "lt" and right in w.spread and left in w.counting and a.type.lanes < 64:
        return _lanes_below(w, a.type.lanes, w.spread[right])
    return compare(w, i.name, a.type, left, right)


def _lanes_below(w, lanes: int, count: str) -> str:
    """The mask of the first `count` lanes: `iota < splat count` in i64, without comparing in 64 bits."""
    one, word, bits = Type("i64"), Type("i32", lanes), spell(Type("bool", lanes))
    count = intrinsic(w, "smax", one, intrinsic(w, "smin", one, count, str(lanes)), "0")
    if w.table.mask_registers:
        low = w.value(f"xor i64 {w.value(f'shl nsw i64 -1, {count}')}, -1")
        return w.value(f"bitcast i{lanes} {w.value(f'trunc i64 {low} to i{lanes}')} to {bits}")
    every = _spread(w, w.value(f"trunc i64 {count} to i32"), word)
    return w.value(f"icmp ult {spell(word)} {_counts(word)}, {every}")


def _const(w, i: Instr) -> str:
    return literal(i.attr, i.result.type)  # type: ignore[union-attr]


def _cast(w, i: Instr) -> str:
    (a,) = i.operands
    return cast(w, w.operands[a.number], a.type, i.result.type)  # type: ignore[union-attr]


def _bitcast(w, i: Instr) -> str:
    (a,) = i.operands
    source, target, operand = spell(a.type), spell(i.result.type), w.operands[a.number]  # type: ignore[union-attr]
    if source == target:
        return operand
    change = "ptrtoint" if source == "ptr" else "inttoptr" if target == "ptr" else "bitcast"
    return w.value(f"{change} {source} {operand} to {target}")


def _select(w, i: Instr) -> str:
    condition, a, b = i.operands
    at, text = w.operands, spell(a.type)
    return w.value(
        f"select {spell(condition.type)} {at[condition.number]}, {text} {at[a.number]}, {text} {at[b.number]}"
    )


def _splat(w, i: Instr) -> str:
    (a,) = i.operands
    type, operand = i.result.type, w.operands[a.number]  # type: ignore[union-attr]
    if type.lanes == 1:
        return operand
    if operand[0] != "%":
        return f"splat ({spell(a.type)} {operand})"
    spread = _spread(w, operand, type)
    if type.scalar == "i64":
        w.spread[spread] = operand
    return spread


def _spread(w, operand: str, type: Type) -> str:
    text = spell(type)
    first = w.value(f"insertelement {text} poison, {NAMES[type.scalar]} {operand}, i64 0")
    return w.value(f"shufflevector {text} {first}, {text} poison, <{type.lanes} x i32> zeroinitializer")


def _iota(w, i: Instr) -> str:
    type = i.result.type  # type: ignore[union-attr]
    if type.lanes == 1:
        return literal(0, type)
    counts = _counts(type)
    if type.scalar == "i64":
        w.counting.add(counts)
    return counts


def _counts(type: Type) -> str:
    name, one = NAMES[type.scalar], Type(type.scalar)
    return "<" + ", ".join([f"{name} {literal(lane, one)}" for lane in range(type.lanes)]) + ">"


def _extract(w, i: Instr) -> str:
    (a,) = i.operands
    return w.value(f"extractelement {spell(a.type)} {w.operands[a.number]}, i64 {i.attr}")


def _insert(w, i: Instr) -> str:
    a, b = i.operands
    at = w.operands
    return w.value(
        f"insertelement {spell(a.type)} {at[a.number]}, {spell(b.type)} {at[b.number]}, i64 {i.attr}"
    )


def _pick(w, a: str, b: str, type: Type, index) -> str:
    text = spell(type)
    lanes = ", ".join([f"i32 {lane}" for lane in index])
    return w.value(f"shufflevector {text} {a}, {text} {b}, <{len(index)} x i32> <{lanes}>")


def _shuffle(w, i: Instr) -> str:
    a, b = i.operands
    if i.result.type.lanes == 1:  # type: ignore[union-attr]
        lane, lanes = i.attr[0], a.type.lanes  # type: ignore[index]
        source = a if lane < lanes else b
        return w.value(f"extractelement {spell(source.type)} {w.operands[source.number]}, i64 {lane % lanes}")
    return _pick(w, w.operands[a.number], w.operands[b.number], a.type, i.attr)


def _reduce(w, i: Instr) -> str:
    (a,) = i.operands
    type, operand, kind = a.type, w.operands[a.number], str(i.attr)
    if type.scalar == "bool" and kind in ("and", "or", "min", "max") and type.lanes > 1:
        word = f"i{type.lanes}"
        bits = w.value(f"bitcast {spell(type)} {operand} to {word}")
        return w.value(f"icmp {'eq' if kind in ('and', 'min') else 'ne'} {word} {bits}, "
                       f"{-1 if kind in ('and', 'min') else 0}")  # fmt: skip
    while type.lanes > 1:
        half, one = Type(type.scalar, type.lanes // 2), Type(type.scalar)
        if half.lanes == 1:
            low = w.value(f"extractelement {spell(type)} {operand}, i64 0")
            return arithmetic(w, kind, one, low, w.value(f"extractelement {spell(type)} {operand}, i64 1"))
        low = _pick(w, operand, "poison", type, range(half.lanes))
        high = _pick(w, operand, "poison", type, range(half.lanes, type.lanes))
        operand, type = arithmetic(w, kind, half, low, high), half
    return operand


def _function(w, i: Instr) -> str:
    return f"@{i.attr}"


def _scaling(w, i: Instr) -> str:
    return scaling(w, i.name, i.result.type, *[w.operands[r.number] for r in i.operands])  # type: ignore[union-attr]


HANDLERS = {
    **dict.fromkeys(ARITHMETIC, _arithmetic), **dict.fromkeys(COMPARE, _compare),
    "const": _const, "cast": _cast, "bitcast": _bitcast, "select": _select, "splat": _splat, "iota": _iota,
    "extract": _extract, "insert": _insert, "shuffle": _shuffle, "reduce": _reduce, "function": _function,
    "scale": _scaling, "fraction": _scaling,
}  # fmt: skip
