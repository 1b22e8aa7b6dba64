"""Values that a contraction reads and that another, much later, reads again are made anew for the later one.

The activation behind a layer is an operand of the next layer and of the gradient of its weight. Kept from one to the
other it would take as much memory as what it was computed from, which the backward pass reads anyway: a batch_norm's
input, what a gelu was applied to. So the later contraction gets a node of its own, equal to the first, that waits for
the other operand. Bits are the same: it is the same computation.

Runs between `simplify` and `prepare`; `Work.late` tells the stages behind which nodes wait for which.
"""

from __future__ import annotations

from math import prod

from squall.compiler import movement
from squall.compiler.heavy import is_heavy
from squall.ir.node import Node, toposort
from squall.ir.op import Scalar

LEAST_BYTES = 1 << 20  # of a value worth it
MOST_LARGE = 2  # values of about its size that making it anew may read
MOST_HEAVY = 1  # of its ops that may be dear: a tanh, an error function
MOST_NODES = 24


class Remaker:
    """Finds the values of a graph.

    Args:
        roots: of the simplified graph. leaves: nodes that hold values.
    """

    def __init__(self, roots: list[Node], leaves: list[Node]):
        self.roots, self.leaves = roots, {id(n) for n in leaves}
        self.order = toposort(roots, lambda n: id(n) in self.leaves)
        self.readers: dict[int, list[Node]] = {}
        self.mask: dict[int, int] = {}  # the contractions that a node waits for, and itself
        self.bit: dict[int, int] = {}
        for node in self.order:
            mask = 0
            inputs = () if id(node) in self.leaves else node.inputs
            for n in inputs:
                mask |= self.mask.get(id(n), 0)
                self.readers.setdefault(id(n), []).append(node)
            if node.op.name == "contract":
                self.bit[id(node)] = 1 << len(self.bit)
                mask |= self.bit[id(node)]
            self.mask[id(node)] = mask
        self.root_ids = {id(n) for n in roots}

    def run(self) -> tuple[list[Node], dict[int, tuple[Node, Node]]]:
        """The roots of the new graph, and by id the nodes made anew with what each waits for."""
        again: dict[int, list[tuple[int, Node]]] = {}  # by contraction: the operand's number and the value in it
        for node in self.order:
            for contraction, number in self._late_readers(node):
                again.setdefault(id(contraction), []).append((number, node))
        if not again:
            return self.roots, {}
        made: dict[int, Node] = {}
        late: dict[int, tuple[Node, Node]] = {}
        for node in self.order:
            inputs = tuple(made[id(n)] for n in node.inputs) if id(node) not in self.leaves else ()
            found = again.get(id(node), ()) if len(again.get(id(node), ())) == 1 else ()
            for number, value in found:
                copy = Node(value.op, made[id(value)].inputs, value.attrs, value.type)
                inputs = tuple(_over(n, value, copy, made) if i == number else new
                               for i, (n, new) in enumerate(zip(node.inputs, inputs, strict=True)))
                late[id(copy)] = (copy, inputs[1 - number])
            same = all(a is b for a, b in zip(node.inputs, inputs, strict=True)) if inputs else True
            made[id(node)] = node if same else Node(node.op, inputs, node.attrs, node.type)
        return [made[id(r)] for r in self.roots], late

    def _late_readers(self, node: Node) -> list[tuple[Node, int]]:
        """The contractions that should have a value of their own, with the number of the operand."""
        if not self._is_able(node):
            return []
        found = self._contractions(node)
        if len(found) < 2:
            return []
        first = min(found, key=lambda f: self.bit[id(f[0])])[0]
        bit = self.bit[id(first)]
        late = [(c, i) for c, i in found if c is not first and self.mask[id(c)] & bit]
        if not late or len(late) + 1 < len(found) or not self._stays(node, bit):
            return []
        return late

    def _is_able(self, node: Node) -> bool:
        is_made = isinstance(node.op.lowering, Scalar) or movement.is_simple_pad(node)
        if not is_made or node.type.__class__ is tuple or id(node) in self.root_ids or id(node) in self.leaves:
            return False
        size = prod(node.shape)
        return isinstance(size, int) and size * node.dtype.itemsize >= LEAST_BYTES

    def _contractions(self, node: Node) -> list[tuple[Node, int]]:
        """The contractions that read a value, as it is or moved; none if it is an operand of both sides of one."""
        found, stack = [], [node]
        while stack:
            moved = stack.pop()
            for reader in self.readers.get(id(moved), ()):
                if reader.op.name == "contract":
                    found += [(reader, i) for i, n in enumerate(reader.inputs) if n is moved]
                elif movement.is_map(reader):
                    stack.append(reader)
        return found if len({id(c) for c, _ in found}) == len(found) else []

    def _stays(self, node: Node, bit: int) -> bool:
        """Whether all large values that a node is computed from are there when it is to be made again: they are inputs,
        or read by something else that waits for its first reader."""
        size, large, heavy, count = prod(node.shape), [], 0, 0
        stack, seen = list(node.inputs), {id(node)}
        while stack:
            n = stack.pop()
            if id(n) in seen:
                continue
            seen.add(id(n))
            count += 1
            held = prod(n.shape)
            if not isinstance(held, int):
                return False
            inline = isinstance(n.op.lowering, Scalar) or movement.is_map(n)
            if id(n) in self.leaves or held * 4 < size:
                continue  # in memory anyway
            if inline and n.inputs and not self._is_shared(n):
                heavy += isinstance(n.op.lowering, Scalar) and is_heavy(n.op.name, n.attrs, len(n.inputs))
                stack.extend(n.inputs)
            else:
                large.append(n)
        if count > MOST_NODES or not 1 <= len(large) <= MOST_LARGE or heavy > MOST_HEAVY:
            return False
        return all(self._is_read_late(n, node, bit) for n in large)

    def _is_shared(self, node: Node) -> bool:
        """Whether an elementwise value is of several large ones and read by several: then it is kept itself."""
        if not isinstance(node.op.lowering, Scalar):
            return False
        size = prod(node.shape)
        wide = sum(isinstance(prod(n.shape), int) and prod(n.shape) * 4 >= size for n in node.inputs)
        return wide > 1 and len(self.readers.get(id(node), ())) > 1

    def _is_read_late(self, value: Node, but: Node, bit: int) -> bool:
        """Whether something not computed where it is read, other than through one node, reads a value and waits for a
        contraction."""
        stack, seen = [value], {id(but)}
        while stack:
            for reader in self.readers.get(id(stack.pop()), ()):
                if id(reader) in seen:
                    continue
                seen.add(id(reader))
                if isinstance(reader.op.lowering, Scalar) or movement.is_map(reader):
                    if self.mask[id(reader)] & bit:
                        return True
                    stack.append(reader)
                elif self.mask[id(reader)] & bit and reader.op.name != "contract":
                    return True
        return False


def _over(node: Node, value: Node, copy: Node, made: dict[int, Node]) -> Node:
    """A chain of movements over a copy instead of a value."""
    if node is value:
        return copy
    source = _over(node.inputs[0], value, copy, made)
    return Node(node.op, (source, *(made[id(n)] for n in node.inputs[1:])), node.attrs, node.type)


def remake(roots: list[Node], leaves: list[Node]) -> tuple[list[Node], dict[int, tuple[Node, Node]]]:
    """The roots with values made anew, and these by id with what each waits for."""
    return Remaker(roots, leaves).run()
