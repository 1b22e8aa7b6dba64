"""PyTorch's public names and the arguments of its functions beside squall's.

`absent()` are names that squall has not; `differences()` are functions whose arguments differ. Both are kept as lists,
`expect/absent.txt` and `expect/arguments.txt`, which only shrink. A call that both libraries answer alike
(`overloads.py`) proves an argument that the signatures do not show.
"""

import ast
import importlib
import inspect
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from squall.frontend import native
from tests.conformance import overloads

EXPECT = Path(__file__).with_name("expect")
# PyTorch's namespace, and where squall has its names.
PLACES = {
    "torch": "squall", "torch.Tensor": "squall.Tensor", "torch.nn": "squall.nn",
    "torch.nn.functional": "squall.nn.functional", "torch.nn.init": "squall.nn.init",
    "torch.nn.parameter": "squall.nn", "torch.nn.utils": "squall.nn.utils",
    "torch.nn.utils.rnn": "squall.nn.utils.rnn", "torch.nn.utils.parametrize": "squall.nn.utils.parametrize",
    "torch.nn.utils.parametrizations": "squall.nn.utils.parametrizations",
    "torch.nn.attention": "squall.nn.attention", "torch.linalg": "squall.linalg", "torch.fft": "squall.fft",
    "torch.special": "squall.special", "torch.signal.windows": "squall.signal.windows",
    "torch.masked": "squall.masked", "torch.optim": "squall.optim",
    "torch.optim.lr_scheduler": "squall.optim.lr_scheduler", "torch.optim.swa_utils": "squall.optim.swa_utils",
    "torch.autograd": "squall.autograd", "torch.autograd.functional": "squall.autograd.functional",
    "torch.autograd.forward_ad": "squall.autograd.forward_ad", "torch.autograd.graph": "squall.autograd.graph",
    "torch.func": "squall.func", "torch.amp": "squall.amp", "torch.random": "squall.random",
    "torch.testing": "squall.testing", "torch.distributions": "squall.distributions",
    "torch.utils.checkpoint": "squall.func", "torch.utils.data": "squall.data",
}  # fmt: skip
# What Python gives every class, and names that modules only import.
NO_NAMES = {*dir(object), "__slotnames__"}  # the last is left on classes whose objects were pickled
NOT_OURS = ("typing", "collections.abc", "enum", "abc")


def resolve(path: str) -> Any:
    """The module or class of a dotted name; None when there is none."""
    try:
        return importlib.import_module(path)
    except ImportError:
        parent, _, last = path.rpartition(".")
        return getattr(resolve(parent), last, None) if parent else None


def public(space: str) -> list[str]:
    """The public names of one of PyTorch's namespaces: its table of contents, or all that are neither modules nor
    notes nor what it took from Python's own library."""
    owner = resolve(space)
    listed = getattr(owner, "__all__", None)
    names = set(listed or ()) | (set(dir(owner)) if listed is None or space == "torch" else set())
    found = []
    for name in sorted(names):
        value = getattr(owner, name, None)
        dunder = space == "torch.Tensor" and name.startswith("__") and name not in NO_NAMES
        if (name.startswith("_") and not dunder) or isinstance(value, (ModuleType, str, dict)):
            continue
        if getattr(value, "__module__", None) in NOT_OURS or (value is torch.Tensor and space != "torch"):
            continue
        found.append(name)
    return found


@cache
def absent() -> frozenset[str]:
    """Public names of PyTorch that squall has not, dotted."""
    found = set()
    for theirs, ours in PLACES.items():
        owner = resolve(ours)
        found |= {f"{theirs}.{name}" for name in public(theirs) if not hasattr(owner, name)}
    return frozenset(found)


# ---------------------------------------------------------------- arguments
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
STUBS = {"torch": ("_C/_VariableFunctions.pyi", None), "torch.Tensor": ("_C/__init__.pyi", "TensorBase")}
# Python functions of PyTorch that take more than their signature says, or whose signature the interpreter cannot tell.
COMPARED = ("torch", "torch.Tensor", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special",
            "torch.signal.windows", "torch.nn.init", "torch.nn.utils", "torch.nn.utils.rnn", "torch.nn", "torch.optim",
            "torch.optim.lr_scheduler", "torch.autograd", "torch.func", "torch.distributions")


