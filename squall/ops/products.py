"""Products of matrices written with `contract`: matmul by NumPy's rules, and linear, the affine layer."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

from squall.base.errors import ShapeError
from squall.base.shapes import broadcast, numel
from squall.ir.families import common_device, contraction
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.contraction import check_numbers, contract_batch, product_saves, split_equation
from squall.ops.samples import floats
from squall.ops.slicing import with_batch


def _matmul_plan(a: tuple, b: tuple) -> tuple[tuple, tuple, str, tuple]:
    """Operand shapes without dimensions of 1 that broadcast, the equation over them, and the result's shape."""
    if not a or not b:
        raise ShapeError(f"matmul: both operands need at least one dimension, got shapes {a} and {b}")
    rows, inner, columns = a[-2:-1], a[-1], b[-1:] if len(b) > 1 else ()
    if inner != (b[-2] if len(b) > 1 else b[-1]):
        raise ShapeError(
            f"matmul: shapes {a} and {b} do not multiply: the last size {inner} of the first must be the "
            f"{'second to last size' if len(b) > 1 else 'size'} of the second"
        )
    batch = broadcast(a[:-2], b[:-2], "matmul")
    letters = "".join(c for c in ascii_letters if c not in "mkn")[: len(batch)]
    kept = []
    for lead in (a[:-2], b[:-2]):
        offset = len(batch) - len(lead)
        kept.append([(letters[offset + i], n) for i, n in enumerate(lead) if n == batch[offset + i]])
    out = letters + "m" * len(rows) + "n" * len(columns)
    x = "".join(c for c, _ in kept[0]) + "m" * len(rows) + "k"
    y = "".join(c for c, _ in kept[1]) + "k" + "n" * len(columns)
    first = (*(n for _, n in kept[0]), *rows, inner)
    second = (*(n for _, n in kept[1]), inner, *columns)
    return first, second, f"{x},{y}->{out}", (*batch, *rows, *columns)


def reshaped(value: Any, shape: tuple) -> Any:
    """`reshape`, or the value itself when it has the shape."""
    return value if tuple(value.shape) == tuple(shape) else ops.reshape(value, shape=tuple(shape))


def _matmul_type(types: tuple, attrs: tuple) -> TensorType:
    shape = _matmul_plan(tuple(types[0].shape), tuple(types[1].shape))[3]
    return TensorType(shape, check_numbers("matmul", types), common_device(matmul, types))


def _matmul(a: Any, b: Any) -> Any:
    first, second, equation, _ = _matmul_plan(tuple(a.shape), tuple(b.shape))
    return ops.contract(reshaped(a, first), reshaped(b, second), equation=equation)


def _matmul_grad(context: Context, g: Any) -> tuple:
    first, second, equation, _ = _matmul_plan(*(tuple(t.shape) for t in context.types))
    (a, b), (x, y, out) = context.inputs, split_equation(equation)
    ga = gb = None
    if context.needs[0]:
        ga = ops.contract(g, reshaped(b, second), equation=f"{out},{y}->{x}")
        ga = reshaped(ga, context.types[0].shape)
    if context.needs[1]:
        gb = ops.contract(reshaped(a, first), g, equation=f"{x},{out}->{y}")
        gb = reshaped(gb, context.types[1].shape)
    return ga, gb


def _matmul_tangent(context: Context, da: Any, db: Any) -> Any:
    a, b = context.inputs
    parts = ([] if da is None else [ops.matmul(da, b)]) + ([] if db is None else [ops.matmul(a, db)])
    return parts[0] if len(parts) == 1 else ops.add(*parts)


def _matmul_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """The equation of one element with a letter for the batch in front."""
    shapes = [
        tuple(o.shape)[1:] if is_batched else tuple(o.shape) for o, is_batched in zip(operands, batched)
    ]
    first, second, equation, _ = _matmul_plan(*shapes)
    a, b = (
        reshaped(o, (size, *s) if is_batched else s)
        for o, s, is_batched in zip(operands, (first, second), batched, strict=True)
    )
    return contract_batch(ops.contract, (a, b), batched, size, (equation,))


def _matmul_samples() -> list[Sample]:
    cases = [
        ((3, 4), (4, 5)),
        ((4,), (4,)),
        ((4,), (4, 3)),
        ((2, 4), (4,)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((2, 3, 4), (4, 2)),
        ((3, 4), (2, 4, 2)),
        ((2, 3, 4), (4,)),
        ((4,), (2, 4, 3)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 2)),
        ((1, 2, 2), (1, 2, 2)),
    ]
    return [Sample((floats(a, i), floats(b, i + 40)), {}, f"{a} @ {b}") for i, (a, b) in enumerate(cases)]


