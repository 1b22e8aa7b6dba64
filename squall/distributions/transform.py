"""The base of all transforms, and the inverse of one."""

from __future__ import annotations

import copy
from typing import Any

from squall.distributions.errors import UndefinedError
from squall.distributions.utils import tracing


class Transform:
    """An invertible function with the logarithm of its Jacobian's determinant.

    A transform of one's own gives `_call(x)`, `_inverse(y)` and `log_abs_det_jacobian(x, y)`.

    Args:
        cache_size: 1 to keep the last pair of argument and result, so that the inverse of a result just made is the
            argument itself; 0 not to. Nothing is kept while a function is traced.

    Attributes:
        domain, codomain: constraints on arguments and results. bijective: whether `t(t.inv(y))` is y everywhere. sign:
            1 for rising functions of one number, -1 for falling ones.

    Example:
        >>> import squall as sq
        >>> t = sq.distributions.ExpTransform()
        >>> t(sq.tensor(0.0)), t.inv(sq.tensor(1.0))
        (tensor(1.), tensor(0.))
    """

    bijective: Any = False
    domain: Any
    codomain: Any

    def __init__(self, cache_size: int = 0):
        if cache_size not in (0, 1):
            raise ValueError(f"{type(self).__name__}: cache_size must be 0 or 1, got {cache_size}")
        self._cache_size, self._kept, self._inv = cache_size, (None, None), None

    @property
    def event_dim(self) -> int:
        """Dimensions of an event, where arguments and results have as many."""
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueError(f"{type(self).__name__}: event_dim differs between domain and codomain; ask those")

    @property
    def inv(self) -> Any:
        """The inverse, a transform whose own inverse is this one."""
        if self._inv is None:
            self._inv = _InverseTransform(self)
        return self._inv

    @property
    def sign(self) -> Any:
        """1 where the function rises, -1 where it falls."""
        raise UndefinedError(f"{type(self).__name__}: sign is not defined")

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with another size of cache."""
        if self._cache_size == cache_size:
            return self
        new = copy.copy(self)
        Transform.__init__(new, cache_size)
        return new

    def __call__(self, x: Any) -> Any:
        """The result."""
        if self._cache_size and x is self._kept[0]:
            return self._kept[1]
        y = self._call(x)
        self._keep(x, y)
        return y

    def _inv_call(self, y: Any) -> Any:
        if self._cache_size and y is self._kept[1]:
            return self._kept[0]
        x = self._inverse(y)
        self._keep(x, y)
        return x

    def _keep(self, x: Any, y: Any) -> None:
        if self._cache_size and not tracing():
            self._kept = (x, y)

    def _call(self, x: Any) -> Any:
        raise UndefinedError(f"{type(self).__name__}: _call() is not defined")

    def _inverse(self, y: Any) -> Any:
        raise UndefinedError(f"{type(self).__name__}: _inverse() is not defined")

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |dy/dx| of an argument and its result, one number an event."""
        raise UndefinedError(f"{type(self).__name__}: log_abs_det_jacobian() is not defined")

    def forward_shape(self, shape: Any) -> Any:
        """The shape of results of arguments of a shape."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of arguments of results of a shape."""
        return shape

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class _InverseTransform(Transform):
    """A transform the other way round."""

    def __init__(self, transform: Transform):
        super().__init__(transform._cache_size)
        self._inv = transform

    @property
    def _turned(self) -> Transform:
        assert self._inv is not None
        return self._inv

    @property
    def domain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Where the transform leads to."""
        return self._turned.codomain

    @property
    def codomain(self) -> Any:  # type: ignore[override]  # of an attribute
        """Where the transform starts from."""
        return self._turned.domain

    @property
    def bijective(self) -> bool:  # type: ignore[override]  # of an attribute
        """As of the transform."""
        return self._turned.bijective

    @property
    def sign(self) -> Any:
        """As of the transform."""
        return self._turned.sign

    def with_cache(self, cache_size: int = 1) -> Any:
        return self._turned.with_cache(cache_size).inv

    def __call__(self, x: Any) -> Any:
        return self._turned._inv_call(x)

    def _inv_call(self, y: Any) -> Any:
        return self._turned(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._turned.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        return self._turned.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._turned.forward_shape(shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InverseTransform) and self._turned == other._turned

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._turned!r})"
