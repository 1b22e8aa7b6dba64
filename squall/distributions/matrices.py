"""Distributions of matrices: Wishart, and the factors of correlation matrices (LKJ).

Wishart samples by Bartlett's decomposition (Smith and Hocking 1972); LKJ ones by the onion method of Lewandowski,
Kurowicka and Joe 2009.
"""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.distribution import Distribution, ExponentialFamily
from squall.distributions.gammas import log_gamma_sample
from squall.distributions.multivariate import factor_of_inverse, log_diagonal
from squall.distributions.ratios import Beta
from squall.distributions.utils import broadcast_all, is_tensor, lazy_property, one_of


class Wishart(ExponentialFamily):
    """Sums of `df` outer products of normal vectors: positive definite matrices.

    Args:
        df: degrees of freedom, above the size of the matrices less 1. covariance_matrix, precision_matrix (its inverse)
            or scale_tril (its lower triangular factor): (..., n, n); one of the three.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Wishart(3.0, sq.eye(2)).mean
        tensor([[3., 0.],
                [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, df: Any, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
                 validate_args: bool | None = None):
        name, matrix = one_of("Wishart", covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
                              scale_tril=scale_tril)
        if matrix.ndim < 2:
            raise ValueError(f"Wishart: {name} must be at least two-dimensional, got shape {tuple(matrix.shape)}")
        df = df if is_tensor(df) else sq.tensor(float(df), dtype=matrix.dtype)
        batch = sq.broadcast_shapes(tuple(df.shape), tuple(matrix.shape[:-2]))
        self.df, size = df.expand(batch), matrix.shape[-1]
        self.__dict__[name] = matrix.expand((*batch, size, size))
        super().__init__(batch, (size, size), validate_args)
        self._unbroadcasted_scale_tril = (
            matrix if name == "scale_tril" else sq.linalg.cholesky(matrix) if name == "covariance_matrix"
            else factor_of_inverse(matrix))

    @property
    def arg_constraints(self) -> dict:  # type: ignore[override]  # of an attribute
        """The degrees of freedom's bound depends on the size."""
        bound = self._event_shape[-1] - 1
        return {"df": constraints.greater_than(bound), "covariance_matrix": constraints.positive_definite,
                "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky}

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    def _of_batch(self, matrix: Any) -> Any:
        return matrix.expand(tuple(self._batch_shape + self._event_shape))

    @lazy_property
    def scale_tril(self) -> Any:
        """The covariance's lower triangular factor."""
        return self._of_batch(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Any:
        """The covariance of the normal vectors."""
        factor = self._unbroadcasted_scale_tril
        return self._of_batch(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Any:
        """The covariance's inverse."""
        return self._of_batch(sq.cholesky_inverse(self._unbroadcasted_scale_tril))

    def _df(self) -> Any:
        return self.df.unsqueeze(-1).unsqueeze(-1)

    @property
    def mean(self) -> Any:
        return self._df() * self.covariance_matrix

    @property
    def mode(self) -> Any:
        factor = self._df() - self._event_shape[-1] - 1
        return sq.where(factor <= 0, math.nan, factor) * self.covariance_matrix

    @property
    def variance(self) -> Any:
        v = self.covariance_matrix
        diagonal = v.diagonal(0, -2, -1)
        return self._df() * (v**2 + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _halves(self) -> Any:
        """df / 2, (df - 1) / 2, ...: one for each row."""
        return 0.5 * (self.df.unsqueeze(-1) - sq.arange(self._event_shape[-1], dtype=self.df.dtype))

    def rsample(self, sample_shape: Any = (), max_try_correction: Any = None) -> Any:
        """Random matrices with gradients; `max_try_correction`, of PyTorch, is accepted: none is singular here."""
        size = self._event_shape[-1]
        shape = (*sample_shape, *tuple(self._batch_shape))
        diagonal = (0.5 * (log_gamma_sample(self._halves().expand((*shape, size))) + math.log(2))).exp()
        noise = sq.randn((*shape, size, size), dtype=self.df.dtype).tril(-1) + diagonal.diag_embed()
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def _log_gamma(self) -> Any:
        """The logarithm of the multivariate gamma function at df / 2."""
        p = self._event_shape[-1]
        return p * (p - 1) / 4 * math.log(math.pi) + self._halves().lgamma().sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        p, nu, factor = self._event_shape[-1], self.df, self._unbroadcasted_scale_tril
        front = -nu * (p * math.log(2) / 2 + log_diagonal(factor)) - self._log_gamma()
        trace = sq.cholesky_solve(value, factor.expand((*value.shape[:-2], p, p))).diagonal(0, -2, -1).sum(-1)
        return front + (nu - p - 1) * log_diagonal(sq.linalg.cholesky(value)) - trace / 2

    def entropy(self) -> Any:
        p, nu = self._event_shape[-1], self.df
        digammas = (self._halves().digamma()).sum(-1)
        return ((p + 1) * (p * math.log(2) / 2 + log_diagonal(self._unbroadcasted_scale_tril)) + self._log_gamma()
                - (nu - p - 1) / 2 * digammas + nu * p / 2)

    @property
    def _natural_params(self) -> tuple:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        p = self._event_shape[-1]
        half = y + (p + 1) / 2
        return half * (p * math.log(2) - sq.linalg.slogdet(-2 * x)[1]) + sq.mvlgamma(half, p)


class LKJCholesky(Distribution):
    """Triangular factors L of correlation matrices L L^T, of density proportional to det ** (concentration - 1).

    Args:
        dim: the size of the matrices, at least 2. concentration: positive; 1 for uniform correlation matrices.

    Example:
        >>> import squall as sq
        >>> sq.distributions.LKJCholesky(3, 1.0).sample().shape
        squall.Size([3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"LKJCholesky: expected dim to be an integer of at least 2, got {dim}")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def sample(self, sample_shape: Any = ()) -> Any:
        """Each row a random direction below the diagonal, of a length whose square is beta-distributed."""
        with sq.no_grad():
            shape, dim = (*sample_shape, *tuple(self._batch_shape)), self.dim
            rows = sq.arange(1, dim, dtype=self.concentration.dtype)
            rest = (self.concentration.unsqueeze(-1) + 0.5 * (dim - 1 - rows)).expand((*shape, dim - 1))
            squared = Beta((0.5 * rows).expand((*shape, dim - 1)), rest, validate_args=False).sample().unsqueeze(-1)
            noise = sq.randn((*shape, dim - 1, dim), dtype=rows.dtype).tril()
            below = squared.sqrt() * noise / noise.square().sum(-1, keepdim=True).sqrt()
            diagonal = sq.nn.functional.pad((1 - squared.squeeze(-1)).clamp(min=sq.finfo(rows.dtype).tiny).sqrt(),
                                            (1, 0), value=1.0)
            return sq.nn.functional.pad(below, (0, 0, 1, 0)) + diagonal.diag_embed()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        eta, dim = self.concentration, self.dim
        diagonal = value.diagonal(0, -2, -1)[..., 1:]
        powers = 2 * (eta - 1).unsqueeze(-1) + dim - sq.arange(2, dim + 1, dtype=eta.dtype)
        free = dim - 1
        alpha = eta + 0.5 * free
        norm = sq.mvlgamma(alpha - 0.5, free) - alpha.lgamma() * free + 0.5 * free * math.log(math.pi)
        return (powers * diagonal.log()).sum(-1) - norm
