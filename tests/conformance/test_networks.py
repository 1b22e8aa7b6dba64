"""The three networks beside PyTorch's: gradients against float64 no worse than twice PyTorch's error.

The PyTorch networks are written here, with the same parameter names, so that weights go over by name.
"""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import squall as sq  # noqa: E402
import squall.nn.functional as F  # noqa: E402
from squall.models import GPT, MLP, DigitsCNN, GPTConfig  # noqa: E402
from tests.conformance.accuracy import assert_as_accurate  # noqa: E402

pytestmark = pytest.mark.peer

SMALL = GPTConfig(vocab_size=50, block_size=32, n_layer=3, n_head=4, n_embd=64)


class TorchBlock(torch.nn.Module):
    def __init__(self, inside, outside):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(outside)
        self.conv2 = torch.nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(outside)
        fits = inside == outside
        self.shortcut = torch.nn.Identity() if fits else torch.nn.Conv2d(inside, outside, 1, bias=False)

    def forward(self, x):
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class TorchCNN(torch.nn.Module):
    def __init__(self, width=32):
        super().__init__()
        conv = torch.nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.stem = torch.nn.Sequential(conv, torch.nn.BatchNorm2d(width), torch.nn.ReLU(inplace=True))
        self.block1, self.block2 = TorchBlock(width, width), TorchBlock(width, 2 * width)
        self.pool = torch.nn.MaxPool2d(2)
        self.head = torch.nn.Linear(8 * width, 10)

    def forward(self, x):
        x = self.pool(self.block2(self.pool(self.block1(self.stem(x)))))
        return self.head(x.flatten(1))


class TorchGPTBlock(torch.nn.Module):
    def __init__(self, size, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(size), torch.nn.LayerNorm(size)
        linear = torch.nn.Linear
        self.attn = torch.nn.ModuleDict({"c_attn": linear(size, 3 * size), "c_proj": linear(size, size)})
        self.mlp = torch.nn.ModuleDict({"c_fc": linear(size, 4 * size), "c_proj": linear(4 * size, size)})

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (
            h.view(b, t, self.heads, c // self.heads).transpose(1, 2)
            for h in self.attn["c_attn"](self.ln_1(x)).split(c, dim=2)
        )
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp["c_proj"](torch.nn.functional.gelu(self.mlp["c_fc"](self.ln_2(x))))


class TorchGPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        size = config.n_embd
        blocks = [TorchGPTBlock(size, config.n_head) for _ in range(config.n_layer)]
        self.transformer = torch.nn.ModuleDict({
            "wte": torch.nn.Embedding(config.vocab_size, size), "wpe": torch.nn.Embedding(config.block_size, size),
            "h": torch.nn.ModuleList(blocks), "ln_f": torch.nn.LayerNorm(size)})  # fmt: skip
        self.lm_head = torch.nn.Linear(size, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight

    def forward(self, tokens):
        x = self.transformer["wte"](tokens) + self.transformer["wpe"].weight[: tokens.shape[1]]
        for block in self.transformer["h"]:
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x)).flatten(0, 1)


def torch_mlp():
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 96), torch.nn.GELU()]
    net = torch.nn.Module()
    net.layers = torch.nn.Sequential(*layers, torch.nn.Linear(96, 10))
    net.forward = lambda x: net.layers(x)
    return net


def images():
    random = np.random.default_rng(0)
    return random.random((32, 1, 8, 8)).astype(np.float32), random.integers(0, 10, 32)


def tokens():
    random = np.random.default_rng(1)
    sequence = random.integers(0, 50, (4, 25))
    return sequence[:, :-1], sequence[:, 1:].reshape(-1)


def our_gpt():
    model = GPT(SMALL)
    return model, lambda x: model(x)[0].flatten(0, 1)


def plain(model):
    return model, model


NETWORKS = {
    "mlp": (lambda: plain(MLP(64, (128, 96), 10, activation=sq.nn.GELU)), torch_mlp, images),
    "cnn": (lambda: plain(DigitsCNN(dropout=0.0)), TorchCNN, images),
    "gpt": (our_gpt, lambda: TorchGPT(SMALL), tokens),
}


def torch_gradients(make, state, inputs, targets, dtype):
    net = make()
    net.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    net.to(dtype).train()
    x = torch.tensor(inputs)
    out = net.forward(x.to(dtype) if x.is_floating_point() else x)
    loss = torch.nn.functional.cross_entropy(out, torch.tensor(targets))
    loss.backward()
    return loss.item(), {n: p.grad.double().numpy() for n, p in net.named_parameters()}


@pytest.mark.parametrize("compiled", [False, True], ids=["uncompiled", "compiled"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_as_accurate_as_pytorchs(name, compiled):
    make, make_torch, data = NETWORKS[name]
    sq.manual_seed(3)
    model, forward = make()
    inputs, targets = data()
    state = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}

    def step(model, x, y):
        loss = F.cross_entropy(forward(x), y)
        loss.backward()
        return loss

    loss = (sq.compile(step) if compiled else step)(model, sq.tensor(inputs), sq.tensor(targets)).item()
    exact_loss, exact = torch_gradients(make_torch, state, inputs, targets, torch.float64)
    _, theirs = torch_gradients(make_torch, state, inputs, targets, torch.float32)
    assert math.isclose(loss, exact_loss, rel_tol=1e-5)
    ours = {n: p.grad.numpy() for n, p in model.named_parameters()}
    assert_as_accurate(ours, theirs, exact)


def test_running_statistics_follow_pytorchs():
    sq.manual_seed(5)
    model, other = DigitsCNN(dropout=0.0), TorchCNN()
    other.load_state_dict({k: torch.tensor(v.detach().numpy().copy()) for k, v in model.state_dict().items()})
    x, _ = images()
    for _ in range(3):
        model(sq.tensor(x)), other(torch.tensor(x))
    mine = model.state_dict()
    for key, value in other.state_dict().items():
        np.testing.assert_allclose(mine[key].detach().numpy(), value.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    model.eval(), other.eval()
    a, b = model(sq.tensor(x)).detach().numpy(), other(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_initial_values_have_the_same_spread():
    torch.manual_seed(0)
    sq.manual_seed(0)
    mine, other = DigitsCNN(), TorchCNN()
    for (name, p), q in zip(mine.named_parameters(), other.parameters(), strict=True):
        a, b = p.detach().numpy(), q.detach().numpy()
        if a.size > 500:
            assert abs(a.std() / b.std() - 1) < 0.1 and abs(abs(a).max() / abs(b).max() - 1) < 0.05, name
