"""Tables of the guides whose cells are code: each row says the same in several libraries, and tests run every row.

    from tests import tables
    rows = tables.rows("docs/how-to/from-numpy.md", "Names side by side")
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"`([^`]+)`")


def rows(page, heading):
    """The rows of the first table under a heading: for each its cells, as code where a cell is code in backquotes.

    Args:
        page: from the root of the repository. heading: without its #.

    Raises:
        LookupError: when there is no such table.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    _, found, section = text.partition(f"# {heading}\n")
    lines = [line for line in section.partition("\n#")[0].splitlines() if line.startswith("|")]
    if not found or len(lines) < 3:
        raise LookupError(f"{page} has no table under {heading!r}")
    return [[cell(part) for part in split(line)] for line in lines[2:]]


def split(line):
    """The cells of a row; a bar inside code is written with a backslash before it."""
    return [part.strip().replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def cell(text):
    """The code of a cell that is one piece of code, or its words."""
    code = CODE.fullmatch(text)
    return code[1] if code else text
