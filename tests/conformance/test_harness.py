"""The harness finds what it is for: sabotage of torch is caught, and a crash costs one operator."""

import os
import signal
import time

import pytest
import torch

from tests.conformance.opinfo import expect
from tests.conformance.opinfo.checks import Record
from tests.conformance.opinfo.options import Options
from tests.conformance.opinfo.run import load_target, operators, run

pytestmark = pytest.mark.peer

QUICK = Options(max_samples=4, grad_samples=1)


ABSENT = object()


class Sabotaged:
    """torch, except that one function is another or absent."""

    __name__ = "sabotaged"

    def __init__(self, name, replacement):
        self._name, self._replacement = name, replacement

    def __getattr__(self, name):
        if name != self._name:
            return getattr(torch, name)
        if self._replacement is ABSENT:
            raise AttributeError(name)
        return self._replacement


def results(pattern, name=None, replacement=None, dtype="float32", options=QUICK):
    target = load_target("torch")
    if name:
        target.module = Sabotaged(name, replacement)
    return {record.name: record for record in run(target, operators(dtype, pattern), dtype, options)}


def test_torch_agrees_with_itself():
    records = results("^(add|relu|nn.functional.relu|sum|matmul|chunk|index_add|std|addcmul)$")
    assert len(records) >= 7
    assert all(record.passes for record in records.values())
    assert all(record.grads_passed == record.grads_tried for record in records.values())


def test_a_wrong_value_is_found():
    records = results("^(exp|log)$", "exp", lambda x: torch.exp(x) * 1.01)
    assert not records["exp"].passes and "differ" in records["exp"].error
    assert records["log"].passes


def test_a_wrong_shape_is_found():
    records = results("^sum$", "sum", lambda x, *args, **kwargs: torch.sum(x, *args, **kwargs)[None])
    assert "shape" in records["sum"].error


def test_a_wrong_dtype_is_found():
    records = results("^exp$", "exp", lambda x: torch.exp(x).double())
    assert "dtype" in records["exp"].error


def test_a_wrong_integer_is_found():
    records = results("^neg$", "neg", lambda x: torch.neg(x) + 1, dtype="int64")
    assert "integers differ" in records["neg"].error


def test_a_lost_gradient_is_found():
    records = results("^exp$", "exp", lambda x: torch.exp(x.detach()) + 0 * x)
    assert records["exp"].passes and not records["exp"].grad_passes
    assert "grad 0" in records["exp"].grad_error


def test_an_absent_name_is_told_from_a_wrong_one():
    record = results("^atan2$", "atan2", None)["atan2"]
    assert record.present and not record.passes and "TypeError" in record.error

    target = load_target("torch")
    target.module, target.tensor_class = Sabotaged("logaddexp", ABSENT), None
    (record,) = run(target, operators("float32", "^logaddexp$"), "float32", QUICK)
    assert not record.present and record.error == "missing logaddexp"


def test_a_crash_costs_one_operator():
    records = results("^(exp|log|neg)$", "log", lambda x: os.kill(os.getpid(), signal.SIGKILL))
    assert "crash" in records["log"].error
    assert records["exp"].passes and records["neg"].passes


def test_a_hang_costs_one_operator():
    options = Options(max_samples=2, grad_samples=1, timeout=10.0)  # a busy machine has time for the other two
    records = results("^(exp|log|neg)$", "log", lambda x: time.sleep(600), options=options)
    assert records["log"].error == "timeout"
    assert records["exp"].passes and records["neg"].passes


def test_expect_files_only_grow(tmp_path):
    def record(name, tried, passed, grads=0):
        fields = {
            "present": True,
            "tried": tried,
            "passed": passed,
            "grads_tried": grads,
            "grads_passed": grads,
        }
        return Record(name, "", "float32", "name", **fields)

    path = expect.path_of("own", "float32", tmp_path)
    assert expect.grow(path, [record("add", 2, 2, 1), record("mul", 2, 2)], "torch") == (3, 3)
    worse = [record("add", 2, 2), record("mul", 2, 1), record("sub", 1, 1)]
    assert expect.lost(expect.read(path), worse) == ["add:float32 grad", "mul:float32"]
    assert expect.grow(path, worse, "torch") == (4, 1)
    assert expect.read(path) == {"add:float32", "add:float32 grad", "mul:float32", "sub:float32"}
    # Judging a part of the operators says nothing about the others.
    assert expect.lost(expect.read(path), [record("sub", 1, 1)]) == []
