"""Error classes. Each is also the class PyTorch or Python raises in that place, so existing `except` clauses work.

Messages name the function, the argument, what was given and what would be right.
"""

from __future__ import annotations

from functools import cache


class SquallError(Exception):
    """The common base of errors that only squall raises."""


class ShapeError(SquallError, RuntimeError):
    """Shapes that do not fit an operation."""


class DtypeError(SquallError, NotImplementedError):
    """A dtype the operation does not take, or dtypes that do not go together."""


class LinAlgError(SquallError, RuntimeError):
    """A matrix without the inverse, solution or factor that was asked for, when it is evaluated.

    What host steps raise is NumPy's `numpy.linalg.LinAlgError` too. `op` names the op that raised.
    """

    op = ""

    def __reduce__(self) -> tuple:
        return LinAlgError, self.args


@cache
def _of_both_libraries() -> type[LinAlgError]:
    import numpy

    return type("LinAlgError", (LinAlgError, numpy.linalg.LinAlgError), {"__module__": __name__,
                                                                         "__doc__": LinAlgError.__doc__})


def no_result(message: str, op: str) -> LinAlgError:
    """A LinAlgError that is NumPy's as well: for code that runs where NumPy is loaded anyway."""
    error = _of_both_libraries()(message)
    error.op = op
    return error


class DeviceError(SquallError, RuntimeError):
    """A device that is missing, or that cannot run an operation."""


class AutogradError(SquallError, RuntimeError):
    """Differentiation asked for where there is no history, or history that in-place writes invalidated."""


class TraceError(SquallError, RuntimeError):
    """A value asked for while a function is being traced, or a traced tensor that escaped."""


class CompileError(SquallError, RuntimeError):
    """A defect in squall's own compiler: a stage produced something its specification forbids."""


class CheckpointError(SquallError, RuntimeError):
    """A file that is damaged, of the wrong kind, or could not be written."""


class IndexRangeError(SquallError, IndexError, RuntimeError):
    """An index outside its dimension. PyTorch raises IndexError for `x[...]` and RuntimeError for `gather` and its
    like.
    """


class ArgumentError(SquallError, ValueError, RuntimeError):
    """An argument whose value makes no sense; PyTorch raises one or the other."""
