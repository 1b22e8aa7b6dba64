"""Memory of the linear IR as LLVM text: loads and stores under masks, gather and scatter, the status word.

bool is a byte in memory and `i1` in registers. One lane under a mask becomes a branch.
"""

from __future__ import annotations

from squall.backends.ssa_arithmetic import NAMES, integer, mangle, spell
from squall.backends.ssa_casts import cast
from squall.backends.ssa_shape import literal
from squall.ir.linear import BYTES, Instr, Type


def _memory_type(type: Type) -> Type:
    return type.with_scalar("u8") if type.scalar == "bool" else type


def _from_memory(w, operand: str, type: Type) -> str:
    if type.scalar != "bool":
        return operand
    byte = type.with_scalar("u8")
    return w.value(f"icmp ne {spell(byte)} {operand}, {integer(byte, 0)}")


def _to_memory(w, operand: str, type: Type) -> str:
    if type.scalar != "bool":
        return operand
    return w.value(f"zext {spell(type)} {operand} to {spell(type.with_scalar('u8'))}")


def _skip_unless(w, mask: str) -> int:
    number = w.structure()
    w.lines.append(f"br i1 {mask}, label %m{number}, label %n{number}")
    return number


def _load(w, i: Instr) -> str:
    type = i.result.type  # type: ignore[union-attr]
    held = _memory_type(type)
    align = i.attr or BYTES[held.scalar]
    text, pointer = spell(held), w.operands[i.operands[0].number]
    if len(i.operands) == 1:
        return _from_memory(w, w.value(f"load {text}, ptr {pointer}, align {align}"), type)
    mask = w.operands[i.operands[1].number]
    if type.lanes == 1:
        before, number = w.block, _skip_unless(w, mask)
        w.label(f"m{number}")
        loaded = w.value(f"load {text}, ptr {pointer}, align {align}")
        w.lines.append(f"br label %n{number}")
        w.label(f"n{number}")
        zero = literal(0, held)
        return _from_memory(w, w.value(f"phi {text} [ {loaded}, %m{number} ], [ {zero}, %{before} ]"), type)
    name = f"llvm.masked.load.{mangle(held)}.p0"
    lanes = f"<{type.lanes} x i1>"
    w.declared[name] = f"declare {text} @{name}(ptr, i32, {lanes}, {text})"
    loaded = w.value(f"call {text} @{name}(ptr {pointer}, i32 {align}, {lanes} {mask}, {text} zeroinitializer)")
    return _from_memory(w, loaded, type)


def _store(w, i: Instr) -> None:
    value, pointer = i.operands[0], w.operands[i.operands[1].number]
    held = _memory_type(value.type)
    align, nontemporal = i.attr or (0, False)  # type: ignore[misc]
    align = align or BYTES[held.scalar]
    text, operand = spell(held), _to_memory(w, w.operands[value.number], value.type)
    plain = f"store {text} {operand}, ptr {pointer}, align {align}"
    if nontemporal:
        w.nontemporal = True
        plain += ", !nontemporal !0"
    if len(i.operands) == 2:
        w.lines.append(plain)
        return
    mask = w.operands[i.operands[2].number]
    if held.lanes == 1:
        number = _skip_unless(w, mask)
        w.label(f"m{number}")
        w.lines.append(plain)
        w.lines.append(f"br label %n{number}")
        w.label(f"n{number}")
        return
    name = f"llvm.masked.store.{mangle(held)}.p0"
    lanes = f"<{held.lanes} x i1>"
    w.declared[name] = f"declare void @{name}({text}, ptr, i32, {lanes})"
    w.lines.append(f"call void @{name}({text} {operand}, ptr {pointer}, i32 {align}, {lanes} {mask})")


def _lane_pointers(w, held: Type, pointer, indices) -> str:
    operand, index = w.operands[indices.number], indices.type
    if index.scalar not in ("i64", "u64") and not index.is_signed:  # an address is formed from the signed value
        operand = cast(w, operand, index, index.with_scalar("i64"))
        index = index.with_scalar("i64")
    return w.value(
        f"getelementptr {NAMES[held.scalar]}, ptr {w.operands[pointer.number]}, {spell(index)} {operand}"
    )


def _gather(w, i: Instr) -> str:
    type = i.result.type  # type: ignore[union-attr]
    held = _memory_type(type)
    pointer, indices, mask = i.operands
    text, addresses = spell(held), _lane_pointers(w, held, pointer, indices)
    if type.lanes == 1:
        w.operands[-1] = addresses
        return _load(w, Instr("load", i.result, (pointer._replace(number=-1), mask), 0))
    name = f"llvm.masked.gather.{mangle(held)}.v{held.lanes}p0"
    pointers, lanes = f"<{held.lanes} x ptr>", f"<{held.lanes} x i1>"
    w.declared[name] = f"declare {text} @{name}({pointers}, i32, {lanes}, {text})"
    loaded = w.value(
        f"call {text} @{name}({pointers} {addresses}, i32 {BYTES[held.scalar]}, "
        f"{lanes} {w.operands[mask.number]}, {text} zeroinitializer)"
    )
    return _from_memory(w, loaded, type)


