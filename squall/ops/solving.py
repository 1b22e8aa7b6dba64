"""Linear systems as host steps: inverse, solve, solve_triangular, slogdet, pinv. LAPACK computes, rules derive."""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import int32, real_of
from squall.base.errors import ShapeError
from squall.ir.families import opaque
from squall.ir.op import Context, Library, Sample, declare, ops, raises_itself
from squall.ops.failing import decomposed, over_stack, raise_where, zero_pivot
from squall.ops.matrices import (
    adjoint,
    as_complex,
    chain,
    check_matrices,
    identity,
    lower,
    stack_batch,
    transposed,
    upper,
    well_conditioned,
)
from squall.ops.samples import floats

_SHAPES = ((3, 3), (1, 1), (2, 4, 4), (0, 2, 2), (0, 0))


# What raises, and what is said of it; see `failing.py`.
_SINGULAR = "the input matrix A is singular: element {} on the diagonal of its factor U is zero"


def _info_of(x: Any) -> Any:
    return x.with_shape(tuple(x.shape[:-2])).with_dtype(int32)


# ---------------------------------------------------------------- inverse
def _inverse_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("inverse", *types, square=True)
    return types[0], _info_of(types[0])


def _inverse(x: Any, function: str) -> tuple:
    import numpy

    found, info = over_stack(numpy.linalg.inv, zero_pivot, x)
    raise_where(info, "inverse", function, _SINGULAR, "linalg.inv_ex gives info in place of an error, linalg.pinv an "
                "inverse of every matrix")
    return found, info


def _inverse_grad(context: Context, g: tuple) -> Any:
    if g[0] is None:
        return None
    turned = transposed(context.output[0])
    return ops.neg(chain(turned, g[0], turned))


def _inverse_tangent(context: Context, t: Any) -> tuple:
    return ops.neg(chain(context.output[0], t, context.output[0])), None


def inverted(x: Any) -> Any:
    """The inverses of matrices, NaN of singular ones."""
    return ops.inverse(x)[0]


inverse = declare(
    "inverse", opaque, parts="library", attributes=("function",), defaults={"function": ""}, checks=raises_itself,
    infer=_inverse_type, saves=("out",), grad=_inverse_grad, promotion="none", vmap=stack_batch,
    jvp=_inverse_tangent, lowering=Library(_inverse),
    reference=_inverse, samples=lambda: [Sample((well_conditioned(s, i),), {}, str(s)) for i, s in enumerate(_SHAPES)],
    doc="The inverses of square matrices, and the place of a zero on the diagonal of the factor U, from 1, or 0; "
    "singular ones give NaN, or LinAlgError in the name of `function`.")


# ---------------------------------------------------------------- solve
def _solve_type(types: tuple, attrs: tuple) -> Any:
    check_matrices("solve", *types, square=True)
    if types[0].shape[-1] != types[1].shape[-2]:
        raise ShapeError(f"solve: matrices {tuple(types[0].shape)} and right sides {tuple(types[1].shape)} do not fit")
    return types[1]


def _solve_types(types: tuple, attrs: tuple) -> tuple:
    return _solve_type(types, attrs), _info_of(types[0])


def _solve(a: Any, b: Any, function: str) -> tuple:
    import numpy

    found, info = over_stack(numpy.linalg.solve, zero_pivot, a, b)
    raise_where(info, "solve", function, _SINGULAR, "linalg.solve_ex gives info in place of an error, linalg.lstsq a "
                "solution of least squares")
    return found, info


def _solve_grad(context: Context, g: tuple) -> tuple:
    if g[0] is None:
        return None, None
    right = ops.solve(transposed(context.inputs[0]), g[0], function=context.attrs[0])[0]
    left = ops.neg(ops.matmul(right, transposed(context.output[0]))) if context.needs[0] else None
    return left, right


def _solve_tangent(context: Context, ta: Any, tb: Any) -> tuple:
    moved = None if ta is None else ops.neg(ops.matmul(ta, context.output[0]))
    total = tb if moved is None else moved if tb is None else ops.add(tb, moved)
    return ops.solve(context.inputs[0], total, function=context.attrs[0])[0], None


