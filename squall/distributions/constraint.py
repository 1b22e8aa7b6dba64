"""The base of all constraints, and those that are made of others or wait for a distribution's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import squall as sq
from squall.distributions.errors import UndefinedError


class Constraint:
    """A region of values.

    Attributes:
        is_discrete: whether it holds whole numbers. event_dim: dimensions, on the right, of one value.

    Example:
        >>> import squall as sq
        >>> sq.distributions.constraints.positive.check(sq.tensor([1.0, -1.0]))
        tensor([ True, False])
    """

    is_discrete: Any = False
    event_dim: Any = 0

    def check(self, value: Any) -> Any:
        """Whether each event lies in the region; a bool Tensor of the shape without the event's dimensions."""
        raise UndefinedError(f"{type(self).__name__}: check() is not defined")

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


class _Dependent(Constraint):
    """A region that depends on parameters, known only to the distribution itself."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> Any:
        """Whether it holds whole numbers, when that is known."""
        return self._known(self._is_discrete, "is_discrete")

    @property
    def event_dim(self) -> Any:
        """Dimensions of one value, when they are known."""
        return self._known(self._event_dim, "event_dim")

    def _known(self, value: Any, name: str) -> Any:
        if value is NotImplemented:
            raise UndefinedError(f"dependent constraint: {name} depends on the distribution; ask its support")
        return value

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        """The same with more known of it."""
        return _Dependent(is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
                          event_dim=self._event_dim if event_dim is NotImplemented else event_dim)

    def check(self, value: Any) -> Any:
        """Cannot be checked."""
        raise ValueError("a dependent constraint cannot be checked without its distribution")


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on a distribution's parameters.

    Example:
        >>> import squall as sq
        >>> c = sq.distributions.constraints
        >>> c.is_dependent(c.dependent), c.is_dependent(c.real)
        (True, False)
    """
    return isinstance(constraint, _Dependent)


class dependent_property(property, _Dependent):
    """A property that gives a constraint made of a distribution's parameters; on the class it is `dependent`.

    Example:
        >>> import squall as sq
        >>> sq.distributions.Uniform(0.0, 3.0).support
        Interval(lower_bound=0.0, upper_bound=3.0)
    """

    def __init__(self, fn: Callable | None = None, *, is_discrete: Any = NotImplemented,
                 event_dim: Any = NotImplemented):
        property.__init__(self, fn)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn: Callable) -> dependent_property:  # type: ignore[override]  # used as a decorator
        return dependent_property(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class _Independent(Constraint):
    """A constraint whose last dimensions are one value: it holds where it holds for all of them."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        if reinterpreted_batch_ndims < 0:
            raise ValueError(f"independent: {reinterpreted_batch_ndims} dimensions; expected at least 0")
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        """As of the base."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        """Those of the base and the dimensions that join them."""
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        """Whether all of each event lies in the base's region."""
        held = self.base_constraint.check(value)
        if held.ndim < self.reinterpreted_batch_ndims:
            raise ValueError(f"independent: expected at least {self.event_dim} dimensions, got {value.ndim}")
        return held.reshape(*held.shape[:held.ndim - self.reinterpreted_batch_ndims], -1).all(-1)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """The region of a mixture's components, for values without the dimension of components.

    Example:
        >>> import squall as sq
        >>> c = sq.distributions.constraints
        >>> c.MixtureSameFamilyConstraint(c.positive).check(sq.tensor([1.0, -1.0]))
        tensor([ True, False])
    """

    def __init__(self, base_constraint: Constraint):
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:
        """As of the base."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:
        """As of the base."""
        return self.base_constraint.event_dim

    def check(self, value: Any) -> Any:
        """Whether each value lies in the region of every component."""
        place = value.ndim - self.event_dim
        return self.base_constraint.check(value.unsqueeze(place)).all(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class _Joined(Constraint):
    """Several constraints, for parts of a value along one dimension."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0):
        self.cseq, self.dim = list(cseq), dim

    @property
    def is_discrete(self) -> bool:
        """Whether one of them is."""
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        """The largest of them."""
        return max(c.event_dim for c in self.cseq)


class _Cat(_Joined):
    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None):
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise ValueError(f"cat: {len(self.lengths)} lengths for {len(self.cseq)} constraints")

    def check(self, value: Any) -> Any:
        parts = value.split(self.lengths, self.dim)
        return sq.cat([c.check(v) for c, v in zip(self.cseq, parts, strict=True)], self.dim)


class _Stack(_Joined):
    def check(self, value: Any) -> Any:
        if value.shape[self.dim] != len(self.cseq):
            raise ValueError(f"stack: size {value.shape[self.dim]} along {self.dim} for {len(self.cseq)} constraints")
        return sq.stack([c.check(v) for c, v in zip(self.cseq, value.unbind(self.dim), strict=True)], self.dim)
