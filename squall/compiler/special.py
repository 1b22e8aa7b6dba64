"""Tasks that are no fused loops: contractions, scatters, scans, library calls.

Each reads its operands as strided views of memory (`views`) and gives its own steps.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from squall.base.shapes import contiguous_strides
from squall.compiler.attend import attend
from squall.compiler.attend.lowering import BACKWARD, FORWARD
from squall.compiler.contract import beside_vectors, contraction_of, is_exchanged
from squall.compiler.control import CONTROL
from squall.compiler.group import Special
from squall.compiler.lower import sequence_program
from squall.compiler.pull import Home, index_layout
from squall.compiler.sequence import SequenceSpec
from squall.compiler.views import operand
from squall.compiler.work import Memory, Work
from squall.compiler.writing import write
from squall.ir.linear import BYTES
from squall.ir.node import Node
from squall.ir.plan import ContractStep, HostStep, KernelStep, Word


def pointer(view: Home, scalar: str) -> Word:
    """The address of a view's first element."""
    return Word("slot", view.buffer, view.offset * BYTES[scalar])


def contract(work: Work, node: Node) -> None:
    """A contraction through the nest."""
    (a, view_a), (b, view_b) = (operand(work, n) for n in node.inputs)
    home = work.homes[id(node)]
    if is_exchanged(node):
        a, view_a, b, view_b = b, view_b, a, view_a
    short = node.inputs[0].dtype.short
    words = (pointer(view_a, short), pointer(view_b, short), pointer(home, node.dtype.short))
    made = contraction_of(node, view_a, view_b, home)
    step = ContractStep(made, words, work.isa, beside_vectors(work.isa), "contract")  # type: ignore[arg-type]
    work.add(Special("contract", [a, b], [step], {home.buffer}), [node], node)