def _scatter(w, i: Instr) -> None:
    value, pointer, indices, mask = i.operands
    held = _memory_type(value.type)
    addresses = _lane_pointers(w, held, pointer, indices)
    if held.lanes == 1:
        w.operands[-1] = addresses
        return _store(w, Instr("store", None, (value, pointer._replace(number=-1), mask), None))
    text, operand = spell(held), _to_memory(w, w.operands[value.number], value.type)
    name = f"llvm.masked.scatter.{mangle(held)}.v{held.lanes}p0"
    pointers, lanes = f"<{held.lanes} x ptr>", f"<{held.lanes} x i1>"
    w.declared[name] = f"declare void @{name}({text}, {pointers}, i32, {lanes})"
    w.lines.append(
        f"call void @{name}({text} {operand}, {pointers} {addresses}, i32 {BYTES[held.scalar]}, "
        f"{lanes} {w.operands[mask.number]})"
    )
    return None


def _gep(w, i: Instr) -> str:
    pointer, index = (w.operands[r.number] for r in i.operands)
    unit = "i8" if i.attr == "bool" else NAMES[str(i.attr)]
    return w.value(f"getelementptr {unit}, ptr {pointer}, i64 {index}")


def _alloca(w, i: Instr) -> str:
    type, count = i.attr  # type: ignore[misc]
    held = _memory_type(type)
    size = BYTES[held.scalar] * held.lanes * count
    return w.slot(f"[{count} x {spell(held)}], align {64 if size >= 64 else 16}")


def _prefetch(w, i: Instr) -> None:
    write, locality = i.attr or (False, 3)  # type: ignore[misc]
    w.declared["llvm.prefetch.p0"] = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
    pointer = w.operands[i.operands[0].number]
    w.lines.append(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(write)}, i32 {locality}, i32 1)")


def _fence(w, i: Instr) -> None:
    w.lines.append("fence seq_cst")


def _status(w, i: Instr) -> None:
    pointer, code, detail = (w.operands[r.number] for r in i.operands)
    pair = w.value(f"cmpxchg ptr {pointer}, i64 0, i64 {code} monotonic monotonic, align 8")
    number = _skip_unless(w, w.value(f"extractvalue {{ i64, i1 }} {pair}, 1"))
    w.label(f"m{number}")
    place = w.value(f"getelementptr i64, ptr {pointer}, i64 1")
    w.lines.append(f"store i64 {detail}, ptr {place}, align 8")
    w.lines.append(f"br label %n{number}")
    w.label(f"n{number}")


def _dot(w, i: Instr) -> str:
    total, *parts = (w.operands[r.number] for r in i.operands)
    if i.result.type.scalar == "f32":  # type: ignore[union-attr]
        w.needed = BRAIN_FEATURES
        pairs = [w.value(f"bitcast <32 x i16> {p} to <32 x bfloat>") for p in parts]
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        w.declared[name] = f"declare <16 x float> @{name}(<16 x float>, <32 x bfloat>, <32 x bfloat>)"
        return w.value(f"call <16 x float> @{name}(<16 x float> {total}, "
                       f"<32 x bfloat> {pairs[0]}, <32 x bfloat> {pairs[1]})")
    w.needed = DOT_FEATURES
    name = "llvm.x86.avx512.vpdpbusd.512"
    w.declared[name] = f"declare <16 x i32> @{name}(<16 x i32>, <64 x i8>, <64 x i8>)"
    return w.value(f"call <16 x i32> @{name}(<16 x i32> {total}, <64 x i8> {parts[0]}, <64 x i8> {parts[1]})")


# Matrix tiles of x86: eight of 16 rows of 64 bytes, told to the processor as a block of 64 bytes.
_TILE_CONFIGURATION = (1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8)
# What a function that uses tiles, or sums of products of bytes or of bfloat16, says it needs.
TILE_FEATURES = "+amx-tile,+amx-bf16,+amx-int8,+avx512f,+avx512bw,+avx512dq,+avx512vl,+fma"
DOT_FEATURES = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512vnni,+fma"
BRAIN_FEATURES = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512bf16,+fma"
_TILE_MOVES = {"load": "tileloadd64", "stream": "tileloaddt164", "store": "tilestored64"}
_TILE_DOTS = {"bf16": "tdpbf16ps", "i8": "tdpbssd", "u8": "tdpbuud"}


def _tile(w, i: Instr) -> None:
    action, *tiles = i.attr  # type: ignore[misc]
    w.needed = TILE_FEATURES
    operands = [w.operands[r.number] for r in i.operands]
    numbers = [f"i8 {n}" for n in tiles]
    if action == "begin":
        slot = w.slot("[64 x i8], align 64")
        w.lines.append(f"store <64 x i8> <{', '.join(f'i8 {n}' for n in _TILE_CONFIGURATION)}>, ptr {slot}, align 64")
        name, arguments = "ldtilecfg", [f"ptr {slot}"]
    elif action == "dot":
        name, arguments = _TILE_DOTS[tiles[3]], numbers[:3]
    elif action in _TILE_MOVES:
        name = _TILE_MOVES[action]
        arguments = [*numbers, f"ptr {operands[0]}", f"i64 {operands[1]}"]
    else:
        name, arguments = {"zero": "tilezero", "end": "tilerelease"}[action], numbers
    kinds = ", ".join(a.split()[0] + (" immarg" if a.startswith("i8") else "") for a in arguments)
    w.declared[name] = f"declare void @llvm.x86.{name}({kinds})"
    w.lines.append(f"call void @llvm.x86.{name}({', '.join(arguments)})")


HANDLERS = {
    "load": _load, "store": _store, "gather": _gather, "scatter": _scatter, "gep": _gep, "alloca": _alloca,
    "prefetch": _prefetch, "fence": _fence, "status": _status, "tile": _tile, "dot": _dot,
}  # fmt: skip
