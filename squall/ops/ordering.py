"""Order among values: `after`, a value that is not read before another one has been computed."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import ShapeError
from squall.ir.families import elementwise
from squall.ir.node import TensorType
from squall.ir.op import Op, Sample, Scalar, constant, declare, ops
from squall.ops.samples import floats


def _after_type(types: tuple, attrs: tuple) -> TensorType:
    x, token = types
    if tuple(token.shape) != ():
        raise ShapeError(f"after: the token must have no dimensions, got shape {tuple(token.shape)}")
    return TensorType(x.shape, x.dtype, x.device)


def _after_batch(op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    x, token = operands
    if not batched[0]:
        x = ops.expand(x, shape=(size, *x.shape))
    return op(x, first_element(token) if batched[1] else token), True


def first_element(x: Any) -> Any:
    """One element of a value as a token: it is there when the value is. Where there is none, nothing is waited for."""
    rank = len(x.shape)
    if not rank:
        return x
    if 0 in x.shape:
        return constant(0, x.dtype, x.device)
    zero = constant(0, int64, x.device)
    one = ops.slice(x, *[zero] * rank, dims=tuple(range(rank)), sizes=(1,) * rank, steps=(1,) * rank)
    return ops.reshape(one, shape=())


def _samples() -> list[Sample]:
    import numpy

    token = numpy.asarray(3)
    return [Sample((floats(s), token), {}, f"{s}") for s in ((3, 4), (), (0, 2))]


after = declare(
    "after", elementwise, infer=_after_type, promotion="none", grad=lambda context, g: (g, None),
    jvp=lambda context, tangent, _: tangent, vmap=_after_batch, reference=lambda x, token: x, samples=_samples,
    lowering=Scalar(lambda b, attrs, x, token: x),
    doc="The first operand, read only when the second, of no dimensions, has been computed. It is a value of its own: "
    "what is computed from it is not merged with what was computed from the operand. `checkpoint` recomputes so.")
