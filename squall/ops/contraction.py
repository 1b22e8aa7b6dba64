"""Contraction: sums of products over named indices, and matmul and linear written with them.

The compiler lowers `contract` to one nest; every gradient of a contraction is a contraction of the same letters.
"""

from __future__ import annotations

from string import ascii_letters
from typing import Any

from squall.base.dtypes import DType
from squall.base.errors import DtypeError, ShapeError
from squall.base.shapes import broadcast, numel
from squall.ir.families import common_device, contraction
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Nest, Sample, declare, ops
from squall.ops.samples import floats
from squall.ops.slicing import with_batch


def split_equation(equation: str) -> tuple[str, str, str]:
    """The letters of both operands and of the result of "ab,bc->ac".

    Raises:
        ShapeError: for an equation of another form, a letter twice in one operand, or one summed in one operand alone.
    """
    operands, arrow, out = equation.partition("->")
    a, comma, b = operands.partition(",")
    if not arrow or not comma or not (a + b + out).isalpha() and (a + b + out):
        raise ShapeError(f'contract: equation {equation!r} is not of the form "ab,bc->ac"')
    for part in (a, b, out):
        if len(set(part)) != len(part):
            raise ShapeError(f"contract: a letter stands twice in {part!r} of {equation!r}")
    for part, rest in ((a, b + out), (b, a + out), (out, a + b)):
        missing = set(part) - set(rest)
        if missing:
            raise ShapeError(f"contract: {sorted(missing)} of {part!r} is nowhere else in {equation!r}")
    return a, b, out


