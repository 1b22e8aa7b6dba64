"""Random straight-line programs of views, in-place ops, detach and no_grad blocks, written so that squall and
PyTorch run them alike.

A program is a list of instructions; each names the variables it reads by number, modulo how many there are then,
so that any list of small numbers is a program. `run` executes one against a library and says what came of it: the
gradients of the leaves, or at which instruction which kind of error was raised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

SHAPE = (4, 3)
LEAVES = 2


class Outcome(NamedTuple):
    """What a program came to: the instruction that raised (or -1), the kind of error, values, versions and
    gradients.
    """

    at: int
    error: str
    values: list
    versions: list
    gradients: list


VIEWS = {
    "rows": lambda t: t[1:3],
    "row": lambda t: t[0],
    "column": lambda t: t[:, 1:2],
    "transposed": lambda t: t.T,
    "columns": lambda t: t[:, ::2],
    "steps": lambda t: t[::2],
    "expanded": lambda t: t[None],
    "diagonal": lambda t: t.diagonal() if t.dim() == 2 else t[...],
}
PURE = {
    "mul": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "div": lambda a, b: a / (b * b + 1),
    "exp": lambda a, b: (a * 0.1).exp(),
    "relu": lambda a, b: a.relu(),
    "sin": lambda a, b: a.sin(),
    "tanh": lambda a, b: a.tanh(),
    "sigmoid": lambda a, b: a.sigmoid(),
    "square": lambda a, b: a ** 2,
    "scaled": lambda a, b: a * 0.5,
    "where": lambda a, b: a.where(b > 0, b),
    "maximum": lambda a, b: a.maximum(b),
    "clone": lambda a, b: a.clone(),
    "detach": lambda a, b: a.detach(),
    "sum": lambda a, b: a.sum(0, keepdim=True) + b,
}
IN_PLACE = {
    "add_": lambda a, b: a.add_(b),
    "mul_": lambda a, b: a.mul_(b),
    "div_": lambda a, b: a.div_(b.detach() ** 2 + 1),
    "exp_": lambda a, b: a.mul_(0.1).exp_(),
    "relu_": lambda a, b: a.relu_(),
    "sigmoid_": lambda a, b: a.sigmoid_(),
    "tanh_": lambda a, b: a.tanh_(),
    "sin_": lambda a, b: a.sin_(),
    "zero_": lambda a, b: a.zero_(),
    "fill_": lambda a, b: a.fill_(0.5),
    "copy_": lambda a, b: a.copy_(b),
    "scale_": lambda a, b: a.mul_(0.5),
    "clamp_": lambda a, b: a.clamp_(-0.5, 0.5),
    "neg_": lambda a, b: a.neg_(),
    "set_row": lambda a, b: a.__setitem__(0, 0.25),
    "set_all": lambda a, b: a.__setitem__(..., b),
    "mask": lambda a, b: a.__setitem__(a.detach() > 0, 0.1),
}
ERRORS = {
    "modified by an inplace": "version",
    "leaf Variable that requires grad": "leaf",
    "created in no_grad mode": "no_grad view",
    "multiple views": "several views",
    "second time": "freed",
    "does not require grad": "no history",
}


def kind_of(error: Exception) -> str:
    """The kind of an error, by what PyTorch's messages and squall's have in common."""
    text = str(error)
    builtin = next(c for c in type(error).__mro__ if c.__module__ == "builtins")
    return next((kind for part, kind in ERRORS.items() if part in text), builtin.__name__)


def _fits(a: Any, b: Any) -> bool:
    if b.dim() > a.dim():
        return False
    return all(x in (y, 1) for x, y in zip(reversed(tuple(b.shape)), reversed(tuple(a.shape)), strict=False))


def _overlaps(t: Any) -> bool:
    return any(stride == 0 and size > 1 for stride, size in zip(t.stride(), t.shape, strict=True))


def execute(library: Any, program: list, variables: list) -> int:
    """Run instructions on the variables; gives the position of the one that raised through an exception's note."""
    storages = [-1 - k for k in range(len(variables))]
    for position, (kind, name, first, second, quiet) in enumerate(program):
        i, j = first % len(variables), second % len(variables)
        a, b = variables[i], variables[j]
        if not _fits(a, b):
            j, b = i, a
        if kind == "write" and i != j and storages[i] == storages[j]:
            b = b.clone()  # what reading memory while it is written gives is nobody's promise
        try:
            if quiet:
                with library.no_grad():
                    made = _step(kind, name, a, b)
            else:
                made = _step(kind, name, a, b)
        except Exception as error:
            error.position = position  # type: ignore[attr-defined]
            raise
        if made is not None:
            variables.append(made)
            storages.append(storages[i] if kind == "view" or name == "detach" else position)
    return len(program)


def _step(kind: str, name: str, a: Any, b: Any) -> Any:
    if kind == "view":
        return VIEWS[name](a) if a.dim() == 2 else a[..., :2]
    if kind == "pure":
        return PURE[name](a, b)
    a.grad_fn  # PyTorch brings the history of a view whose base was written up to date only when it is asked for
    if not _overlaps(a):
        IN_PLACE[name](a, b)
    return None


def run(library: Any, program: list, start: list) -> Outcome:
    """What a program comes to with a library; `start` are the leaves' arrays."""
    leaves = [library.tensor(values, requires_grad=True) for values in start]
    variables = [leaf * 1.0 for leaf in leaves] + [library.tensor(start[0]) * 2.0, leaves[0]]
    stage = len(program)
    try:
        try:
            execute(library, program, variables)
        except Exception as error:
            stage = error.position  # type: ignore[attr-defined]
            raise
        tracked = [v for v in variables if v.requires_grad]
        total = sum(((v * (k + 1)).sum() for k, v in enumerate(tracked[1:])), tracked[0].sum())
        total.backward()
    except (RuntimeError, IndexError, ValueError) as error:
        return Outcome(
            stage,
            kind_of(error),
            [v.detach().tolist() for v in variables],
            [v._version for v in variables],
            [],
        )
    return Outcome(-1, "", [v.detach().tolist() for v in variables], [v._version for v in variables],
                   [None if leaf.grad is None else leaf.grad.tolist() for leaf in leaves])
