"""Memory of a train step: gradients that free activations do not wait for the little things of a step."""

import squall as sq
from squall import nn, optim
from squall.models import BasicBlock
from squall.runtime.memory import host_pool

BATCH, WIDTH, SIZE, LAYERS = 16, 16, 64, 4


def test_a_residual_network_keeps_few_activations():
    sq.manual_seed(0)
    model = nn.Sequential(*(BasicBlock(WIDTH, WIDTH) for _ in range(LAYERS)))
    x = sq.randn(BATCH, WIDTH, SIZE, SIZE)
    step = sq.compile(train_step(model, x))
    for _ in range(3):
        host_pool().reset_peak()
        before = host_pool().statistics().in_use
        step().item()
        peak = host_pool().statistics().peak - before
    activation = BATCH * WIDTH * SIZE**2 * 4
    # Per block two convolutions' results and inputs with padding, two sums, and what the last gradients need.
    assert peak <= 25 * activation, f"{peak / activation:.1f} activations"


def train_step(model, x):
    """A step that forgets the gradients of the last one first."""
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def network_step(layers=6, width=512, rows=512):
    """A train step whose gradients are as large as its activations, and its model."""
    sq.manual_seed(0)
    model = nn.Sequential(*(m for _ in range(layers) for m in (nn.Linear(width, width), nn.GELU())))
    return train_step(model, sq.randn(rows, width)), model


def highest(call):
    """What the pool lends at most during a call, beyond what it lent before."""
    host_pool().reset_peak()
    before = host_pool().statistics().in_use
    call()
    return host_pool().statistics().peak - before


def test_gradients_lend_their_memory_until_they_are_written():
    step, model = network_step()
    compiled = sq.compile(step)
    plain, other = network_step()
    for _ in range(4):  # the later ones in native code
        assert compiled().item() == plain().item()
        for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
            assert ours.grad.numpy().tobytes() == theirs.grad.numpy().tobytes()
    assert "where gradients will be written" in str(sq.explain(compiled))
    for parameter in model.parameters():
        parameter.grad = None
    mb = 1 << 20
    peak = highest(lambda: compiled().item())
    kept = sum(p.grad.numel() * 4 for p in model.parameters())
    # 6 activations and 6 gradients of 1 MiB each, and what the last layer works with: 16 without sharing
    assert kept >= 6 * mb and peak <= 14 * mb, f"{peak / mb:.1f} MiB"


def test_gradients_of_convolutions_leave_donated_memory_to_what_is_updated():
    """Gradients are no smaller than parameters and moments; a donated input goes to one of these, not to a gradient."""
    sq.manual_seed(0)
    model = nn.Sequential(*(nn.Conv2d(128, 128, 3, padding=1) for _ in range(4)))
    step = sq.compile(train_step(model, sq.randn(8, 128, 16, 16)))
    for _ in range(2):
        step().item()
    assert "where gradients will be written" in str(sq.explain(step))
    for parameter in model.parameters():
        parameter.grad = None
    activation, peak = 8 * 128 * 16**2 * 4, highest(lambda: step().item())
    # Four gradients of 0.56 activations in a block of their own, beside the arena of seven; eleven where these
    # gradients take the memory of moments, which then need new memory and lend none.
    assert peak <= 10 * activation, f"{peak / activation:.1f} activations"


def test_a_gradient_that_is_kept_stays_as_it_was():
    step, model = network_step()
    compiled = sq.compile(step)
    compiled(), compiled()
    kept = [p.grad for p in model.parameters()]
    array, before = kept[2].numpy(), [g.numpy().copy() for g in kept]
    for _ in range(3):
        compiled()
    assert all((g.numpy() == b).all() for g, b in zip(kept, before, strict=True))
    assert (array == before[2]).all() and any(
        (p.grad.numpy() != b).any() for p, b in zip(model.parameters(), before, strict=True)
    )
    del kept, array
    for p in model.parameters():
        p.grad.mul_(2.0)  # each has a block of its own as far as anybody can tell
    doubled = [p.grad.numpy().copy() for p in model.parameters()]
    compiled()
    assert all((d != p.grad.numpy()).any() for d, p in zip(doubled, model.parameters(), strict=True))
    assert model[0].weight.grad.untyped_storage().nbytes() == 4 * 512 * 512


def test_gradients_that_add_up_let_the_shared_block_go():
    _, model = network_step()
    x = sq.randn(512, 512)
    add = sq.compile(lambda: (model(x) ** 2).mean().backward())
    add()  # the first gradients may share a block, later ones are sums with what was there
    add()
    once, used = model[0].weight.grad.numpy() / 2, host_pool().statistics().in_use
    for _ in range(3):
        add()
    assert abs(model[0].weight.grad.numpy() - 5 * once).max() < 1e-5
    assert host_pool().statistics().in_use <= used + (1 << 20)
