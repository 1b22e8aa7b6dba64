"""Normal vectors, with a full covariance or one of low rank and a diagonal."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution
from squall.distributions.utils import lazy_property, one_of

_LOG_TAU = math.log(2 * math.pi)


def times(matrix: Any, vector: Any) -> Any:
    """Batches of matrices times batches of vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def factor_of_inverse(matrix: Any) -> Any:
    """The lower triangular factor of a positive definite matrix' inverse, without inverting that.

    With P = U U^T for an upper triangular U (the factor of P turned about, turned back), U^-T is the factor.
    """
    upper = sq.linalg.cholesky(matrix.flip((-2, -1))).flip((-2, -1))
    eye = sq.eye(matrix.shape[-1], dtype=matrix.dtype)
    return sq.linalg.solve_triangular(upper.mT, eye.expand(matrix.shape), upper=False)


def mahalanobis(factor: Any, vector: Any) -> Any:
    """The squared length of factor^-1 vector."""
    shape = sq.broadcast_shapes(tuple(factor.shape[:-1]), tuple(vector.shape))
    column = vector.expand(shape).unsqueeze(-1)
    solved = sq.linalg.solve_triangular(factor.expand((*shape, shape[-1])), column, upper=False)
    return solved.squeeze(-1).square().sum(-1)


def log_diagonal(factor: Any) -> Any:
    """The sum of the logarithms of a triangular matrix' diagonal."""
    return factor.diagonal(0, -2, -1).log().sum(-1)


class MultivariateNormal(Distribution):
    """Normal vectors.

    Args:
        loc: the mean, (..., n). covariance_matrix, precision_matrix (its inverse) or scale_tril (its lower triangular
            factor with a positive diagonal): of shape (..., n, n); one of the three.

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.MultivariateNormal(sq.zeros(2), sq.eye(2))
        >>> d.log_prob(sq.zeros(2)), d.sample((3,)).shape
        (tensor(-1.8379), squall.Size([3, 2]))
    """

    arg_constraints = {"loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None):
        if loc.ndim < 1:
            raise ValueError("MultivariateNormal: loc must be at least one-dimensional")
        name, matrix = one_of("MultivariateNormal", covariance_matrix=covariance_matrix,
                              precision_matrix=precision_matrix, scale_tril=scale_tril)
        if matrix.ndim < 2:
            raise ValueError(f"MultivariateNormal: {name} must be at least two-dimensional, got {tuple(matrix.shape)}")
        batch = sq.broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        self.__dict__[name] = matrix.expand((*batch, *matrix.shape[-2:]))
        self.loc = loc.expand((*batch, loc.shape[-1]))
        super().__init__(batch, self.loc.shape[-1:], validate_args)
        self._unbroadcasted_scale_tril = (
            matrix if name == "scale_tril" else sq.linalg.cholesky(matrix) if name == "covariance_matrix"
            else factor_of_inverse(matrix))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    def _of_batch(self, matrix: Any) -> Any:
        size = self._event_shape[0]
        return matrix.expand((*tuple(self._batch_shape), size, size))

    @lazy_property
    def scale_tril(self) -> Any:
        """The covariance's lower triangular factor."""
        return self._of_batch(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        factor = self._unbroadcasted_scale_tril
        return self._of_batch(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Any:
        """The covariance's inverse."""
        return self._of_batch(sq.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self._unbroadcasted_scale_tril.square().sum(-1).expand(tuple(self._batch_shape + self._event_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = sq.randn(tuple(self._extended_shape(sample_shape)), dtype=self.loc.dtype)
        return self.loc + times(self._unbroadcasted_scale_tril, noise)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        factor = self._unbroadcasted_scale_tril
        apart = mahalanobis(factor, value - self.loc)
        return -0.5 * (self._event_shape[0] * _LOG_TAU + apart) - log_diagonal(factor)

    def entropy(self) -> Any:
        found = 0.5 * self._event_shape[0] * (1 + _LOG_TAU) + log_diagonal(self._unbroadcasted_scale_tril)
        return found.expand(tuple(self._batch_shape))


class LowRankMultivariateNormal(Distribution):
    """Normal vectors with covariance W W^T + D, for a thin W and a diagonal D.

    Densities take the inverse by Woodbury's identity and the determinant by its lemma, so that only a matrix of W's
    rank, I + W^T D^-1 W, is factored.

    Args:
        loc: the mean, (..., n). cov_factor: W, (..., n, rank). cov_diag: D's diagonal, positive, (..., n).

    Example:
        >>> import squall as sq
        >>> d = sq.distributions.LowRankMultivariateNormal(sq.zeros(2), sq.tensor([[1.0], [0.0]]), sq.ones(2))
        >>> d.covariance_matrix
        tensor([[2., 0.],
                [0., 1.]])
    """

    arg_constraints = {"loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
                       "cov_diag": constraints.independent(constraints.positive, 1)}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any, validate_args: bool | None = None):
        if loc.ndim < 1 or cov_factor.ndim < 2:
            raise ValueError("LowRankMultivariateNormal: expected loc of at least one dimension and cov_factor of two, "
                             f"got {loc.ndim} and {cov_factor.ndim}")
        size = loc.shape[-1]
        if cov_factor.shape[-2] != size or cov_diag.shape[-1] != size:
            raise ValueError(f"LowRankMultivariateNormal: cov_factor {tuple(cov_factor.shape)} and cov_diag "
                             f"{tuple(cov_diag.shape)} must have rows of loc's size {size}")
        batch = sq.broadcast_shapes(tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]), tuple(cov_diag.shape[:-1]))
        self.loc, self.cov_diag = loc.expand((*batch, size)), cov_diag.expand((*batch, size))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        super().__init__(batch, (size,), validate_args)

    @lazy_property
    def _capacitance_tril(self) -> Any:
        """The factor of I + W^T D^-1 W."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        return sq.linalg.cholesky(scaled @ self.cov_factor + sq.eye(self.cov_factor.shape[-1], dtype=self.loc.dtype))

    @property
    def mean(self) -> Any:
        return self.loc

    @property
    def mode(self) -> Any:
        return self.loc

    @lazy_property
    def variance(self) -> Any:
        return self.cov_factor.square().sum(-1) + self.cov_diag

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance."""
        return self.cov_factor @ self.cov_factor.mT + self.cov_diag.diag_embed()

    @lazy_property
    def scale_tril(self) -> Any:
        """The covariance's lower triangular factor."""
        return sq.linalg.cholesky(self.covariance_matrix)

    @lazy_property
    def precision_matrix(self) -> Any:
        """The covariance's inverse."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        inner = sq.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self.cov_diag.reciprocal().diag_embed() - inner.mT @ inner

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        thin = sq.randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        return self.loc + times(self.cov_factor, thin) + self.cov_diag.sqrt() * sq.randn(shape, dtype=self.loc.dtype)

    def _log_det(self) -> Any:
        return 2 * log_diagonal(self._capacitance_tril) + self.cov_diag.log().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        apart = value - self.loc
        scaled = apart / self.cov_diag
        inner = mahalanobis(self._capacitance_tril, times(self.cov_factor.mT, scaled))
        return -0.5 * (self._event_shape[0] * _LOG_TAU + self._log_det() + (apart * scaled).sum(-1) - inner)

    def entropy(self) -> Any:
        return 0.5 * (self._event_shape[0] * (1 + _LOG_TAU) + self._log_det())
