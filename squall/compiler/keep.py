"""Which values are kept in memory, and which are computed anew wherever they are read.

Kept are results, reductions, what other ops need as memory, and elementwise values that several others read and that
cost more than reading them back; the rest costs nothing but its instructions. Costs are about cycles for a vector.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.compiler import movement, placing, views
from squall.compiler.heavy import is_heavy
from squall.compiler.work import Work
from squall.ir.node import Node
from squall.ir.op import Library, Scalar

CHEAP = 4  # recomputing this much costs less than a store and a load
SINGLE, WIDE = 16, 1 << 18  # and so much, of one value of so many elements, less than writing the result to keep it
TURNED, OFTEN = 1 << 14, 16  # elements of what is worth turning for one that reads each of them so many times
LOCAL = 8  # more than this is not computed again for each element of a broadcast
MOST_NODES = 64  # nodes of one kernel's expression below a kept value
COSTS = {"div": 4, "sqrt": 5, "rem": 8, "fmod": 8, "remainder": 8, "floor_divide": 6, "trunc_divide": 5, "rsqrt": 6,
         "reciprocal": 4}  # fmt: skip
LEAVES = frozenset(("constant", "scalar", "iota", "extent", "buffer"))
MEMORY_READERS = frozenset(("contract", "cumsum", "cumprod"))  # and library calls: operands are views of memory
READERS = frozenset(("take", "gather", "index"))  # computed where read, from an operand in memory


def own_cost(node: Node) -> int:
    """What computing one vector of a node costs beyond its operands."""
    name = node.op.name
    if name == "random_bits":
        return 60
    if isinstance(node.op.lowering, Scalar):
        return 12 if is_heavy(name, node.attrs, len(node.inputs)) else COSTS.get(name, 1)
    return 0


def is_inline(node: Node) -> bool:
    """Whether a node can be computed where it is read."""
    name = node.op.name
    return (isinstance(node.op.lowering, Scalar) or movement.is_map(node) or movement.is_simple_pad(node)
            or movement.is_placement(node) or name in READERS or name in LEAVES or name == "random_bits")


def base_of(node: Node) -> Node:
    """The value that a chain of index maps moves."""
    while True:
        if movement.is_map(node) or movement.is_simple_pad(node):
            node = node.inputs[0]
        elif movement.is_placement(node):
            node = node.inputs[1]
        else:
            return node


def choose(work: Work) -> None:
    """Mark the nodes to be kept, in order."""
    reading = _readers(work)
    viewed = _viewed(work)
    cost: dict[int, int] = {}
    nodes: dict[int, int] = {}
    wide: dict[int, frozenset[int]] = {}
    for node in work.order:
        wide[id(node)] = _wide(work, node, wide)
        if work.home(node) is not None or node.op.name in LEAVES or node.type.__class__ is tuple:
            cost[id(node)], nodes[id(node)] = 0, 1
            if id(node) in work.root_ids:
                work.keep(node)
            continue
        if id(node) not in viewed:
            _operands(work, node, cost)
        if node.op.name in MEMORY_READERS or isinstance(node.op.lowering, Library):
            for n in node.inputs:
                views.operand(work, n)
        cost[id(node)] = min(own_cost(node) + sum(cost[id(n)] for n in node.inputs), 10_000)
        nodes[id(node)] = 1 + sum(nodes[id(n)] for n in node.inputs)
        if _is_kept(work, node, reading, cost, nodes, wide[id(node)]):
            work.keep(node)
            cost[id(node)], nodes[id(node)] = 1, 1
            wide[id(node)] = _wide(work, node, wide)
            if node.op.name == "concat":
                placing.put_parts(work, node)
    placing.put_wholes(work)


def _operands(work: Work, node: Node, cost: dict[int, int]) -> None:
    """Keep operands that this node would compute too often."""
    if node.op.name in READERS:
        base = base_of(node.inputs[0])
        if work.home(base) is None and cost[id(base)] > 0:
            work.keep(base)
        return
    if not is_inline(node) and node.op.family.name != "reduce":
        return
    size = None
    for operand in node.inputs:
        base = base_of(operand)
        turn = _turn(work, node, operand) if movement.is_map(operand) else None
        if turn is not None:
            work.keep(turn)
        if work.home(base) is None and cost.get(id(base), 0) >= LOCAL and base.type.__class__ is not tuple:
            size = _count(node) if size is None else size
            if _is_smaller(_count(base), size):
                work.keep(base)
                cost[id(base)] = 1


def _turn(work: Work, node: Node, operand: Node) -> Node | None:
    """The permutation of something small in memory that an operand is seen through, where a much larger node would
    gather the elements of each of its vectors one by one; None where it need not be written out."""
    found, source = None, operand
    while work.home(source) is None and movement.is_map(source):
        found = source if source.op.name == "permute" else found
        source = source.inputs[0]
    if found is None or work.home(source) is None or work.home(found) is not None:
        return None
    size, whole = prod(found.shape), _count(node)
    if not isinstance(size, int) or size > TURNED or (isinstance(whole, int) and whole < OFTEN * size):
        return None
    view = views.view_of(work, operand)
    wide = view is not None and not movement.is_one(operand.shape[-1:] and operand.shape[-1])
    return found if wide and view.strides[-1] not in (0, 1) else None  # type: ignore[union-attr]


def _count(node: Node) -> Any:
    shape = node.inputs[0].shape if node.op.family.name == "reduce" else node.shape
    return prod(shape) if node.type.__class__ is not tuple else 0


def _is_smaller(a: Any, b: Any) -> bool:
    """Whether elements are computed several times, not only surrounded by padding."""
    return 2 * a <= b if isinstance(a, int) and isinstance(b, int) else a != b


def _readers(work: Work) -> dict[int, int]:
    """How many ops read each value, index maps between them looked through."""
    found: dict[int, set[int]] = {}
    for node in work.order:
        if work.home(node) is None and not is_moved(node):
            for operand in node.inputs:
                found.setdefault(id(base_of(operand)), set()).add(id(node))
    return {k: len(v) for k, v in found.items()}


def _viewed(work: Work) -> set[int]:
    """Index maps that only serve as views of memory, so that nothing is computed at their elements."""
    others: set[int] = set()
    found: set[int] = set()
    for node in reversed(work.order):
        if movement.is_map(node) and id(node) not in others and id(node) not in work.root_ids:
            found.add(id(node))
        elif node.op.name not in MEMORY_READERS:
            others.update(id(n) for n in node.inputs)
    return found


def is_moved(node: Node) -> bool:
    """Whether a node is its first (for a placement: second) operand at other positions."""
    return movement.is_map(node) or movement.is_simple_pad(node) or movement.is_placement(node)


def _wide(work: Work, node: Node, wide: dict[int, frozenset[int]]) -> frozenset[int]:
    """The large values in memory that a node is computed from; itself if it is one."""
    size = 0 if node.type.__class__ is tuple else prod(node.shape)
    if not isinstance(size, int) or size < WIDE:
        return frozenset()
    if work.home(node) is not None or not is_inline(node):
        return frozenset((id(node),))
    return frozenset().union(*(wide.get(id(n), ()) for n in node.inputs))


def _is_kept(work: Work, node: Node, reading: dict[int, int], cost: dict, nodes: dict, wide: frozenset) -> bool:
    if id(node) in work.root_ids or not is_inline(node):
        return True
    if is_moved(node):
        return False
    if not work.fuse:
        return True
    if nodes[id(node)] > MOST_NODES:
        return True
    return reading.get(id(node), 0) > 1 and cost[id(node)] > (SINGLE if len(wide) == 1 else CHEAP)


