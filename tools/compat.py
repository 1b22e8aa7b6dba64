"""Writes `docs/compat.md` from the expect files: which of PyTorch's operators give PyTorch's results.

python -m tools.compat
"""

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPECT = ROOT / "tests" / "conformance" / "expect"
PAGE = ROOT / "docs" / "compat.md"
MODULE = "squall"
GRAD = " grad"
# What does not pass: `## reason` lines, below them `dtypes: operators`.
REMAINING = EXPECT / "remaining.txt"
# Begins a reason that is PyTorch's own: what it does not run on a CPU either is not counted.
UNCOUNTED = "not counted: "

INTRODUCTION = """\
# Compatibility with PyTorch

<!-- Made from tests/conformance/expect by `python -m tools.compat`; not edited by hand. -->

PyTorch ships a database of its operators with sample inputs (OpInfo). `make conformance` runs those samples through
squall and compares values, shapes, dtypes and gradients; what is listed here passes, and is held by that run. An
operator that is absent may still work: it has not passed every sample tried. In the place of a dtype, `error` stands
for calls that must raise: they raise PyTorch's class of error and name what was wrong. Shares are of the operators that
PyTorch itself runs in that dtype on a CPU.
"""


def keys(dtype_file: Path) -> set[str]:
    """The keys of one expect file."""
    lines = dtype_file.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def namespace(operator: str) -> str:
    """`torch.nn.functional` for `nn.functional.relu`, `torch` for `add`."""
    parts = operator.split(".")
    known = {"nn", "linalg", "fft", "special", "signal", "masked", "sparse", "ops"}
    if parts[0] not in known:
        return "torch"
    return "torch." + (".".join(parts[:2]) if parts[0] == "nn" else parts[0])


def page(folder: Path = EXPECT) -> str:
    """The whole page."""
    dtypes, operators = {}, defaultdict(lambda: defaultdict(set))
    for path in sorted(folder.glob(f"{MODULE}-*.txt")):
        dtype = path.stem.removeprefix(f"{MODULE}-")
        found = keys(path)
        values = {key for key in found if not key.endswith(GRAD)}
        dtypes[dtype] = (len(values), len(found) - len(values))
        for key in values:
            operator = key.removesuffix(f":{dtype}")
            operators[namespace(operator)][operator].add(dtype)
    if not dtypes:
        return INTRODUCTION + "\nNothing is recorded yet.\n"
    why = remaining()
    lines = [INTRODUCTION, "| dtype | operators | of PyTorch's | share | gradients compared |", "|---|---|---|---|---|"]
    for dtype, (values, gradients) in dtypes.items():
        known = values + sum(len(names) for reason, names in why[dtype].items() if not reason.startswith(UNCOUNTED))
        share = f"{known} | {100 * values / known:.1f} %" if dtype in why else " | "
        lines.append(f"| {dtype} | {values} | {share} | {gradients} |")
    lines += ["", "## What does not pass, and why"]
    for dtype in dtypes:
        if dtype in why:
            lines += ["", f"### {dtype}", "", "| reason | operators |", "|---|---|"]
            lines += [f"| {reason} | {', '.join(f'`{n}`' for n in names)} |" for reason, names in why[dtype].items()]
    lines += absent()
    for space in sorted(operators):
        lines += ["", f"## {space}", "", "| operator | dtypes |", "|---|---|"]
        lines += [
            f"| `{name}` | {', '.join(sorted(operators[space][name]))} |" for name in sorted(operators[space])
        ]
    return "\n".join(lines) + "\n"


def remaining(path: Path = REMAINING) -> dict[str, dict[str, list[str]]]:
    """For each dtype, the operators that do not pass, by reason."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    reason = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line.startswith("## "):
            reason = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            dtypes, _, names = line.partition(": ")
            for dtype in dtypes.split():
                found[dtype].setdefault(reason, []).extend(names.split())
    return found


def absent(path: Path = EXPECT / "absent.txt") -> list[str]:
    """The section on names that squall has not, by reason."""
    reasons: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            reasons[reason := line.removeprefix("## ")] = []
        elif line and not line.startswith("#"):
            space, _, words = line.partition(": ")
            reasons[reason] += [f"`{space}.{word}`" for word in words.split()]
    lines = ["", "## Public names that squall has not, and why", "", "| reason | names |", "|---|---|"]
    return [*lines, *(f"| {reason} | {', '.join(names)} |" for reason, names in reasons.items())]


def arguments(path: Path = EXPECT / "arguments.txt") -> list[str]:
    """The section on arguments that squall's functions do not take, by reason."""
    lines = ["", "## Arguments that squall's functions do not take, and why", "",
             "`*` is any number of positions. All other arguments, and PyTorch's overloads, are taken.",
             "", "| reason | function | arguments |", "|---|---|---|"]
    reason = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            reason = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            function, _, names = line.partition(": ")
            lines.append(f"| {reason} | `{function}` | {', '.join(f'`{name}`' for name in names.split(' | '))} |")
    return lines


def write_page() -> None:
    """Write `docs/compat.md`."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write_page()
