"""Forms of calls that PyTorch has deprecated and still takes: scalars in positions of their own, among the operands.

`add(input, alpha, other)`, `addcmul(input, value, tensor1, tensor2)`, `addmm(beta, input, alpha, mat1, mat2)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

_NUMBERS = (bool, int, float, complex)


def with_beta_and_alpha(function: Callable) -> Callable[..., Any]:
    """A function of three operands that takes beta before the first, and alpha behind it, as positions too."""

    @wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        if len(args) > 3 or (args and isinstance(args[0], _NUMBERS)):
            args, keywords = _taken_out(args, keywords, function.__name__)
        return function(*args, **keywords)

    return run


def _taken_out(args: tuple, keywords: dict, name: str) -> tuple[tuple, dict]:
    """The operands alone, and the scalars between them as keywords."""
    given = dict(keywords)
    places = [i for i, value in enumerate(args) if isinstance(value, _NUMBERS)]
    for place in places:
        key = "beta" if place == 0 else "alpha"
        if key in given or place > 2:
            raise TypeError(f"{name}(): a number at position {place} cannot be {key!r}; give beta= and alpha= by name")
        given[key] = args[place]
    return tuple(value for i, value in enumerate(args) if i not in places), given


def with_value_second(function: Callable) -> Callable[..., Any]:
    """A function of three operands and `value` that takes the value as second of four positions too."""

    @wraps(function)
    def run(*args: Any, **keywords: Any) -> Any:
        if len(args) == 4 and isinstance(args[1], _NUMBERS) and "value" not in keywords:
            input, value, *others = args
            return function(input, *others, value=value, **keywords)
        return function(*args, **keywords)

    return run


def alpha_second(other: Any, third: tuple, alpha: Any, name: str) -> tuple[Any, Any]:
    """(other, alpha) of a call `add(input, alpha, other)`."""
    operand, *more = third
    if more or alpha != 1 or not isinstance(other, _NUMBERS):
        raise TypeError(f"{name}() takes two operands and alpha=, got {2 + len(third)} positions")
    return operand, other
