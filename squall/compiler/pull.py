"""Values by position: what one fused kernel computes, found by asking its results for the value at an index.

Movement ops change the index and cost nothing; elementwise ops become instructions; what is kept in memory becomes a
load at an affine address; a reduction of the kernel itself becomes a `reduce` over its operand at the reduced loops.
The outcome is a list of `Raw` values in order, each once: the same value at the same index is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from squall.base.shapes import contiguous_strides
from squall.compiler import movement
from squall.compiler.affine import ZERO, Affine, Index, Run, Unfit, flatten, of
from squall.ir.node import Node
from squall.ir.op import Scalar, constant_value, ops


class Home(NamedTuple):
    """Where a kept value lies: a buffer number, element strides and offset."""

    buffer: int
    strides: tuple
    offset: Any = 0


class Raw(NamedTuple):
    """A value before loops are fixed; like `spec.Value`, with affine positions in `attr`."""

    op: str
    scalar: str
    operands: tuple[int, ...] = ()
    attr: Any = None


def runs_of(position: Affine) -> tuple[int, ...]:
    """The value numbers a position depends on."""
    return tuple(v.value for v in position.terms if isinstance(v, Run))


def reshaped(home: Home | None, source: Node, node: Node) -> Home | None:
    """The place of a reshape of row-major memory, which is that memory; else None."""
    if home is None or home.strides != contiguous_strides(tuple(source.shape)):
        return None
    return Home(home.buffer, contiguous_strides(tuple(node.shape)), home.offset)


class Puller:
    """Collects the values of one kernel.

    Args:
        home: the place of a node that is kept in memory outside this kernel, or None for one to be computed here.
        identity: for a reduction of this kernel, its operand's loops and its reduced dims.
        check: registers a range check of an index op and returns its code.

    Attributes:
        values: what was collected. reads: (node, index) of every load of a kept node.
    """

    def __init__(self, home: Callable[[Node], Home | None], scalars: dict[int, int],
                 loops: Callable[[Node], Index] | None = None, check: Callable[[Node, int], int] | None = None):
        self.home, self.scalars, self.loops, self.check = home, scalars, loops, check
        self.values: list[Raw] = []
        self.numbers: dict[Raw, int] = {}
        self.memo: dict[tuple, int] = {}
        self.reads: list[tuple[Node, Index]] = []
        self.at: Node | None = None

    def add(self, op: str, scalar: str, operands: tuple[int, ...] = (), attr: Any = None) -> int:
        """The number of a value; equal ones are the same."""
        raw = Raw(op, scalar, operands, attr)
        number = self.numbers.get(raw)
        if number is None:
            number = self.numbers[raw] = len(self.values)
            self.values.append(raw)
        return number

    def start(self, node: Node) -> Affine:
        """A zero-dimensional integer as a position."""
        if node.op is ops.constant:
            return Affine({}, constant_value(node))  # type: ignore[arg-type]
        if node.op.name == "extent":
            return Affine({}, node.attrs[0])
        return of(Run(self.value(node, (), None)))

    def position(self, expression: Affine) -> int:
        """An affine position as an i64 value."""
        return self.add("position", "i64", runs_of(expression), expression)

    def load(self, node: Node, home: Home, index: Index, guard: int | None) -> int:
        self.reads.append((node, index))
        address = flatten(index, home.strides, home.offset)
        operands = runs_of(address) + (() if guard is None else (guard,))
        return self.add("load", node.dtype.short, operands, (home.buffer, address, guard is not None))

    def value(self, node: Node, index: Index, guard: int | None) -> int:
        """The number of a node's value at a position; loads happen only where the guard holds."""
        key = (id(node), index, guard)
        number = self.memo.get(key)
        if number is None:
            number = self.memo[key] = self._value(node, index, guard)
        return number

    def _value(self, node: Node, index: Index, guard: int | None) -> int:
        home = self.home(node)
        if home is not None:
            return self.load(node, home, index, guard)
        self.at = node
        name = node.op.name
        special = _SPECIAL.get(name)
        if special is not None:
            return special(self, node, index, guard)
        if name in movement.MAPS:
            source = node.inputs[0]
            if name == "reshape" and (home := reshaped(self.home(source), source, node)) is not None:
                return self.load(source, home, index, guard)
            index = movement.MAPS[name](node, index, self.start)
            return self.value(source, movement.canonical(index, source.shape), guard)
        if isinstance(node.op.lowering, Scalar):
            operands = tuple(self.value(n, movement.broadcast(index, n.shape), guard) for n in node.inputs)
            return self.add("inst", node.dtype.short, operands, (name, node.attrs))
        if node.op.family.name == "reduce" and self.loops is not None:
            return self._reduction(node, index)
        raise Unfit

    def _reduction(self, node: Node, index: Index) -> int:
        """A reduction that belongs to this kernel, read at its own kept loops."""
        operand, (dims, keepdim) = node.inputs[0], node.attrs[:2]
        loops = self.loops(node)  # type: ignore[misc]
        kept = tuple(ZERO if d in dims else e for d, e in enumerate(loops))
        expected = kept if keepdim else tuple(e for d, e in enumerate(kept) if d not in dims)
        if index != movement.canonical(expected, node.shape):
            raise Unfit
        of_operand = movement.canonical(loops, operand.shape)
        operands: tuple[int, ...] = (self.value(operand, of_operand, None),)
        if node.op.name in ("argmax", "argmin"):
            shape = tuple(operand.shape[d] for d in dims)
            flat = flatten(tuple(loops[d] for d in dims), contiguous_strides(shape))
            operands += (self.position(flat),)
        return self.add("reduce", node.dtype.short, operands, node.op.name)


