"""Losses with margins, likelihoods and CTC against formulas and enumeration in float64."""

import itertools
import math

import numpy as np
import pytest

import squall as sq
import squall.nn.functional as F
from squall import nn

RANDOM = np.random.default_rng(7)
A, B = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 3))
SIGNS = np.where(RANDOM.random((5, 3)) < 0.5, -1.0, 1.0)


def both(loss, inputs, expected):
    """The loss element by element, and its mean."""
    tensors = [sq.tensor(v) for v in inputs]
    got = loss(reduction="none")(*tensors).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(loss()(*tensors).item(), np.mean(expected), rtol=1e-9)


def test_hinge_ranking_and_soft_margins():
    both(lambda **k: nn.HingeEmbeddingLoss(0.7, **k), (A, SIGNS), np.where(SIGNS > 0, A, np.maximum(0, 0.7 - A)))
    both(lambda **k: nn.MarginRankingLoss(0.3, **k), (A, B, SIGNS), np.maximum(0, -SIGNS * (A - B) + 0.3))
    both(nn.SoftMarginLoss, (A, SIGNS), np.log1p(np.exp(-SIGNS * A)))


@pytest.mark.parametrize("p", [1, 2])
def test_margins_between_classes(p):
    target, weight = np.array([0, 2, 1, 1, 0]), np.array([0.5, 1.0, 2.0])
    expected = []
    for x, t in zip(A, target, strict=True):
        parts = [max(0.0, 0.8 - x[t] + x[j]) ** p * weight[t] for j in range(3) if j != t]
        expected.append(sum(parts) / 3)
    both(lambda **k: nn.MultiMarginLoss(p, 0.8, sq.tensor(weight), **k), (A, target), np.array(expected))


def test_margins_between_labels_and_the_rest():
    target = np.array([[0, 2, -1], [1, -1, 0], [-1, 0, 1], [2, 1, 0], [0, -1, -1]])
    expected = []
    for x, row in zip(A, target, strict=True):
        labels = list(itertools.takewhile(lambda t: t >= 0, row))
        others = [j for j in range(3) if j not in labels]
        expected.append(sum(max(0.0, 1 - x[t] + x[j]) for t in labels for j in others) / 3)
    both(nn.MultiLabelMarginLoss, (A, target), np.array(expected))
    truth = (SIGNS > 0) * 1.0
    logs = truth * np.log(1 / (1 + np.exp(-A))) + (1 - truth) * np.log(1 / (1 + np.exp(A)))
    both(nn.MultiLabelSoftMarginLoss, (A, truth), -logs.mean(1))


def test_embeddings_triplets_and_distances():
    cos = (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)
    target = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    both(lambda **k: nn.CosineEmbeddingLoss(0.1, **k), (A, B, target),
         np.where(target > 0, 1 - cos, np.maximum(0, cos - 0.1)))
    np.testing.assert_allclose(nn.CosineSimilarity()(sq.tensor(A), sq.tensor(B)).numpy(), cos, rtol=1e-9)
    c = RANDOM.normal(size=(5, 3))
    near, far, other = (np.linalg.norm(x - y + 1e-6, axis=1) for x, y in ((A, B), (A, c), (B, c)))
    both(nn.TripletMarginLoss, (A, B, c), np.maximum(0, near - far + 1))
    both(lambda **k: nn.TripletMarginLoss(swap=True, **k), (A, B, c), np.maximum(0, near - np.minimum(far, other) + 1))
    both(lambda **k: nn.TripletMarginWithDistanceLoss(distance_function=nn.PairwiseDistance(1.0), **k), (A, B, c),
         np.maximum(0, np.abs(A - B + 1e-6).sum(1) - np.abs(A - c + 1e-6).sum(1) + 1))
    pairs = [np.linalg.norm(A[i] - A[j]) for i in range(5) for j in range(i + 1, 5)]
    np.testing.assert_allclose(F.pdist(sq.tensor(A)).numpy(), pairs, rtol=1e-9)


