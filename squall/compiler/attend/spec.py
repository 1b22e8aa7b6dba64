"""What the attention kernels are keyed on, and the one place that says which word of their args means what."""

from __future__ import annotations

from typing import NamedTuple

from squall.compiler.attend.tiles import COMPUTE
from squall.ir.linear import I64, PTR, Builder, Reg, Type


class Flex(NamedTuple):
    """What a user's functions do to scores, as programs whose steps name dtypes in short.

    score: of one score, or (). change: its gradient. keep: whether a score counts, or (). listed: whether blocks of
    keys are listed. captured: dtype and number of dimensions of each tensor the programs read.
    """

    score: tuple
    change: tuple
    keep: tuple
    listed: bool
    captured: tuple[tuple[str, int], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The words of captured tensors: address, then size and stride of each dimension."""
        made: list[str] = []
        for i, (_, rank) in enumerate(self.captured):
            made += [f"captured{i}", *(f"captured{i}_{w}{d}" for d in range(rank) for w in ("size", "stride"))]
        return tuple(made)


class AttentionSpec(NamedTuple):
    """The key of an attention kernel: everything its code depends on. No extent and no stride is among it.

    role: "forward", "few" (forward of few queries) and "combine" after it, or "backward"; stored: dtype of the
    operands; isa: a name in `nest.ISAS`; lead: how many leading dimensions; causal; mask: dtype of the mask or "";
    dropout: whether weights are dropped; flex: what else happens to scores; tiles: whether products of "forward" or
    "backward" are summed by matrix tiles.
    """

    role: str
    stored: str
    isa: str
    lead: int
    causal: bool
    mask: str
    dropout: bool
    flex: Flex | None = None
    tiles: bool = False

    @property
    def scalar(self) -> str:
        """What is computed in."""
        return COMPUTE[self.stored]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors whose strides are words, in order."""
        mask = ("mask",) if self.mask else ()
        if self.role == "combine":
            return ("out",)
        if self.role in ("forward", "few"):
            return ("q", "k", "v", "out", *mask)
        return ("q", "k", "v", "out", "g", "gq", "gk", "gv", *mask)

    @property
    def names(self) -> tuple[str, ...]:
        """The words: sizes and numbers, then for each tensor its address, the strides of rows and of features, and
        one for each leading dimension. `lse` is dense."""
        made = ["queries", "keys", "features", "width", "scale", "lse"]
        made += ["group"] if self.tiles and self.role == "forward" else []
        made += ["seed", "offset", "threshold", "factor"] if self.dropout else []
        made += ["partial"] if self.role in ("few", "combine") else []
        made += [f"extent{d}" for d in range(self.lead)]
        if self.flex:
            made += ["listed", "listed_batch", "listed_head", "listed_row"] if self.flex.listed else []
            made += ["heads", *self.flex.names]
        for tensor in self.tensors:
            made += [tensor, f"{tensor}_row", f"{tensor}_step", *(f"{tensor}_lead{d}" for d in range(self.lead))]
        return tuple(made)


class Words:
    """A kernel's args as registers, each loaded once at the kernel's start."""

    def __init__(self, b: Builder, spec: AttentionSpec):
        pointers, real = {*spec.tensors, "lse", "seed", "offset", "listed", "partial"}, Type(spec.scalar)
        pointers.update(f"captured{i}" for i in range(len(spec.flex.captured) if spec.flex else 0))
        kinds = dict.fromkeys(pointers, PTR) | {"scale": real, "factor": real}
        self.held = {n: b.argument(i, kinds.get(n, I64)) for i, n in enumerate(spec.names)}
        self.spec, self.builder = spec, b
        if spec.dropout:  # numbers of the run, in memory
            self.held.update({n: b.load(I64, self.held[n]) for n in ("seed", "offset")})

    def __getitem__(self, name: str) -> Reg:
        return self.held[name]

    def leads(self, index: Reg) -> dict[str, Reg]:
        """Each tensor's address at a flat leading index."""
        b, rest, spec = self.builder, index, self.spec
        totals = dict.fromkeys(spec.tensors, b.int(0))
        for d in reversed(range(spec.lead)):
            position = rest
            if d:
                quotient = b.op("div", rest, self[f"extent{d}"])
                position, rest = b.sub(rest, b.mul(quotient, self[f"extent{d}"])), quotient
            for t in totals:
                totals[t] = b.add(totals[t], b.mul(position, self[f"{t}_lead{d}"]))
        return {t: b.gep(self[t], total, self.stored(t)) for t, total in totals.items()}

    def stored(self, tensor: str) -> str:
        """The dtype of a tensor's elements: the result and its gradient are in what is computed in."""
        if tensor == "mask":
            return self.spec.mask
        return self.spec.scalar if tensor in ("out", "g") else self.spec.stored

    def row(self, tensor: str, start: Reg, index: Reg) -> Reg:
        """The address of a row of a tensor."""
        return self.builder.gep(start, self.builder.mul(index, self[f"{tensor}_row"]), self.stored(tensor))


class Scratch:
    """Hands out stretches of a thread's workspace."""

    def __init__(self, b: Builder, scalar: str):
        self.b, self.scalar, self.at = b, scalar, b.scratch

    def take(self, *sizes: Reg | int) -> Reg:
        """The address of so many elements (the product of the sizes, of which one is a multiple of a line)."""
        found, total = self.at, None
        for size in sizes:
            size = self.b.int(size) if isinstance(size, int) else size
            total = size if total is None else self.b.mul(total, size)
        self.at = self.b.gep(self.at, total, self.scalar)
        return found


def rounded(b: Builder, size: Reg, by: int) -> Reg:
    """A size rounded up to a multiple of a power of two."""
    return b.op("and", b.add(size, b.int(by - 1)), b.int(-by))
