"""Backward hooks, extra state, parametrizations, weight and spectral norm, fusion with batch norm, summaries."""

import copy
import io

import numpy as np
import pytest

import squall as sq
from squall import nn
from squall.nn.utils import parametrizations, parametrize

RANDOM = np.random.default_rng(13)


def test_backward_hooks_see_and_change_gradients():
    model, seen = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), []
    x = sq.randn(5, 3, requires_grad=True)
    model(x).sum().backward()
    plain, x.grad = x.grad.numpy().copy(), None
    handles = [
        model[0].register_full_backward_hook(lambda m, gi, go: seen.append((m, gi[0].shape, go[0].shape))),
        model[2].register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,)),
        model[2].register_full_backward_pre_hook(lambda m, go: (go[0] * 3,)),
    ]
    model(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), plain * 6, rtol=1e-5)
    assert seen == [(model[0], (5, 3), (5, 4))]
    for handle in handles:
        handle.remove()
    x.grad = None
    model(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), plain, rtol=1e-6)


def test_backward_hooks_without_gradients_of_inputs():
    layer, seen = nn.Linear(3, 2), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append(gi))
    layer(sq.randn(4, 3)).sum().backward()
    assert seen == [(None,)]


def test_forward_hooks_that_are_always_called():
    class Failing(nn.Module):
        def forward(self, x):
            raise ArithmeticError("no")

    module, seen = Failing(), []
    module.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(ArithmeticError):
        module(sq.zeros(1))
    assert seen == [None]


def test_extra_state_is_stored_and_given_back():
    class Counting(nn.Module):
        count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    first, second = nn.Sequential(Counting()), nn.Sequential(Counting())
    first[0].count = 7
    assert first.state_dict() == {"0._extra_state": {"count": 7}}
    second.load_state_dict(first.state_dict())
    assert second[0].count == 7
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        second.load_state_dict({})


def test_submodules_are_replaced_by_name():
    model = nn.Sequential(nn.Sequential(nn.ReLU()))
    model.set_submodule("0.0", nn.Tanh())
    assert isinstance(model[0][0], nn.Tanh)
    with pytest.raises(AttributeError, match="no submodule `9`"):
        model.set_submodule("0.9", nn.Tanh())


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


def test_parametrizations_compute_a_weight_and_go_again():
    layer = nn.Linear(3, 2)
    before, x = layer.weight.detach().numpy().copy(), sq.randn(4, 3)
    expected = layer(x).detach().numpy()
    parametrize.register_parametrization(layer, "weight", Doubled())
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert parametrize.is_parametrized(layer, "weight") and "weight" not in layer._parameters
    assert sorted(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    np.testing.assert_allclose(layer.parametrizations.weight.original.detach().numpy(), before / 4)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5)
    layer(x).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    layer.weight = sq.ones(2, 3)
    assert layer.parametrizations.weight.original.tolist() == [[0.25] * 3] * 2
    twin = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight.tolist() == [[1.0] * 3] * 2
    assert twin.weight.tolist() == [[1.0] * 3] * 2 and type(twin) is not nn.Linear
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(layer, "weights", Doubled())


def test_cached_parametrizations_are_computed_once():
    layer, calls = nn.Linear(2, 2), []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x

    parametrize.register_parametrization(layer, "weight", Counted())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert len(calls) == 1


@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, parametrizations.weight_norm])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_is_length_times_direction(wrap, dim):
    layer = nn.Linear(4, 3)
    weight = layer.weight.detach().numpy().copy()
    wrap(layer, dim=dim)
    np.testing.assert_allclose(layer.weight.detach().numpy(), weight, rtol=1e-5)
    length, direction = [p for n, p in layer.named_parameters() if n != "bias"]
    with sq.no_grad():
        direction.mul_(7.0)
        length.mul_(2.0)
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * weight, rtol=1e-5)
    compiled = sq.compile(lambda x: layer(x).sum())
    x = sq.randn(2, 4)
    compiled(x)
    with sq.no_grad():
        length.mul_(0.5)
    assert compiled(x).item() == layer(x).sum().item() and compiled.captures <= 2


def test_old_weight_norm_is_removed():
    layer = nn.utils.weight_norm(nn.Linear(4, 3))
    value = layer.weight.detach().numpy().copy()
    nn.utils.remove_weight_norm(layer)
    assert type(layer) is nn.Linear and sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_array_equal(layer.weight.detach().numpy(), value)
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_weight_norm(layer)


def test_spectral_norm_divides_by_the_largest_singular_value():
    layer = nn.Linear(5, 4)
    largest = np.linalg.svd(layer.weight.detach().numpy())[1][0]
    value = layer.weight.detach().numpy().copy()
    nn.utils.spectral_norm(layer, n_power_iterations=30)
    np.testing.assert_allclose(layer.weight.detach().numpy(), value / largest, rtol=1e-3)


