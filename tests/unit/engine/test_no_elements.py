"""Values without elements inside of plans: their memory is there, since kernels read rows' first elements early."""

import pytest

import squall as sq
import squall.nn.functional as F
from squall.compiler import memory


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 3), (0, 64)])
def test_sums_over_rows_that_are_not_there(shape):
    x = sq.ones(*shape) * 1.5
    assert F.layer_norm(x, shape[-1:]).sum().item() == 0
    assert (x - x.sin().exp().mean(-1, keepdim=True)).sum().item() == 0
    assert (x.softmax(-1) * x.amax(-1, keepdim=True)).sum(-1).shape == shape[:-1]


def test_every_buffer_of_an_arena_has_memory():
    lives = [memory.Life(0, 0, 0, 1), memory.Life(1, 64, 0, 1), memory.Life(2, 0, 1, 1)]
    made = memory.plan(lives)
    assert all(offset + 64 <= made.total for offset in made.offsets.values())
    assert memory.plan([memory.Life(0, 0, 0, 0)]).total == 64
    n = sq.Dim("n", min=0)
    symbolic = memory.plan([memory.Life(0, n * 4, 0, 0), memory.Life(1, n * 8, 0, 0)])
    assert symbolic.total.value({"n": 0}) >= 64


def test_logsumexp_of_nothing_is_the_logarithm_of_zero():
    x = sq.ones(0, 3, requires_grad=True)
    y = x.logsumexp(0)
    assert y.tolist() == [-float("inf")] * 3 and x.logsumexp(1).shape == (0,)
    y.sum().backward()
    assert x.grad.shape == (0, 3)
    assert sq.compile(lambda x: x.logsumexp((0, 1)))(sq.ones(2, 0)).item() == -float("inf")
