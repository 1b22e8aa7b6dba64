"""Operators with a size that varies give what they give without, or an error; which do not is listed, and only less."""

from pathlib import Path

import pytest

from tests.conformance.opinfo.run import load_target
from tests.conformance.opinfo.symbolic import failures, listed

pytestmark = pytest.mark.peer

SHARES = 4
EXPECTED = Path(__file__).parent / "expect" / "symbolic.txt"


def expected() -> dict[str, str]:
    """What is known to be refused: the operator, and the class of the error."""
    lines = [line for line in EXPECTED.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split(maxsplit=1) for line in lines)


@pytest.mark.parametrize("share", range(SHARES))
def test_operators_of_sizes_that_vary(share):
    operators = listed()[share::SHARES]
    known = expected()
    names = {".".join(filter(None, (op.name, op.variant_test_name))) for op in operators}
    found = dict(failures(load_target("squall"), operators))
    new = {name: what for name, what in found.items() if known.get(name) != what}
    fixed = sorted(name for name in known if name in names and name not in found)
    assert not new and not fixed, f"new: {new}; no longer failing, to be taken out of {EXPECTED.name}: {fixed}"


def test_what_is_listed_is_refused_and_never_silently_wrong():
    assert not {name for name, what in expected().items() if not what.endswith("Error")}