def letter_sizes(types: tuple, equation: str) -> dict[str, Any]:
    """The size of each letter; ShapeError when an operand has another rank or two sizes differ."""
    sizes: dict[str, Any] = {}
    for letters, t in zip(split_equation(equation)[:2], types, strict=True):
        if len(letters) != len(t.shape):
            raise ShapeError(f"contract: {letters!r} of {equation!r} does not name the dimensions of shape {tuple(t.shape)}")
        for letter, size in zip(letters, t.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(f"contract: {letter!r} is {sizes[letter]} and {size} for shapes "
                                 f"{tuple(types[0].shape)} and {tuple(types[1].shape)} of {equation!r}")
    return sizes


def check_numbers(name: str, types: tuple) -> DType:
    """The one dtype of operands that are multiplied and added; DtypeError for bool and for two dtypes."""
    dtype = types[0].dtype
    for t in types:
        if t.dtype is not dtype:
            raise DtypeError(f"{name}: expected operands of one dtype, got {dtype} and {t.dtype}")
    if dtype.category == 0:
        raise DtypeError(f"{name}: bool operands cannot be multiplied and added; cast them to an integer dtype")
    return dtype


def _contract_type(types: tuple, attrs: tuple) -> TensorType:
    (equation,) = attrs
    sizes = letter_sizes(types, equation)
    dtype, device = check_numbers("contract", types), common_device(contract, types)
    return TensorType(tuple(sizes[c] for c in split_equation(equation)[2]), dtype, device)


def _contract_grad(context: Context, g: Any) -> tuple:
    (a, b), (x, y, out), (needs_a, needs_b) = context.inputs, split_equation(context.attrs[0]), context.needs
    return (ops.contract(g, b, equation=f"{out},{y}->{x}") if needs_a else None,
            ops.contract(a, g, equation=f"{x},{out}->{y}") if needs_b else None)


def _product_saves(needs: tuple[bool, ...]) -> tuple:
    return (1,) * needs[0] + (0,) * needs[1]


def _contract_reference(a: Any, b: Any, equation: str) -> Any:
    import numpy

    return numpy.einsum(equation, a, b, optimize=True)


def fresh(used: str, count: int = 1) -> str:
    """Letters that an equation does not use yet."""
    return "".join([c for c in ascii_letters if c not in used][:count])


def _contract_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    a, b, out = split_equation(attrs[0])
    letter = fresh(a + b + out)
    equation = f"{letter * batched[0]}{a},{letter * batched[1]}{b}->{letter}{out}"
    return ops.contract(*operands, equation=equation), True


def _contract_samples() -> list[Sample]:
    cases = [("mk,kn->mn", (3, 4), (4, 5)), ("bmk,bkn->bmn", (2, 3, 4), (2, 4, 2)), ("km,nk->nm", (4, 3), (2, 4)),
             ("k,k->", (5,), (5,)), ("m,n->mn", (3,), (4,)), ("mk,kn->mn", (3, 0), (0, 2)), ("mk,kn->mn", (0, 3), (3, 2)),
             ("abk,kn->abn", (2, 3, 4), (4, 5)), ("nopq,ncpqxy->ocxy", (2, 3, 2, 2), (2, 2, 2, 2, 3, 1)),
             ("mk,kn->mn", (17, 33), (33, 19)), ("a,->a", (3,), ())]
    return [Sample((floats(a, i), floats(b, i + 30)), {"equation": e}, e) for i, (e, a, b) in enumerate(cases)]


contract = declare(
    "contract", contraction, attributes=("equation",), infer=_contract_type, saves=_product_saves, grad=_contract_grad,
    lowering=Nest(lambda types, attrs: letter_sizes(types, attrs[0])), reference=_contract_reference,
    vmap=_contract_batch, samples=_contract_samples,
    doc="Products summed over the letters that the result lacks. Each letter of an operand is in the other or in the "
        "result, and none is repeated. 16-bit floats accumulate in float32, integers exactly.")


def _matmul_plan(a: tuple, b: tuple) -> tuple[tuple, tuple, str, tuple]:
    """Operand shapes without dimensions of 1 that broadcast, the equation over them, and the result's shape."""
    if not a or not b:
        raise ShapeError(f"matmul: both operands need at least one dimension, got shapes {a} and {b}")
    rows, inner, columns = a[-2:-1], a[-1], b[-1:] if len(b) > 1 else ()
    if inner != (b[-2] if len(b) > 1 else b[-1]):
        raise ShapeError(f"matmul: shapes {a} and {b} do not multiply: the last size {inner} of the first must be the "
                         f"{'second to last size' if len(b) > 1 else 'size'} of the second")
    batch = broadcast(a[:-2], b[:-2], "matmul")
    letters = "".join(c for c in ascii_letters if c not in "mkn")[:len(batch)]
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
    shapes = [tuple(o.shape)[1:] if is_batched else tuple(o.shape) for o, is_batched in zip(operands, batched)]
    first, second, equation, _ = _matmul_plan(*shapes)
    a, b = (reshaped(o, (size, *s) if is_batched else s)
            for o, s, is_batched in zip(operands, (first, second), batched, strict=True))
    return _contract_batch(ops.contract, (a, b), batched, size, (equation,))


def _matmul_samples() -> list[Sample]:
    cases = [((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 3)), ((2, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4, 2)),
             ((3, 4), (2, 4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((0, 3), (3, 2)), ((2, 0), (0, 2)), ((1, 2, 2), (1, 2, 2))]
    return [Sample((floats(a, i), floats(b, i + 40)), {}, f"{a} @ {b}") for i, (a, b) in enumerate(cases)]


matmul = declare(
    "matmul", contraction, infer=_matmul_type, saves=_product_saves, grad=_matmul_grad, lowering=Decompose(_matmul),
    jvp=_matmul_tangent, vmap=_matmul_batch, samples=_matmul_samples, reference=lambda a, b: a @ b,
    doc="The matrix product by NumPy's rules: one-dimensional operands are a row or a column, leading dimensions "
        "broadcast.")


def _linear_type(types: tuple, attrs: tuple) -> TensorType:
    x, weight, *bias = types
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"linear: input of shape {tuple(x.shape)} does not fit weight of shape {tuple(weight.shape)}: "
                         "the last size of the input must be the second of the weight")
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


def bilinear_tangent(context: Context, tangents: tuple) -> Any:
    """The jvp of an op linear in each of its first two operands, with an added third (bias) along dimension `1` or last."""
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
    lead = (numel(shape[batched[0]:-1]), shape[-1])
    rows = ops.reshape(x, shape=shape[:1] * batched[0] + lead)
    out = _contract_batch(op, (rows, weight), batched[:2], size, ("mk,nk->mn",))[0] if any(batched[:2]) else with_batch(
        ops.contract(rows, weight, equation="mk,nk->mn"), False, size)
    if bias:
        column = ops.reshape(bias[0], shape=(size, 1, bias[0].shape[1])) if batched[2] else bias[0]
        out = ops.add(out, column)
    return ops.reshape(out, shape=(size, *shape[len(shape) - rank:-1], out.shape[-1])), True


def _linear_samples() -> list[Sample]:
    cases = [((3, 4), (5, 4), True), ((2, 3, 4), (2, 4), True), ((4,), (3, 4), True), ((3, 4), (5, 4), False),
             ((0, 4), (2, 4), True), ((2, 0), (3, 0), True), ((2, 1, 2, 3), (1, 3), False)]
    return [Sample((floats(x, i), floats(w, i + 50)) + ((floats(w[:1], i + 60),) if b else ()), {}, f"{x} by {w}")
            for i, (x, w, b) in enumerate(cases)]


linear = declare(
    "linear", contraction, infer=_linear_type, grad=_linear_grad, lowering=Decompose(_linear), vmap=_linear_batch,
    saves=_product_saves, reference=_linear_reference, samples=_linear_samples,
    jvp=lambda context, *tangents: bilinear_tangent(context, tangents),
    doc="x times the transpose of a weight [out, in], plus a bias [out]: an affine layer over the last dimension.")
