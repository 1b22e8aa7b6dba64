"""`sq.distributions.transforms`: functions of each number, and the names of all transforms."""

from __future__ import annotations

import math
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.transform import Transform
from squall.distributions.transforms_composed import (
    ComposeTransform,
    IndependentTransform,
    ReshapeTransform,
    identity_transform,
)
from squall.distributions.transforms_joined import (
    CatTransform,
    CumulativeDistributionTransform,
    StackTransform,
)
from squall.distributions.transforms_vectors import (
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SoftmaxTransform,
    StickBreakingTransform,
)
from squall.distributions.utils import epsilon, is_tensor, tiny


class _Plain(Transform):
    """A rising function of each number; two of a kind are equal."""

    domain, codomain, bijective, sign = constraints.real, constraints.real, True, 1  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = object.__hash__


class ExpTransform(_Plain):
    """y = exp(x).

    Example:
        >>> import squall as sq
        >>> sq.distributions.ExpTransform()(sq.tensor(0.0))
        tensor(1.)
    """

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class PowerTransform(Transform):
    """y = x ** exponent, of positive numbers.

    Args:
        exponent: a number or Tensor, not 0.

    Example:
        >>> import squall as sq
        >>> sq.distributions.PowerTransform(2.0)(sq.tensor(3.0))
        tensor(9.)
    """

    domain = codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0):
        super().__init__(cache_size)
        self.exponent = exponent if is_tensor(exponent) else sq.tensor(float(exponent))

    @property
    def sign(self) -> Any:
        """That of the exponent."""
        return self.exponent.sign()

    def _call(self, x: Any) -> Any:
        return x.pow(self.exponent)

    def _inverse(self, y: Any) -> Any:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        return sq.broadcast_shapes(tuple(shape), tuple(self.exponent.shape))

    inverse_shape = forward_shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and bool((self.exponent == other.exponent).all())

    __hash__ = object.__hash__


class SigmoidTransform(_Plain):
    """y = 1 / (1 + exp(-x)).

    Example:
        >>> import squall as sq
        >>> sq.distributions.SigmoidTransform().inv(sq.tensor(0.5))
        tensor(0.)
    """

    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        return x.sigmoid().clamp(tiny(x), 1 - epsilon(x))

    def _inverse(self, y: Any) -> Any:
        kept = y.clamp(tiny(y), 1 - epsilon(y))
        return kept.log() - (-kept).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -sq.nn.functional.softplus(-x) - sq.nn.functional.softplus(x)


class SoftplusTransform(_Plain):
    """y = log(1 + exp(x)).

    Example:
        >>> import squall as sq
        >>> sq.distributions.SoftplusTransform()(sq.tensor(0.0))
        tensor(0.6931)
    """

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return sq.nn.functional.softplus(x)

    def _inverse(self, y: Any) -> Any:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -sq.nn.functional.softplus(-x)


class TanhTransform(_Plain):
    """y = tanh(x).

    Example:
        >>> import squall as sq
        >>> sq.distributions.TanhTransform()(sq.tensor(0.0))
        tensor(0.)
    """

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2 * (math.log(2) - x - sq.nn.functional.softplus(-2 * x))  # log(1 - tanh^2), right for large x too


class AbsTransform(Transform):
    """y = |x|; not one to one: the inverse is the positive number.

    Example:
        >>> import squall as sq
        >>> sq.distributions.AbsTransform()(sq.tensor(-2.0))
        tensor(2.)
    """

    domain, codomain = constraints.real, constraints.positive

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AbsTransform)

    __hash__ = object.__hash__


class AffineTransform(Transform):
    """y = loc + scale * x.

    Args:
        loc, scale: numbers or Tensors. event_dim: dimensions of an event.

    Example:
        >>> import squall as sq
        >>> sq.distributions.AffineTransform(1.0, 2.0)(sq.tensor(3.0))
        tensor(7.)
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        """Dimensions of an event."""
        return self._event_dim

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Real numbers."""
        return constraints.independent(constraints.real, self._event_dim) if self._event_dim else constraints.real

    codomain = domain  # type: ignore[assignment]  # of an attribute

    @property
    def sign(self) -> Any:
        """That of the scale."""
        return self.scale.sign() if is_tensor(self.scale) else (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        scale = self.scale if is_tensor(self.scale) else sq.full_like(x, self.scale)
        found = scale.abs().log()
        if not self._event_dim:
            return found.expand(x.shape)
        found = found.expand(sq.broadcast_shapes(tuple(found.shape), tuple(x.shape[x.ndim - self._event_dim:])))
        return found.reshape(*found.shape[:found.ndim - self._event_dim], -1).sum(-1).expand(
            x.shape[:x.ndim - self._event_dim])

    def forward_shape(self, shape: Any) -> Any:
        own = [tuple(v.shape) for v in (self.loc, self.scale) if is_tensor(v)]
        return sq.broadcast_shapes(tuple(shape), *own)

    inverse_shape = forward_shape

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineTransform):
            return False
        pairs = ((self.loc, other.loc), (self.scale, other.scale))
        return all(a is b or bool(sq.as_tensor(a == b).all()) for a, b in pairs)

    __hash__ = object.__hash__


__all__ = [
    "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform",
    "CumulativeDistributionTransform", "ExpTransform", "IndependentTransform", "LowerCholeskyTransform",
    "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
    "SoftplusTransform", "StackTransform", "StickBreakingTransform", "TanhTransform", "Transform", "identity_transform",
]  # fmt: skip
