"""A plan in memory: what the native runner reads, built once and then run any number of times.

`PlanImage` turns steps into the words `native_runner` describes. A run takes a `ValueBlock`: the plan's inputs
(pointers, sizes, scalars) as one block of 8-byte words, filled by a single `pack_into`. The image is read-only after
construction; threads run it at once with a block each.
"""

from __future__ import annotations

import ctypes
import struct
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from squall.base.errors import SquallError
from squall.runtime.native import native
from squall.runtime.native_runner import BINDS_SHIFT, HEADER_WORDS, OUT_OF_SCRATCH, STEP_WORDS, STOP_ON_STATUS


class Bind(NamedTuple):
    """A word known when the plan runs: values[value] + constant, or the constant when `value` is -1.

    Floats travel as the bits of a double: put them in the values, or use `bits_of` for a constant.
    """

    value: int
    constant: int = 0


class Step(NamedTuple):
    """One kernel of a plan.

    Args:
        kernel: address of a function of the kernel ABI. args: its argument words; an int is a constant.
        units: parallel work units. grain: fewest units worth a chunk of their own; more than these run in the pool.
        scratch: bytes of workspace each thread gets.
        stop_on_status: end the plan if the status word is set after this step.
        name, work: for the profiler; `work` is what it says about the step, see `engine/roofline.py`.
    """

    kernel: int
    args: tuple[Bind | int, ...]
    units: Bind | int = 1
    grain: int = 1
    scratch: int = 0
    stop_on_status: bool = False
    name: str = ""
    work: Any = None


class PlanError(SquallError, RuntimeError):
    """A kernel reported a failure through the status word. `step` is its number, `name` its name."""

    def __init__(self, step: int, name: str):
        super().__init__(f"step {step} ({name or 'unnamed'}) reported a failure")
        self.step, self.name = step, name


def bits_of(number: float) -> int:
    """The signed 64-bit integer with the bits of a double."""
    return struct.unpack("<q", struct.pack("<d", number))[0]


class ValueBlock:
    """The values of one run: `count` words at `address`.

    Args:
        count: words. layout: struct codes of the words ("q" or "d" each); all "q" by default.

    Example:
        >>> block = ValueBlock(2, "qd")
        >>> block.fill(3, 0.5)
        >>> block.words[0]
        3
    """

    __slots__ = ("words", "address", "fill_into")

    def __init__(self, count: int, layout: str = ""):
        self.words = (ctypes.c_int64 * max(count, 1))()
        self.address = ctypes.addressof(self.words)
        self.fill_into = struct.Struct("<" + (layout or "q" * count)).pack_into

    def fill(self, *values: float) -> None:
        """Write all words."""
        self.fill_into(self.words, 0, *values)


def _bind(word: Bind | int, count: int) -> tuple[int, int]:
    if isinstance(word, int):
        return -1, _signed(word)
    value, constant = word
    if value >= count:
        raise ValueError(f"a bind reads value {value} of {count}")
    return value, _signed(constant)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


# Every image of the process by its address, for `recording`, which sees addresses of steps.
images: weakref.WeakValueDictionary[int, PlanImage] = weakref.WeakValueDictionary()
keepers: list[list[PlanImage]] = []  # get each image that is made


class PlanImage:
    """Steps laid out for the native runner.

    Args:
        steps: in order of execution. value_count: words of the values block.
        status: where the address of the status word is found; needed when a step stops on it.
        layout: struct codes of the values, see `ValueBlock`.

    Attributes:
        address: of the image. steps: as given. give_block: returns a block for reuse once its run is over.

    Example:
        >>> image = PlanImage([Step(native().fill, (Bind(0), 0, 8, 32), units=4)], 1)
        >>> target = (ctypes.c_int64 * 4)(1, 2, 3, 4)
        >>> image.run([ctypes.addressof(target)])
        >>> target[:]
        [0, 0, 0, 0]
    """

    __slots__ = ("steps", "value_count", "layout", "_words", "address", "_native", "_blocks", "give_block",
                 "__weakref__")

    def __init__(self, steps: Iterable[Step], value_count: int, status: Bind | int | None = None, layout: str = ""):
        self.steps: Sequence[Step] = tuple(steps)
        self.value_count, self.layout = value_count, layout
        if status is None and any(step.stop_on_status for step in self.steps):
            raise ValueError("a step stops on the status word, but the plan has none")
        words = self._layout(status)
        self._words = (ctypes.c_int64 * len(words))(*words)
        self.address = ctypes.addressof(self._words)
        self._native = native()
        self._blocks: list[ValueBlock] = []
        # A method of C: it is called in the chain that no signal handler may enter.
        self.give_block: Callable[[ValueBlock], None] = self._blocks.append
        images[self.address] = self
        for keeper in keepers:
            keeper.append(self)

    def _layout(self, status: Bind | int | None) -> list[int]:
        most = max((len(step.args) for step in self.steps), default=0)
        scratch = max((step.scratch for step in self.steps), default=0)
        words = [len(self.steps), most, scratch, *_bind(0 if status is None else status, self.value_count), 0, 0, 0]
        tail: list[int] = []
        first = HEADER_WORDS + STEP_WORDS * len(self.steps)
        for step in self.steps:
            if step.kernel == 0 or step.grain < 1 or step.scratch < 0:
                raise ValueError(f"step {step.name!r}: kernel {step.kernel:#x}, grain {step.grain}, "
                                 f"scratch {step.scratch}")
            args = [_bind(arg, self.value_count) for arg in step.args]
            binds = [(number, value) for number, (value, _) in enumerate(args) if value >= 0]
            words += (_signed(step.kernel), 8 * (first + len(tail)), len(args))
            words += _bind(step.units, self.value_count)
            flags = STOP_ON_STATUS if step.stop_on_status else 0
            words += (step.grain, step.scratch, len(binds) << BINDS_SHIFT | flags)
            tail += [constant for _, constant in args]
            for bind in binds:
                tail += bind
        return words + tail

    def take_block(self) -> ValueBlock:
        """A values block nobody else uses; give it back with `give_block`."""
        try:
            return self._blocks.pop()
        except IndexError:
            return ValueBlock(self.value_count, self.layout)

    def call(self, block: ValueBlock) -> tuple[Any, int, int]:
        """The run as (C callable, arguments...) for `itertools.starmap(operator.call, ...)`.

        The callable enters no Python code, so in one chain with C-level setters no signal handler runs in between:

            collections.deque(itertools.starmap(operator.call, [image.call(block), (setter, node, buffer)]), maxlen=0)

        It raises a bare IndexError when the plan stopped; ask the status word why.
        """
        return self._native.run, self.address, block.address

    def run(self, values: Sequence[float]) -> None:
        """Run all steps.

        Args:
            values: `value_count` words: addresses, sizes, scalars.

        Raises:
            PlanError: when a step that stops on the status word finds it set.
            MemoryError: when scratch cannot be had.
        """
        block = self.take_block()
        try:
            block.fill(*values)
            self.raise_for(self._native.run_code(self.address, block.address))
        finally:
            self.give_block(block)

    def step_at(self, address: int) -> int:
        """The number of the step whose words are at an address; -1 for the image itself."""
        return (address - self.address - 8 * HEADER_WORDS) // (8 * STEP_WORDS) if address != self.address else -1

    def raise_for(self, code: int) -> None:
        """Raise what a code of the runner means; 0 means nothing."""
        if code == OUT_OF_SCRATCH:
            scratch = max(step.scratch for step in self.steps)
            raise MemoryError(f"cannot allocate {scratch} bytes of workspace for a plan")
        if code:
            raise PlanError(code - 1, self.steps[code - 1].name)
