"""Simplification that keeps every bit: equal nodes become one, chains of movement become one step, identities go.

One visit in order; each node is rebuilt over its simplified operands, rewritten while a rule of `RULES` applies, and
looked up among the nodes already made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squall.base.dtypes import int8, int32, int64, uint8
from squall.compiler import layout, movement
from squall.compiler.parts import joined
from squall.compiler.strided import is_strided
from squall.ir.interpret import evaluate
from squall.ir.node import Node, TensorType, toposort
from squall.ir.op import constant, constant_value, make, ops

LEAF_OPS = ("buffer", "scalar", "input")


class Simplifier:
    """Rebuilds a graph without repetition.

    Args:
        leaves: nodes that are kept as they are, with everything below them.
    """

    def __init__(self, leaves: list[Node]):
        self.done: dict[int, Node] = {id(n): n for n in leaves}
        self.final = set(self.done)  # ids of finished nodes, which `seen`, `done` or `kept_alive` hold
        self.kept_alive: list[Any] = list(leaves)
        self.seen: dict[tuple, Node] = {}

    def run(self, roots: list[Node]) -> list[Node]:
        """The simplified roots."""
        for node in toposort(roots, lambda n: id(n) in self.done):
            if id(node) not in self.done:
                operands = tuple(self.done[id(n)] for n in node.inputs)
                made = self.done[id(node)] = self.node(node.op, operands, node.attrs, node.type, node)
                self.final.add(id(made))
                self.kept_alive.append(node)
        return [self.done[id(n)] for n in roots]

    def node(self, op: Any, operands: tuple, attrs: tuple, type: Any, old: Node | None = None) -> Node:
        """A node equal to one made before, or a new one, after the rules."""
        same = old is not None and all(a is b for a, b in zip(operands, old.inputs, strict=True))
        made = old if same else Node(op, operands, attrs, type)
        rule = RULES.get(op.name)
        if op.name in FOLDED or rule is not None:
            replaced = folded(made) if op.name in FOLDED else None
            if replaced is None and rule is not None:
                replaced = rule(made)
            if replaced is not None:
                return self.made(replaced)
        if layout.is_elementwise(made) and (turned := layout.elementwise(made)) is not None:
            return self.made(turned)
        if op.name in LEAF_OPS:
            return made
        key = (op.name, _bits(attrs), tuple(id(n) for n in operands), None if operands else type)
        return self.seen.setdefault(key, made)

    def made(self, node: Node) -> Node:
        """A node that a rule returned, its own parts simplified too."""
        if id(node) in self.final or node.buffer is not None:
            return node
        operands = tuple(self.made(n) for n in node.inputs)
        result = self.node(node.op, operands, node.attrs, node.type, node)
        self.final.add(id(result))
        self.kept_alive += (node, result)
        return result


def _bits(value: Any) -> Any:
    """Attributes as a key that keeps 0.0 and -0.0, 1 and 1.0 and True apart."""
    if value.__class__ is tuple:
        return tuple(map(_bits, value))
    return (value.__class__.__name__, value.hex()) if value.__class__ is float else (value.__class__.__name__, value)


def simplify(roots: list[Node], leaves: list[Node]) -> list[Node]:
    """The roots, simplified; `leaves` hold values already."""
    return Simplifier(leaves).run(roots)


def _number(node: Node) -> Any:
    """The value of a constant seen through expands and reshapes, or None."""
    while node.op.name in ("expand", "reshape") and node.inputs:  # a computed node has dropped its operands
        node = node.inputs[0]
    return constant_value(node) if node.op is ops.constant else None


def _fitted(x: Node, node: Node) -> Node | None:
    """The operand in the shape of the node it stands for."""
    if x.dtype is not node.dtype:
        return None
    if tuple(x.shape) == tuple(node.shape):
        return x
    return Node(ops.expand, (x,), (tuple(node.shape),), node.type)


def _mul(node: Node) -> Node | None:
    a, b = node.inputs
    for x, one in ((a, b), (b, a)):
        if _number(one) == 1 and one.dtype is x.dtype and not _is_wide_scalar(x):
            return _fitted(x, node)
    return None


def _is_wide_scalar(x: Node) -> bool:
    """A 16-bit scalar leaf counts in float32, so an op on it rounds."""
    return x.op is ops.scalar and x.dtype.category == 2 and x.dtype.itemsize == 2


def _div(node: Node) -> Node | None:
    a, b = node.inputs
    return _fitted(a, node) if _number(b) == 1 and not _is_wide_scalar(a) else None


def _add(node: Node) -> Node | None:
    a, b = node.inputs
    for x, zero in ((a, b), (b, a)):
        if _number(zero) == 0 and (node.dtype.category == 1 or _has_no_negative_zero(x)):
            return _fitted(x, node)
    return joined(node)


def _has_no_negative_zero(x: Node) -> bool:
    """Whether no element can be -0.0, which + 0.0 would change: sums of the nest and of attention end with + 0.0, but
    16-bit ones are rounded after that."""
    while movement.is_map(x):
        x = x.inputs[0]
    return is_strided(x) and x.dtype.itemsize >= 4


def _sub(node: Node) -> Node | None:
    a, b = node.inputs
    value = _number(b)
    is_zero = value == 0 and (node.dtype.category == 1 or str(value) == "0.0")
    return _fitted(a, node) if is_zero and not _is_wide_scalar(a) else None


def _neg(node: Node) -> Node | None:
    inner = node.inputs[0]
    return inner.inputs[0] if inner.op.name == "neg" and not _is_wide_scalar(inner.inputs[0]) else None


def _reshape(node: Node) -> Node | None:
    x = node.inputs[0]
    if tuple(x.shape) == tuple(node.shape):
        return x
    if x.op.name == "reshape":
        return Node(ops.reshape, x.inputs, node.attrs, node.type)
    return None


def _permute(node: Node) -> Node | None:
    x, (dims,) = node.inputs[0], node.attrs
    if dims == tuple(range(len(dims))):
        return x
    if x.op.name == "permute":
        both = tuple(x.attrs[0][d] for d in dims)
        return Node(ops.permute, x.inputs, (both,), node.type)
    return None


def _expand(node: Node) -> Node | None:
    x = node.inputs[0]
    if tuple(x.shape) == tuple(node.shape):
        return x
    return Node(ops.expand, x.inputs, node.attrs, node.type) if x.op.name == "expand" else None


def _slice(node: Node) -> Node | None:
    (dims, sizes, steps), x = node.attrs, node.inputs[0]
    whole = all(sizes[i] == x.shape[d] and steps[i] == 1 for i, d in enumerate(dims))
    return x if whole else None


def _pad(node: Node) -> Node | None:
    low, high, interior, value = node.attrs
    none = [isinstance(n, int) and n == 0 for n in (*low, *high, *interior)]
    if all(none):
        return node.inputs[0]
    if (turned := layout.pad(node)) is not None:
        return turned
    crops = any(isinstance(n, int) and n < 0 for n in (*low, *high))
    if not crops or movement.is_simple_pad(node):
        return None
    grown = tuple(max(n, 0) if isinstance(n, int) else n for n in low), tuple(
        max(n, 0) if isinstance(n, int) else n for n in high)
    whole = make(ops.pad, node.inputs, (*grown, interior, value))
    starts = [constant(max(-n, 0) if isinstance(n, int) else 0, int64, node.device) for n in low]
    shape = tuple(node.shape)
    return make(ops.slice, (whole, *starts), (tuple(range(len(shape))), shape, (1,) * len(shape)))


def _cast(node: Node) -> Node | None:
    x = node.inputs[0]
    if x.dtype is node.dtype and not _is_wide_scalar(x):
        return x
    if x.op.name == "cast" and _is_exact(x.inputs[0].dtype, x.dtype) and not _is_wide_scalar(x.inputs[0]):
        return Node(ops.cast, x.inputs, node.attrs, node.type)
    return None


def _is_exact(source: Any, target: Any) -> bool:
    """Whether every value of a dtype is a value of the other."""
    if source.category == 2:
        return target.category == 2 and (target.itemsize > source.itemsize)
    if source.category == 0:
        return True
    if target.category == 2:
        return source.itemsize * 8 <= {"f16": 8, "bf16": 8, "f32": 16, "f64": 32}[target.short]
    return target.category == 1 and target.itemsize > source.itemsize and (target.signed or not source.signed)


def _reduced(node: Node) -> Node | None:
    """A reduction of dimensions of size 1 alone is its operand."""
    x, dims = node.inputs[0], node.attrs[0]
    if not all(movement.is_one(x.shape[d]) for d in dims):
        return None
    return _same(node, x)


def _same(node: Node, x: Node) -> Node | None:
    if x.dtype is not node.dtype:
        x = make(ops.cast, (x,), (node.dtype,))
    return x if tuple(x.shape) == tuple(node.shape) else Node(ops.reshape, (x,), (tuple(node.shape),), node.type)


def _argument(node: Node) -> Node | None:
    x, dims = node.inputs[0], node.attrs[0]
    if not all(movement.is_one(x.shape[d]) for d in dims):
        return None
    return Node(ops.expand, (constant(0, node.dtype, node.device),), (tuple(node.shape),), node.type)


# Ops that IEEE defines to the bit: NumPy's result is the kernel's.
FOLDED = frozenset(("add", "sub", "mul", "div", "neg", "abs", "sqrt", "square", "maximum", "minimum", "cast"))


def folded(node: Node) -> Node | None:
    """A zero-dimensional op of constants as its value."""
    if node.shape != () or any(n.op is not ops.constant for n in node.inputs):
        return None
    (value,) = evaluate([node])
    number = value.item() if node.dtype.short != "bf16" else float(value)
    return constant(number, node.dtype, node.device)


def _contract(node: Node) -> Node | None:
    """Sums of bytes that were made int32 are sums of the bytes: both are exact, or wrap alike."""
    if node.dtype is not int32 or node.attrs[2]:
        return None
    operands = tuple(_bytes(x) for x in node.inputs)
    if None in operands or operands[0].dtype is not operands[1].dtype:  # type: ignore[union-attr]
        return None
    return make(node.op, operands, (*node.attrs[:2], True))  # type: ignore[arg-type]


def _bytes(x: Node) -> Node | None:
    """An int32 operand as the bytes it was made of, moved as it is; None if it was not."""
    if not x.inputs:
        return None
    first = x.inputs[0]
    if x.op.name == "cast":
        return first if first.dtype in (int8, uint8) else None
    inner = _bytes(first) if movement.is_map(x) and x.op.name != "pad" else None
    if inner is None:
        return None
    return Node(x.op, (inner, *x.inputs[1:]), x.attrs, TensorType(tuple(x.shape), inner.dtype, x.device))


RULES: dict[str, Callable[[Node], Node | None]] = {
    "mul": _mul, "div": _div, "add": _add, "sub": _sub, "neg": _neg, "reshape": _reshape, "permute": _permute,
    "expand": _expand, "slice": _slice, "pad": _pad, "concat": layout.concat, "cast": _cast, "sum": _reduced,
    "prod": _reduced, "amax": _reduced, "amin": _reduced, "any": _reduced, "all": _reduced, "argmax": _argument,
    "argmin": _argument, "contract": _contract,
}
