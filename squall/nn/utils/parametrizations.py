"""Parametrizations that are ready to use: weight_norm, spectral_norm and orthogonal."""

from __future__ import annotations

import squall as sq
from squall.nn.module import Module
from squall.nn.utils.normalized_weights import SpectralNorm, WeightNorm, rows_dimension
from squall.nn.utils.orthogonal import MAPS, Orthogonal
from squall.nn.utils.parametrize import register_parametrization


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length (original0) and direction (original1) of a weight instead of the weight.

    Args:
        module: whose weight it is. name: of the weight. dim: which dimension has lengths of its own; None for one.

    Returns:
        The module.
    """
    return register_parametrization(module, name, WeightNorm(dim), unsafe=True)


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, which a power iteration follows while training.

    Args:
        module: whose weight it is. name: of the weight. n_power_iterations: each time the weight is read. eps: the
            least norm. dim: the rows of the matrix; 1 for transposed convolutions and 0 for others by default.

    Returns:
        The module.

    Example:
        >>> import squall as sq
        >>> layer = spectral_norm(sq.nn.Linear(4, 4))
        >>> 0.9 < layer.weight.detach().norm().item() < 2.1
        True
    """
    weight = getattr(module, name, None)
    if weight is None:
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    rule = SpectralNorm(weight, n_power_iterations, rows_dimension(module, dim), eps)
    return register_parametrization(module, name, rule)


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep the columns of a weight (its rows, when it is wide) orthonormal while it is trained.

    Args:
        module: whose weight it is. name: of the weight, of two dimensions or more. orthogonal_map: "matrix_exp" (by
            default for square and complex ones), "cayley" or "householder" (for others). use_trivialization: turn the
            weight as it was assigned last rather than the identity.

    Returns:
        The module.

    Raises:
        ValueError: for a name that is none, fewer than two dimensions or another map.

    Example:
        >>> import squall as sq
        >>> layer = orthogonal(sq.nn.Linear(3, 3))
        >>> sq.testing.assert_close(layer.weight.detach() @ layer.weight.detach().T, sq.eye(3), atol=1e-5, rtol=0)
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, sq.Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1] or weight.is_complex()
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(f"orthogonal_map has to be one of {', '.join(MAPS)}. Got: {orthogonal_map}")
    return register_parametrization(module, name, Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)
