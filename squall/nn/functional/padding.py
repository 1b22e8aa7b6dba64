"""Padding of the last dimensions, by a constant or by what lies inside."""

from __future__ import annotations

from typing import Any

import squall as sq
from squall.base.dim import Dim, bounds, larger
from squall.base.errors import TraceError
from squall.frontend.autocast import widened
from squall.frontend.conversion import own_memory
from squall.nn.functional.core import ShapeError, apply, check_tensor, ops

MODES = ("constant", "reflect", "replicate", "circular")


def _places(size: Dim, low: Any, high: Any, mode: str) -> Any:
    """`_positions` as a Tensor, of a size that varies."""
    last = sq.zeros((), dtype=sq.int64) + (size - 1)
    least = {"reflect": larger(low, high) + 1, "circular": larger(low, high)}.get(mode, 0)
    known = bounds(size - least)[0]
    if known is None or known < 0:
        raise TraceError(f"pad: padding ({low}, {high}) of mode {mode!r} needs a size of at least {least}, and the "
                         f"symbolic size {size} may be smaller; declare its range, Dim(name, min={least})")
    places = sq.arange(size + low + high) - low
    if mode == "replicate":
        return sq.minimum(sq.maximum(places, sq.zeros_like(last)), last)
    if mode == "circular":
        return sq.where(places < 0, places + size, sq.where(places > last, places - size, places))
    places = places.abs()
    return sq.where(places > last, 2 * last - places, places)


def _positions(size: int, low: int, high: int, mode: str) -> list[int]:
    """Which element of a dimension stands at each position of the padded one."""
    if mode == "reflect" and (low >= size or high >= size):
        raise ShapeError(
            f"pad: reflecting needs padding smaller than the size, got ({low}, {high}) for size {size}"
        )
    if mode == "circular" and (low > size or high > size):
        raise ShapeError(
            f"pad: wrapping needs padding no larger than the size, got ({low}, {high}) for size {size}"
        )
    out = []
    for position in range(-low, size + high):
        if mode == "replicate":
            position = min(max(position, 0), size - 1)
        elif mode == "circular":
            position %= size
        elif position < 0:
            position = -position
        elif position >= size:
            position = 2 * (size - 1) - position
        out.append(position)
    return out


def pad(
    input: Any, pad: tuple[int, ...] | list[int], mode: str = "constant", value: float | None = None
) -> Any:
    """Pad, or with negative numbers crop, the last dimensions.

    Args:
        pad: (low, high) of the last dimension, then of the one before, and so on. mode: "constant", "reflect",
            "replicate" or "circular". value: what "constant" pads with; 0 by default.

    Example:
        >>> import squall as sq
        >>> sq.nn.functional.pad(sq.ones(2), (1, 0))
        tensor([0., 1., 1.])
    """
    check_tensor("pad", "input", input)
    if mode in ("reflect", "replicate"):
        input = widened(input)
    given = input
    rank, pads = input.dim(), tuple(pad)
    if len(pads) % 2 or len(pads) // 2 > rank:
        raise ShapeError(
            f"pad: argument 'pad' has {len(pads)} entries; expected an even number, at most {2 * rank} for shape "
            f"{tuple(input.shape)}"
        )
    if mode not in MODES:
        raise ValueError(f"pad: unrecognised padding mode {mode!r}; expected one of {', '.join(MODES)}")
    by_dim = {rank - 1 - i: (pads[2 * i], pads[2 * i + 1]) for i in range(len(pads) // 2)}
    for dim, (low, high) in by_dim.items():
        if low < 0 or high < 0:
            if mode == "replicate":  # positions beside what is cropped away repeat the edge of the whole
                continue
            size = input.shape[dim] + min(low, 0) + min(high, 0)
            if size < 0:
                raise ShapeError(
                    f"pad: cropping ({low}, {high}) leaves a negative size of dimension {dim} of {tuple(input.shape)}"
                )
            input = input.narrow(dim, max(-low, 0), size)
    least = min((0, *pads)) if mode == "replicate" else 0
    low = tuple(max(by_dim.get(d, (0, 0))[0], least) for d in range(rank))
    high = tuple(max(by_dim.get(d, (0, 0))[1], least) for d in range(rank))
    if not any(low) and not any(high):
        return own_memory(input, given)
    if mode == "constant":
        fill = 0.0 if value is None else value
        return apply(ops.pad, (input,), low=low, high=high, interior=(0,) * rank, value=fill)
    for dim in range(rank):
        if low[dim] or high[dim]:
            given = input.shape[dim], low[dim], high[dim], mode
            known = all(isinstance(n, int) for n in given[:3])
            input = input.index_select(dim, sq.tensor(_positions(*given)) if known else _places(*given))
    return input
