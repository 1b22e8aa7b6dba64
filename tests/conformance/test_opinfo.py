"""What agreed with PyTorch once still agrees: every key of the expect files, in shares for several cores."""

import pytest

from tests.conformance.opinfo import expect, report
from tests.conformance.opinfo.options import held
from tests.conformance.opinfo.run import DTYPES, load_target, operators, run

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
def test_expected_operators_exist(dtype):
    known = {".".join(filter(None, (op.name, op.variant_test_name))) + f":{dtype}" for op in operators(dtype)}
    unknown = {key.removesuffix(expect.GRAD) for key in expect.read(expect.path_of(MODULE, dtype))} - known
    assert not unknown, (
        f"the expect file of {dtype} names operators that OpInfo does not have: {sorted(unknown)}"
    )
