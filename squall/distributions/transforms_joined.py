"""Several transforms side by side along a dimension, and the transform by a distribution function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import squall as sq
from squall.distributions import constraints
from squall.distributions.transform import Transform
from squall.distributions.utils import sum_rightmost


def _checked(tseq: Sequence[Transform], name: str) -> list[Transform]:
    if not all(isinstance(t, Transform) for t in tseq):
        raise TypeError(f"{name}: tseq must hold transforms, got {[type(t).__name__ for t in tseq]}")
    return list(tseq)


class CatTransform(Transform):
    """Transforms of consecutive parts along a dimension.

    Args:
        tseq: the transforms. dim: the dimension. lengths: of the parts, 1 each when left out.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> D.CatTransform([D.ExpTransform(), D.identity_transform], lengths=[1, 2])(sq.zeros(3))
        tensor([1., 0., 0.])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, lengths: Sequence[int] | None = None,
                 cache_size: int = 0):
        self.transforms = [t.with_cache(cache_size) if cache_size else t for t in _checked(tseq, "CatTransform")]
        super().__init__(cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise ValueError(f"CatTransform: {len(self.lengths)} lengths for {len(self.transforms)} transforms")
        self.dim = dim

    @property
    def length(self) -> int:
        """The size along the dimension."""
        return sum(self.lengths)

    @property
    def event_dim(self) -> int:
        """The largest of the parts'."""
        return max(t.event_dim for t in self.transforms)

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of an attribute
        """Whether all are."""
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Theirs, side by side."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Theirs, side by side."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _parts(self, value: Any) -> tuple:
        if value.shape[self.dim] != self.length:
            raise ValueError(f"CatTransform: size {value.shape[self.dim]} along {self.dim}, expected {self.length}")
        return value.split(self.lengths, self.dim)

    def _call(self, x: Any) -> Any:
        return sq.cat([t(p) for t, p in zip(self.transforms, self._parts(x), strict=True)], self.dim)

    def _inverse(self, y: Any) -> Any:
        return sq.cat([t.inv(p) for t, p in zip(self.transforms, self._parts(y), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        found = []
        for t, a, b in zip(self.transforms, self._parts(x), self._parts(y), strict=True):
            part = t.log_abs_det_jacobian(a, b)
            found.append(sum_rightmost(part, self.event_dim - t.event_dim) if t.event_dim < self.event_dim else part)
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        return sq.cat(found, dim) if dim < 0 else sum(found[1:], found[0])


class StackTransform(Transform):
    """Transforms of the slices along a dimension.

    Args:
        tseq: the transforms, one a slice. dim: the dimension.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> D.StackTransform([D.ExpTransform(), D.identity_transform])(sq.zeros(2))
        tensor([1., 0.])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        self.transforms = [t.with_cache(cache_size) if cache_size else t for t in _checked(tseq, "StackTransform")]
        super().__init__(cache_size)
        self.dim = dim

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of an attribute
        """Whether all are."""
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Theirs, slice by slice."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Theirs, slice by slice."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def with_cache(self, cache_size: int = 1) -> Any:
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def _slices(self, value: Any) -> tuple:
        if value.shape[self.dim] != len(self.transforms):
            raise ValueError(f"StackTransform: size {value.shape[self.dim]} along dimension {self.dim} for "
                             f"{len(self.transforms)} transforms")
        return value.unbind(self.dim)

    def _call(self, x: Any) -> Any:
        return sq.stack([t(p) for t, p in zip(self.transforms, self._slices(x), strict=True)], self.dim)

    def _inverse(self, y: Any) -> Any:
        return sq.stack([t.inv(p) for t, p in zip(self.transforms, self._slices(y), strict=True)], self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        parts = zip(self.transforms, self._slices(x), self._slices(y), strict=True)
        return sq.stack([t.log_abs_det_jacobian(a, b) for t, a, b in parts], self.dim)


class CumulativeDistributionTransform(Transform):
    """Values to the probability below them: uniform numbers, when the values are of the distribution.

    Args:
        distribution: of one variable, with `cdf` and `icdf`.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> D.CumulativeDistributionTransform(D.Normal(0.0, 1.0))(sq.tensor(0.0))
        tensor(0.5000)
    """

    bijective, codomain, sign = True, constraints.unit_interval, 1  # type: ignore[assignment]

    def __init__(self, distribution: Any, cache_size: int = 0):
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """The distribution's support."""
        return self.distribution.support

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return self.distribution.log_prob(x)
