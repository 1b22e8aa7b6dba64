"""einsum and tensordot, on the `contract` op: any equation, any number of operands.

Operands are brought to named dimensions: repeated letters become diagonals, letters nobody else needs are summed, sizes
of 1 that broadcast are dropped. Then they are contracted two at a time, the pair with the smallest result first.
"""

from __future__ import annotations

from math import prod
from string import ascii_letters
from typing import Any

from squall.base.errors import ShapeError
from squall.base.shapes import normalize_dim
from squall.frontend.autocast import lowered
from squall.frontend.core import cast, common_dtype, record
from squall.frontend.out import checked, into
from squall.ir.op import ops


def einsum(equation: str, *operands: Any) -> Any:
    """Sums of products of operands over named dimensions (Einstein's notation).

    Args:
        equation: "ij,jk->ik"; without an arrow the result has the letters that occur once, in alphabetical order,
            after the dimensions of an ellipsis. "..." stands for dimensions that broadcast. A letter twice in one
            operand takes its diagonal. operands: Tensors, or one sequence of them.

    Raises:
        ShapeError: for an equation that does not fit the operands.

    Example:
        >>> import squall as sq
        >>> sq.einsum("ij,j->i", sq.ones(2, 3), sq.ones(3)).tolist()
        [3.0, 3.0]
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    tensors = [checked(o, "einsum", "operands") for o in operands]
    parts, out = parse(equation, [len(t.node.shape) for t in tensors])
    dtype = common_dtype(tuple(tensors))
    named = [_diagonals(cast(t, dtype), letters) for t, letters in zip(tensors, parts, strict=True)]
    sizes = _sizes(equation, named)
    return _contract_all([_drop_ones(t, letters, sizes) for t, letters in named], out, sizes)


def parse(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, ellipses replaced by letters the equation does not use."""
    text = equation.replace(" ", "")
    left, arrow, out = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ShapeError(f"einsum(): {equation!r} names {len(parts)} operands, {len(ranks)} were given")
    for part in (*parts, out):
        plain = part.replace("...", "", 1)
        if plain and not (plain.isalpha() and plain.isascii()):
            raise ShapeError(f"einsum(): {part!r} of {equation!r} may hold letters and one ellipsis only")
    hidden = [rank - len(part.replace("...", "")) if "..." in part else 0
              for part, rank in zip(parts, ranks, strict=True)]
    for i, (part, rank) in enumerate(zip(parts, ranks, strict=True)):
        named = len(part.replace("...", ""))
        if hidden[i] < 0 or ("..." not in part and named != rank):
            raise ShapeError(f"einsum(): {part!r} of {equation!r} does not name the {rank} dimensions of operand {i}")
    free = [c for c in ascii_letters if c not in text]
    spare = "".join(free[:max(hidden, default=0)])
    if len(spare) < max(hidden, default=0):
        raise ShapeError(f"einsum(): {equation!r} has too many dimensions: there are only {len(ascii_letters)} letters")
    parts = [p.replace("...", spare[len(spare) - n:]) for p, n in zip(parts, hidden, strict=True)]
    if arrow:
        out = out.replace("...", spare)
    else:
        letters = "".join(parts)
        out = spare + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in spare))
    if len(set(out)) != len(out):
        raise ShapeError(f"einsum(): a letter stands twice in the result of {equation!r}")
    missing = set(out) - set("".join(parts)) - set(spare)
    if missing:
        raise ShapeError(f"einsum(): {sorted(missing)} of the result of {equation!r} is in no operand")
    return parts, out


def _sizes(equation: str, named: list[tuple[Any, str]]) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for tensor, letters in named:
        for letter, size in zip(letters, tensor.node.shape, strict=True):
            known = sizes.get(letter, 1)
            if isinstance(known, int) and known == 1:
                sizes[letter] = size
            elif size != known and not (isinstance(size, int) and size == 1):
                raise ShapeError(f"einsum(): {letter!r} of {equation!r} is {known} and {size} for shapes "
                                 f"{[list(t.node.shape) for t, _ in named]}")
    return sizes


def _diagonals(tensor: Any, letters: str) -> tuple[Any, str]:
    while len(set(letters)) != len(letters):
        repeated = next(c for c in letters if letters.count(c) > 1)
        first = letters.index(repeated)
        second = letters.index(repeated, first + 1)
        if tensor.node.shape[first] != tensor.node.shape[second]:
            raise ShapeError(f"einsum(): {repeated!r} stands for sizes {tensor.node.shape[first]} and "
                             f"{tensor.node.shape[second]} of one operand")
        tensor = tensor.diagonal(0, first, second)
        letters = letters[:first] + letters[first + 1:second] + letters[second + 1:] + repeated
    return tensor, letters


