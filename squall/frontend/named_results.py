"""What functions of several results give: tuples with PyTorch's field names."""

from __future__ import annotations

from typing import Any, NamedTuple


class Frexp(NamedTuple):
    """Numbers taken apart: mantissa * 2^exponent."""

    mantissa: Any
    exponent: Any


class MinMax(NamedTuple):
    """The smallest and the largest."""

    min: Any
    max: Any


class Histogram(NamedTuple):
    """Counts, and the edges of the bins."""

    hist: Any
    bin_edges: Any


class QR(NamedTuple):
    """An orthonormal and an upper triangular factor."""

    Q: Any
    R: Any


class SVD(NamedTuple):
    """Singular vectors and values: U diag(S) Vh."""

    U: Any
    S: Any
    Vh: Any


class LegacySVD(NamedTuple):
    """Singular vectors and values: U diag(S) V^T."""

    U: Any
    S: Any
    V: Any


class Eig(NamedTuple):
    """Complex eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class Eigh(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class Slogdet(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Any
    logabsdet: Any


class LU(NamedTuple):
    """A permutation, a unit lower and an upper triangular factor: P L U."""

    P: Any
    L: Any
    U: Any


class LDL(NamedTuple):
    """A unit lower triangle and a block diagonal in one matrix, and the row exchanges as LAPACK writes them."""

    LD: Any
    pivots: Any


class LDLInfo(NamedTuple):
    """`LDL`, and where a block of the diagonal was 0 (0: nowhere)."""

    LD: Any
    pivots: Any
    info: Any


class LUFactor(NamedTuple):
    """Both triangular factors in one matrix, and the row exchanges, from 1."""

    LU: Any
    pivots: Any


class LUFactorInfo(NamedTuple):
    """Both triangular factors in one matrix, the row exchanges, and where a pivot was 0 (0: nowhere)."""

    LU: Any
    pivots: Any
    info: Any


class CholeskyInfo(NamedTuple):
    """The factors, and the order of the leading minor that is not positive (0: none)."""

    L: Any
    info: Any


class InverseInfo(NamedTuple):
    """The inverses, and where the diagonal of the factor U is 0, from 1 (0: nowhere)."""

    inverse: Any
    info: Any


class SolutionInfo(NamedTuple):
    """The solutions, and where the diagonal of the factor U is 0, from 1 (0: nowhere)."""

    result: Any
    info: Any


class LeastSquares(NamedTuple):
    """A least squares solution, what it misses, the rank, and the singular values."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


class TriangularSolve(NamedTuple):
    """A solution, and the matrix it is of."""

    solution: Any
    cloned_coefficient: Any
