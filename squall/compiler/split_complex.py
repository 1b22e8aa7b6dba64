"""Makes a graph over complex numbers one over real ones: the stage between `decompose` and `simplify`.

A complex value becomes a `Pair` of real Nodes, by the `parts` rule of the op that made it; in memory it stays what
NumPy and PyTorch have there, real and imaginary part side by side, which is a real value with one more dimension of
size 2. So kernels read and write complex memory in place, and nothing after this stage knows of complex numbers.
Library ops get complex arrays over that memory.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from squall.base.dtypes import int64, real_of
from squall.base.errors import CompileError
from squall.ir.graph import Graph, expand_composites, rebuild
from squall.ir.node import Node, TensorType, locate, toposort
from squall.ir.op import Library, Op, Pair, constant, constant_value, ops


def is_complex(node: Node) -> bool:
    """Whether a value, or one of several, is complex."""
    types = node.type if node.type.__class__ is tuple else (node.type,)
    return any(t.dtype.category == 3 for t in types)


def in_memory(type: TensorType) -> TensorType:
    """The real type of the memory of a complex value: its parts side by side."""
    if type.dtype.category < 3:
        return type
    return TensorType((*type.shape, 2), real_of(type.dtype), type.device)


def split(roots: list[Node], inputs: list[Node]) -> tuple[list[Node], list[Node]]:
    """The roots and leaves over real values; as they are where nothing is complex."""
    leaves = {id(n) for n in inputs}
    order = toposort(roots, lambda n: id(n) in leaves)
    if not any(map(is_complex, order)):
        return roots, inputs
    held = [Node(n.op, (), n.attrs, in_memory(n.type)) if is_complex(n) else n for n in inputs]
    values: dict[int, Any] = {id(n): _parts_of(h) if h is not n else n for n, h in zip(inputs, held, strict=True)}
    for node in order:
        if id(node) not in values:
            values[id(node)] = _split(node, tuple(values[id(n)] for n in node.inputs))
    made = [_joined(values[id(r)]) for r in roots]
    return expand_composites(made, None, {id(n): n for n in held}), held


def _parts_of(memory: Node) -> Pair:
    """The two parts of what lies side by side in memory."""
    shape, last = tuple(memory.shape[:-1]), len(memory.shape) - 1

    def part(at: int) -> Node:
        taken = ops.slice(memory, constant(at, int64), dims=(last,), sizes=(1,), steps=(1,))
        return ops.reshape(taken, shape=shape)

    return Pair(part(0), part(1))


def _joined(value: Any) -> Node:
    """The memory of a pair; a real value as it is."""
    if value.__class__ is not Pair:
        return value
    shape = (*value.re.shape, 1)
    return ops.concat(ops.reshape(value.re, shape=shape), ops.reshape(value.im, shape=shape), dim=len(shape) - 1)


def _split(node: Node, operands: tuple) -> Any:
    op = node.op
    if op is ops.pick and operands[0].__class__ is tuple:
        return operands[0][node.attrs[0]]
    if not is_complex(node) and not any(v.__class__ in (Pair, tuple) for v in operands):
        replaced = {id(n): v for n, v in zip(node.inputs, operands, strict=True)}
        return rebuild([node], replaced)[id(node)]
    if op is ops.constant:
        value, dtype = complex(constant_value(node)), real_of(node.dtype)
        return Pair(*(constant(v, dtype, node.device) for v in (value.real, value.imag)))
    if isinstance(op.lowering, Library):
        return _library(node, operands)
    if any(isinstance(v, Graph) for v in node.attrs):
        return _carrier(node, operands)
    made = _each(node, operands) if op.parts == "each" else _by_rule(node, operands)
    if op.checks is not None:
        below = [n for v in operands for n in (v if v.__class__ is Pair else (v,))]
        locate(list(made) if made.__class__ is Pair else [made], below, getattr(node, "where", None))
    return made


def _by_rule(node: Node, operands: tuple) -> Any:
    if not callable(node.op.parts):
        raise CompileError(f"{node.op.name} of {', '.join(repr(n.type) for n in node.inputs)} has no rule for parts")
    return node.op.parts(*operands, **node.op.named(node.attrs))


def _each(node: Node, operands: tuple) -> Pair:
    named = node.op.named(node.attrs)
    return Pair(*(node.op(*(v[i] if v.__class__ is Pair else v for v in operands), **named) for i in (0, 1)))


# ---------------------------------------------------------------- nodes over memory
def _unwrapped(made: Node, types: Any) -> Any:
    """What a node over memory stands for, by the types it had before."""
    if types.__class__ is not tuple:
        return _parts_of(made) if types.dtype.category == 3 else made
    picked = [Node(ops.pick, (made,), (i,), t) for i, t in enumerate(made.type)]
    return tuple(_parts_of(p) if t.dtype.category == 3 else p for p, t in zip(picked, types, strict=True))


def _memory_types(types: Any) -> Any:
    return tuple(map(in_memory, types)) if types.__class__ is tuple else in_memory(types)


def _library(node: Node, operands: tuple) -> Any:
    given = tuple(n.type.dtype.category == 3 for n in node.inputs)
    types = node.type if node.type.__class__ is tuple else (node.type,)
    op = _over_memory(node.op, given, tuple(t.dtype.category == 3 for t in types))
    return _unwrapped(Node(op, tuple(map(_joined, operands)), node.attrs, _memory_types(node.type)), node.type)


@lru_cache(256)
def _over_memory(op: Op, given: tuple, made: tuple) -> Op:
    """A library op whose function sees complex arrays where its operands are their memory."""
    function = op.lowering.function

    def run(*arrays: Any, **attributes: Any) -> Any:
        arrays = tuple(_as_complex(a) if c else a for a, c in zip(arrays, given, strict=True))
        results = function(*arrays, **attributes)
        if results.__class__ is not tuple:
            return _as_real(results) if made[0] else results
        return tuple(_as_real(r) if c else r for r, c in zip(results, made, strict=True))

    return replace(op, lowering=Library(run))


def _as_complex(array: Any) -> Any:
    return array.view("complex128" if array.dtype.itemsize == 8 else "complex64")[..., 0]


def _as_real(array: Any) -> Any:
    import numpy

    array = numpy.asarray(array)
    return numpy.stack((array.real, array.imag), axis=-1)


def _carrier(node: Node, operands: tuple) -> Any:
    """A loop or choice, with the graphs it carries over memory."""
    attrs = tuple(_graph_over_memory(v) if isinstance(v, Graph) else v for v in node.attrs)
    return _unwrapped(Node(node.op, tuple(map(_joined, operands)), attrs, _memory_types(node.type)), node.type)


@lru_cache(256)
def _graph_over_memory(graph: Graph) -> Graph:
    roots, inputs = split(expand_composites(list(graph.outputs), None, {id(n): n for n in graph.inputs}),
                          list(graph.inputs))
    return Graph(inputs, roots, graph.name)
