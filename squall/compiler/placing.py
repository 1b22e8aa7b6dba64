"""Values computed where a movement of them, or a `concat` that they are parts of, is kept, and not copied there.

Any kept part of a concat whose place in it is consecutive memory is computed there: stacking the states of a loop costs
nothing. Contractions and attention store their results by strides, so they write through reshapes and permutations too:
heads of attention go where the next layer reads them as rows. The value's home becomes a stretch or a view of the other
buffer; whoever reads the whole waits for those who write the part.
"""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base.shapes import contiguous_strides
from squall.compiler import movement
from squall.compiler.affine import Affine, Atom, Split, Unfit, flatten
from squall.compiler.group import Space
from squall.compiler.movement import is_one
from squall.compiler.pull import Home
from squall.compiler.strided import is_strided
from squall.compiler.work import Work
from squall.ir.node import Node
from squall.ir.op import Library

RUN, SMALL = 8, 4096  # elements
TURNED = ("reshape", "permute")  # movements that keep every element, once


def put_parts(work: Work, node: Node) -> None:
    """Move the homes of a concat's parts into it, where that is possible."""
    (dim,) = node.attrs
    whole = work.homes[id(node)]
    is_dense = all(is_one(n) for n in node.shape[:dim])
    offset: Any = whole.offset
    for number, part in enumerate(node.inputs):
        base = _base(work, part, ("reshape",))
        if is_dense and _is_movable(work, base, node):
            _put(work, base, Home(whole.buffer, contiguous_strides(tuple(base.shape)), offset), node)
            work.placed.add((id(node), number))
        elif _put_through(work, part, Home(whole.buffer, whole.strides, offset), node):
            work.placed.add((id(node), number))
        offset = offset + part.shape[dim] * whole.strides[dim]


def put_wholes(work: Work) -> None:
    """Move the homes of what is stored by strides into kept nodes that only move their elements."""
    for node in list(work.kept.values()):
        if node.op.name in TURNED and work.memories[work.homes[id(node)].buffer].kind == "arena" and _put_through(
                work, node.inputs[0], work.homes[id(node)], node, node):
            work.placed.add((id(node), 0))


def _put(work: Work, base: Node, home: Home, whole: Node) -> None:
    work.homes[id(base)] = home
    work.parts.setdefault(id(base), []).append(whole)


def _put_through(work: Work, part: Node, place: Home, whole: Node, last: Node | None = None) -> bool:
    """Place a strided value that reaches a place through movements, `last` one more of them; whether it could be."""
    base = _base(work, part, TURNED)
    if not is_strided(base) or not _is_movable(work, base, whole):
        return False
    home = view_from(base, part if last is None else last, place)
    if home is None or not _has_runs(base, home):
        return False
    _put(work, base, home, whole)
    made = base.inputs[0] if base.op.name == "pick" else base
    work.note(f"{made.op.name} is written where its {whole.op.name} lies")
    return True


def _has_runs(base: Node, home: Home) -> bool:
    """Whether storing at a place moves several elements at once: where not, a copy afterwards costs less."""
    runs = [n for n, s in zip(base.shape, home.strides, strict=True) if isinstance(s, int) and s == 1]
    small = all(isinstance(n, int) for n in base.shape) and prod(base.shape) < SMALL
    return small or any(not isinstance(n, int) or n >= RUN for n in runs)


def _base(work: Work, part: Node, names: tuple[str, ...]) -> Node:
    base = part
    while base.op.name in names and work.home(base) is None:
        base = base.inputs[0]
    return base


def view_from(base: Node, moved: Node, place: Home) -> Home | None:
    """Strides over the dimensions of `base` at which its elements lie, when those of `moved`, which turns it by
    reshapes and permutations, lie at `place`; None when there are no such strides."""
    space = Space(tuple(moved.shape))
    while True:
        try:
            index, node = space.index(), moved
            while node is not base:
                index = movement.MAPS[node.op.name](node, index, _no_start)
                node = node.inputs[0]
                index = movement.canonical(index, node.shape)
            break
        except Split as split:
            space.split(split.atom, split.inner)
        except Unfit:
            return None
    address = flatten(space.index(), place.strides, place.offset)
    strides = []
    for position in index:
        found = _stride(position, address)
        if found is None:
            return None
        strides.append(found)
    return Home(place.buffer, tuple(strides), address.constant)


def _no_start(node: Node) -> Affine:
    raise Unfit


def _stride(position: Affine, address: Affine) -> Any:
    """The stride s with which an address moves as a position does; None when it does not."""
    stride: Any = None
    for atom, c in position.terms.items():
        moves = address.terms.get(atom, 0)
        if isinstance(c, int) and c == 1:
            stride = moves
    for atom, c in position.terms.items():
        if not isinstance(atom, Atom) or stride is None or address.terms.get(atom, 0) != stride * c:
            return None
    return 0 if stride is None else stride


def _is_movable(work: Work, base: Node, node: Node) -> bool:
    home = work.homes.get(id(base))
    if home is None or id(base) not in work.kept or id(base) in work.root_ids or base.dtype is not node.dtype:
        return False
    held = work.memories[home.buffer]
    if base.op.name == "concat" or isinstance(base.op.lowering, Library):
        return False
    if base.op.name == "pick" and not is_strided(base):
        return False  # a library call writes from the beginning of its memory
    is_own = held.kind == "arena" and held.nbytes == prod(base.shape) * base.dtype.itemsize
    return is_own and id(base) not in work.parts
