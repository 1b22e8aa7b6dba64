"""What random programs are written with: the kinds of lines `tools/fuzz_programs.py` draws, as text.

A line is drawn for the values that stand when it is drawn (`Writer.names`), so most lines are right; some are wrong
on purpose, and a program goes on behind them. Lines only use what PyTorch and squall have in common and what both
promise: no overlapping writes, no reshaping of what lies otherwise in memory, no reading of uninitialised values.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (0, 1, 1, 2, 3, 3, 4, 5)
FLOATS = ("float32", "float64", "float64")
WHOLE = ("int64", "int32", "uint8")



def tables(text: str) -> dict[str, tuple[str, ...]]:
    """The sections of `program_lines.txt`."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            inside = found.setdefault(line[1 : line.index("]")], [])
        elif line and not line.startswith("#"):
            inside.append(line.replace(r"\n", "\n"))
    return {name: tuple(lines) for name, lines in found.items()}


TABLES = tables(Path(__file__).with_name("program_lines.txt").read_text())


class Writer:
    """Draws lines for a program that runs while it is written.

    Args:
        values: the program's names and values, as they stand.
        rng: what is drawn with.
        of: tells a library's Tensors; `memory` gives something equal for Tensors that share memory.
    """

    def __init__(self, values: dict, rng: random.Random, of: type, memory: Callable[[Any], Any]):
        self.values, self.rng, self.of, self.memory, self.count = values, rng, of, memory, 0

    def names(self, fits: Callable[[Any], bool]) -> list[str]:
        """Names of Tensors that fit."""
        return [n for n, v in self.values.items() if n[0] == "v" and isinstance(v, self.of) and usable(v) and fits(v)]

    def kind(self, letter: str) -> list[str]:
        """Names that begin with a letter and go on with a number."""
        return [n for n in self.values if n[0] == letter and n[1:].isdigit()]

    def new(self, letter: str = "v") -> str:
        """A name; mostly one that is not in use."""
        known = self.kind(letter)
        if len(known) > 14 or (known and self.rng.random() < 0.15):
            return self.rng.choice(known)
        self.count += 1
        return f"{letter}{self.count}"

    def pick(self, fits: Callable[[Any], bool] = lambda t: True) -> str | None:
        """A name of a Tensor that fits, rather a late one."""
        known = self.names(fits)
        return self.rng.choice(known[-4:] if self.rng.random() < 0.4 else known) if known else None

    def beside(self, a: str) -> str:
        """What can be broadcast to a Tensor and does not share its memory; a copy if it does."""
        shape = tuple(self.values[a].shape)
        b = self.pick(lambda t: fits(tuple(t.shape), shape)) or a
        if not is_float(self.values[a]):
            return f"{b}.detach().clone()"  # whole numbers have no history in squall, whatever was written to them
        shares = self.memory(self.values[a]) == self.memory(self.values[b])
        return f"{b}.clone()" if shares else b

    def fill(self, pattern: str, a: str, /, **more: str) -> str:
        """A pattern with a Tensor and numbers put in."""
        t, draw = self.values[a], self.rng
        dims, rows, columns = t.dim(), (t.shape[0] if t.dim() else 1), (t.shape[-1] if t.dim() else 1)
        numbers = {
            "a": a,
            "d": str(draw.randrange(-dims, dims) if dims else 0),
            "i": str(draw.randrange(-rows, rows) if rows else 0),
            "k": draw.choice(("2", "0.5", "-1", "3.0", "0", "True", "1.25")),
            "s": piece(draw, rows),
            "s0": piece(draw, columns),
            "s1": piece(draw, columns),
        }
        return pattern.format(**{**numbers, **more})

    def draw(self, *tables: str) -> str:
        """A pattern of some tables."""
        return self.rng.choice([pattern for table in tables for pattern in TABLES[table]])

    def line(self) -> str:
        """A line of a program."""
        while True:
            kind = self.rng.choices(list(KINDS), [w for w, _ in KINDS.values()])[0]
            made = KINDS[kind][1](self)
            if made:
                return made


def usable(t: Any) -> bool:
    """Whether a Tensor can be asked for its history: a view of a split whose base was written cannot."""
    try:
        return t.is_leaf or t.grad_fn is not None
    except RuntimeError:
        return False


def piece(draw: random.Random, size: int) -> str:
    """A slice of a dimension."""
    low, high = sorted((draw.randint(0, size), draw.randint(0, size)))
    return draw.choice((f"{low}:{high}", f"{low}:", f":{high}", f"{low}:{high}:2", f"-{high}:", ":"))


