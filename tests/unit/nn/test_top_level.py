"""Functions of `torch.` whose arguments are not those of `nn.functional`."""

import pytest

import squall as sq
from squall.nn import functional as F


def test_normalization_takes_the_weight_first():
    x, w, b = sq.rand(4, 3, 5), sq.rand(3), sq.rand(3)
    mean, var = sq.zeros(3), sq.ones(3)
    assert sq.batch_norm(x, w, b, None, None, True, 0.1, 1e-5, False).equal(F.batch_norm(x, None, None, w, b, True))
    assert sq.batch_norm(x, w, b, mean, var, False, 0.1, 1e-5).equal(F.batch_norm(x, mean, var, w, b))
    sq.batch_norm(x, w, b, mean, var, True, 0.5, 1e-5, True)
    assert sq.allclose(mean, x.mean((0, 2)) * 0.5)
    assert sq.instance_norm(x, w, b, None, None, True, 0.1, 1e-5, True).equal(F.instance_norm(x, weight=w, bias=b))
    assert sq.group_norm(x, 3, w, b, 1e-5, False).equal(F.group_norm(x, 3, w, b))
    assert sq.layer_norm(x, [5], cudnn_enable=False).equal(F.layer_norm(x, [5]))


def test_tables_take_the_weight_first():
    table, at = sq.rand(4, 2).requires_grad_(), sq.tensor([1, 1, 3])
    assert sq.embedding(table, at).equal(table[at])
    sq.embedding(table, at, padding_idx=3).sum().backward()
    assert table.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]
    rows = sq.tensor([[3.0, 4.0], [0.0, 9.0]])
    assert sq.embedding_renorm_(rows, sq.tensor([0]), 1.0, 2.0) is rows
    assert sq.allclose(rows, sq.tensor([[0.6, 0.8], [0.0, 9.0]]))


def test_reductions_are_numbers():
    a, b = sq.rand(3, 4), sq.rand(3, 4)
    for number, name in enumerate(("none", "mean", "sum")):
        assert sq.kl_div(a, b, number).equal(F.kl_div(a, b, reduction=name))
        assert sq.poisson_nll_loss(a, b, True, False, 1e-8, number).equal(F.poisson_nll_loss(a, b, reduction=name))
        assert sq.hinge_embedding_loss(a, b.sign(), 1.0, number).equal(
            F.hinge_embedding_loss(a, b.sign(), reduction=name))
        made = sq.binary_cross_entropy_with_logits(a, b, None, None, number)
        assert made.equal(F.binary_cross_entropy_with_logits(a, b, reduction=name))
        assert sq.triplet_margin_loss(a, b, -a, 1.0, 2, 1e-6, False, number).equal(
            F.triplet_margin_loss(a, b, -a, reduction=name))
        y = sq.ones(3)
        assert sq.cosine_embedding_loss(a, b, y, 0.0, number).equal(F.cosine_embedding_loss(a, b, y, reduction=name))
        assert sq.margin_ranking_loss(a, b, sq.ones(3, 4), 0.0, number).equal(
            F.margin_ranking_loss(a, b, sq.ones(3, 4), reduction=name))
        logits, labels = sq.rand(5, 2, 4).log_softmax(-1), sq.tensor([[1, 2], [3, 1]])
        assert sq.ctc_loss(logits, labels, [5, 5], [2, 2], 0, number).equal(
            F.ctc_loss(logits, labels, [5, 5], [2, 2], reduction=name))
    with pytest.raises(RuntimeError, match="'reduction' must be 0"):
        sq.kl_div(a, b, 3)


def test_dropout_of_every_kind():
    x = sq.ones(50, 20, 3)
    assert sq.dropout(x, 0.5, False).equal(x)
    whole = sq.feature_dropout(x, 0.5, True)
    assert set(whole.flatten().tolist()) == {0.0, 2.0}
    assert whole.amax(-1).equal(whole.amin(-1))
    y = x.clone()
    assert sq.feature_dropout_(y, 0.5, True) is y and not y.equal(x)
    y = x.clone()
    assert sq.dropout_(y, 1.0, True) is y and y.abs().sum().item() == 0
    made, kept = sq.native_dropout(x, 0.5, True)
    assert kept.dtype is sq.bool and made.equal(kept * 2.0)
    assert sq.native_dropout(x, 0.5, False)[1].all()
    assert sq.alpha_dropout_(x.clone(), 0.5, True).std().item() > 0
    channels = sq.feature_alpha_dropout(x, 0.5, True)
    assert channels.amax(-1).equal(channels.amin(-1))
    with pytest.raises(RuntimeError, match="2 dimensions or more"):
        sq.feature_dropout(sq.ones(3), 0.5, True)


def test_convolutions():
    x, w, b = sq.rand(2, 3, 6, 6), sq.rand(4, 3, 2, 2), sq.rand(4)
    made = sq.convolution(x, w, b, [2, 1], [1, 0], [1, 1], False, [0, 0], 1)
    assert made.equal(F.conv2d(x, w, b, (2, 1), (1, 0)))
    back = sq.convolution(x, sq.rand(3, 4, 2, 2), b, [2, 2], [0, 0], [1, 1], True, [1, 1], 1)
    assert back.shape == (2, 4, 13, 13)
    time = sq.conv_tbc(sq.rand(5, 2, 3), sq.rand(3, 3, 4), sq.zeros(4), 1)
    assert time.shape == (5, 2, 4)
    with pytest.raises(RuntimeError, match="conv_tbc: argument 'weight'"):
        sq.conv_tbc(sq.rand(5, 2, 3), sq.rand(3, 4), sq.zeros(4))
    with pytest.raises(RuntimeError, match="3 to 5 dimensions"):
        sq.convolution(x, sq.rand(4, 3), None, [1], [0], [1], False, [0], 1)


def test_linear_refuses_operands_of_several_dtypes():
    with pytest.raises(RuntimeError, match=r"same dtype, got squall\.float32, squall\.bfloat16"):
        F.linear(sq.ones(2, 3), sq.ones(4, 3).bfloat16())