matmul = declare(
    "matmul",
    contraction, parts="composite",
    infer=_matmul_type,
    saves=product_saves,
    grad=_matmul_grad,
    lowering=Decompose(_matmul),
    jvp=_matmul_tangent,
    vmap=_matmul_batch,
    samples=_matmul_samples,
    reference=lambda a, b: a @ b,
    doc="The matrix product by NumPy's rules: one-dimensional operands are a row or a column, leading dimensions "
    "broadcast.",
)


def _linear_type(types: tuple, attrs: tuple) -> TensorType:
    x, weight, *bias = types
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: input of shape {tuple(x.shape)} does not fit weight of shape {tuple(weight.shape)}: "
            "the last size of the input must be the second of the weight"
        )
    if bias and tuple(bias[0].shape) != (weight.shape[0],):
        raise ShapeError(f"linear: bias of shape {tuple(bias[0].shape)} must have shape {(weight.shape[0],)}")
    dtype, device = check_numbers("linear", types), common_device(linear, types)
    return TensorType((*x.shape[:-1], weight.shape[0]), dtype, device)


def _rows(value: Any) -> Any:
    """A value as a matrix of its last dimension."""
    shape = tuple(value.shape)
    return value if len(shape) == 2 else ops.reshape(value, shape=(numel(shape[:-1]), shape[-1]))


def _linear(x: Any, weight: Any, *bias: Any) -> Any:
    out = ops.contract(_rows(x), weight, equation="mk,nk->mn")
    if bias:
        out = ops.add(out, bias[0])
    return reshaped(out, (*x.shape[:-1], weight.shape[0]))


def _linear_grad(context: Context, g: Any) -> tuple:
    x, weight = context.inputs[:2]
    rows = _rows(g)
    gx = gw = None
    if context.needs[0]:
        gx = reshaped(ops.contract(rows, weight, equation="mn,nk->mk"), context.types[0].shape)
    if context.needs[1]:
        gw = ops.contract(rows, _rows(x), equation="mn,mk->nk")
    if len(context.types) == 2:
        return gx, gw
    return gx, gw, ops.sum(rows, dims=(0,), keepdim=False) if context.needs[2] else None


def _linear_reference(x: Any, weight: Any, *bias: Any) -> Any:
    out = x @ weight.T
    return out + bias[0] if bias else out


def bilinear_tangent(context: Context, *tangents: Any) -> Any:
    """The jvp of an op linear in each of its first two operands, and with an added third: a bias."""
    x, weight = context.inputs[:2]
    dx, dw, db = (*tangents, None)[:3]
    named, parts = context.op.named(context.attrs), []
    if dx is not None:
        parts.append(context.op(dx, weight, **named))
    if dw is not None:
        parts.append(context.op(x, dw, **named))
    if db is not None:
        shape, rank = tuple(context.out_type.shape), len(context.out_type.shape)
        if context.op is not linear:
            db = ops.reshape(db, shape=(db.shape[0],) + (1,) * (rank - 2))
        parts.append(ops.expand(db, shape=shape))
    total = parts[0]
    for part in parts[1:]:
        total = ops.add(total, part)
    return total


def _linear_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    x, weight, *bias = operands
    if not any(batched[1:]):
        return ops.linear(*operands), True
    shape = tuple(x.shape)
    rank = len(shape) - batched[0]
    lead = (numel(shape[batched[0] : -1]), shape[-1])
    rows = ops.reshape(x, shape=shape[:1] * batched[0] + lead)
    out = (
        contract_batch(op, (rows, weight), batched[:2], size, ("mk,nk->mn",))[0]
        if any(batched[:2])
        else with_batch(ops.contract(rows, weight, equation="mk,nk->mn"), False, size)
    )
    if bias:
        column = ops.reshape(bias[0], shape=(size, 1, bias[0].shape[1])) if batched[2] else bias[0]
        out = ops.add(out, column)
    return ops.reshape(out, shape=(size, *shape[len(shape) - rank : -1], out.shape[-1])), True


def _linear_samples() -> list[Sample]:
    cases = [
        ((3, 4), (5, 4), True),
        ((2, 3, 4), (2, 4), True),
        ((4,), (3, 4), True),
        ((3, 4), (5, 4), False),
        ((0, 4), (2, 4), True),
        ((2, 0), (3, 0), True),
        ((2, 1, 2, 3), (1, 3), False),
    ]
    return [
        Sample((floats(x, i), floats(w, i + 50)) + ((floats(w[:1], i + 60),) if b else ()), {}, f"{x} by {w}")
        for i, (x, w, b) in enumerate(cases)
    ]


linear = declare(
    "linear",
    contraction, parts="composite",
    infer=_linear_type,
    grad=_linear_grad,
    lowering=Decompose(_linear),
    vmap=_linear_batch,
    saves=product_saves,
    reference=_linear_reference,
    samples=_linear_samples,
    jvp=bilinear_tangent,
    doc="x times the transpose of a weight [out, in], plus a bias [out]: an affine layer over the last dimension.",
)
