"""What a run prints: one line for each operator, and one JSON line at its end."""

import torch

from tests.conformance.opinfo.checks import Record
from tests.conformance.opinfo.convert import Target


def status(record: Record) -> str:
    """The outcome in one word."""
    if record.passes:
        return "PASS"
    if not record.present:
        return "MISSING"
    return "FAIL" if record.tried else "NOSAMPLE"


def line(record: Record) -> str:
    """The outcome in one line."""
    text = (
        f"{status(record):<8} {record.key:<44} fwd {record.passed}/{record.tried} "
        f"grad {record.grads_passed}/{record.grads_tried}"
    )
    if record.skipped:
        text += f" skip {record.skipped}"
    if record.error:
        text += f"  | {record.error}"
    if record.grad_error:
        text += f"  | grad: {record.grad_error}"
    return text


def summary(target: Target, records: list[Record]) -> dict:
    """Totals, and how many tensor methods and in-place forms of the same names are present."""
    names = {record.name.split(".")[-1] for record in records}
    methods = {name for name in names if hasattr(torch.Tensor, name)}
    in_place = {name + "_" for name in names if hasattr(torch.Tensor, name + "_")}
    return {
        "module": target.module.__name__,
        "ops": len(records),
        "present": sum(record.present for record in records),
        "pass": sum(record.passes for record in records),
        "grad_ops": sum(bool(record.grads_tried) for record in records),
        "grad_pass": sum(record.grad_passes for record in records),
        "samples": sum(record.tried for record in records),
        "samples_pass": sum(record.passed for record in records),
        "samples_skipped": sum(record.skipped for record in records),
        "methods": len(methods),
        "methods_present": sum(target.has_method(name) for name in methods),
        "inplace": len(in_place),
        "inplace_present": sum(target.has_method(name) for name in in_place),
    }
