"""Losses against their formulas in float64, with weights, reductions, ignored targets and smoothing."""

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn

RANDOM = np.random.default_rng(5)
LOGITS = RANDOM.normal(size=(6, 4))
TARGET = np.array([0, 3, 1, -100, 2, 3])
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def reference(logits, target, weight, smoothing, reduction):
    logs, kept = log_softmax(logits), target != -100
    safe = np.where(kept, target, 0)
    scale = weight[safe] * kept
    loss = -logs[np.arange(len(target)), safe] * scale
    smooth = -(logs * weight).sum(1) * kept
    loss = (1 - smoothing) * loss + smoothing / logits.shape[1] * smooth
    return loss.sum() / scale.sum() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(reduction, smoothing, weighted):
    weight = WEIGHT if weighted else np.ones(4)
    got = nn.CrossEntropyLoss(sq.tensor(WEIGHT) if weighted else None, reduction=reduction, label_smoothing=smoothing)(
        sq.tensor(LOGITS), sq.tensor(TARGET))
    np.testing.assert_allclose(got.numpy(), reference(LOGITS, TARGET, weight, smoothing, reduction), rtol=1e-12)


def test_cross_entropy_of_images_and_of_probabilities():
    logits, target = RANDOM.normal(size=(2, 4, 3)), RANDOM.integers(0, 4, (2, 3))
    rows = logits.swapaxes(1, 2).reshape(6, 4)
    expected = reference(rows, target.reshape(-1), np.ones(4), 0.0, "none").reshape(2, 3)
    got = F.cross_entropy(sq.tensor(logits), sq.tensor(target), reduction="none")
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
    soft = np.abs(RANDOM.normal(size=(6, 4)))
    got = F.cross_entropy(sq.tensor(LOGITS), sq.tensor(soft), label_smoothing=0.1)
    np.testing.assert_allclose(got.item(), -((soft * 0.9 + 0.025) * log_softmax(LOGITS)).sum(1).mean(), rtol=1e-12)


def test_nll_is_cross_entropy_of_log_probabilities():
    logs = sq.log_softmax(sq.tensor(LOGITS), 1)
    got = nn.NLLLoss(sq.tensor(WEIGHT))(logs, sq.tensor(TARGET))
    np.testing.assert_allclose(got.item(), reference(LOGITS, TARGET, WEIGHT, 0.0, "mean"), rtol=1e-12)


def test_gradient_of_cross_entropy_is_softmax_less_target():
    x = sq.tensor(LOGITS, requires_grad=True)
    F.cross_entropy(x, sq.tensor(TARGET)).backward()
    expected = np.exp(log_softmax(LOGITS))
    expected[np.arange(6), np.where(TARGET < 0, 0, TARGET)] -= 1
    expected[TARGET < 0] = 0
    np.testing.assert_allclose(x.grad.numpy(), expected / 5, rtol=1e-9, atol=1e-12)


A, B = RANDOM.normal(size=(3, 4)) * 2, RANDOM.normal(size=(3, 4))
P, Q = 1 / (1 + np.exp(-A)), 1 / (1 + np.exp(-B))
BCE = -(Q * np.log(P) + (1 - Q) * np.log(1 - P))
D = np.abs(A - B)


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        (nn.MSELoss, (A, B), D**2),
        (nn.L1Loss, (A, B), D),
        (nn.SmoothL1Loss, (A, B), np.where(D < 1, D * D / 2, D - 0.5)),
        (nn.HuberLoss, (A, B), np.where(D <= 1, D * D / 2, D - 0.5)),
        (nn.BCELoss, (P, Q), BCE),
        (nn.BCEWithLogitsLoss, (A, Q), BCE),
        (nn.KLDivLoss, (np.log(P), Q), Q * (np.log(Q) - np.log(P))),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_elementwise_losses(layer, inputs, expected):
    tensors = [sq.tensor(v) for v in inputs]
    np.testing.assert_allclose(layer(reduction="none")(*tensors).numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(layer()(*tensors).item(), expected.mean(), rtol=1e-9)
    np.testing.assert_allclose(layer(reduction="sum")(*tensors).item(), expected.sum(), rtol=1e-9)


def test_weights_of_binary_losses():
    weight, positive = RANDOM.random((3, 4)), RANDOM.random(4)
    weights = {"weight": sq.tensor(weight), "pos_weight": sq.tensor(positive)}
    got = F.binary_cross_entropy_with_logits(sq.tensor(A), sq.tensor(Q), **weights)
    expected = -weight * (positive * Q * np.log(P) + (1 - Q) * np.log(1 - P))
    np.testing.assert_allclose(got.item(), expected.mean(), rtol=1e-9)
    np.testing.assert_allclose(
        F.binary_cross_entropy(sq.tensor(P), sq.tensor(Q), sq.tensor(weight)).item(), (weight * BCE).mean(), rtol=1e-9)


def test_divergence_per_batch_and_of_logarithms():
    expected = (Q * (np.log(Q) - np.log(P))).sum() / 3
    assert abs(F.kl_div(sq.tensor(np.log(P)), sq.tensor(Q), reduction="batchmean").item() - expected) < 1e-12
    got = F.kl_div(sq.tensor(np.log(P)), sq.tensor(np.log(Q)), reduction="batchmean", log_target=True)
    assert abs(got.item() - expected) < 1e-12


def test_unknown_reduction():
    with pytest.raises(ValueError, match="'avg' is not a valid value for reduction"):
        nn.MSELoss(reduction="avg")(sq.zeros(2), sq.zeros(2))
