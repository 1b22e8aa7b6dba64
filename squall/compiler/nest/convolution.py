"""Convolutions as contractions: forward, gradient of the weight, gradient of the input.

Nothing is unrolled into a matrix: the windows of a zero-padded input are dimensions with overlapping strides. The input
gradient of a strided convolution is one contraction per phase of the stride, so that no product with an inserted zero
is ever computed; a phase that no tap of the kernel reaches has no depth and writes zeros.
"""

from __future__ import annotations

import itertools
from math import gcd, prod
from typing import NamedTuple

from squall.compiler.nest.isa import ACCUMULATE
from squall.compiler.nest.spec import Contraction, Dimension


class Convolution(NamedTuple):
    """Sizes of a convolution over any number of spatial dimensions; channels and filters are per group.

    `padded` are the spatial extents of the input with its padding. Arrays are contiguous: input [batch, groups *
    channels, *padded], weight [groups * filters, channels, *kernel], output [batch, groups * filters, *out]; with
    `channels_last` the channel dimension of each comes last in memory.
    """

    batch: int
    channels: int
    filters: int
    padded: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    dtype: str = "f32"
    channels_last: bool = False

    @property
    def out(self) -> tuple[int, ...]:
        """Spatial extents of the output."""
        return tuple(max(0, (p - d * (k - 1) - 1) // s + 1)
                     for p, k, s, d in zip(self.padded, self.kernel, self.stride, self.dilation, strict=True))


class Placed(NamedTuple):
    """A contraction and the element offsets at which its operands start."""

    contraction: Contraction
    a_offset: int = 0
    b_offset: int = 0
    c_offset: int = 0


class _Image(NamedTuple):
    """Strides of an array [outer, groups, channels, *spatial]."""

    outer: int
    group: int
    channel: int
    spatial: tuple[int, ...]


def _image(groups: int, channels: int, spatial: tuple[int, ...], last: bool) -> _Image:
    total = groups * channels
    steps = tuple(prod(spatial[i + 1:]) * (total if last else 1) for i in range(len(spatial)))
    channel = 1 if last else prod(spatial)
    return _Image(total * prod(spatial), channels * channel, channel, steps)


def _images(c: Convolution, out: tuple[int, ...] | None = None) -> tuple[_Image, _Image, _Image]:
    """Input, weight (outer: filter) and output."""
    last = c.channels_last
    return (_image(c.groups, c.channels, c.padded, last), _image(1, c.channels, c.kernel, last),
            _image(c.groups, c.filters, out or c.out, last))


def _taps(c: Convolution, channel: Dimension, taps: list[Dimension]) -> list[Dimension]:
    """k's order follows memory: channels outermost, or innermost when they come last."""
    return [*taps, channel] if c.channels_last else [channel, *taps]


def _group(c: Convolution, a: int, b: int, result: int) -> list[Dimension]:
    return [Dimension("batch", c.groups, a, b, result)] if c.groups > 1 else []


def _made(c: Convolution, dims: list[Dimension]) -> Contraction:
    return Contraction(c.dtype, ACCUMULATE[c.dtype], tuple(dims), c.dtype)


def forward(c: Convolution) -> Placed:
    """a: padded input, b: weight, c: output."""
    x, w, y = _images(c)
    dims = _group(c, x.group, c.filters * w.outer, y.group)
    dims.append(Dimension("batch", c.batch, x.outer, 0, y.outer))
    dims += [Dimension("m", e, s * step, 0, to) for e, s, step, to in zip(c.out, c.stride, x.spatial, y.spatial,
                                                                          strict=True)]
    dims.append(Dimension("n", c.filters, 0, w.outer, y.channel))
    taps = [Dimension("k", e, d * step, to) for e, d, step, to in zip(c.kernel, c.dilation, x.spatial, w.spatial,
                                                                      strict=True)]
    dims += _taps(c, Dimension("k", c.channels, x.channel, w.channel), taps)
    return Placed(_made(c, dims))


def weight_gradient(c: Convolution) -> Placed:
    """a: gradient of the output, b: padded input, c: gradient of the weight."""
    x, w, y = _images(c)
    dims = _group(c, y.group, x.group, c.filters * w.outer)
    dims.append(Dimension("m", c.filters, y.channel, 0, w.outer))
    dims.append(Dimension("n", c.channels, 0, x.channel, w.channel))
    dims += [Dimension("n", e, 0, d * step, to) for e, d, step, to in zip(c.kernel, c.dilation, x.spatial, w.spatial,
                                                                          strict=True)]
    dims.append(Dimension("k", c.batch, y.outer, x.outer))
    dims += [Dimension("k", e, step, s * to) for e, s, step, to in zip(c.out, c.stride, y.spatial, x.spatial,
                                                                       strict=True)]
    return Placed(_made(c, dims))


def gradient_padding(c: Convolution) -> tuple[int, ...]:
    """Zeros that `input_gradient` needs on both sides of each spatial dimension of the output's gradient."""
    return tuple(d * (k - 1) // s for k, s, d in zip(c.kernel, c.stride, c.dilation, strict=True))


def gradient_extents(c: Convolution, extents: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    """Spatial extents of the padded gradient of the output: `gradient_padding` before, what is read behind."""
    pad = gradient_padding(c)
    return tuple(p + max(o, (b + e - 1) // s + 1 if e else 0)
                 for p, o, b, e, s in zip(pad, c.out, before, extents, c.stride, strict=True))


def input_gradient(c: Convolution, extents: tuple[int, ...], before: tuple[int, ...]) -> tuple[Placed, ...]:
    """a: padded gradient of the output, b: weight, c: gradient of the input without its padding.

    Arguments: `extents` of the input's spatial dimensions without padding, and the padding `before` each. The output's
    gradient is laid out like the output, zero-padded to `gradient_extents`, its data after `gradient_padding` zeros.
    Result: one contraction per phase of the stride; together they write every element once.
    """
    rank = range(len(extents))
    pad = gradient_padding(c)
    _, w, y = _images(c, gradient_extents(c, extents, before))
    x = _image(c.groups, c.channels, extents, c.channels_last)
    made = []
    for phases in itertools.product(*(range(min(s, e)) for s, e in zip(c.stride, extents, strict=True))):
        dims = _group(c, y.group, c.filters * w.outer, x.group)
        dims.append(Dimension("batch", c.batch, y.outer, 0, x.outer))
        a_offset = b_offset = 0
        taps = []
        for i in rank:
            s, d = c.stride[i], c.dilation[i]
            count = -(-(extents[i] - phases[i]) // s)
            dims.append(Dimension("m", count, y.spatial[i], 0, s * x.spatial[i]))
            position = before[i] + phases[i]  # in the padded input
            period = s // gcd(s, d)
            first = next((t for t in range(min(period, c.kernel[i])) if (position - t * d) % s == 0), None)
            reach = 0 if first is None else -(-(c.kernel[i] - first) // period)
            taps.append(Dimension("k", reach, -(period * d // s) * y.spatial[i], period * w.spatial[i]))
            if first is not None:
                a_offset += ((position - first * d) // s + pad[i]) * y.spatial[i]
                b_offset += first * w.spatial[i]
        dims.append(Dimension("n", c.channels, 0, w.channel, x.channel))
        dims += _taps(c, Dimension("k", c.filters, y.channel, w.outer), taps)
        c_offset = sum(phase * step for phase, step in zip(phases, x.spatial, strict=True))
        made.append(Placed(_made(c, dims), a_offset, b_offset, c_offset))
    return tuple(made)
