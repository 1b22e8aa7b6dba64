"""Optimizer steps: SGD and Adam as composites of several outputs, in PyTorch's order of operations.

Hyperparameters that a schedule may change are operands (zero-dim, kept in float64 as Python numbers are); what changes
the program is an attribute. Bias corrections are computed in float64; parameter-sized work in the parameter's dtype,
16-bit parameters in float32.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import float64
from squall.base.errors import ShapeError
from squall.ir.families import elementwise
from squall.ir.op import NON_DIFFERENTIABLE, Decompose, Op, Sample, declare, ops
from squall.ops.common import as_dtype_of, widen
from squall.ops.samples import floats


def _parameter_like(name: str, types: tuple, count: int, indices: tuple[int, ...]) -> tuple:
    """The types of the operands at `indices`, after checking that the first `count` operands share one shape."""
    for t in types[1:count]:
        if tuple(t.shape) != tuple(types[0].shape):
            raise ShapeError(f"{name}: parameter {types[0]} and {t} must have one shape")
    return tuple(types[i] for i in indices)


def _numbers(*values: float) -> tuple:
    import numpy

    return tuple(numpy.asarray(v, numpy.float64) for v in values)


def _batched_state(*own: int) -> Any:
    """Batching when the operands at `own` are parameter-sized, which then all have a batch, and the others numbers."""

    def batch(op: Op, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
        rank = len(operands[0].shape) - batched[0]
        aligned = []
        for i, (operand, is_batched) in enumerate(zip(operands, batched, strict=True)):
            if i in own and not is_batched:
                operand = ops.expand(operand, shape=(size, *operand.shape))
            elif i not in own and is_batched:
                operand = ops.reshape(operand, shape=(size,) + (1,) * rank)
            aligned.append(operand)
        return op(*aligned, **op.named(attrs)), True

    return batch


# ---------------------------------------------------------------- SGD
def _sgd_expand(p: Any, g: Any, lr: Any, weight_decay: Any, *state: Any, decay: bool, nesterov: bool, maximize: bool,
                first: bool) -> tuple:
    wide = widen(p)
    grad = as_dtype_of(g, wide.dtype)
    if maximize:
        grad = ops.neg(grad)
    if decay:
        grad = ops.add(grad, ops.mul(wide, as_dtype_of(weight_decay, wide.dtype)))
    kept: tuple = ()
    if state:
        buffer, momentum, dampening = state
        factor = as_dtype_of(momentum, wide.dtype)
        if first:
            velocity = grad
        else:
            fresh = ops.mul(grad, as_dtype_of(ops.sub(1.0, dampening), wide.dtype))
            velocity = ops.add(ops.mul(as_dtype_of(buffer, wide.dtype), factor), fresh)
        grad = ops.add(grad, ops.mul(velocity, factor)) if nesterov else velocity
        kept = (as_dtype_of(velocity, buffer.dtype),)
    stepped = ops.sub(wide, ops.mul(grad, as_dtype_of(lr, wide.dtype)))
    return as_dtype_of(stepped, p.dtype), *kept


def _sgd_reference(p: Any, g: Any, lr: Any, weight_decay: Any, *state: Any, decay: bool, nesterov: bool,
                   maximize: bool,
                   first: bool) -> tuple:
    g = -g if maximize else g
    g = g + p * weight_decay.astype(p.dtype) if decay else g
    kept: tuple = ()
    if state:
        buffer, momentum, dampening = state
        velocity = g if first else buffer * momentum.astype(p.dtype) + g * (1 - dampening).astype(p.dtype)
        g = g + velocity * momentum.astype(p.dtype) if nesterov else velocity
        kept = (velocity,)
    return p - g * lr.astype(p.dtype), *kept


def _sgd_samples() -> list[Sample]:
    p, g, buffer = floats((3, 4), 1), floats((3, 4), 2), floats((3, 4), 3)
    plain, state = _numbers(0.1, 0.01), (buffer, *_numbers(0.9, 0.1))
    out = [Sample((p, g, *plain), {"decay": d, "maximize": m}, "plain") for d, m in ((False, False), (True, True))]
    out += [Sample((p, g, *plain, *state), {"decay": True, "nesterov": n, "first": f}, "momentum")
            for n, f in ((False, False), (True, False), (True, True))]
    return out


sgd_update = declare(
    "sgd_update", elementwise, attributes=("decay", "nesterov", "maximize", "first"), promotion="none",
    defaults={"decay": False, "nesterov": False, "maximize": False, "first": False}, grad=NON_DIFFERENTIABLE,
    infer=lambda types, attrs: _parameter_like("sgd_update", types, 2, (0, 4) if len(types) > 4 else (0,)),
    vmap=_batched_state(0, 1, 4), lowering=Decompose(_sgd_expand), reference=_sgd_reference, samples=_sgd_samples,
    doc="One step of torch.optim.SGD: operands p, g, lr, weight_decay and, for momentum, buffer, momentum, "
    "dampening; results "
    "p and, for momentum, the buffer. `first` starts the buffer with the gradient (with a dampening of 0, zeros "
    "do as well); "
    "`decay` says whether weight_decay counts.")


# ---------------------------------------------------------------- Adam
def _adam_expand(p: Any, g: Any, m: Any, v: Any, step: Any, lr: Any, beta1: Any, beta2: Any, eps: Any,
                 weight_decay: Any, *,
                 decay: bool, decoupled: bool, maximize: bool) -> tuple:
    wide = widen(p)
    dtype = wide.dtype
    grad, first, second = (as_dtype_of(value, dtype) for value in (g, m, v))
    if maximize:
        grad = ops.neg(grad)
    lr, beta1, beta2, step = (as_dtype_of(value, float64) for value in (lr, beta1, beta2, step))
    if decay and decoupled:
        shrink = ops.sub(1.0, ops.mul(lr, as_dtype_of(weight_decay, float64)))
        wide = ops.mul(wide, as_dtype_of(shrink, dtype))
    elif decay:
        grad = ops.add(grad, ops.mul(wide, as_dtype_of(weight_decay, dtype)))
    first = ops.lerp(first, grad, as_dtype_of(ops.sub(1.0, beta1), dtype))
    fresh = ops.mul(ops.mul(as_dtype_of(ops.sub(1.0, beta2), dtype), grad), grad)
    second = ops.add(ops.mul(second, as_dtype_of(beta2, dtype)), fresh)
    step_size = ops.div(lr, ops.sub(1.0, ops.pow(beta1, step)))
    root = ops.sqrt(ops.sub(1.0, ops.pow(beta2, step)))
    below = ops.add(ops.div(ops.sqrt(second), as_dtype_of(root, dtype)), as_dtype_of(eps, dtype))
    moved = ops.sub(wide, ops.div(ops.mul(as_dtype_of(step_size, dtype), first), below))
    return as_dtype_of(moved, p.dtype), as_dtype_of(first, m.dtype), as_dtype_of(second, v.dtype)


def _adam_reference(p: Any, g: Any, m: Any, v: Any, step: Any, lr: Any, beta1: Any, beta2: Any, eps: Any,
                    weight_decay: Any, *,
                    decay: bool, decoupled: bool, maximize: bool) -> tuple:
    import numpy

    def like(value: Any) -> Any:
        return value.astype(p.dtype)

    step, lr, beta1, beta2, eps, weight_decay = (
        numpy.asarray(value, numpy.float64) for value in (step, lr, beta1, beta2, eps, weight_decay))
    g = -g if maximize else g
    g = g + p * like(weight_decay) if decay and not decoupled else g
    start = p * like(1 - lr * weight_decay) if decay and decoupled else p
    weight = like(1 - beta1)
    m = numpy.where(weight < 0.5, m + weight * (g - m), g - (g - m) * (1 - weight))
    v = v * like(beta2) + like(1 - beta2) * g * g
    below = v**0.5 / like((1 - beta2**step) ** 0.5) + like(eps)
    return start - like(lr / (1 - beta1**step)) * m / below, m, v


def _adam_samples() -> list[Sample]:
    numbers = _numbers(3.0, 1e-2, 0.9, 0.999, 1e-8, 0.1)
    out = []
    for shape, attributes in (((3, 4), {}), ((5,), {"decay": True}), ((2, 3), {"decay": True, "decoupled": True}),
                              ((), {"maximize": True}), ((0, 2), {})):
        state = (floats(shape, 1), floats(shape, 2), floats(shape, 3), floats(shape, 4, 0.0, 1.0))
        out.append(Sample((*state, *numbers), attributes, f"{shape} {attributes}"))
    return out


adam_update = declare(
    "adam_update", elementwise, attributes=("decay", "decoupled", "maximize"), promotion="none",
    defaults={"decay": False, "decoupled": False, "maximize": False}, grad=NON_DIFFERENTIABLE,
    infer=lambda types, attrs: _parameter_like("adam_update", types, 4, (0, 2, 3)), lowering=Decompose(_adam_expand),
    vmap=_batched_state(0, 1, 2, 3),
    reference=_adam_reference, samples=_adam_samples,
    doc="One step of torch.optim.Adam or, `decoupled`, AdamW: operands p, g, m, v, step (this one's number, "
    "from 1), lr, beta1, "
    "beta2, eps, weight_decay; results p, m, v. `decay` says whether weight_decay counts.")
