"""Declared sizes of a compiled function's arguments: which dimensions may vary, under which symbols and ranges."""

from __future__ import annotations

from typing import Any

from squall.base.dim import Dim
from squall.base.errors import ShapeError
from squall.frontend.core import Handle
from squall.frontend.guards import argument_key
from squall.ir.node import TensorType


class Dynamic:
    """The `dynamic_shapes` of `compile`: per flat argument a map from dimension to Dim.

    Args:
        shapes: a sequence over positional arguments of maps (or None), or a map from position.
    """

    def __init__(self, shapes: Any):
        entries = shapes.items() if isinstance(shapes, dict) and all(isinstance(k, int) and isinstance(v, dict)
                                                                     for k, v in shapes.items()) else enumerate(shapes)
        self.dims: dict[int, dict[int, Dim]] = {i: dict(d) for i, d in entries if d}
        for position, dims in self.dims.items():
            for dim, size in dims.items():
                if not isinstance(size, Dim) or size.symbol is None:
                    raise TypeError(f"compile: dynamic_shapes of argument {position}, dimension {dim} must be a sq.Dim, got {size!r}")

    def type(self, position: int, actual: TensorType) -> TensorType:
        """An argument's type with its declared dimensions as symbols; ShapeError outside their range."""
        dims = self.dims.get(position, {})
        self.check(position, actual.shape)
        return actual.with_shape(tuple(dims.get(i, s) for i, s in enumerate(actual.shape)))

    def check(self, position: int, shape: tuple) -> None:
        """ShapeError, naming the axis, for a size outside the declared range."""
        for dim, size in self.dims.get(position, {}).items():
            symbol = size.symbol
            assert symbol is not None
            if dim >= len(shape):
                raise ShapeError(f"compile: argument {position} has shape {list(shape)}, without the dimension {dim} declared as {symbol}")
            actual = shape[dim]
            if actual < symbol.minimum or (symbol.maximum is not None and actual > symbol.maximum):
                raise ShapeError(f"compile: argument {position}, dimension {dim} ({symbol}) has size {actual}, outside its declared "
                                 f"range {symbol.minimum} to {symbol.maximum}")

    def key(self, leaves: list, varying: frozenset[int]) -> tuple:
        """The argument key with declared sizes left out; equal symbols must have equal sizes."""
        sizes: dict[str, tuple[int, int, int]] = {}
        key = list(argument_key(leaves, varying))
        for position, dims in self.dims.items():
            leaf = leaves[position]
            if not isinstance(leaf, Handle):
                continue
            shape = tuple(leaf.node.shape)
            self.check(position, shape)
            for dim, size in dims.items():
                name = size.symbol.name  # type: ignore[union-attr]
                first = sizes.setdefault(name, (shape[dim], position, dim))
                if first[0] != shape[dim]:
                    raise ShapeError(f"compile: {name} is {first[0]} in argument {first[1]}, dimension {first[2]}, but {shape[dim]} in "
                                     f"argument {position}, dimension {dim}")
            entry = key[position]
            key[position] = (tuple("*" if i in dims else s for i, s in enumerate(entry[0])), *entry[1:])
        return tuple(key)
