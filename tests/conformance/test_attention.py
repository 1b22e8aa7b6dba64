"""Attention beside PyTorch's: results and gradients against float64 no worse than PyTorch's own error allows."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import squall as sq  # noqa: E402
import squall.nn.functional as F  # noqa: E402

pytestmark = pytest.mark.peer

SHAPES = [(17, 17, 64), (64, 64, 128), (130, 200, 32), (512, 512, 32)]
KINDS = [{}, {"causal": True}, {"mask": "bool"}, {"mask": "float"}, {"shared": 4, "causal": True}]
SEEDS = 3
PEER = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def operands(queries, keys, features, dtype, seed, shared=1, mask=None):
    """Query, key, value, the result's gradient and the mask, in a dtype of PyTorch."""
    draw = np.random.default_rng(seed)
    heads = ((4, queries), (4 // shared, keys), (4 // shared, keys), (4, queries))
    made = [torch.tensor(draw.standard_normal((1, h, n, features))).to(dtype) for h, n in heads]
    if mask == "bool":
        chosen = torch.tensor(draw.random((queries, keys)) < 0.7)
        chosen[:, 0] = True
        return made, chosen
    return made, torch.tensor(draw.standard_normal((queries, keys))).to(dtype) if mask else None


def run_peer(made, mask, dtype, causal, shared):
    """PyTorch's result and gradients, computed in a dtype."""
    q, k, v, g = (x.to(dtype).detach().requires_grad_() for x in made)
    mask = mask.to(dtype) if mask is not None and mask.is_floating_point() else mask
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=shared > 1
    )
    return [x.detach().double().numpy() for x in (out, *torch.autograd.grad(out, (q, k, v), g))]


def run_own(made, mask, dtype, causal, shared):
    """squall's result and gradients."""

    def own(x):
        return sq.tensor(x.detach().float().numpy()).to(dtype) if x.is_floating_point() else sq.tensor(x.numpy())

    q, k, v, g = map(own, made)
    for leaf in (q, k, v):
        leaf.requires_grad_()
    mask = None if mask is None else own(mask)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=shared > 1)
    return [x.detach().to(sq.float64).numpy() for x in (out, *sq.autograd.grad(out, (q, k, v), g))]


def error(found, exact):
    """Root mean square."""
    return np.sqrt(((found - exact) ** 2).mean())


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(f"{n}={v}" for n, v in k.items()) or "plain")
@pytest.mark.parametrize("dtype", PEER)
def test_errors_are_of_pytorch_s_size(dtype, kind):
    causal, shared = kind.get("causal", False), kind.get("shared", 1)
    most = 2.0 if dtype == "float32" else 1.1
    for shape in SHAPES if dtype == "float32" else SHAPES[:2]:
        if causal and shape[0] != shape[1]:
            continue  # defined by PyTorch's fused kernel alone
        for seed in range(SEEDS):
            made, mask = operands(*shape, PEER[dtype], seed, shared, kind.get("mask"))
            exact = run_peer(made, mask, torch.float64, causal, shared)
            theirs = run_peer(made, mask, PEER[dtype], causal, shared)
            ours = run_own(made, mask, getattr(sq, dtype), causal, shared)
            for name, x, y, true in zip(("out", "query", "key", "value"), ours, theirs, exact, strict=True):
                found, allowed = error(x, true), most * error(y, true) + 1e-9
                assert found <= allowed, f"{name} of {shape}, seed {seed}: {found:.2e}, allowed {allowed:.2e}"


def test_flex_attention_is_pytorch_s():
    from torch.nn.attention import flex_attention as peer

    from squall.nn.attention import flex_attention as own

    draw = np.random.default_rng(0)
    arrays = [draw.standard_normal((2, h, 200, 16)).astype("f4") for h in (4, 2, 2)]
    slopes = draw.random(4).astype("f4")

    def run(package, module, tensor):
        """The result with a bias by distance, a soft cap and a sliding window; PyTorch has no gradients on CPUs."""
        q, k, v = map(tensor, arrays)
        held = tensor(slopes)

        def changed(score, b, h, i, j):
            return package.tanh(score / 3) * 3 - held[h] * (i - j)

        mask = module.create_block_mask(lambda b, h, i, j: (i >= j) & (i - j < 40), None, None, 200, 200, device="cpu")
        out, sums = module.flex_attention(q, k, v, changed, mask, enable_gqa=True, return_lse=True)
        return (out.numpy(), sums.numpy()), mask

    ours, mine = run(sq, own, lambda a: sq.tensor(a))
    theirs, other = run(torch, peer, lambda a: torch.tensor(a))
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    assert mine.to_dense().tolist() == other.to_dense().tolist()
