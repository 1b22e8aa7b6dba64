"""Doors: functions that jump to what a word in memory holds, so that whoever calls one calls what it leads to now.

Code that was made in a hurry is replaced while plans, tables and native runs hold its address (`objects`). They get
the address of a door instead; turning the door is one store of 8 bytes, which a running call does not notice.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Mapping

from squall.runtime import host, linking

_JUMP, _STEP = b"\xff\x25", 16  # jmp *[rip + 32 bits]; bytes from one door to the next
_WORD = 8


class Doors:
    """Doors to functions.

    Args:
        targets: for each name the address the door leads to.

    Attributes:
        addresses: of the doors, by name.

    Example:
        >>> import ctypes
        >>> libc = ctypes.CDLL(None)
        >>> at = {name: ctypes.cast(getattr(libc, name), ctypes.c_void_p).value for name in ("labs", "atol")}
        >>> doors = Doors({"f": at["atol"]})
        >>> doors.turn({"f": at["labs"]})
        >>> ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(doors.addresses["f"])(-3)
        3
    """

    def __init__(self, targets: Mapping[str, int]):
        pages = -(-len(targets) * _STEP // linking.PAGE) * linking.PAGE
        code = bytearray()
        for number in range(len(targets)):
            word = pages + number * _WORD
            code += _JUMP + struct.pack("<i", word - len(code) - len(_JUMP) - 4)
            code += b"\xcc" * (-len(code) % _STEP)
        symbols = {name: number * _STEP for number, name in enumerate(targets)}
        size = pages + -(-len(targets) * _WORD // linking.PAGE) * linking.PAGE
        self.addresses = linking.load(linking.Image(bytes(code), pages, size, symbols))
        base = min(self.addresses.values())
        self._words = {name: ctypes.c_uint64.from_address(base + pages + number * _WORD)
                       for number, name in enumerate(targets)}
        self.turn(targets)

    def turn(self, targets: Mapping[str, int]) -> None:
        """Let doors lead elsewhere: to {name: address}."""
        for name, address in targets.items():
            self._words[name].value = address


def possible() -> bool:
    """Whether doors can be made for this machine's processor."""
    return sys.platform == "linux" and host.facts().triple.startswith("x86_64")
