"""Classification losses over class indices: nll_loss and cross_entropy.

Classes are dimension 1, or the only one. With the target distribution q of a position (one-hot, smoothed, weighted),
the loss is -sum(q log p), and its gradient by the logits sum(q) softmax - q. Positions whose target is `ignore_index`
count for nothing. "mean" divides by the summed weights of the targets that count.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, IndexRangeError, ShapeError
from squall.ir.families import check_float, opaque
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Indexed, Sample, declare, ops
from squall.ops.common import as_dtype_of, device_of, masked, number, widened, widened_expand
from squall.ops.loss import check_reduction
from squall.ops.rows import centred, total
from squall.ops.samples import floats, generator
from squall.ops.slicing import arange, position


def _class_dim(shape: tuple) -> int:
    return 1 if len(shape) > 1 else 0


def _loss_type(name: str) -> Any:
    def infer(types: tuple, attrs: tuple) -> TensorType:
        x, target = types[:2]
        check_float(name, x.dtype)
        check_reduction(name, attrs[-1])
        if target.dtype is not int64:
            raise DtypeError(f"{name}: class indices must be int64, got {target.dtype}; cast them first")
        shape, d = tuple(x.shape), _class_dim(x.shape)
        if not shape or tuple(target.shape) != shape[:d] + shape[d + 1:]:
            raise ShapeError(f"{name}: input of shape {shape} and target of shape {tuple(target.shape)} do not "
                             f"go together: "
                             f"classes are dimension {d} of the input, the other sizes must be equal")
        for weight in types[2:]:
            if tuple(weight.shape) != (shape[d],):
                raise ShapeError(f"{name}: the weight must have shape {(shape[d],)}, not {tuple(weight.shape)}")
        return x if attrs[-1] == "none" and tuple(target.shape) == shape else x.with_shape(
            tuple(target.shape) if attrs[-1] == "none" else ())

    return infer


def _checks(types: tuple, attrs: tuple) -> tuple[Indexed, ...]:
    return (Indexed(1, _class_dim(types[0].shape), False, attrs[0]),)


class _Targets:
    """What both losses need of their targets, laid out with a class dimension of size 1.

    Attributes:
        kept: which positions count. index: the target, 0 where ignored; one below 0 becomes the number of classes,
            which the gather reports as out of range. weight: the weight of each target, or None.
    """

    def __init__(self, shape: tuple, target: Any, weight: Any, ignore_index: int, like: Any):
        self.shape, self.dim, self.like = shape, _class_dim(shape), like
        self.row = (*shape[: self.dim], 1, *shape[self.dim + 1:])
        target = ops.reshape(target, shape=self.row)
        self.kept = ops.ne(target, ignore_index)
        count = position(shape[self.dim], device_of(target))
        inside = ops.where(ops.lt(target, 0), count, target)
        self.index = masked(self.kept, inside)
        self.classes = None if weight is None else self._along(as_dtype_of(weight, like.dtype))
        self.weight = None if weight is None else self._picked(ops.expand(self.classes, shape=shape))

    def _along(self, vector: Any) -> Any:
        """A value per class, broadcasting over positions."""
        return ops.reshape(vector, shape=tuple(n if i == self.dim else 1 for i, n in enumerate(self.shape)))

    def _picked(self, value: Any) -> Any:
        return ops.gather(value, self.index, dim=self.dim)

    def weighted(self, value: Any) -> Any:
        """A value per position times the weight of its target."""
        return value if self.weight is None else ops.mul(value, self.weight)

    def mass(self) -> Any:
        """What "mean" divides by: the weights of the targets that count, summed."""
        counted = ops.cast(self.kept, dtype=self.like.dtype) if self.weight is None else masked(self.kept,
                                                                                                self.weight)
        return ops.sum(counted, dims=tuple(range(len(self.row))), keepdim=False)

    def reduce(self, loss: Any, reduction: str) -> Any:
        """The loss of positions [.., 1, ..], reduced; ignored ones are 0."""
        loss = masked(self.kept, loss)
        if reduction == "none":
            return ops.reshape(loss, shape=self.shape[: self.dim] + self.shape[self.dim + 1:])
        summed = ops.sum(loss, dims=tuple(range(len(self.row))), keepdim=False)
        return ops.div(summed, self.mass()) if reduction == "mean" else summed

    def shares(self, g: Any, reduction: str) -> Any:
        """The gradient of each position's loss [.., 1, ..] from that of the result; 0 where ignored."""
        if reduction == "none":
            return masked(self.kept, ops.reshape(g, shape=self.row))
        return masked(self.kept, ops.div(g, self.mass()) if reduction == "mean" else g)

    def hot(self) -> Any:
        """Where a class is the position's target, as bool over the input's shape.

        The target is looked up among the classes: a gradient whose loss nobody asks for checks it too.
        """
        classes = self._along(arange(self.shape[self.dim], device_of(self.like)))
        return ops.eq(classes, self._picked(ops.expand(classes, shape=self.shape)))


