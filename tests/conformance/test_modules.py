"""What agreed once with PyTorch's own samples of modules and optimizers still agrees: every key of the expect file."""

import pytest
import torch

from tests.conformance import modules
from tests.conformance.opinfo import expect
from tests.conformance.opinfo.run import load_target

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

SHARES = 6
EXPECTED = expect.read(modules.EXPECT)
NAMES = sorted({key.removesuffix(modules.GRAD) for key in EXPECTED})


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_expected_was_lost(share):
    torch.set_num_threads(1)
    target, lost = load_target("squall"), []
    for name in NAMES[share::SHARES]:
        keys, found = modules.passing(name, target)
        lost += [line for line in found if not {name, name + modules.GRAD} & EXPECTED <= keys]
    assert not lost, "\n".join(lost)


def test_expected_names_exist_and_are_many():
    assert not set(NAMES) - set(modules.names())
    assert sum(name.startswith("nn.") for name in NAMES) >= 110
    assert sum(name.startswith("optim.") for name in NAMES) >= 13
