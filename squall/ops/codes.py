"""How ops act on floats of 8 bits: the `codes` rules of op records, and the conversions they rest on.

A float8 operand arrives as its codes, a uint8 value, and a float8 result is given as codes; a rule is called when a
plan is compiled, so kernels see integers of 8 bits and arithmetic on them. float8_e4m3fn has 4 bits of exponent, 3 of
fraction and no infinities: what is too large for it, infinity too, becomes its largest number, 448. float8_e5m2 is the
upper half of a float16. Both are rounded from float32, to the nearest, ties to even, as PyTorch does it.
"""

from __future__ import annotations

from typing import Any

from squall.base.dtypes import BY_SHORT, DType, bool_, float8_e5m2, float16, float32, uint8
from squall.base.errors import CompileError
from squall.ir.bits import encode
from squall.ir.node import Node
from squall.ir.op import constant, constant_value, ops

_UINT32, _UINT16 = BY_SHORT["u32"], BY_SHORT["u16"]
_FAR = 2.0 ** 120  # float32's bias less e4m3's, as a factor: 127 - 7
# bits of float32: from where on there is no number, and the code that stands for that; below what the 8 bits have no
# hidden one, and what is added there to make them round
_LIMITS = {"f8e4m3fn": (0x43E80000, 0x7E, 121 << 23, 141 << 23), "f8e5m2": (0x47800000, 0x7C, 113 << 23, 134 << 23)}


def code_type(dtype: DType) -> DType:
    """The dtype a value has in a plan: uint8 for float8, else its own."""
    return uint8 if dtype.is_float8 else dtype


def decoded(code: Any, dtype: DType) -> Any:
    """The float32 value of codes."""
    if dtype is float8_e5m2:
        wide = ops.shift_left(ops.cast(code, dtype=_UINT16), 8)
        return ops.cast(ops.bitcast(wide, dtype=float16), dtype=float32)
    wide = ops.cast(code, dtype=_UINT32)
    size, sign = ops.bitwise_and(wide, 0x7F), ops.shift_left(ops.bitwise_and(wide, 0x80), 24)
    value = ops.mul(ops.bitcast(ops.shift_left(size, 20), dtype=float32), _FAR)
    bits = ops.where(ops.eq(size, 0x7F), ops.full_like(wide, value=0x7FC00000), ops.bitcast(value, dtype=_UINT32))
    return ops.bitcast(ops.bitwise_or(bits, sign), dtype=float32)


def encoded(value: Any, dtype: DType) -> Any:
    """The codes of float32 values."""
    limit, most, least, magic = _LIMITS[dtype.short]
    drop, bias = (21, 15) if dtype is float8_e5m2 else (20, 7)
    bits = ops.bitcast(value, dtype=_UINT32)
    sign = ops.bitwise_and(bits, 0x80000000)
    size = ops.bitwise_xor(bits, sign)
    odd = ops.bitwise_and(ops.shift_right(size, drop), 1)
    up = (1 << (drop - 1)) - 1 - ((127 - bias) << 23)  # half a step less one, and the new bias
    normal = ops.shift_right(ops.add(ops.add(size, up & 0xFFFFFFFF), odd), drop)
    shifted = ops.add(ops.bitcast(size, dtype=float32), ops.bitcast(ops.full_like(size, value=magic), dtype=float32))
    small = ops.sub(ops.bitcast(shifted, dtype=_UINT32), magic)
    beyond = ops.where(ops.gt(size, 0x7F800000), ops.full_like(size, value=0x7F), ops.full_like(size, value=most))
    made = ops.where(ops.ge(size, limit), beyond, ops.where(ops.lt(size, least), small, normal))
    return ops.cast(ops.bitwise_or(made, ops.shift_right(sign, 24)), dtype=uint8)


# ---------------------------------------------------------------- rules
def leaf(node: Node, operands: tuple) -> Any:
    """A constant as the code of its number."""
    if node.op is not ops.constant:
        raise CompileError(f"{node.op.name} of {node.dtype} was not made known as a leaf of the plan")
    return constant(encode(constant_value(node), node.dtype.short), uint8, node.device)


def cast(node: Node, operands: tuple) -> Any:
    """To and from float8, each through float32; bool asks for not 0."""
    (x,), source, target = operands, node.inputs[0].dtype, node.attrs[0]
    if source is target:
        return x
    if source.is_float8:
        if target is bool_:
            return _truth(x)
        x = decoded(x, source)
    return encoded(ops.cast(x, dtype=float32), target) if target.is_float8 else ops.cast(x, dtype=target)


def bitcast(node: Node, operands: tuple) -> Any:
    """The same bits: codes are what they stand for."""
    return ops.bitcast(operands[0], dtype=code_type(node.attrs[0]))


def compared(node: Node, operands: tuple) -> Any:
    """The op over the numbers, in float32: comparisons and kinds of numbers."""
    return node.op(*(decoded(x, n.dtype) for n, x in zip(node.inputs, operands, strict=True)))


def absolute(node: Node, operands: tuple) -> Any:
    """Without the bit of the sign."""
    return ops.bitwise_and(operands[0], 0x7F)


def reduced_truth(node: Node, operands: tuple) -> Any:
    """any, all: of what is not 0."""
    return node.op(_truth(operands[0]), **node.op.named(node.attrs))


def pad(node: Node, operands: tuple) -> Any:
    """Padded by the code of a number."""
    named = node.op.named(node.attrs)
    named["value"] = encode(named["value"], node.dtype.short)
    return ops.pad(operands[0], **named)


def full_like(node: Node, operands: tuple) -> Any:
    """The code of a number in a shape."""
    return ops.full_like(operands[0], value=encode(node.attrs[0], node.dtype.short))


def _truth(code: Any) -> Any:
    return ops.ne(ops.bitwise_and(code, 0x7F), 0)


__all__ = ["absolute", "bitcast", "cast", "code_type", "compared", "decoded", "encoded", "full_like",
           "leaf", "pad", "reduced_truth"]
