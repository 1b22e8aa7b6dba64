"""Factorizations as host steps: cholesky, qr, svd, eigh, lu. LAPACK computes, rules over ops differentiate.

Vectors are defined up to their sign, and gradients are those of losses that do not depend on it.
"""

from __future__ import annotations

from typing import Any

from squall.base.dim import smaller
from squall.base.dtypes import int32, int64, real_of
from squall.base.errors import TraceError
from squall.ir.families import opaque
from squall.ir.op import NON_DIFFERENTIABLE, Context, Library, Sample, declare, ops, raises_itself
from squall.ops.failing import decomposed, eliminated, first_zero, leading_minor, over_stack, raise_where
from squall.ops.matrices import (
    adjoint,
    as_complex,
    as_diagonal,
    chain,
    check_matrices,
    column,
    definite,
    half_lower,
    identity,
    lower,
    off_diagonal,
    part,
    real_part,
    row,
    stack_batch,
    transposed,
    upper,
    well_conditioned,
)
from squall.ops.slicing import arange


def _solve(a: Any, b: Any, is_upper: bool, unit: bool = False) -> Any:
    return ops.solve_triangular(a, b, upper=is_upper, unit=unit)


def _solve_right(b: Any, a: Any, is_upper: bool, unit: bool = False) -> Any:
    """b a^-1 of a triangular matrix a."""
    return transposed(_solve(transposed(a), transposed(b), not is_upper, unit))


def _plus(*parts: Any) -> Any:
    """The sum of what is there; None when nothing is."""
    total = None
    for value in parts:
        if value is not None:
            total = value if total is None else ops.add(total, value)
    return total


def _times(a: Any, b: Any) -> Any:
    return None if a is None or b is None else ops.matmul(a, b)


# ---------------------------------------------------------------- cholesky
def _cholesky_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("cholesky", *types, square=True)
    return types[0], types[0].with_shape(tuple(types[0].shape[:-2])).with_dtype(int32)


def _cholesky(x: Any, function: str) -> tuple:
    import numpy

    x = (x + numpy.swapaxes(x, -1, -2).conj()) / 2
    found, info = over_stack(numpy.linalg.cholesky, leading_minor, x)
    broken = numpy.isnan(numpy.diagonal(found, axis1=-2, axis2=-1))
    if broken.any():  # of NaN among the numbers some builds of LAPACK say nothing
        info = numpy.where(info == 0, numpy.where(broken.any(-1), broken.argmax(-1) + 1, 0), info).astype(info.dtype)
    raise_where(info, "cholesky", function, "the input matrix A is not positive-definite: its leading minor of order "
                "{} is not positive", "linalg.cholesky_ex gives info in place of an error; a small number added to "
                "the diagonal often helps")
    return found, info


def _symmetric(x: Any) -> Any:
    return ops.mul(ops.add(x, adjoint(x)), 0.5)


def _cholesky_grad(context: Context, g: tuple) -> Any:
    if g[0] is None:
        return None
    l = context.output[0]
    inner = _symmetric(half_lower(ops.matmul(adjoint(l), g[0])))
    return _solve_right(_solve(adjoint(l), inner, True), l, False)


def _cholesky_tangent(context: Context, t: Any) -> tuple:
    l = context.output[0]
    inner = _solve_right(_solve(l, _symmetric(t), False), adjoint(l), True)
    return ops.matmul(l, half_lower(inner)), None


cholesky = declare(
    "cholesky", opaque, parts="library", holomorphic=False, attributes=("function",), defaults={"function": ""},
    checks=raises_itself, infer=_cholesky_type, saves=("out",), grad=_cholesky_grad, jvp=_cholesky_tangent,
    promotion="none", vmap=stack_batch, lowering=Library(_cholesky), reference=_cholesky,
    samples=lambda: [Sample((definite(s, i),), {}, str(s)) for i, s in enumerate(((3, 3), (1, 1), (2, 4, 4), (0, 0)))],
    doc="The lower triangular L with L L^T = (A + A^T) / 2, which must be positive definite, and 0, or the order of "
    "the leading minor that is not positive; then L is NaN, or LinAlgError is raised in the name of `function`.")


