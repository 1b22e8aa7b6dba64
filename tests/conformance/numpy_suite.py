"""NumPy's own shipped tests of functions, run with `squall.numpy` in the place of `np`.

After a test module is collected, its names that are NumPy's become squall's where squall has them; a name squall
lacks falls back to NumPy, is noted, and a test that used one counts apart. `numpy.testing` stays and is handed NumPy's
arrays.

    python -m tests.conformance.numpy_suite [--files lib/arraypad] [--write-expect] [--show]

`expect/numpy-suite.txt` holds the tests that pass: it only grows.
"""

import argparse
import contextlib
import functools
import gc
import io
import json
import os
import signal
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import numpy
import pytest

import squall.numpy

EXPECT = Path(__file__).parent / "expect" / "numpy-suite.txt"
# About functions; what is left out is about C internals, object and void dtypes, or printing.
FILES = {
    "_core": "einsum numeric shape_base item_selection umath umath_complex function_base indexing getlimits "
    "mem_overlap",
    "linalg": "linalg",
    "fft": "pocketfft helper",
    "lib": "function_base arraypad arraysetops histograms index_tricks nanfunctions shape_base twodim_base type_check "
    "ufunclike polynomial",
}
PATHS = {
    f"{folder.strip('_')}/{name}": f"{folder}/tests/test_{name}.py"
    for folder, names in FILES.items()
    for name in names.split()
}
# Error types, dtypes, printing and sources of test data stay NumPy's.
KEEP = set(
    "testing errstate dtype random exceptions lib _core typecodes sctypes finfo iinfo ndarray generic ufunc nditer ma "  # noqa: SIM905
    "rec recarray char void object_ str_ bytes_ datetime64 timedelta64 strings polynomial".split()
)


# Classes that compute, and objects that do; all other classes are dtypes and errors.
COMPUTING = {"poly1d", "vectorize", "mgrid", "ogrid", "r_", "c_", "s_", "index_exp"}
SECONDS_A_TEST = 60
# Not run: Python loops over single elements, a program for each length, minutes in all; a test that forks; and of the
# tests of overlapping memory those of NumPy's own solver of equations, of classes with `__array_interface__`, and loops
# over random views. What remains is what holds for results that are written where operands lie.
LEFT_OUT = {
    "core/umath": "memoverlap",
    "core/mem_overlap": "diophantine or internal or fuzz or max_work or non_ndarray or share_memory_manual or "
    "reduceat or unary_ufunc_1d or binary_ufunc_1d",
    "linalg/linalg": "xerbla",
    "lib/function_base": "TestVectorize",
}


def plain(value):
    """A squall array as NumPy's, in containers too."""
    if isinstance(value, squall.numpy.ndarray):
        return numpy.asarray(value)
    if type(value) in (list, tuple):
        return type(value)(plain(v) for v in value)
    return value


