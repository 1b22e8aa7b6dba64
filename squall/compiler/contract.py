"""Contractions: from an equation over strided views to the nest's data, and to a kernel call once sizes are known."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from squall.base import config
from squall.base.dim import evaluate
from squall.compiler import nest, tuned
from squall.compiler.nest.arguments import GENERAL, IN_PLACE, TINY, WORDS
from squall.compiler.nest.isa import ISAS
from squall.compiler.nest.tile_choose import role_for
from squall.compiler.nest.variants import Asked
from squall.compiler.pull import Home
from squall.ir.node import Node
from squall.ir.plan import ContractStep, KernelStep, Word
from squall.runtime import matrix_tiles
from squall.runtime.native import native

EPILOGUE_AT = WORDS["epilogue_at"]


def is_exchanged(node: Node) -> bool:
    """Whether the nest's A is the second operand: where a triangle is told by that one's letter."""
    (left, right, out), triangle = _letters(node.attrs[0]), node.attrs[1]
    kinds = [_kind(c, left, right, out) for c in triangle]
    return "n" in kinds and kinds != ["m", "n"]


def _kind(letter: str, left: str, right: str, out: str) -> str:
    missing = letter not in out, letter not in right, letter not in left
    return {(False, False, False): "batch", (True, False, False): "k", (False, True, False): "m"}.get(missing, "n")


def contraction_of(node: Node, a: Home, b: Home, c: Home) -> nest.Contraction:
    """The nest's data; extents and strides may be symbolic. Summed letters keep their order in the first operand.

    Arguments: the node, the views of its operands (exchanged if `is_exchanged`) and of its result.
    """
    (left, right, out), triangle = _letters(node.attrs[0]), node.attrs[1]
    x, y = node.inputs
    short = x.dtype.short
    if is_exchanged(node):
        left, right, x, y = right, left, y, x
    dims = []
    for letter in dict.fromkeys(out + left + right):
        sides = [(left, x, a), (right, y, b), (out, node, c)]
        found = [(n.shape[s.index(letter)], h.strides[s.index(letter)]) if letter in s else None for s, n, h in sides]
        extent = next(f[0] for f in found if f is not None)
        kind = _kind(letter, left, right, out)
        dims.append(nest.Dimension(kind, extent, *(0 if f is None else f[1] for f in found)))
    kinds = [_kind(c, left, right, out) for c in triangle]
    named = "" if not kinds else f"{kinds[1]}<=m" if kinds[0] == "m" else f"{kinds[0]}>=m"
    return nest.Contraction(short, nest.ACCUMULATE[short], tuple(dims), node.dtype.short, named)


def _letters(equation: str) -> tuple[str, str, str]:
    operands, _, out = equation.partition("->")
    a, _, b = operands.partition(",")
    return a, b, out


def _planned(contraction: nest.Contraction, isa: str, threads: int, epilogue: bool, tiles: str,
             prepacked: bool = False) -> nest.NestPlan:
    return _planned_in(contraction, isa, threads, epilogue, tiles, prepacked, tuned.epoch())


@lru_cache(maxsize=4096)
def _planned_in(contraction: nest.Contraction, isa: str, threads: int, epilogue: bool, tiles: str, prepacked: bool,
                epoch: int) -> nest.NestPlan:
    choice = None if role_for(contraction, tiles) else tuned.choice_of(
        Asked(contraction, isa, threads, epilogue, prepacked))
    if choice is not None:
        return nest.assemble(contraction, ISAS[choice.isa], choice)
    return nest.plan(contraction, isa, threads, epilogue, prepacked, swapped=False if epilogue else None, tiles=tiles)


def asked_of(step: ContractStep, sizes: dict[str, int], prepacked: bool = False) -> Asked | None:
    """What of a step can be timed; None for products on matrix tiles or dots, which know one way."""
    contraction = _concrete(step, sizes)
    if role_for(contraction, step.beside):
        return None
    return Asked(contraction, step.isa, native().state()["threads"], step.epilogue is not None, prepacked)


def beside_vectors(isa: str) -> str:
    """What plans for an instruction set use beside vectors: "tiles" where the machine has them and the `isa` knob does
    not name the set, else "dots", or those of bytes, where it has them, else "". Integers have the same bits by all of
    them, bfloat16 by all but tiles."""
    if isa != "avx512":
        return ""
    if not config.get("isa") and matrix_tiles.granted():
        return nest.TILES
    return nest.DOTS if matrix_tiles.adds_pairs_fast() else nest.BYTES_ONLY if matrix_tiles.adds_bytes() else ""


def _cycles(contraction: nest.Contraction, isa: str) -> int:
    """About what all multiply-adds of a contraction take."""
    return prod(d.extent for d in contraction.dims) // (2 * ISAS[isa].lanes(contraction.accumulate))


def _concrete(step: ContractStep, sizes: dict[str, int]) -> nest.Contraction:
    """The contraction of a step for given sizes."""
    dims = tuple(nest.Dimension(d.kind, *(evaluate(n, sizes) for n in d[1:])) for d in step.contraction.dims)
    return step.contraction._replace(dims=dims)


class Packing(NamedTuple):
    """How the second operand of a contraction is packed once for many runs.

    `call`: the kernel, whose words name the operand "b" and the memory "packed" as Words of kind "name"; `nbytes` of
    that memory; `form`: what it holds, by what it was made of: equal forms of one operand are the same bytes.
    """

    call: KernelStep
    nbytes: int
    form: tuple


def packing(step: ContractStep, sizes: dict[str, int]) -> Packing | None:
    """How the second operand of a contraction is packed once for many runs, where that is worth it, else None."""
    contraction, threads = _concrete(step, sizes), native().state()["threads"]
    tiles, epilogue = step.beside, step.epilogue is not None
    if contraction.triangle:
        return None
    plain = _planned(contraction, step.isa, threads, epilogue, tiles)
    if plain.steps[0].words[WORDS["path"]] == TINY:  # three plain loops: nothing reads a packed form
        return None
    now = plain.choice
    kept = _planned(contraction, step.isa, threads, epilogue, tiles, True).choice
    if kept.cycles >= now.cycles or (now.b_mode == IN_PLACE and not now.oriented.swapped):  # streams as well as packed
        return None
    if role_for(contraction, tiles):
        planned = nest.plan(contraction, step.isa, 1, pack_first=True, tiles=tiles)
    else:
        planned = nest.assemble(contraction, ISAS[kept.isa or step.isa], kept, pack_first=True)
    made, groups = planned.steps[0], planned.choice.oriented.groups
    words = tuple(Word("name", w) if isinstance(w, str) else Word("int", w) for w in made.words)
    call = KernelStep(made.library, nest.program(made.library), words, made.units, made.grain, "pack",
                      made.scratch_bytes)
    dims = tuple((d.kind, d.extent, d.b_stride) for kind in ("batch", "n", "k") for d in groups[kind])
    form = made.library._replace(result=""), planned.choice.block_depth, dims
    return Packing(call, planned.workspace_bytes, form)


def split_key() -> tuple[int, int]:
    """What the split of contractions into units depends on besides the contraction."""
    return native().state()["threads"], tuned.epoch()


def _by_rows(planned: nest.NestPlan, contraction: nest.Contraction, isa: str, rows: int) -> nest.NestPlan | None:
    """The same plan with a unit for each block of so many rows; None where units are not rows alone."""
    choice = planned.choice
    batch, height, columns = (choice.oriented.extent(kind) for kind in ("batch", "m", "n"))
    made = planned.steps[0]
    role = made.library.role
    plain = len(planned.steps) == 1 and role in ("contract", nest.PARTS) and made.words[WORDS["path"]] == GENERAL
    if not plain or choice.oriented.swapped or batch != 1 or columns > choice.block_columns or choice.sweep_rows:
        return None
    choice = choice._replace(block_rows=rows, units=-(-height // rows))
    if role == nest.PARTS:
        return nest.assemble_tiles(contraction, ISAS[isa], choice, role)
    return nest.assemble(contraction, ISAS[choice.isa or isa], choice)


def resolve(step: ContractStep, sizes: dict[str, int], packed: int = 0, rows: int = 0) -> list[KernelStep]:
    """The kernel calls of a contraction for given sizes; `packed` is the address of its second operand as `packing`
    packs it, if there is that. With `rows`, a unit is to be a block of so many rows; no calls where it cannot be."""
    contraction = _concrete(step, sizes)
    planned = _planned(contraction, step.isa, native().state()["threads"], step.epilogue is not None,
                       step.beside, packed != 0)
    if rows:
        by_rows = _by_rows(planned, contraction, step.isa, rows)
        if by_rows is None:
            return []
        planned = by_rows
    names: dict[str, Word] = dict(zip(("a", "b", "c"), step.operands, strict=True))
    names |= {"epilogue": Word("kernel", step.epilogue), "epilogue_args": Word("int", 0), "packed": Word("int", packed)}
    out = []
    for s in planned.steps:
        words = tuple(names[w] if isinstance(w, str) else Word("int", w) for w in s.words)
        if step.epilogue is not None:
            words = (*words[:EPILOGUE_AT], Word("int", len(words)), *words[EPILOGUE_AT + 1:], *step.words)
        program: Any = nest.program(s.library)
        cycles = _cycles(contraction, step.isa) // max(1, s.units) + 1
        out.append(KernelStep(s.library, program, words, s.units, s.grain, step.label, s.scratch_bytes, cycles=cycles))
    return out