def _sequence(work: Work, node: Node, kind: str, target: Home, source: tuple[Node, Home], indices: list[tuple],
              free: list[tuple], walked: list[tuple]) -> None:
    """A sequence kernel. `free` and `walked` list (extent, stride of target, of source, of each index); `indices` are
    (node, view, dimension size, target stride)."""
    free = [f for f in free if not (isinstance(f[0], int) and f[0] == 1)]
    inner = free.pop() if free else None
    count = len(indices)
    one = inner or (1, 0, 0, *(0,) * count)
    short, by = node.dtype.short, source[0].dtype.short
    vectors = inner is not None and all(isinstance(n, int) for n in one[:1])
    lanes = work.vector_bytes // max(4, BYTES[short]) if vectors and one[0] >= 4 else 0
    if inner is not None and not lanes:
        free.append(inner)
        one = (1, 0, 0, *(0,) * count)
    moving = tuple(not (isinstance(one[3 + i], int) and one[3 + i] == 0) and lanes > 0 for i in range(count))
    spec = SequenceSpec(kind, short, by, len(free), lanes, len(walked), moving)
    words = [Word("int", f[0]) for f in free] + [Word("int", one[0])] + [Word("int", w[0]) for w in walked]
    streams = [(target, short), (source[1], by), *((view, "i64") for _, view, _, _ in indices)]
    for s, (view, scalar) in enumerate(streams):
        words.append(pointer(view, scalar))
        words += [Word("int", f[1 + s]) for f in free] + [Word("int", one[1 + s])]
        if s or not spec.is_scatter:
            words += [Word("int", w[1 + s]) for w in walked]
    for _, _, size, stride in indices:
        words += [Word("int", size), Word("int", stride), Word("int", work.check(node, size))]
    words.append(Word("status", 0))
    width = max(1, lanes)
    units = prod([f[0] for f in free]) * ((one[0] + (width - 1)) // width)
    step = KernelStep(spec, sequence_program(spec), tuple(words), units, 1, node.op.name, checks=bool(indices))
    task = Special(node.op.name, [source[0], *(n for n, *_ in indices)], [step], {target.buffer})
    task.checks = bool(indices)
    work.add(task, [node], node)
    if work.copies and work.copies[-1][0] is node:
        work.copies[-1][3].append(task)


def scan(work: Work, node: Node) -> None:
    """cumsum, cumprod."""
    base, view = operand(work, node.inputs[0])
    home, shape = work.homes[id(node)], node.shape
    dim = node.attrs[0]
    rows = list(zip(shape, home.strides, view.strides, strict=True))
    free = [r for d, r in enumerate(rows) if d != dim]
    walked = [rows[dim]] if rows else []
    _sequence(work, node, "sum" if node.op.name == "cumsum" else "prod", home, (base, view), [], free, walked)


def _copied(work: Work, node: Node) -> Home:
    home, base = work.homes[id(node)], node.inputs[0]
    copy = write(work, node, base, home)
    if copy is not None and work.home(base) is not None:
        work.copies.append((node, base, copy, []))
    return home


def _is_empty(node: Node) -> bool:
    size = prod(node.shape)
    return isinstance(size, int) and size == 0


def scatter(work: Work, node: Node) -> None:
    """scatter, scatter_add: the index has the source's shape."""
    home = _copied(work, node)
    x, where, source = node.inputs
    if _is_empty(source):
        return
    (i_base, i_view), (s_base, s_view), d = operand(work, where), operand(work, source), node.attrs[0]
    rows = list(zip(source.shape, home.strides, s_view.strides, i_view.strides, strict=True))
    kind = "set" if node.op.name == "scatter" else "add"
    walked = [(rows[d][0], 0, *rows[d][2:])]
    indices = [(i_base, i_view, x.shape[d], home.strides[d])]
    _sequence(work, node, kind, home, (s_base, s_view), indices, [r for e, r in enumerate(rows) if e != d], walked)


def index_add(work: Work, node: Node) -> None:
    """index_add: one index for whole slices."""
    home = _copied(work, node)
    x, where, source = node.inputs
    if _is_empty(source):
        return
    (i_base, i_view), (s_base, s_view), d = operand(work, where), operand(work, source), node.attrs[0]
    rows = [(n, home.strides[e], s_view.strides[e], 0) for e, n in enumerate(source.shape)]
    walked = [(source.shape[d], 0, s_view.strides[d], i_view.strides[0])]
    indices = [(i_base, i_view, x.shape[d], home.strides[d])]
    _sequence(work, node, "add", home, (s_base, s_view), indices, [r for e, r in enumerate(rows) if e != d], walked)


def index_put(work: Work, node: Node) -> None:
    """index_put: several indices that broadcast together."""
    home = _copied(work, node)
    x, value, *where = node.inputs
    dims, accumulate = node.attrs
    if _is_empty(value):
        return
    s_base, s_view = operand(work, value)
    place, rank = index_layout(node)
    common = value.shape[place:place + rank]
    strides, indices = [], []
    for tensor, d in zip(where, dims, strict=True):
        base, view = operand(work, tensor)
        missing = rank - len(tensor.shape)
        strides.append((0,) * missing + tuple(
            0 if isinstance(n, int) and n == 1 else s for n, s in zip(tensor.shape, view.strides, strict=True)))
        indices.append((base, view, x.shape[d], home.strides[d]))
    walked = [(common[k], 0, s_view.strides[place + k], *(s[k] for s in strides)) for k in range(rank)]
    rest = [d for d in range(len(x.shape)) if d not in dims]
    spots = [k for k in range(len(value.shape)) if not place <= k < place + rank]
    still = (0,) * len(dims)
    free = [(x.shape[d], home.strides[d], s_view.strides[k], *still) for d, k in zip(rest, spots, strict=True)]
    _sequence(work, node, "add" if accumulate else "set", home, (s_base, s_view), indices, free, walked)


def pick(work: Work, node: Node) -> None:
    """One result of a library call, loop or choice: its task writes all of them."""
    source = node.inputs[0]
    if id(source) in work.writers:
        work.writers[id(node)] = work.writers[id(source)]
        return
    picks = {n.attrs[0]: n for n in work.kept.values() if n.op.name == "pick" and n.inputs[0] is source}
    _SEVERAL.get(source.op.name, _library)(work, source, [picks.get(i) for i in range(len(source.type))])
    work.writers[id(node)] = work.writers[id(source)]


def library(work: Work, node: Node) -> None:
    """A library call of one result."""
    _library(work, node, [node])


def _row_major(work: Work, node: Node, value: Node) -> Home:
    """A copy, for a library call, of a value that lies in memory in another order."""
    shape = tuple(value.shape)
    work.memories.append(Memory("arena", -1, prod(shape) * value.dtype.itemsize))
    home = Home(len(work.memories) - 1, contiguous_strides(shape))
    write(work, node, value, home)
    return home


def _library(work: Work, node: Node, results: list[Node | None]) -> None:
    reads, views = [], []
    places: set[int] = set()
    for n in node.inputs:
        base, view = operand(work, n) if work.home(n) is not None else (n, work.keep(n))
        if view.offset != 0 or tuple(view.strides) != contiguous_strides(tuple(n.shape)):
            view = _row_major(work, node, n)
            places.add(view.buffer)
        reads.append(base)
        views.append((view.buffer, tuple(n.shape), n.dtype))
    types = node.type if node.type.__class__ is tuple else (node.type,)
    outputs = []
    for result, t in zip(results, types, strict=True):
        if result is not None:
            buffer = work.homes[id(result)].buffer
        else:
            work.memories.append(Memory("arena", -1, prod(t.shape) * t.dtype.itemsize))
            buffer = len(work.memories) - 1
        outputs.append((buffer, tuple(t.shape), t.dtype))
        places.add(buffer)
    attributes = tuple(node.op.named(node.attrs).items())
    step = HostStep(node.op.lowering.function, tuple(views), tuple(outputs), attributes, node.op.name)
    task = Special(node.op.name, reads, [step], places)
    task.stops = True
    work.add(task, [node], node)


_SEVERAL = {**CONTROL, **dict.fromkeys((*FORWARD, *BACKWARD), attend)}
SPECIAL: dict[str, Callable[[Work, Node], None]] = {
    "contract": contract, "cumsum": scan, "cumprod": scan, "scatter": scatter, "scatter_add": scatter,
    "index_add": index_add, "index_put": index_put, "pick": pick, "library": library,
}
