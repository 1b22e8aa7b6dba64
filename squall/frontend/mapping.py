"""`sq.func.map`: a function called once for each slice, as a loop in the program (`scanning.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.errors import ShapeError
from squall.frontend.batching import vmap
from squall.frontend.captures import leaf_names, tensors_of
from squall.frontend.joining import concat
from squall.frontend.scanning import scan


def map(f: Callable, xs: Any, *, batch_size: int | None = None) -> Any:
    """Call a function for one slice of `xs` after the other, and stack what it gives.

    Means `sq.stack([f(x) for x in xs])`, recorded and compiled once whatever the length. Unlike `vmap` it holds the
    intermediate values of one slice only (or of `batch_size` slices), and each call draws its own random numbers.

    Args:
        f: takes a slice and gives Tensors in nested containers; it may read Tensors from outside, which get gradients.
            xs: Tensors in nested containers, walked along their dimension 0. batch_size: so many slices at once, by
            `vmap`; random numbers then need batch_size None.

    Returns:
        What f gives, with a new dimension 0.

    Raises:
        ShapeError: when the Tensors of xs have different lengths, or there are none.

    Example:
        >>> import squall as sq
        >>> sq.func.map(lambda row: row * row.sum(), sq.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [[3.0, 6.0], [21.0, 28.0]]
    """
    leaves, structure = pytree.flatten(xs)
    if not leaves:
        raise ShapeError("map: xs holds no Tensor to walk along")
    if batch_size is None:
        return scan(lambda _, x: (None, f(x)), None, xs)[1]
    if batch_size < 1:
        raise ValueError(f"map: batch_size must be at least 1, got {batch_size}")
    names = leaf_names(xs)
    tensors = tensors_of(leaves, "map: xs", names)
    shapes = [tuple(t.node.shape) for t in tensors]
    if not all(shapes) or any(s[0] != shapes[0][0] for s in shapes):
        raise ShapeError(f"map: expected Tensors of one length along dimension 0, got shapes {shapes}")
    count = shapes[0][0]
    whole = count // batch_size
    parts = []
    if whole:
        blocks = [t[: whole * batch_size].reshape(whole, batch_size, *t.shape[1:]) for t in tensors]
        made = scan(lambda _, x: (None, vmap(f)(x)), None, pytree.unflatten(structure, blocks))[1]
        parts.append(pytree.map_leaves(lambda t: t.reshape(whole * batch_size, *t.shape[2:]), made))
    if count - whole * batch_size or not whole:
        rest = pytree.unflatten(structure, [t[whole * batch_size :] for t in tensors])
        parts.append(vmap(f)(rest))
    return parts[0] if len(parts) == 1 else pytree.map_leaves(lambda *t: concat(t, 0, "map"), *parts)
