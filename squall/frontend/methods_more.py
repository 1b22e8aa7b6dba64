"""Tensor methods that are functions of `functions_*.py` under the same names, and their in-place forms."""

from __future__ import annotations

from typing import Any

from squall.frontend import arithmetic, hashing
from squall.frontend import functions_calculus as calculus
from squall.frontend import functions_complex as complexes
from squall.frontend import functions_elementwise as elementwise
from squall.frontend import functions_indexing as places
from squall.frontend import functions_layout as layout
from squall.frontend import functions_matrix as matrix
from squall.frontend import functions_searching as searching
from squall.frontend import functions_special as special
from squall.frontend import functions_statistics as statistics
from squall.frontend import linalg_factors as factors
from squall.frontend import linalg_older as older
from squall.frontend import linalg_systems as systems
from squall.frontend.declaring import in_place


class ElementwiseMethods:
    """Mixed into Tensor: functions element by element."""

    __slots__ = ()
    fmax, fmin = elementwise.fmax, elementwise.fmin
    hypot, hypot_ = elementwise.hypot, in_place(elementwise.hypot)
    logaddexp, logaddexp2 = elementwise.logaddexp, elementwise.logaddexp2
    xlogy, xlogy_ = elementwise.xlogy, in_place(elementwise.xlogy)
    heaviside, heaviside_ = elementwise.heaviside, in_place(elementwise.heaviside)
    ldexp, ldexp_ = elementwise.ldexp, in_place(elementwise.ldexp)
    float_power, float_power_ = elementwise.float_power, in_place(elementwise.float_power)
    gcd, gcd_ = elementwise.gcd, in_place(elementwise.gcd)
    lcm, lcm_ = elementwise.lcm, in_place(elementwise.lcm)
    nextafter, nextafter_ = elementwise.nextafter, in_place(elementwise.nextafter)
    bitwise_left_shift, bitwise_left_shift_ = elementwise.bitwise_left_shift, in_place(elementwise.bitwise_left_shift)
    bitwise_right_shift = elementwise.bitwise_right_shift
    bitwise_right_shift_ = in_place(elementwise.bitwise_right_shift)
    clamp_min, clamp_min_ = elementwise.clamp_min, in_place(elementwise.clamp_min)
    clamp_max, clamp_max_ = elementwise.clamp_max, in_place(elementwise.clamp_max)
    frac, frac_ = elementwise.frac, in_place(elementwise.frac)
    sgn, sgn_ = complexes.sgn, in_place(complexes.sgn)
    deg2rad, deg2rad_ = elementwise.deg2rad, in_place(elementwise.deg2rad)
    rad2deg, rad2deg_ = elementwise.rad2deg, in_place(elementwise.rad2deg)
    sinc, sinc_ = elementwise.sinc, in_place(elementwise.sinc)
    logit, logit_ = elementwise.logit, in_place(elementwise.logit)
    nan_to_num, nan_to_num_ = elementwise.nan_to_num, in_place(elementwise.nan_to_num)
    mvlgamma, mvlgamma_ = elementwise.mvlgamma, in_place(elementwise.mvlgamma)
    i0, i0_ = elementwise.i0, in_place(elementwise.i0)
    igamma, igamma_ = special.igamma, in_place(special.igamma)
    igammac, igammac_ = special.igammac, in_place(special.igammac)
    hash_tensor = hashing.hash_tensor
    signbit, positive, angle = elementwise.signbit, elementwise.positive, complexes.angle
    isposinf, isneginf, isreal = elementwise.isposinf, elementwise.isneginf, complexes.isreal
    conj, resolve_conj, resolve_neg = complexes.conj, complexes.resolve_conj, complexes.resolve_neg
    conj_physical, conj_physical_ = complexes.conj_physical, in_place(complexes.conj_physical)
    frexp = elementwise.frexp

    def polygamma(self, n: int):
        """The derivative of order n of digamma, of each element."""
        return elementwise.polygamma(n, self)

    def polygamma_(self, n: int):
        """In place: the derivative of order n of digamma."""
        return in_place(lambda x, n: elementwise.polygamma(n, x))(self, n)


