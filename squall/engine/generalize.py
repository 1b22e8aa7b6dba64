"""Undeclared sizes that change: one plan for all of them (DESIGN S11).

Graphs of equal structure that differ only in sizes form a family. When a second member arrives, the sizes that differ
between leaves become symbols, every other number that differs is solved as an affine form of them, shape inference runs
again on the symbolic graph, and the result is checked against both members. What cannot be solved stays concrete.
0 and 1 are part of the structure and never merge with other sizes. Every later use checks all numbers, so a wrong
guess can cost a plan but never a result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.caches import Cache
from squall.base.dim import Dim, evaluate
from squall.base.errors import SquallError
from squall.engine.keys import Signature, attrs_key
from squall.ir.node import Node, TensorType
from squall.ir.op import make, ops

# Which attributes of an op are sizes; all other attributes are structure.
SIZED = {
    "reshape": ("shape",),
    "expand": ("shape",),
    "slice": ("sizes",),
    "iota": ("size",),
    "extent": ("size",),
    "uniform": ("shape",),
    "normal": ("shape",),
    "random_bits": ("shape",),
    "unwindow": ("shape",),
    "pad": ("low", "high"),
    "scan": ("length",),
}

# Ops that choose how they compute, and so the order of sums, by sizes of an operand: these (operand, dimensions) are
# part of the structure and never symbols.
CHOOSING = {
    "convolution": ((0, slice(1, 2)), (1, slice(0, 2))),
    "convolution_transpose": ((0, slice(1, None)), (1, slice(0, 2))),
    "batch_norm": ((0, slice(1, 2)),),
    "avg_pool": ((0, slice(1, 2)),),
    "adaptive_avg_pool": ((0, slice(1, 2)),),
}

# Ops whose sizes come from the program itself: like a leaf's, they may be symbols in their own right.
_SOURCES = ("iota", "uniform", "normal", "random_bits", "expand", "slice")


class Abstract(NamedTuple):
    """A graph without its sizes: the structure, the sizes in order, the shapes of all nodes, and which numbers are
    sizes of leaves (2), of ops that make values (1), or follow from others (0)."""

    structure: tuple
    numbers: tuple[int, ...]
    shapes: tuple
    origins: tuple[int, ...]


class Symbolic(NamedTuple):
    """A plan for a family: where each symbol is read, what every number must be, and what runs."""

    symbols: tuple[tuple[str, int], ...]
    forms: tuple[Any, ...]
    executable: Any

    def match(self, member: Abstract) -> dict[str, int] | None:
        """The symbols' values when all numbers of a member fit, else None."""
        sizes = {name: member.numbers[position] for name, position in self.symbols}
        if any(size < 2 for size in sizes.values()):
            return None
        for form, number in zip(self.forms, member.numbers, strict=True):
            if form != number and (form.__class__ is int or evaluate(form, sizes) != number):
                return None
        return sizes


class Family:
    """Members of one structure seen so far, and the plans that serve many."""

    def __init__(self) -> None:
        self.members: list[Abstract] = []
        self.plans: list[Symbolic] = []


families = Cache("plan families", 512)


def _class(size: int) -> str:
    return str(size) if size in (0, 1) else "n"