@pytest.mark.parametrize("affine", [False, True])
def test_fusion_with_batch_norm(affine):
    bn = nn.BatchNorm2d(4, affine=affine)
    for _ in range(2):
        bn(sq.randn(3, 4, 2, 2) * 3 + 1)
    conv, x = nn.Conv2d(3, 4, 3, bias=affine).eval(), sq.randn(2, 3, 5, 5)
    bn.eval()
    fused = nn.utils.fuse_conv_bn_eval(conv, bn)
    np.testing.assert_allclose(fused(x).detach().numpy(), bn(conv(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="only for eval"):
        nn.utils.fuse_conv_bn_eval(conv.train(), bn)


def test_summaries_count_parameters_and_operations():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5))
    model.requires_grad_(False)
    model[4].requires_grad_()
    model.train()
    made = nn.summary(model, (2, 3, 4, 4))
    assert model.training and model[1].num_batches_tracked.item() == 0
    rows = {r.name: r for r in made.rows}
    assert rows["0"].flops == 2 * (2 * 8 * 16) * 27 + 2 * 8 * 16 and rows["4"].flops == 2 * 10 * 128 + 10
    assert rows["0"].output_shape == (2, 8, 4, 4) and rows[""].input_shape == (2, 3, 4, 4)
    assert made.parameters == 224 + 16 + 645 and made.trainable == 645 and made.buffers == 17
    assert made.flops == sum(r.flops for r in made.rows) and "parameters: 885, trained: 645" in str(made)
    two = nn.summary(nn.Bilinear(2, 3, 4), [(5, 2), (5, 3)])
    assert two.rows[0].output_shape == (5, 4)
    assert len(nn.summary(nn.Sequential(model), example=sq.zeros(1, 3, 4, 4), depth=1).rows) == 2
    with pytest.raises(ValueError, match="input_size"):
        nn.summary(model)


def test_rich_shows_a_summary_as_a_table():
    console = pytest.importorskip("rich.console")
    out = console.Console(width=100, record=True, file=io.StringIO())
    out.print(nn.summary(nn.Linear(2, 3), (1, 2)))
    text = out.export_text()
    assert "Linear" in text and "parameters: 9" in text


def test_initial_values_that_give_back_the_input():
    conv = nn.Conv1d(4, 4, 3, padding=1, groups=2, bias=False)
    nn.init.dirac_(conv.weight, 2)
    x = sq.randn(2, 4, 6)
    np.testing.assert_allclose(conv(x).detach().numpy(), x.numpy(), rtol=1e-6)
    held = nn.init.sparse_(sq.empty(10, 7), 0.25)
    assert ((held == 0).sum(0) == 3).all().item()
    with pytest.warns(FutureWarning, match="deprecated in favor"):
        nn.init.uniform(sq.empty(2))


def test_total_norms_and_clipping_by_them():
    p = nn.Parameter(sq.zeros(2))
    p.grad = sq.tensor([3.0, 4.0])
    total = nn.utils.get_total_norm([p.grad])
    nn.utils.clip_grads_with_norm_([p], 1.0, total)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-5)
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.get_total_norm([sq.tensor([float("inf")])], error_if_nonfinite=True)


def test_averaged_models_follow_their_updates():
    model = nn.Linear(2, 1)
    mean, falling = nn.utils.averaging.AveragedModel(model), nn.utils.averaging.AveragedModel(
        model, avg_fn=nn.utils.averaging.get_ema_avg_fn(0.75))
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(model.weight, value)
        mean.update_parameters(model), falling.update_parameters(model)
    assert mean.module.weight.tolist() == [[3.0, 3.0]] and mean.n_averaged.item() == 3
    assert falling.module.weight.tolist() == [[(1 * 0.75 + 0.5) * 0.75 + 1.5] * 2]


def test_statistics_are_found_anew():
    model, data = nn.Sequential(nn.BatchNorm1d(2)), [sq.randn(8, 2) + i for i in range(3)]
    nn.utils.averaging.update_bn(data, model.eval())
    means = np.stack([d.numpy().mean(0) for d in data]).mean(0)
    np.testing.assert_allclose(model[0].running_mean.numpy(), means, rtol=1e-5)
    assert not model.training and model[0].momentum == 0.1


def test_an_adaptive_softmax_sums_to_one_and_gives_its_targets():
    layer, x, target = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10], 2.0), sq.randn(4, 8), [0, 5, 12, 19]
    logs = layer.log_prob(x).detach().numpy()
    np.testing.assert_allclose(np.exp(logs).sum(1), 1, rtol=1e-5)
    made = layer(x, sq.tensor(target))
    np.testing.assert_allclose(made.output.detach().numpy(), logs[range(4), target], rtol=1e-5)
    np.testing.assert_allclose(made.loss.item(), -logs[range(4), target].mean(), rtol=1e-5)
    assert layer.predict(x).tolist() == logs.argmax(1).tolist()
