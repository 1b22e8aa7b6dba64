"""The state of one compilation after simplification: buffers, where kept nodes live, checks, tasks."""

from __future__ import annotations

from math import prod
from typing import Any

from squall.base import config
from squall.base.dim import Dim
from squall.base.shapes import contiguous_strides
from squall.compiler.group import Task
from squall.compiler.pull import Home
from squall.ir.node import Node
from squall.ir.plan import Check, Request


class Memory:
    """One buffer: `kind` is "input", "output" or "arena"; `index` its number among inputs or roots."""

    __slots__ = ("kind", "index", "nbytes")

    def __init__(self, kind: str, index: int, nbytes: Any):
        self.kind, self.index, self.nbytes = kind, index, nbytes


def stride_symbol(number: int, d: int) -> str:
    """The name of the symbol that stands for a run-time stride of an input."""
    return f"@{number}.{d}"


def dense_dim(node: Node) -> int | None:
    """The dimension along which a leaf of general layout lies dense (stride 1), the last one if several; None if none.
    It is structure: kernels read vectors along it. All other strides are run-time numbers."""
    strides = None if node.buffer is None else getattr(node.buffer, "strides", None)
    found = [d for d, s in enumerate(strides or ()) if s == 1]
    return found[-1] if found else None


class Work:
    """What the stages after `simplify` share.

    Attributes:
        order: nodes, operands first. roots: as requested. memories: buffers by number. homes: places of kept nodes
        and leaves. tasks: in order. writers: the tasks that must have run before a kept node may be read.
        report: lines of text for `explain`. stuck: the node behind the last Unfit. copies: for each update its
        node, base, the task that copies the base, and those that write. joined: buffers that became another;
        latest: the newest value of such memory. dense: of inputs of general layout, see `dense_dim`.
        parts: for a node that lies inside the buffer of others, those: their readers wait for it. placed: of
        those nodes (by id), the operands (by number) that need no copy. late: nodes (by id) that are made anew only
        when another may be read, see `remake`.
    """

    def __init__(self, request: Request, roots: list[Node], order: list[Node], inputs: list[Node], vector_bytes: int,
                 isa: str):
        self.request, self.roots, self.order, self.inputs = request, roots, order, inputs
        self.vector_bytes, self.isa = vector_bytes, isa
        self.fuse = config.get("fuse")
        self.position = {id(n): i for i, n in enumerate(order)}
        self.scalars = {id(n): i for i, n in enumerate(request.scalars)}
        self.memories: list[Memory] = []
        self.homes: dict[int, Home] = {}
        self.kept: dict[int, Node] = {}
        self.tasks: list[Task] = []
        self.writers: dict[int, list[Task]] = {}
        self.checks: list[Check] = []
        self.check_numbers: dict[tuple, int] = {}
        self.report: list[str] = []
        self.stuck: Node | None = None
        self.copies: list[tuple[Node, Node, Task, list[Task]]] = []
        self.joined: dict[int, int] = {}
        self.latest: dict[int, Node] = {}
        self.dense: dict[int, int | None] = {}
        self.parts: dict[int, list[Node]] = {}
        self.placed: set[tuple[int, int]] = set()
        self.late: dict[int, tuple[Node, Node]] = {}
        self.root_ids = {id(n) for n in roots}
        self.compile: Any = None  # makes the plan of a request for a graph that a node carries
        self.nested = False  # whether this is such a graph: what it may overwrite is no memory of the user's
        for number, node in enumerate(inputs):
            self._place_input(number, node)

    def _place_input(self, number: int, node: Node) -> None:
        shape = tuple(node.shape)
        strides: tuple = contiguous_strides(shape)
        if not self.request.contiguous[number]:
            dense = self.dense[number] = dense_dim(self.request.inputs[number])
            strides = tuple(1 if d == dense else Dim(stride_symbol(number, d)) for d in range(len(shape)))
            if self.request.inputs[number].dtype.category == 3:  # its strides count pairs
                strides = (*(2 * s for s in strides[:-1]), 1)
        self.memories.append(Memory("input", number, prod(shape) * node.dtype.itemsize))
        self.homes[id(node)] = Home(number, strides)

    def home(self, node: Node) -> Home | None:
        """Where a kept node or leaf lies, or None."""
        return self.homes.get(id(node))

    def check(self, node: Node, size: Any) -> int:
        """The status code of an index op's range check."""
        key = (node.op.name, size)
        code = self.check_numbers.get(key)
        if code is None:
            self.checks.append(Check(node.op.name, size))
            code = self.check_numbers[key] = len(self.checks)
        return code

    def allocate(self, node: Node) -> Home:
        """A fresh row-major buffer for a node's value."""
        shape = tuple(node.shape)
        self.memories.append(Memory("arena", -1, prod(shape) * node.dtype.itemsize))
        return Home(len(self.memories) - 1, contiguous_strides(shape))

    def keep(self, node: Node, home: Home | None = None) -> Home:
        """Decide that a node's value is kept in memory."""
        found = self.homes.get(id(node))
        if found is None:
            found = self.homes[id(node)] = home or self.allocate(node)
            self.kept[id(node)] = node
        return found

    def add(self, task: Task, nodes: list[Node], writes: Node) -> None:
        """Register a task that takes part in writing a kept node; `nodes` give its place in the order."""
        places = [self.position[id(n)] for n in nodes if id(n) in self.position] or [self.position[id(writes)]]
        task.first, task.last = min(places), max(places)
        earlier = self.writers.setdefault(id(writes), [])
        if writes.op.name != "concat":  # whose parts lie side by side
            task.after.extend(earlier)
        earlier.append(task)
        self.tasks.append(task)

    def join(self, buffer: int, other: int) -> None:
        """Make a buffer the same memory as another."""
        self.joined[self.joint(buffer)] = self.joint(other)

    def joint(self, buffer: int) -> int:
        """The buffer whose memory a buffer shares."""
        while buffer in self.joined:
            buffer = self.joined[buffer]
        return buffer

    def note(self, text: str) -> None:
        """A line for the report."""
        self.report.append(text)