def fits(small: tuple, large: tuple) -> bool:
    """Whether a shape can be broadcast to another."""
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(a in (b, 1) for a, b in pairs)


def is_float(t: Any) -> bool:
    """Whether a Tensor holds floats."""
    return t.is_floating_point()


def overlaps(t: Any) -> bool:
    """Whether elements of a Tensor share memory."""
    return any(stride == 0 and size > 1 for stride, size in zip(t.stride(), t.shape, strict=True))


def writable(t: Any) -> bool:
    """Whether a program may write it."""
    return not overlaps(t) and t.dim() > 0


def create(w: Writer) -> str:
    """A Tensor of its own: values on a grid, so that equal ones stay equal."""
    shape = tuple(w.rng.choice(SIZES) for _ in range(w.rng.choice((0, 1, 2, 2, 2, 3))))
    kind, name = w.rng.random(), w.new()
    values = f"grid({w.rng.randrange(1000)}, {shape})"
    if kind < 0.65:
        grad = ", requires_grad=True" if w.rng.random() < 0.45 else ""
        return f"{name} = L.tensor({values}, dtype=L.{w.rng.choice(FLOATS)}{grad})"
    if kind < 0.8:
        return f"{name} = L.tensor({values} * 8).to(L.{w.rng.choice(WHOLE)})"
    if kind < 0.87:
        return f"{name} = L.tensor({values} > 0)"
    whole = w.rng.choice(("L.arange({0})", "L.linspace(-1, 1, {0} + 1)", "L.eye({0} + 1)", "L.full(({0}, 2), 0.5)"))
    return f"{name} = " + whole.format(w.rng.choice(SIZES))


def compute(w: Writer) -> str | None:
    """A new value of others."""
    a = w.pick(lambda t: t.numel() <= 400)
    if a is None:
        return None
    t, text = w.values[a], a
    shape = tuple(t.shape)
    for _ in range(w.rng.randint(1, 3)):
        b = w.pick(lambda t: fits(tuple(t.shape), shape)) or a
        numbers = is_float(t) and is_float(w.values[b])
        single = "unary" if is_float(t) else "unary_bool" if str(t.dtype).endswith("bool") else "unary_whole"
        table = single if w.rng.random() < 0.6 else "binary" if numbers else "binary_any"
        text = w.fill(w.draw(table), a, a=f"({text})" if text != a else a, b=b)
        if not is_float(t):
            break
    return f"{w.new()} = {text}"


def rows(w: Writer) -> str | None:
    """A value of another shape."""
    a = w.pick(lambda t: 0 < t.dim() < 5 and t.numel() <= 200)
    if a is None:
        return None
    t = w.values[a]
    more = ("rows_float", *(("matrices",) if t.dim() == 2 else ())) if is_float(t) else ()
    return f"{w.new()} = " + w.fill(w.draw("rows", *more), a)


def view(w: Writer) -> str | None:
    """A view."""
    a = w.pick(lambda t: t.dim() > 0)
    if a is None:
        return None
    t = w.values[a]
    plain, matrix = ("views_plain",) * t.is_contiguous(), ("views_matrix",) * 2 * (t.dim() == 2)
    return f"{w.new()} = " + w.fill(w.draw("views", *plain, *matrix), a)


def write(w: Writer) -> str | None:
    """A write, in place."""
    a = w.pick(writable)
    if a is None:
        return None
    t, kind = w.values[a], w.rng.random()
    if not t.numel() and kind > 0.85:
        return None
    if kind < 0.4:
        text = w.fill(w.draw("writes", *("writes_float",) * is_float(t)), a)
    elif kind < 0.85:
        text = w.fill(w.draw('writes_pair'), a, b=w.beside(a))
    elif kind < 0.95 and t.numel():
        text = w.fill(w.draw('indexed'), a)
    else:
        text = w.fill(w.draw('shapes_in_place'), a)
    if not t.numel() and "L.tensor([0" in text:
        return None  # out of range, which only some of PyTorch's functions say
    quiet = t.requires_grad and (t.is_leaf or w.rng.random() < 0.1)
    return "with L.no_grad():\n    " + text.replace("\n", "\n    ") if quiet and w.rng.random() < 0.9 else text


def wrong(w: Writer) -> str | None:
    """A mistake."""
    a = w.pick(writable)
    return w.fill(w.draw('wrong'), a) if a else None


