"""The command: measure the chosen cases, print the table, write the results and the page made from them."""

import argparse
import fnmatch
import json
import os
import sys
from pathlib import Path

from benchmarks import harness, machine, report
from benchmarks.cases import load

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = ROOT / "runs" / "benchmarks"


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", help="names or patterns such as 'mlp*'; default: all but the --full ones"
    )
    parser.add_argument("--list", action="store_true", help="print the cases and their contenders")
    parser.add_argument(
        "--threads", help="comma-separated counts; default: 1 and 2, as far as there are cores"
    )
    parser.add_argument(
        "--contenders", default="", help="comma-separated parts of names, such as 'squall,eager'"
    )
    parser.add_argument("--full", action="store_true", help="also the cases whose calls take seconds")
    parser.add_argument(
        "--quick", action="store_true", help="few rounds; results go to runs/, not into the docs"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--output", type=Path, help="folder for the results files")
    return parser.parse_args(arguments)


def chosen(choices: argparse.Namespace) -> list[harness.Case]:
    """The cases that the command line asks for."""
    patterns = choices.cases or ["*"]
    cases = [case for case in harness.CASES.values() if any(fnmatch.fnmatch(case.name, p) for p in patterns)]
    if not cases:
        raise SystemExit(
            f"no benchmark case matches {' '.join(patterns)}; there are {' '.join(harness.CASES)}"
        )
    return [case for case in cases if choices.full or choices.cases or not case.full]


def thread_counts(choices: argparse.Namespace, case: harness.Case) -> list[int]:
    """The thread counts of a case on this machine."""
    cores = len(os.sched_getaffinity(0))
    wanted = [int(count) for count in choices.threads.split(",")] if choices.threads else list(case.threads)
    return [count for count in wanted if count <= cores and (count in case.threads or choices.threads)] or [1]


def settings(choices: argparse.Namespace) -> harness.Settings:
    """How long to measure."""
    base = harness.Settings.quick() if choices.quick else harness.Settings()
    return harness.Settings(**(vars(base) | ({"rounds": choices.rounds} if choices.rounds else {})))


def write(folder: Path, group: str, head: dict, entries: list[dict]) -> Path:
    """Put a group's entries into its file; cases that were not measured now keep what they had."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{group}.json"
    before = json.loads(path.read_text(encoding="utf-8"))["entries"] if path.exists() else []
    measured = {(entry["case"], entry["threads"]) for entry in entries}
    kept = [entry for entry in before if (entry["case"], entry["threads"]) not in measured]
    for entry in entries:
        entry["machine"] = head
    order = {name: index for index, name in enumerate(harness.CASES)}
    everything = sorted(kept + entries, key=lambda entry: (order.get(entry["case"], 999), entry["threads"]))
    path.write_text(json.dumps({"group": group, "entries": everything}, indent=1) + "\n", encoding="utf-8")
    return path


def main(arguments: list[str]) -> int:
    """Measure; 1 when a squall contender failed or gave other results than its peers."""
    choices = parse(arguments)
    load()
    if choices.list:
        for case in harness.CASES.values():
            print(f"{case.name:<28} {case.about}\n{'':<28} {', '.join(case.contenders)}")
        return 0
    if machine.load() > machine.QUIET_LOAD:
        print(f"the machine is busy (load {machine.load():.1f}): times will be too long", file=sys.stderr)
    head, groups, bad = machine.describe(arguments), {}, []
    parts = [part for part in choices.contenders.split(",") if part]
    for case in chosen(choices):
        for threads in thread_counts(choices, case):
            entry = harness.run(case, threads, settings(choices), parts)
            groups.setdefault(case.group, []).append(entry)
            print(report.lines(entry), flush=True)
            bad += [
                f"{case.name}, {threads} threads, {name}: {result['status']}: {result['reason']}"
                for name, result in entry["results"].items()
                if name.startswith(harness.OWN) and result["status"] != harness.MEASURED
            ]
    folder = choices.output or (SCRATCH if choices.quick else RESULTS)
    for group, entries in groups.items():
        print("wrote", os.path.relpath(write(folder, group, head, entries)))
    if folder == RESULTS:
        report.write_page()
    for line in bad:
        print("NOT MEASURED", line, file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