@cache
def stubs(space: str) -> dict[str, list[tuple]]:
    """The overloads of built-in functions, from the stubs PyTorch ships: (positional, varargs, keywords), each a list
    of (name, default as text or None)."""
    if space not in STUBS:
        return {}
    path, owner = STUBS[space]
    body = ast.parse((Path(torch.__file__).parent / path).read_text(encoding="utf-8")).body
    if owner:
        body = next(n for n in body if isinstance(n, ast.ClassDef) and n.name == owner).body
    found: dict[str, list[tuple]] = {}
    for function in body:
        if isinstance(function, ast.FunctionDef):
            found.setdefault(function.name, []).append(_of_stub(function.args, owner is not None))
    return found


def _of_stub(arguments: ast.arguments, method: bool) -> tuple:
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    defaults = [None] * (len(names) - len(arguments.defaults)) + [ast.unparse(d) for d in arguments.defaults]
    positional = list(zip(names, defaults, strict=True))
    keywords = [
        (a.arg, None if d is None else ast.unparse(d))
        for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return positional[1:] if method else positional, arguments.vararg is not None, keywords


def theirs(space: str, name: str, value: Any) -> list[tuple]:
    """The ways to call one of PyTorch's functions; none where nobody says."""
    if name in stubs(space) and not inspect.isfunction(value):
        return stubs(space)[name]
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return []
    if space == "torch.Tensor":
        parameters = parameters[1:]

    def pairs(kinds: tuple) -> list[tuple]:
        return [(p.name, None if p.default is p.empty else repr(p.default)) for p in parameters if p.kind in kinds]

    return [(pairs(POSITIONAL), any(p.kind is p.VAR_POSITIONAL for p in parameters),
             pairs((inspect.Parameter.KEYWORD_ONLY,)))]


@cache
def differences() -> frozenset[str]:
    """`space.name: argument` for what PyTorch's functions take and squall's do not, or take elsewhere, as far as no
    call proves otherwise."""
    found = set()
    for space in COMPARED:
        them, us = resolve(space), resolve(PLACES[space])
        if us is None:
            continue
        for name in public(space):
            value, own = getattr(them, name, None), getattr(us, name, None)
            if name.startswith("_") or own is None or not callable(value) or isinstance(own, property):
                continue
            found |= {f"{space}.{name}: {text}" for text in _compared(space, name, value, own)}
    return frozenset(found - overloads.calls().keys())


def _compared(space: str, name: str, value: Any, own: Any) -> set[str]:
    if space == "torch.Tensor":
        own = native._methods.get(name, own)  # what native code took the place of
    try:
        parameters = list(inspect.signature(own).parameters.values())
    except (TypeError, ValueError):
        return {"no signature"}
    if space == "torch.Tensor" and not isinstance(inspect.getattr_static(resolve("squall.Tensor"), name), staticmethod):
        parameters = parameters[1:]
    known = {p.name: p for p in parameters if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    positional = [p for p in parameters if p.kind in POSITIONAL]
    varied = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    found: set[str] = set()
    for given, many, keywords in theirs(space, name, value):
        if many and not varied:
            found.add("*")
        for place, (argument, default) in enumerate(given):
            if argument not in known and not open_ended:
                found.add(argument)
            elif place < len(positional) and not varied and positional[place].name != argument:
                found.add(f"{argument} at {place}")
            found |= _default(argument, default, known)
        for argument, default in keywords:
            if argument not in known and not open_ended:
                found.add(f"{argument}=")
            found |= _default(argument, default, known)
    return found


def _default(argument: str, default: str | None, known: dict) -> set[str]:
    """A note where an argument has a default there and none or another number here."""
    if default in (None, "...") or argument not in known:
        return set()
    mine = known[argument].default
    if mine is inspect.Parameter.empty:
        return {f"{argument} without default"}
    try:
        wanted = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return set()
    same = mine is None or wanted is None or wanted == mine or not isinstance(wanted, (int, float, bool, str))
    return set() if same else {f"{argument}={mine!r} for {default}"}


# ---------------------------------------------------------------- lists
def listed(name: str) -> dict[str, str]:
    """The entries of a list in `expect`, with the reason each stands under: `## reason`, then `space: words`."""
    found, reason = {}, ""
    for line in (EXPECT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            reason = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            space, _, words = line.partition(": ")
            found |= {f"{space}.{word}": reason for word in words.split()}
    return found


def argument_list() -> dict[str, str]:
    """The entries of `arguments.txt`, lines `function: argument | argument`, with the reason each stands under."""
    found, reason = {}, ""
    for line in (EXPECT / "arguments.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            reason = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            function, _, arguments = line.partition(": ")
            found |= {f"{function}: {argument}": reason for argument in arguments.split(" | ")}
    return found
