"""`sq.vmap`: a function of one element applied to a whole batch at once.

The function is traced once on placeholders of one element (`region.py`); asking one for its value is a TraceError. What
it recorded is batched op by op, so the number of kernels does not depend on the size of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from squall.base import pytree
from squall.base.shapes import normalize_dim
from squall.frontend.core import Handle, record
from squall.frontend.joining import concat
from squall.frontend.lifting import lift
from squall.frontend.movement import movedim
from squall.frontend.region import ElementTrace, Region
from squall.frontend.state import local
from squall.ir.op import ops


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable:
    """A function over batches from a function of one element.

    Args:
        func: takes and returns Tensors in nested containers. in_dims: which dimension of each argument is the batch;
            None for arguments that are the same for all; one number for all arguments, or a structure like them.
            out_dims: where the batch goes in each result; None for results that are the same for all. randomness:
            "error" refuses random numbers inside, "different" draws anew for each element, "same" once for all.
            chunk_size: at most so many elements at once.

    Returns:
        Callable: of the same arguments, batched. It nests, differentiates and compiles like any function. Keyword
        arguments are the same for all elements.

    Raises:
        ValueError: when in_dims or out_dims do not fit. TraceError: when called, if func asks for a value.

    Example:
        >>> import squall as sq
        >>> sq.vmap(sq.dot)(sq.ones(2, 3), sq.ones(2, 3)).tolist()
        [3.0, 3.0]
    """
    if randomness not in ("error", "different", "same"):
        raise ValueError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = f"vmap({getattr(func, '__name__', type(func).__name__)})"

    @functools.wraps(func)
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = pytree.flatten(args)
        dims = _flat_dims(in_dims, structure, args, name)
        size = _batch_size(leaves, dims, name)
        outside = [leaf if d is None else _front(leaf, d) for leaf, d in zip(leaves, dims, strict=True)]
        where = [d is not None for d in dims]
        if chunk_size is None or not isinstance(size, int) or size <= chunk_size:
            return _place(_run(func, outside, where, structure, kwargs, size, randomness, name), out_dims, name, size)
        parts = []
        for start in range(0, size, chunk_size):
            count = min(chunk_size, size - start)
            chunk = [o.narrow(0, start, count) if w else o for o, w in zip(outside, where, strict=True)]
            parts.append(_run(func, chunk, where, structure, kwargs, count, randomness, name))
        return _place(_joined(parts), out_dims, name, size)

    return batched


def _flat_dims(in_dims: Any, structure: Any, args: tuple, name: str) -> list:
    """One dimension or None a leaf, from a prefix of the arguments' structure."""
    if not args:
        raise ValueError(f"{name}: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
                         "function with no inputs. The latter is unsupported.")
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    if in_dims is not None and not isinstance(in_dims, (int, tuple)):
        raise ValueError(f"{name}, in_dims={in_dims!r}: expected `in_dims` to be int or a (potentially nested) tuple "
                         f"matching the structure of inputs, got: {type(in_dims)}.")
    return _broadcast(in_dims, structure, f"{name}: in_dims is not compatible with the structure of inputs. in_dims "
                                          f"{in_dims!r} does not fit {len(args)} arguments")


def _broadcast(prefix: Any, structure: Any, message: str) -> list:
    if prefix is None or isinstance(prefix, int):
        return [prefix] * pytree.leaf_count(structure)
    if structure.type is None:
        raise ValueError(message)
    if isinstance(prefix, dict):
        parts = [prefix[k] for k in structure.context] if structure.context is not None and set(
            prefix) == set(structure.context) else None
    elif isinstance(prefix, (tuple, list)):
        parts = list(prefix)
    else:
        parts = None
    if parts is None or len(parts) != len(structure.children):
        raise ValueError(message)
    return [d for part, child in zip(parts, structure.children, strict=True) for d in _broadcast(part, child, message)]


def _batch_size(leaves: list, dims: list, name: str) -> Any:
    sizes = []
    for leaf, d in zip(leaves, dims, strict=True):
        if d is None:
            continue
        if not isinstance(leaf, Handle):
            raise ValueError(f"{name}: Got in_dim={d} for an input but the input is of type {type(leaf)}. We cannot "
                             "vmap over non-Tensor arguments, please use None as the respective in_dim")
        rank = len(leaf.node.shape)
        if not -rank <= d < rank:
            raise ValueError(f"{name}: Got in_dim={d} for some input, but that input is a Tensor of dimensionality "
                             f"{rank} so expected in_dim to satisfy -{rank} <= in_dim < {rank}.")
        sizes.append(leaf.node.shape[d])
    if not sizes:
        raise ValueError(f"{name}: at least one input must be a Tensor with an in_dim that is not None")
    if any(s != sizes[0] for s in sizes):
        raise ValueError(f"{name}: Expected all tensors to have the same size in the mapped dimension, got sizes "
                         f"{sizes} for the mapped dimension")
    return sizes[0]


def _front(tensor: Any, dim: int) -> Any:
    rank = len(tensor.node.shape)
    return tensor if dim in (0, -rank) else movedim(tensor, dim, 0)


def _run(func: Callable, outside: list, where: list[bool], structure: Any, kwargs: dict, size: Any, randomness: str,
         name: str) -> tuple:
    """The results as (Tensor, whether batched) pairs in the function's structure."""
    region = Region(name, size, randomness)
    state = local.state
    if state.trace is not None:
        tensors = tuple(o for o, w in zip(outside, where, strict=True) if w)
        state.trace.saw(tensors, tuple(t.node for t in tensors))
    inner = [region.placeholder(o.node, o.edge) if w else o for o, w in zip(outside, where, strict=True)]
    with ElementTrace(region):
        made, out_structure = pytree.flatten(func(*pytree.unflatten(structure, inner), **kwargs))
        for value in made:
            if not isinstance(value, Handle):
                raise ValueError(f"{name}: expected the function to return only Tensors, got type {type(value)} as a "
                                 "return")
        nodes, edges = [t.node for t in made], [t.edge for t in made]
    del inner
    return lift(region, nodes, edges), out_structure


def _place(results: tuple, out_dims: Any, name: str, size: Any) -> Any:
    """Put the batch where out_dims says."""
    pairs, structure = results
    if isinstance(out_dims, list):
        out_dims = tuple(out_dims)
    if isinstance(out_dims, tuple) and len(out_dims) == 1 and structure.type is None:
        out_dims = out_dims[0]
    dims = _broadcast(out_dims, structure, f"{name}: out_dims {out_dims!r} is not compatible with the structure of the "
                                           "outputs")
    out = []
    for (tensor, is_batched), d in zip(pairs, dims, strict=True):
        if d is None:
            if is_batched:
                raise ValueError(f"{name}: out_dims is None for a result that differs by element of the batch")
            out.append(tensor)
            continue
        if not is_batched:
            tensor = record(ops.expand, (tensor,), ((size, *tensor.node.shape),))
        rank = len(tensor.node.shape)
        position = normalize_dim(d, rank, name)
        out.append(tensor if position == 0 else movedim(tensor, 0, position))
    return pytree.unflatten(structure, out)


def _joined(parts: list[tuple]) -> tuple:
    """Results of chunks put together along the batch."""
    pairs = []
    for group in zip(*(p[0] for p in parts), strict=True):
        is_batched = any(b for _, b in group)
        pairs.append((concat([t for t, _ in group], 0, "vmap") if is_batched else group[0][0], is_batched))
    return pairs, parts[0][1]
