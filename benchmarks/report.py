"""From results files to text: the lines a run prints, and the page `docs/benchmarks.md`.

Every number on the page comes from a file in `benchmarks/results`; `python -m benchmarks.report` writes it anew,
and a test holds that the page is what the files say.
"""

import json
from pathlib import Path

from benchmarks import floors

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
# The part of README that is made from the results: cases and the contenders shown.
MARKS = ("<!-- figures: made by `python -m benchmarks.report` -->", "<!-- end of figures -->")
SHOWN = ("import", "read-sum-item", "mlp-train-64", "mlp-train-512", "lstm-train", "gpt-train-small", "gpt-train-full")
PEERS = {"torch eager": "PyTorch", "torch compile": "`torch.compile`", "jax": "JAX"}

GROUPS = {
    "startup": "Starting",
    "overhead": "Recording and reading",
    "small": "Small calls",
    "matmul": "Matrix products",
    "mlp": "Training a multi-layer perceptron",
    "lstm": "Training an LSTM",
    "gpt": "Training a small GPT",
    "convnets": "Convolutional networks",
    "convolutions": "Convolutions",
    "gemm": "Matrix products of every shape",
    "linear": "Linear layers with what follows",
    "attention": "Attention",
    "rows": "Rows: softmax, norms, losses",
    "language": "Language models",
    "transforms": "Transforms",
    "inference": "Small networks",
    "expressions": "First times",
    "processes": "Whole processes",
}

INTRODUCTION = """\
# Benchmarks

<!-- Made from benchmarks/results/*.json by `python -m benchmarks.report`; not edited by hand. -->

All contenders of a row took turns in one run, in rounds whose order rotates, in one process pinned to as many cores
as there are threads. Their outputs were compared before any time was taken. A cell is the median time of one call;
± is the median absolute deviation; the ratio is the contender's median over the best squall column's, so above
1 means that squall is faster, and the range after it holds half of the rounds.

"torch eager" uses PyTorch's fused optimizer; "torch compile" is `torch.compile` of forward and loss with the fused
optimizer; "kept heap" is the same in a process whose C library keeps freed memory, so that large results are not
faulted in anew; "onnxruntime" runs a graph exported from PyTorch, with the weights inside and all optimisations.
"machine limit" is no contender: the larger of the operations over the speed of a loop of multiply-adds in registers and
the bytes over the speed of a copy. Run them yourself: `make bench-peers`, or `make bench` with what is installed.
"""

EMPTY = """
No results are recorded yet.
"""


def duration(seconds: float) -> str:
    """A time with three digits and a fitting unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def amount(value: float, unit: str = "s") -> str:
    """A time, or a number of bytes in MiB."""
    return duration(value) if unit == "s" else f"{value / 2**20:.0f} MiB"


def cell(result: dict | None, unit: str = "s") -> str:
    """One contender's cell."""
    if result is None:
        return ""
    if "median" not in result:
        return result["status"]
    text = f"{amount(result['median'], unit)} ± {amount(result['mad'], unit)}"
    if "ratio" in result:
        low, high = result["ratio"]["quartiles"]
        text += f" ({result['ratio']['medians']:.2f}x, {low:.2f}-{high:.2f})"
    return text


def lines(entry: dict) -> str:
    """What a run prints for one case."""
    head = (
        f"{entry['case']}, {entry['threads']} thread{'s' if entry['threads'] > 1 else ''}: {entry['about']}"
    )
    rows = [
        f"    {name:<20} {cell(result, entry.get('unit', 's'))}"
        + (f"  {result['reason']}" if result["status"] in {"failed", "wrong"} else "")
        for name, result in entry["results"].items()
    ]
    return "\n".join([head, *rows])


def table(entries: list[dict]) -> str:
    """One group's table: a row for each case and thread count, a column for each contender."""
    names = list(dict.fromkeys(name for entry in entries for name in entry["results"]))
    installed = [
        name for name in names
        if any(entry["results"].get(name, {}).get("status", "not installed") != "not installed" for entry in entries)
    ]  # fmt: skip
    rows = ["| case | threads | " + " | ".join(installed) + " |", "|---" * (len(installed) + 2) + "|"]
    for entry in entries:
        cells = [cell(entry["results"].get(name), entry.get("unit", "s")) for name in installed]
        rows.append(f"| {entry['about']} | {entry['threads']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def machines(entries: list[dict]) -> str:
    """What the entries were measured on, each different machine and run once."""
    said = []
    for entry in entries:
        head = entry["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
        text = (
            f"{head['processor']}, {head['cores']} cores (load {head['load']} at the start), "
            f"{head['memory_gib']} GiB; {head['system']}; "
            f"Python {head['python']}, {versions}; {head['date'][:10]}; `{head['command'].strip()}`"
        )
        if text not in said:
            said.append(text)
    return "\n".join(f"Measured on {text}." for text in said)


def convergence(folder: Path) -> str:
    """Whole trainings side by side: the same weights, batches and recipe."""
    entries = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("convergence-*.json"))]
    if not entries:
        return ""
    rows = ["| training | contender | result | a step | the whole | compiling |", "|---" * 6 + "|"]
    for entry in entries:
        own = entry["results"]["squall"]["step_seconds"]
        for name, result in entry["results"].items():
            ratio = "" if name == "squall" else f" ({result['step_seconds'] / own:.2f}x)"
            rows.append(
                f"| {entry['about']} | {name} | {entry['measure']} {result['score']:.4f} | "
                f"{duration(result['step_seconds'])}{ratio} | {duration(result['seconds'])} | "
                f"{duration(max(0.0, result['first_turn_seconds'] - 25 * result['step_seconds']))} |"
            )
    said = "\n".join(rows)
    return f"\n## Training to a result\n\n{said}\n\n{machines(entries)}\n"


