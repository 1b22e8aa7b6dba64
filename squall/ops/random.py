"""Random numbers as functions of (seed, offset, position): Philox 4x32-10, uniform, normal.

Element i of `random_bits` is word i % 4 of the block whose counter is offset + i // 4, so that a draw consumes
`counters_used` counters, known when it is recorded, and the numbers depend on no thread and no grouping.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.dtypes import (
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int32,
    int64,
    numpy_dtype,
    uint32,
    uint64,
)
from squall.base.errors import ShapeError
from squall.ir.families import check_float, random
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, ByFamily, Decompose, Sample, declare, ops
from squall.ops.slicing import arange, position

_ROUNDS = 10
_LOW = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85


def counters_used(count: Any, dtype: DType | None = None) -> Any:
    """How many counters a draw of `count` elements consumes: four words each; float64 takes two words an element.

    Example:
        >>> counters_used(9), counters_used(9, float64)
        (3, 5)
    """
    words = count * 2 if dtype is float64 else count
    return (words + 3) // 4


def philox(counter: tuple, key: tuple) -> tuple:
    """Ten rounds of Philox 4x32 over four counter words and two key words, as NumPy uint64 arrays or ints."""
    low = _LOW
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(_ROUNDS):
        first, second = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second & low, (first >> 32) ^ c3 ^ k1, first & low
        k0, k1 = (k0 + _WEYL[0]) & low, (k1 + _WEYL[1]) & low
    return c0, c1, c2, c3


def _random_bits_reference(seed: Any, offset: Any, shape: tuple) -> Any:
    import numpy

    count = prod(shape)
    mask = (1 << 64) - 1
    start, key = int(offset) & mask, int(seed) & mask
    counters = numpy.arange((count + 3) // 4, dtype=numpy.uint64) + numpy.uint64(start)
    low = numpy.uint64(0xFFFFFFFF)
    nothing = numpy.zeros_like(counters)
    words = philox(
        (counters & low, counters >> numpy.uint64(32), nothing, nothing), (key & 0xFFFFFFFF, key >> 32)
    )
    return numpy.stack(words, -1).reshape(-1)[:count].astype(numpy.uint32).reshape(shape)


def check_stream(name: str, seed: TensorType, offset: TensorType) -> None:
    """ShapeError unless seed and offset are zero-dimensional int64."""
    for what, t in (("seed", seed), ("offset", offset)):
        if t.dtype is not int64 or t.shape != ():
            raise ShapeError(f"{name}: {what} must be a zero-dimensional int64, got {t}")


def _random_bits_type(types: tuple, attrs: tuple) -> TensorType:
    check_stream("random_bits", *types)
    return TensorType(tuple(attrs[0]), uint32, types[0].device)


def stream(seed: int, offset: int) -> tuple:
    """Seed and offset as arrays for samples."""
    import numpy

    return numpy.asarray(seed, numpy.int64), numpy.asarray(offset, numpy.int64)


def _shapes(**more: Any) -> list[Sample]:
    return [
        Sample(stream(*s), {"shape": n, **more}, f"{n} of stream {s}")
        for s, n in (
            ((0, 0), (5,)),
            ((7, 3), (2, 3)),
            ((-1, 2**33 + 1), ()),
            ((123456789012345, -2), (37,)),
            ((1, 1), (0, 3)),
        )
    ]


def _wide(stream: Any, is_batched: bool, size: Any) -> Any:
    """Seeds or offsets as a [batch, 1] uint64 value."""
    wide = ops.reshape(ops.cast(stream, dtype=uint64), shape=(size if is_batched else 1, 1))
    return wide if is_batched else ops.expand(wide, shape=(size, 1))


def _random_bits_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """A stream for each element of the batch: the rounds written in ops, over [batch, blocks] counters."""
    (shape,) = attrs
    count = prod(shape)
    blocks = (count + 3) // 4
    seed, offset = (_wide(o, b, size) for o, b in zip(operands, batched, strict=True))
    counter = ops.add(offset, arange(blocks, seed.device, uint64))
    nothing = ops.bitwise_and(counter, 0)
    halves = [(ops.bitwise_and(v, _LOW), ops.shift_right(v, 32)) for v in (counter, seed)]
    c0, c1, c2, c3 = *halves[0], nothing, nothing
    k0, k1 = halves[1]
    for _ in range(_ROUNDS):
        first, second = ops.mul(c0, _MULTIPLIERS[0]), ops.mul(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            ops.bitwise_xor(ops.bitwise_xor(ops.shift_right(second, 32), c1), k0),
            ops.bitwise_and(second, _LOW),
            ops.bitwise_xor(ops.bitwise_xor(ops.shift_right(first, 32), c3), k1),
            ops.bitwise_and(first, _LOW),
        )
        k0, k1 = (ops.bitwise_and(ops.add(k, w), _LOW) for k, w in zip((k0, k1), _WEYL, strict=True))
    words = [ops.reshape(ops.cast(c, dtype=uint32), shape=(size, blocks, 1)) for c in (c0, c1, c2, c3)]
    flat = ops.reshape(ops.concat(*words, dim=2), shape=(size, blocks * 4))
    flat = ops.slice(flat, position(0, flat.device), dims=(1,), sizes=(count,), steps=(1,))
    return ops.reshape(flat, shape=(size, *shape)), True


random_bits = declare(
    "random_bits",
    random,
    attributes=("shape",),
    infer=_random_bits_type,
    grad=NON_DIFFERENTIABLE,
    promotion="none",
    lowering=ByFamily("random_bits"),
    vmap=_random_bits_batch,
    reference=_random_bits_reference,
    samples=_shapes,
    doc="32 random bits an element: word i % 4 of Philox 4x32-10 at counter offset + i // 4, keyed by the seed.",
)


def _drawn_type(name: str) -> Any:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        shape, dtype = attrs
        check_stream(name, *types)
        check_float(name, dtype)
        return TensorType(tuple(shape), dtype, types[0].device)

    return infer


def _float_of(bits: Any, drop: int, dtype: DType) -> Any:
    """The high bits of 32, as a float: what is left fits in 31 bits, where signed conversions are cheap."""
    return ops.cast(ops.cast(ops.shift_right(bits, drop), dtype=int32), dtype=dtype)


def _two_words(seed: Any, offset: Any, shape: tuple, drops: tuple[int, int]) -> tuple:
    """The high bits of the two words of each float64 element, as floats."""
    bits = ops.random_bits(seed, offset, shape=(*shape, 2))
    out = []
    for word, drop in enumerate(drops):
        one = ops.slice(bits, position(word, bits.device), dims=(len(shape),), sizes=(1,), steps=(1,))
        out.append(_float_of(ops.reshape(one, shape=tuple(shape)), drop, float64))
    return tuple(out)


def _uniform(seed: Any, offset: Any, shape: tuple, dtype: DType) -> Any:
    if dtype is float64:
        high, low = _two_words(seed, offset, shape, (5, 6))
        return ops.mul(ops.add(ops.mul(high, 2.0**26), low), 2.0**-53)
    kept = {float16: 11, bfloat16: 8, float32: 24}[dtype]
    value = _float_of(ops.random_bits(seed, offset, shape=tuple(shape)), 32 - kept, float32)
    value = ops.mul(value, 2.0**-kept)
    return value if dtype is float32 else ops.cast(value, dtype=dtype)


def _words(seed: Any, offset: Any, shape: tuple) -> tuple:
    """The two words of each float64 element, as NumPy float64 of their full 32 bits."""
    bits = _random_bits_reference(seed, offset, (*shape, 2))
    return bits[..., 0], bits[..., 1]


def _uniform_reference(seed: Any, offset: Any, shape: tuple, dtype: DType) -> Any:
    if dtype is float64:
        high, low = _words(seed, offset, shape)
        return ((high >> 5) * 2.0**26 + (low >> 6)) * 2.0**-53
    kept = {float16: 11, bfloat16: 8, float32: 24}[dtype]
    return ((_random_bits_reference(seed, offset, shape) >> (32 - kept)) * 2.0**-kept).astype("float32")


uniform = declare(
    "uniform",
    random,
    attributes=("shape", "dtype"),
    infer=_drawn_type("uniform"),
    grad=NON_DIFFERENTIABLE,
    lowering=Decompose(_uniform),
    promotion="none",
    reference=_uniform_reference,
    samples=lambda: [
        *_shapes(dtype=float32),
        *_shapes(dtype=float64),
        *_shapes(dtype=float16),
        *_shapes(dtype=bfloat16),
    ],
    doc="Numbers in [0, 1) on an even grid: 24 bits of one word for float32, 53 bits of two words for float64, 11 and "
    "8 bits for float16 and bfloat16.",
)


def _normal(seed: Any, offset: Any, shape: tuple, dtype: DType) -> Any:
    if dtype is float64:
        high, low = _two_words(seed, offset, shape, (6, 6))
        whole, step = ops.add(ops.mul(high, 2.0**26), low), 2.0**-52
    else:
        whole, step = _float_of(ops.random_bits(seed, offset, shape=tuple(shape)), 9, float32), 2.0**-23
    # Odd multiples of the step: symmetric about 0, never -1 or 1, and exact.
    even = ops.sub(ops.mul(ops.add(ops.mul(whole, 2.0), 1.0), step), 1.0)
    value = ops.mul(ops.erfinv(even), 2.0**0.5)
    return value if value.dtype is dtype else ops.cast(value, dtype=dtype)


def _normal_reference(seed: Any, offset: Any, shape: tuple, dtype: DType) -> Any:
    if dtype is float64:
        high, low = _words(seed, offset, shape)
        even = (((high >> 6) * 2.0**26 + (low >> 6)) * 2.0 + 1.0) * 2.0**-52 - 1.0
    else:
        even = ((_random_bits_reference(seed, offset, shape) >> 9) * 2.0 + 1.0) * 2.0**-23 - 1.0
    return (ops.erfinv.reference(even) * 2.0**0.5).astype(numpy_dtype(dtype))


normal = declare(
    "normal",
    random,
    attributes=("shape", "dtype"),
    infer=_drawn_type("normal"),
    grad=NON_DIFFERENTIABLE,
    lowering=Decompose(_normal),
    promotion="none",
    reference=_normal_reference,
    samples=lambda: [*_shapes(dtype=float32), *_shapes(dtype=float64), *_shapes(dtype=float16)],
    doc="Standard normal numbers, as sqrt(2) erfinv(u) of u on an even grid symmetric about 0 in (-1, 1): 23 bits for "
    "float32 and shorter types, which are rounded from float32, and 52 bits for float64.",
)
