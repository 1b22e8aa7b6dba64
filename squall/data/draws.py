"""Random numbers for Python code that handles one sample at a time: drawn from a Generator's stream without recording
or evaluating anything."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.frontend.tracing import refuse
from squall.ops.random import philox

_MASK = (1 << 32) - 1


def words(generator: Any, count: int) -> list[int]:
    """The next `count` 32-bit words of a Generator (the default one when None): those `sq.rand` would be made of.

    Example:
        >>> import squall as sq
        >>> g = sq.Generator().manual_seed(3)
        >>> first = words(g, 2)
        >>> first == words(g.manual_seed(3), 2) and first != words(g, 2)
        True
    """
    source = sq.default_generator if generator is None else generator
    refuse("drawing a number for a sample", "transform samples outside of the function")
    seed, offset = source.initial_seed(), source.offset
    out: list[int] = []
    for block in range(-(-count // 4)):
        place = offset + block
        counter = (place & _MASK, (place >> 32) & _MASK, 0, 0)
        out += [int(word) for word in philox(counter, (seed & _MASK, (seed >> 32) & _MASK))]
    source.offset += -(-count // 4)
    return out[:count]


def array(generator: Any, shape: tuple[int, ...]) -> Any:
    """An ndarray of numbers in [0, 1), float64 of 32 random bits each."""
    import numpy

    count = 1
    for size in shape:
        count *= size
    return numpy.array(words(generator, count), numpy.float64).reshape(shape) / 4294967296.0


def uniform(generator: Any, low: float = 0.0, high: float = 1.0) -> float:
    """One number in [low, high)."""
    (word,) = words(generator, 1)
    return low + (high - low) * (word / 4294967296.0)


def below(generator: Any, count: int) -> int:
    """One whole number from 0 to count - 1."""
    first, second = words(generator, 2)
    return ((first << 32) | second) % count
