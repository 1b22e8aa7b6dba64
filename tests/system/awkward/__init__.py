"""Awkward programs for `sq.compile`: right to the bit, or refused by name. Importing this fills the table."""

from tests.system.awkward import arguments, functions, modules, numbers, refusals, training
from tests.system.awkward.table import PROGRAMS, REFUSED, identity

__all__ = [
    "PROGRAMS",
    "REFUSED",
    "arguments",
    "functions",
    "identity",
    "modules",
    "numbers",
    "refusals",
    "training",
]
