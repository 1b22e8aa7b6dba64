"""Weights with orthonormal rows or columns: the parametrization behind `parametrizations.orthogonal`."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.errors import SquallError
from squall.nn.module import Module

MAPS = ("matrix_exp", "cayley", "householder")


class NoInverseError(SquallError, NotImplementedError):
    """A weight assigned through a map whose inverse nobody knows."""


def _random_completion(matrix: Any, columns: int) -> Any:
    """`columns` orthonormal ones, the first of which span what the matrix's do; a copy of it where it is so."""
    missing = columns - matrix.shape[-1]
    if not missing:
        product = matrix.mH @ matrix
        tolerance = 10 * sq.finfo(matrix.dtype).eps * columns
        if sq.allclose(product, sq.eye(columns, dtype=matrix.dtype).expand_as(product), atol=tolerance):
            return matrix.clone()
    else:
        noise = sq.randn(*matrix.shape[:-1], missing, dtype=matrix.dtype)
        matrix = sq.cat([matrix, noise], -1)
    basis, triangle = sq.linalg.qr(matrix)
    return basis * triangle.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class Orthogonal(Module):
    """A matrix of any numbers made one with orthonormal columns (rows, when it is wide).

    Args:
        weight: whose shape and dtype count. orthogonal_map: "matrix_exp" and "cayley" of the skew part of a square
            matrix; "householder" reflections, for real ones. use_trivialization: turn a fixed orthogonal matrix,
            `base`, by what the map gives, so that the map begins at the identity.

    Raises:
        ValueError: for complex weights and "householder".
    """

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map, self.trivialized = tuple(weight.shape), orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        wide = X.shape[-2] < X.shape[-1]
        tall = X.mT if wide else X
        made = self._reflected(tall) if self.orthogonal_map == "householder" else self._turned(tall)
        if self.trivialized:
            made = self.base @ made
        return made.mT if wide else made

    def _turned(self, tall: Any) -> Any:
        rows, columns = tall.shape[-2:]
        lower = tall.tril()
        if rows != columns:
            lower = sq.cat([lower, sq.zeros(*tall.shape[:-1], rows - columns, dtype=tall.dtype)], -1)
        skew = lower - lower.mH
        if self.orthogonal_map == "matrix_exp":
            turned = sq.linalg.matrix_exp(skew)
        else:
            identity = sq.eye(rows, dtype=skew.dtype)
            turned = sq.linalg.solve(identity - skew * 0.5, identity + skew * 0.5)
        return turned[..., :columns]

    def _reflected(self, tall: Any) -> Any:
        below = tall.tril(-1)
        factors = 2.0 / (1.0 + (below * below).sum(-2))
        signs = tall.detach().diagonal(dim1=-2, dim2=-1).to(sq.int64).to(tall.dtype)
        return sq.linalg.householder_product(below, factors) * signs.unsqueeze(-2)

    def right_inverse(self, Q: Any) -> Any:
        """The original that gives a matrix with orthonormal columns, or the nearest of such.

        Raises:
            ValueError: for another shape. NoInverseError: for "matrix_exp" and "cayley" without trivialization.
        """
        if tuple(Q.shape) != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {tuple(Q.shape)}."
            )
        with sq.no_grad():
            wide = Q.shape[-2] < Q.shape[-1]
            tall = Q.detach().mT if wide else Q.detach()
            if self.trivialized:
                self.base = _random_completion(tall, tall.shape[-2])
                start = sq.zeros(*Q.shape, dtype=Q.dtype)
                start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)  # reflections by -1 are what makes the identity
                return start
            if self.orthogonal_map != "householder":
                raise NoInverseError(
                    f"A weight cannot be assigned through {self.orthogonal_map!r} when use_trivialization=False."
                )
            packed, factors = sq.geqrf(tall)
            signs = packed.diagonal(dim1=-2, dim2=-1).sign()
            signs = sq.where(factors == 0, -signs, signs)
            original = packed.tril(-1)
            original.diagonal(dim1=-2, dim2=-1).copy_(signs)
            return original.mT if wide else original