def _systems() -> list[tuple]:
    return [((3, 3), (3, 2)), ((1, 1), (1, 1)), ((2, 4, 4), (2, 4, 3)), ((2, 2), (2, 0)), ((0, 2, 2), (0, 2, 1))]


solve = declare(
    "solve", opaque, parts="library", attributes=("function",), defaults={"function": ""}, checks=raises_itself,
    infer=_solve_types, saves=(0, "out"), grad=_solve_grad, jvp=_solve_tangent, promotion="none",
    vmap=stack_batch, lowering=Library(_solve), reference=_solve,
    samples=lambda: [Sample((well_conditioned(a, 1), floats(b, 2)), {}, f"{a} with {b}") for a, b in _systems()],
    doc="X with A X = B, of square matrices A, and what `inverse` says of a singular one.")


# ---------------------------------------------------------------- solve_triangular
def _triangular_type(types: tuple, attrs: tuple) -> Any:
    return _solve_type(types, ())


def _triangular(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """Substitution, a row of all right sides at a time."""
    import numpy

    n, out = a.shape[-1], b.copy()
    for i in reversed(range(n)) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        row = numpy.einsum("...k,...kj->...j", a[..., i, known], out[..., known, :])
        out[..., i, :] -= row
        if not unit:
            out[..., i, :] /= a[..., i, i, None]
    return out


def _of_triangle(x: Any, is_upper: bool, unit: bool) -> Any:
    return upper(x, int(unit)) if is_upper else lower(x, -int(unit))


def _triangular_grad(context: Context, g: Any) -> tuple:
    is_upper, unit = context.attrs
    right = ops.solve_triangular(transposed(context.inputs[0]), g, upper=not is_upper, unit=unit)
    left = None
    if context.needs[0]:
        left = _of_triangle(ops.neg(ops.matmul(right, transposed(context.output))), is_upper, unit)
    return left, right


def _triangular_tangent(context: Context, ta: Any, tb: Any) -> Any:
    is_upper, unit = context.attrs
    moved = None if ta is None else ops.neg(ops.matmul(_of_triangle(ta, is_upper, unit), context.output))
    total = tb if moved is None else moved if tb is None else ops.add(tb, moved)
    return ops.solve_triangular(context.inputs[0], total, upper=is_upper, unit=unit)


solve_triangular = declare(
    "solve_triangular", opaque, parts="library", attributes=("upper", "unit"), infer=_triangular_type, saves=(0, "out"),
    grad=_triangular_grad, jvp=_triangular_tangent, promotion="none", vmap=stack_batch, lowering=Library(_triangular),
    reference=_triangular,
    samples=lambda: [Sample((well_conditioned(a, 1), floats(b, 2)), {"upper": u, "unit": w}, f"{a} with {b}")
                     for a, b in _systems() for u in (False, True) for w in (False, True)],
    doc="X with A X = B, of triangular matrices A, of which the other triangle is not read; with `unit` neither is the "
    "diagonal, which counts as ones.")


# ---------------------------------------------------------------- determinants
def _slogdet_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("slogdet", *types, square=True)
    one = types[0].with_shape(tuple(types[0].shape[:-2]))
    return one, one.with_dtype(real_of(one.dtype))


def _slogdet(x: Any) -> tuple:
    import numpy

    sign, size = numpy.linalg.slogdet(x)
    return numpy.asarray(sign, x.dtype), numpy.asarray(size, x.real.dtype)


def _each(value: Any) -> Any:
    """One number for each matrix, as a 1 by 1 matrix."""
    return ops.reshape(value, shape=(*value.shape, 1, 1))


def _slogdet_grad(context: Context, g: tuple) -> Any:
    x, (by_sign, total) = context.inputs[0], g
    if x.dtype.category == 3:
        if by_sign is not None:  # the sign turns by the imaginary part of the trace of x^-1 dx
            turn = ops.neg(ops.imag(ops.mul(ops.conj(by_sign), context.output[0])))
            total = ops.complex(ops.full_like(turn, value=0.0) if total is None else total, turn)
        total = None if total is None else as_complex(total, x)
    return None if total is None else ops.mul(_each(total), adjoint(inverted(x)))


def _slogdet_tangent(context: Context, t: Any) -> tuple:
    product = ops.matmul(inverted(context.inputs[0]), t)
    rank = len(product.shape)
    diagonal = ops.diagonal(product, offset=0, dim1=rank - 2, dim2=rank - 1)
    trace = ops.sum(diagonal, dims=(rank - 2,), keepdim=False)
    if trace.dtype.category < 3:
        return None, trace
    turn = ops.imag(trace)
    return ops.mul(context.output[0], ops.complex(ops.full_like(turn, value=0.0), turn)), ops.real(trace)


slogdet = declare(
    "slogdet", opaque, parts="library", holomorphic=False,
    infer=_slogdet_type, saves=(0, "out"), grad=_slogdet_grad, jvp=_slogdet_tangent, promotion="none",
    vmap=stack_batch, lowering=Library(_slogdet), reference=_slogdet,
    samples=lambda: [Sample((well_conditioned(s, i),), {}, str(s)) for i, s in enumerate(_SHAPES)],
    doc="The sign of each matrix' determinant, and the logarithm of its size.")


# ---------------------------------------------------------------- pinv
def _pinv_type(types: tuple, attrs: tuple) -> Any:
    check_matrices("pinv", *types)
    *stack, rows, columns = types[0].shape
    return types[0].with_shape((*stack, columns, rows))


def _pinv(x: Any, least: float, relative: float) -> Any:
    import numpy

    if 0 in x.shape:
        return numpy.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    u, s, v = decomposed(lambda a: numpy.linalg.svd(a, full_matrices=False), "pinv", "linalg.pinv", x)
    limit = numpy.maximum(relative * s[..., :1], least)
    s = numpy.where(s > limit, 1 / s, 0)
    return numpy.swapaxes(v, -1, -2).conj() @ (s[..., :, None] * numpy.swapaxes(u, -1, -2).conj())


def _beside(x: Any, p: Any) -> tuple[Any, Any]:
    """I - x p and I - p x."""
    left, right = ops.matmul(x, p), ops.matmul(p, x)
    return (ops.sub(identity(x.shape[-2], x), left), ops.sub(identity(x.shape[-1], x), right))


def _pinv_grad(context: Context, g: Any) -> Any:
    x, p = context.inputs[0], context.output
    pt, gt = adjoint(p), adjoint(g)
    left, right = _beside(x, p)
    total = ops.neg(chain(pt, g, pt))
    total = ops.add(total, chain(left, gt, p, pt))
    return ops.add(total, chain(pt, p, gt, right))


def _pinv_tangent(context: Context, t: Any) -> Any:
    x, p = context.inputs[0], context.output
    pt, tt = adjoint(p), adjoint(t)
    left, right = _beside(x, p)
    total = ops.neg(chain(p, t, p))
    total = ops.add(total, chain(p, pt, tt, left))
    return ops.add(total, chain(right, tt, pt, p))


pinv = declare(
    "pinv", opaque, parts="library", holomorphic=False, checks=raises_itself,
    attributes=("least", "relative"), infer=_pinv_type, saves=(0, "out"), grad=_pinv_grad,
    jvp=_pinv_tangent, promotion="none", vmap=stack_batch, lowering=Library(_pinv), reference=_pinv,
    samples=lambda: [Sample((well_conditioned(s, i),), {"least": 0.0, "relative": 1e-12}, str(s))
                     for i, s in enumerate(((3, 3), (4, 2), (2, 2, 4), (0, 2, 3), (2, 0)))],
    doc="Moore and Penrose's pseudo-inverses; singular values up to `least`, or `relative` times the largest, "
    "count as 0.")
