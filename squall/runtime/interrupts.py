"""Ctrl-C in native loops: what a signal's handler raised while one ran, kept until Python reads the loop's status.

A loop that runs plans (`native_nested.py`) asks Python now and then whether a signal has come. Handlers run in the main
thread only, so there is one place for what they raise.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from squall.runtime import leaving

_FUNCTIONS = ("PyGILState_Ensure", "PyErr_CheckSignals", "PyErr_Fetch", "PyGILState_Release")
_raised: Any = leaving.keep((ctypes.c_void_p * 3)())  # class, value and traceback


def tell(set_poll: Callable[[Any, Any], None]) -> None:
    """Tell native code where Python's functions are, and where to keep what was raised."""
    at = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    functions = (ctypes.c_void_p * len(at))(*at)
    set_poll(ctypes.addressof(functions), ctypes.addressof(_raised))


def raise_kept() -> None:
    """Raise what a signal's handler raised.

    Raises:
        BaseException: that; KeyboardInterrupt by default.
    """
    held, _raised[:] = _raised[:], (None, None, None)
    if held[0] is None:
        raise KeyboardInterrupt
    restore = ctypes.pythonapi.PyErr_Restore
    restore.restype, restore.argtypes = None, [ctypes.c_void_p] * 3
    restore(*held)
