"""The command: run operators, print what came of them, check or grow the expect files."""

import argparse
import dataclasses
import json
import sys
import time

from tests.conformance.opinfo import __doc__ as about
from tests.conformance.opinfo import expect, report
from tests.conformance.opinfo.options import Options
from tests.conformance.opinfo.run import DTYPES, REFERENCE, load_target, operators, run


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.opinfo", description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("module")
    parser.add_argument("--ops", default="", help="regular expression on the operator's name")
    parser.add_argument("--dtype", help="comma-separated; default float32, with --update all expected ones")
    parser.add_argument("--max-samples", type=int, default=Options.max_samples, help="per operator; 0: all")
    parser.add_argument("--grad-samples", type=int, default=Options.grad_samples)
    parser.add_argument("--no-grad", dest="gradients", action="store_false")
    parser.add_argument("--rtol", type=float, default=Options.rtol)
    parser.add_argument("--atol", type=float, default=Options.atol)
    parser.add_argument("--grad-rtol", type=float, default=Options.grad_rtol)
    parser.add_argument("--loose-dtype", action="store_true", help="do not compare dtypes")
    parser.add_argument("--timeout", type=float, default=Options.timeout, help="seconds for one operator")
    parser.add_argument("--chunk", type=int, default=Options.chunk, help="operators to one forked child")
    parser.add_argument("--no-isolate", dest="isolate", action="store_false", help="no forks, for a debugger")
    parser.add_argument("--traceback", action="store_true")
    parser.add_argument("--only-problems", action="store_true")
    parser.add_argument("--json", help="write every operator's record to this file")
    parser.add_argument("--expect", action="store_true", help="fail when an expected pass was lost")
    parser.add_argument("--update", action="store_true", help="add what passes to the expect files")
    return parser.parse_args(arguments)


def run_dtype(target, dtype: str, choices: argparse.Namespace, options: Options) -> list:
    """The records of one dtype, printed as they come."""
    found = []
    for record in run(target, operators(dtype, choices.ops), dtype, options):
        found.append(record)
        right = record.passes and record.grads_passed == record.grads_tried
        if not (right and choices.only_problems):
            print(report.line(record), flush=True)
    return found


def main(arguments: list[str]) -> int:
    """Run; 1 when something expected was lost."""
    choices = parse(arguments)
    options = Options(**{field.name: getattr(choices, field.name) for field in dataclasses.fields(Options)})
    target, began = load_target(choices.module), time.perf_counter()
    dtypes = choices.dtype.split(",") if choices.dtype else DTYPES if choices.update else ("float32",)
    everything, lost = [], []
    for dtype in dtypes:
        found = run_dtype(target, dtype, choices, options)
        everything += found
        path = expect.path_of(choices.module, dtype)
        if choices.expect or choices.update:
            lost += expect.lost(expect.read(path), found)
        if choices.update:
            total, new = expect.grow(path, found, REFERENCE)
            print(f"{path.name}: {total} keys, {new} of them new")
    if choices.json:
        with open(choices.json, "w", encoding="utf-8") as file:
            json.dump([dataclasses.asdict(record) for record in everything], file, indent=0)
    totals = report.summary(target, everything)
    totals |= {"dtype": ",".join(dtypes), "seconds": round(time.perf_counter() - began, 1)}
    print(json.dumps(totals))
    for key in lost:
        print("REGRESSED", key)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
