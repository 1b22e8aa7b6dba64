"""What agreed with PyTorch once still agrees: every key of the expect files, in shares for several cores."""

import pytest

from tests.conformance.opinfo import expect, report
from tests.conformance.opinfo.options import held
from tests.conformance.opinfo.run import DTYPES, load_target, operators, run
from tools.compat import UNCOUNTED, remaining

pytestmark = pytest.mark.peer

SHARES = 8  # of an operator list; small ones keep every core busy to the end
MODULE = "squall"


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_expected_was_lost(dtype, share):
    expected = expect.read(expect.path_of(MODULE, dtype))
    keys = {key.removesuffix(expect.GRAD).removesuffix(f":{dtype}") for key in expected}
    listed = [
        op for op in operators(dtype) if ".".join(filter(None, (op.name, op.variant_test_name))) in keys
    ]
    records = list(run(load_target(MODULE), listed[share::SHARES], dtype, held(dtype)))
    lost = expect.lost(expected, records)
    details = [report.line(record) for record in records if any(key.startswith(record.key) for key in lost)]
    assert not lost, "\n".join([f"{len(lost)} lost: {' '.join(lost)}", *details])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_does_not_pass_is_explained(dtype):
    """Every operator passes or stands in `remaining.txt` with a reason, never both; the page's floor is 90 %."""
    known = {".".join(filter(None, (op.name, op.variant_test_name))) for op in operators(dtype)}
    keys = expect.read(expect.path_of(MODULE, dtype))
    passing = {key.removesuffix(f":{dtype}") for key in keys if not key.endswith(expect.GRAD)}
    reasons = remaining()[dtype]
    explained = [name for names in reasons.values() for name in names]
    assert len(explained) == len(set(explained))
    assert known - passing == set(explained), (
        f"{dtype}: not explained {sorted(known - passing - set(explained))}, "
        f"explained though they pass or do not exist {sorted(set(explained) - (known - passing))}"
    )
    counted = sum(len(names) for reason, names in reasons.items() if not reason.startswith(UNCOUNTED))
    assert len(passing) / (len(passing) + counted) >= 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_expected_operators_exist(dtype):
    known = {".".join(filter(None, (op.name, op.variant_test_name))) + f":{dtype}" for op in operators(dtype)}
    unknown = {key.removesuffix(expect.GRAD) for key in expect.read(expect.path_of(MODULE, dtype))} - known
    assert not unknown, (
        f"the expect file of {dtype} names operators that OpInfo does not have: {sorted(unknown)}"
    )
