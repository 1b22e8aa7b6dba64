"""Python's garbage collector at rest while many objects are made that all stay: modules, graphs, plans.

A collection looks at every object of an age, and one is due whenever some hundreds more have been made than have gone.
While `import squall.nn` makes 100,000 objects that stay, collections take an eighth of its time and find nothing.
"""

from __future__ import annotations

import gc
from typing import Any


class Pause:
    """No automatic collection from now until its `with` ends or this object goes, where collections were on.

    A module that holds one while it imports others lets go of it also when an import fails.

    Args:
        stays: whether nearly all that was made meanwhile stays for ever: it then counts as old at once, as it would
            after two collections, and is looked at only by those of everything.

    Example:
        >>> import gc
        >>> with Pause():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """

    __slots__ = ("_paused", "_stays")

    def __init__(self, stays: bool = False) -> None:
        self._paused, self._stays = gc.isenabled(), stays
        gc.disable()

    def end(self) -> None:
        """Let collections go on."""
        if getattr(self, "_paused", False):  # not yet there where Ctrl-C came before the first line
            if self._stays and not gc.get_freeze_count():  # what the user froze must not thaw
                gc.freeze()
                gc.unfreeze()
            gc.enable()
            self._paused = False  # last: who is interrupted before is told again

    def __enter__(self) -> Pause:
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()

    def __del__(self) -> None:
        self.end()
