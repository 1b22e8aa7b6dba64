"""What convolutions and pooling are made of: spatial padding, windows with named dimensions, three contractions.

The data gradient is a convolution of the output gradient, spread by the stride, with the flipped weights; the weight
gradient contracts the output gradient with the windows of the input. All of it is movement and `contract`, so it can
be differentiated again, and the compiler's nest reads the windows without copying them.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from squall.base.dim import bounds
from squall.base.errors import ShapeError, TraceError
from squall.ir.op import ops
from squall.ops.common import as_dtype_of, number, widen
from squall.ops.joining import pad_by
from squall.ops.slicing import is_int, position
from squall.ops.windows import window_count

_PLACES, _TAPS = "pqr", "xyz"


# From so many channels on, values are computed with their channels last. A matter of an op and its shape alone, so that
# the order of sums does not depend on what is around it.
_LAST = 32
# Filters of one channel with up to so many taps are written out.
_FEW_TAPS = 25


def is_last(channels: Any) -> bool:
    """Whether an op of so many channels computes on [batch, sizes, channels]: vectors then run along channels, whatever
    the spatial sizes, strides and windows are."""
    return is_int(channels) and channels >= _LAST


def to_last(x: Any) -> Any:
    """[batch, channels, sizes] as [batch, sizes, channels]; weights [out, in, taps] as [out, taps, in]."""
    return ops.permute(x, dims=(0, *range(2, len(x.shape)), 1))


def from_last(x: Any) -> Any:
    """The inverse of `to_last`."""
    last = len(x.shape) - 1
    return ops.permute(x, dims=(0, last, *range(1, last)))


def check_spatial(name: str, shape: tuple, kernel: tuple, **attributes: tuple) -> int:
    """The number of spatial dimensions; ShapeError unless shapes and attributes agree on it."""
    rank = len(shape) - 2
    if rank not in (1, 2, 3) or len(kernel) != rank:
        raise ShapeError(
            f"{name}: expected input [batch, channels, 1 to 3 spatial sizes] and a window of as many sizes, "
            f"got shape {tuple(shape)} and window {tuple(kernel)}"
        )
    for key, value in attributes.items():
        if len(value) != rank:
            raise ShapeError(f"{name}: {key} {value} needs {rank} entries for input of shape {tuple(shape)}")
    return rank


def pad_spatial(x: Any, padding: tuple, interior: tuple | None = None, value: Any = 0) -> Any:
    """Pad the spatial dimensions by (low, high) pairs."""
    lead = len(x.shape) - len(padding)
    return pad_by(
        x,
        (0,) * lead + tuple(p[0] for p in padding),
        (0,) * lead + tuple(p[1] for p in padding),
        (0,) * lead + tuple(interior) if interior else None,
        value,
    )


def pad_last(x: Any, padding: tuple, interior: tuple | None = None, value: Any = 0) -> Any:
    """`pad_spatial` of a value whose channels come last."""
    return pad_by(
        x,
        (0, *(p[0] for p in padding), 0),
        (0, *(p[1] for p in padding), 0),
        (0, *interior, 0) if interior else None,
        value,
    )


def strided(x: Any, lead: int, counts: tuple, steps: tuple, starts: tuple | None = None) -> Any:
    """Every step-th element of the dimensions after `lead`, or the value itself when that is all of it."""
    dims = tuple(range(lead, lead + len(counts)))
    starts = starts or (0,) * len(counts)
    if not any(starts) and all(
        x.shape[d] == n and s == 1 for d, n, s in zip(dims, counts, steps, strict=True)
    ):
        return x
    return ops.slice(
        x, *(position(s, x.device) for s in starts), dims=dims, sizes=tuple(counts), steps=tuple(steps)
    )


def _split(value: Any, dim: int, groups: int) -> Any:
    """A dimension of channels as [groups, channels of a group]."""
    if groups == 1:
        return value
    shape = tuple(value.shape)
    return ops.reshape(value, shape=shape[:dim] + (groups, shape[dim] // groups) + shape[dim + 1 :])


def _join(value: Any, dim: int, groups: int) -> Any:
    if groups == 1:
        return value
    shape = tuple(value.shape)
    return ops.reshape(value, shape=shape[:dim] + (shape[dim] * shape[dim + 1],) + shape[dim + 2 :])


class _Windows:
    """The windows of a padded input and the letters of their dimensions; windows of one element need no dimension.

    The input is [batch, channels, sizes], or [batch, sizes, channels] if `last`. Then what is summed runs over channels
    innermost, else over taps.
    """

    def __init__(self, x: Any, kernel: tuple, stride: tuple, dilation: tuple, groups: int, last: bool):
        rank, first = len(kernel), 1 if last else 2
        counts = tuple(
            window_count("convolution", n, k, s, d, i + 2)
            for i, (n, k, s, d) in enumerate(zip(x.shape[first:], kernel, stride, dilation))
        )
        wide = tuple(i for i, k in enumerate(kernel) if k != 1)
        narrow = tuple(n if i in wide else c for i, (n, c) in enumerate(zip(x.shape[first:], counts)))
        x = strided(x, first, narrow, tuple(1 if i in wide else s for i, s in enumerate(stride)))
        x = _split(x, rank + 1 if last else 1, groups)
        grouped = groups > 1
        if wide:
            start = first if last else first + grouped
            x = ops.window(
                x,
                dims=tuple(i + start for i in wide),
                sizes=tuple(kernel[i] for i in wide),
                steps=tuple(stride[i] for i in wide),
                dilations=tuple(dilation[i] for i in wide),
            )
            if last:
                channel = rank + 1 + grouped
                x = ops.permute(x, dims=(*range(channel), *range(channel + 1, len(x.shape)), channel))
        self.value, self.kernel, self.groups, self.last = x, kernel, groups, last
        self.group = "g" if grouped else ""
        self.places, self.taps = _PLACES[:rank], "".join(_TAPS[i] for i in wide)
        self.taps_shape = tuple(kernel[i] for i in wide)
        self.letters = self._ordered("c", self.taps)

    def _ordered(self, channel: str, taps: str = "") -> str:
        if self.last:
            return f"n{self.places}{self.group}{taps}{channel}"
        return f"n{self.group}{channel}{self.places}{taps}"

    def weights(self, weight: Any) -> Any:
        """Weights [out, in, ...] split into groups, without the taps of windows of one element."""
        shape = tuple(weight.shape)[:2] + self.taps_shape
        weight = ops.reshape(weight, shape=shape) if shape != tuple(weight.shape) else weight
        if self.last and self.taps:
            weight = to_last(weight)
        return _split(weight, 0, self.groups)

    def out_letters(self, channel: str = "o") -> str:
        """Letters of a value with one element a window."""
        return self._ordered(channel)

    def weight_letters(self) -> str:
        return f"{self.group}o{self.taps}c" if self.last else f"{self.group}oc{self.taps}"

    def joined(self, out: Any) -> Any:
        """A result of `out_letters` with its groups joined."""
        return _join(out, len(self.kernel) + 1 if self.last else 1, self.groups)


def correlate(x: Any, weight: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """The convolution itself."""
    last = is_last(weight.shape[0])
    padded = pad_last(to_last(x), padding) if last else pad_spatial(x, padding)
    if last and _is_depthwise(weight, groups):
        return from_last(_depthwise(padded, weight, stride, dilation))
    windows = _Windows(padded, tuple(weight.shape[2:]), stride, dilation, groups, last)
    out = ops.contract(
        windows.value,
        windows.weights(weight),
        equation=f"{windows.letters},{windows.weight_letters()}->{windows.out_letters()}",
    )
    out = windows.joined(out)
    return from_last(out) if last else out


def spread_back(
    g: Any, weight: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    """The transpose of `correlate` in x: an output gradient to an input gradient of the given spatial size."""
    last = is_last(weight.shape[1] * groups)
    g = to_last(g) if last else g
    if any(s != 1 for s in stride) and all(map(is_int, size)) and all(
        s == 1 or d == 1 for s, d in zip(stride, dilation)
    ):
        if not last and groups == 1 and set(dilation) == {1} and is_last(weight.shape[0]):
            return _phases_together(g, weight, size, stride, padding)
        return _in_phases(g, weight, size, stride, padding, dilation, groups, last)
    kernel = tuple(weight.shape[2:])
    pads = []
    for n, count, k, s, (low, _), d in zip(
        size, g.shape[1 if last else 2 :], kernel, stride, padding, dilation
    ):
        before = d * (k - 1) - low
        least = bounds(before)[0]
        if not is_int(before) and (least is None or least < 0):
            raise TraceError(f"convolution_transpose, or the gradient of a convolution: a kernel of {k} elements "
                             f"may reach less far than the padding of {low}; declare its size as "
                             f"Dim(name, min={low // d + 1})")
        pads.append((before, n + d * (k - 1) - ((count - 1) * s + 1) - before))
    interior = tuple(s - 1 for s in stride)
    padded = pad_last(g, tuple(pads), interior) if last else pad_spatial(g, tuple(pads), interior)
    out = _gathered(padded, weight, dilation, groups, last)
    return from_last(out) if last else out


def _gathered(g: Any, weight: Any, dilation: tuple, groups: int, last: bool) -> Any:
    """Windows of a padded output gradient times the flipped weights: channels where g has them."""
    kernel = tuple(weight.shape[2:])
    wide = tuple(i + 2 for i, k in enumerate(kernel) if k != 1)
    if last and _is_depthwise(weight, groups):
        return _depthwise(g, ops.flip(weight, dims=wide) if wide else weight, (1,) * len(kernel), dilation)
    windows = _Windows(g, kernel, (1,) * len(kernel), dilation, groups, last)
    # The channels of g are the outputs of the weight, which keeps its layout: letters say what is summed.
    weights = windows.weights(weight)
    if wide:
        first = 1 + len(windows.group) + (0 if last else 1)
        weights = ops.flip(weights, dims=tuple(range(first, first + len(wide))))
    equation = f"{windows.letters.replace('c', 'o')},{windows.weight_letters()}->{windows.out_letters('c')}"
    return windows.joined(ops.contract(windows.value, weights, equation=equation))


def _is_depthwise(weight: Any, groups: int) -> bool:
    """Whether each channel has a filter of its own, of few taps: then nothing is summed over channels."""
    return weight.shape[0] == groups and weight.shape[1] == 1 and prod(weight.shape[2:]) <= _FEW_TAPS


def _tap_views(x: Any, kernel: tuple, stride: tuple, dilation: tuple, counts: tuple) -> list:
    """For each tap of a kernel, what it meets of a padded input with its channels last."""
    return [
        strided(x, 1, counts, stride, tuple(t * d for t, d in zip(tap, dilation)))
        for tap in product(*map(range, kernel))
    ]


def _depthwise(x: Any, weight: Any, stride: tuple, dilation: tuple) -> Any:
    """One filter a channel, over a padded input with its channels last: a sum over taps, written out."""
    kernel, channels = tuple(weight.shape[2:]), weight.shape[0]
    counts = tuple(
        window_count("convolution", n, k, s, d, i + 2)
        for i, (n, k, s, d) in enumerate(zip(x.shape[1:], kernel, stride, dilation))
    )
    taps = ops.permute(ops.reshape(weight, shape=(channels, prod(kernel))), dims=(1, 0))
    total = None
    for i, view in enumerate(_tap_views(widen(x), kernel, stride, dilation, counts)):
        row = ops.slice(taps, position(i, x.device), dims=(0,), sizes=(1,), steps=(1,))
        part = ops.mul(view, widen(ops.reshape(row, shape=(channels,))))
        total = part if total is None else ops.add(total, part)
    return as_dtype_of(total, x.dtype)


def _depthwise_gradient(g: Any, x: Any, kernel: tuple, stride: tuple, dilation: tuple) -> Any:
    """The gradient of `_depthwise` in the weight: for each tap, the sum of products over all places."""
    counts, channels = tuple(g.shape[1:-1]), g.shape[-1]
    dims = tuple(range(len(g.shape) - 1))
    parts = [
        ops.sum(ops.mul(widen(g), view), dims=dims, keepdim=False)
        for view in _tap_views(widen(x), kernel, stride, dilation, counts)
    ]
    rows = ops.concat(*(ops.reshape(p, shape=(1, channels)) for p in parts), dim=0)
    return as_dtype_of(ops.permute(rows, dims=(1, 0)), g.dtype)


def _in_phases(
    g: Any, weight: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int, last: bool
) -> Any:
    """`spread_back` over a stride: the elements of one phase of it meet the same taps, so each phase is a convolution
    of its own, and no product with an inserted zero is computed."""
    rank, first = len(stride), 1 if last else 2
    counts = tuple(-(-n // s) for n, s in zip(size, stride))
    channels = weight.shape[1] * groups
    shape = (g.shape[0], *counts, channels) if last else (g.shape[0], channels, *counts)
    pad = pad_last if last else pad_spatial
    parts = []
    for phases in product(*(range(s) for s in stride)):
        taps, pads = [], []
        for f, s, k, (low, _), d, count, held in zip(
            phases, stride, weight.shape[2:], padding, dilation, counts, g.shape[first:]
        ):
            start = (f + low) % s
            reach = len(range(start, k, s))
            before = d * (reach - 1) - (f + low - start) // s
            taps.append((start, reach))
            pads.append((before, count + d * (reach - 1) - held - before))
        if not all(reach for _, reach in taps):
            parts.append(ops.expand(number(0, g), shape=shape))
            continue
        starts, reaches = tuple(t for t, _ in taps), tuple(r for _, r in taps)
        some = strided(weight, 2, reaches, stride, starts)
        parts.append(_gathered(pad(g, tuple(pads)), some, dilation, groups, last))
    at = 1 + rank if last else 2
    one = tuple(ops.reshape(p, shape=(*shape[:at], 1, *shape[at:])) for p in parts)
    out = ops.reshape(ops.concat(*one, dim=at), shape=(*shape[:at], *stride, *shape[at:]))
    places, phase = range(first, first + rank) if last else range(2 + rank, 2 + 2 * rank), range(at, at + rank)
    order = [d for pair in zip(places, phase) for d in pair]
    order = [0, *order, 1 + 2 * rank] if last else [0, 1, *order]
    whole = tuple(c * s for c, s in zip(counts, stride))
    out = ops.permute(out, dims=tuple(order))
    out = ops.reshape(out, shape=(g.shape[0], *whole, channels) if last else (g.shape[0], channels, *whole))
    out = strided(out, first, tuple(size), (1,) * rank)
    return from_last(out) if last else out


def _phases_together(g: Any, weight: Any, size: tuple, stride: tuple, padding: tuple) -> Any:
    """The same for few input channels: the phases are channels of one convolution, whose weight has zeros where a phase
    has a tap less, so that vectors are fuller and g is read once."""
    rank, channels = len(stride), weight.shape[1]
    counts = tuple(-(-n // s) for n, s in zip(size, stride))
    behind = tuple(-(-low // s) for (low, _), s in zip(padding, stride))  # windows reach so far beyond their place
    before = tuple(b * s - low for b, s, (low, _) in zip(behind, stride, padding))
    kernel = tuple(-(-(n + k) // s) for n, k, s in zip(before, weight.shape[2:], stride))
    zeros = tuple((n, t * s - n - k) for n, t, s, k in zip(before, kernel, stride, weight.shape[2:]))
    taps = ops.reshape(
        pad_spatial(weight, zeros),
        shape=(*weight.shape[:2], *(n for pair in zip(kernel, stride) for n in pair)),
    )
    phases, reach = range(3, 3 + 2 * rank, 2), range(2, 2 + 2 * rank, 2)
    taps = ops.flip(ops.permute(taps, dims=(*phases, 1, 0, *reach)), dims=tuple(range(rank + 2, 2 * rank + 2)))
    taps = ops.reshape(taps, shape=(prod(stride) * channels, weight.shape[0], *kernel))
    pads = tuple(
        (t - 1 - b, count + b - held) for t, b, count, held in zip(kernel, behind, counts, g.shape[2:])
    )
    ones = (1,) * rank
    windows = _Windows(pad_last(to_last(g), pads), kernel, ones, ones, 1, True)
    out = ops.contract(
        windows.value,
        windows.weights(taps),
        equation=f"{windows.letters},{windows.weight_letters()}->{windows.out_letters()}",
    )
    out = ops.reshape(out, shape=(g.shape[0], *counts, *stride, channels))
    pairs = [d for i in range(rank) for d in (1 + i, 1 + rank + i)]
    out = ops.permute(out, dims=(0, 1 + 2 * rank, *pairs))
    out = ops.reshape(out, shape=(g.shape[0], channels, *(c * s for c, s in zip(counts, stride))))
    return strided(out, 2, tuple(size), ones)


def weight_gradient(
    g: Any, x: Any, shape: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    """The transpose of `correlate` in the weight: the output gradient against the windows of the input."""
    kernel, last = tuple(shape[2:]), is_last(shape[0])
    used = []
    for n, count, k, s, (low, _), d in zip(x.shape[2:], g.shape[2:], kernel, stride, padding, dilation):
        # What no window reached is cropped, so that the windows count as many places as g has.
        used.append((low, (count - 1) * s + d * (k - 1) + 1 - low - n))
    padded = pad_last(to_last(x), tuple(used)) if last else pad_spatial(x, tuple(used))
    if last and shape[0] == groups and shape[1] == 1 and prod(kernel) <= _FEW_TAPS:
        return ops.reshape(_depthwise_gradient(to_last(g), padded, kernel, stride, dilation), shape=tuple(shape))
    windows = _Windows(padded, kernel, stride, dilation, groups, last)
    out = ops.contract(
        _split(to_last(g), len(kernel) + 1, groups) if last else _split(g, 1, groups),
        windows.value,
        equation=f"{windows.out_letters()},{windows.letters}->{windows.weight_letters()}",
    )
    if last and windows.taps:
        out = from_last(_join(out, 0, groups))
    return ops.reshape(out, shape=tuple(shape))


def add_bias(out: Any, bias: Any) -> Any:
    """Add one number a channel at dimension 1."""
    return ops.add(out, ops.reshape(bias, shape=(bias.shape[0],) + (1,) * (len(out.shape) - 2)))


def channel_sum(g: Any) -> Any:
    """The gradient of `add_bias` in the bias."""
    if is_last(g.shape[1]):
        return ops.sum(to_last(g), dims=tuple(range(len(g.shape) - 1)), keepdim=False)
    return ops.sum(g, dims=(0, *range(2, len(g.shape))), keepdim=False)