def _sizes_of(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


def constant_number(node: Node) -> int | None:
    """The value of a whole constant above 1, which may be a count; None for other constants."""
    text, dtype = node.attrs
    if dtype.category == 3:
        return None
    value = float.fromhex(text) if dtype.category == 2 else float(int(text))
    return int(value) if 1 < value < 2**53 and value == int(value) else None


def abstract(found: Signature) -> Abstract | None:
    """The structure and sizes of a graph; None when it is symbolic already."""
    entries: list[Any] = []
    numbers: list[int] = []
    shapes: list[Any] = []
    origins: list[int] = []
    index: dict[int, int] = {}
    for position, node in enumerate(found.order):
        index[id(node)] = position
        kinds = node.type if node.type.__class__ is tuple else (node.type,)
        shapes.append(tuple(t.shape for t in kinds))
        if any(size.__class__ is not int for t in kinds for size in t.shape):
            return None
        if node.buffer is not None:
            if node.op is ops.scalar:
                entries.append((0, node.dtype.short))
            else:
                numbers.extend(node.shape)
                origins.extend([2] * len(node.shape))
                entries.append((1, tuple(map(_class, node.shape)), node.dtype.short, node.buffer.strides is None))
            continue
        entries.append(_entry(node, tuple(index[id(o)] for o in node.inputs), kinds, numbers))
        origins.extend([int(node.op.name in _SOURCES)] * (len(numbers) - len(origins)))
    structure = (tuple(entries), found.key[1:])
    return Abstract(structure, tuple(numbers), tuple(shapes), tuple(origins))


def _entry(node: Node, operands: tuple, kinds: tuple, numbers: list[int]) -> tuple:
    sized = SIZED.get(node.op.name, ())
    attrs: list[Any] = []
    if node.op is ops.constant and (count := constant_number(node)) is not None:
        numbers.append(count)
        attrs.append(("count", node.dtype.short))
    else:
        for name, value in zip(node.op.attributes, node.attrs, strict=True):
            if name in sized:
                numbers.extend(_sizes_of(value))
                attrs.append(tuple(map(_class, _sizes_of(value))))
            else:
                attrs.append(attrs_key((value,)))
    ranks = tuple((tuple(map(_class, t.shape)), t.dtype.short) for t in kinds)
    chosen = tuple(node.inputs[operand].shape[dims] for operand, dims in CHOOSING.get(node.op.name, ()))
    return (node.op.name, tuple(attrs), operands, ranks, chosen)


class _UnsolvedError(Exception):
    """The sizes that differ have no affine form."""


def generalize(found: Signature, new: Abstract, old: Abstract) -> tuple[list[Node], list[Node], tuple, tuple] | None:
    """The symbolic graph of two members: (order, leaf nodes, symbols, forms), or None."""
    pairs: dict[tuple[int, int], Dim] = {}
    symbols: list[tuple[str, int]] = []
    for origin in (2, 1):
        for position, pair in enumerate(zip(old.numbers, new.numbers, strict=True)):
            if old.origins[position] != origin or pair[0] == pair[1] or pair in pairs or _solvable(pair, pairs):
                continue
            symbols.append((f"s{len(pairs)}", position))
            pairs[pair] = Dim(f"s{len(pairs)}", min=2)
    if not pairs:
        return None
    monomials = _monomials(pairs)
    try:
        forms = tuple(b if a == b else _solve(a, b, monomials) for a, b in zip(old.numbers, new.numbers, strict=True))
        order = _rebuild(found, forms)
    except (_UnsolvedError, SquallError, TypeError, ValueError):
        return None
    for values, member in (
        ({str(d): p[0] for p, d in pairs.items()}, old),
        ({str(d): p[1] for p, d in pairs.items()}, new),
    ):
        for node, shapes in zip(order, member.shapes, strict=True):
            kinds = node.type if node.type.__class__ is tuple else (node.type,)
            if tuple(tuple(evaluate(s, values) for s in t.shape) for t in kinds) != shapes:
                return None
    return order, [n for n in order if n.op is ops.input], tuple(symbols), forms


def _solvable(pair: tuple[int, int], pairs: dict[tuple[int, int], Dim]) -> bool:
    """Whether a size is a multiple of a symbol already found, or of a product of two."""
    return any((pair[0] % m, pair[1] % n) == (0, 0) and pair[0] // m == pair[1] // n for m, n, _ in _monomials(pairs))


def _monomials(pairs: dict[tuple[int, int], Dim]) -> list[tuple[int, int, Any]]:
    single = [(a, b, d) for (a, b), d in pairs.items()]
    double = [(a * c, b * e, d * f) for i, (a, b, d) in enumerate(single) for c, e, f in single[i:]]
    return single + double


def _solve(a: int, b: int, monomials: list[tuple[int, int, Any]]) -> Any:
    """The form c * m + d with m a symbol (or a product of two) that is `a` in one member and `b` in the other."""
    offsets = None
    for m, n, form in monomials:
        if m == n or (b - a) % (n - m):
            continue
        scale = (b - a) // (n - m)
        rest = a - scale * m
        if scale > 0 and rest == 0:
            return form * scale
        if offsets is None and abs(scale) <= 64:
            offsets = form * scale + rest
    if offsets is None:
        raise _UnsolvedError
    return offsets


def _rebuild(found: Signature, forms: tuple) -> list[Node]:
    """The graph with forms in place of sizes, types inferred anew."""
    feed = iter(forms)
    made: dict[int, Node] = {}
    order: list[Node] = []
    for node in found.order:
        if node.buffer is not None:
            if node.op is ops.scalar:
                copy = node
            else:
                shape = tuple(next(feed) for _ in node.shape)
                copy = Node(
                    ops.input,
                    (),
                    (sum(n.op is ops.input for n in order),),
                    TensorType(shape, node.dtype, node.device),
                )
        elif node.op is ops.constant:
            copy = node if constant_number(node) is None else _count(node, next(feed))
        else:
            copy = _again(node, tuple(made[id(o)] for o in node.inputs), feed)
        made[id(node)] = copy
        order.append(copy)
    return order


def _again(node: Node, inputs: tuple[Node, ...], feed: Any) -> Node:
    sized = SIZED.get(node.op.name, ())
    attrs = []
    for name, value in zip(node.op.attributes, node.attrs, strict=True):
        if name not in sized:
            attrs.append(value)
        elif isinstance(value, tuple):
            attrs.append(tuple(next(feed) for _ in value))
        else:
            attrs.append(next(feed))
    types = tuple(i.type for i in inputs)
    return Node(node.op, inputs, tuple(attrs), node.op.result_type(types, tuple(attrs)))


def _count(node: Node, form: Any) -> Node:
    """A constant, or a count of elements that depends on symbols."""
    if isinstance(form, int):
        return node
    extent = make(ops.extent, (), (form, node.device))
    return make(ops.cast, (extent,), (node.dtype,))
