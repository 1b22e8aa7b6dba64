"""Pytrees: nested tuples, lists, dicts, dataclasses and registered classes as a flat list of leaves and a structure.

A structure is hashable, so it can be part of a key. None is a leafless node.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

_registered: dict[type, tuple[Callable, Callable]] = {}


class Structure(NamedTuple):
    """The shape of a pytree: the container's type, what it needs to be rebuilt, and its children. A leaf has type
    None.
    """

    type: type | None
    context: Any
    children: tuple[Structure, ...]


LEAF = Structure(None, None, ())


def register(cls: type, flatten: Callable[[Any], tuple[tuple, Any]], unflatten: Callable[[Any, tuple], Any]) -> None:
    """Make instances of `cls` inner nodes: `flatten` gives (children, hashable context), `unflatten` takes them
    back.
    """
    _registered[cls] = (flatten, unflatten)


def _children(value: Any) -> tuple[tuple, Any] | None:
    cls = type(value)
    if cls in _registered:
        return _registered[cls][0](value)
    if value is None:
        return (), None
    if isinstance(value, tuple):
        return tuple(value), None
    if cls is list:
        return tuple(value), None
    if isinstance(value, dict):
        return tuple(value.values()), tuple(value.keys())
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and cls.__module__.partition(".")[0] != "squall":
        fields = tuple(f.name for f in dataclasses.fields(value))
        return tuple(getattr(value, f) for f in fields), fields
    return None


def flatten(tree: Any) -> tuple[list, Structure]:
    """The leaves in order, and the structure.

    Example:
        >>> leaves, structure = flatten({"a": 1, "b": (2, [3])})
        >>> leaves, unflatten(structure, [10, 20, 30])
        ([1, 2, 3], {'a': 10, 'b': (20, [30])})
    """
    leaves: list = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Any, leaves: list) -> Structure:
    parts = _children(tree)
    if parts is None:
        leaves.append(tree)
        return LEAF
    children, context = parts
    return Structure(type(tree), context, tuple(_flatten(c, leaves) for c in children))


def unflatten(structure: Structure, leaves: Any) -> Any:
    """The pytree of a structure with new leaves."""
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Any) -> Any:
    cls, context, parts = structure
    if cls is None:
        return next(leaves)
    children = tuple(_unflatten(p, leaves) for p in parts)
    if cls in _registered:
        return _registered[cls][1](context, children)
    if cls is type(None):
        return None
    if issubclass(cls, tuple):
        return cls(*children) if hasattr(cls, "_fields") else cls(children)
    if cls is list:
        return list(children)
    if issubclass(cls, dict):
        return cls(zip(context, children, strict=True))
    return cls(**dict(zip(context, children, strict=True)))


def flatten_up_to(structure: Structure, tree: Any) -> list:
    """What stands in a pytree where a structure has its leaves; None where the pytree ends in None before.

    Raises:
        ValueError: when a container is another one than in the structure.

    Example:
        >>> flatten_up_to(flatten({"a": 1, "b": (2, 3)})[1], {"a": [7], "b": None})
        [[7], None, None]
    """
    if structure.type is None:
        return [tree]
    if tree is None:
        return [None] * leaf_count(structure)
    parts = _children(tree)
    if isinstance(tree, dict) and issubclass(structure.type, dict) and set(tree) == set(structure.context):
        parts = tuple(tree[k] for k in structure.context), structure.context
    if parts is None or len(parts[0]) != len(structure.children) or parts[1] != structure.context:
        raise ValueError(f"expected a {structure.type.__name__} of {len(structure.children)}, got "
                         f"{type(tree).__name__}" + ("" if parts is None else f" of {len(parts[0])}"))
    return [leaf for part, child in zip(parts[0], structure.children, strict=True)
            for leaf in flatten_up_to(child, part)]


def leaf_count(structure: Structure) -> int:
    """How many leaves a structure has."""
    return 1 if structure.type is None else sum(map(leaf_count, structure.children))


def map_leaves(function: Callable, tree: Any, *rest: Any) -> Any:
    """Apply a function to corresponding leaves of pytrees of one structure."""
    leaves, structure = flatten(tree)
    others = [flatten(r)[0] for r in rest]
    return unflatten(structure, [function(*group) for group in zip(leaves, *others, strict=True)])