def checking(function):
    """An assertion of `numpy.testing` that is handed NumPy's arrays."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        return function(*[plain(a) for a in args], **{k: plain(v) for k, v in kwargs.items()})

    return run


class Stand(types.ModuleType):
    """What a test module holds as `np`: squall's names, NumPy's (noted) where there is none."""

    def __init__(self, real, ours, missing):
        super().__init__(real.__name__)
        self.__dict__["_parts"] = (real, ours, missing)

    def __getattr__(self, name):
        real, ours, missing = self.__dict__["_parts"]
        value = getattr(real, name)
        own = getattr(ours, name, None)
        if name in COMPUTING:
            if own is None:
                missing.add(name)
            return value if own is None else own
        if name in KEEP or isinstance(value, type):
            return value
        if isinstance(value, types.ModuleType):
            return value if own is None else Stand(value, own, missing)
        if own is None:
            if callable(value):
                missing.add(name)
            return value
        return own if callable(own) else value


def _give_up(number, frame):
    raise TimeoutError(f"longer than {SECONDS_A_TEST} seconds of the processor")


class Plugin:
    """Puts the stand-ins into collected modules and notes how tests end.

    Attributes:
        found: outcome and missing names by test.
    """

    def __init__(self):
        self.seen, self.found, self.missing = set(), {}, set()

    def pytest_collection_modifyitems(self, items):
        """After collection: exchange names."""
        for item in items:
            module = item.module
            if module.__name__ not in self.seen:
                self.seen.add(module.__name__)
                for name, value in list(vars(module).items()):
                    setattr(module, name, self._exchanged(name, value))

    def _exchanged(self, name, value):
        if value is numpy:
            return Stand(numpy, squall.numpy, self.missing)
        home, own_name = getattr(value, "__module__", None) or "", getattr(value, "__name__", "")
        if own_name.startswith("assert_") and home.startswith("numpy.testing") and own_name != "assert_raises":
            return checking(value)
        if name not in COMPUTING and (isinstance(value, type) or name in KEEP or not callable(value)):
            return value
        for real, ours in (
            (numpy, squall.numpy),
            (numpy.linalg, squall.numpy.linalg),
            (numpy.fft, squall.numpy.fft),
        ):
            if getattr(real, name, None) is value and hasattr(ours, name):
                return getattr(ours, name)
        return value

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        """A test that takes too long fails. One that counts references is not to meet what others left."""
        counts = "leak" in item.name
        if counts:
            gc.collect()
            gc.disable()
        before = signal.signal(signal.SIGPROF, _give_up)
        signal.setitimer(signal.ITIMER_PROF, SECONDS_A_TEST)
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        if counts:
            gc.enable()
        signal.signal(signal.SIGPROF, before)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        """Which names a test missed."""
        self.missing.clear()
        yield
        self.found.setdefault(item.nodeid, ["?", ()])[1] = tuple(self.missing)

    def pytest_runtest_logreport(self, report):
        """How a test ended."""
        entry = self.found.setdefault(report.nodeid, ["?", ()])
        if entry[0] != "failed" and (report.when == "call" or report.outcome != "passed"):
            entry[0] = "expected failure" if hasattr(report, "wasxfail") else report.outcome


def run(file, only=""):
    """(names that pass, counts) of one of `PATHS`."""
    plugin = Plugin()
    arguments = [
        os.path.join(os.path.dirname(numpy.__file__), PATHS[file]),
        "-q",
        "--tb=no",
        "-m",
        "not slow",
    ]
    chosen = [f"({only})"] if only else []
    chosen += [f"not ({LEFT_OUT[file]})"] if file in LEFT_OUT else []
    arguments += ["-k", " and ".join(chosen)] if chosen else []
    arguments += ["-p", "no:cacheprovider", "-p", "no:warnings", "-o", "addopts=", "-W", "ignore"]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.main(arguments, plugins=[plugin])
    counts = {"tests": len(plugin.found), "pass": 0, "fail": 0, "skip": 0, "fell back": 0}
    good, bad = [], []
    for name, (outcome, missing) in plugin.found.items():
        short = f"{file}::{name.split('::', 1)[1]}"
        kind = "fell back" if missing else {"passed": "pass", "failed": "fail"}.get(outcome, "skip")
        counts[kind] += 1
        (good if kind == "pass" else bad if kind == "fail" else []).append(short)
    return good, bad, counts


def passing(file):
    """The names that pass, found by a process of its own: pytest does not run inside a worker of pytest."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.numpy_suite", "--files", file, "--passing"],
        cwd=Path(__file__).parents[2], env=clean, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.removeprefix("  PASS ") for line in done.stdout.splitlines() if line.startswith("  PASS ")}


def expected():
    """The tests that passed once, by file."""
    by_file: dict = {}
    for line in EXPECT.read_text(encoding="utf-8").splitlines():
        by_file.setdefault(line.partition("::")[0], set()).add(line)
    return by_file


def main():
    """Run files, print a row each, and with --write-expect add what passes to the expect file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", default=",".join(PATHS))
    parser.add_argument("--only", default="", help="pytest's -k")
    parser.add_argument("--show", action="store_true", help="name the tests that fail")
    parser.add_argument("--passing", action="store_true", help="name the tests that pass")
    parser.add_argument("--write-expect", action="store_true")
    options = parser.parse_args()
    start = time.time()
    for file in options.files.split(","):
        good, bad, counts = run(file, options.only)
        print(json.dumps({"file": file, **counts, "seconds": round(time.time() - start, 1)}), flush=True)
        if options.passing:
            print("\n".join(f"  PASS {name}" for name in good))
        if options.show:
            print("\n".join(f"  FAIL {name}" for name in bad))
        if options.write_expect:
            known = set(EXPECT.read_text(encoding="utf-8").split("\n")) if EXPECT.exists() else set()
            EXPECT.write_text("\n".join(sorted((known | set(good)) - {""})) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