class MatrixMethods:
    """Mixed into Tensor: products, distances, statistics, integrals."""

    __slots__ = ()
    addmv, addmv_ = matrix.addmv, in_place(matrix.addmv)
    addr, addr_ = matrix.addr, in_place(matrix.addr)

    def addmm_(self, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
        """In place: beta self + alpha mat1 mat2."""
        return in_place(arithmetic.addmm)(self, mat1, mat2, beta, alpha)

    addbmm, addbmm_ = matrix.addbmm, in_place(matrix.addbmm)
    baddbmm, baddbmm_ = matrix.baddbmm, in_place(matrix.baddbmm)
    renorm, renorm_ = matrix.renorm, in_place(matrix.renorm)
    vdot, ger, inner, kron, trace = matrix.vdot, matrix.ger, matrix.inner, matrix.kron, matrix.trace
    dist, cross, cov, corrcoef = matrix.dist, matrix.cross, matrix.cov, matrix.corrcoef
    matrix_power = matrix.matrix_power

    aminmax, nansum, nanmean = statistics.aminmax, statistics.nansum, statistics.nanmean
    count_nonzero, nanmedian, kthvalue = statistics.count_nonzero, statistics.nanmedian, statistics.kthvalue
    mode, quantile, nanquantile, msort = statistics.mode, statistics.quantile, statistics.nanquantile, statistics.msort
    bincount, histc, histogram = statistics.bincount, statistics.histc, statistics.histogram
    cummax, cummin, logcumsumexp = statistics.cummax, statistics.cummin, statistics.logcumsumexp
    diff = calculus.diff
    det, slogdet, logdet, inverse = systems.det, systems.slogdet, systems.logdet, systems.inverse
    triangular_solve, cholesky_solve = systems.triangular_solve, systems.cholesky_solve
    cholesky_inverse, cholesky, pinverse = systems.cholesky_inverse, older.cholesky, older.pinverse
    qr, svd, lu, lu_solve = older.qr, older.svd, older.lu, older.lu_solve
    geqrf, ormqr, matrix_exp = factors.geqrf, factors.ormqr, factors.matrix_exp
    orgqr = factors.orgqr


class PlacingMethods:
    """Mixed into Tensor: shapes, parts and positions."""

    __slots__ = ()
    diag, diagflat, diag_embed = layout.diag, layout.diagflat, layout.diag_embed
    diagonal_scatter, select_scatter = layout.diagonal_scatter, layout.select_scatter
    slice_scatter, as_strided_scatter = layout.slice_scatter, layout.as_strided_scatter
    rot90, fliplr, flipud, adjoint = layout.rot90, layout.fliplr, layout.flipud, layout.adjoint
    tensor_split, hsplit, vsplit, dsplit = layout.tensor_split, layout.hsplit, layout.vsplit, layout.dsplit
    split_with_sizes, unsafe_split, unsafe_chunk = layout.split_with_sizes, layout.unsafe_split, layout.unsafe_chunk
    sum_to_size, narrow_copy, as_strided = layout.sum_to_size, layout.narrow_copy, layout.as_strided

    take, put, put_ = places.take, places.put, in_place(places.put)
    take_along_dim = places.take_along_dim
    index_copy, index_copy_ = places.index_copy, in_place(places.index_copy)
    index_fill, index_fill_ = places.index_fill, in_place(places.index_fill)
    index_put, index_put_ = places.index_put, in_place(places.index_put)
    index_reduce, index_reduce_ = places.index_reduce, in_place(places.index_reduce)
    scatter_reduce, scatter_reduce_ = places.scatter_reduce, in_place(places.scatter_reduce)
    masked_scatter, masked_scatter_ = places.masked_scatter, in_place(places.masked_scatter)
    argwhere, unique = searching.argwhere, searching.unique
    nonzero_static, unique_consecutive = searching.nonzero_static, searching.unique_consecutive
