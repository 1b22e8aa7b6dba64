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
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    @sq.compile
    def step():
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        host_pool().reset_peak()
        before = host_pool().statistics().in_use
        step().item()
        peak = host_pool().statistics().peak - before
    activation = BATCH * WIDTH * SIZE**2 * 4
    # Per block two convolutions' results and inputs with padding, two sums, and what the last gradients need.
    assert peak <= 25 * activation, f"{peak / activation:.1f} activations"
