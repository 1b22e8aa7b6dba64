"""Random index expressions: reading and writing by them must come to the same in squall and PyTorch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


class Case:
    """A shape and an index drawn from a seed; tensors in it are drawn as nested lists and made by the library asked."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.shape = tuple(self.random.choice([1, 2, 3, 5]) for _ in range(self.random.randint(1, 4)))
        self.parts = self._parts()
        self.scalar = self.random.random() < 0.5
        self.bare = len(self.parts) == 1 and self.random.random() < 0.7

    def _parts(self) -> list:
        r, parts, dim, dots, common = self.random, [], 0, False, None
        while dim < len(self.shape):
            kind = r.choices(
                ["int", "slice", "none", "dots", "list", "mask", "stop", "bool"], [4, 5, 1, 1, 3, 2, 1, 0.3]
            )[0]
            size = self.shape[dim]
            if kind == "stop" and parts:
                break
            if kind == "none":
                parts.append(None)
                continue
            if kind == "bool":
                parts.append(r.random() < 0.7)
                continue
            if kind == "dots":
                if not dots:
                    parts.append(Ellipsis)
                    dots = True
                    dim += r.randint(0, len(self.shape) - dim)
                continue
            if kind == "int":
                parts.append(r.randrange(-size - (r.random() < 0.05), size))
            elif kind == "slice":
                ends = [None, *range(-size - 1, size + 2)]
                parts.append(slice(r.choice(ends), r.choice(ends), r.choice([None, 1, 2, 3])))
            elif kind == "list":
                common = common or r.choice([(1,), (2,), (3,), (2, 2), ()])
                parts.append(("tensor", [r.randrange(-size, size) for _ in range(int(np.prod(common)))], common))
            elif kind == "mask":
                parts.append(("mask", [r.random() < 0.5 for _ in range(size)], (size,)))
            dim += 1
        return parts or [slice(None)]

    def index(self, library: Any) -> Any:
        """The index, with tensors of a library."""
        made = []
        for part in self.parts:
            if isinstance(part, tuple):
                kind, values, shape = part
                made.append(
                    library.tensor(values, dtype=library.bool if kind == "mask" else library.int64).reshape(
                        shape
                    )
                )
            else:
                made.append(part)
        return made[0] if self.bare else tuple(made)

    def read(self, library: Any) -> Any:
        """Shape and values of `x[index]`, or the class of the error."""
        x = library.arange(int(np.prod(self.shape))).reshape(self.shape)
        try:
            found = x[self.index(library)]
            return tuple(found.shape), found.tolist()
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            return _builtin(error)

    def write(self, library: Any) -> Any:
        """The values after `x[index] = value`, or the class of the error. Positions written twice take equal values."""
        x = library.arange(int(np.prod(self.shape))).reshape(self.shape)
        index = self.index(library)
        try:
            if self.scalar:
                x[index] = -1
            else:
                part = x[index]
                x[index] = -library.ones(part.shape[1:] if len(part.shape) > 1 else part.shape, dtype=library.int64)
            return x.tolist()
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            return _builtin(error)

    def __str__(self) -> str:
        return f"x of shape {self.shape}, index {self.parts}{' (bare)' if self.bare else ''}"


def _builtin(error: Exception) -> str:
    return next(c for c in type(error).__mro__ if c.__module__ == "builtins").__name__
