"""Small networks as users write them: in-place activations, running statistics, sequences filled step by step."""

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.nn import functional as F


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


def test_a_residual_net_with_in_place_relu_trains():
    sq.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), Residual(4), nn.Flatten(), nn.Linear(4 * 16, 2)
    )
    optimizer = sq.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    x, y = sq.randn(16, 1, 4, 4), sq.arange(16) % 2
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], losses


def test_in_place_relu_gives_the_same_gradients():
    def gradients(inplace):
        sq.manual_seed(1)
        block = Residual(3)
        block.relu = nn.ReLU(inplace=inplace)
        (block(sq.randn(2, 3, 4, 4)) ** 2).sum().backward()
        return [p.grad.numpy().copy() for p in block.parameters()]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        assert (a == b).all()


def test_running_statistics_follow_the_batches():
    bn = nn.BatchNorm2d(2, momentum=0.5)
    mean, var = np.zeros(2), np.ones(2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.standard_normal((4, 2, 3, 3)).astype("float32") * 2 + 1
        bn(sq.tensor(x))
        mean = 0.5 * mean + 0.5 * x.mean((0, 2, 3))
        var = 0.5 * var + 0.5 * x.var((0, 2, 3), ddof=1)
    assert np.allclose(bn.running_mean.numpy(), mean, atol=1e-5) and np.allclose(bn.running_var.numpy(), var, atol=1e-5)
    assert bn.num_batches_tracked.item() == 5
    bn.eval()
    x = rng.standard_normal((1, 2, 2, 2)).astype("float32")
    expected = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    assert np.allclose(bn(sq.tensor(x)).detach().numpy(), expected, atol=1e-4)
    assert bn.num_batches_tracked.item() == 5


def test_a_recurrence_that_fills_its_output_differentiates():
    w = sq.tensor([[0.5, 0.1], [0.2, 0.3]], requires_grad=True)
    h, out = sq.ones(3, 2), sq.zeros(3, 5, 2)
    for t in range(5):
        h = (h @ w).tanh()
        out[:, t] = h
    out.sum().backward()
    reference = sq.tensor([[0.5, 0.1], [0.2, 0.3]], requires_grad=True)
    h, parts = sq.ones(3, 2), []
    for _ in range(5):
        h = (h @ reference).tanh()
        parts.append(h)
    sq.stack(parts, 1).sum().backward()
    assert np.allclose(w.grad.tolist(), reference.grad.tolist())


def test_exponential_averages_gradient_clipping_and_weight_decay_by_hand():
    w = sq.ones(4, requires_grad=True)
    average = w.detach().clone()
    for _ in range(3):
        (w**2).sum().backward()
        with sq.no_grad():
            norm = w.grad.norm()
            w.grad.mul_(sq.clamp(1.0 / (norm + 1e-6), max=1.0))
            w.mul_(0.9).sub_(w.grad, alpha=0.1)
            average.lerp_(w, 0.5)
            w.grad.zero_()
    value, mean = 1.0, 1.0
    for _ in range(3):
        g = 2 * value
        g *= min(1.0, 1.0 / (2 * g + 1e-6))
        value = 0.9 * value - 0.1 * g
        mean += 0.5 * (value - mean)
    assert w.tolist() == pytest.approx([value] * 4, rel=1e-5) and average.tolist() == pytest.approx(
        [mean] * 4, rel=1e-5
    )
