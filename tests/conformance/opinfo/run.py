"""One run: the target with its adapter, the operators of a dtype, their records."""

import importlib.util
import re
from collections.abc import Iterator

import torch
from torch.testing._internal.common_methods_invocations import op_db

from tests.conformance.opinfo.calls import install_seed_shift
from tests.conformance.opinfo.checks import Record
from tests.conformance.opinfo.convert import Target
from tests.conformance.opinfo.errors import ERROR
from tests.conformance.opinfo.isolate import records
from tests.conformance.opinfo.options import Options

# What `make conformance` covers; each has an expect file. The last is no dtype: calls that must raise.
DTYPES = ("float32", "float64", "bfloat16", "float16", "int64", "bool", "complex64", ERROR)
REFERENCE = "PyTorch " + torch.__version__.split("+")[0]


def load_target(module: str) -> Target:
    """The module under test, with `tests/conformance/adapter_<module>.py` where there is one."""
    adapter = f"tests.conformance.adapter_{module}"
    found = importlib.util.find_spec(adapter)
    return Target(module, importlib.import_module(adapter) if found else None)


def operators(dtype: str, pattern: str = "") -> list:
    """The OpInfos that have samples of a dtype (or calls that must raise) and whose name matches."""
    wanted = re.compile(pattern)
    if dtype == ERROR:
        return [op for op in op_db if wanted.search(op.name) and op.error_inputs_func is not None]
    return [op for op in op_db if wanted.search(op.name) and getattr(torch, dtype) in op.dtypes]


def run(target: Target, ops: list, dtype: str, options: Options) -> Iterator[Record]:
    """Run operators in one dtype; records come as they are ready."""
    torch.set_num_threads(1)
    install_seed_shift()
    return records(ops, dtype if dtype == ERROR else getattr(torch, dtype), target, options)
