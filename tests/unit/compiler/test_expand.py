"""Expansions: accuracy in units in the last place, special values, and bits that depend on nothing but the lane."""

from __future__ import annotations

import math

import numpy as np
import pytest

from squall.base.errors import CompileError
from squall.compiler.expand import EXPANSIONS, expand
from squall.ir.linear import TRANSCENDENTAL, Builder, Program, Type
from squall.ir.linear_verify import INTEGERS
from tests.unit.backends.linear_support import apply, host_sets, lanewise, same_bits

INF, NAN = math.inf, math.nan
KINDS = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}


def kernel(name: str, scalar: str, lanes: int = 0, scales: bool = False) -> tuple[Program, Type]:
    kind = Type(scalar, lanes or (16 if scalar == "f32" else 8))
    count = TRANSCENDENTAL.get(name, 2)
    return lanewise(f"{name}_{kind}", [kind] * count, kind, lambda b, *x: b.op(name, *x), scales), kind


def computed(name: str, scalar: str, *arrays, lanes: int = 0, isa: str | None = "", scales: bool = False) -> np.ndarray:
    program, kind = kernel(name, scalar, lanes, scales)
    return apply(program, [np.ascontiguousarray(a, KINDS[scalar]) for a in arrays], kind, isa)


def vectorized(function):
    return lambda x: np.array([function(v) for v in x.astype(np.float64).tolist()])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


# What a wider type computes: (reference, domain, most ulp in float32, most ulp in float64). Domains are log-uniform
# magnitudes where the pair is of powers of ten, else intervals.
REFERENCES = {
    "exp": (np.exp, (-104, 89), 1.5, 1.3), "exp2": (np.exp2, (-150, 128), 1.0, 1.2),
    "expm1": (np.expm1, (-20, 88), 1.5, 1.6), "log": (np.log, (1e-38, 1e38), 1.0, 1.0),
    "log2": (np.log2, (1e-38, 1e38), 1.2, 1.0), "log10": (np.log10, (1e-38, 1e38), 1.2, 1.0),
    "log1p": (np.log1p, (-0.999, 1000), 1.6, 1.3), "sin": (np.sin, (-1e6, 1e6), 1.6, 1.6),
    "cos": (np.cos, (-1e6, 1e6), 1.6, 1.6), "tan": (np.tan, (-1e6, 1e6), 0.6, 2.6),
    "asin": (np.arcsin, (-1, 1), 0.6, 2.0), "acos": (np.arccos, (-1, 1), 0.6, 1.5),
    "atan": (np.arctan, (-30, 30), 0.6, 1.6), "sinh": (np.sinh, (-80, 80), 0.6, 2.3),
    "cosh": (np.cosh, (-80, 80), 0.6, 2.0), "tanh": (np.tanh, (-12, 12), 1.7, 2.2),
    "asinh": (np.arcsinh, (-1e6, 1e6), 0.6, 2.0), "acosh": (np.arccosh, (1, 1e6), 0.6, 2.0),
    "atanh": (np.arctanh, (-0.9999, 0.9999), 0.6, 2.0), "rsqrt": (lambda x: 1 / np.sqrt(x), (1e-30, 1e30), 1.6, 1.6),
    "reciprocal": (lambda x: 1 / x, (1e-30, 1e30), 0.51, 0.51), "sigmoid": (sigmoid, (-80, 80), 3.0, 3.0),
    "log_sigmoid": (log_sigmoid, (-30, 30), 2.5, 2.5), "erf": (vectorized(math.erf), (-6, 6), 1.5, 3.0),
    "erfc": (vectorized(math.erfc), (-6, 26), 0.6, 4.0),
}  # fmt: skip


