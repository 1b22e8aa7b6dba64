"""Losses that compare element by element: mse, l1, smooth_l1, huber, binary cross-entropies, kl_div.

A loss is declared by its value and its derivatives per element; `reduction` ("none", "mean", "sum") is common to all.
Operands have one shape: frontends broadcast them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.errors import ShapeError
from squall.ir.families import check_float, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Op, Sample, declare, ops
from squall.ops.common import count_over, number, unmasked, widened, widened_expand
from squall.ops.samples import floats

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(name: str, reduction: str) -> None:
    """ValueError unless the reduction is one of three."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: reduction must be one of {REDUCTIONS}, not {reduction!r}")


def reduced(value: Any, reduction: str, first: int = 0) -> Any:
    """A loss per element, reduced over the dimensions from `first` on."""
    if reduction == "none":
        return value
    dims = tuple(range(first, len(value.shape)))
    return (ops.mean if reduction == "mean" else ops.sum)(value, dims=dims, keepdim=False)


def share(g: Any, shape: tuple, reduction: str) -> Any:
    """The gradient of each element of a loss, from that of the reduced loss."""
    if reduction == "mean":
        g = ops.div(g, count_over(shape, tuple(range(len(shape))), g))
    return g


def _pointwise(name: str, value: Callable, slopes: Callable, reference: Callable, doc: str, *, samples: Callable,
               attributes: dict[str, Any] | None = None) -> Op:
    """Declare a loss by ops: `value(x, y, **attributes)` and `slopes(...) -> (by x, by y)`; `reference` is NumPy's."""
    given = attributes or {}

    def infer(types: tuple, attrs: tuple) -> TensorType:
        x, y = types
        check_float(name, x.dtype)
        check_reduction(name, attrs[-1])
        if tuple(x.shape) != tuple(y.shape):
            raise ShapeError(f"{name}: input of shape {tuple(x.shape)} and target of shape {tuple(y.shape)} differ")
        return x if attrs[-1] == "none" else x.with_shape(())

    def expand(x: Any, y: Any, *, reduction: str, **own: Any) -> Any:
        return reduced(value(x, y, **own), reduction)

    def own_of(context: Context) -> dict[str, Any]:
        return dict(zip(context.op.attributes[:-1], context.attrs[:-1], strict=True))

    @widened
    def grad(context: Context, g: Any) -> tuple:
        x, y = context.inputs
        g = share(g, tuple(x.shape), context.attrs[-1])
        both = slopes(x, y, **own_of(context))
        return tuple(ops.mul(s, g) if needed else None for s, needed in zip(both, context.needs, strict=True))

    def tangent(context: Context, *tangents: Any) -> Any:
        total = None
        for slope, t in zip(slopes(*context.inputs, **own_of(context)), tangents, strict=True):
            if t is not None:
                part = ops.mul(slope, t)
                total = part if total is None else ops.add(total, part)
        return reduced(total, context.attrs[-1])

    def batch(op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
        whole = [o if b else ops.expand(o, shape=(size, *o.shape)) for o, b in zip(operands, batched, strict=True)]
        return reduced(op(*whole, **{**op.named(attrs), "reduction": "none"}), attrs[-1], 1), True

    def oracle(x: Any, y: Any, *, reduction: str, **own: Any) -> Any:
        import numpy

        out = reference(x, y, **own)
        return out if reduction == "none" else numpy.asarray(out.mean() if reduction == "mean" else out.sum())

    return declare(name, opaque, attributes=(*given, "reduction"), defaults={**given, "reduction": "mean"},
                   infer=infer,
                   saves=(0, 1), grad=grad, jvp=tangent, vmap=batch, lowering=Decompose(widened_expand(expand)),
                   reference=oracle, samples=samples, doc=doc)


def _pairs(x_range: tuple = (-2.0, 2.0), y_range: tuple = (-2.0, 2.0), **attributes: Any) -> list[Sample]:
    shapes = [((3, 4), "mean"), ((3, 4), "sum"), ((2, 3, 5), "none"), ((), "mean"), ((0, 3), "sum"), ((70,), "mean")]
    return [Sample((floats(s, i, *x_range), floats(s, i + 30, *y_range)), {"reduction": r, **attributes}, f"{s} {r}")
            for i, (s, r) in enumerate(shapes)]


def _opposite(slope: Any) -> tuple:
    return slope, ops.neg(slope)


# ---------------------------------------------------------------- distances
def _squared(x: Any, y: Any) -> Any:
    d = ops.sub(x, y)
    return ops.mul(d, d)


mse_loss = _pointwise(
    "mse_loss", _squared, lambda x, y: _opposite(ops.mul(ops.sub(x, y), 2.0)), lambda x, y: (x - y) ** 2,
    "(x - y)^2.", samples=_pairs)

l1_loss = _pointwise(
    "l1_loss", lambda x, y: ops.abs(ops.sub(x, y)), lambda x, y: _opposite(ops.sign(ops.sub(x, y))),
    lambda x, y: abs(x - y), "|x - y|, with gradient 0 where they are equal.", samples=_pairs)


def _smooth_l1(x: Any, y: Any, beta: float) -> Any:
    d = ops.abs(ops.sub(x, y))
    if beta == 0:
        return d
    return ops.where(ops.lt(d, beta), ops.div(ops.mul(ops.mul(d, d), 0.5), beta), ops.sub(d, 0.5 * beta))


def _smooth_l1_slopes(x: Any, y: Any, beta: float) -> tuple:
    d = ops.sub(x, y)
    if beta == 0:
        return _opposite(ops.sign(d))
    return _opposite(ops.where(ops.lt(ops.abs(d), beta), ops.div(d, beta), ops.sign(d)))


def _smooth_l1_reference(x: Any, y: Any, beta: float) -> Any:
    import numpy

    d = abs(x - y)
    return d if beta == 0 else numpy.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


smooth_l1_loss = _pointwise(
    "smooth_l1_loss", _smooth_l1, _smooth_l1_slopes, _smooth_l1_reference,
    "d^2 / (2 beta) where d = |x - y| is below beta, d - beta / 2 elsewhere.", attributes={"beta": 1.0},
    samples=lambda: [*_pairs(beta=1.0), *_pairs(beta=0.5)[:2], *_pairs(beta=0.0)[:1]])


def _huber(x: Any, y: Any, delta: float) -> Any:
    d = ops.abs(ops.sub(x, y))
    return ops.where(ops.le(d, delta), ops.mul(ops.mul(d, d), 0.5), ops.mul(ops.sub(d, 0.5 * delta), delta))


def _huber_slopes(x: Any, y: Any, delta: float) -> tuple:
    d = ops.sub(x, y)
    return _opposite(ops.where(ops.le(ops.abs(d), delta), d, ops.mul(ops.sign(d), delta)))


def _huber_reference(x: Any, y: Any, delta: float) -> Any:
    import numpy

    d = abs(x - y)
    return numpy.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


huber_loss = _pointwise(
    "huber_loss", _huber, _huber_slopes, _huber_reference,
    "d^2 / 2 where d = |x - y| is at most delta, delta * (d - delta / 2) elsewhere.", attributes={"delta": 1.0},
    samples=lambda: [*_pairs(delta=1.0), *_pairs(delta=0.5)[:2]])


# ---------------------------------------------------------------- probabilities
def _bce_logits(x: Any, y: Any) -> Any:
    return ops.sub(ops.mul(ops.sub(1.0, y), x), ops.log_sigmoid(x))


def _bce_logits_reference(x: Any, y: Any) -> Any:
    import numpy

    return (1 - y) * x + numpy.log1p(numpy.exp(-abs(x))) + numpy.maximum(-x, 0)


bce_with_logits = _pointwise(
    "bce_with_logits", _bce_logits, lambda x, y: (ops.sub(ops.sigmoid(x), y), ops.neg(x)), _bce_logits_reference,
    "Binary cross-entropy of logits x with targets y in [0, 1]: (1 - y) x - log_sigmoid(x).",
    samples=lambda: [*_pairs(y_range=(0.0, 1.0)), *_pairs((-200.0, 200.0), (0.0, 1.0))[5:]])


def _limited_log(x: Any) -> Any:
    return ops.maximum(x, -100.0)


def _bce(x: Any, y: Any) -> Any:
    no = ops.mul(ops.sub(y, 1.0), _limited_log(ops.log1p(ops.neg(x))))
    return ops.sub(no, ops.mul(y, _limited_log(ops.log(x))))


def _bce_slopes(x: Any, y: Any) -> tuple:
    spread = ops.maximum(ops.mul(ops.sub(1.0, x), x), 1e-12)
    return ops.div(ops.sub(x, y), spread), ops.sub(ops.log1p(ops.neg(x)), ops.log(x))


def _bce_reference(x: Any, y: Any) -> Any:
    import numpy

    return (y - 1) * numpy.maximum(numpy.log1p(-x), -100) - y * numpy.maximum(numpy.log(x), -100)


bce_loss = _pointwise(
    "bce_loss", _bce, _bce_slopes, _bce_reference,
    "Binary cross-entropy of probabilities x with targets y in [0, 1]; logarithms are at least -100.",
    samples=lambda: _pairs((0.1, 0.9), (0.0, 1.0)))


def _kl(x: Any, y: Any, log_target: bool) -> Any:
    if log_target:
        return ops.mul(ops.exp(y), ops.sub(y, x))
    empty = ops.eq(y, 0.0)
    entropy = unmasked(empty, ops.mul(y, ops.log(ops.where(empty, number(1.0, y), y))))
    return ops.sub(entropy, ops.mul(y, x))


def _kl_slopes(x: Any, y: Any, log_target: bool) -> tuple:
    if log_target:
        e = ops.exp(y)
        return ops.neg(e), ops.mul(e, ops.add(ops.sub(y, x), 1.0))
    empty = ops.eq(y, 0.0)
    rise = unmasked(empty, ops.add(ops.log(ops.where(empty, number(1.0, y), y)), 1.0))
    return ops.neg(y), ops.sub(rise, x)


def _kl_reference(x: Any, y: Any, log_target: bool) -> Any:
    import numpy

    if log_target:
        return numpy.exp(y) * (y - x)
    return numpy.where(y == 0, 0, y * numpy.log(numpy.where(y == 0, 1, y))) - y * x


kl_div = _pointwise(
    "kl_div", _kl, _kl_slopes, _kl_reference,
    "The Kullback-Leibler divergence y (log y - x) of log-probabilities x from probabilities y, 0 where y is 0; with "
    "`log_target` y is a logarithm too. Frontends make \"batchmean\" of the sum.", attributes={"log_target": False},
    samples=lambda: [*_pairs((-3.0, -0.1), (0.1, 1.0)), *_pairs((-3.0, -0.1), (-3.0, -0.1), log_target=True)[:3]])
