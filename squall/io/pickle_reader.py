"""Reading pickles without running anything: a small machine that interprets the opcodes itself.

Python's own unpickler imports and calls whatever a file names. This one knows no import and no call: a name in the
file is looked up in a table (`pickle_names.py`), and what is not in it is refused. Nothing a file says about lengths
is believed before it is compared with the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

from squall.base.errors import CheckpointError

LINE_LIMIT = 4096  # bytes of one line of the textual opcodes, and of a long integer
KEY_LIMIT = 1000  # parts of a dictionary key: hashing nested tuples visits them all, shared or not
MARK_LIMIT = 1000  # unfinished containers inside each other


class Names(Protocol):
    """What a pickle may refer to."""

    def find(self, module: str, name: str) -> Any:
        """What a global stands for; CheckpointError when it is not allowed."""

    def call(self, function: Any, arguments: Any, fresh: bool) -> Any:
        """What an allowed global makes of its arguments; `fresh` for an object made without its constructor."""

    def build(self, instance: Any, state: Any) -> None:
        """Put a state into what `call` made."""

    def persistent(self, key: Any) -> Any:
        """What a persistent id stands for."""


def check_key(value: Any) -> None:
    """CheckpointError unless a value can be the key of a dictionary, hashed in bounded time."""
    todo, seen = [value], 0
    while todo:
        item = todo.pop()
        seen += 1
        if seen > KEY_LIMIT:
            raise CheckpointError(f"a dictionary key has more than {KEY_LIMIT} parts")
        if isinstance(item, (tuple, frozenset)):
            todo.extend(item)
        elif isinstance(item, (list, dict, set, bytearray)) or getattr(type(item), "__hash__", None) is None:
            raise CheckpointError(f"a {type(item).__name__} is used as a dictionary key")


class PickleReader:
    """Reads one pickle out of bytes.

    Args:
        data: bytes that hold it. names: what it may refer to. start: where it begins.

    Attributes:
        position: after `read`, where the pickle ended.
    """

    def __init__(self, data: Any, names: Names, start: int = 0) -> None:
        self.data, self.names, self.position = memoryview(data), names, start
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.at = start  # of the opcode that is carried out, for messages

    def read(self) -> Any:
        """The value of the pickle.

        Raises:
            CheckpointError: naming what is wrong and at which byte.
        """
        try:
            while True:
                self.at = self.position
                code = self.take(1)[0]
                if code == _STOP:
                    value = self.stack.pop()
                    if self.marks or self.stack:
                        raise CheckpointError("its end comes before what it began is finished")
                    return value
                action = _ACTIONS.get(code)
                if action is None:
                    raise CheckpointError(f"it holds the opcode {code:#04x}, which is not allowed")
                action(self)
        except CheckpointError as error:
            raise CheckpointError(f"the pickle cannot be read at byte {self.at}: {error}") from None
        except IndexError:
            raise CheckpointError(f"the pickle is damaged at byte {self.at}: its stack is empty") from None
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise CheckpointError(f"the pickle is damaged at byte {self.at}: {error}") from None

    # ------------------------------------------------------------ bytes
    def take(self, count: int) -> memoryview:
        """The next bytes; CheckpointError when the data ends before."""
        end = self.position + count
        if end > len(self.data):
            raise CheckpointError(f"it is truncated: {count} bytes expected, {len(self.data) - self.position} there")
        part = self.data[self.position : end]
        self.position = end
        return part

    def number(self, form: str) -> Any:
        """The next number of a struct format."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self, encoding: str = "utf-8") -> str:
        """The text up to the next newline."""
        window = bytes(self.data[self.position : self.position + LINE_LIMIT])
        end = window.find(b"\n")
        if end < 0:
            raise CheckpointError(f"a line has no end within {LINE_LIMIT} bytes")
        self.position += end + 1
        return window[:end].decode(encoding).rstrip("\r")

    # ------------------------------------------------------------ stack
    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def mark(self) -> None:
        """Begin a container."""
        if len(self.marks) >= MARK_LIMIT:
            raise CheckpointError(f"more than {MARK_LIMIT} containers inside each other")
        self.marks.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def pairs_to_mark(self) -> list[tuple[Any, Any]]:
        """Keys and values since the last mark."""
        items = self.to_mark()
        if len(items) % 2:
            raise CheckpointError("a key has no value")
        return list(zip(items[::2], items[1::2], strict=True))

    def remember(self, index: int) -> None:
        """Keep the top of the stack under a number."""
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        """Push what was kept under a number."""
        if index not in self.memo:
            raise CheckpointError(f"it refers to memo {index}, which was never kept")
        self.push(self.memo[index])

    # ------------------------------------------------------------ containers
    def extend(self, items: list[Any]) -> None:
        """Append to the list on top."""
        target = self.stack[-1]
        if type(target) is not list and not isinstance(target, Inert):
            raise CheckpointError(f"it appends to a {type(target).__name__}")
        (target.items if isinstance(target, Inert) else target).extend(items)

    def set_items(self, pairs: list[tuple[Any, Any]]) -> None:
        """Set entries of the dictionary on top."""
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.entries.extend(pairs)
            return
        if not isinstance(target, dict):
            raise CheckpointError(f"it sets an entry of a {type(target).__name__}")
        for key, value in pairs:
            check_key(key)
            target[key] = value

    def new_dict(self, pairs: list[tuple[Any, Any]]) -> None:
        """Push a dictionary."""
        self.push({})
        self.set_items(pairs)

    def add_items(self, items: list[Any]) -> None:
        """Add to the set on top."""
        target = self.stack[-1]
        if type(target) is not set:
            raise CheckpointError(f"it adds to a {type(target).__name__}")
        for item in items:
            check_key(item)
            target.add(item)

    def frozen(self, items: list[Any]) -> None:
        """Push a frozenset."""
        for item in items:
            check_key(item)
        self.push(frozenset(items))

    def tuple_of(self, count: int) -> None:
        """Replace the top `count` values by a tuple."""
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[len(self.stack) - count :]
        self.stack[len(self.stack) - count :] = [tuple(items)]

    # ------------------------------------------------------------ names
    def find(self, module: Any, name: Any) -> None:
        """Push what a global stands for."""
        if type(module) is not str or type(name) is not str:
            raise CheckpointError("the name of a global is not text")
        self.push(self.names.find(module, name))

    def reduce(self, fresh: bool = False) -> None:
        """Replace a global and its arguments by what they make."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple:
            raise CheckpointError(f"arguments are a {type(arguments).__name__}, not a tuple")
        self.push(self.names.call(function, arguments, fresh))

    def build(self) -> None:
        """Put a state into the value below it."""
        state = self.stack.pop()
        self.names.build(self.stack[-1], state)


class Inert:
    """What is left of an object whose class is not known: names and data, nothing that acts.

    Attributes:
        name: of its class. arguments: it was made of. state: that was put into it. items, entries: appended to it.
    """

    def __init__(self, name: str, arguments: tuple) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = None
        self.items: list[Any] = []
        self.entries: list[tuple[Any, Any]] = []

    def __repr__(self) -> str:
        return f"<{self.name}, not loaded>"


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _old_text(data: Any) -> str:
    """A string of Python 2, which is bytes or text: UTF-8 when it can be, else one character a byte."""
    data = bytes(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _quoted(reader: PickleReader) -> None:
    line = reader.line("latin-1")
    if len(line) < 2 or line[0] != line[-1] or line[0] not in "\"'":
        raise CheckpointError("a string has no quotes")
    if "\\" in line:
        line = line.encode("latin-1").decode("unicode_escape")
    reader.push(line[1:-1])


def _integer_line(reader: PickleReader) -> None:
    line = reader.line()
    reader.push({"00": False, "01": True}[line] if line in ("00", "01") else int(line))


def _long(reader: PickleReader, count: int) -> None:
    if not 0 <= count <= LINE_LIMIT:
        raise CheckpointError(f"an integer of {count} bytes")
    reader.push(int.from_bytes(reader.take(count), "little", signed=True))


def _protocol(reader: PickleReader) -> None:
    version = reader.take(1)[0]
    if version > 5:
        raise CheckpointError(f"pickle protocol {version}; 0 to 5 are known")


def _frame(reader: PickleReader) -> None:
    size = reader.number("<Q")
    if size > len(reader.data) - reader.position:
        raise CheckpointError(f"a frame of {size} bytes is longer than what is left")


def _keyword_object(reader: PickleReader) -> None:
    if reader.stack.pop() != {}:
        raise CheckpointError("an object made with named arguments")
    reader.reduce(True)


def _persistent_line(reader: PickleReader) -> None:
    reader.push(reader.names.persistent(reader.line()))


_STOP = ord(".")
_SIMPLE: dict[bytes, Callable[[PickleReader], Any]] = {
    b"(": lambda r: r.mark(),
    b"0": lambda r: r.stack.pop() if r.stack else r.to_mark(),
    b"1": lambda r: r.to_mark(),
    b"2": lambda r: r.push(r.stack[-1]),
    # numbers and constants
    b"F": lambda r: r.push(float(r.line())),
    b"I": _integer_line,
    b"J": lambda r: r.push(r.number("<i")),
    b"K": lambda r: r.push(r.take(1)[0]),
    b"L": lambda r: r.push(int(r.line().rstrip("L"))),
    b"M": lambda r: r.push(r.number("<H")),
    b"N": lambda r: r.push(None),
    b"G": lambda r: r.push(r.number(">d")),
    b"\x88": lambda r: r.push(True),
    b"\x89": lambda r: r.push(False),
    b"\x8a": lambda r: _long(r, r.take(1)[0]),
    b"\x8b": lambda r: _long(r, r.number("<i")),
    # text and bytes
    b"S": _quoted,
    b"T": lambda r: r.push(_old_text(r.take(r.number("<I")))),
    b"U": lambda r: r.push(_old_text(r.take(r.take(1)[0]))),
    b"V": lambda r: r.push(r.line("raw-unicode-escape")),
    b"X": lambda r: r.push(_text(r.take(r.number("<I")))),
    b"\x8c": lambda r: r.push(_text(r.take(r.take(1)[0]))),
    b"\x8d": lambda r: r.push(_text(r.take(r.number("<Q")))),
    b"B": lambda r: r.push(bytes(r.take(r.number("<I")))),
    b"C": lambda r: r.push(bytes(r.take(r.take(1)[0]))),
    b"\x8e": lambda r: r.push(bytes(r.take(r.number("<Q")))),
    b"\x96": lambda r: r.push(bytearray(r.take(r.number("<Q")))),
    # containers
    b"]": lambda r: r.push([]),
    b"}": lambda r: r.push({}),
    b")": lambda r: r.push(()),
    b"\x8f": lambda r: r.push(set()),
    b"l": lambda r: r.push(r.to_mark()),
    b"t": lambda r: r.push(tuple(r.to_mark())),
    b"d": lambda r: r.new_dict(r.pairs_to_mark()),
    b"a": lambda r: r.extend([r.stack.pop()]),
    b"e": lambda r: r.extend(r.to_mark()),
    b"s": lambda r: r.set_items([(r.stack.pop(-2), r.stack.pop())]),
    b"u": lambda r: r.set_items(r.pairs_to_mark()),
    b"\x85": lambda r: r.tuple_of(1),
    b"\x86": lambda r: r.tuple_of(2),
    b"\x87": lambda r: r.tuple_of(3),
    b"\x90": lambda r: r.add_items(r.to_mark()),
    b"\x91": lambda r: r.frozen(r.to_mark()),
    # memo
    b"p": lambda r: r.remember(int(r.line())),
    b"q": lambda r: r.remember(r.take(1)[0]),
    b"r": lambda r: r.remember(r.number("<I")),
    b"\x94": lambda r: r.remember(len(r.memo)),
    b"g": lambda r: r.recall(int(r.line())),
    b"h": lambda r: r.recall(r.take(1)[0]),
    b"j": lambda r: r.recall(r.number("<I")),
    # names
    b"c": lambda r: r.find(r.line(), r.line()),
    b"\x93": lambda r: r.find(r.stack.pop(-2), r.stack.pop()),
    b"R": lambda r: r.reduce(),
    b"\x81": lambda r: r.reduce(True),
    b"\x92": _keyword_object,
    b"b": lambda r: r.build(),
    b"P": _persistent_line,
    b"Q": lambda r: r.push(r.names.persistent(r.stack.pop())),
    # framing
    b"\x80": _protocol,
    b"\x95": _frame,
}
_ACTIONS = {code[0]: action for code, action in _SIMPLE.items()}
