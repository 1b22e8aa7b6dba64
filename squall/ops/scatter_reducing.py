"""scatter_reduce: products and extremes of what an index sends to one position. Runs as a host step, in index order."""

from __future__ import annotations

from typing import Any

from squall.ir.families import indexing, zeros
from squall.ir.op import Context, Library, Sample, declare, ops
from squall.ops.common import number, widened
from squall.ops.indexing import _along_batch, whole
from squall.ops.samples import floats
from squall.ops.scattering import _coordinates, _scatter_type

_FUNCTIONS = {"prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """As `scatter` is batched, the reduction kept."""
    return _along_batch(lambda *o, dim: op(*o, dim=dim, reduce=attrs[1]), operands, batched, size, attrs)


def _type(types: tuple, attrs: tuple) -> Any:
    if attrs[1] not in _FUNCTIONS:
        raise ValueError(f"scatter_reduce: reduce must be one of {', '.join(_FUNCTIONS)}, got {attrs[1]!r}")
    return _scatter_type("scatter_reduce")(types, attrs[:1])


def _scatter_reduce(x: Any, index: Any, source: Any, dim: int, reduce: str) -> Any:
    import numpy

    wide = numpy.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x.dtype
    out = x.astype(wide)
    places = _coordinates("scatter_reduce", x, index, dim)
    getattr(numpy, _FUNCTIONS[reduce]).at(out, places, source.astype(wide))
    return out.astype(x.dtype)


def _counts(mask: Any, index: Any, x_type: Any, dim: int) -> Any:
    """How many of a mask's elements an index sends to each position, as floats."""
    base = zeros(x_type)
    return ops.scatter_add(base, index, ops.cast(mask, dtype=base.dtype), dim=dim)


def _of_product(context: Context) -> tuple:
    """The derivative of each product by the base's and by each source element, right where factors are 0."""
    (x, index, source), (dim, _) = context.inputs, context.attrs
    out, one = context.output, number(1.0, x)
    flat = ops.eq(x, 0.0)
    others = ops.scatter_reduce(ops.where(flat, one, x), index, source, dim=dim, reduce="prod")
    by_base = ops.div(others, ops.where(flat, one, x))
    flat = ops.eq(source, 0.0)
    zeros_there = ops.gather(_counts(flat, index, context.types[0], dim), index, dim=dim)
    alone = ops.logical_and(flat, ops.eq(zeros_there, 1.0))
    without = ops.scatter_reduce(x, index, ops.where(alone, one, source), dim=dim, reduce="prod")
    rest = ops.div(ops.gather(out, index, dim=dim), ops.where(flat, one, source))
    return by_base, ops.where(alone, ops.gather(without, index, dim=dim), rest)


def _of_extreme(context: Context) -> tuple:
    """The derivative of each extreme: shared evenly by what equals it."""
    (x, index, source), (dim, _) = context.inputs, context.attrs
    mine = ops.eq(x, context.output)
    theirs = ops.eq(source, ops.gather(context.output, index, dim=dim))
    many = ops.add(_counts(theirs, index, context.types[0], dim), ops.cast(mine, dtype=x.dtype))
    share = ops.div(ops.cast(mine, dtype=x.dtype), many)
    return share, ops.div(ops.cast(theirs, dtype=x.dtype), ops.gather(many, index, dim=dim))


def _slopes(context: Context) -> tuple:
    return _of_product(context) if context.attrs[1] == "prod" else _of_extreme(context)


@widened
def _grad(context: Context, g: Any) -> tuple:
    by_base, by_source = _slopes(context)
    spread = ops.gather(g, context.inputs[1], dim=context.attrs[0]) if context.needs[2] else None
    return (ops.mul(g, by_base) if context.needs[0] else None, None,
            None if spread is None else ops.mul(spread, by_source))


def _tangent(context: Context, tx: Any, _: Any, ts: Any) -> Any:
    by_base, by_source = _slopes(context)
    total = zeros(context.types[0]) if tx is None else ops.mul(tx, by_base)
    if ts is None:
        return total
    return ops.scatter_add(total, context.inputs[1], ops.mul(ts, by_source), dim=context.attrs[0])


def _samples() -> list[Sample]:
    cases = [((3, 4), [[0], [-1], [2]], 1), ((3, 4), [[0, 2, 1], [1, 1, 1]], 0), ((5,), [4, 4, 0, -5], 0)]
    return [Sample((floats(s, 3, 0.5, 2.0), whole(i), floats(whole(i).shape, 4, 0.5, 2.0)), {"dim": d, "reduce": r},
                   f"{r} of {s} at {i}") for s, i, d in cases for r in _FUNCTIONS]


scatter_reduce = declare(
    "scatter_reduce", indexing, attributes=("dim", "reduce"), infer=_type, lowering=Library(_scatter_reduce),
    promotion="none", saves=(0, 1, 2, "out"), grad=_grad, jvp=_tangent, vmap=_batch, reference=_scatter_reduce,
    samples=_samples,
    doc="The base with the source's elements multiplied in (prod), or kept where larger (amax) or smaller (amin), at "
    "the positions `scatter` would write. Extremes share the gradient among ties.")
