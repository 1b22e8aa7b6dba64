"""The arguments of a captured program: what is assumed about them, the stand-ins a function is traced with,
and the check that another call's arguments fit."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple
from weakref import ref

from squall.base.dim import Dim
from squall.frontend.cell import Cell
from squall.frontend.core import Handle, wrap
from squall.frontend.guards import is_plain, same_array, same_value
from squall.frontend.number import Number
from squall.frontend.tape import Leaf
from squall.frontend.views import View
from squall.ir.node import Node, TensorType, tensor_type
from squall.ir.op import ops


class Assumed(NamedTuple):
    """What a capture takes for granted beyond the arguments' types, by position.

    Attributes:
        varying: numbers that become run-time inputs. exact: Tensors whose chain of view steps and
        sharing with other arguments is part of the program; all others count as values of their own. pinned:
        Tensors the function also reaches from outside, taken as those very objects. dims: sizes that are
        symbols, (position, dimension) to Dim.
    """

    varying: frozenset[int] = frozenset()
    exact: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()
    dims: tuple[tuple[tuple[int, int], Dim], ...] = ()


class StandIns:
    """Placeholders for flat arguments.

    Attributes:
        values: in place of the leaves. sources: by id of a placeholder Node, ("argument" or "cell",
        position). leaves: by id of a Leaf, the position of the argument that gathers gradients there.
        foreign: (Leaf, position) of stand-ins for arguments with history.
    """

    def __init__(self, leaves: list, assumed: Assumed):
        self.values: list = list(leaves)
        self.sources: dict[int, tuple[str, int]] = {}
        self.leaves: dict[int, int] = {}
        self.foreign: list[tuple[Any, int]] = []
        self.made: list[ref] = []
        self.holders: list[Node] = []
        self.dims = assumed.dims
        dims: dict[int, dict[int, Dim]] = {}
        for (position, dim), size in assumed.dims:
            dims.setdefault(position, {})[dim] = size
        handles: dict[int, Any] = {}
        cells: dict[int, Cell] = {}
        for position, leaf in enumerate(leaves):
            if position in assumed.varying:
                self.values[position] = Number(leaf, ArgumentReader(position))
                self.made.append(ref(self.values[position]))
            elif isinstance(leaf, Handle) and position not in assumed.pinned:
                if id(leaf) not in handles:
                    handles[id(leaf)] = self._tensor(
                        leaf, position, position in assumed.exact, dims.get(position, {}), cells
                    )
                self.values[position] = handles[id(leaf)]

    def _tensor(
        self, leaf: Any, position: int, exact: bool, dims: dict[int, Dim], cells: dict[int, Cell]
    ) -> Any:
        real = leaf._cell if exact else None
        if real is None or id(real) not in cells:
            actual = leaf.node.type if real is None else real._node.type
            shape: Any = tuple(dims.get(i, s) for i, s in enumerate(actual.shape))
            holder = Node(
                ops.input, (), (len(self.holders),), tensor_type(shape, actual.dtype, actual.device)
            )
            self.holders.append(holder)
            self.sources[id(holder)] = ("argument" if real is None else "cell", position)
        if real is None:
            made = wrap(holder)
        else:
            if id(real) not in cells:
                cells[id(real)] = Cell(holder)
            made = wrap(None)  # type: ignore[arg-type]
            made._cell, view = cells[id(real)], leaf._view
            if view is not None:
                made._view = View(view.steps, None, 0, None, view.strides, view.offset, view.origin)  # type: ignore[arg-type]
            self.made.append(ref(made._cell))
        if leaf.__class__ is not made.__class__:
            _become(made, leaf.__class__)
        edge = leaf.edge
        if edge.__class__ is Leaf:
            made._edge = edge
            self.leaves[id(edge)] = position
        elif edge is not None:
            made._edge = Leaf(leaf.node.type)
            self.foreign.append((made._edge, position))
        self.made.append(ref(made))
        return made


    def sizes(self, leaves: list) -> dict[str, int]:
        """The value of each symbol, for the arguments that these stand in for."""
        return {size.symbol.name: leaves[position].shape[dim] for (position, dim), size in self.dims}


def _become(made: Any, cls: type) -> None:
    try:
        made.__class__ = cls
    except TypeError:  # a subclass with slots of its own
        return


class ArgumentReader:
    """Gives one of the flat arguments."""

    __slots__ = ("position",)

    def __init__(self, position: int):
        self.position = position

    def __call__(self, leaves: list) -> Any:
        return leaves[self.position]


def sharing(leaves: list, storage: bool) -> tuple | None:
    """Which Tensors among flat arguments are one object (with `storage`: share storage), as a pattern; None
    when none do."""
    keys = [id(v) if v._cell is None or not storage else id(v._cell) for v in leaves if isinstance(v, Handle)]
    if len(set(keys)) == len(keys):
        return None
    objects: dict[int, int] = {}
    storages: dict[int, int] = {}
    return tuple(
        (objects.setdefault(id(leaf), i), storages.setdefault(key, i))
        for i, (leaf, key) in enumerate(zip((v for v in leaves if isinstance(v, Handle)), keys, strict=True))
    )


def sharing_positions(leaves: list) -> frozenset[int]:
    """Positions of different Tensors that share storage with another argument."""
    owners: dict[int, set[int]] = {}
    positions: dict[int, list[int]] = {}
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, Handle) and leaf._cell is not None:
            owners.setdefault(id(leaf._cell), set()).add(id(leaf))
            positions.setdefault(id(leaf._cell), []).append(position)
    return frozenset(p for cell, handles in owners.items() if len(handles) > 1 for p in positions[cell])


class _Tensor(NamedTuple):
    """What a Tensor argument must be."""

    cls: type
    type: TensorType
    symbolic: bool
    plain: bool  # its buffer is row-major
    edge: Any  # None, Leaf, or "history"
    steps: Any  # of an exact view
    pinned: Any


class Arguments:
    """The check that flat arguments fit a program.

    Args:
        leaves: at capture. assumed: what else was taken for granted. stand_ins: the placeholders of that
        capture.
    """

    def __init__(self, leaves: list, assumed: Assumed, stand_ins: StandIns):
        self.assumed = assumed
        self.writes = False
        self.sharing = sharing(leaves, False)
        self.specs = [self._spec(i, leaf, stand_ins) for i, leaf in enumerate(leaves)]
        self.tensors = [i for i, s in enumerate(self.specs) if s.__class__ is _Tensor]
        self.outside: frozenset[int] = frozenset()
        self.decided: tuple = ()  # what the function asked of symbolic sizes, `deciding.Decision`s

    def guard_sharing(self, leaves: list, writes: bool, outside: frozenset[int]) -> None:
        """Guard what matters once something is written.

        Args:
            writes: the program writes to arguments. outside: ids of Tensors and cells beside the arguments,
            when it writes at all.
        """
        self.writes, self.outside = writes, outside
        self.sharing = sharing(leaves, writes)

    def _spec(self, position: int, leaf: Any, stand_ins: StandIns) -> Any:
        if not isinstance(leaf, Handle):
            return (leaf.__class__, None) if position in self.assumed.varying else (None, _kept(leaf))
        node = leaf.node
        shape = list(node.type.shape)
        for (where, dim), size in self.assumed.dims:
            if where == position:
                shape[dim] = size
        type = tensor_type(tuple(shape), node.type.dtype, node.type.device)
        steps = steps_key(leaf._view) if position in self.assumed.exact else None
        symbolic = any(isinstance(s, Dim) for s in shape)
        pinned = leaf if position in self.assumed.pinned else None
        return _Tensor(
            leaf.__class__,
            type,
            symbolic,
            node.buffer is None or node.buffer.strides is None,
            _edge_kind(leaf),
            steps,
            pinned,
        )

    def fit(self, leaves: list) -> Any:
        """False, or what the symbols are: a map from name to size, empty when there are none."""
        sizes: dict[str, int] = {}
        for leaf, spec in zip(leaves, self.specs, strict=True):
            if spec.__class__ is not _Tensor:
                cls, value = spec
                if (leaf.__class__ is not cls) if cls is not None else not fits(leaf, value):
                    return False
                continue
            cls, type, symbolic, plain, edge, steps, pinned = spec
            if leaf.__class__ is not cls:
                return False
            node = leaf._node if leaf._cell is None else leaf.node
            actual = node.type
            if actual is not type and not (solve(type, actual, sizes) if symbolic else actual == type):
                return False
            buffer = node.buffer
            if (buffer is None or buffer.strides is None) is not plain or _edge_kind(leaf) != edge:
                return False
            if pinned is not None and leaf is not pinned:
                return False
            if steps is not None and steps != steps_key(leaf._view):
                return False
        if len(self.tensors) > 1 and sharing(leaves, self.writes) != self.sharing:
            return False
        if self.decided and not all(decision.holds(sizes) for decision in self.decided):
            return False
        return False if self.outside and self._meets_outside(leaves) else sizes

    def _meets_outside(self, leaves: list) -> bool:
        outside, pinned = self.outside, self.assumed.pinned
        for position in self.tensors:
            leaf = leaves[position]
            if (
                id(leaf) in outside or (leaf._cell is not None and id(leaf._cell) in outside)
            ) and position not in pinned:
                return True
        return False


def _edge_kind(leaf: Any) -> Any:
    edge = leaf._edge if leaf._view is None else leaf.edge
    return None if edge is None else Leaf if edge.__class__ is Leaf else "history"


def steps_key(view: Any) -> Any:
    """The steps of a view, comparable."""
    if view is None:
        return ()
    return tuple((op.name, attrs, tuple(n.buffer for n in extra)) for op, attrs, extra in view.steps)


def solve(type: TensorType, actual: TensorType, sizes: dict[str, int]) -> bool:
    """Whether a type with symbols describes an actual one; fills in their values."""
    if type.dtype is not actual.dtype or len(type.shape) != len(actual.shape) or type.device != actual.device:
        return False
    size: Any
    now: Any
    for size, now in zip(type.shape, actual.shape, strict=True):
        if size.__class__ is int:
            if size != now:
                return False
            continue
        symbol = size.symbol
        if now < symbol.minimum or (symbol.maximum is not None and now > symbol.maximum):
            return False
        if sizes.setdefault(symbol.name, now) != now:
            return False
    return True


def _kept(leaf: Any) -> Any:
    if isinstance(leaf, set):
        return set(leaf)
    numpy = sys.modules.get("numpy")
    return leaf.copy() if numpy is not None and isinstance(leaf, numpy.ndarray) else leaf


def fits(leaf: Any, value: Any) -> bool:
    """Whether an argument that is no Tensor is the one a program was captured with."""
    if leaf is value or same_value(leaf, value):
        return True
    if leaf.__class__ is not value.__class__ or is_plain(leaf):
        return False
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return same_array(numpy.asarray(leaf), numpy.asarray(value))
    if isinstance(leaf, (set, frozenset, slice, range)):
        return bool(leaf == value)
    if leaf.__class__.__hash__ in (None, object.__hash__):
        return False
    return bool(leaf == value)