def standing(entries: list[dict]) -> str:
    """Every floor beside what was measured for it, the losing ones as well."""
    rows = [
        "| work | threads | squall | best peer | peer / squall | half of the rounds | of the limit | floor | |",
        "|---" * 9 + "|",
    ]
    for floor, cases in floors.verdicts(entries):
        for case in cases:
            results, unit = case.entry["results"], case.entry.get("unit", "s")
            peer = f"{case.peer}, {amount(results[case.peer]['median'], unit)}" if case.peer else "none"
            share = f"{case.limit:.0%}" if case.limit else ""
            spread = "{:.2f}-{:.2f}".format(*case.spread) if any(case.spread) else ""
            ratio = [f"{case.ratio:.2f}" if case.peer else "", spread]
            held = "held" if case.held else "**not held**"
            way = f" ({floor.way.removeprefix('squall ')})" if floor.way else ""
            own = amount(results[case.own]["median"], unit) + way
            rows.append(
                f"| {case.entry['about']} | {case.entry['threads']} | {own} | "
                f"{peer} | {ratio[0]} | {ratio[1]} | {share} | {asked(floor)} | {held} |"
            )
        if len(cases) > 2 and not (floor.seconds or floor.rate):
            mean, held = floors.together(floor, cases)
            rows.append(
                f"| {floor.title}: geometric mean of {len(cases)} | | | | {mean:.2f} | | | {floor.floor:.2g} | "
                f"{'held' if held else '**not held**'} |"
            )
    absent = [floor.title for floor, cases in floors.verdicts(entries) if not cases]
    notes = [f"\n\n{floor.title}: {floor.note}" for floor, cases in floors.verdicts(entries) if cases and floor.note]
    said = f"\n\nNot measured: {'; '.join(absent)}." if absent else ""
    return "".join(("\n".join(rows), *notes, said)) if len(rows) > 2 else ""


def asked(floor: floors.Floor) -> str:
    """A floor in words: a ratio for each case, a time or a rate."""
    if floor.seconds:
        return f"at most {duration(floor.seconds)}"
    if floor.rate:
        return f"{floor.rate / 1e6:.0f} million samples/s"
    return f"{floor.least or floor.floor:.2g}"


STANDING = """
## Beside the best peer

Each row names the contender that was fastest besides squall, its time over squall's, and the floor that was set
beforehand. A floor also holds where squall reaches 88 % of the machine's limit. Rows that lose are shown as they are.
"""


def page(folder: Path = RESULTS) -> str:
    """The whole page."""
    everything = [
        entry for group in GROUPS if (folder / f"{group}.json").exists()
        for entry in json.loads((folder / f"{group}.json").read_text("utf-8"))["entries"]
    ]  # fmt: skip
    held = standing(everything)
    parts = [INTRODUCTION, f"{STANDING}\n{held}\n" if held else ""]
    for group, title in GROUPS.items():
        path = folder / f"{group}.json"
        if path.exists():
            entries = json.loads(path.read_text(encoding="utf-8"))["entries"]
            parts.append(f"\n## {title}\n\n{table(entries)}\n\n{machines(entries)}\n")
    parts.append(convergence(folder))
    return "".join(parts) if any(parts[1:]) else INTRODUCTION + EMPTY


def figures(folder: Path = RESULTS) -> str:
    """README's table: squall's best way and its peers, a row for each case and thread count."""
    entries = [
        entry for group in GROUPS if (folder / f"{group}.json").exists()
        for entry in json.loads((folder / f"{group}.json").read_text("utf-8"))["entries"] if entry["case"] in SHOWN
    ]  # fmt: skip
    entries.sort(key=lambda entry: (SHOWN.index(entry["case"]), entry["threads"]))
    rows = ["| | threads | squall | " + " | ".join(PEERS.values()) + " |", "|---" * (3 + len(PEERS)) + "|"]
    for entry in entries:
        results = entry["results"]
        cells = [duration(results[entry["own"]]["median"])]
        for peer in PEERS:
            result = results.get(peer, {})
            ratio = f" ({result['ratio']['medians']:.2f}x)" if "ratio" in result else ""
            cells.append(duration(result["median"]) + ratio if "median" in result else "")
        rows.append(f"| {entry['about']} | {entry['threads']} | " + " | ".join(cells) + " |")
    return "\n".join(rows) if entries else "No results are recorded yet."


def readme(text: str, folder: Path = RESULTS) -> str:
    """README with its figures made anew."""
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    return f"{before}{MARKS[0]}\n{figures(folder)}\n{MARKS[1]}{after}"


def write_page() -> None:
    """Write `docs/benchmarks.md`, and the figures in README."""
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write_page()
