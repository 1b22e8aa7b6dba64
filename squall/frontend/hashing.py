"""`hash_tensor`: one number from the bits of all elements, or of each row."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.dtypes import float64, int64, uint64
from squall.base.errors import ArgumentError, DtypeError, TraceError
from squall.base.shapes import normalize_dims
from squall.frontend import creation
from squall.frontend.core import cast, record
from squall.frontend.declaring import of_tensor, with_out
from squall.frontend.functions_movement import cat
from squall.frontend.movement import permute
from squall.ir.op import ops, refuse_float8


@with_out
@of_tensor
def hash_tensor(input: Any, dim: Any = (), *, keepdim: bool = False, mode: int = 0) -> Any:
    """The exclusive or of the bits of elements, each widened to 64 bits; equal Tensors have equal hashes.

    Args:
        input: real numbers; floats are hashed as float64, integers as int64. dim: dimensions, by default all.
        keepdim: keep them with size 1. mode: 0, the only one there is, as in PyTorch.

    Returns:
        Tensor: uint64; 0 of no elements.

    Raises:
        ArgumentError: for another mode. DtypeError: for complex numbers.

    Example:
        >>> import squall as sq
        >>> sq.hash_tensor(sq.tensor([[1, 2], [4, 4]]), 1).tolist()
        [3, 0]
    """
    if mode != 0:
        raise ArgumentError(f"hash_tensor: mode must be 0 (exclusive or), got {mode}")
    dtype, shape = input.node.dtype, tuple(input.node.shape)
    refuse_float8("hash_tensor", input.node.type)
    if dtype.category == 3:
        raise DtypeError(f"hash_tensor: not implemented for {dtype}; hash view_as_real of it")
    dims = normalize_dims(dim, len(shape), "hash_tensor")
    kept = [d for d in range(len(shape)) if d not in dims]
    rows, count = [shape[d] for d in kept], prod(shape[d] for d in dims)
    if not isinstance(count, int):
        raise TraceError(f"hash_tensor: the {count} elements are halved until one is left, "
                         "how often varies with it; leave the dimensions undeclared")
    bits = record(ops.bitcast, (cast(input, float64 if dtype.category == 2 else int64),), (uint64,))
    bits = permute(bits, *kept, *dims).reshape(*rows, count) if count else creation.zeros(*rows, 1, dtype=uint64)
    while (count := bits.node.shape[-1]) > 1:
        half = count // 2
        joined = bits.narrow(-1, 0, half) ^ bits.narrow(-1, half, half)
        bits = cat((joined, bits.narrow(-1, count - 1, 1)), -1) if count % 2 else joined
    bits = bits.squeeze(-1)
    return bits.reshape(*(1 if d in dims else n for d, n in enumerate(shape))) if keepdim else bits


__all__ = ["hash_tensor"]