def _sizes(context: Context) -> tuple:
    """Rows, columns and the smaller of them; TraceError where symbolic sizes leave open which that is."""
    m, n = context.types[0].shape[-2:]
    k = smaller(m, n)
    if k != m and k != n:
        raise TraceError(f"{context.op.name}: the derivative of a matrix of {m} rows and {n} columns depends on which "
                         "are more, and their ranges leave that open: declare ranges that do not overlap, such as "
                         "Dim(name, min=...), or leave the dimension undeclared")
    return m, n, k


# ---------------------------------------------------------------- qr
def _qr_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("qr", *types)
    *stack, m, n = types[0].shape
    return types[0].with_shape((*stack, m, smaller(m, n))), types[0].with_shape((*stack, smaller(m, n), n))


def _qr(x: Any) -> tuple:
    import numpy

    return tuple(numpy.linalg.qr(x))


def _square_qr_grad(q: Any, r: Any, gq: Any, gr: Any) -> Any:
    """Of matrices that are not wider than high."""
    m = _plus(None if gr is None else ops.matmul(r, adjoint(gr)),
              None if gq is None else ops.neg(ops.matmul(adjoint(gq), q)))
    below = lower(m, -1)
    middle = as_complex(real_part(ops.sub(lower(m), below)), m)
    inner = ops.add(middle, ops.add(below, adjoint(below)))
    return _solve_right(_plus(gq, ops.matmul(q, inner)), adjoint(r), False)


def _qr_grad(context: Context, g: tuple) -> Any:
    (q, r), (gq, gr), x = context.output, g, context.inputs[0]
    m, n, _ = _sizes(context)
    if m >= n:
        return _square_qr_grad(q, r, gq, gr)
    wide = None if gr is None else part(gr, -1, m, n - m)
    gq = _plus(gq, None if wide is None else ops.matmul(part(x, -1, m, n - m), adjoint(wide)))
    left = _square_qr_grad(q, part(r, -1, 0, m), gq, None if gr is None else part(gr, -1, 0, m))
    right = ops.matmul(q, wide) if wide is not None else ops.mul(part(x, -1, m, n - m), 0.0)
    return ops.concat(left, right, dim=len(left.shape) - 1)


def _square_qr_tangent(q: Any, r: Any, t: Any) -> tuple:
    c = _solve_right(ops.matmul(adjoint(q), t), r, True)
    turn = ops.sub(lower(c, -1), adjoint(lower(c, -1)))
    if c.dtype.category == 3:  # R keeps a real diagonal
        diagonal = ops.sub(lower(c), lower(c, -1))
        turn = ops.add(turn, ops.sub(diagonal, as_complex(real_part(diagonal), c)))
    dr = ops.matmul(ops.sub(c, turn), r)
    return _solve_right(ops.sub(t, ops.matmul(q, dr)), r, True), dr


def _qr_tangent(context: Context, t: Any) -> tuple:
    (q, r), x = context.output, context.inputs[0]
    m, n, _ = _sizes(context)
    if m >= n:
        return _square_qr_tangent(q, r, t)
    dq, dr = _square_qr_tangent(q, part(r, -1, 0, m), part(t, -1, 0, m))
    rest = ops.add(ops.matmul(adjoint(dq), part(x, -1, m, n - m)),
                   ops.matmul(adjoint(q), part(t, -1, m, n - m)))
    return dq, ops.concat(dr, rest, dim=len(dr.shape) - 1)


qr = declare(
    "qr", opaque, parts="library", holomorphic=False,
    infer=_qr_type, saves=(0, "out"), grad=_qr_grad, jvp=_qr_tangent, promotion="none", vmap=stack_batch,
    lowering=Library(_qr), reference=_qr,
    samples=lambda: [Sample((well_conditioned(s, i),), {}, str(s))
                     for i, s in enumerate(((3, 3), (4, 2), (2, 2, 4), (1, 1), (0, 2, 2)))],
    doc="An orthonormal Q and an upper triangular R with Q R = A, of as many columns as A has rows and columns.")


# ---------------------------------------------------------------- svd
def _svd_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("svd", *types)
    *stack, m, n = types[0].shape
    k = smaller(m, n)
    of = types[0].with_shape
    rows, columns = (m, n) if attrs[0] else (k, k)
    values = of((*stack, k)).with_dtype(real_of(types[0].dtype))
    return of((*stack, m, rows)), values, of((*stack, columns, n))