# ---------------------------------------------------------------- nll_loss
def _nll_expand(x: Any, target: Any, *weight: Any, ignore_index: int, reduction: str) -> Any:
    t = _Targets(tuple(x.shape), target, weight[0] if weight else None, ignore_index, x)
    return t.reduce(t.weighted(ops.neg(ops.gather(x, t.index, dim=t.dim))), reduction)


@widened
def _nll_grad(context: Context, g: Any) -> tuple:
    t = _Targets(tuple(context.types[0].shape), *_operands(context), context.attrs[0], g)
    slope = ops.neg(t.weighted(t.shares(g, context.attrs[1])))
    return masked(t.hot(), slope), *(None for _ in context.types[1:])


def _operands(context: Context) -> tuple:
    """Target and weight, or None."""
    return context.inputs[1], context.inputs[2] if len(context.inputs) > 2 else None


def _nll_tangent(context: Context, tangent: Any, *others: Any) -> Any:
    ignore_index, reduction = context.attrs
    if tangent is None:
        return None
    return _nll_expand(tangent, *context.inputs[1:], ignore_index=ignore_index, reduction=reduction)


def _saved_targets(needs: tuple[bool, ...]) -> tuple:
    return tuple(range(1, len(needs)))


def _reference(x: Any, target: Any, weight: Any, ignore_index: int, smoothing: float, reduction: str) -> Any:
    """-sum(q x) with x logarithms of probabilities."""
    import numpy

    d = _class_dim(x.shape)
    count = x.shape[d]
    kept = target != ignore_index
    index = numpy.where(kept, target, 0)
    if (index < 0).any() or (index >= count).any():
        raise IndexRangeError(f"a target is outside of the {count} classes")
    w = numpy.ones(count, x.dtype) if weight is None else weight
    picked = -numpy.take_along_axis(x, numpy.expand_dims(index, d), d).squeeze(d) * w[index]
    smooth = -(x * w.reshape([-1 if i == d else 1 for i in range(x.ndim)])).sum(axis=d)
    loss = numpy.where(kept, picked if not smoothing else (1 - smoothing) * picked + smoothing / count * smooth, 0)
    if reduction == "none":
        return loss.astype(x.dtype)
    mass = numpy.where(kept, w[index], 0).sum() if reduction == "mean" else 1
    return numpy.asarray(loss.sum() / mass).astype(x.dtype)


def _class_samples(logarithms: bool, **attributes: Any) -> list[Sample]:
    import numpy

    cases = [((4, 5), "mean"), ((4, 5), "sum"), ((4, 5), "none"), ((5,), "mean"), ((2, 3, 4), "mean"),
             ((2, 3, 2, 2), "none"),
             ((3, 130), "mean")]
    out = []
    for i, (shape, reduction) in enumerate(cases):
        d = _class_dim(shape)
        x = floats(shape, i, -3.0, 3.0)
        if logarithms:
            x = x - numpy.log(numpy.exp(x).sum(axis=d, keepdims=True))
        target = generator(i).integers(0, shape[d], shape[:d] + shape[d + 1:])
        weight = floats((shape[d],), i + 50, 0.5, 1.5)
        given = {**attributes, "reduction": reduction}
        out.append(Sample((x, target), given, f"{shape} {reduction}"))
        if i in (0, 2, 4):
            out.append(Sample((x, target, weight), given, f"{shape} {reduction} weighted"))
        if i < 3:
            ignored = {**given, "ignore_index": int(target.flat[1])}
            out.append(Sample((x, target), ignored, f"{shape} {reduction} ignoring"))
            out.append(Sample((x, target, weight), ignored, f"{shape} {reduction} weighted, ignoring"))
    return out


