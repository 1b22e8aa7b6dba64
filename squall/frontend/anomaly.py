"""Anomaly mode: every gradient checked for NaN during backward, and the forward line that made the op named."""

from __future__ import annotations

from squall.base.errors import AutogradError
from squall.frontend.arrays import array_view
from squall.frontend.core import Handle, wrap
from squall.frontend.evaluation import evaluate_tensors
from squall.frontend.tape import GradRecord


def check_gradients(record: GradRecord, gradients: tuple) -> None:
    """AutogradError when a rule gave a NaN, naming the op and the line that recorded it."""
    import numpy

    for position, gradient in enumerate(gradients):
        if gradient is None:
            continue
        tensor = gradient if isinstance(gradient, Handle) else wrap(gradient)
        if tensor.node.dtype.category != 2:
            continue
        evaluate_tensors((tensor,))
        if numpy.isnan(numpy.asarray(array_view(tensor.node), dtype="float64")).any():
            where = f"; the forward op was recorded at {record.where}" if record.where else ""
            raise AutogradError(f"Function '{record.name()}' returned nan values in its {position}th output{where}.")