def test_likelihoods():
    counts, variance = RANDOM.poisson(2.0, (5, 3)).astype(float), RANDOM.random((5, 1)) + 0.1
    stirling = np.where(counts > 1, counts * np.log(np.maximum(counts, 1)) - counts
                        + 0.5 * np.log(2 * np.pi * np.maximum(counts, 1)), 0)
    both(lambda **k: nn.PoissonNLLLoss(full=True, **k), (A, counts), np.exp(A) - counts * A + stirling)
    rate = np.exp(A)
    both(lambda **k: nn.PoissonNLLLoss(log_input=False, **k), (rate, counts), rate - counts * np.log(rate + 1e-8))
    both(lambda **k: nn.GaussianNLLLoss(full=True, **k), (A, B, variance),
         0.5 * (np.log(variance) + (A - B) ** 2 / variance) + 0.5 * math.log(2 * math.pi))


def collapsed(path, blank):
    """Labels of an alignment: repetitions once, blanks gone."""
    return [k for k, _ in itertools.groupby(path) if k != blank]


def enumerated(logs, labels, blank):
    """Minus the log of the summed probability of every alignment."""
    total = sum(math.exp(sum(logs[t, c] for t, c in enumerate(path)))
                for path in itertools.product(range(logs.shape[1]), repeat=len(logs))
                if collapsed(path, blank) == list(labels))
    return -math.log(total) if total else math.inf


@pytest.mark.parametrize("blank", [0, 2])
def test_ctc_sums_over_every_alignment(blank):
    x = RANDOM.normal(size=(5, 4, 3))
    logs = x - np.log(np.exp(x).sum(2, keepdims=True))
    letters = [c for c in range(3) if c != blank]
    labels = np.array([[letters[0], letters[1], letters[0]], [letters[0], letters[0], blank],
                       [letters[1], blank, blank], [letters[1], letters[1], letters[1]]])
    lengths, counts = (5, 4, 3, 3), (3, 2, 0, 3)
    expected = [enumerated(logs[:n, i], labels[i, :c], blank)
                for i, (n, c) in enumerate(zip(lengths, counts, strict=True))]
    given = (sq.tensor(logs), sq.tensor(labels), lengths, counts)
    got = F.ctc_loss(*given, blank=blank, reduction="none").numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    assert math.isinf(expected[3])
    joined = np.concatenate([row[:c] for row, c in zip(labels, counts, strict=True)])
    again = F.ctc_loss(given[0], sq.tensor(joined), sq.tensor(lengths), sq.tensor(counts), blank, "none").numpy()
    np.testing.assert_allclose(again, expected, rtol=1e-9)
    finite = nn.CTCLoss(blank, "sum", zero_infinity=True)(*given).item()
    assert finite == pytest.approx(sum(expected[:3]))


def test_gradients_of_ctc_are_right_where_no_alignment_exists_too():
    x = RANDOM.normal(size=(4, 2, 3))
    labels = sq.tensor([[1, 2], [1, 1]])

    def loss(values):
        return F.ctc_loss(values.log_softmax(2), labels, (4, 2), (2, 2), zero_infinity=True)

    leaf = sq.tensor(x, requires_grad=True)
    loss(leaf).backward()
    assert not leaf.grad.numpy()[:, 1].any()
    assert sq.autograd.gradcheck(loss, (leaf.detach().requires_grad_(),))
    compiled = sq.compile(loss)(sq.tensor(x)).item()
    assert compiled == loss(sq.tensor(x)).item()


def test_older_names_of_reductions():
    x, y = sq.tensor(A), sq.tensor(B)
    assert nn.MSELoss(size_average=False)(x, y).item() == F.mse_loss(x, y, reduction="sum").item()
    assert tuple(F.l1_loss(x, y, reduce=False).shape) == (5, 3)
    with pytest.warns(UserWarning, match="different to the input size"):
        F.mse_loss(sq.zeros(2, 1), sq.zeros(2))