nll_loss = declare(
    "nll_loss", opaque, attributes=("ignore_index", "reduction"),
    defaults={"ignore_index": -100, "reduction": "mean"},
    infer=_loss_type("nll_loss"), saves=_saved_targets, grad=_nll_grad, jvp=_nll_tangent, promotion="none",
    checks=_checks, lowering=Decompose(widened_expand(_nll_expand)), samples=lambda: _class_samples(True),
    reference=lambda x, target, *weight, ignore_index, reduction:
        _reference(x, target, weight[0] if weight else None, ignore_index, 0.0, reduction),
    doc="The negative of the log-probability of each target class, times an optional weight per class.")


# ---------------------------------------------------------------- cross_entropy
def _cross_entropy_expand(x: Any, target: Any, *weight: Any, ignore_index: int, label_smoothing: float,
                          reduction: str) -> Any:
    t = _Targets(tuple(x.shape), target, weight[0] if weight else None, ignore_index, x)
    c = centred(x, t.dim)
    log_total = ops.log(total(ops.exp(c), t.dim))
    loss = t.weighted(ops.sub(log_total, ops.gather(c, t.index, dim=t.dim)))
    if label_smoothing:
        each = ops.sub(log_total, c)
        smooth = total(each if t.classes is None else ops.mul(each, t.classes), t.dim)
        loss = ops.add(ops.mul(loss, 1 - label_smoothing), _per_class(smooth, x.shape[t.dim], label_smoothing))
    return t.reduce(loss, reduction)


def _per_class(value: Any, count: Any, smoothing: float) -> Any:
    """value * smoothing / number of classes."""
    if isinstance(count, int):
        return ops.mul(value, smoothing / count)
    return ops.div(ops.mul(value, smoothing), ops.cast(position(count, device_of(value)), dtype=value.dtype))


def _distribution(t: _Targets, smoothing: float) -> Any:
    """q over the input's shape: one-hot, weighted and smoothed."""
    hot = ops.where(t.hot(), number(1.0, t.like), number(0.0, t.like))
    q = t.weighted(hot)
    if not smoothing:
        return q
    classes = ops.full_like(t.like, value=1.0) if t.classes is None else t.classes
    return ops.add(ops.mul(q, 1 - smoothing), _per_class(classes, t.shape[t.dim], smoothing))


def _slope(context: Context, x: Any) -> tuple[_Targets, Any]:
    """The targets, and the derivative of each position's loss by its logits: sum(q) softmax - q."""
    ignore_index, smoothing, _ = context.attrs
    t = _Targets(tuple(x.shape), *_operands(context), ignore_index, x)
    c = centred(x, t.dim)
    p = ops.exp(ops.sub(c, ops.log(total(ops.exp(c), t.dim))))
    q = _distribution(t, smoothing)
    if t.weight is None:
        return t, ops.sub(p, q)
    return t, ops.sub(ops.mul(p, total(q, t.dim)), q)


@widened
def _cross_entropy_grad(context: Context, g: Any) -> tuple:
    t, slope = _slope(context, context.inputs[0])
    return ops.mul(slope, t.shares(g, context.attrs[2])), *(None for _ in context.types[1:])


def _cross_entropy_tangent(context: Context, tangent: Any, *others: Any) -> Any:
    if tangent is None:
        return None
    t, slope = _slope(context, context.inputs[0])
    return t.reduce(total(ops.mul(slope, tangent), t.dim), context.attrs[2])


def _cross_entropy_reference(x: Any, target: Any, *weight: Any, ignore_index: int, label_smoothing: float,
                             reduction: str) -> Any:
    import numpy

    d = _class_dim(x.shape)
    c = x - x.max(axis=d, keepdims=True)
    logarithms = c - numpy.log(numpy.exp(c).sum(axis=d, keepdims=True))
    return _reference(logarithms, target, weight[0] if weight else None, ignore_index, label_smoothing, reduction)


cross_entropy = declare(
    "cross_entropy", opaque, attributes=("ignore_index", "label_smoothing", "reduction"), promotion="none",
    defaults={"ignore_index": -100, "label_smoothing": 0.0, "reduction": "mean"}, infer=_loss_type("cross_entropy"),
    saves=lambda needs: tuple(range(len(needs))), grad=_cross_entropy_grad, jvp=_cross_entropy_tangent,
    checks=_checks, lowering=Decompose(widened_expand(_cross_entropy_expand)), reference=_cross_entropy_reference,
    samples=lambda: [*_class_samples(False), *_class_samples(False, label_smoothing=0.1)],
    doc="nll_loss of log_softmax of the logits, in one record. `label_smoothing` mixes the target with the uniform "
    "distribution. Probabilities as targets are composed by the frontend of log_softmax and sum.")