def differentiate(w: Writer) -> str | None:
    """Something with gradients."""
    leaf = w.pick(lambda t: t.is_leaf and t.requires_grad and is_float(t))
    value = w.pick(lambda t: t.requires_grad and not t.is_leaf and is_float(t)) or leaf
    if leaf is None or value is None:
        return None
    table = "gradients" if w.rng.random() < 0.6 else "backward"
    return w.fill(w.draw(table), leaf, t=value, l=leaf, n=w.new())


def flow(w: Writer) -> str | None:
    """Control flow, copies, contexts, threads, reads."""
    a = w.pick(lambda t: t.dim() > 0 and t.shape[0] > 0 and t.numel() < 100 and writable(t))
    return w.fill(w.draw('flow'), a, n=w.new(), b=w.pick() or a) if a else None


def share(w: Writer) -> str | None:
    """Memory shared with NumPy."""
    x, a = w.new("x"), w.pick(lambda t: is_float(t) and t.dim() > 0 and not overlaps(t))
    if x not in w.values or w.rng.random() < 0.2:
        return f"{x} = grid({w.rng.randrange(1000)}, {w.rng.choice(((3,), (2, 3), (4, 1)))})"
    pattern = w.draw('sharing')
    return w.fill(pattern, a, x=x, n=w.new()) if a else None


def define(w: Writer) -> str:
    """A function, compiled where that is asked for."""
    name = w.new("f")
    if w.rng.random() < 0.5:
        return f"{name} = compiled(lambda x, s: {w.draw('bodies')})"
    return f"def {name}(x, s):\n{w.draw('blocks')}\n{name} = compiled({name})"


def call(w: Writer) -> str | None:
    """A call of a function that was defined."""
    a, known = w.pick(lambda t: is_float(t) and writable(t) and t.numel() and t.dim() < 4), w.kind("f")
    if a is None or not known:
        return None
    f, number = w.rng.choice(known), w.rng.choice(("0.5", "2", "-1.5", "3", "0.25", "True"))
    given = w.rng.choice((a, a, f"{a}[:1]", f"{a}.detach()", f"{a}.clone()", f"{a}.to(L.float32)", f"x={a}", f"{a}.T"))
    line = f"{w.new()} = first({f}({given}, s={number}))"
    return line if w.rng.random() < 0.85 else f"with L.no_grad():\n    {line}"


def transform(w: Writer) -> str | None:
    """A transform of a function."""
    a = w.pick(lambda t: is_float(t) and 0 < t.dim() < 3 and 0 < t.numel() < 20)
    return f"{w.new()} = " + w.fill(w.draw('transforms'), a) if a else None


def train(w: Writer) -> str | None:
    """Modules and optimizers."""
    modules, optimizers = w.kind("m"), w.kind("o")
    if not modules or w.rng.random() < 0.05:
        name = w.new("m")
        return f"{name} = seeded({w.draw('modules')}, {w.rng.randrange(9)})"
    m = w.rng.choice(modules)
    if not optimizers or w.rng.random() < 0.05:
        return f"{w.new('o')} = " + w.draw('optimizers').format(p=f"{m}.parameters()")
    o, batch = w.rng.choice(optimizers), w.rng.choice((2, 3, 3, 5))
    data = f"L.tensor(grid({w.rng.randrange(99)}, ({batch}, 3)), dtype=next({m}.parameters()).dtype)"
    inputs = f"{data}, {data}" if type(w.values[m]).__name__ == "Bilinear" else data
    kind = w.rng.random()
    if kind < 0.25:
        return f"loss = {m}({inputs}).square().mean(); loss.backward(); read(loss)"
    if kind < 0.5:
        return (f"{o}.zero_grad()\nloss = ({m}({inputs}) - 1).square().mean()\nloss.backward()\n{o}.step()"
                + w.rng.choice(("", "\nread(loss)")))  # fmt: skip
    if kind < 0.6:
        return f"{w.new()} = {m}({inputs})"
    a = w.pick(lambda t: is_float(t) and t.is_leaf and t.requires_grad)
    return w.fill(w.draw('training'), a, m=m, o=o) if a else None


KINDS: dict[str, tuple[float, Callable[[Writer], str | None]]] = {
    "create": (2, create),
    "compute": (5, compute),
    "rows": (3, rows),
    "view": (4, view),
    "write": (6, write),
    "wrong": (0.8, wrong),
    "differentiate": (3.5, differentiate),
    "flow": (2.5, flow),
    "share": (0.8, share),
    "define": (0.7, define),
    "call": (2.5, call),
    "transform": (0.8, transform),
    "train": (3, train),
}
