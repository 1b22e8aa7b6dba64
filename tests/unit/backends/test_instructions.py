"""Every instruction of the linear IR: compiled code and the python backend give the same bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from squall.ir.linear import ARITHMETIC, COMPARE, I64, PTR, Builder, Program, Type
from squall.ir.linear_verify import INTEGERS, REAL, REDUCTIONS, TAKES, verify
from tests.unit.backends.linear_support import (
    apply,
    host_sets,
    lanewise,
    pairs,
    run,
    same_bits,
    samples,
    storage,
)

SCALARS = ("bool", *INTEGERS, "f16", "bf16", *REAL)
COUNT = 203


def agree(program: Program, arrays: list, result: Type, isa: str = "") -> None:
    """Compare both ways of running a lanewise program."""
    got, want = apply(program, arrays, result, isa), apply(program, arrays, result, None)
    same = same_bits(got, want, result.scalar)
    worst = np.flatnonzero(~same)[:3]
    inputs = [[a[i] for a in arrays] for i in worst]
    assert same.all(), f"{program.entry} on {isa or 'host'}: {inputs} -> {got[worst]}, expected {want[worst]}"


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name):
    count = ARITHMETIC[name]
    for scalar, lanes in itertools.product(TAKES.get(name, (*INTEGERS, *REAL)), (1, 8)):
        if lanes == 1 and scalar not in ("f32", "f64", "i32", "i64", "u8"):
            continue
        kind = Type(scalar, lanes)
        program = lanewise(f"{name}_{kind}", [kind] * count, kind, lambda b, *x: b.op(name, *x))
        first, second = pairs(scalar, COUNT, 11)
        arrays = [first, second, samples(scalar, COUNT, 5)][:count]
        if name == "rem" and scalar in REAL:
            # The executor's own fmod is the reference for the expansion.
            with np.errstate(invalid="ignore"):
                want = np.fmod(*arrays)
            assert same_bits(apply(program, arrays, kind), want, scalar).all()
        if lanes == 1 and name == "rem" and scalar in REAL:
            continue  # a loop for each element: the vector of it shows the same
        agree(program, arrays, kind)


@pytest.mark.skipif("avx512" not in host_sets(), reason="this processor has no instructions that scale")
@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
def test_scaling(lanes):
    kind = Type("f32", lanes)
    x = np.concatenate([samples("f32", COUNT, 11), [3.5, -2.75, 1.1754945e-38, 1.0000001]]).astype("f4")
    n = np.concatenate([samples("f32", COUNT, 12), [-149.5, 2.0, -3.0, -126.9]]).astype("f4")
    n = np.where(np.isinf(n) & ((x == 0) | np.isinf(x)), np.float32(0), n)
    agree(lanewise("scale", [kind] * 2, kind, lambda b, *v: b.emit("scale", kind, v)), [x, n], kind)
    parts = lanewise("fraction", [kind], kind, lambda b, v: b.emit("fraction", kind, (v,)))
    found = apply(parts, [x], kind)
    assert np.array_equal(found, apply(parts, [x], kind, None), equal_nan=True)  # zeros of either sign
    assert found[-4:-2].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("isa", host_sets())
@pytest.mark.parametrize("name", ["fma", "mulhi", "div", "min", "shr", "rint"])
def test_arithmetic_on_each_instruction_set(name, isa):
    for scalar in TAKES.get(name, ("i64", "u8", "i16", *REAL)):
        kind = Type(scalar, 16)
        program = lanewise(f"{name}_{kind}", [kind] * ARITHMETIC[name], kind, lambda b, *x: b.op(name, *x))
        arrays = [*pairs(scalar, COUNT, 3), samples(scalar, COUNT, 4)][: ARITHMETIC[name]]
        agree(program, arrays, kind, isa)


@pytest.mark.parametrize("name", ["max", "min", "div", "rem", "shl", "shr"])
@pytest.mark.parametrize("value", [0, 1, -1, 3, 200])
def test_constants_as_operands(name, value):
    scalars = REAL if name in ("max", "min") else ("i32", "u8", "i64")
    for scalar, first in itertools.product(scalars, (False, True)):
        if (scalar[0] == "u" and value < 0) or (name == "rem" and scalar in REAL):
            continue
        kind = Type(scalar, 8)

        def build(b, x, first=first):
            c = b.const(value, x.type)
            return b.op(name, c, x) if first else b.op(name, x, c)

        agree(lanewise(f"{name}_{scalar}", [kind], kind, build), [samples(scalar, COUNT, 2)], kind)


def test_extremes_of_constants_pass_nan_and_keep_the_order_of_zeros():
    kind = Type("f32", 4)
    x = np.array([np.nan, -0.0, 0.0, -1, 1], np.float32)
    first = apply(lanewise("first", [kind], kind, lambda b, v: b.op("max", b.const(0.0, kind), v)), [x], kind)
    second = apply(lanewise("second", [kind], kind, lambda b, v: b.op("max", v, b.const(0.0, kind))), [x], kind)
    assert np.isnan(first[0]) and np.isnan(second[0])
    assert np.signbit(first).tolist() == [np.signbit(first[0]), True, False, False, False]
    assert np.signbit(second[1:]).tolist() == [False] * 4
    assert first[3:].tolist() == second[3:].tolist() == [0, 1]


@pytest.mark.parametrize("name", COMPARE)
def test_comparisons(name):
    for scalar in ("bool", *INTEGERS, *REAL):
        kind, result = Type(scalar, 8), Type("bool", 8)
        program = lanewise(f"{name}_{scalar}", [kind, kind], result, lambda b, x, y: b.compare(name, x, y))
        agree(program, pairs(scalar, COUNT, 7), result)


@pytest.mark.parametrize("source", SCALARS)
def test_casts(source):
    for target, lanes in itertools.product(SCALARS, (1, 4, 8, 16) if source == "f32" else (1, 8)):
        a, b = Type(source, lanes), Type(target, lanes)
        program = lanewise(f"{source}_{target}", [a], b, lambda w, x, to=b: w.cast(x, to))
        for isa in host_sets() if lanes == 8 and ("f16" in (source, target) or source == "f32") else ("",):
            agree(program, [samples(source, 400 if source in REAL else COUNT, 9)], b, isa)


@pytest.mark.parametrize("isa", host_sets())
def test_all_of_float16_and_its_neighbours(isa):
    """Each float16 as float32, and float32 around each and each midpoint back."""
    half, single = Type("f16", 16), Type("f32", 16)
    every = np.arange(65536, dtype=np.uint16)
    wide = apply(lanewise("widen", [half], single, lambda b, x: b.cast(x, single)), [every], single, isa)
    want = every.view(np.float16).astype(np.float32)
    assert same_bits(wide, want, "f32").all()
    bits = want[np.isfinite(want)].view(np.uint32).astype(np.int64)
    near = np.concatenate([bits + d for d in (-1, 0, 1, 4095, 4096, 4097)]).astype(np.uint32).view(np.float32)
    back = apply(lanewise("narrow", [single], half, lambda b, x: b.cast(x, half)), [near], half, isa)
    with np.errstate(over="ignore"):
        assert same_bits(back, near.astype(np.float16).view(np.uint16), "f16").all()


def test_bfloat16_rounds_to_nearest_even_and_keeps_denormals_and_nan():
    import ml_dtypes

    brain, single = Type("bf16", 16), Type("f32", 16)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 40000, dtype=np.uint32)
    x[:4] = [0x7F80_0001, 0xFFFF_FFFF, 0x0000_8001, 0x7F7F_FFFF]
    x[4:2000] = (x[4:2000] & 0xFFFF_0000) | 0x8000
    x = x.view(np.float32)
    got = apply(lanewise("narrow", [single], brain, lambda b, v: b.cast(v, brain)), [x], brain)
    with np.errstate(over="ignore", invalid="ignore"):
        want = x.astype(ml_dtypes.bfloat16).view(np.uint16)
    assert same_bits(got, want, "bf16").all()


def test_bitcasts():
    for source, target in (("f32", "i32"), ("f64", "u64"), ("f16", "u16"), ("i8", "u8"), ("u64", "f64")):
        a, b = Type(source, 8), Type(target, 8)
        agree(lanewise("bits", [a], b, lambda w, x, to=b: w.bitcast(x, to)), [samples(source, COUNT, 1)], b)
    wide, narrow = Type("i32", 8), Type("i64", 4)

    def through(w, x):
        return w.bitcast(w.add(w.bitcast(x, narrow), w.const(1 << 31, narrow)), wide)

    program = lanewise("halves", [wide], wide, through)
    agree(program, [samples("i32", COUNT, 1)], wide)
    mask, byte = Type("bool", 8), Type("u8")

    def packed(w, x):
        return w.splat(w.bitcast(x, byte), 8)

    agree(lanewise("mask", [mask], Type("u8", 8), packed), [samples("bool", COUNT, 1)], Type("u8", 8))


def test_select_splat_iota_extract_insert_shuffle():
    for scalar in SCALARS:
        kind, mask = Type(scalar, 8), Type("bool", 8)
        arrays = [samples("bool", COUNT, 1), *pairs(scalar, COUNT, 2)]
        agree(lanewise("select", [mask, kind, kind], kind, lambda b, c, x, y: b.select(c, x, y)), arrays, kind)

        def by_one(b, c, x, y):
            return b.select(b.extract(c, 5), x, y)

        agree(lanewise("by_one", [mask, kind, kind], kind, by_one), arrays, kind)

        def mixed(b, x, y):
            both = b.shuffle(x, y, (15, 0, 3, 3, 8, 7, 9, 1))
            return b.insert(both, b.extract(y, 2), 6)

        agree(lanewise("mixed", [kind, kind], kind, mixed), arrays[1:], kind)

        def halves(b, x):
            low, high = b.shuffle(x, x, (0, 1, 2, 3)), b.shuffle(x, x, (4, 5, 6, 7))
            return b.shuffle(high, low, (7, 6, 5, 4, 3, 2, 1, 0))

        agree(lanewise("halves", [kind], kind, halves), arrays[1:2], kind)
        agree(lanewise("spread", [kind], kind, lambda b, x: b.splat(b.extract(x, 7), 8)), arrays[1:2], kind)
        agree(lanewise("one", [kind], kind, lambda b, x: b.splat(b.shuffle(x, x, (12,)), 8)), arrays[1:2], kind)
    for scalar in (*INTEGERS, *REAL):
        kind = Type(scalar, 8)
        agree(lanewise("count", [kind], kind, lambda b, x: b.add(x, b.iota(x.type))), [samples(scalar, 50, 1)], kind)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions_are_a_fixed_tree(reduction):
    for scalar, lanes in itertools.product(REDUCTIONS[reduction], (2, 8, 16)):
        kind = Type(scalar, lanes)
        program = lanewise("reduce", [kind], kind, lambda b, x: b.splat(b.reduce(x, reduction), x.type.lanes))
        agree(program, [samples(scalar, 160, 3)], kind)


def memory_program() -> Program:
    """Gathers, scatters, masks, alignment, loops with steps, both branches, functions and the status word."""
    helper = Builder("twice_plus", (Type("f32", 4), Type("f32")), Type("f32", 4))
    x, y = helper.parameters
    with helper.when(helper.compare("lt", y, helper.const(0.0, y.type))):
        helper.emit("return", None, (x,))
    helper.emit("return", None, (helper.fma(x, helper.const(2.0, x.type), helper.splat(y, 4)),))
    b = Builder.kernel("memory")
    values, places, out, status = (b.argument(i, PTR) for i in range(4))
    lanes = Type("f32", 4)
    inside = b.alloca(lanes, 2)
    address = b.function("twice_plus")
    total = b.var(b.const(0.0, lanes))
    with b.loop(b.begin, b.end, b.int(4)) as i:
        index = b.load(Type("i64", 4), b.gep(places, i, "i64"))
        mask = b.compare("lt", index, b.const(40, index.type))
        got = b.gather(lanes, values, index, mask)
        b.store(got, inside, align=16)
        b.emit("prefetch", None, (values,), (False, 2))
        again = b.load(lanes, inside, align=16)
        by_name = b.call("twice_plus", (again, b.extract(again, 0)), lanes)
        by_pointer = b.call(address, (by_name, b.const(1.0, Type("f32"))), lanes)
        b.set(total, b.add(b.get(total), by_pointer))
        with b.when_else(b.compare("eq", b.op("rem", i, b.int(8)), b.int(0))) as otherwise:
            b.scatter(by_pointer, out, index, mask)
            otherwise()
            b.store(by_pointer, b.gep(out, b.add(i, b.int(40)), "f32"), mask, nontemporal=False)
        with b.when(b.compare("gt", i, b.int(4))):
            b.status(status, b.int(7), i)
    b.emit("fence", None)
    b.store(b.get(total), b.gep(out, b.int(80), "f32"))
    b.store(b.reduce(b.get(total), "max"), b.gep(out, b.int(84), "f32"))
    with b.when(b.compare("lt", b.begin, b.end)):
        b.emit("return", None)
    b.store(b.const(99.0, Type("f32")), out)
    return verify(Program((helper.finish(), b.finish()), "memory"))


@pytest.mark.parametrize("isa", host_sets())
def test_memory_functions_and_structure(isa):
    program = memory_program()
    rng = np.random.default_rng(1)
    values = rng.standard_normal(40).astype(np.float32)
    places = rng.integers(0, 48, 24)
    places[3] = places[2] = 5
    results = []
    for way in (isa, None):
        out, status = np.zeros(96, np.float32), np.zeros(2, np.int64)
        run(program, [values, places, out, status], units=(0, 24), isa=way)
        results.append((out.tobytes(), status.tolist()))
    assert results[0] == results[1]
    assert results[0][1] == [7, 8]


def test_memory_of_every_scalar_under_masks():
    for scalar in SCALARS:
        kind = Type(scalar, 8)
        data = samples(scalar, 61, 2)
        for lanes in (1, 8):
            kind = Type(scalar, lanes)
            program = lanewise("copy", [kind], kind, lambda b, x: x)
            assert same_bits(apply(program, [data], kind), data, scalar).all()
        b = Builder.kernel("permute")
        source, places, out = (b.argument(i, PTR) for i in range(3))
        with b.loop(b.begin, b.end, b.int(8)) as i:
            index = b.load(Type("i64", 8), b.gep(places, i, "i64"))
            every = b.const(True, Type("bool", 8))
            got = b.gather(Type(scalar, 8), source, index, every)
            b.scatter(got, out, b.load(index.type, b.gep(places, i, "i64")), every)
        places, out = np.random.default_rng(0).permutation(56), np.zeros(61, storage(scalar))
        run(Program((b.finish(),), "permute"), [data, places, out], units=(0, 56))
        assert (out[:56] == data[:56]).all() or same_bits(out[:56], data[:56], scalar).all()


def test_nontemporal_stores_and_pointers_as_numbers():
    b = Builder.kernel("stream")
    out = b.argument(0, PTR)
    place = b.bitcast(b.add(b.bitcast(out, I64), b.int(64)), PTR)
    b.store(b.iota(Type("i32", 16)), place, align=64, nontemporal=True)
    room = np.zeros(64 + 2 * 64, np.uint8)
    start = -room.ctypes.data % 64
    whole = room[start : start + 128].view(np.int32)
    run(Program((b.finish(),), "stream"), [whole])
    assert whole.tolist() == [0] * 16 + list(range(16))
