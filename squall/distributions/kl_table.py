"""Kullback and Leibler's divergence of pairs of distributions: the table of pairs, and how a pair is found in it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from squall.distributions.distribution import Distribution
from squall.distributions.errors import UndefinedError

_TABLE: dict[tuple[type, type], Callable] = {}
_found: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """Decorate a function `f(p, q)` that gives the divergence of a pair of kinds of distributions.

    A pair that is not registered takes the function of the nearest base classes.

    Raises:
        TypeError: for what is no class of distributions.

    Example:
        >>> import squall as sq
        >>> class Still(sq.distributions.Normal):
        ...     pass
        >>> @sq.distributions.register_kl(Still, Still)
        ... def still(p, q):
        ...     return sq.zeros(())
        >>> sq.distributions.kl_divergence(Still(0.0, 1.0), Still(1.0, 1.0))
        tensor(0.)
    """
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"register_kl: expected a subclass of Distribution, got {kind!r}")

    def register(function: Callable) -> Callable:
        _TABLE[type_p, type_q] = function
        _found.clear()
        return function

    return register


def _dispatch(type_p: type, type_q: type) -> Callable:
    """The function of the pair of nearest classes; a warning when the two sides would choose differently."""
    if (type_p, type_q) in _found:
        return _found[type_p, type_q]
    fitting = [(p, q) for p, q in _TABLE if issubclass(type_p, p) and issubclass(type_q, q)]
    if not fitting:
        names = f"{type_p.__name__} and {type_q.__name__}"
        raise UndefinedError(f"kl_divergence: no formula is registered for {names}")
    far_p, far_q = type_p.__mro__.index, type_q.__mro__.index
    left = min(fitting, key=lambda pair: (far_p(pair[0]), far_q(pair[1])))
    right = min(fitting, key=lambda pair: (far_q(pair[1]), far_p(pair[0])))
    if _TABLE[left] is not _TABLE[right]:
        names = [f"({p.__name__}, {q.__name__})" for p, q in (left, right)]
        warnings.warn(f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}): {' and '.join(names)} fit; "
                      f"register_kl the pair itself", RuntimeWarning, stacklevel=3)
    _found[type_p, type_q] = _TABLE[left]
    return _TABLE[left]


def kl_divergence(p: Any, q: Any) -> Any:
    """The mean, over p, of log p - log q; at least 0, and 0 for equal distributions.

    Args:
        p, q: distributions whose batch shapes broadcast.

    Returns:
        Tensor: of the batch shape; infinite where p has values that q has not.

    Raises:
        NotImplementedError: for a pair without a formula.

    Example:
        >>> import squall as sq
        >>> D = sq.distributions
        >>> D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(1.0, 1.0))
        tensor(0.5000)
    """
    return _dispatch(type(p), type(q))(p, q)