def _svd(x: Any, full: bool) -> tuple:
    import numpy

    if 0 in x.shape:
        *stack, m, n = x.shape
        k = smaller(m, n)
        u, v = (numpy.tile(numpy.eye(s, dtype=x.dtype), (*stack, 1, 1)) for s in (m, n))
        return (u if full else u[..., :k]), numpy.zeros((*stack, k), x.real.dtype), v if full else v[..., :k, :]
    return tuple(decomposed(lambda a: numpy.linalg.svd(a, full_matrices=full), "svd", "linalg.svd", x))


def _first(u: Any, s: Any, vh: Any) -> tuple:
    """The vectors that singular values belong to; what completes them has no gradient."""
    k = s.shape[-1]
    return (u if u is None or u.shape[-1] == k else part(u, -1, 0, k),
            vh if vh is None or vh.shape[-2] == k else part(vh, -2, 0, k))


def _padded(value: Any, dim: int, size: int) -> Any:
    """Zeros put behind one of the last two dimensions (-2 or -1)."""
    rank = len(value.shape)
    high = tuple(size - value.shape[dim] if d == rank + dim else 0 for d in range(rank))
    return ops.pad(value, low=(0,) * rank, high=high, interior=(0,) * rank, value=0) if any(high) else value


def _gaps(values: Any) -> Any:
    """1 / (v[j] - v[i]), and 0 on the diagonal."""
    return off_diagonal(ops.div(1.0, off_diagonal(ops.sub(row(values), column(values)), 1.0)))


def _beside(u: Any, value: Any) -> Any:
    """What of a value lies outside of the space that orthonormal columns span."""
    return ops.sub(value, chain(u, adjoint(u), value))


def _diagonal_of(x: Any) -> Any:
    """The matrix with zeros off its diagonal."""
    return ops.sub(x, off_diagonal(x))


def _svd_grad(context: Context, g: tuple) -> Any:
    (u, s, vh), (gu, gs, gvh) = context.output, g
    gu, gvh = _first(gu, s, gvh)
    u, vh = _first(u, s, vh)
    if gu is None and gs is None and gvh is None:
        return None
    v, gaps = adjoint(vh), as_complex(_gaps(ops.mul(s, s)), u)
    s, inner = as_complex(s, u), None if gs is None else as_complex(as_diagonal(gs), u)
    if gu is not None:
        turn = ops.matmul(adjoint(u), gu)
        skew = ops.sub(turn, adjoint(turn))
        inner = _plus(inner, ops.mul(ops.mul(gaps, skew), row(s)))
        if u.dtype.category == 3:  # the phase that U and V share
            inner = _plus(inner, ops.div(_diagonal_of(skew), ops.mul(row(s), 2.0)))
    gv = None if gvh is None else adjoint(gvh)
    if gv is not None:
        turn = ops.matmul(vh, gv)
        inner = _plus(inner, ops.mul(column(s), ops.mul(gaps, ops.sub(turn, adjoint(turn)))))
    total = chain(u, inner, vh)
    m, n = context.types[0].shape[-2:]
    if gu is not None and m > n:
        total = ops.add(total, ops.matmul(_beside(u, ops.div(gu, row(s))), vh))
    if gv is not None and n > m:
        total = ops.add(total, ops.matmul(u, adjoint(_beside(v, ops.div(gv, row(s))))))
    return total


def _svd_tangent(context: Context, t: Any) -> tuple:
    u, s, vh = context.output
    u, vh = _first(u, s, vh)
    v, gaps = adjoint(vh), as_complex(_gaps(ops.mul(s, s)), u)
    p = chain(adjoint(u), t, v)
    pt = adjoint(p)
    rank = len(p.shape)
    ds, s = real_part(ops.diagonal(p, offset=0, dim1=rank - 2, dim2=rank - 1)), as_complex(s, u)
    du = ops.matmul(u, ops.mul(gaps, ops.add(ops.mul(p, row(s)), ops.mul(column(s), pt))))
    dv = ops.matmul(v, ops.mul(gaps, ops.add(ops.mul(column(s), p), ops.mul(pt, row(s)))))
    if u.dtype.category == 3:  # the phase that U and V share is U's
        du = ops.add(du, ops.matmul(u, ops.div(_diagonal_of(ops.sub(p, pt)), ops.mul(row(s), 2.0))))
    m, n = context.types[0].shape[-2:]
    if m > n:
        du = ops.add(du, _beside(u, ops.div(ops.matmul(t, v), row(s))))
    if n > m:
        dv = ops.add(dv, _beside(v, ops.div(ops.matmul(adjoint(t), u), row(s))))
    if context.attrs[0]:
        du, dv = _padded(du, -1, m), _padded(dv, -1, n)
    return du, ds, adjoint(dv)


