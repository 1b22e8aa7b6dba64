"""Objects to memory without LLVM: relocatable ELF files become one image, and an image becomes code that runs.

`link` is done once, where code is compiled: it lays out the sections of all objects, resolves what they refer to in
each other, and notes what only a process can tell: addresses of functions outside, and words that hold an address. What
is kept on disk is the result, so a later process maps memory, copies, fills in those few words and is done; it needs
neither LLVM nor llvmlite. `None` instead of an image (another format, another processor, a relocation not known here)
means that LLVM's own loader has to serve.

An image has two parts, page by page: code and constants, which become executable and read-only, then variables.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from squall.base.errors import CompileError
from squall.runtime import leaving

PAGE = mmap.PAGESIZE
_X86_64 = 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_WRITE, _ALLOCATE, _EXECUTE, _THREAD_LOCAL = 1, 2, 4, 0x400
_ABSOLUTE_INDEX, _FIRST_RESERVED = 0xFFF1, 0xFF00
_ADDRESS, _RELATIVE, _CALL = 1, 2, 4  # R_X86_64_64, _PC32, _PLT32
_JUMP = b"\xff\x25\x02\x00\x00\x00\x0f\x0b"  # jmp *[rip + 2]; an illegal instruction; then the address
_STUB = 16


class Image(NamedTuple):
    """Linked code.

    Args:
        data: the bytes from the start of the image; what follows up to `size` is zero.
        executable: bytes of the first part, whole pages. size: of everything in memory.
        symbols: functions by name. externals: words that get the address of a function of the process.
        addresses: words that get the image's own address added to what they hold.
    """

    data: bytes
    executable: int
    size: int
    symbols: dict[str, int]
    externals: tuple[tuple[int, str], ...] = ()
    addresses: tuple[int, ...] = ()


class _UnknownError(Exception):
    """An object that this module does not know how to link."""


class _Section(NamedTuple):
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class _Symbol(NamedTuple):
    name: str
    place: int  # of its section: 0 outside
    value: int
    local: bool


class _Object:
    """One ELF file taken apart."""

    def __init__(self, blob: bytes, wanted: int = _X86_64):
        if len(blob) < 64 or blob[:6] != b"\x7fELF\x02\x01":
            raise _UnknownError("not a 64-bit little-endian ELF file")
        kind, machine = struct.unpack_from("<HH", blob, 16)
        if (kind, machine) != (1, wanted):
            raise _UnknownError(f"an ELF file of kind {kind} for machine {machine}")
        at, = struct.unpack_from("<Q", blob, 40)
        entry, count = struct.unpack_from("<HH", blob, 58)
        self.blob = blob
        self.sections: list[_Section] = []
        for i in range(count):
            _, kind, flags, _, offset, size, link, info, alignment, each = struct.unpack_from(
                "<IIQQQQIIQQ", blob, at + i * entry)
            self.sections.append(_Section(kind, flags, offset, size, link, info, alignment, each))
        self.symbols: list[_Symbol] = []
        for section in self.sections:
            if section.kind == _SYMTAB:
                self._read_symbols(section)

    def _read_symbols(self, section: _Section) -> None:
        names = self.sections[section.link]
        for at in range(section.offset, section.offset + section.size, 24):
            name, info, _, place, value, _ = struct.unpack_from("<IBBHQQ", self.blob, at)
            start = names.offset + name
            text = self.blob[start:self.blob.index(b"\0", start)].decode()
            if place >= _FIRST_RESERVED and place != _ABSOLUTE_INDEX:
                raise _UnknownError(f"a common symbol, {text}")
            self.symbols.append(_Symbol(text, place, value, info >> 4 == 0))

    def kept(self) -> list[int]:
        """The sections that go to memory: what unwinding needs does not, kernels raise nothing."""
        out = []
        for i, section in enumerate(self.sections):
            if section.flags & _THREAD_LOCAL:
                raise _UnknownError("thread-local variables")
            if section.flags & _ALLOCATE and section.size and section.kind in (_PROGBITS, _NOBITS):
                out.append(i)
        return out

    def relocations(self) -> Iterable[tuple[int, int, int, int, int]]:
        """(section, offset in it, kind, symbol, addend) of every reference."""
        for section in self.sections:
            if section.kind == _RELA:
                for at in range(section.offset, section.offset + section.size, 24):
                    offset, info, addend = struct.unpack_from("<QQq", self.blob, at)
                    yield section.info, offset, info & 0xFFFFFFFF, info >> 32, addend


class _Layout:
    """Where everything goes, and the bytes so far."""

    def __init__(self, objects: Sequence[_Object]):
        self.objects = objects
        self.places: dict[tuple[int, int], int] = {}  # (object, section) -> offset in the image
        self.stubs: dict[str, int] = {}
        self.addresses: list[int] = []
        self.symbols: dict[str, int] = {}
        parts = [(i, k, objects[i].sections[k]) for i in range(len(objects)) for k in objects[i].kept()]
        code = [p for p in parts if p[2].flags & _EXECUTE]
        constants = [p for p in parts if not p[2].flags & (_EXECUTE | _WRITE)]
        variables = [p for p in parts if p[2].flags & _WRITE]
        variables.sort(key=lambda part: part[2].kind == _NOBITS)  # zeros last: they are not stored
        at = self._place(constants, self._place(code, 0))
        self.stubs_at = -(-at // _STUB) * _STUB
        outside = {s.name for o in objects for s in o.symbols if not s.place and s.name}
        self._define()
        for name in sorted(outside - set(self.symbols)):
            self.stubs[name] = self.stubs_at + _STUB * len(self.stubs)
        self.executable = -(-(self.stubs_at + _STUB * len(self.stubs)) // PAGE) * PAGE
        self.size = -(-self._place(variables, self.executable) // PAGE) * PAGE
        self._define()
        stored = [p for p in parts if p[2].kind != _NOBITS]
        ends = [self.places[i, k] + section.size for i, k, section in stored]
        self.data = bytearray(max([self.stubs_at + _STUB * len(self.stubs), *ends]))
        for i, k, section in stored:
            start = self.places[i, k]
            self.data[start:start + section.size] = objects[i].blob[section.offset:section.offset + section.size]
        for start in self.stubs.values():
            self.data[start:start + len(_JUMP)] = _JUMP

    def _place(self, parts: list[tuple[int, int, _Section]], at: int) -> int:
        for i, k, section in parts:
            alignment = max(section.alignment, 1)
            at = -(-at // alignment) * alignment
            self.places[i, k] = at
            at += section.size
        return at

    def _define(self) -> None:
        """Offsets of the global symbols whose sections have a place."""
        for i, item in enumerate(self.objects):
            for symbol in item.symbols:
                if symbol.name and not symbol.local and (i, symbol.place) in self.places:
                    self.symbols[symbol.name] = self.places[i, symbol.place] + symbol.value

    def resolve(self) -> None:
        """Fill in what the objects refer to."""
        for i, item in enumerate(self.objects):
            for section, offset, kind, number, addend in item.relocations():
                if (i, section) in self.places:
                    self._resolve(i, self.places[i, section] + offset, kind, item.symbols[number], addend)

    def _resolve(self, i: int, at: int, kind: int, symbol: _Symbol, addend: int) -> None:
        target = self.places.get((i, symbol.place))
        if target is not None:
            target += symbol.value
        else:
            target = self.symbols.get(symbol.name)
        if target is None and kind == _CALL:
            target = self.stubs.get(symbol.name)
        if target is None:
            raise _UnknownError(f"a reference to {symbol.name or 'nothing'} that is no call")
        if kind in (_RELATIVE, _CALL):
            struct.pack_into("<i", self.data, at, target + addend - at)
        elif kind == _ADDRESS:
            struct.pack_into("<q", self.data, at, target + addend)
            self.addresses.append(at)
        else:
            raise _UnknownError(f"a relocation of kind {kind}")


def link(blobs: Sequence[bytes]) -> Image | None:
    """Objects as one image, or None when they are of a kind that only LLVM's loader takes.

    Args:
        blobs: relocatable files that `machine_code.compile_objects` made for this machine.

    Example:
        >>> link([b"no object"]) is None
        True
    """
    if sys.platform != "linux":
        return None
    try:
        layout = _Layout([_Object(blob) for blob in blobs])
        layout.resolve()
    except (_UnknownError, struct.error, ValueError, IndexError):
        return None
    externals = tuple((at + len(_JUMP), name) for name, at in layout.stubs.items())
    return Image(bytes(layout.data), layout.executable, layout.size, layout.symbols, externals,
                 tuple(layout.addresses))


@lru_cache(maxsize=1)
def _process() -> Any:
    """The functions this process has."""
    return ctypes.CDLL(None)


def load(image: Image) -> dict[str, int]:
    """Map an image for the life of the process; gives the address of each symbol.

    The memory is private: a forked child has variables of its own.

    Raises:
        CompileError: for a function the process does not have, memory the system refuses, and an image whose words do
            not lie inside of it.
    """
    words = (*image.addresses, *(at for at, _ in image.externals))
    whole = 0 < len(image.data) <= image.size and 0 < image.executable <= image.size
    if not whole or any(not 0 <= at <= len(image.data) - 8 for at in words):
        raise CompileError("compiled code does not load: the image is damaged")
    process = _process()
    try:
        memory = mmap.mmap(-1, image.size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
    except (OSError, ValueError) as error:
        raise CompileError(f"compiled code does not load: {image.size} bytes cannot be mapped ({error})") from None
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    memory[:len(image.data)] = image.data
    for at in image.addresses:
        struct.pack_into("<q", memory, at, base + struct.unpack_from("<q", memory, at)[0])
    for at, name in image.externals:
        try:
            address = ctypes.cast(getattr(process, name), ctypes.c_void_p).value
        except AttributeError:
            raise CompileError(f"compiled code does not load: this process has no function {name}") from None
        struct.pack_into("<Q", memory, at, address or 0)
    protect = process.mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if protect(base, image.executable, mmap.PROT_READ | mmap.PROT_EXEC):
        raise CompileError("compiled code does not load: the system does not let memory become executable")
    leaving.keep(memory)  # pool threads may run this code until the process ends: never unmapped
    return {name: base + at for name, at in image.symbols.items()}
