"""What the families share: parameters of one shape, probabilities and log-odds, values kept once computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import squall as sq
from squall.frontend.state import local

EULER = 0.57721566490153286061


def is_tensor(value: Any) -> bool:
    """Whether a value is a Tensor."""
    return isinstance(value, sq.Tensor)


def tracing() -> bool:
    """Whether a function is being traced by `compile` or `vmap`, so that there are no values to look at."""
    return local.state.trace is not None


def holds(condition: Any) -> bool:
    """Whether a condition holds for all elements; while a function is traced nobody can tell, and it counts as held."""
    return tracing() or bool(condition.all())


def broadcast_all(*values: Any) -> tuple:
    """Numbers and Tensors as Tensors of their common shape; numbers take the dtype of the Tensors.

    Raises:
        TypeError: for anything else.
    """
    for value in values:
        if not is_tensor(value) and not isinstance(value, (bool, int, float)):
            raise TypeError(f"parameters must be numbers or Tensors, got {type(value).__name__}")
    tensors = [v for v in values if is_tensor(v)]
    dtype = next((t.dtype for t in tensors if t.dtype.is_floating_point), None) or sq.get_default_dtype()
    return tuple(sq.broadcast_tensors(*(v if is_tensor(v) else sq.tensor(v, dtype=dtype) for v in values)))


def scalar(*values: Any) -> bool:
    """Whether all parameters are numbers."""
    return not any(is_tensor(v) for v in values)


def sum_rightmost(value: Any, count: int) -> Any:
    """The sum over the last `count` dimensions."""
    return value if count == 0 else value.reshape(*value.shape[:value.ndim - count], -1).sum(-1)


def tiny(value: Any) -> float:
    """The smallest normal number of a Tensor's dtype."""
    return sq.finfo(value.dtype).tiny


def epsilon(value: Any) -> float:
    """The distance from 1 to the next number of a Tensor's dtype."""
    return sq.finfo(value.dtype).eps


def clamp_probs(probs: Any) -> Any:
    """Probabilities kept away from 0 and 1 by the dtype's precision."""
    return probs.clamp(epsilon(probs), 1 - epsilon(probs))


def uniform(shape: Any, like: Any) -> Any:
    """Uniform numbers in (0, 1), both ends left out, of a Tensor's dtype."""
    return sq.rand(tuple(shape), dtype=like.dtype).clamp(tiny(like), 1 - epsilon(like) / 2)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Probabilities of log-odds (`is_binary`), or of logarithms along the last dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """Log-odds of probabilities (`is_binary`), or their logarithms; kept finite by the dtype's precision."""
    kept = clamp_probs(probs)
    return kept.log() - (-kept).log1p() if is_binary else kept.log()


class lazy_property:
    """An attribute that is computed when it is first read, with history, and kept.

    Nothing is kept while a function is traced, so that no traced Tensor stays behind in the object.
    """

    def __init__(self, function: Callable):
        self.function, self.name, self.__doc__ = function, function.__name__, function.__doc__

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None:
            return self
        with sq.enable_grad():
            value = self.function(owner)
        if not tracing():
            owner.__dict__[self.name] = value
        return value


def one_of(function: str, **given: Any) -> tuple[str, Any]:
    """Name and value of the one parameter that was given among several.

    Raises:
        ValueError: when it is not exactly one.
    """
    found = [(name, value) for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise ValueError(f"{function}: expected exactly one of {', '.join(given)}, got {len(found)}")
    return found[0]