svd = declare(
    "svd", opaque, parts="library", holomorphic=False, checks=raises_itself, attributes=("full",),
    defaults={"full": False},
    infer=_svd_type, saves=("out",), grad=_svd_grad, jvp=_svd_tangent, promotion="none",
    vmap=stack_batch, lowering=Library(_svd), reference=_svd,
    samples=lambda: [*(Sample((well_conditioned(s, i),), {"full": False}, str(s))
                       for i, s in enumerate(((3, 3), (4, 2), (2, 2, 3), (1, 1), (0, 2, 2)))),
                     *(Sample((well_conditioned(s, i),), {"full": True}, f"special: completed {s}")
                       for i, s in enumerate(((4, 2), (2, 2, 3), (0, 2), (3, 0))))],
    doc="Orthonormal U and V, and singular values S in descending order, with U diag(S) V^T = A; "
    "V is given transposed.")


# ---------------------------------------------------------------- eigh
def _eigh_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("eigh", *types, square=True)
    return types[0].with_shape(tuple(types[0].shape[:-1])).with_dtype(real_of(types[0].dtype)), types[0]


def _eigh(x: Any, upper: bool) -> tuple:
    import numpy

    return tuple(decomposed(lambda a: numpy.linalg.eigh(a, "U" if upper else "L"), "eigh", "linalg.eigh", x))


def _eigh_grad(context: Context, g: tuple) -> Any:
    (values, vectors), (gl, gv) = context.output, g
    inner = None if gl is None else as_complex(as_diagonal(gl), vectors)
    if gv is not None:
        gaps = as_complex(_gaps(values), vectors)
        inner = _plus(inner, ops.mul(gaps, ops.matmul(adjoint(vectors), gv)))
    return chain(vectors, inner, adjoint(vectors))


def _eigh_tangent(context: Context, t: Any) -> tuple:
    values, vectors = context.output
    x = chain(adjoint(vectors), t, vectors)
    rank = len(x.shape)
    return (real_part(ops.diagonal(x, offset=0, dim1=rank - 2, dim2=rank - 1)),
            ops.matmul(vectors, ops.mul(as_complex(_gaps(values), vectors), x)))


eigh = declare(
    "eigh", opaque, parts="library", holomorphic=False, checks=raises_itself,
    attributes=("upper",), infer=_eigh_type, saves=("out",), grad=_eigh_grad, jvp=_eigh_tangent,
    promotion="none", vmap=stack_batch, lowering=Library(_eigh), reference=_eigh,
    # Only one triangle is read, and the gradient is that of symmetric changes: differences of single elements check
    # only a matrix of one element.
    samples=lambda: [Sample((definite(s, i),), {"upper": u}, "one element" if s == (1, 1) else f"special {s}")
                     for i, s in enumerate(((3, 3), (1, 1), (2, 4, 4), (0, 0))) for u in (False, True)],
    doc="The eigenvalues of symmetric matrices in ascending order, and orthonormal eigenvectors as columns. One "
    "triangle is read.")


# ---------------------------------------------------------------- lu
def _lu_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("lu_factor", *types)
    *stack, m, n = types[0].shape
    whole = types[0].with_shape
    pivots, order = whole((*stack, smaller(m, n))).with_dtype(int32), whole((*stack, m)).with_dtype(int64)
    return types[0], pivots, order, whole(tuple(stack)).with_dtype(int32)


def _lu(x: Any, pivot: bool, function: str) -> tuple:
    found = eliminated(x, pivot)
    info = first_zero(found[0])
    raise_where(info, "lu_factor", function, "the factor U of the input matrix A has a zero at [{0}, {0}], by which "
                "linalg.lu_solve would divide", "linalg.lu and linalg.lu_factor_ex give the factors as they are")
    return *found, info


def _exchange(order: Any, like: Any) -> Any:
    """The permutation matrix whose rows are those of the identity in an order."""
    places = ops.reshape(arange(order.shape[-1], str(like.device)), shape=(1, order.shape[-1]))
    return ops.cast(ops.eq(ops.reshape(order, shape=(*order.shape, 1)), places), dtype=like.dtype)


