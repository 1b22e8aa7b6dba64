"""Plans as data: what the compiler hands to a backend and the engine runs.

A `Plan` is a list of steps over numbered buffer slots, with sizes as expressions over the graph's symbols. It holds no
Nodes, no closures and no addresses, so it can be kept, compared and exported. The engine builds each step's
program with a backend, binds slots to memory and hands the whole list to the native runner; nothing in Python runs
between kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from squall.base.dim import Dim
from squall.base.dtypes import DType
from squall.base.shapes import Shape
from squall.ir.unwritten import AnyProgram

Size = int | Dim
GRAIN_CYCLES = 20_000  # work worth handing to another thread


class Slot(NamedTuple):
    """A piece of memory: `kind` is "input" (index: position among the graph's leaves that hold buffers), "output"
    (index: position among the roots), "arena" (at `offset` in it), or "lent" (at `offset` from result number `index`,
    in the block that some results share). `nbytes` may be symbolic.
    """

    kind: str
    index: int
    nbytes: Size
    offset: Size = 0


class Word(NamedTuple):
    """One word of a kernel's args block. `kind`:

    "slot": address of slot `value` plus `offset` bytes. "int": the size expression `value`. "float": the double
    `value`. "scalar": the run-time scalar number `value` (as f64 for floating leaves, i64 otherwise; `offset` unused).
    "stride": the element stride of input `value`, dimension `offset` (run-time, for inputs of general layout).
    "kernel": the address of the program `value` (a program). "status": the plan's status block.
    """

    kind: str
    value: Any
    offset: Size = 0


class KernelStep(NamedTuple):
    """Run a program's entry over `units` work units, at least `grain` of them at a time; `key` names equal
    programs equally. `cycles` is what a unit is thought to take (0: unknown); a `grain` of 0 follows from it.
    """

    key: Any
    program: AnyProgram
    words: tuple[Word, ...]
    units: Size
    grain: Size = 1
    label: str = ""
    scratch_bytes: Size = 0  # beyond what the program itself declares
    checks: bool = False  # whether it may write the status word
    cycles: Size = 0


class ContractStep(NamedTuple):
    """A contraction whose kernel call is laid out once its extents are known: `contraction` is the nest's data with
    size expressions, `operands` the Words of A, B and C. The engine asks the compiler to resolve it for given sizes.

    `beside` is what it may use beside vectors (`contract.beside_vectors`): a part of what fixes its bits, so of the
    plan, whenever and for however many threads it is laid out. With an `epilogue`, finished strips go to that program's
    function, whose args are `words`, and not to C."""

    contraction: Any
    operands: tuple[Word, Word, Word]
    isa: str
    beside: str
    label: str = ""
    epilogue: AnyProgram | None = None
    words: tuple[Word, ...] = ()


class Check(NamedTuple):
    """What a kernel's status code means: an index of `op` outside of a dimension of `size`."""

    op: str
    size: Size


class Link(NamedTuple):
    """Step number `step` makes `rows` rows of `row_bytes` bytes, one after the other, where the word `written` points
    to. The step after it reads them row by row, as its first operand, by the word `read`; nobody else does."""

    step: int
    written: Word
    read: Word
    rows: Size
    row_bytes: Size


class HostStep(NamedTuple):
    """Call a library function on NumPy views of slots; it writes its results into the output slots."""

    function: Any
    inputs: tuple[tuple[int, Shape, DType], ...]
    outputs: tuple[tuple[int, Shape, DType], ...]
    attributes: tuple = ()
    label: str = ""


class Moving(NamedTuple):
    """A word of a loop's plan, from step to step. `kind`:

    "step": `word`, and `move` bytes more with each step. "chain": `word` for the first step, then what word number
    `move` of the plan was in the step before. "turns": `word` in the first step, the Word `move` in the second, and
    so on.
    """

    kind: str
    word: Word
    move: Any = 0


class Carried(NamedTuple):
    """A carry that somebody reads, or that stays in place: once the loop is done, `nbytes` bytes at `final` are those
    that word number `after` of the loop's plan pointed to last, or those at `first` when there was no step. `after` of
    -1: they are copied from `first` before the first step."""

    final: Word
    first: Word
    after: int
    nbytes: Size


class LoopStep(NamedTuple):
    """Run a plan again and again: `count` times (None: no limit), or while the bool that word number `going` points to
    holds, if that is not -1. `words` are those of the plan's inputs and outputs; `arena` its arena, `scalars` its
    scalars."""

    plan: Any
    count: Size | None
    words: tuple[Moving, ...]
    arena: Word
    scalars: tuple[Word, ...]
    carried: tuple[Carried, ...]
    going: int = -1
    label: str = ""
    checks: bool = False


class ChooseStep(NamedTuple):
    """Run the first of two plans if the bool at `predicate` holds, else the second. `words` are those of their inputs
    and outputs, which are alike."""

    predicate: Word
    plans: tuple[Any, Any]
    words: tuple[Word, ...]
    arena: Word
    scalars: tuple[Word, ...]
    label: str = ""
    checks: bool = False


class Input(NamedTuple):
    """A leaf that holds a buffer: its shape, dtype, and whether the plan expects row-major layout or takes any strides,
    but for the one of dimension `dense`, which is 1."""

    shape: Shape
    dtype: DType
    contiguous: bool
    dense: int | None = None


class Output(NamedTuple):
    """A root's result: its shape and dtype, the slot that holds it, and element strides (None: row-major) and offset.

    `donor` is the input whose memory the result takes over (in-place update), or None. `place` is where it lies in the
    block that some results share, or None.
    """

    shape: Shape
    dtype: DType
    slot: int
    strides: Shape | None = None
    offset: Size = 0
    donor: int | None = None
    place: int | None = None


class Plan(NamedTuple):
    """Everything needed to run a graph many times. `report` lists fusion decisions and reasons for `explain`.

    `regions` are runs of steps, from one number to before another, none of which waits for another: a runner may take
    each run as one launch, whose parts threads share out by their cycles. An optimizer's update of many parameters is
    one launch over a table of their addresses and sizes. `links` are the steps that a runner may run together with the
    next one, block by block of rows (`compiler/chains.py`). Results with a `place` lie in one block of `shared_bytes`,
    which holds other values before they are written; these are slots of the result at place 0, with offsets.
    """

    inputs: tuple[Input, ...]
    scalars: tuple[DType, ...]
    slots: tuple[Slot, ...]
    steps: tuple[KernelStep | ContractStep | HostStep | LoopStep | ChooseStep, ...]
    outputs: tuple[Output, ...]
    arena_bytes: Size
    report: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()  # what status code 1 + i means
    regions: tuple[tuple[int, int], ...] = ()
    links: tuple[Link, ...] = ()
    shared_bytes: int = 0

    @property
    def launches(self) -> int:
        """How many times kernels are started in one run, each region once."""
        return len(self.steps) - sum(high - low - 1 for low, high in self.regions)


class Request(NamedTuple):
    """What is compiled: root Nodes to evaluate, leaf Nodes that hold buffers and scalars in binding order.

    `donatable[i]`: input i's memory may be overwritten, because nobody can read it after the plan has run.
    `contiguous[i]`: input i's buffer is row-major (otherwise its strides are run-time words).
    `together[i]`: root i may lie in one block of memory with others, so that it lives as long as all of them.
    """

    roots: tuple
    inputs: tuple
    scalars: tuple
    donatable: tuple[bool, ...]
    contiguous: tuple[bool, ...]
    together: tuple[bool, ...] = ()
