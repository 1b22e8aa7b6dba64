"""Families: what all ops of a kind share: the rule for shapes, batching (vmap), and the derived jvp.

A family is an object without state. `infer_for(op)` gives the shape and dtype rule; `batch` moves an op over a batch
dimension put at 0; `tangent` derives the jvp where the family knows it; `unbroadcast` tells the tape that gradients are
summed back to the operand's shape. The lowering of each family is in the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.dtypes import DType
from squall.base.errors import DeviceError, DtypeError, ShapeError
from squall.base.shapes import broadcast, reduced_shape
from squall.ir.node import TensorType
from squall.ir.op import Context, Op, constant, ops


def result_dtype(op: Op, types: tuple[TensorType, ...], attrs: tuple) -> DType:
    """The result dtype an op declares, by default that of its last operand."""
    if op.dtype is None:
        return types[-1].dtype
    return op.dtype if isinstance(op.dtype, DType) else op.dtype(types, attrs)


def common_device(op: Op, types: tuple[TensorType, ...]) -> str:
    """The one device of all operands; DeviceError names both when they differ."""
    device = types[0].device
    for t in types[1:]:
        if t.device != device:
            raise DeviceError(f"{op.name}: operands are on {device!r} and {t.device!r}; move one with .to()")
    return device


class Family:
    """The base: ops that give their own rules."""

    name = "opaque"
    unbroadcast = False

    def infer_for(self, op: Op) -> Callable:
        raise TypeError(f"op {op.name!r} of family {self.name} must declare infer")

    def batch(self, op: Op, operands: tuple, batched: tuple[bool, ...], size: Any, attrs: tuple) -> tuple[Any, bool]:
        """Apply to operands whose batch, where there is one, is dimension 0; returns (result, whether batched)."""
        raise TypeError(f"vmap: op {op.name!r} has no batching rule")

    def tangent(self, context: Context, tangents: tuple) -> Any:
        """The jvp derived from the gradient or linearity, or NotImplemented."""
        return NotImplemented

    def __repr__(self) -> str:
        return self.name


class Elementwise(Family):
    """One result element from one element of each broadcast operand."""

    name = "elementwise"
    unbroadcast = True

    def infer_for(self, op: Op) -> Callable:
        def infer(types: tuple[TensorType, ...], attrs: tuple) -> TensorType:
            first = types[0]
            shape, device = first.shape, first.device
            for t in types[1:]:
                if t.shape is not shape:
                    shape = broadcast(shape, t.shape, op.name)
                if t.device != device:
                    common_device(op, types)
            dtype = result_dtype(op, types, attrs)
            last = types[-1]
            return last if last.shape is shape and last.dtype is dtype else TensorType(shape, dtype, device)

        return infer

    def batch(self, op: Op, operands: tuple, batched: tuple[bool, ...], size: Any, attrs: tuple) -> tuple[Any, bool]:
        rank = max(len(o.shape) - b for o, b in zip(operands, batched, strict=True))
        aligned = []
        for operand, is_batched in zip(operands, batched, strict=True):
            missing = rank - (len(operand.shape) - 1) if is_batched else 0
            if missing > 0 and is_batched:
                shape = tuple(operand.shape)
                operand = ops.reshape(operand, shape=shape[:1] + (1,) * missing + shape[1:])
            aligned.append(operand)
        return op(*aligned, **op.named(attrs)), True

    def tangent(self, context: Context, tangents: tuple) -> Any:
        total = None
        for position, tangent in enumerate(tangents):
            if tangent is None:
                continue
            needs = tuple(i == position for i in range(len(tangents)))
            one = Context(
                context.op,
                context.attrs,
                context.types,
                context.out_type,
                context.inputs,
                context.output,
                needs,
            )
            parts = context.op.grad(one, tangent)
            part = parts[position] if isinstance(parts, tuple) else parts
            if part is not None:
                total = part if total is None else ops.add(total, part)
        if total is not None and tuple(total.shape) != tuple(context.out_type.shape):
            total = ops.expand(total, shape=context.out_type.shape)
        return total


class Reduce(Family):
    """Reduces the dimensions `dims` (sorted, from 0); attributes begin with dims, keepdim."""

    name = "reduce"

    def infer_for(self, op: Op) -> Callable:
        def infer(types: tuple[TensorType, ...], attrs: tuple) -> TensorType:
            (operand,) = types
            dims, keepdim = attrs[0], attrs[1]
            return TensorType(
                reduced_shape(operand.shape, dims, keepdim), result_dtype(op, types, attrs), operand.device
            )

        return infer

    def batch(self, op: Op, operands: tuple, batched: tuple[bool, ...], size: Any, attrs: tuple) -> tuple[Any, bool]:
        dims = tuple(d + 1 for d in attrs[0])
        if not dims:
            return op(operands[0], **op.named(attrs)), True
        return op(operands[0], **op.named((dims,) + attrs[1:])), True


def zeros(type: TensorType) -> Any:
    """A Node of zeros of a type, by expanding a constant."""
    zero = constant(0, type.dtype, type.device)
    return ops.expand(zero, shape=tuple(type.shape)) if type.shape else zero


def linear_tangent(context: Context, tangents: tuple) -> Any:
    """The jvp of an op linear in its floating operands together: the op on tangents, other operands as they are."""
    operands = []
    for tangent, type, operand in zip(tangents, context.types, context.inputs, strict=True):
        if tangent is not None:
            operands.append(tangent)
        else:
            operands.append(zeros(type) if type.dtype.category >= 2 else operand)
    return context.op(*operands, **context.op.named(context.attrs))


class Movement(Family):
    """Rearranges elements without computing: linear, so the jvp is the op itself."""

    name = "movement"

    def tangent(self, context: Context, tangents: tuple) -> Any:
        return linear_tangent(context, tangents)


class Contraction(Family):
    """Sums of products over an index space: the contraction nest. Linear in each operand; composites are expanded."""

    name = "contraction"

    def tangent(self, context: Context, tangents: tuple) -> Any:
        if context.op is not ops.contract:
            return NotImplemented
        (a, b), (da, db), named = context.inputs, tangents, context.op.named(context.attrs)
        parts = ([] if da is None else [context.op(da, b, **named)]) + (
            [] if db is None else [context.op(a, db, **named)]
        )
        return parts[0] if len(parts) == 1 else ops.add(*parts)


class Indexing(Family):
    """Reads or writes at positions given by integer tensors: linear in what is moved."""

    name = "indexing"

    def tangent(self, context: Context, tangents: tuple) -> Any:
        return linear_tangent(context, tangents)


class Scan(Family):
    """A running reduction along a dimension."""

    name = "scan"


class Sort(Family):
    """Orders elements along a dimension."""

    name = "sort"


class Random(Family):
    """Counter-based random bits: a function of seed, offset and position."""

    name = "random"


class Control(Family):
    """Leaves, picks, and ops that carry subgraphs."""

    name = "control"


class Collective(Family):
    """Communication between processes."""

    name = "collective"


class Opaque(Family):
    """Library calls with rules of their own."""

    name = "opaque"


elementwise, reduce, movement, contraction = Elementwise(), Reduce(), Movement(), Contraction()
indexing, scan, sort, random = Indexing(), Scan(), Sort(), Random()
control, collective, opaque = Control(), Collective(), Opaque()
ALL = (elementwise, reduce, movement, contraction, indexing, scan, sort, random, control, collective, opaque)


def check_float(op: str, dtype: DType) -> None:
    """DtypeError unless the dtype is floating."""
    if dtype.category < 2:
        raise DtypeError(f"{op}: expected a floating dtype, got {dtype}")


def check_rank(op: str, shape: tuple, least: int) -> None:
    """ShapeError unless there are at least so many dimensions."""
    if len(shape) < least:
        raise ShapeError(f"{op}: expected at least {least} dimensions, got shape {tuple(shape)}")
