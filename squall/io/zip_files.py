"""Zip archives as PyTorch and NumPy write them: a reader that believes nothing, and a writer that aligns members.

The reader works on bytes in memory or mapped from the disk, so a stored member is a window of them. Members may not
overlap, which together with a bound on what inflating gives makes bombs of any kind harmless.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from typing import Any, BinaryIO, NamedTuple

from squall.base.errors import CheckpointError

ALIGNMENT = 64
MEMBER_LIMIT = 1_000_000
RATIO_LIMIT = 1100  # deflate cannot do better than about 1032 to 1
STORED, DEFLATED = 0, 8
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64 = struct.Struct("<4sIQI")
_FULL_32, _FULL_16 = 0xFFFFFFFF, 0xFFFF
_DAY = 33  # 1 January 1980, the first a zip can hold: equal contents make equal files


class Member(NamedTuple):
    """One member: its name, how it is stored, where its bytes are, and what they should be."""

    name: str
    method: int
    start: int
    packed: int
    size: int
    checksum: int


class ZipReader:
    """The members of an archive.

    Args:
        data: the whole archive: bytes, or a mapped file.

    Attributes:
        members: by name.

    Raises:
        CheckpointError: naming what is wrong and at which byte.
    """

    def __init__(self, data: Any) -> None:
        self.data = memoryview(data)
        self.members: dict[str, Member] = {}
        try:
            self._directory(*self._end())
        except struct.error:
            raise CheckpointError("the zip archive is truncated: a header reaches beyond its end") from None

    def _end(self) -> tuple[int, int, int]:
        """Count, size and position of the directory."""
        tail = bytes(self.data[-(_END.size + _FULL_16) :])
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            raise CheckpointError("the zip archive is truncated or damaged: it has no directory at its end")
        _, disk, first, _, count, size, start, _ = _END.unpack_from(tail, at)
        if disk or first:
            raise CheckpointError("the zip archive has several parts")
        if count == _FULL_16 or size == _FULL_32 or start == _FULL_32:
            place = len(self.data) - len(tail) + at - _LOCATOR_64.size
            if place >= 0 and self.data[place : place + 4] == b"PK\x06\x07":
                record = _LOCATOR_64.unpack_from(self.data, place)[2]
                fields = _END_64.unpack_from(self.data, min(record, len(self.data)))
                if fields[0] != b"PK\x06\x06":
                    raise CheckpointError(f"the zip archive is damaged at byte {record}: no end record there")
                count, size, start = fields[7:]
        return count, size, start

    def _directory(self, count: int, size: int, start: int) -> None:
        if start + size > len(self.data) or count > MEMBER_LIMIT or count * _CENTRAL.size > size:
            raise CheckpointError(
                f"the zip archive is damaged: a directory of {count} members and {size} bytes at byte {start} does "
                f"not fit into {len(self.data)} bytes"
            )
        at, taken = start, []
        for _ in range(count):
            member, at = self._entry(at, start + size)
            if member.name in self.members:
                raise CheckpointError(f"the zip archive holds {member.name[:200]!r} twice")
            self.members[member.name] = member
            taken.append((member.start, member.start + member.packed, member.name))
        taken.sort(key=lambda item: item[:2])
        taken.append((start, 0, "the directory"))
        for (_, end, name), (begin, _, other) in itertools.pairwise(taken):
            if end > begin:
                raise CheckpointError(f"the zip archive is damaged: {name[:200]!r} and {other[:200]!r} overlap")

    def _entry(self, at: int, end: int) -> tuple[Member, int]:
        """A member by its entry of the directory, and where the next entry begins."""
        fields = _CENTRAL.unpack_from(self.data, at)
        (signature, _, _, flags, method, _, _, checksum, packed, size, name_length, extra_length, comment) = fields[:13]
        after = at + _CENTRAL.size + name_length + extra_length + comment
        if signature != b"PK\x01\x02" or after > end:
            raise CheckpointError(f"the zip archive is damaged at byte {at}: no entry of the directory there")
        name_end = at + _CENTRAL.size + name_length
        raw = bytes(self.data[at + _CENTRAL.size : name_end])
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")
        header = fields[16]
        size, packed, header = _wide(self.data[name_end : name_end + extra_length], size, packed, header)
        if flags & 0x1:
            raise CheckpointError(f"{name[:200]!r} in the zip archive is encrypted")
        if method not in (STORED, DEFLATED):
            raise CheckpointError(f"{name[:200]!r} in the zip archive is compressed by method {method}")
        if method == STORED and size != packed:
            raise CheckpointError(f"{name[:200]!r} in the zip archive has two sizes: {size} and {packed} bytes")
        local = _LOCAL.unpack_from(self.data, min(header, len(self.data)))
        if local[0] != b"PK\x03\x04":
            raise CheckpointError(f"the zip archive is damaged at byte {header}: no header of {name[:200]!r} there")
        start = header + _LOCAL.size + local[9] + local[10]
        if start + packed > len(self.data):
            raise CheckpointError(f"{name[:200]!r} in the zip archive is truncated: it ends at byte {start + packed}")
        return Member(name, method, start, packed, size, checksum), after

    def window(self, member: Member) -> memoryview:
        """The bytes of a stored member, where they lie; CheckpointError for a compressed one."""
        if member.method != STORED:
            raise CheckpointError(
                f"{member.name[:200]!r} in the zip archive is compressed; PyTorch stores its files plainly"
            )
        return self.data[member.start : member.start + member.size]

    def read(self, member: Member, limit: int | None = None) -> bytearray:
        """A copy of the contents, inflated where necessary, and compared with their checksum.

        Args:
            limit: the most bytes that make sense.

        Raises:
            CheckpointError: when they are damaged, or more than the limit or than deflate can make of its input.
        """
        if (limit is not None and member.size > limit) or member.size > RATIO_LIMIT * (member.packed + 64):
            raise CheckpointError(f"{member.name[:200]!r} in the zip archive claims {member.size} bytes: too many")
        packed = self.data[member.start : member.start + member.packed]
        if member.method == STORED:
            contents = bytearray(packed)
        else:
            contents = _inflated(packed, member)
        if zlib.crc32(contents) != member.checksum:
            raise CheckpointError(
                f"{member.name[:200]!r} in the zip archive (bytes {member.start} to {member.start + member.packed}) "
                "is damaged: its checksum does not match its contents"
            )
        return contents


def _wide(extra: memoryview, *values: int) -> tuple[int, ...]:
    """Sizes and position, those that do not fit into 32 bits from the extra field."""
    wanted = [i for i, value in enumerate(values) if value == _FULL_32]
    out, at = list(values), 0
    while wanted and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            for place, i in enumerate(wanted):
                if 8 * place + 8 <= length:
                    (out[i],) = struct.unpack_from("<Q", extra, at + 4 + 8 * place)
            break
        at += 4 + length
    return tuple(out)


def _inflated(packed: memoryview, member: Member) -> bytearray:
    engine = zlib.decompressobj(-15)
    try:
        contents = bytearray(engine.decompress(packed, member.size + 1))
    except zlib.error as error:
        raise CheckpointError(f"{member.name[:200]!r} in the zip archive is damaged: {error}") from None
    if len(contents) != member.size:
        raise CheckpointError(
            f"{member.name[:200]!r} in the zip archive does not have the {member.size} bytes it claims"
        )
    return contents


class ZipWriter:
    """Writes members one after the other, each at a multiple of 64 bytes.

    Args:
        file: open for writing at its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.position = file, 0
        self._entries: list[bytes] = []

    def add(self, name: str, contents: Any, compress: bool = False) -> None:
        """Write a member."""
        raw = memoryview(contents).cast("B") if memoryview(contents).nbytes else memoryview(b"")
        size, checksum, method = raw.nbytes, zlib.crc32(raw), STORED
        if compress:
            engine = zlib.compressobj(6, zlib.DEFLATED, -15)
            raw, method = memoryview(engine.compress(raw) + engine.flush()), DEFLATED
        encoded = name.encode("utf-8")
        large = max(size, raw.nbytes) >= _FULL_32
        extra = struct.pack("<HHQQ", 1, 16, size, raw.nbytes) if large else b""
        extra += _filler(self.position + _LOCAL.size + len(encoded) + len(extra) + 4)
        sizes = (_FULL_32, _FULL_32) if large else (raw.nbytes, size)
        common = (45 if large else 20, 0x800, method, 0, _DAY, checksum, *sizes, len(encoded))
        header = _LOCAL.pack(b"PK\x03\x04", *common, len(extra)) + encoded + extra
        self._entries.append(_entry(common, encoded, size, raw.nbytes, self.position))
        self._write(header)
        self._write(raw)

    def _write(self, data: Any) -> None:
        self.file.write(data)
        self.position += len(data)

    def finish(self) -> None:
        """Write the directory."""
        start, count = self.position, len(self._entries)
        for entry in self._entries:
            self._write(entry)
        size = self.position - start
        if count >= _FULL_16 or start >= _FULL_32 or size >= _FULL_32:
            record = self.position
            self._write(_END_64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start))
            self._write(_LOCATOR_64.pack(b"PK\x06\x07", 0, record, 1))
        count, size, start = min(count, _FULL_16), min(size, _FULL_32), min(start, _FULL_32)
        self._write(_END.pack(b"PK\x05\x06", 0, 0, count, count, size, start, 0))


def _filler(position: int) -> bytes:
    """An extra field after which the contents, else at `position`, are aligned."""
    length = -position % ALIGNMENT
    return struct.pack("<2sH", b"FB", length) + b"Z" * length


def _entry(common: tuple, name: bytes, size: int, packed: int, header: int) -> bytes:
    """The directory's entry of a member."""
    values = [value for value in (size, packed) if common[6] == _FULL_32]
    if header >= _FULL_32:
        values.append(header)
    extra = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values) if values else b""
    fields = (45 if values else common[0], *common[:-1], len(name), len(extra))
    return _CENTRAL.pack(b"PK\x01\x02", *fields, 0, 0, 0, 0, min(header, _FULL_32)) + name + extra