def _drop_ones(tensor: Any, letters: str, sizes: dict[str, Any]) -> tuple[Any, str]:
    """Without dimensions of size 1 that broadcast against larger ones."""
    small = [i for i, c in enumerate(letters) if tensor.node.shape[i] == 1 and sizes[c] != 1]
    if not small:
        return tensor, letters
    return tensor.squeeze(tuple(small)), "".join(c for i, c in enumerate(letters) if i not in small)


def _contract_all(parts: list[tuple[Any, str]], out: str, sizes: dict[str, Any]) -> Any:
    while len(parts) > 1:
        i, j = _cheapest(parts, out, sizes)
        rest = [p for k, p in enumerate(parts) if k not in (i, j)]
        keep = set(out).union(*(letters for _, letters in rest)) if rest else set(out)
        parts = [*rest, _contract_pair(parts[i], parts[j], keep, out if not rest else "")]
    tensor, letters = _sum_away(parts[0], set(out))
    present = [c for c in out if c in letters]
    order = tuple(letters.index(c) for c in present)
    if order != tuple(range(len(order))):
        tensor = tensor.permute(order)
    if len(present) == len(out):
        return tensor
    # a broadcast letter that only operands of size 1 had
    tensor = tensor.reshape(tuple(sizes[c] if c in letters else 1 for c in out))
    return tensor.expand(tuple(sizes.get(c, 1) for c in out))


def _sum_away(part: tuple[Any, str], keep: set[str]) -> tuple[Any, str]:
    tensor, letters = part
    gone = tuple(i for i, c in enumerate(letters) if c not in keep)
    if not gone:
        return part
    return tensor.sum(gone), "".join(c for c in letters if c in keep)


def _contract_pair(first: tuple[Any, str], second: tuple[Any, str], keep: set[str], order: str) -> tuple[Any, str]:
    first = _sum_away(first, keep | set(second[1]))
    second = _sum_away(second, keep | set(first[1]))
    (a, x), (b, y) = first, second
    if len(keep & {*x, *y}) < len({*x, *y}):  # a product of matrices, not of elements
        a, b = lowered(a, b)
    letters = [c for c in dict.fromkeys(x + y) if c in keep]
    result = "".join(c for c in order if c in letters) if order else "".join(letters)
    return record(ops.contract, (a, b), (f"{x},{y}->{result}", "", False)), result


def _cheapest(parts: list[tuple[Any, str]], out: str, sizes: dict[str, Any]) -> tuple[int, int]:
    """The pair whose product has the fewest elements less those it replaces; the first pair when sizes are symbolic."""
    if len(parts) == 2 or not all(isinstance(s, int) for s in sizes.values()):
        return 0, 1
    best, chosen = None, (0, 1)
    for i in range(len(parts)):
        for j in range(i + 1, len(parts)):
            others = set(out).union(*(letters for k, (_, letters) in enumerate(parts) if k not in (i, j)))
            both = set(parts[i][1]) | set(parts[j][1])
            made = prod(sizes[c] for c in both & others)
            saved = prod(sizes[c] for c in parts[i][1]) + prod(sizes[c] for c in parts[j][1])
            cost = (made - saved, prod(sizes[c] for c in both))
            if best is None or cost < best:
                best, chosen = cost, (i, j)
    return chosen


def tensordot(a: Any, b: Any, dims: Any = 2, *, out: Any = None) -> Any:
    """Products of two Tensors summed over dimensions of both.

    Args:
        dims: a number n: the last n of `a` with the first n of `b`; or two lists of dimensions to pair.
    """
    a, b = checked(a, "tensordot", "a"), checked(b, "tensordot", "b")
    x, y = len(a.node.shape), len(b.node.shape)
    if isinstance(dims, int):
        if not 0 <= dims <= min(x, y):
            raise ShapeError(f"tensordot: dims={dims} does not fit tensors of {x} and {y} dimensions")
        pairs = [(x - dims + i, i) for i in range(dims)]
    else:
        first, second = (([d] if isinstance(d, int) else list(d)) for d in dims)
        if len(first) != len(second):
            raise ShapeError(f"tensordot: both dimension lists must have one length, got {first} and {second}")
        pairs = [(normalize_dim(i, x, "tensordot"), normalize_dim(j, y, "tensordot"))
                 for i, j in zip(first, second, strict=True)]
    left = ascii_letters[:x]
    right = list(ascii_letters[x:x + y])
    for i, j in pairs:
        if a.node.shape[i] != b.node.shape[j] and 1 not in (a.node.shape[i], b.node.shape[j]):
            raise ShapeError(f"tensordot: contracted dimensions need to match, but first has size {a.node.shape[i]} in "
                             f"dim {i} and second has size {b.node.shape[j]} in dim {j}")
        right[j] = left[i]
    summed = {left[i] for i, _ in pairs}
    kept = "".join(c for c in left if c not in summed) + "".join(c for c in right if c not in summed)
    return into(out, einsum(f"{left},{''.join(right)}->{kept}", a, b), "tensordot")
