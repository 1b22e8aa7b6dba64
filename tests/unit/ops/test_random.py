"""Philox against published vectors and NumPy's generator; the distributions; dropout's mask in backward."""

import numpy
import pytest

from squall.base.dtypes import bfloat16, float16, float32, float64, int64
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType
from squall.ir.op import Context, constant
from squall.ops import ops
from squall.ops.random import counters_used, philox

VECTORS = [  # counter, key, result: from the Random123 distribution of the generator's authors
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def draw(name, shape, seed=1, offset=0, **attributes):
    stream = constant(seed, int64), constant(offset, int64)
    return evaluate([ops.get(name)(*stream, shape=shape, **attributes)])[0]


@pytest.mark.parametrize("counter, key, result", VECTORS)
def test_published_vectors(counter, key, result):
    assert philox(counter, key) == result


def test_bits_are_the_words_of_consecutive_counters():
    seed, offset = 0x1234_5678_9ABC_DEF0, 2**32 - 1
    got = draw("random_bits", (11,), seed, offset)
    for i, bits in enumerate(got):
        place = offset + i // 4
        words = philox((place & 0xFFFFFFFF, place >> 32, 0, 0), (seed & 0xFFFFFFFF, seed >> 32))
        assert bits == words[i % 4]
    assert got.dtype == numpy.uint32


def test_draws_continue_one_another():
    whole = draw("random_bits", (20,))
    first, rest = draw("random_bits", (8,)), draw("random_bits", (12,), offset=counters_used(8))
    numpy.testing.assert_array_equal(whole, numpy.concatenate([first, rest]))
    assert counters_used(0) == 0 and counters_used(1) == 1 and counters_used(3, float64) == 2


@pytest.mark.parametrize("dtype, bits", [(float32, 24), (float64, 53), (float16, 11), (bfloat16, 8)])
def test_uniform_lies_on_its_grid(dtype, bits):
    got = draw("uniform", (20000,), dtype=dtype).astype(numpy.float64)
    assert got.min() >= 0 and got.max() < 1
    scaled = got * 2.0**bits
    numpy.testing.assert_array_equal(scaled, numpy.floor(scaled))
    assert abs(got.mean() - 0.5) < 0.01 and abs(got.var() - 1 / 12) < 0.005


@pytest.mark.parametrize("dtype", [float32, float64])
def test_normal_has_the_moments_of_the_distribution(dtype):
    got = draw("normal", (50000,), seed=5, dtype=dtype).astype(numpy.float64)
    assert numpy.isfinite(got).all()
    assert abs(got.mean()) < 0.02 and abs(got.std() - 1) < 0.02
    assert abs((got**3).mean()) < 0.06 and abs((got**4).mean() - 3) < 0.15
    assert abs((numpy.abs(got) > 2).mean() - 0.0455) < 0.004


def leaf(array):
    from squall.base.dtypes import as_dtype

    return Node(ops.buffer, (), (), TensorType(array.shape, as_dtype(str(array.dtype))), array)


def test_bernoulli_follows_its_probabilities():
    p = numpy.repeat([0.0, 0.25, 0.9, 1.0], 10000).astype("float32")
    got = evaluate([ops.bernoulli(leaf(p), constant(3, int64), constant(0, int64))])[0].reshape(4, -1).mean(1)
    assert got[0] == 0 and got[3] == 1 and abs(got[1] - 0.25) < 0.02 and abs(got[2] - 0.9) < 0.02


def test_dropout_and_its_gradient_share_the_mask():
    x = leaf(numpy.ones(4000, "float32"))
    seed, offset = constant(9, int64), constant(2, int64)
    y = ops.dropout(x, seed, offset, p=0.25)
    context = Context(
        ops.dropout,
        (0.25,),
        (x.type, seed.type, offset.type),
        y.type,
        (None, seed, offset),
        None,
        (True, False, False),
    )
    gradient = ops.dropout.grad(context, x)[0]
    kept, back = evaluate([y, gradient])
    numpy.testing.assert_array_equal(kept, back)
    assert set(numpy.unique(kept)) == {numpy.float32(0), numpy.float32(1 / 0.75)}
    assert abs((kept == 0).mean() - 0.25) < 0.03


def test_dropout_of_16_bit_and_extremes():
    x = leaf(numpy.full(64, 3.0, numpy.float16))
    stream = constant(1, int64), constant(0, int64)
    half, none, everything = evaluate([ops.dropout(x, *stream, p=p) for p in (0.5, 0.0, 1.0)])
    assert half.dtype == numpy.float16 and set(numpy.unique(half)) == {0.0, 6.0}
    assert (none == 3).all() and (everything == 0).all()
