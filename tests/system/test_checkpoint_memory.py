"""`checkpoint` keeps less: the second run is not merged with the first, and happens when its gradient is there."""

import pytest

import squall as sq
from squall import nn
from squall.models import Block, GPTConfig
from squall.runtime.memory import host_pool


def feed_forward():
    width, rows = 64, 2048
    blocks = [nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU()) for _ in range(12)]
    return blocks, sq.randn(rows, width)


def transformer():
    config = GPTConfig(block_size=64, vocab_size=32, n_layer=12, n_head=2, n_embd=32, dropout=0.0)
    return [Block(config) for _ in range(12)], sq.randn(64, 64, 32)


def outcome(make, use, compiled):
    """(loss and gradients, megabytes at the peak beyond what was there before) of a step."""
    sq.manual_seed(0)
    blocks, x = make()
    parameters = [p for b in blocks for p in b.parameters()]

    def step():
        h = x
        for block in blocks:
            h = sq.checkpoint(block, h) if use else block(h)
        loss = (h * h).mean()
        loss.backward()
        return loss

    run = sq.compile(step) if compiled else step
    for _ in range(2):
        for p in parameters:
            p.grad = None
        sq.flush()
        host_pool().reset_peak()
        before = host_pool().statistics().in_use
        loss = run().item()
        peak = host_pool().statistics().peak - before
    return (loss, [p.grad.numpy().tobytes() for p in parameters]), peak / 2**20


@pytest.mark.parametrize(("make", "share"), [(feed_forward, 0.45), (transformer, 0.25)])
@pytest.mark.parametrize("compiled", [False, True], ids=["uncompiled", "compiled"])
def test_the_peak_drops_and_the_bits_stay(make, share, compiled):
    plain, whole = outcome(make, False, compiled)
    again, less = outcome(make, True, compiled)
    assert plain == again
    assert less < share * whole, (whole, less)


def test_a_second_run_draws_what_the_first_drew():
    def gradient(use):
        sq.manual_seed(3)
        x = sq.ones(200, requires_grad=True)
        block = nn.Sequential(nn.Dropout(0.5), nn.Tanh())
        (sq.checkpoint(block, x) if use else block(x)).sum().backward()
        return x.grad.tolist()

    assert gradient(True) == gradient(False)


def test_it_can_be_differentiated_twice():
    def second(use):
        x = sq.tensor([0.5, -1.0], requires_grad=True)
        y = sq.checkpoint(lambda v: (v.exp() * v).sum(), x) if use else (x.exp() * x).sum()
        (g,) = sq.autograd.grad(y, x, create_graph=True)
        (h,) = sq.autograd.grad(g.sum(), x)
        return g.tolist(), h.tolist()

    assert second(True) == second(False)
