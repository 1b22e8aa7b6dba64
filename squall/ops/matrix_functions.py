"""Functions of whole matrices as host steps: the exponential, and the order of rows that exchanges give.

Both were read out in the frontend before; as ops they work while tracing, in loops and under vmap.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int64
from squall.base.errors import DtypeError, ShapeError
from squall.ir.families import opaque
from squall.ir.op import NON_DIFFERENTIABLE, Context, Library, Sample, declare, ops
from squall.ops.matrices import check_matrices, part, stack_batch, transposed
from squall.ops.samples import floats

_TERMS = 18  # of Taylor's series: the next is below a rounding of float64 for norms up to 1/2


# ---------------------------------------------------------------- matrix_exp
def _exp_type(types: tuple, attrs: tuple) -> Any:
    check_matrices("matrix_exp", *types, square=True)
    return types[0]


def _exp(x: Any) -> Any:
    """Taylor's series of scaled matrices, squared again; each is scaled by its own norm."""
    import numpy

    if not x.size:
        return x.copy()
    wide = x.astype(numpy.complex128 if x.dtype.kind == "c" else numpy.float64)
    with numpy.errstate(all="ignore"):
        size = numpy.abs(wide).sum(-1).max(-1)
        halvings = numpy.where((size > 0) & numpy.isfinite(size), numpy.ceil(numpy.log2(size)) + 1, 0)
        halvings = numpy.maximum(halvings, 0).astype(int)[..., None, None]
        scaled = wide * numpy.exp2(-halvings.astype(numpy.float64))
        total = power = scaled
        for k in range(2, _TERMS):
            power = power @ scaled / k
            total = total + power
        total = total + numpy.eye(x.shape[-1])
        for step in range(int(halvings.max())):
            total = numpy.where(step < halvings, total @ total, total)
        return total.astype(x.dtype)


def _beside_direction(x: Any, direction: Any) -> Any:
    """The derivative of the exponential at x along a direction: the upper right of exp([[x, d], [0, x]])."""
    n, rank = x.shape[-1], len(x.shape)
    above = ops.concat(x, direction, dim=rank - 1)
    below = ops.concat(ops.mul(x, 0.0), x, dim=rank - 1)
    whole = ops.matrix_exp(ops.concat(above, below, dim=rank - 2))
    return part(part(whole, -2, 0, n), -1, n, n)


def _exp_grad(context: Context, g: Any) -> Any:
    return _beside_direction(transposed(context.inputs[0]), g)


matrix_exp = declare(
    "matrix_exp", opaque, parts="library", infer=_exp_type, saves=(0,), grad=_exp_grad,
    jvp=lambda context, t: _beside_direction(context.inputs[0], t), promotion="none", vmap=stack_batch,
    lowering=Library(_exp), reference=_exp,
    samples=lambda: [Sample((floats(s, i),), {}, str(s)) for i, s in enumerate(((3, 3), (1, 1), (2, 4, 4), (0, 0)))],
    doc="e to the power of square matrices, computed in float64 or complex128.")


# ---------------------------------------------------------------- row_order
def _order_type(types: tuple, attrs: tuple) -> Any:
    (pivots,), (rows,) = types, attrs
    if pivots.dtype.category != 1:
        raise DtypeError(f"row_order: expected integer exchanges, as lu_factor gives them, got {pivots.dtype}")
    known = bool(pivots.shape) and isinstance(pivots.shape[-1], int) and isinstance(rows, int)
    if not pivots.shape or (known and pivots.shape[-1] > rows):
        raise ShapeError(f"row_order: exchanges of shape {tuple(pivots.shape)} do not fit {rows} rows")
    return pivots.with_shape((*pivots.shape[:-1], rows)).with_dtype(int64)


def _order(pivots: Any, rows: int) -> Any:
    """The exchanges done on 0 .. rows - 1, all stacks at once."""
    import numpy

    *stack, k = pivots.shape
    order = numpy.tile(numpy.arange(rows), (*stack, 1)).reshape(-1, rows)
    each = numpy.arange(len(order))
    for i, other in enumerate(pivots.reshape(len(order), k).T.astype(numpy.int64) - 1):
        order[each, i], order[each, other] = order[each, other].copy(), order[each, i].copy()
    return order.reshape(*stack, rows)


def _exchanges() -> list[Sample]:
    import numpy

    return [Sample((numpy.array(p, "int32"),), {"rows": n}, str(p))
            for p, n in (([3, 3, 3], 3), ([[2, 2], [1, 3], [1, 2]], 4), ([1], 1))]


row_order = declare(
    "row_order", opaque, attributes=("rows",), infer=_order_type, grad=NON_DIFFERENTIABLE, promotion="none",
    vmap=stack_batch, lowering=Library(_order), reference=_order, samples=_exchanges,
    doc="The order of rows, from 0, that the exchanges of `lu_factor`, from 1, come to.")
