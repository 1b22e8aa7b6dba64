"""A folder of compiled objects that survives the process and may be shared by several at once.

Each entry is one file: magic, checksum, length, payload. A file appears by rename, so a reader sees all of it or
nothing; whatever fails the checksum (truncated, damaged, foreign) is a miss and is written again. A hit makes an
entry young; when the folder grows over its limit the entries used longest ago go. A folder that cannot be written
costs one warning and nothing else. Entries are machine code: a folder others may write to is not used.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import warnings
from functools import lru_cache
from pathlib import Path

from squall.base import config, trace

MAGIC = b"SQUALL\x00\x01"
_HEADER = len(MAGIC) + 32 + 8
_YOUNG_SECONDS = 3600.0  # how stale a time of last use may get before a hit refreshes it
_TRIM_TO = 0.8  # of the limit, so that trimming is rare
_SAMPLE = 500  # files that tell how large the others are


def default_folder() -> Path | None:
    """Where compiled objects go: the `cache_dir` knob, else the user's cache folder; None without a home."""
    chosen = config.get("cache_dir")
    if chosen:
        return Path(chosen)
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return base / "squall"


def pack(payload: bytes) -> bytes:
    """A payload with magic, checksum and length in front."""
    return MAGIC + hashlib.sha256(payload).digest() + len(payload).to_bytes(8, "little") + payload


def unpack(data: bytes) -> bytes | None:
    """The payload, or None when the data is not a whole, undamaged entry."""
    if len(data) < _HEADER or not data.startswith(MAGIC):
        return None
    payload = data[_HEADER:]
    if int.from_bytes(data[_HEADER - 8:_HEADER], "little") != len(payload):
        return None
    return payload if hashlib.sha256(payload).digest() == data[len(MAGIC):len(MAGIC) + 32] else None


class DiskCache:
    """Payloads by hexadecimal key.

    Args:
        folder: created when first written. limit_bytes: what it is trimmed to.

    Example:
        >>> import tempfile
        >>> cache = DiskCache(Path(tempfile.mkdtemp()), 512 << 20)
        >>> cache.put("00ff", b"code")
        True
        >>> cache.get("00ff")
        b'code'
    """

    def __init__(self, folder: Path | None, limit_bytes: int):
        self.folder, self.limit_bytes = folder, limit_bytes
        self.readable = self.writable = folder is not None
        self.size: int | None = None  # bytes in the folder, about; known after the first write
        self.hits = self.misses = self.damaged = 0
        if folder is not None and self._open_to_others(folder):
            self.readable = self.writable = False
            self._warn(f"{folder} can be written by everybody; compiled code is not kept there")

    @staticmethod
    def _open_to_others(folder: Path) -> bool:
        try:
            return os.name == "posix" and bool(folder.stat().st_mode & 0o002)
        except OSError:
            return False

    def _warn(self, message: str) -> None:
        warnings.warn(message, RuntimeWarning, stacklevel=4)

    def path(self, key: str) -> Path:
        """The file of a key."""
        assert self.folder is not None
        return self.folder / "objects" / key[:2] / key[2:]

    def get(self, key: str) -> bytes | None:
        """The payload, or None."""
        if not self.readable:
            return None
        path = self.path(key)
        try:
            with open(path, "rb") as file:
                data = file.read()
                used = os.fstat(file.fileno()).st_mtime
        except OSError:
            self.misses += 1
            return None
        payload = unpack(data)
        if payload is None:
            self.damaged += 1
            self.misses += 1
            trace.debug(1, "damaged cache file", path)
            return None
        self.hits += 1
        if self.writable and time.time() - used > _YOUNG_SECONDS:
            try:
                os.utime(path)
            except OSError:
                pass
        return payload

    def put(self, key: str, payload: bytes) -> bool:
        """Write an entry; False when it could not be written.

        It does not wait until the disk has it: what a crash of the machine leaves of a file fails the checksum.
        """
        if not self.writable:
            return False
        path, data = self.path(key), pack(payload)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = path.parent / f"new-{os.getpid()}-{os.urandom(6).hex()}.tmp"
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            self.writable = False
            self._warn(f"compiled code cannot be kept in {self.folder} ({error.strerror}); "
                       "every process compiles it anew")
            return False
        self._grown(len(data))
        return True

    def _grown(self, amount: int) -> None:
        if self.size is None:
            self.size = self._estimated()
        else:
            self.size += amount
        if self.size > self.limit_bytes:
            self.trim()

    def _estimated(self) -> int:
        """Bytes in the folder, by some of its parts where it is large: keys spread evenly, and looking at each of
        300,000 files took more than a second."""
        import random

        parts = self._parts()
        random.shuffle(parts)
        size = files = looked = 0
        while looked < len(parts) and files < _SAMPLE:
            found = self._entries(parts[looked:looked + 1])
            size, files, looked = size + sum(entry[1] for entry in found), files + len(found), looked + 1
        return size * len(parts) // max(1, looked)

    def _parts(self) -> list[str]:
        assert self.folder is not None
        try:
            return [entry.path for entry in os.scandir(self.folder / "objects")]
        except OSError:
            return []

    def _entries(self, parts: list[str]) -> list[tuple[float, int, str]]:
        """(last use, bytes, path) of every file in parts of the folder, half-written ones included."""
        found = []
        for folder, _, names in (step for part in parts for step in os.walk(part)):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    status = os.stat(path)
                except OSError:
                    continue  # another process trimmed it
                found.append((status.st_mtime, status.st_size, path))
        return found

    def trim(self, target_bytes: int | None = None) -> int:
        """Remove the entries used longest ago until the folder holds at most `target_bytes`; returns bytes removed."""
        if self.folder is None:
            return 0
        goal = int(self.limit_bytes * _TRIM_TO) if target_bytes is None else target_bytes
        entries = sorted(self._entries(self._parts()))
        total, removed = sum(size for _, size, _ in entries), 0
        now = time.time()
        for used, size, path in entries:
            half_written = path.endswith(".tmp")
            if half_written and now - used < _YOUNG_SECONDS:
                continue  # another process is writing it
            if total - removed <= goal and not half_written:
                break
            try:
                os.unlink(path)
            except OSError:
                continue
            removed += size
        self.size = total - removed
        return removed

    def statistics(self) -> dict[str, object]:
        """Folder, whether it is used, hits, misses and damaged files seen by this process."""
        return {"folder": str(self.folder), "readable": self.readable, "writable": self.writable,
                "hits": self.hits, "misses": self.misses, "damaged": self.damaged}


@lru_cache(maxsize=1)
def disk() -> DiskCache:
    """The process's disk cache, opened where the knobs say on first use."""
    return DiskCache(default_folder() if config.get("cache") else None, config.get("cache_megabytes") << 20)


def reopen_disk() -> None:
    """Forget the open disk cache, so that changed knobs take effect."""
    disk.cache_clear()
