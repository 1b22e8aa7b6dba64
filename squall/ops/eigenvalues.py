"""Eigenvalues of general matrices as a host step: they are complex, of real matrices too.

Each eigenvector is of length 1 and free up to a phase. Gradients are those of losses that do not depend on the phase
(PyTorch refuses others when it notices; a recorded program has no values to look at).
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import complex_of
from squall.ir.families import opaque
from squall.ir.op import Context, Library, Sample, declare, ops
from squall.ops.matrices import (
    adjoint,
    as_complex,
    as_diagonal,
    chain,
    check_matrices,
    column,
    off_diagonal,
    real_part,
    row,
    stack_batch,
)
from squall.ops.samples import floats


def _eig_type(types: tuple, attrs: tuple) -> tuple:
    check_matrices("eig", *types, square=True)
    kind = types[0].with_dtype(complex_of(types[0].dtype))
    return kind.with_shape(tuple(kind.shape[:-1])), kind


def _eig(x: Any) -> tuple:
    import numpy

    kind = numpy.result_type(x.dtype, numpy.complex64)
    try:
        values, vectors = numpy.linalg.eig(x)
    except numpy.linalg.LinAlgError:  # numbers that are not finite, or no convergence
        if x.ndim > 2:
            values, vectors = (numpy.stack(v) for v in zip(*map(_eig, x), strict=True))
        else:
            values, vectors = (numpy.full(s, numpy.nan, kind) for s in (x.shape[:1], x.shape))
    return values.astype(kind), vectors.astype(kind)


def _diagonal(x: Any) -> Any:
    rank = len(x.shape)
    return ops.diagonal(x, offset=0, dim1=rank - 2, dim2=rank - 1)


def _over_gaps(values: Any, x: Any) -> Any:
    """Elements over the difference of the eigenvalues of their column and row; 0 on the diagonal."""
    return off_diagonal(ops.div(x, off_diagonal(ops.sub(row(values), column(values)), 1.0)))


def _eig_grad(context: Context, g: tuple) -> Any:
    (values, vectors), (of_values, of_vectors) = context.output, g
    if of_values is None and of_vectors is None:
        return None
    turned, inner = adjoint(vectors), None
    if of_vectors is not None:
        seen = ops.matmul(turned, of_vectors)
        along = as_complex(real_part(_diagonal(seen)), vectors)  # what would change the length
        inner = _over_gaps(ops.conj(values), ops.sub(seen, ops.matmul(turned, ops.mul(vectors, row(along)))))
    if of_values is not None:
        own = as_diagonal(of_values)
        inner = own if inner is None else ops.add(inner, own)
    found = ops.solve(turned, ops.matmul(inner, turned))[0]
    return found if context.types[0].dtype.category == 3 else ops.real(found)


def _eig_tangent(context: Context, t: Any) -> tuple:
    values, vectors = context.output
    moved = ops.solve(vectors, ops.matmul(as_complex(t, vectors), vectors))[0]
    turn = ops.matmul(vectors, _over_gaps(values, moved))
    along = as_complex(real_part(_diagonal(chain(adjoint(vectors), turn))), vectors)
    return _diagonal(moved), ops.sub(turn, ops.mul(vectors, row(along)))


def _samples() -> list[Sample]:
    """Matrices near a diagonal one: their eigenvalues are real and apart, so vectors are real, up to their sign."""
    import numpy

    shapes = ((3, 3), (1, 1), (2, 4, 4), (0, 0))
    near = [Sample((floats(s, i, -0.2, 0.2) + numpy.diag(1.0 + 2 * numpy.arange(s[-1])),), {}, str(s))
            for i, s in enumerate(shapes)]
    return [*near, Sample((floats((2, 5, 5), 9, -1.0, 1.0),), {}, "special: complex values")]


eig = declare(
    "eig", opaque, parts="library", holomorphic=False, infer=_eig_type, saves=("out",), grad=_eig_grad,
    jvp=_eig_tangent, promotion="none", vmap=stack_batch, lowering=Library(_eig), reference=_eig, samples=_samples,
    doc="The complex eigenvalues of general square matrices, in no order, and eigenvectors of length 1 as columns; NaN "
    "where a matrix is not finite.")
