"""Functions that promise a new Tensor give one also where there is nothing to do; windows that do not overlap are
written like other views."""

import pytest

import squall as sq
import squall.nn.functional as F

NOTHING_TO_DO = {
    "roll by a whole turn": lambda x: x.roll(4, 3),
    "roll by nothing": lambda x: x.roll(0),
    "repeat_interleave": lambda x: x.repeat_interleave(1, 0),
    "pad": lambda x: F.pad(x, (0, 0)),
    "pad and crop nothing": lambda x: F.pad(x, (0, 0), mode="circular"),
    "interpolate": lambda x: F.interpolate(x, size=(2, 4)),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 1),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 1),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", NOTHING_TO_DO)
def test_a_write_to_the_result_leaves_the_argument_alone(name, compiled):
    function = NOTHING_TO_DO[name]
    x = sq.zeros(1, 1, 2, 4)

    def run(x):
        out = function(x)
        out.add_(1)
        return out

    out = (sq.compile(run) if compiled else run)(x)
    assert (x.sum().item(), out.sum().item(), x._version) == (0, 8, 0)


def test_flatten_of_one_dimension_is_the_tensor():
    x = sq.ones(3)
    assert x.flatten() is x and sq.ones(2, 3).flatten().shape == (6,)


def test_windows_side_by_side_are_written():
    x = sq.arange(7.0)
    pairs = x.unfold(0, 2, 3)
    pairs.neg_()
    assert x.tolist() == [0, -1, 2, -3, -4, 5, 6] and pairs.tolist() == [[0, -1], [-3, -4]]
    y = sq.arange(6.0).reshape(2, 3).requires_grad_()
    z = y * 1
    z.unfold(1, 3, 1)[:, 0] = z.detach()[:, None].flip(2)[:, 0] * 10
    assert z.tolist() == [[20, 10, 0], [50, 40, 30]]
    z.sum().backward()
    assert y.grad.abs().sum().item() == 0
    with pytest.raises(RuntimeError, match="single memory location"):
        x.unfold(0, 3, 2).add_(1)