def _constant(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    return p.add("const", node.dtype.short, (), node.attrs[0])


def _scalar(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    # A 16-bit scalar counts in float32: its double is rounded there and no further.
    short = "f32" if node.dtype.category == 2 and node.dtype.itemsize == 2 else node.dtype.short
    return p.add("word", short, (), ("scalar", p.scalars[id(node)], node.dtype.category == 2))


def _iota(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    return _converted(p, p.position(index[0]), "i64", node.dtype.short)


def _extent(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    return _converted(p, p.position(Affine({}, node.attrs[0])), "i64", node.dtype.short)


def _converted(p: Puller, number: int, source: str, target: str) -> int:
    return number if source == target else p.add("convert", target, (number,))


def _pad(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    if not movement.is_simple_pad(node):
        raise Unfit
    source = node.inputs[0]
    inner = movement.crop(node, index, p.start)
    for d in movement.pad_bounds(node):
        test = p.add("inside", "bool", (p.position(inner[d]),), source.shape[d])
        guard = test if guard is None else p.add("and", "bool", (guard, test))
    value = node.attrs[3]
    text = float(value).hex() if node.dtype.category == 2 else str(int(value))
    read = p.value(source, inner, guard)
    if not movement.pad_bounds(node):
        return read
    return p.add("select", node.dtype.short, (guard, read, p.add("const", node.dtype.short, (), text)))  # type: ignore[arg-type]


def _placed(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    """An `update_slice` of a constant: the value where it was placed, the constant elsewhere."""
    if not movement.is_placement(node):
        raise Unfit
    base, value, *starts = node.inputs
    inner = list(index)
    for d, start in zip(node.attrs[0], starts, strict=True):
        inner[d] = index[d] + p.start(start) * -1
        if value.shape[d] != node.shape[d]:
            test = p.add("inside", "bool", (p.position(inner[d]),), value.shape[d])
            guard = test if guard is None else p.add("and", "bool", (guard, test))
    read = p.value(value, movement.canonical(tuple(inner), value.shape), guard)
    rest = p.value(movement.uniform_value(base), (), None)  # type: ignore[arg-type]
    return read if guard is None else p.add("select", node.dtype.short, (guard, read, rest))


def _wrapped(p: Puller, node: Node, index_node: Node, index: Index, size: Any, guard: int | None) -> Affine:
    """An index tensor's value as a position: negative ones count from the end, others are checked."""
    number = p.value(index_node, index, guard)
    code = p.check(node, size) if p.check else 0
    operands = (number,) if guard is None else (number, guard)
    return of(Run(p.add("wrap", "i64", operands, (size, code))))


def _take(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    x, where = node.inputs
    d, rank = node.attrs[0], len(where.shape)
    at = _wrapped(p, node, where, movement.canonical(index[d:d + rank], where.shape), x.shape[d], guard)
    return _from_memory(p, x, (*index[:d], at, *index[d + rank:]), guard)


def _gather(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    x, where = node.inputs
    d = node.attrs[0]
    at = _wrapped(p, node, where, movement.canonical(index, where.shape), x.shape[d], guard)
    return _from_memory(p, x, (*index[:d], at, *index[d + 1:]), guard)


def _index(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    x, *indices = node.inputs
    dims = node.attrs[0]
    place, rank = index_layout(node)
    inner = index[place:place + rank]
    rest = list(index[:place] + index[place + rank:])
    out = []
    for d in range(len(x.shape)):
        if d in dims:
            where = indices[dims.index(d)]
            out.append(_wrapped(p, node, where, movement.broadcast(inner, where.shape), x.shape[d], guard))
        else:
            out.append(rest.pop(0))
    return _from_memory(p, x, tuple(out), guard)


def index_layout(node: Node) -> tuple[int, int]:
    """Where the indices' dimensions stand in the result of `index` (or the value of `index_put`), and how many."""
    indices = node.inputs[1:] if node.op.name == "index" else node.inputs[2:]
    rank = max(len(n.shape) for n in indices)
    return node.attrs[0][0], rank


def _from_memory(p: Puller, x: Node, index: Index, guard: int | None) -> int:
    """A read at a run-time position; only what lies in memory, seen through movement, can be read so."""
    return p.value(x, index, guard)


def _random(p: Puller, node: Node, index: Index, guard: int | None) -> int:
    seed, offset = (p.value(n, (), None) for n in node.inputs)
    flat = p.position(flatten(index, contiguous_strides(node.shape)))
    return p.add("random", "u32", (seed, offset, flat))


_SPECIAL: dict[str, Callable[[Puller, Node, Index, int | None], int]] = {
    "constant": _constant, "scalar": _scalar, "iota": _iota, "extent": _extent, "pad": _pad,
    "update_slice": _placed,
    "take": _take, "gather": _gather, "index": _index, "random_bits": _random,
}
