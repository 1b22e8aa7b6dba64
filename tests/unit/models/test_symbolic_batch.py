"""A whole train step with a declared batch size is compiled once and right at every size."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import optim
from squall.models import MLP, DigitsCNN


def train_step(model, optimizer, images, labels):
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def pair(make):
    sq.manual_seed(0)
    model = make()
    return model, optim.AdamW(model.parameters(), 1e-2)


@pytest.mark.parametrize("make", [lambda: MLP(64, (16,)), lambda: DigitsCNN(width=4, dropout=0.0)], ids=["mlp", "cnn"])
def test_sizes_of_the_batch_share_a_program(make):
    batch = sq.Dim("batch", min=1, max=512)
    compiled = sq.compile(train_step, dynamic_shapes=[None, None, {0: batch}, {0: batch}])
    ours, theirs = pair(make), pair(make)
    random = np.random.default_rng(0)
    for size in (7, 64, 1, 65, 200, 2):
        images = sq.tensor(random.random((size, 1, 8, 8), np.float32))
        labels = sq.tensor(random.integers(0, 10, size))
        assert compiled(*ours, images, labels).item() == train_step(*theirs, images, labels).item(), size
    assert compiled.captures == 2  # the first step creates the optimizer's state
    for a, b in zip(ours[0].state_dict().values(), theirs[0].state_dict().values(), strict=True):
        assert a.tolist() == b.tolist()
