"""Whether the ops of a captured program fit sizes it has not met: their types are inferred again, now with numbers.

While a function is traced, an op that asks something of a symbolic size (that a window lies in it, that an index is not
longer than what it indexes) is recorded without an answer. The answer comes here, once for each tuple of sizes, before
anything runs: kernels take the fit for granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall.base.dim import Dim, evaluate
from squall.base.errors import IndexRangeError, ShapeError, TraceError
from squall.ir.graph import Graph
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import constant_value, ops


def check_fit(name: str, roots: Sequence[Node], fixed: dict[Node, Any], sizes: dict[str, int]) -> None:
    """An error of the class that the op raises for known sizes, unless every op takes them.

    Args:
        name: of the program, for messages. roots: of its graph.
        fixed: the values of scalars that are numbers or hang on sizes alone.
        sizes: the value of each symbol.

    Raises:
        ShapeError, IndexRangeError: from the op, with the sizes. TraceError: where a result would have another shape
        than the program was made for.
    """
    types: dict[int, Any] = {}
    for node in toposort(roots, lambda n: n.buffer is not None):
        expected = _with_numbers(node.type, sizes)
        try:
            types[id(node)] = expected if _is_given(node) else _inferred(node, types, sizes)
            _check_slice(node, types, fixed, sizes)
        except (ShapeError, IndexRangeError) as error:
            raise type(error)(f"{name}: with {_listed(sizes)}: {error}") from None
        if _shapes(types[id(node)]) != _shapes(expected):
            raise TraceError(
                f"{name}: with {_listed(sizes)}, {node.op.name} gives {_shapes(types[id(node)])} where "
                f"{_shapes(expected)} was taken for granted while tracing; declare ranges, Dim(name, min=, max=), that "
                "leave these sizes out, or leave the dimension undeclared"
            )


def _is_given(node: Node) -> bool:
    """Whether a type follows from nothing: of leaves, and of ops with bodies, whose attributes are graphs."""
    leaf = node.buffer is not None or node.op in (ops.buffer, ops.scalar, ops.input, ops.constant)
    return leaf or any(isinstance(a, Graph) for a in _flat(node.attrs))


def _flat(value: Any) -> list:
    return [v for item in value for v in _flat(item)] if value.__class__ is tuple else [value]


def _inferred(node: Node, types: dict[int, Any], sizes: dict[str, int]) -> Any:
    if node.op is ops.pick:
        return types[id(node.inputs[0])][node.attrs[0]]
    return node.op.result_type(tuple([types[id(n)] for n in node.inputs]), _with_numbers(node.attrs, sizes))


def _check_slice(node: Node, types: dict[int, Any], fixed: dict[Node, Any], sizes: dict[str, int]) -> None:
    if node.op is ops.slice:
        starts = [_start(n, fixed, sizes) for n in node.inputs[1:]]
        check_starts(types[id(node.inputs[0])].shape, _with_numbers(node.attrs, sizes), starts)


def check_starts(shape: tuple, attrs: tuple, starts: Sequence[int | None]) -> None:
    """IndexRangeError where a slice begins so late, or early, that it leaves its operand; starts that are None are not
    known."""
    for dim, length, step, start in zip(*attrs, starts, strict=True):
        if start is not None and length and not 0 <= start < shape[dim] - (length - 1) * step:
            raise IndexRangeError(f"slice: {length} elements from {start} on at step {step} do not lie in dimension "
                                  f"{dim} of size {shape[dim]}")


def _start(node: Node, fixed: dict[Node, Any], sizes: dict[str, int]) -> int | None:
    """The value of a start that hangs on nothing but sizes."""
    if node.op is ops.constant:
        return constant_value(node)
    value = node.attrs[0] if node.op is ops.extent else fixed.get(node)
    return None if value is None else evaluate(value, sizes)


def _with_numbers(value: Any, sizes: dict[str, int]) -> Any:
    """Attributes or types with numbers in the place of symbolic sizes."""
    if isinstance(value, Dim):
        return evaluate(value, sizes)
    if isinstance(value, TensorType):
        return value.with_shape(tuple(_with_numbers(n, sizes) for n in value.shape))
    return tuple([_with_numbers(v, sizes) for v in value]) if value.__class__ is tuple else value


def _shapes(types: Any) -> Any:
    return tuple(map(_shapes, types)) if types.__class__ is tuple else types.shape


def _listed(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())
