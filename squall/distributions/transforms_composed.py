"""Transforms made of others: chains, larger events, and other shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.transform import Transform
from squall.distributions.utils import sum_rightmost


class ComposeTransform(Transform):
    """Several transforms, one after the other.

    Args:
        parts: transforms, first applied first.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.ExpTransform()])(sq.tensor(-0.5))
        tensor(1.)
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0):
        self.parts = [p.with_cache(cache_size) for p in parts] if cache_size else list(parts)
        super().__init__(cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Of the first part, with the dimensions that later parts look at together."""
        if not self.parts:
            return constraints.real
        need = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            need = max(need + part.domain.event_dim - part.codomain.event_dim, part.domain.event_dim)
        found = self.parts[0].domain
        return constraints.independent(found, need - found.event_dim) if need > found.event_dim else found

    @property
    def codomain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Of the last part, with the dimensions that earlier parts look at together."""
        if not self.parts:
            return constraints.real
        made = self.parts[0].domain.event_dim
        for part in self.parts:
            made = max(made + part.codomain.event_dim - part.domain.event_dim, part.codomain.event_dim)
        found = self.parts[-1].codomain
        return constraints.independent(found, made - found.event_dim) if made > found.event_dim else found

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of an attribute
        """Whether all parts are."""
        return all(p.bijective for p in self.parts)

    @property
    def sign(self) -> Any:
        """The product of the parts' signs."""
        return math.prod(p.sign for p in self.parts)

    @property
    def inv(self) -> Any:
        if self._inv is None:
            self._inv = ComposeTransform([p.inv for p in reversed(self.parts)])
            self._inv._inv = self
        return self._inv

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if self._cache_size == cache_size else ComposeTransform(self.parts, cache_size)

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if not self.parts:
            return sq.zeros_like(x)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        event, terms = self.domain.event_dim, []
        for part, before, after in zip(self.parts, values, values[1:], strict=False):
            terms.append(sum_rightmost(part.log_abs_det_jacobian(before, after), event - part.domain.event_dim))
            event += part.codomain.event_dim - part.domain.event_dim
        return sum(terms[1:], terms[0])

    def forward_shape(self, shape: Any) -> Any:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"ComposeTransform([{', '.join(map(repr, self.parts))}])"


class IndependentTransform(Transform):
    """A transform whose last batch dimensions are read as parts of one event.

    Args:
        base_transform: the transform. reinterpreted_batch_ndims: how many dimensions join the event.

    Example:
        >>> import squall as sq
        >>> t = sq.distributions.IndependentTransform(sq.distributions.ExpTransform(), 1)
        >>> t.log_abs_det_jacobian(sq.ones(3), t(sq.ones(3)))
        tensor(3.)
    """

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0):
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """The base's, for the larger event."""
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:  # type: ignore[override]  # of an attribute
        """The base's, for the larger event."""
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of an attribute
        """As of the base."""
        return self.base_transform.bijective

    @property
    def sign(self) -> Any:
        """As of the base."""
        return self.base_transform.sign

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return IndependentTransform(self.base_transform, self.reinterpreted_batch_ndims, cache_size)

    def _call(self, x: Any) -> Any:
        if x.ndim < self.domain.event_dim:
            raise ValueError(f"IndependentTransform: expects {self.domain.event_dim} dimensions or more, got {x.ndim}")
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        if y.ndim < self.codomain.event_dim:
            raise ValueError(f"IndependentTransform: needs {self.codomain.event_dim} or more dimensions, got {y.ndim}")
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def forward_shape(self, shape: Any) -> Any:
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self.base_transform.inverse_shape(shape)

    def __repr__(self) -> str:
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """The last dimensions in another shape.

    Args:
        in_shape, out_shape: of as many elements.

    Example:
        >>> import squall as sq
        >>> sq.distributions.ReshapeTransform((4,), (2, 2))(sq.arange(4))
        tensor([[0, 1],
                [2, 3]])
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0):
        self.in_shape, self.out_shape = sq.Size(in_shape), sq.Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError(f"ReshapeTransform: in_shape {tuple(in_shape)} and out_shape {tuple(out_shape)} have "
                             "different numbers of elements")
        super().__init__(cache_size)

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Real numbers of the first shape."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Real numbers of the second shape."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Any) -> Any:
        return x.reshape(x.shape[:x.ndim - len(self.in_shape)] + self.out_shape)

    def _inverse(self, y: Any) -> Any:
        return y.reshape(y.shape[:y.ndim - len(self.out_shape)] + self.in_shape)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return sq.zeros(tuple(x.shape[:x.ndim - len(self.in_shape)]), dtype=x.dtype)

    def forward_shape(self, shape: Any) -> Any:
        return _swapped(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _swapped(shape, self.out_shape, self.in_shape)

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, ReshapeTransform) and self.in_shape == other.in_shape
                and self.out_shape == other.out_shape)

    __hash__ = object.__hash__


def _swapped(shape: Any, old: Any, new: Any) -> Any:
    place = len(shape) - len(old)
    if place < 0 or tuple(shape[place:]) != tuple(old):
        raise ValueError(f"ReshapeTransform: shape {tuple(shape)} does not end with {tuple(old)}")
    return sq.Size(shape[:place]) + new


identity_transform = ComposeTransform([])
