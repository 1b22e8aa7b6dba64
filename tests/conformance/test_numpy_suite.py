"""What passed of NumPy's own tests once still passes, file by file, with the NumPy they were listed with."""

import numpy
import pytest

from tests.conformance import numpy_suite

pytestmark = pytest.mark.peer
LISTED_WITH = "2.4."
FILES = sorted(numpy_suite.expected())


@pytest.mark.skipif(
    not numpy.__version__.startswith(LISTED_WITH), reason=f"the list is of NumPy {LISTED_WITH}*"
)
@pytest.mark.parametrize("file", FILES)
def test_nothing_expected_was_lost(file):
    lost = sorted(numpy_suite.expected()[file] - numpy_suite.passing(file))
    assert not lost, f"{len(lost)} tests of NumPy's that passed once fail: {' '.join(lost[:20])}"
