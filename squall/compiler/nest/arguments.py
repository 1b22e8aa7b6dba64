"""The args block and the scratch map of the nest's kernels: the one place that says which word means what.

Words 0-5 are pointers, 6-23 integers that shape the loops, 24-41 byte offsets into the thread's scratch, and then the
four groups of dimensions: for each its count and the word its records start at; the records, of `RECORD` words each,
outermost dimension first, follow. An epilogue's own args are where "epilogue_args" points or, if "epilogue_at" is not
0, from that word of this block on. All strides and offsets are in elements.
"""

from __future__ import annotations

from typing import NamedTuple

from squall.ir.linear import I64, PTR, Builder, Reg

MAX_DIMS = 8
RECORD = 5  # extent, stride in a, in b, in c, in packed b

POINTERS = ("a", "b", "c", "packed", "epilogue", "epilogue_args")
INTEGERS = ("depth", "rows", "columns", "block_depth", "block_rows", "block_columns", "a_mode", "b_mode", "c_mode",
            "triangle", "part_columns", "a_step", "a_kept", "epilogue_at", "sweep_rows", "sweep_columns", "path",
            "mirrored")
SCRATCH = ("rows_a", "rows_c", "rows_out", "columns_b", "columns_c", "k_a", "k_b", "k_packed_a", "k_packed_b",
           "runs_a", "runs_b", "rows_packed", "packed_a", "packed_b", "stage", "sums", "sizes_a", "sizes_b")
GROUPS = ("batch", "m", "n", "k")
WORDS = {name: word for word, name in enumerate((*POINTERS, *INTEGERS, *SCRATCH))}
GROUP_WORDS = {name: len(WORDS) + 2 * i for i, name in enumerate(GROUPS)}
FIRST_RECORD = len(WORDS) + 2 * len(GROUPS)
STRIDE_A, STRIDE_B, STRIDE_C, STRIDE_PACKED = 1, 2, 3, 4

# a_mode and b_mode; the last two are for b only: packed by an earlier step, or transposed in registers as it is read
IN_PLACE, BY_VECTORS, BY_TRANSPOSING, PREPACKED, STREAMED = 0, 1, 2, 3, 4
# c_mode: tiles written straight to c, or to the stage, which is then stored along rows, along columns (transposed) or
# handed to the epilogue strip by strip
DIRECT, STAGED, STAGED_TRANSPOSED, EPILOGUE = 0, 1, 2, 3
# path: tables and tiles, or one of those of `quick.py`
GENERAL, ONE_ROW, TINY = 0, 1, 2


class Group(NamedTuple):
    """Where a group of dimensions lies in a kernel's args: its count and its first record."""

    count: Reg
    records: Reg


class Arguments:
    """The args block as a kernel reads it; every word is loaded once, on first use, at the kernel's start.

    Example: `arguments["depth"]`, `arguments.group("m")`, `arguments.scratch("stage")`.
    """

    def __init__(self, b: Builder):
        self.words = {n: b.argument(w, PTR if n in POINTERS else I64) for n, w in WORDS.items()}
        self.groups = {}
        for name, word in GROUP_WORDS.items():
            self.groups[name] = Group(b.argument(word, I64), b.gep(b.args, b.argument(word + 1, I64), "i64"))
        self.tables = {n: b.gep(b.scratch, self.words[n], "i8") for n in SCRATCH}

    def __getitem__(self, name: str) -> Reg:
        return self.words[name]

    def group(self, name: str) -> Group:
        return self.groups[name]

    def scratch(self, name: str) -> Reg:
        return self.tables[name]
