"""What rules about matrices share: transposes, triangles, and how library calls on stacks of matrices are batched.

The last two dimensions are the matrix; those before them are a stack, equal for all operands.
"""

from __future__ import annotations

from typing import Any

from squall.base.errors import DtypeError, ShapeError
from squall.ir.node import TensorType
from squall.ir.op import ops
from squall.ops.common import masked, number
from squall.ops.samples import floats
from squall.ops.slicing import arange, position, with_batch


def transposed(x: Any) -> Any:
    """The last two dimensions exchanged."""
    rank = len(x.shape)
    return ops.permute(x, dims=(*range(rank - 2), rank - 1, rank - 2))


def adjoint(x: Any) -> Any:
    """The last two dimensions exchanged, and conjugated."""
    return ops.conj(transposed(x)) if x.dtype.category == 3 else transposed(x)


def as_complex(x: Any, like: Any) -> Any:
    """Real values in the dtype of the complex values that they meet."""
    return x if x.dtype is like.dtype else ops.cast(x, dtype=like.dtype)


def real_part(x: Any) -> Any:
    """The real part of complex values, and real ones as they are."""
    return ops.real(x) if x.dtype.category == 3 else x


def _places(x: Any) -> tuple:
    rows, columns = x.shape[-2:]
    return (ops.reshape(arange(rows, str(x.device)), shape=(rows, 1)),
            ops.reshape(arange(columns, str(x.device)), shape=(1, columns)))


def lower(x: Any, offset: int = 0) -> Any:
    """The lower triangle."""
    i, j = _places(x)
    return masked(ops.le(ops.sub(j, i), offset), x)


def upper(x: Any, offset: int = 0) -> Any:
    """The upper triangle."""
    i, j = _places(x)
    return masked(ops.ge(ops.sub(j, i), offset), x)


def row(values: Any) -> Any:
    """Vectors as matrices of one row."""
    return ops.reshape(values, shape=(*values.shape[:-1], 1, values.shape[-1]))


def column(values: Any) -> Any:
    """Vectors as matrices of one column."""
    return ops.reshape(values, shape=(*values.shape, 1))


def off_diagonal(x: Any, value: float = 0.0) -> Any:
    """The matrix with a number on its diagonal."""
    i, j = _places(x)
    return ops.where(ops.eq(i, j), number(value, x), x)


def half_lower(x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    return ops.sub(lower(x), ops.mul(as_diagonal(ops.diagonal(x, offset=0, dim1=len(x.shape) - 2,
                                                              dim2=len(x.shape) - 1)), 0.5))


def as_diagonal(v: Any) -> Any:
    """Matrices that have vectors as their diagonals."""
    n = v.shape[-1]
    wide = ops.reshape(v, shape=(*v.shape, 1))
    i = ops.reshape(arange(n, str(v.device)), shape=(n, 1))
    return masked(ops.eq(i, ops.reshape(arange(n, str(v.device)), shape=(1, n))), wide)


def identity(n: Any, like: Any) -> Any:
    """The identity matrix of the dtype of another value."""
    i = arange(n, str(like.device))
    same = ops.eq(ops.reshape(i, shape=(n, 1)), ops.reshape(i, shape=(1, n)))
    return ops.cast(same, dtype=like.dtype)


def part(x: Any, dim: int, start: int, size: int) -> Any:
    """Part of one of the last two dimensions (-2 or -1)."""
    return ops.slice(x, position(start, x.device), dims=(len(x.shape) + dim,), sizes=(size,), steps=(1,))


def chain(*matrices: Any) -> Any:
    """The product of matrices, from left to right."""
    out = matrices[0]
    for matrix in matrices[1:]:
        out = ops.matmul(out, matrix)
    return out


def check_matrices(name: str, *types: TensorType, square: bool = False) -> None:
    """ShapeError or DtypeError unless operands are stacks of float32 or float64 matrices, the first square."""
    first = types[0]
    for t in types:
        if t.dtype.category < 2 or t.dtype.itemsize < 4:
            raise DtypeError(f"{name}: expected float32, float64 or complex matrices, got {t.dtype}")
        if len(t.shape) < 2 or tuple(t.shape[:-2]) != tuple(first.shape[:-2]):
            raise ShapeError(f"{name}: expected stacks of matrices, got shapes {[tuple(t.shape) for t in types]}")
    if square and first.shape[-1] != first.shape[-2]:
        raise ShapeError(f"{name}: expected square matrices, got shape {tuple(first.shape)}")


def stack_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """One more dimension of the stack."""
    return op(*(with_batch(o, b, size) for o, b in zip(operands, batched, strict=True)), **op.named(attrs)), True


def well_conditioned(shape: tuple, seed: int = 0) -> Any:
    """Matrices for samples whose diagonal keeps them far from singular."""
    import numpy

    values = floats(shape, seed, -0.5, 0.5)
    rows, columns = shape[-2:]
    return values + numpy.eye(rows, columns) * (2 + numpy.arange(columns))


def definite(shape: tuple, seed: int = 0) -> Any:
    """Symmetric positive definite matrices for samples."""
    import numpy

    values = floats(shape, seed, -1.0, 1.0)
    return values @ numpy.swapaxes(values, -1, -2) + numpy.eye(shape[-1])
