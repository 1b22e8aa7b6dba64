"""The reference: what the public modules offer, from signatures and docstrings, as Markdown."""

import enum
import importlib
import inspect
import re
from types import ModuleType
from typing import Any

from squall.base.dtypes import DType
from tools import examples

# In the order a reader meets them; a test holds that every namespace of `squall` is here.
MODULES = (
    "squall", "squall.nn", "squall.nn.functional", "squall.nn.init", "squall.nn.utils",
    "squall.nn.utils.rnn", "squall.nn.utils.parametrize", "squall.nn.utils.parametrizations",
    "squall.nn.attention", "squall.optim", "squall.optim.lr_scheduler", "squall.optim.swa_utils",
    "squall.autograd", "squall.autograd.forward_ad", "squall.autograd.functional", "squall.func",
    "squall.linalg", "squall.fft", "squall.special", "squall.signal.windows", "squall.masked",
    "squall.amp", "squall.random", "squall.testing",
    "squall.distributions", "squall.distributions.constraints",
    "squall.data", "squall.io", "squall.models", "squall.numpy", "squall.numpy.linalg",
    "squall.numpy.fft", "squall.numpy.random", "squall.numpy.polynomial", "squall.numpy.emath",
    "squall.numpy.testing", "squall.interop",
)  # fmt: skip
# What `squall` has beside them is for those who work on it.
INNER = ("squall.base", "squall.cli", "squall.ir", "squall.ops")


def public_modules() -> dict[str, ModuleType]:
    """The public modules by name."""
    found = {}
    for name in MODULES:
        parent, _, last = name.rpartition(".")
        own = vars(importlib.import_module(parent)).get(last) if parent else None  # a namespace inside a file
        found[name] = own if isinstance(own, ModuleType) else importlib.import_module(name)
    return found


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its table of contents where it has one, its `__all__`, or else what it defines itself."""
    if "__dir__" in vars(module):
        named = [name for name in dir(module) if not name.startswith("_")]
        return [name for name in named if is_own(getattr(module, name))]
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(name for name in listed if not name.startswith("_"))
    own = [
        name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
    ]
    return sorted(name for name in own if not name.startswith("_"))


def is_own(value: Any) -> bool:
    """Whether a value is a class or function of squall, or one of its objects that are called."""
    home = getattr(value, "__module__", None) or type(value).__module__
    if isinstance(value, DType):  # called, it makes an array; it is described as what it is
        return False
    return callable(value) and not isinstance(value, ModuleType) and home.startswith("squall")


def page(name: str, module: ModuleType) -> str:
    """One module's page: what it is for, then its names, classes first."""
    parts = [f"# {name}", inspect.getdoc(module) or ""]
    values = {key: getattr(module, key) for key in public_names(module)}
    classes = {key: value for key, value in values.items() if inspect.isclass(value)}
    functions = {key: value for key, value in values.items() if key not in classes and callable(value)}
    for title, group in (("Classes", classes), ("Functions", functions)):
        if group:
            parts += [f"## {title}", *(describe(key, value, name) for key, value in group.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe(name: str, value: Any, module: str = "") -> str:
    """One name: its signature, docstring and example, and for a class its own public methods."""
    document = inspect.getdoc(value) or ""
    parts = [f"### {name}", f"```python\n{name}{signature(value)}\n```", block(document)]
    parts += [examples.text(module, name)] if ">>>" not in document else []
    if inspect.isclass(value) and not issubclass(value, enum.Enum):
        for key, member in sorted(vars(value).items()):
            document = inspect.getdoc(member)
            if key.startswith("_") or not document or not (callable(member) or isinstance(member, property)):
                continue
            call = "" if isinstance(member, property) else signature(member)
            parts += [f"#### {name}.{key}", f"```python\n{key}{call}\n```", block(document)]
    return "\n\n".join(part for part in parts if part)


def signature(value: Any) -> str:
    """The arguments, as written; nothing where Python cannot tell."""
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return "(...)"


SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Shape|Note|Notes|Example|Examples|Yields):\s*$")


def block(document: str | None) -> str:
    """A docstring as Markdown: its sections under bold headings, arguments as a list, examples as code."""
    if not document:
        return ""
    lines, section, fenced = [], "", False
    for line in document.splitlines():
        heading = SECTION.match(line)
        if heading or (section and line and not line.startswith(" ")):
            lines += ["```"] * fenced
            section, fenced = (heading[1], False) if heading else ("", False)
            if heading:
                lines += ["", f"**{section}**", ""]
                continue
        if section.startswith("Example") and not fenced and line.strip():
            lines.append("```python")
            fenced = True
        lines.append(body_line(line, section, fenced))
    return "\n".join([*lines, "```"] if fenced else lines)


def body_line(line: str, section: str, fenced: bool) -> str:
    """One line of a section: its indentation removed, an entry of a list of names made one."""
    if not section:
        return line
    text = line.removeprefix("    ")
    entry = not fenced and re.match(r"[\w*, ]+( \([^)]*\))?:\s", text)
    return f"- {text}" if entry else text
