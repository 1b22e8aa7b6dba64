"""Leaves of the graph (buffer, scalar, constant, input) and `pick`, which takes one output of a node of several."""

from __future__ import annotations

import math
from typing import Any

from squall.base.dtypes import numpy_dtype
from squall.base.errors import CompileError
from squall.ir.families import control
from squall.ir.node import TensorType
from squall.ir.op import NON_DIFFERENTIABLE, ByFamily, Context, Op, Sample, declare
from squall.ops import codes


def _leaf(types: tuple, attrs: tuple) -> TensorType:
    raise CompileError("a leaf is made with its type; it is not inferred")


def _no_reference(*arrays: Any, **attributes: Any) -> Any:
    raise CompileError("a leaf has no reference: its value is in the buffer slot or the bindings")


def _leaf_op(name: str, attributes: tuple[str, ...], doc: str) -> Op:
    return declare(name, control, attributes=attributes, grad=NON_DIFFERENTIABLE, lowering=ByFamily("leaf"),
                   parts="leaf", reference=_no_reference, samples=lambda: [], infer=_leaf, doc=doc, promotion="none")


buffer = _leaf_op("buffer", (), "A value in memory: the node's buffer slot holds it. Only type and layout enter keys.")
scalar = _leaf_op("scalar", (), "A Python number that may vary: a run-time argument held in the node's buffer slot. "
                  "For 16-bit dtypes its value is used in float32, as PyTorch does.")
input = _leaf_op("input", ("index",), "A placeholder of a traced function: bound by position when the graph runs.")


def _constant_value(text: str, dtype: Any) -> Any:
    import numpy

    if dtype.category == 3:
        return numpy.asarray(complex(*map(float.fromhex, text.split()))).astype(numpy_dtype(dtype))
    if dtype.category == 2:
        return numpy.asarray(math.nan if text == "nan" else float.fromhex(text)).astype(numpy_dtype(dtype))
    return numpy.asarray(int(text)).astype(numpy_dtype(dtype))


constant = declare(
    "constant", control, parts="leaf", codes=codes.leaf,
    attributes=("text", "dtype"), grad=NON_DIFFERENTIABLE, lowering=ByFamily("leaf"), infer=_leaf,
    reference=_constant_value, samples=lambda: [], promotion="none",
    doc="A zero-dimensional number that is part of the graph's structure, kept by dtype and bits.")


def _pick_type(types: tuple, attrs: tuple) -> TensorType:
    return types[0][attrs[0]]


def _pick_grad(context: Context, g: Any) -> Any:
    raise CompileError("the tape differentiates through the node of several outputs, not through its picks")


pick = declare(
    "pick", control, parts="leaf", codes="composite",
    attributes=("index",), grad=_pick_grad, lowering=ByFamily("leaf"), infer=_pick_type,
    reference=lambda *outputs, index: outputs[index], promotion="none",
    samples=lambda: [Sample(((1, 2),), {"index": 0}, "untested here: operands are tuples")][:0],
    doc="One output of a node of several outputs.")
