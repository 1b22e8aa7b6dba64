"""Output for people: rich where it is installed, plain lines where it is not; and the digits as characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_SHADES = " ░▒▓█"
_PLAIN_SHADES = " .+#@"


class Console:
    """Prints text, tables and progress to standard output, errors to standard error.

    Args:
        quiet: print nothing but `record`s and errors.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich = None if quiet else _rich_console()

    def print(self, text: str = "") -> None:
        """A line of text."""
        if self.quiet:
            return
        if self._rich is None:
            print(text, flush=True)
        else:
            self._rich.print(text, markup=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        """A line on standard error."""
        print(f"squall: {text}", file=sys.stderr, flush=True)

    @staticmethod
    def record(**fields: Any) -> None:
        """A JSON object on a line of its own."""
        print(json.dumps(fields), flush=True)

    def table(self, title: str, rows: Sequence[Sequence[Any]], columns: Sequence[str] = ()) -> None:
        """Rows under a title."""
        if self.quiet:
            return
        cells = [[str(cell) for cell in row] for row in rows]
        if self._rich is None:
            lines = ([list(columns)] if columns else []) + cells
            widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
            self.print(title)
            for line in lines:
                self.print(
                    "  "
                    + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                )
            return
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=title, title_justify="left", show_header=bool(columns), title_style="bold")
        for position in range(len(cells[0])):
            table.add_column(columns[position] if columns else "")
        for row in cells:
            table.add_row(*(escape(cell) for cell in row))
        self._rich.print(table)

    @contextmanager
    def progress(self, total: int, done: int = 0) -> Iterator[Any]:
        """A bar on a terminal, nothing elsewhere; gives `advance(text)`, called once a step."""
        if self._rich is None or not self._rich.is_terminal:
            yield lambda text: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._rich, transient=True) as bar:
            task = bar.add_task("", total=total, completed=done, text="compiling")
            yield lambda text: bar.update(task, advance=1, text=text)


def _rich_console() -> Any:
    try:
        from rich.console import Console as RichConsole
    except ImportError:
        return None
    return RichConsole()


def shades() -> str:
    """Characters from light to dark that standard output can show."""
    try:
        _SHADES.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_SHADES
    return _SHADES


def drawing(images: Any, captions: Sequence[str], across: int = 4) -> list[str]:
    """Lines that show images of shape (n, 8, 8) with values 0 to 1 side by side, each over its caption."""
    ramp, lines = shades(), []
    for start in range(0, len(images), across):
        part = images[start : start + across]
        for row in range(part.shape[1]):
            cells = (
                "".join(ramp[round(float(v) * (len(ramp) - 1))] * 2 for v in image[row]) for image in part
            )
            lines.append("  " + "   ".join(cells))
        width = 2 * part.shape[2]
        lines.append("  " + "   ".join(caption.center(width) for caption in captions[start : start + across]))
        lines.append("")
    return lines
