"""Examples of public names whose docstrings have none: `examples/<module>.txt`, for the reference, run by tests.

    python -m tools.examples --check [MODULE ...]    # whether what runs gives what is written
    python -m tools.examples --update [MODULE ...]   # write what runs gives

A file has an entry for each name: a line `## name`, code behind `>>>` and `...` whose last statement is an expression,
and what Python shows for that.
"""

import argparse
import ast
import functools
import itertools
import math
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("examples")
IMPORTS = """import squall as sq
import squall.numpy as np
import squall.nn.functional as F
from squall import nn"""


@functools.cache
def table(module: str) -> dict[str, tuple[str, str]]:
    """(code, what its last expression shows) by name; nothing for a module without a file."""
    path = FOLDER / f"{module}.txt"
    if not path.exists():
        return {}
    found = {}
    for entry in ("\n" + path.read_text(encoding="utf-8")).split("\n## ")[1:]:
        name, *lines = entry.split("\n")
        code = list(itertools.takewhile(lambda line: line.startswith((">>> ", "... ")), lines))
        found[name] = ("\n".join(line[4:] for line in code), "\n".join(lines[len(code) :]).rstrip("\n"))
    return found


def prompted(code: str) -> str:
    """Code as an interpreter shows it: `>>>` before each statement, `...` before the lines that go on with one."""
    starts = {statement.lineno for statement in ast.parse(code).body}
    return "\n".join(f"{'>>>' if at in starts else '...'} {line}" for at, line in enumerate(code.split("\n"), 1))


def text(module: str, name: str) -> str:
    """An example as Markdown, or nothing."""
    if name not in table(module):
        return ""
    code, shown = table(module)[name]
    return f"**Example**\n\n```python\n{prompted(code)}\n{shown}\n```"


def shown_by(code: str) -> str:
    """What Python shows for the last expression of some code."""
    scope: dict[str, Any] = {}
    exec(IMPORTS, scope)
    *before, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        raise ValueError(f"an example ends with an expression: {code}")
    exec(compile(ast.Module(before, []), "<example>", "exec"), scope)
    return repr(eval(compile(ast.Expression(last.value), "<example>", "eval"), scope))


NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


def alike(made: str, shown: str) -> bool:
    """Whether two texts say the same, up to the rounding of numbers, which differs between machines."""
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (made, shown)]
    words = ["".join(NUMBER.sub("#", text).split()) for text in (made, shown)]
    return words[0] == words[1] and all(
        math.isclose(a, b, rel_tol=2e-3, abs_tol=1e-4) for a, b in zip(*numbers, strict=True)
    )


def check(module: str) -> list[str]:
    """Entries whose code shows something else than is written."""
    found = []
    for name, (code, shown) in table(module).items():
        made = shown_by(code)
        if not alike(made, shown):
            found.append(f"{module}.{name}: {code} shows {made}, not {shown}")
    return found


def update(module: str) -> None:
    """Write what runs gives."""
    entries = (f"## {name}\n{prompted(code)}\n{shown_by(code)}\n" for name, (code, _) in sorted(table(module).items()))
    (FOLDER / f"{module}.txt").write_text("\n".join(entries), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.examples", description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="all unless named")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--check", action="store_true")
    way.add_argument("--update", action="store_true")
    choices = parser.parse_args(arguments)
    modules = choices.modules or [path.stem for path in sorted(FOLDER.glob("*.txt")) if path.stem.startswith("squall")]
    wrong: list[str] = []
    for module in modules:
        if choices.update:
            update(module)
        else:
            wrong += check(module)
    print("\n".join(wrong), end="\n" * bool(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
