"""The error of what a distribution, transform or constraint does not have."""

from __future__ import annotations

from squall.base.errors import SquallError


class UndefinedError(SquallError, NotImplementedError):
    """A quantity without a formula: a moment, an inverse, a divergence, an enumeration."""
