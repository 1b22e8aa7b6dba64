"""bernoulli and dropout: random choices for the elements of an operand."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float32, float64
from squall.base.errors import DtypeError
from squall.ir.families import check_float, random
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, Context, Decompose, Sample, declare, ops
from squall.ops.common import number, widen, widened_expand
from squall.ops.random import check_stream, stream
from squall.ops.samples import floats
from squall.ops.slicing import position, with_batch


def _operand_type(name: str) -> Any:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        check_stream(name, *types[1:])
        check_float(name, types[0].dtype)
        if attrs and not 0 <= attrs[0] <= 1:
            raise DtypeError(f"{name}: probability p must be between 0 and 1, got {attrs[0]}")
        return types[0]

    return infer


def _bernoulli(x: Any, seed: Any, offset: Any) -> Any:
    drawn = ops.uniform(seed, offset, shape=tuple(x.shape), dtype=float32)
    if x.dtype is float64:
        return ops.cast(ops.lt(ops.cast(drawn, dtype=float64), x), dtype=float64)
    return ops.cast(ops.lt(drawn, widen(x)), dtype=x.dtype)


def _bernoulli_reference(x: Any, seed: Any, offset: Any) -> Any:
    return (ops.uniform.reference(seed, offset, x.shape, float32) < x).astype(x.dtype)


bernoulli = declare(
    "bernoulli",
    random,
    infer=_operand_type("bernoulli"),
    grad=NON_DIFFERENTIABLE,
    lowering=Decompose(_bernoulli),
    promotion="none",
    reference=_bernoulli_reference,
    samples=lambda: [
        Sample((floats(s, i, 0, 1), *stream(i, 5)), {}, str(s))
        for i, s in enumerate(((3, 4), (), (0,), (33,)))
    ],
    doc="1 with the probability each element gives, else 0: whether a uniform number is below it.",
)


def _kept(seed: Any, offset: Any, shape: tuple, p: float) -> Any:
    """Which elements stay, as a bool value: equal calls are one computation, so backward finds forward's mask."""
    bits = ops.random_bits(seed, offset, shape=tuple(shape))
    return ops.ge(bits, number(_threshold(p), bits))


def _threshold(p: float) -> int:
    """Words below it are dropped."""
    return round(p * 2.0**32)


def _masked(x: Any, kept: Any, p: float) -> Any:
    return ops.where(kept, ops.mul(x, 1.0 / (1.0 - p)), number(0, x))


@widened_expand
def _dropout(x: Any, seed: Any, offset: Any, p: float) -> Any:
    if _threshold(p) == 0:
        return x
    if _threshold(p) >> 32:
        return ops.expand(number(0, x), shape=tuple(x.shape)) if x.shape else number(0, x)
    return _masked(x, _kept(seed, offset, x.shape, p), p)


def _dropout_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """One draw for the whole batch unless seeds or offsets differ: how many counters a draw takes was fixed before."""
    (x, *stream), (p,) = operands, attrs
    threshold = _threshold(p)
    if threshold == 0 or threshold >> 32:
        return op(with_batch(x, batched[0], size), *(position(0, x.device) for _ in stream), p=p), True
    shape = tuple(x.shape)[batched[0] :]
    if not any(batched[1:]):
        return _masked(x, _kept(*stream, shape, p), p), True
    bits = ops.random_bits.vmap(ops.random_bits, stream, batched[1:], size, (shape,))[0]
    return _masked(with_batch(x, batched[0], size), ops.ge(bits, number(threshold, bits)), p), True


def _dropout_reference(x: Any, seed: Any, offset: Any, p: float) -> Any:
    import numpy

    kept = ops.random_bits.reference(seed, offset, x.shape).astype(numpy.uint64) >= _threshold(p)
    return numpy.where(kept, x * x.dtype.type(1.0 / (1.0 - p) if p < 1 else 0.0), x.dtype.type(0))


def _dropout_grad(context: Context, g: Any) -> tuple:
    _, seed, offset = context.inputs
    return ops.dropout(g, seed, offset, p=context.attrs[0]), None, None


dropout = declare(
    "dropout",
    random,
    attributes=("p",),
    infer=_operand_type("dropout"),
    saves=(1, 2),
    grad=_dropout_grad,
    jvp=lambda context, t, *_: ops.dropout(t, *context.inputs[1:], p=context.attrs[0]),
    vmap=_dropout_batch,
    lowering=Decompose(_dropout),
    promotion="none",
    reference=_dropout_reference,
    samples=lambda: [
        Sample((floats(s, i), *stream(i, 9)), {"p": p}, f"{s} with p = {p}")
        for i, (s, p) in enumerate(
            (((3, 4), 0.5), ((), 0.1), ((0, 2), 0.5), ((65,), 0.2), ((4,), 0.0), ((4,), 1.0))
        )
    ],
    doc="Elements set to 0 with probability p, the others divided by 1 - p. The gradient is the same op of the same "
    "seed and offset: the mask is drawn again, or reused where both run in one program.",
)
