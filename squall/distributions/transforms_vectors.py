"""Transforms of vectors and matrices: onto the simplex, correlation factors, triangular and positive definite matrices.

Stick breaking and correlation factors follow the Stan Reference Manual (constraint transforms) and Lewandowski,
Kurowicka and Joe 2009.
"""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.transform import Transform
from squall.distributions.utils import epsilon, tiny


class _OfKind(Transform):
    """A transform without settings: two of a kind are equal."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = object.__hash__


def _at_least(shape: Any, count: int, name: str) -> None:
    if len(shape) < count:
        raise ValueError(f"{name}: expected at least {count} dimensions, got shape {tuple(shape)}")


def _last_resized(shape: Any, by: int) -> Any:
    return sq.Size((*tuple(shape)[:-1], shape[-1] + by))


class SoftmaxTransform(_OfKind):
    """Softmax along the last dimension; not one to one.

    Example:
        >>> import squall as sq
        >>> sq.distributions.SoftmaxTransform()(sq.zeros(2))
        tensor([0.5000, 0.5000])
    """

    domain, codomain = constraints.real_vector, constraints.simplex

    def _call(self, x: Any) -> Any:
        return x.softmax(-1)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        _at_least(shape, 1, "SoftmaxTransform")
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(_OfKind):
    """Vectors onto the simplex of one dimension more: each number says which part of what is left is broken off.

    Example:
        >>> import squall as sq
        >>> sq.distributions.StickBreakingTransform()(sq.zeros(2))
        tensor([0.3333, 0.3333, 0.3333])
    """

    domain, codomain, bijective = constraints.real_vector, constraints.simplex, True

    def _breaks(self, x: Any) -> tuple[Any, Any]:
        """Log-odds of each break, shifted so that zeros give equal parts; the break itself."""
        count = x.shape[-1]
        odds = x - sq.arange(count, 0, -1, dtype=x.dtype).log()
        return odds, odds.sigmoid().clamp(tiny(x), 1 - epsilon(x))

    def _call(self, x: Any) -> Any:
        _, broken = self._breaks(x)
        left = (1 - broken).cumprod(-1)
        pad = sq.nn.functional.pad
        return pad(broken, (0, 1), value=1.0) * pad(left, (1, 0), value=1.0)

    def _inverse(self, y: Any) -> Any:
        parts = y[..., :-1]
        left = (1 - parts.cumsum(-1)).clamp(min=tiny(y))
        return parts.log() - left.log() + sq.arange(parts.shape[-1], 0, -1, dtype=y.dtype).log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        odds, _ = self._breaks(x)
        return (-odds + sq.nn.functional.logsigmoid(odds) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        _at_least(shape, 1, "StickBreakingTransform")
        return _last_resized(shape, 1)

    def inverse_shape(self, shape: Any) -> Any:
        _at_least(shape, 1, "StickBreakingTransform")
        return _last_resized(shape, -1)


class LowerCholeskyTransform(_OfKind):
    """Matrices to lower triangular ones with a positive diagonal: the part above is dropped, the diagonal's exp taken.

    Example:
        >>> import squall as sq
        >>> sq.distributions.LowerCholeskyTransform()(sq.zeros(2, 2))
        tensor([[1., 0.],
                [0., 1.]])
    """

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(0, -2, -1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(0, -2, -1).log().diag_embed()


class PositiveDefiniteTransform(_OfKind):
    """Matrices to positive definite ones, through their triangular factors.

    Example:
        >>> import squall as sq
        >>> sq.distributions.PositiveDefiniteTransform()(sq.zeros(2, 2))
        tensor([[1., 0.],
                [0., 1.]])
    """

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def _call(self, x: Any) -> Any:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().inv(sq.linalg.cholesky(y))


def _below(size: int) -> tuple[Any, Any]:
    """Rows and columns of the places below a matrix' diagonal, row by row."""
    places = sq.tril_indices(size, size, -1)
    return places[0], places[1]


class CorrCholeskyTransform(_OfKind):
    """Vectors of n(n-1)/2 numbers to triangular factors of correlation matrices of size n.

    tanh of each number is the correlation, given the columns before, of a row with a column.

    Example:
        >>> import squall as sq
        >>> sq.distributions.CorrCholeskyTransform()(sq.zeros(1))
        tensor([[1., 0.],
                [0., 1.]])
    """

    domain, codomain, bijective = constraints.real_vector, constraints.corr_cholesky, True

    def _call(self, x: Any) -> Any:
        size = self.forward_shape(x.shape)[-1]
        partial = x.tanh().clamp(-1 + epsilon(x), 1 - epsilon(x))
        rows, columns = _below(size)
        below = sq.zeros((*x.shape[:-1], size, size), dtype=x.dtype)
        below = below.reshape(*x.shape[:-1], size * size).index_copy(-1, rows * size + columns, partial)
        below = below.reshape(*x.shape[:-1], size, size)
        left = (1 - below**2).sqrt().cumprod(-1)  # of a row's length, after each column
        return (below + sq.eye(size, dtype=x.dtype)) * sq.nn.functional.pad(left[..., :-1], (1, 0), value=1.0)

    def _inverse(self, y: Any) -> Any:
        size = y.shape[-1]
        used = (y * y).cumsum(-1)
        left = sq.nn.functional.pad((1 - used[..., :-1]).clamp(min=tiny(y)), (1, 0), value=1.0).sqrt()
        rows, columns = _below(size)
        flat = (y / left).reshape(*y.shape[:-2], size * size).index_select(-1, rows * size + columns)
        return flat.clamp(-1 + epsilon(y) / 2, 1 - epsilon(y) / 2).atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Each tanh, and each length that was left for a later column of its row."""
        size = y.shape[-1]
        rows, columns = _below(size)
        left = (1 - (y * y).cumsum(-1)[..., :-1]).clamp(min=tiny(y)).log()
        left = sq.nn.functional.pad(left, (1, 0)).reshape(*y.shape[:-2], size * size)
        lengths = 0.5 * left.index_select(-1, rows * size + columns).sum(-1)
        return lengths - 2 * (x + sq.nn.functional.softplus(-2 * x) - math.log(2)).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        _at_least(shape, 1, "CorrCholeskyTransform")
        size = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if size * (size - 1) // 2 != shape[-1]:
            raise ValueError(f"CorrCholeskyTransform: {shape[-1]} numbers are not n(n-1)/2 of any size n")
        return sq.Size((*tuple(shape)[:-1], size, size))

    def inverse_shape(self, shape: Any) -> Any:
        _at_least(shape, 2, "CorrCholeskyTransform")
        if shape[-2] != shape[-1]:
            raise ValueError(f"CorrCholeskyTransform: expected square matrices, got shape {tuple(shape)}")
        return sq.Size((*tuple(shape)[:-2], shape[-1] * (shape[-1] - 1) // 2))
