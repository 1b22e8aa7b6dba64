"""Convolution of one to three spatial dimensions, with strides, unequal padding, dilation and groups."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.errors import ShapeError
from squall.ir.families import common_device, contraction
from squall.ir.node import TensorType
from squall.ir.op import Context, Decompose, Sample, declare, ops
from squall.ops.contraction import check_numbers
from squall.ops.correlation import (
    add_bias,
    channel_sum,
    check_spatial,
    correlate,
    spread_back,
    weight_gradient,
)
from squall.ops.products import bilinear_tangent
from squall.ops.samples import floats
from squall.ops.slicing import is_int, with_batch
from squall.ops.windows import window_count


def check_groups(name: str, channels: Any, expected: Any, weight: tuple, groups: int) -> None:
    """ShapeError unless the input has the channels a weight takes, and groups divide both."""
    if groups < 1 or weight[0] % groups or (is_int(channels) and channels % groups):
        raise ShapeError(
            f"{name}: {groups} groups do not divide {channels} channels and weight of shape {tuple(weight)}"
        )
    if channels != expected:
        raise ShapeError(
            f"{name}: input of {channels} channels does not fit weight of shape {tuple(weight)} in {groups} "
            f"groups, which takes {expected}"
        )


def check_bias(name: str, bias: tuple, channels: Any) -> None:
    """ShapeError unless a bias, where there is one, has one number for each output channel."""
    if bias and tuple(bias[0].shape) != (channels,):
        raise ShapeError(f"{name}: bias of shape {tuple(bias[0].shape)} must have shape {(channels,)}")


def _convolution_type(types: tuple, attrs: tuple) -> TensorType:
    (x, weight, *bias), (stride, padding, dilation, groups) = types, attrs
    name = "convolution"
    check_spatial(name, x.shape, weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    check_groups(name, x.shape[1], weight.shape[1] * groups, weight.shape, groups)
    check_bias(name, tuple(bias), weight.shape[0])
    places = tuple(
        window_count(name, n + low + high, k, s, d, i + 2)
        for i, (n, k, (low, high), s, d) in enumerate(
            zip(x.shape[2:], weight.shape[2:], padding, stride, dilation, strict=True)
        )
    )
    return TensorType(
        (x.shape[0], weight.shape[0], *places), check_numbers(name, types), common_device(convolution, types)
    )


def _convolution(
    x: Any, weight: Any, *bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    out = correlate(x, weight, stride, padding, dilation, groups)
    return add_bias(out, bias[0]) if bias else out


def _saves(needs: tuple[bool, ...]) -> tuple:
    return (1,) * needs[0] + (0,) * needs[1]


def _convolution_grad(context: Context, g: Any) -> tuple:
    (x, weight), attrs, types, needs = context.inputs[:2], context.attrs, context.types, context.needs
    gx = spread_back(g, weight, tuple(types[0].shape[2:]), *attrs) if needs[0] else None
    gw = weight_gradient(g, x, tuple(types[1].shape), *attrs) if needs[1] else None
    return (gx, gw) if len(types) == 2 else (gx, gw, channel_sum(g) if needs[2] else None)


def fold(value: Any, size: Any, dim: int) -> Any:
    """The batch at dimension 0 folded in front of another dimension (counted without the batch)."""
    order = (*range(1, dim + 1), 0, *range(dim + 1, len(value.shape)))
    value = ops.permute(value, dims=order) if dim else value
    shape = tuple(value.shape)
    return ops.reshape(value, shape=shape[:dim] + (shape[dim] * shape[dim + 1],) + shape[dim + 2 :])


def unfold(value: Any, size: Any, dim: int) -> Any:
    """The batch taken out of that dimension again, and put at dimension 0."""
    shape = tuple(value.shape)
    value = ops.reshape(value, shape=shape[:dim] + (size, shape[dim] // size) + shape[dim + 1 :])
    return ops.permute(value, dims=(dim, *range(dim), *range(dim + 1, len(shape) + 1))) if dim else value


def convolution_batch(op: Any, operands: tuple, batched: tuple, size: Any, attrs: tuple) -> tuple:
    """A batch of inputs joins the batch; a batch of weights becomes groups of channels."""
    (x, weight, *bias), named = operands, op.named(attrs)
    if not batched[1]:
        plain = tuple(b for b, is_batched in zip(bias, batched[2:]) if not is_batched)
        if batched[0]:
            out = unfold(op(fold(x, size, 0), weight, *plain, **named), size, 0)
        else:
            out = with_batch(op(x, weight, *plain, **named), False, size)
    else:
        x = with_batch(x, batched[0], size)
        plain, named["groups"] = (), named["groups"] * size
        out = unfold(op(fold(x, size, 1), fold(weight, size, 0), **named), size, 1)
    if bias and not plain:
        rank, column = len(out.shape) - 3, bias[0]
        lead = tuple(column.shape) if not batched[2] else (size, 1, column.shape[1])
        out = ops.add(out, ops.reshape(column, shape=lead + (1,) * rank))
    return out, True


def convolution_cases() -> list[tuple]:
    """Input, weight, bias and attributes: strides, dilations, groups, uneven sizes, unequal padding."""
    p = lambda *pairs: tuple(pairs)
    return [
        ((2, 3, 5, 6), (4, 3, 3, 3), True, (1, 1), p((1, 1), (1, 1)), (1, 1), 1),
        ((1, 2, 6, 5), (32, 2, 3, 4), False, (2, 3), p((1, 1), (2, 0)), (1, 1), 1),
        ((1, 2, 7), (3, 2, 3), True, (2,), p((1, 1)), (1,), 1),
        ((2, 4, 6, 5), (4, 2, 2, 3), False, (2, 1), p((0, 1), (2, 0)), (1, 1), 2),
        ((1, 2, 8), (2, 2, 3), False, (3,), p((0, 0)), (2,), 1),
        ((1, 3, 4, 4), (3, 1, 3, 3), True, (1, 1), p((1, 1), (1, 1)), (1, 1), 3),
        ((2, 2, 3, 4), (3, 2, 1, 1), True, (1, 1), p((0, 0), (0, 0)), (1, 1), 1),
        ((1, 2, 5, 5), (2, 2, 1, 3), False, (2, 2), p((0, 0), (1, 1)), (1, 1), 1),
        ((1, 1, 3, 4, 3), (2, 1, 2, 2, 2), True, (1, 2, 1), p((0, 0), (1, 1), (0, 1)), (1, 1, 1), 1),
        ((0, 2, 4), (3, 2, 3), True, (1,), p((0, 0)), (1,), 1),
        ((1, 2, 4), (2, 2, 2), False, (1,), p((3, 3)), (1,), 1),
    ]


_ATTRIBUTES = ("stride", "padding", "dilation", "groups")


def _convolution_samples() -> list[Sample]:
    return [
        Sample(
            (floats(x, i), floats(w, i + 70)) + ((floats(w[:1], i + 80),) if bias else ()),
            dict(zip(_ATTRIBUTES, attrs)),
            f"{x} with {w}",
        )
        for i, (x, w, bias, *attrs) in enumerate(convolution_cases())
    ]


def _convolution_reference(
    x: Any, weight: Any, *bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    import numpy

    x = numpy.pad(x, ((0, 0), (0, 0), *((max(low, 0), max(high, 0)) for low, high in padding)))
    x = x[
        (
            slice(None),
            slice(None),
            *(slice(max(-low, 0), n - max(-high, 0)) for (low, high), n in zip(padding, x.shape[2:])),
        )
    ]
    counts = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], weight.shape[2:], stride, dilation)
    ]
    batch, channels, outputs = x.shape[0], weight.shape[1], weight.shape[0] // groups
    out = numpy.zeros((batch, groups, outputs, *counts), x.dtype)
    x = x.reshape(batch, groups, channels, *x.shape[2:])
    weight = weight.reshape(groups, outputs, channels, *weight.shape[2:])
    for tap in numpy.ndindex(*weight.shape[3:]):
        box = tuple(
            slice(t * d, t * d + (c - 1) * s + 1, s) for t, d, c, s in zip(tap, dilation, counts, stride)
        )
        part = x[(slice(None),) * 3 + box].reshape(batch, groups, channels, prod(counts))
        taps = weight[(slice(None),) * 3 + tap]
        out += numpy.matmul(taps[None], part).reshape(out.shape)
    out = out.reshape(batch, groups * outputs, *counts)
    return out + bias[0].reshape(-1, *(1 for _ in counts)) if bias else out


convolution = declare(
    "convolution",
    contraction, parts="composite",
    attributes=_ATTRIBUTES,
    defaults={"groups": 1},
    infer=_convolution_type,
    saves=_saves,
    grad=_convolution_grad,
    lowering=Decompose(_convolution),
    vmap=convolution_batch,
    samples=_convolution_samples,
    jvp=bilinear_tangent,
    reference=_convolution_reference,
    doc="Cross-correlation of x [batch, in, sizes] with weight [out, in / groups, kernel], plus a bias [out]. "
    "Padding is a (low, high) pair for each spatial dimension.",
)
