"""Parametrizations that are ready to use: weight_norm and spectral_norm."""

from __future__ import annotations

from squall.nn.module import Module
from squall.nn.utils.normalized_weights import SpectralNorm, WeightNorm, rows_dimension
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
