"""The python backend: linear programs executed one instruction at a time on NumPy lanes, for tests and bisection."""

from squall.backends.python.execute import Executor, execute

__all__ = ["Executor", "execute"]
