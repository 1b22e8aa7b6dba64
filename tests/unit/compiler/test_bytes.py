"""Products of bytes: sums in int32 read the bytes themselves, and what makes bytes of them again is their epilogue."""

import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.base.errors import DtypeError
from squall.ir.op import ops
from tests.unit.compiler.nest_support import host_isas
from tests.unit.engine.harness import Built, Leaf, compiled, expected

TYPES = {"i1": (-128, 128), "u1": (0, 256)}


def drawn(seed, *shape, kind="i1"):
    return np.random.default_rng(seed).integers(*TYPES[kind], shape).astype(kind)


def requantised(x, w, bias, scale):
    """A quantised linear layer as it is written."""
    sums = x.to(sq.int32) @ w.to(sq.int32).T + bias
    return (sums.to(sq.float32) * scale).round().clamp(-128, 127).to(sq.int8)


def layer(rows, columns, depth):
    x, w = drawn(0, rows, depth), drawn(1, columns, depth)
    bias = np.random.default_rng(2).integers(-9000, 9000, columns).astype("i4")
    scale = np.random.default_rng(3).uniform(1e-4, 4e-3, columns).astype("f4")
    sums = x.astype("i8") @ w.astype("i8").T + bias
    wanted = np.clip(np.round(sums.astype("f4") * scale), -128, 127).astype("i1")
    return [sq.tensor(v) for v in (x, w, bias, scale)], wanted


SIZES = [(1, 3, 5), (17, 33, 64), (64, 96, 256), (50, 49, 700), (40, 50, 5000), (2, 300, 4100)]


@pytest.mark.parametrize("sizes", SIZES)
def test_a_quantised_layer_is_exact(sizes):
    given, wanted = layer(*sizes)
    function = sq.compile(requantised)
    np.testing.assert_array_equal(function(*given).numpy(), wanted)
    np.testing.assert_array_equal(requantised(*given).numpy(), wanted)
    text = str(sq.explain(function, *given))
    assert "1: contract+cast" in text and "i8" in text, text


@pytest.mark.parametrize("isa", host_isas())
def test_every_instruction_set_gives_it(isa):
    given, wanted = layer(33, 50, 300)
    with config.options(isa=isa):
        np.testing.assert_array_equal(sq.compile(requantised)(*given).numpy(), wanted)


def test_interpreted_kernels_give_it():
    given, wanted = layer(3, 5, 70)
    with config.options(backend="python"):
        np.testing.assert_array_equal(requantised(*given).numpy(), wanted)


@pytest.mark.parametrize("rows", [1, 16])
def test_frozen_weights_stay_bytes(rows):
    (x, w, bias, scale), wanted = layer(rows, 300, 500)
    function = sq.compile(lambda x: requantised(x, w, bias, scale), freeze=True)
    np.testing.assert_array_equal(function(x).numpy(), wanted)
    np.testing.assert_array_equal(function(x).numpy(), wanted)
    assert "x500 i8" in str(sq.explain(function, x))


SPECIAL = [np.nan, np.inf, -np.inf, 3e9, -3e9, 2.0**31, -(2.0**31), 127.5, -128.5, 0.0, -0.0, 0.49, 300.0, -300.0]


@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("kind", [sq.int8, sq.uint8, sq.int16])
@pytest.mark.parametrize("bounds", [(-128.0, 127.0), (5.0, -5.0), (np.nan, 3.0), (-3.0, np.nan), (-1e10, 1e10),
                                    (-np.inf, np.inf)])
def test_clamped_and_cast_as_in_two_steps(bounds, kind, isa):
    x = sq.tensor(np.resize(np.array(SPECIAL, "f4"), (3, 37)))
    low, high = bounds
    forms = [lambda x: x.clamp(low, high), lambda x: sq.minimum(sq.maximum(x, sq.tensor(low)), sq.tensor(high)),
             lambda x: sq.maximum(sq.minimum(x, sq.tensor(high)), sq.tensor(low)), lambda x: x.clamp(min=low)]
    with config.options(isa=isa):
        for form in forms:
            apart = sq.tensor(sq.compile(form)(x).numpy())
            together = sq.compile(lambda x, form=form: form(x).to(kind))(x)
            np.testing.assert_array_equal(together.numpy(), apart.to(kind).numpy())


@pytest.mark.parametrize("kinds", [("i1", "i1"), ("u1", "u1"), ("u1", "i1")])
def test_sums_are_exact_whatever_moves_the_bytes(kinds):
    a, b = drawn(0, 3, 20, 70, kind=kinds[0]), drawn(1, 70, 30, kind=kinds[1])
    wanted = a.astype("i8").transpose(0, 2, 1)[:, 1:-1] @ np.broadcast_to(b.astype("i8")[:20], (3, 20, 30))

    def function(a, b):
        return a.to(sq.int32).transpose(1, 2)[:, 1:-1] @ b[:20].to(sq.int32).expand(3, 20, 30)

    given = [sq.tensor(v) for v in (a, b)]
    np.testing.assert_array_equal(function(*given).numpy(), wanted)
    np.testing.assert_array_equal(sq.compile(function)(*given).numpy(), wanted)


def test_sums_wrap_as_those_of_integers():
    a = np.full((2, 1 << 18), 255, "u1")
    wanted = (a.astype("i8") @ a.astype("i8").T).astype("i4")
    x = sq.tensor(a)
    np.testing.assert_array_equal((x.to(sq.int32) @ x.to(sq.int32).T).numpy(), wanted)


def test_a_wide_contraction_and_a_narrow_one_stay_apart():
    leaves = Leaf()
    a, b = leaves(drawn(0, 20, 40)), leaves(drawn(1, 40, 30))
    roots = [ops.contract(a, b, equation="mk,kn->mn", wide=wide) for wide in (False, True)]
    narrow, wide = compiled(roots)
    assert narrow.dtype == np.int8 and wide.dtype == np.int32
    for found, wanted in zip((narrow, wide), expected(roots, leaves), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(wide.astype("i1"), narrow)


def test_only_bytes_have_a_wide_result():
    leaves = Leaf()
    a = leaves(np.ones((2, 2), "f4"))
    with pytest.raises(DtypeError, match="int8"):
        ops.contract(a, a, equation="mk,kn->mn", wide=True)


def test_integers_are_finished_while_they_lie_in_cache():
    leaves = Leaf()
    a, b = leaves(drawn(0, 40, 900).astype("i4")), leaves(drawn(1, 900, 60).astype("i4"))
    roots = [ops.maximum(ops.contract(a, b, equation="mk,kn->mn"), leaves(np.zeros((), "i4")))]
    made = Built(roots)
    assert [s.label for s in made.plan.steps] == ["contract+maximum"]
    np.testing.assert_array_equal(made.run()[0], expected(roots, leaves)[0])
