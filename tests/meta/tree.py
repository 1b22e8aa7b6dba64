"""What the meta tests know about the source tree: its files, their syntax trees, the rooms and their ranks.

Everything here reads files; nothing imports squall, so a broken room cannot hide another room's defects.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "squall"

# Imports go only to a lower rank; rooms of one rank do not import each other.
RANKS = {
    "base": 0,
    "runtime": 1, "ir": 1,
    "ops": 2,
    "transforms": 3, "compiler": 3,
    "backends": 4,
    "engine": 5,
    "frontend": 6,
    "nn": 7, "optim": 7, "data": 7, "io": 7,
    # PyTorch's names of modules for what the frontend holds
    "autograd": 7, "func": 7, "linalg": 7, "special": 7, "signal": 7, "masked": 7, "fft": 7,
    "amp": 7, "testing": 7, "random": 7, "distributions": 7,
    # NumPy's names, and the Array API
    "numpy": 7,
    "models": 8, "interop": 8, "distributed": 8,
    "serve": 9, "cli": 9,
    "tools": 10, "__main__": 10,
}  # fmt: skip

# `import squall as sq` stands for what the frontend gives users.
FACADE = "__init__"
FACADE_RANK = RANKS["frontend"]

# The rooms whose public classes users hold in their hands: there methods are documented as well.
USER_ROOMS = {"frontend", "numpy", "nn", "optim", "data", "io", "models", "interop", "serve", "cli"}

CODE_FOLDERS = ("squall", "tests", "benchmarks", "tools")


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root, its text and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the root of the repository, with forward slashes."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        """The dotted module name: `squall.ir.node`, and `squall.ir` for its `__init__.py`."""
        parts = list(self.path.relative_to(ROOT).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def room(self) -> str:
        """The room of a file of the package; `__init__` for the package's own `__init__.py`."""
        return self.path.relative_to(ROOT / PACKAGE).with_suffix("").parts[0]

    def at(self, line: int) -> str:
        """`file:line`, as editors and terminals understand it."""
        return f"{self.name}:{line}"


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below the given folders (all of the project's code when none is named)."""
    found = []
    for folder in folders or CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text, filename=str(path), feature_version=(3, 11))))
    return tuple(found)


@cache
def committed_files() -> tuple[Path, ...]:
    """Files that git holds or would add; without git, as in a source archive, every file that is there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(path for path in sorted(ROOT.rglob("*")) if path.is_file())
    names = sorted(name for name in listing.decode().split("\0") if name)
    return tuple(ROOT / name for name in names if (ROOT / name).is_file())


@dataclass(frozen=True)
class Import:
    """One imported module: its full dotted name, where it stands, and whether a function holds it."""

    target: str
    line: int
    function: str | None
    type_checking: bool


def imports(source: Source) -> Iterator[Import]:
    """The modules a file imports, by statement or by `import_module("...")`, relative names made full."""
    yield from _walk(source, source.tree.body, None, False)


def _walk(source: Source, body: list, function: str | None, type_checking: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(source, node.body, function or node.name, type_checking)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, function, type_checking)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, function, type_checking)
        elif (named := _imported_by_call(node)) is not None:
            yield Import(named, node.lineno, function, type_checking)
        else:
            checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from _walk(source, list(ast.iter_child_nodes(node)), function, type_checking or checking)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    if source.path.name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join(parts + ([node.module] if node.module else []))


def _imported_by_call(node: ast.AST) -> str | None:
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    value = node.args[0].value
    return value if name in {"import_module", "__import__"} and isinstance(value, str) else None


def room_of(target: str) -> str:
    """The room an import of `squall...` reaches; the facade when it names what `squall` itself offers."""
    parts = target.split(".")
    if len(parts) > 1 and ((ROOT / PACKAGE / parts[1]).is_dir() or parts[1] in RANKS):
        return parts[1]
    return FACADE


def is_own(target: str) -> bool:
    """Whether an import names squall itself."""
    return target == PACKAGE or target.startswith(PACKAGE + ".")


@cache
def module_files() -> dict[str, Source]:
    """The package's files by module name."""
    return {source.module: source for source in sources(PACKAGE)}


@cache
def loaded_by_import() -> frozenset[str]:
    """The modules that `import squall` loads, followed through module-level imports."""
    files, todo, seen = module_files(), [PACKAGE], set()
    while todo:
        module = todo.pop()
        if module in seen or module not in files:
            continue
        seen.add(module)
        for item in imports(files[module]):
            if item.function is None and not item.type_checking and is_own(item.target):
                parts = item.target.split(".")
                todo += [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return frozenset(seen)


def report(rule: str, found: list[str]) -> str:
    """The message of a failed rule: what the rule is, then one line for each place that breaks it."""
    return f"{rule} ({len(found)} found)\n" + "\n".join(f"  {line}" for line in found)


def run_python(code: str, **environment: str) -> str:
    """What a fresh interpreter, started at the root of the repository, prints; its errors fail the test."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment},
                         capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout
