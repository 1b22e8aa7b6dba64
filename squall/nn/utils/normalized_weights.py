"""Weights split into length and direction, and weights over their largest singular value."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.linalg_norms import norm_except_dim
from squall.nn.functional import normalize
from squall.nn.module import Module
from squall.nn.parameter import Parameter
from squall.nn.utils.computed import compute, stop_computing


class WeightNorm(Module):
    """g * v / |v|, the norm being taken for each index of `dim`: a parametrization of two originals.

    Args:
        dim: which dimension has lengths of its own; None or -1 for one length.
    """

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / norm_except_dim(weight_v, 2, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Length and direction of a weight."""
        return norm_except_dim(weight, 2, self.dim), weight


class SpectralNorm(Module):
    """A weight over its largest singular value, which a power iteration follows while training.

    Args:
        weight: as it begins. n_power_iterations: each time the weight is read. dim: the rows of the matrix. eps: the
            least norm.
    """

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.dim()}, {weight.dim() - 1}] but got "
                f"{dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.dim(), eps, n_power_iterations
        if weight.dim() > 1:
            with sq.no_grad():
                matrix = self._matrix(weight.detach())
                rows, columns = matrix.shape
                self.register_buffer("_u", normalize(sq.randn(rows, dtype=matrix.dtype), dim=0, eps=eps))
                self.register_buffer("_v", normalize(sq.randn(columns, dtype=matrix.dtype), dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _matrix(self, weight: Any) -> Any:
        order = (self.dim, *[d for d in range(weight.dim()) if d != self.dim])
        return weight.permute(*order).flatten(1)

    def _iterate(self, matrix: Any, times: int) -> None:
        with sq.no_grad():
            for _ in range(times):
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.t() @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.dim() == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Any) -> Any:
        """The weight itself: it may already have norm 1."""
        return value


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train length `<name>_g` and direction `<name>_v` of a weight instead of the weight.

    Args:
        module: whose weight it is. name: of the weight. dim: which dimension has lengths of its own; None for one.

    Returns:
        The module. `parametrizations.weight_norm` does the same with PyTorch's newer names.

    Example:
        >>> import squall as sq
        >>> layer = sq.nn.utils.weight_norm(sq.nn.Linear(3, 2))
        >>> sorted(layer.state_dict())
        ['bias', 'weight_g', 'weight_v']
    """
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"weight_norm: {type(module).__name__} has no parameter '{name}'")
    rule = WeightNorm(dim)
    with sq.no_grad():
        length, direction = rule.right_inverse(weight.detach())
    delattr(module, name)
    module.register_parameter(name + "_g", Parameter(length.clone()))
    module.register_parameter(name + "_v", Parameter(direction.clone()))

    def read(layer: Any) -> Any:
        return rule(layer._parameters[name + "_g"], layer._parameters[name + "_v"])

    compute(module, name, read)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make a weight that `weight_norm` split an ordinary parameter again."""
    if name + "_g" not in module._parameters or name + "_v" not in module._parameters:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    with sq.no_grad():
        value = getattr(module, name).detach().clone()
    stop_computing(module, name)
    delattr(module, name + "_g")
    delattr(module, name + "_v")
    module.register_parameter(name, Parameter(value))
    return module


def rows_dimension(module: Module, dim: int | None) -> int:
    """Which dimension of a layer's weight numbers its outputs."""
    if dim is not None:
        return dim
    return 1 if type(module).__name__.removeprefix("Parametrized").startswith("ConvTranspose") else 0
