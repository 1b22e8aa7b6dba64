"""Sizes of a compiled function's arguments that may vary: declared ones with ranges, and those seen to
change."""

from __future__ import annotations

from typing import Any

from squall.base.dim import Dim
from squall.base.errors import ArgumentError, ShapeError
from squall.frontend.core import Handle

Dims = tuple[tuple[tuple[int, int], Dim], ...]


class Dynamic:
    """The `dynamic_shapes` of `compile`: per flat argument a map from dimension to Dim.

    Args:
        shapes: a sequence over positional arguments of maps (or None), or a map from position.
    """

    def __init__(self, shapes: Any):
        numbered = isinstance(shapes, dict) and all(
            isinstance(k, int) and isinstance(v, (dict, type(None))) for k, v in shapes.items()
        )
        entries = shapes.items() if numbered else enumerate(shapes)
        self.dims: dict[int, dict[int, Dim]] = {i: dict(d) for i, d in entries if d}
        declared: dict[str, tuple] = {}
        for position, dims in self.dims.items():
            for dim, size in dims.items():
                if not isinstance(size, Dim) or size.symbol is None:
                    raise TypeError(
                        f"compile: dynamic_shapes of argument {position}, dimension {dim} must be a "
                        f"sq.Dim, got {size!r}"
                    )
                name, bounds = size.symbol.name, size.symbol.bounds()
                if declared.setdefault(name, bounds) != bounds:
                    raise ArgumentError(
                        f"compile: dynamic_shapes of argument {position}, dimension {dim}: {name!r} is declared "
                        f"with the range {bounds} here and {declared[name]} before; a name needs one range"
                    )

    def dims_of(self, leaves: list) -> Dims:
        """The declared symbols of Tensors among flat arguments."""
        return tuple(
            ((position, dim), size)
            for position, dims in self.dims.items()
            if isinstance(leaves[position], Handle)
            for dim, size in dims.items()
        )

    def check(self, leaves: list) -> None:
        """ShapeError, naming the axis, for a size outside its declared range, or two sizes for one symbol."""
        sizes: dict[str, tuple[int, int, int]] = {}
        for position, dims in self.dims.items():
            leaf = leaves[position] if position < len(leaves) else None
            if not isinstance(leaf, Handle):
                continue
            shape = leaf.node.shape
            for dim, size in dims.items():
                symbol = size.symbol
                assert symbol is not None
                if dim >= len(shape):
                    raise ShapeError(
                        f"compile: argument {position} has shape {list(shape)}, without the dimension "
                        f"{dim} declared as {symbol}"
                    )
                actual: Any = shape[dim]
                if actual < symbol.minimum or (symbol.maximum is not None and actual > symbol.maximum):
                    raise ShapeError(
                        f"compile: argument {position}, dimension {dim} ({symbol}) has size {actual}, "
                        "outside its declared "
                        f"range {symbol.minimum} to {symbol.maximum}"
                    )
                first = sizes.setdefault(symbol.name, (actual, position, dim))
                if first[0] != actual:
                    raise ShapeError(
                        f"compile: {symbol} is {first[0]} in argument {first[1]}, dimension {first[2]}, "
                        f"but {actual} in "
                        f"argument {position}, dimension {dim}"
                    )


def automatic(leaves: list, earlier: list, structure: Any, concrete: set) -> Dims:
    """Symbols for sizes that differ from those of earlier captures with arguments of one structure.

    Args:
        leaves: flat arguments. earlier: the `Arguments` of earlier captures. concrete: (structure,
        position, dimension) of sizes
            that a capture could not do without.

    Returns:
        Dims: equal changes get one symbol; 0 and 1 never vary.
    """
    pairs: dict[tuple[int, int], Dim] = {}
    for arguments in earlier:
        if arguments.assumed.dims:
            continue
        found = []
        for position in arguments.tensors:
            leaf, before = leaves[position], arguments.specs[position].type
            if (
                not isinstance(leaf, Handle)
                or len(leaf.node.shape) != len(before.shape)
                or leaf.node.dtype is not before.dtype
            ):
                break
            for dim, (old, new) in enumerate(zip(before.shape, leaf.node.shape, strict=True)):
                if old != new:
                    found.append(((position, dim), (old, new)))
        else:
            varies = [f for f in found if min(f[1]) > 1 and (structure, *f[0]) not in concrete]
            if varies and len(varies) == len(found):
                return tuple(
                    (where, pairs.setdefault(pair, Dim(f"s{len(pairs)}", min=2))) for where, pair in varies
                )
    return ()
