"""What `explain` tells of a plan beyond its report: tiles of contractions, memory and layouts, the code of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from squall.backends.cpu.build import assembly_of
from squall.backends.cpu.table import table_for
from squall.backends.cpu.target import host_target
from squall.backends.ssa_text import write
from squall.base.dim import evaluate
from squall.base.shapes import contiguous_strides
from squall.compiler import nest, tuned
from squall.compiler.contract import asked_of, resolve
from squall.compiler.nest import arguments
from squall.compiler.nest.common import Library
from squall.compiler.nest.isa import ISAS
from squall.compiler.nest.variants import Variant
from squall.engine.roofline import work_of
from squall.ir.plan import ChooseStep, ContractStep, KernelStep, LoopStep, Plan
from squall.ir.unwritten import AnyProgram

_READ = {arguments.IN_PLACE: "in place", arguments.BY_VECTORS: "packed", arguments.BY_TRANSPOSING: "packed, transposed",
         arguments.PREPACKED: "packed beforehand", arguments.STREAMED: "transposed as it is read"}  # fmt: skip
_WRITTEN = {arguments.DIRECT: "in place", arguments.STAGED: "over a stage", arguments.EPILOGUE: "by the epilogue",
            arguments.STAGED_TRANSPOSED: "over a stage, transposed"}  # fmt: skip
_ROLES = {nest.TILES: "matrix tiles", nest.PARTS: "matrix tiles, each number as three of bfloat16,"}


def steps_of(plan: Plan) -> Iterator[tuple[Plan, Any]]:
    """All steps, those of the plans that loops and choices run included, each with its plan."""
    for step in plan.steps:
        yield plan, step
        if isinstance(step, (LoopStep, ChooseStep)):
            for inner in (step.plan,) if isinstance(step, LoopStep) else step.plans:
                yield from steps_of(inner)


def contractions(plan: Plan, sizes: dict[str, int]) -> list[str]:
    """A line for each contraction: rows x columns x depth, the tile, how its operands are read, blocks and units."""
    lines = []
    for owner, step in steps_of(plan):
        if isinstance(step, ContractStep):
            try:
                extents = work_of(owner, step, sizes).sizes
            except KeyError:  # a size of a loop's own
                continue
            parts = [_tiling(made) for made in resolve(step, sizes)]
            how = "; then ".join(parts) + _timed(step, sizes)
            lines.append(f"{step.label} {extents} {step.contraction.dtype}: {how}")
    return lines


def _timed(step: ContractStep, sizes: dict[str, int]) -> str:
    """What `tune` found of a contraction."""
    asked = asked_of(step, sizes)
    winner = None if asked is None else tuned.lookup(asked)
    if winner is None:
        return ""
    return ", tuned" + ("" if winner.variant == Variant() else f" ({winner.gain:.2f} times as fast as untuned)")


def _tiling(made: KernelStep) -> str:
    library = made.key
    units = f"{made.units} unit{'' if made.units == 1 else 's'}"
    if not isinstance(library, Library) or library.role != "contract":
        role = getattr(library, "role", "kernel")
        return f"{_ROLES.get(role, role)} in {units}"
    isa = ISAS[library.isa]

    def word(name: str) -> Any:
        return made.words[arguments.WORDS[name]].value

    return (f"tile {isa.tile.rows}x{isa.columns(library.accumulate)} of {library.isa}, A {_READ[word('a_mode')]}, "
            f"B {_READ[word('b_mode')]}, result {_WRITTEN[word('c_mode')]}, depth in blocks of {word('block_depth')}, "
            f"{units}")  # fmt: skip


def layouts(plan: Plan) -> list[str]:
    """Inputs and results that are not plain row-major arrays."""
    lines = []
    for i, given in enumerate(plan.inputs):
        if not given.contiguous:
            dense = "" if given.dense is None else f", dimension {given.dense} dense"
            lines.append(f"input {i}: any strides{dense}")
    for i, made in enumerate(plan.outputs):
        if made.donor is not None:
            lines.append(f"output {i}: over the memory of input {made.donor}")
        elif made.strides is not None and tuple(made.strides) != tuple(contiguous_strides(made.shape)):
            lines.append(f"output {i}: strides {tuple(made.strides)}")
    return lines


def memory(plan: Plan, sizes: dict[str, int]) -> str:
    """What a run allocates for values in between."""
    pieces = [slot for slot in plan.slots if slot.kind == "arena"]
    if not pieces:
        return "no values in between"
    asked = sum(int(evaluate(slot.nbytes, sizes)) for slot in pieces)
    values = f"{len(pieces)} value{'' if len(pieces) == 1 else 's'} in between"
    text = f"arena of {int(evaluate(plan.arena_bytes, sizes)):,} bytes for {values} of {asked:,} bytes"
    lent = [slot for slot in plan.slots if slot.kind == "lent"]
    if lent:
        nbytes = sum(int(evaluate(slot.nbytes, sizes)) for slot in lent)
        text += f"; {len(lent)} of {nbytes:,} bytes where gradients will be written, in {plan.shared_bytes:,} bytes"
    return text


def programs(plan: Plan, wanted: str = "") -> dict[str, AnyProgram]:
    """Kernels by label, those whose label holds `wanted`; the contraction nest only when it is asked for by name."""
    found: dict[str, AnyProgram] = {}
    seen = set()
    for _, step in steps_of(plan):
        if isinstance(step, KernelStep) and wanted in step.label and step.key not in seen:
            seen.add(step.key)
            found.setdefault(_free(step.label or "kernel", found), step.program)
        elif isinstance(step, ContractStep) and step.epilogue is not None and wanted in step.label:
            if step.epilogue not in seen:
                seen.add(step.epilogue)
                found.setdefault(_free(f"epilogue of {step.label}", found), step.epilogue)
    return found


def _free(label: str, taken: dict[str, AnyProgram]) -> str:
    """A label nobody has."""
    if label not in taken:
        return label
    return next(name for i in range(2, len(taken) + 3) if (name := f"{label} ({i})") not in taken)


def llvm_of(program: AnyProgram) -> str:
    """The LLVM text of a kernel for this machine."""
    target = host_target()
    return write(program, table_for(target.architecture, target.features))


def code_of(program: AnyProgram) -> str:
    """The assembly of a kernel for this machine."""
    return assembly_of(llvm_of(program), (program.entry,))
