"""The tables of the guide for those who come from PyTorch: every row is run in both libraries."""

import numpy
import pytest
import torch
import torch.utils.checkpoint
import torch.utils.data

import squall as sq
from squall.base.errors import DeviceError
from tests import tables

pytestmark = pytest.mark.peer
PAGE = "docs/how-to/from-pytorch.md"
DATA = [[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]]


def value(code, library):
    """What a cell gives: `t` and `layer` are of one library."""
    layer = library.nn.Linear(3, 2)
    state = {"weight": [[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]], "bias": [0.5, -0.5]}
    layer.load_state_dict({name: library.tensor(values) for name, values in state.items()})
    names = {"torch": torch, "sq": sq, "lib": library, "numpy": numpy, "DeviceError": DeviceError}
    return eval(code, {**names, "t": library.tensor(DATA), "layer": layer})


def same(made, wanted):
    """Whether values, shapes and types of numbers agree."""
    if isinstance(wanted, torch.Tensor):
        numbers = made.detach().numpy(), wanted.detach().numpy()
        return numbers[0].dtype == numbers[1].dtype and numbers[0].shape == numbers[1].shape and numpy.allclose(
            *numbers, rtol=1e-5, atol=1e-5
        )  # fmt: skip
    if isinstance(wanted, tuple):
        return len(made) == len(wanted) and all(map(same, made, wanted))
    return made == wanted


@pytest.mark.parametrize("row", tables.rows(PAGE, "Names side by side"), ids=lambda row: row[0])
def test_names_side_by_side(row):
    made, wanted = value(row[1], sq), value(row[0], torch)
    assert same(made, wanted), f"{row[1]} gives {made}, PyTorch {wanted}"


@pytest.mark.parametrize("row", tables.rows(PAGE, "Where it differs from PyTorch"), ids=lambda row: row[0])
def test_where_it_differs(row):
    for library, gives in ((torch, row[1]), (sq, row[2])):
        wanted = value(gives, library)
        if isinstance(wanted, type) and issubclass(wanted, Exception):
            with pytest.raises(wanted):
                value(row[0], library)
        else:
            assert value(row[0], library) == wanted, library.__name__
