"""Expect files: the operators that pass, one key a line. They only grow.

A key is `add:float32` for the values and `add:float32 grad` for the gradients. The first lines, which begin
with `#`, say what the list was measured against.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "expect"
GRAD = " grad"


def path_of(module: str, dtype: str, folder: Path = FOLDER) -> Path:
    """The expect file of a module and dtype."""
    return folder / f"{module}-{dtype}.txt"


def read(path: Path) -> set[str]:
    """The keys of an expect file; none when there is no file yet."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def passing(records: list) -> set[str]:
    """The keys of everything that passes."""
    return {record.key for record in records if record.passes} | {
        record.key + GRAD for record in records if record.grad_passes
    }


def lost(expected: set[str], records: list) -> list[str]:
    """What was expected of the operators that ran, and no longer passes."""
    ran = {record.key for record in records}
    good = passing(records)
    return sorted(key for key in expected if key.removesuffix(GRAD) in ran and key not in good)


def grow(path: Path, records: list, reference: str) -> tuple[int, int]:
    """Add what passes to an expect file; gives how many keys it has now and how many of them are new."""
    before = read(path)
    after = before | passing(records)
    header = (
        f"# Operators that agree with {reference}: values, and gradients where marked. Only ever add lines."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *sorted(after)]) + "\n", encoding="utf-8")
    return len(after), len(after - before)