def ulps(got: np.ndarray, exact: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Distance in units of the last place of the exact value."""
    info = np.finfo(kind)
    smallest = exact.dtype.type(info.smallest_subnormal)
    with np.errstate(divide="ignore"):
        unit = np.exp2(np.floor(np.log2(np.abs(exact))) - exact.dtype.type(info.nmant))
    return np.abs(got.astype(exact.dtype) - exact) / np.maximum(unit, smallest)


def points(name: str, kind: np.dtype, count: int) -> np.ndarray:
    """Samples of a function's domain: evenly, around zero in all magnitudes, and next to 1."""
    low, high = REFERENCES[name][1]
    rng = np.random.default_rng(7)
    if low > 0:
        spread = 10 ** rng.uniform(math.log10(low), math.log10(high), count)
        parts = [spread, rng.uniform(0.4, 2.5, count)]
    else:
        parts = [rng.uniform(low, high, count), rng.uniform(max(low, -2), min(high, 2), count)]
        parts.append(10 ** rng.uniform(-30, 0, count) * np.sign(rng.standard_normal(count)))
    x = np.concatenate([*parts, 1 + rng.uniform(-1e-3, 1e-3, count)]).astype(kind)
    return x[(x >= low) & (x <= high)]


@pytest.mark.parametrize("name", REFERENCES)
def test_float32_accuracy(name):
    reference, _, most, _ = REFERENCES[name]
    x = points(name, np.dtype(np.float32), 4000 if name in ("erf", "erfc") else 40000)
    exact = reference(x.astype(np.float64))
    keep = np.abs(exact) < np.finfo(np.float32).max
    error = ulps(computed(name, "f32", x), exact, KINDS["f32"])[keep]
    assert error.max() <= most, f"{error.max()} ulp at {x[keep][error.argmax()]!r}"


# What takes `scale` where the processor has it.
_BODIES = {n: kernel(n, "f32", 0, True)[0].functions[0].body for n in TRANSCENDENTAL}
SCALED = sorted(n for n, body in _BODIES.items() if any(i.name == "scale" for i in body))
needs_scale = pytest.mark.skipif("avx512" not in host_sets(), reason="this processor has no instruction that scales")


def test_exponentials_scale():
    assert {"exp", "sigmoid", "tanh", "erf"} <= set(SCALED)
    assert not any(i.name == "scale" for n in SCALED for i in kernel(n, "f64", 0, True)[0].functions[0].body)


@needs_scale
@pytest.mark.parametrize("name", SCALED)
def test_accuracy_by_scaling(name):
    reference, _, most, _ = REFERENCES[name]
    x = points(name, np.dtype(np.float32), 40000 if name == "exp" else 4000)
    error = ulps(computed(name, "f32", x, scales=True), exact := reference(x.astype(np.float64)), KINDS["f32"])
    assert error[np.abs(exact) < np.finfo(np.float32).max].max() <= most


@needs_scale
@pytest.mark.parametrize("name", SCALED)
def test_bits_by_scaling_depend_on_the_lane_alone(name):
    """Lane counts change nothing, nor does the python backend; special values are what they are without."""
    bits = np.random.default_rng(3).integers(0, 256, 4 * 60, dtype=np.uint8).view("f4")
    x = np.concatenate([bits, [*SPECIAL[name], -0.0, NAN], np.linspace(-110, 95, 300)]).astype("f4")
    want = computed(name, "f32", x, scales=True)
    for lanes in (1, 2, 4, 8, 32):
        assert same_bits(computed(name, "f32", x, lanes=lanes, scales=True), want, "f32").all(), lanes
    assert same_bits(computed(name, "f32", x, isa=None, scales=True), want, "f32").all()
    special = slice(len(bits), len(bits) + len(SPECIAL[name]) + 2)
    assert same_bits(want[special], computed(name, "f32", x)[special], "f32").all()


@pytest.mark.parametrize("name", REFERENCES)
def test_float64_accuracy(name):
    reference, _, _, most = REFERENCES[name]
    if np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        pytest.skip("this machine has no wider float to compare with")
    x = points(name, np.dtype(np.float64), 3000)
    if name in ("sin", "cos", "tan"):
        x = np.concatenate([x, x * 1e9])
    with np.errstate(over="ignore"):
        exact = np.asarray(reference(x.astype(np.longdouble)), np.longdouble)
    error = ulps(computed(name, "f64", x), exact, KINDS["f64"])
    assert error.max() <= most, f"{error.max()} ulp at {x[error.argmax()]!r}"


# Exact values rounded to float64, from series in 30 decimal digits.
GOLDEN = {
    "erfinv": {1e-12: 8.86226925452758e-13, 0.1: 0.08885599049425769, 0.5: 0.4769362762044699,
               -0.75: -0.8134198475976185, 0.9: 1.1630871536766743, 0.99: 1.8213863677184494,
               -0.999999: -3.458910737275499, 0.9999999990686774: 4.328028275800946,
               0.9999999999999999: 5.8635847487551676},
    "digamma": {1e-08: -100000000.57721564, 0.25: -4.2274535333762655, 1.0: -0.5772156649015329,
                1.5: 0.03648997397857652, 2.0: 0.42278433509846713, 5.5: 1.6110931485817512,
                9.99: 2.250700372831201, 10.0: 2.251752589066721, 123.0: 4.808113806573255,
                10000000000.0: 23.025850929890456, -0.5: 0.03648997397857652, -1.75: -2.322691628614361,
                -20.25: 6.174235633614484},
    "lgamma": {1e-12: 27.63102111592797, 0.25: 1.2880225246980774, 0.9999: 5.7729791561193866e-05,
               1.0001: -5.771334222047127e-05, 1.5: -0.12078223763524522, 1.9999: -4.227520877215346e-05,
               2.0001: 4.2281658112919945e-05, 3.25: 0.9358019311087253, 7.75: 8.025458396315983,
               8.0: 8.525161361065415, 8.5: 9.549267257300997, 100.0: 359.1342053695754,
               10000000000.0: 220258509288.81058, -0.25: 1.589575312551186, -1.5: 0.860047015376481,
               -3.75: -1.3172679424463636, -20.125: -40.608285145280576},
    "sin": {1e22: -0.8522008497671888, 2.0**1000: -0.15920170308624243, 1.7976931348623157e308: 0.004961954789184062,
            6381956970095103 * 2.0**797: 1.0, -123456789012.5: 0.5493739224556734},
    "cos": {1e22: 0.523214785395139, 2.0**1000: 0.9872460775989135, 1.7976931348623157e308: -0.9999876894265599,
            6381956970095103 * 2.0**797: -4.687165924254628e-19, -123456789012.5: -0.835576623252271},
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_known_values(name):
    x, exact = (np.array(list(v)) for v in (GOLDEN[name], GOLDEN[name].values()))
    error = ulps(computed(name, "f64", x), exact.astype(np.longdouble), KINDS["f64"])
    assert error.max() <= (24 if name in ("digamma", "lgamma") else 3.5), dict(zip(x, error, strict=True))
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
    same = single.astype(np.float64) == x
    error = ulps(computed(name, "f32", single[same]), exact[same], KINDS["f32"])
    assert (error <= 1.6).all()


SPECIAL = {
    "exp": {INF: INF, -INF: 0.0, 0.0: 1.0, -1e4: 0.0, 1e4: INF}, "exp2": {INF: INF, -INF: 0.0, 3.0: 8.0, -1.0: 0.5},
    "expm1": {INF: INF, -INF: -1.0, 0.0: 0.0, 1e-38: 1e-38},
    "log": {0.0: -INF, INF: INF, -1.0: NAN, -INF: NAN, 1.0: 0.0},
    "log2": {0.0: -INF, 8.0: 3.0, 0.25: -2.0, INF: INF, -1.0: NAN}, "log10": {0.0: -INF, 1.0: 0.0, INF: INF, -1.0: NAN},
    "log1p": {-1.0: -INF, 0.0: 0.0, INF: INF, -2.0: NAN}, "sin": {0.0: 0.0, INF: NAN, -INF: NAN},
    "cos": {0.0: 1.0, INF: NAN}, "tan": {0.0: 0.0, INF: NAN}, "asin": {0.0: 0.0, 2.0: NAN, -2.0: NAN},
    "acos": {1.0: 0.0, 2.0: NAN}, "atan": {0.0: 0.0, INF: math.pi / 2, -INF: -math.pi / 2},
    "sinh": {0.0: 0.0, INF: INF, -INF: -INF}, "cosh": {INF: INF, -INF: INF, 0.0: 1.0},
    "tanh": {0.0: 0.0, INF: 1.0, -INF: -1.0}, "asinh": {0.0: 0.0, INF: INF, -INF: -INF},
    "acosh": {1.0: 0.0, 0.5: NAN, -5.0: NAN, INF: INF}, "atanh": {1.0: INF, -1.0: -INF, 2.0: NAN},
    "erf": {0.0: 0.0, INF: 1.0, -INF: -1.0}, "erfc": {INF: 0.0, -INF: 2.0, 0.0: 1.0},
    "erfinv": {1.0: INF, -1.0: -INF, 0.0: 0.0, 1.5: NAN}, "digamma": {0.0: -INF, -2.0: NAN, INF: INF},
    "lgamma": {0.0: INF, 1.0: 0.0, 2.0: 0.0, -3.0: INF, INF: INF, -INF: INF}, "rsqrt": {0.0: INF, INF: 0.0, -1.0: NAN},
    "reciprocal": {0.0: INF, INF: 0.0}, "round": {0.5: 0.0, 1.5: 2.0, 2.5: 2.0, -0.5: -0.0, INF: INF},
    "sigmoid": {INF: 1.0, -INF: 0.0, 0.0: 0.5}, "log_sigmoid": {INF: 0.0, -INF: -INF, 0.0: -math.log(2)},
}  # fmt: skip
# Of -0.0: itself, or what is given.
NEGATIVE_ZERO = {
    "exp": 1.0, "exp2": 1.0, "log": -INF, "log2": -INF, "log10": -INF, "cos": 1.0, "acos": math.pi / 2, "cosh": 1.0,
    "acosh": NAN, "erfc": 1.0, "lgamma": INF, "digamma": INF, "rsqrt": -INF, "reciprocal": -INF, "sigmoid": 0.5,
    "log_sigmoid": -math.log(2),
}  # fmt: skip


@pytest.mark.parametrize("scalar", KINDS)
def test_special_values(scalar):
    missing = {n for n, count in TRANSCENDENTAL.items() if count == 1} - set(SPECIAL)
    assert not missing
    for name, table in SPECIAL.items():
        x = np.array([*table, -0.0, NAN], KINDS[scalar])
        want = np.array([*table.values(), NEGATIVE_ZERO.get(name, -0.0), NAN]).astype(KINDS[scalar])
        got = computed(name, scalar, x)
        assert same_bits(got, want, scalar).all(), f"{name}: {dict(zip(x, got, strict=True))}"


def both(values):
    a, b = np.meshgrid(values, values)
    return a.ravel().copy(), b.ravel().copy()


SIGNED = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, -1e30, INF, -INF, NAN, 7.5, -7.5, 1e-40]


@pytest.mark.parametrize("scalar", KINDS)
def test_powers_and_angles_of_special_values(scalar):
    x, y = (a.astype(KINDS[scalar]) for a in both(SIGNED))
    with np.errstate(all="ignore"):
        power, angle = np.power(x.astype(np.float64), y.astype(np.float64)), np.arctan2(x, y)
    got = computed("pow", scalar, x, y)
    with np.errstate(over="ignore"):
        want = power.astype(KINDS[scalar])
    assert (np.isnan(got) == np.isnan(want)).all() and (np.signbit(got) == np.signbit(want))[~np.isnan(want)].all()
    assert np.allclose(got, want, rtol=4e-7 if scalar == "f32" else 1e-14, atol=0, equal_nan=True)
    got = computed("atan2", scalar, x, y)
    assert (np.isnan(got) == np.isnan(angle)).all() and (np.signbit(got) == np.signbit(angle))[~np.isnan(angle)].all()
    assert np.allclose(got, angle, rtol=3e-7 if scalar == "f32" else 1e-15, atol=0, equal_nan=True)


def test_power_accuracy():
    rng = np.random.default_rng(0)
    x = 10 ** rng.uniform(-8, 8, 30000)
    y = rng.uniform(-12, 12, 30000)
    single = [a.astype(np.float32) for a in (x, y)]
    exact = np.power(*(a.astype(np.float64) for a in single))
    keep = (exact > 1e-44) & (exact < 3e38)
    assert ulps(computed("pow", "f32", *single), exact, KINDS["f32"])[keep].max() <= 0.6
    if np.finfo(np.longdouble).nmant > 60:
        exact = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
        assert ulps(computed("pow", "f64", x, y), exact, KINDS["f64"]).max() <= 1.5


@pytest.mark.parametrize("scalar", KINDS)
def test_remainders_are_exact_and_follow_python(scalar):
    rng = np.random.default_rng(1)
    kind = KINDS[scalar]
    bits = rng.integers(0, 256, 4000 * kind.itemsize, dtype=np.uint8).view(kind)
    first, second = (a.astype(kind) for a in both(SIGNED))
    quarters = rng.integers(-20, 20, (2, 500)).astype(kind) / 4
    x, y = np.concatenate([first, bits, quarters[0]]), np.concatenate([second, bits[::-1], quarters[1]])
    with np.errstate(all="ignore"):
        want = np.fmod(x, y)
    assert same_bits(computed("rem", scalar, x, y), want, scalar).all()
    with np.errstate(all="ignore"):
        other = (want != 0) & ((want < 0) != (y < 0))
        want = np.where(other, want + y, want)
    assert same_bits(computed("floormod", scalar, x, y), want, scalar).all()
    small = np.array([7.0, -7.0, 7.0, -7.0, 1.0, -1.0, 0.0]), np.array([2.0, 2.0, -2.0, -2.0, 0.0, 0.0, 0.0])
    want = np.array([3.0, -4.0, -4.0, 3.0, INF, -INF, NAN], kind)
    assert same_bits(computed("floordiv", scalar, *small), want, scalar).all()


@pytest.mark.parametrize("scalar", INTEGERS)
def test_integers(scalar):
    info = np.iinfo({"i": "int", "u": "uint"}[scalar[0]] + scalar[1:])
    values = [v for v in (0, 1, 2, 3, 5, 7, 100, info.max, info.min, -1, -2, -3, -7) if info.min <= v <= info.max]
    pairs = [(a, b) for a in values for b in values]
    x, y = (np.array([v[i] for v in pairs], info.dtype) for i in (0, 1))
    kind = Type(scalar, 8)

    def run(name):
        program = lanewise(f"{name}_{scalar}", [kind, kind], kind, lambda b, p, q: b.op(name, p, q))
        return apply(program, [x, y], kind).tolist()

    def wrap(value):
        return int(np.array(value & ((1 << info.bits) - 1), f"u{info.bits // 8}").view(info.dtype))

    cases = list(zip(x.tolist(), y.tolist(), strict=True))
    assert run("floordiv") == [wrap(a // b) if b else 0 for a, b in cases]
    assert run("floormod") == [wrap(a % b) if b else a for a, b in cases]

    def power(a, b):
        return pow(a, b, 1 << info.bits) if b >= 0 else {1: 1, -1: (-1) ** (b & 1)}.get(a, 0)

    assert run("pow") == [wrap(power(a, b)) for a, b in cases]


@pytest.mark.parametrize("name", [*EXPANSIONS])
def test_bits_depend_on_the_lane_alone(name):
    """Lane counts, instruction sets, position and neighbours change nothing; nor does the python backend."""
    rng = np.random.default_rng(3)
    for scalar, kind in KINDS.items():
        bits = rng.integers(0, 256, 60 * kind.itemsize, dtype=np.uint8).view(kind)
        base = np.concatenate([bits, rng.standard_normal(80) * 4, SIGNED, [1e6, 3e8, -1e25]]).astype(kind)
        count = TRANSCENDENTAL.get(name, 2)
        arrays = [base, base[::-1]][:count]
        want = computed(name, scalar, *arrays)
        least = host_sets()[0]
        for lanes, isa in ((1, ""), (4, least), (32, "")):
            got = computed(name, scalar, *arrays, lanes=lanes, isa=isa)
            assert same_bits(got, want, scalar).all(), f"{scalar} lanes {lanes} {isa}"
        order = rng.permutation(len(base))[:77]
        shuffled = computed(name, scalar, *(a[order] for a in arrays))
        assert same_bits(shuffled, want[order], scalar).all()
        few = [a[-45:] for a in arrays]
        assert same_bits(computed(name, scalar, *few, isa=None), want[-45:], scalar).all()


def test_half_precision_goes_through_float32():
    kind = Type("bf16", 8)
    program = lanewise("exp_bf16", [kind], kind, lambda b, x: b.op("exp", x))
    x = np.array([0x3F80, 0xBF80, 0x0000, 0x7F80, 0x7FC0], np.uint16)
    got = apply(program, [x], kind)
    assert got.tolist() == [0x402E, 0x3EBC, 0x3F80, 0x7F80, 0x7FC0]


def test_what_has_no_meaning_for_integers_is_refused():
    b = Builder.kernel("k")
    b.op("exp", b.const(1, Type("i32")))
    with pytest.raises(CompileError, match="exp takes floats, not i32"):
        expand(Program((b.finish(),), "k"))


def test_programs_without_transcendentals_are_left_alone():
    b = Builder.kernel("k")
    b.add(b.begin, b.end)
    program = Program((b.finish(),), "k")
    assert expand(program) is program
