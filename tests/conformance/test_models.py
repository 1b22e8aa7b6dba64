"""The published architectures beside PyTorch: gradients against float64 no worse than twice PyTorch's error.

The model files use only names PyTorch has too, so the same text, its imports pointed at torch, is the PyTorch network.
That the architecture is the published one is held by `tests/unit/models/test_published_names.py`.
"""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import squall as sq  # noqa: E402
import squall.nn.functional as F  # noqa: E402
from squall import models  # noqa: E402
from tests.conformance.accuracy import assert_as_accurate  # noqa: E402

pytestmark = pytest.mark.peer

FOLDER = Path(models.__file__).parent
IMPORTS = {
    "import squall as sq\n": "import torch as sq\n",
    "import squall.nn.functional as F\n": "import torch.nn.functional as F\n",
    "from squall import nn\n": "from torch import nn\n",
}


def of_torch(name):
    """The module `squall.models.<name>` with torch in squall's place."""
    text = (FOLDER / f"{name}.py").read_text()
    for ours, theirs in IMPORTS.items():
        text = text.replace(ours, theirs)
    module = types.ModuleType(f"torch_{name}")
    sys.modules[module.__name__] = module
    exec(compile(text, f"{name}.py of torch", "exec"), module.__dict__)
    return module


def pictures(size, count=6):
    random = np.random.default_rng(0)
    return random.standard_normal((count, 3, size, size)).astype(np.float32), random.integers(0, 5, count)


def tokens():
    random = np.random.default_rng(1)
    return random.integers(1, 40, (6, 11)), random.integers(0, 5, 6)


def all_of_it(out):
    return out


def bert(module):
    config = module.BERTConfig(vocab_size=40, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                               intermediate_size=64, max_position_embeddings=12, hidden_dropout_prob=0.0,
                               attention_probs_dropout_prob=0.0)  # fmt: skip
    return module.BERT(config)


# the file, the model, its data, and the logits in what it gives
NETWORKS = {
    "resnet18": ("resnet", lambda m: m.resnet18(num_classes=5, width=16), lambda: pictures(32), all_of_it),
    "resnet50": ("resnet", lambda m: m.resnet50(num_classes=5, stem="cifar", width=8), lambda: pictures(16), all_of_it),
    "vgg13": ("vgg", lambda m: m.VGG(13, True, 5, 0.0, hidden=32, divide=8), lambda: pictures(32), all_of_it),
    "mobilenet_v2": ("mobilenet", lambda m: m.MobileNetV2(5, 0.25, 0.0), lambda: pictures(96), all_of_it),
    "mobilenet_v3": ("mobilenet", lambda m: m.MobileNetV3("small", 5, 0.5, 0.0), lambda: pictures(32), all_of_it),
    "vit": ("vit", lambda m: m.VisionTransformer(16, 4, 3, 4, 32, 64, num_classes=5), lambda: pictures(16), all_of_it),
    "unet": ("unet", lambda m: m.UNet(3, 5, (8, 16, 24)), lambda: pictures(16), lambda out: out[:, :, 5, 9]),
    "lstm": ("language", lambda m: m.LSTMLanguageModel(40, 24, 32), tokens, lambda out: out[0][:, -1, :5]),
    "bert": ("bert", bert, tokens, lambda out: out[1][:, :5]),
    "gpt2": ("gpt", lambda m: m.gpt2(vocab_size=40, block_size=16, n_layer=3, n_head=4, n_embd=32), tokens,
             lambda out: out[0][:, -1, :5]),
}  # fmt: skip


def torch_gradients(network, state, inputs, targets, dtype):
    module, make, _, head = NETWORKS[network]
    net = make(of_torch(module))
    net.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    net.to(dtype).train()
    x = torch.tensor(inputs)
    loss = torch.nn.functional.cross_entropy(
        head(net(x.to(dtype) if x.is_floating_point() else x)), torch.tensor(targets))
    loss.backward()
    gradients = {n: p.grad.double().numpy() for n, p in net.named_parameters() if p.grad is not None}
    return loss.item(), gradients


def our_state(model):
    """The starting values, with the zero-initialised ones moved a little so that gradients reach every layer."""
    random = np.random.default_rng(2)
    state = {}
    for key, value in model.state_dict().items():
        array = value.detach().numpy().copy()
        if array.dtype == np.float32 and "running" not in key:
            array += random.standard_normal(array.shape).astype(np.float32) * 0.02
        state[key] = array
    return state


# Of some weights a value lies within rounding of a kink of ReLU6, and one library or the other falls on its other side.
SEEDS = {"mobilenet_v2": 4}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_as_accurate_as_pytorchs(name):
    _, make, data, head = NETWORKS[name]
    sq.manual_seed(SEEDS.get(name, 3))
    model = make(models)
    inputs, targets = data()
    state = our_state(model)

    def step(model, x, y):
        loss = F.cross_entropy(head(model(x)), y)
        loss.backward()
        return loss

    results = []
    for run in (step, sq.compile(step)):
        model.load_state_dict({k: sq.tensor(v) for k, v in state.items()})
        model.zero_grad()
        loss = run(model, sq.tensor(inputs), sq.tensor(targets)).item()
        results.append((loss, {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}))
    (loss, ours), (compiled_loss, compiled) = results
    assert loss == compiled_loss and all(np.array_equal(g, compiled[n]) for n, g in ours.items())
    exact_loss, exact = torch_gradients(name, state, inputs, targets, torch.float64)
    their_loss, theirs = torch_gradients(name, state, inputs, targets, torch.float32)
    assert abs(loss - exact_loss) <= max(2 * abs(their_loss - exact_loss), 1e-5 * exact_loss)
    assert_as_accurate(ours, theirs, exact)