def _lu_grad(context: Context, g: tuple) -> Any:
    (lu, _, order, _), (m, n, k), packed = context.output, _sizes(context), g[0]
    if packed is None:
        return None
    head, up = part(part(lu, -2, 0, k), -1, 0, k), None
    gl, gu = lower(part(part(packed, -2, 0, k), -1, 0, k), -1), upper(part(part(packed, -2, 0, k), -1, 0, k))
    l_square, u_square = ops.add(lower(head, -1), identity(k, lu)), upper(head)
    rest = None
    if m > n:  # the rows below are A2 U^-1
        below = part(lu, -2, n, m - n)
        rest = _solve_right(part(packed, -2, n, m - n), transposed(u_square), False)
        gu = ops.sub(gu, upper(ops.matmul(transposed(below), rest)))
    if n > m:  # the columns to the right are L^-1 A2
        right = part(lu, -1, m, n - m)
        up = _solve(transposed(l_square), part(packed, -1, m, n - m), True, True)
        gl = ops.sub(gl, lower(ops.matmul(up, transposed(right)), -1))
    inner = ops.add(lower(ops.matmul(transposed(l_square), gl), -1), upper(ops.matmul(gu, transposed(u_square))))
    out = _solve_right(_solve(transposed(l_square), inner, True, True), transposed(u_square), False)
    if rest is not None:
        out = ops.concat(out, rest, dim=len(out.shape) - 2)
    if up is not None:
        out = ops.concat(out, up, dim=len(out.shape) - 1)
    return ops.matmul(transposed(_exchange(order, lu)), out)


def _lu_tangent(context: Context, t: Any) -> tuple:
    (lu, _, order, _), (m, n, k) = context.output, _sizes(context)
    t = ops.matmul(_exchange(order, lu), t)
    head, square = part(part(lu, -2, 0, k), -1, 0, k), part(part(t, -2, 0, k), -1, 0, k)
    l_square, u_square = ops.add(lower(head, -1), identity(k, lu)), upper(head)
    x = _solve_right(_solve(l_square, square, False, True), u_square, True)
    dl, du = ops.matmul(l_square, lower(x, -1)), ops.matmul(upper(x), u_square)
    out = ops.add(dl, du)
    if m > n:
        moved = ops.sub(part(t, -2, n, m - n), ops.matmul(part(lu, -2, n, m - n), du))
        out = ops.concat(out, _solve_right(moved, u_square, True), dim=len(out.shape) - 2)
    if n > m:
        moved = ops.sub(part(t, -1, m, n - m), ops.matmul(dl, part(lu, -1, m, n - m)))
        out = ops.concat(out, _solve(l_square, moved, False, True), dim=len(out.shape) - 1)
    return out, None, None, None


lu_factor = declare(
    "lu_factor", opaque, parts="library", checks=raises_itself,
    attributes=("pivot", "function"), defaults={"pivot": True, "function": ""}, infer=_lu_type, saves=("out",),
    grad=_lu_grad, jvp=_lu_tangent, promotion="none", vmap=stack_batch, lowering=Library(_lu), reference=_lu,
    samples=lambda: [Sample((well_conditioned(s, i),), {"pivot": p}, str(s)) for p in (True, False)
                     for i, s in enumerate(((3, 3), (4, 2), (2, 2, 4), (1, 1)))],
    doc="A unit lower and an upper triangular factor in one matrix, the rows exchanged (from 1), their order, and the "
    "place of the first zero on the diagonal, from 1, or 0; with one LinAlgError is raised in the name of `function`.")


# ---------------------------------------------------------------- householder_qr
def _raw_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("householder_qr", *types)
    *stack, m, n = types[0].shape
    return types[0], types[0].with_shape((*stack, smaller(m, n)))


def _raw(x: Any) -> tuple:
    import numpy

    h, tau = numpy.linalg.qr(x, mode="raw")
    return numpy.ascontiguousarray(numpy.swapaxes(h, -1, -2)).astype(x.dtype), tau.astype(x.dtype)


householder_qr = declare(
    "householder_qr", opaque, parts="library",
    infer=_raw_type, grad=NON_DIFFERENTIABLE, promotion="none", vmap=stack_batch,
    lowering=Library(_raw), reference=_raw,
    samples=lambda: [Sample((well_conditioned(s, i),), {}, str(s)) for i, s in enumerate(((3, 3), (4, 2), (2, 2, 4)))],
    doc="R in the upper triangle and Householder's vectors below it, and their factors.")
