"""TOML files whose mistakes are found before anything runs: each error names file, line and key, and what is
allowed."""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from squall.base.errors import SquallError

_HEADER = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
LISTED, SHOWN = 40, 8  # names that an error lists in full, and how many of more
_SIMPLE = {"int": int, "float": float, "str": str, "bool": bool}  # annotations that values are compared with
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list", dict: "a table"}


class ConfigError(SquallError, ValueError):
    """A configuration file that does not say what it should; the message begins with file and line."""


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """The name that was probably meant, and all that are allowed."""
    names = sorted(allowed)
    folded = {other.lower(): other for other in names}
    close = [folded[other] for other in difflib.get_close_matches(name.lower(), folded, SHOWN)]
    meant = f"; did you mean {close[0]!r}?" if close else ""
    if len(names) > LISTED:
        return f"{meant} ({len(names)} are allowed, such as {', '.join(close or names[:SHOWN])})"
    return f"{meant} (allowed: {', '.join(names)})"


def _places(text: str) -> dict[tuple[Any, ...], int]:
    """Lines of the tables and keys of a TOML text by their path; entries of arrays of tables are numbered."""
    places: dict[tuple[Any, ...], int] = {}
    counts: dict[tuple[Any, ...], int] = {}
    table: tuple[Any, ...] = ()
    array: tuple[Any, ...] | None = None  # a list of tables that goes over several lines
    entries = 0
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header.group(2).split("."))
            if header.group(1):
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            places.setdefault(table, number)
            array = None
        elif array is not None and line.lstrip().startswith("{"):
            places[(*array, entries)] = number
            entries += 1
        elif key:
            path = (*table, *(part.strip().strip("\"'") for part in key.group(1).split(".")))
            places.setdefault(path, number)
            array, entries = (path if re.search(r"=\s*\[\s*(#.*)?$", line) else None), 0
    return places


class Config:
    """A TOML file.

    Args:
        path: the file.

    Attributes:
        values: what it holds.

    Raises:
        ConfigError: when it is missing or not TOML.
    """

    def __init__(self, path: Any) -> None:
        self.path = Path(path)
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{path}: there is no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from None
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
            place = f":{found[1]}:{found[2]}" if found else f":{text.count(chr(10)) + 1}"
            raise ConfigError(f"{path}{place}: {str(error).split(' (at ')[0]}") from None
        self._places = _places(text)

    def line(self, path: tuple[Any, ...]) -> int:
        """The line of a key, or of what is around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._places:
                return self._places[path[:end]]
        return 1

    def error(self, path: tuple[Any, ...], words: str) -> ConfigError:
        """An error at a key."""
        name = ".".join(str(part) for part in path).replace(".[", "[")
        return ConfigError(f"{self.path}:{self.line(path)}: {name}: {words}")

    def section(self, *path: Any, required: bool = False) -> Section:
        """A table of the file; an empty one when it is not there and need not be."""
        value: Any = self.values
        for part in path:
            value = value.get(part) if isinstance(value, dict) else value[part]
            if value is None:
                break
        if value is None and required:
            raise ConfigError(f"{self.path}:1: [{'.'.join(map(str, path))}] is missing")
        if value is not None and not isinstance(value, dict):
            raise self.error(path, f"expected a table, got {value!r}")
        return Section(self, path, value or {})

    def check_sections(self, allowed: Iterable[str]) -> None:
        """ConfigError for a table that nobody reads."""
        for name in self.values:
            if name not in allowed:
                raise self.error((name,), f"there is no such table{suggestion(name, allowed)}")


class Section:
    """A table whose keys are taken one by one; `finish` refuses those that nobody took."""

    def __init__(self, config: Config, path: tuple[Any, ...], values: dict[str, Any]) -> None:
        self.config, self.path, self.values = config, path, values
        self.known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, key: str, words: str) -> ConfigError:
        """An error at a key of the table."""
        return self.config.error((*self.path, key), words)

    def take(self, key: str, kind: type, default: Any = None, *, allowed: Iterable[str] | None = None,
             least: float | None = None, required: bool = False) -> Any:
        """The value of a key.

        Args:
            kind: bool, int, float, str, list or dict. default: without the key. allowed: the texts that are.
                least: the smallest number. required: whether it has to be there.

        Raises:
            ConfigError: naming the line, the key, the value, and what is allowed.
        """
        self.known.add(key)
        if key not in self.values:
            if required:
                words = f"is missing; expected {_KINDS[kind]}"
                raise self.error(key, words + (f" (allowed: {', '.join(sorted(allowed))})" if allowed else ""))
            return default
        value: Any = self.values[key]
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits:
            raise self.error(key, f"expected {_KINDS[kind]}, got {value!r}")
        if allowed is not None and isinstance(value, str) and value not in allowed:
            raise self.error(key, f"{value!r} is unknown{suggestion(value, allowed)}")
        if least is not None and isinstance(value, (int, float)) and not value >= least:
            raise self.error(key, f"must be at least {least}, got {value!r}")
        return float(value) if kind is float else value

    def rest(self) -> dict[str, Any]:
        """The keys that were not taken, now taken."""
        found = {key: value for key, value in self.values.items() if key not in self.known}
        self.known |= set(found)
        return found

    def finish(self) -> None:
        """ConfigError for a key that nobody took."""
        for key in self.values:
            if key not in self.known:
                raise self.error(key, f"is unknown{suggestion(key, self.known)}")

    def call(self, function: Callable[..., Any], *arguments: Any, **fixed: Any) -> Any:
        """Call a function with the keys that were not taken as its named arguments.

        Raises:
            ConfigError: for a key that is no argument of it, an argument that is missing, or whatever it raises.
        """
        names = inspect.signature(function).parameters
        skip = len(arguments)
        named = {
            name: p for name, p in list(names.items())[skip:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        options = self.rest()
        for key in options:
            if key not in named:
                raise self.error(key, f"is no argument of {function.__name__}{suggestion(key, named)}")
            kind = _SIMPLE.get(str(named[key].annotation))
            if kind is None and isinstance(options[key], str) and type(named[key].default) in (int, float):
                kind = type(named[key].default)
            given = type(options[key])
            if kind is not None and given is not kind and not (kind is float and given is int):
                raise self.error(key, f"expected {_KINDS[kind]}, got {options[key]!r}")
        whole = {**fixed, **options}
        missing = [name for name, p in named.items() if p.default is p.empty and name not in whole]
        if missing:
            raise self.error(missing[0], f"is missing; {function.__name__} needs it")
        try:
            return function(*arguments, **whole)
        except (ValueError, TypeError, RuntimeError) as error:
            named_in = [key for key, value in options.items() if str(value) in str(error)]
            path = (*self.path, named_in[0]) if len(named_in) == 1 else self.path
            raise self.config.error(path, f"{function.__name__}: {error}") from None
