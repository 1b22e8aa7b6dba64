"""nn.utils, func and swa_utils: orthogonal weights, sequences, stacked modules, modules without drawn weights."""

import pytest

import squall as sq
from squall import nn
from squall.nn.utils import parametrizations, parametrize, rnn


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
@pytest.mark.parametrize("way", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_weights_stay_so_and_can_be_assigned(shape, way):
    layer = parametrizations.orthogonal(nn.Linear(shape[1], shape[0]), orthogonal_map=way)

    def gap():
        w = layer.weight.detach()
        small = w.T @ w if shape[0] >= shape[1] else w @ w.T
        return (small - sq.eye(min(shape))).abs().max().item()

    assert gap() < 1e-5
    optimizer = sq.optim.SGD(layer.parameters(), lr=0.5)
    before = layer.weight.detach().clone()
    layer(sq.rand(5, shape[1])).square().sum().backward()
    optimizer.step()
    assert gap() < 1e-5 and not before.equal(layer.weight)
    wanted = sq.linalg.qr(sq.rand(max(shape), min(shape))).Q
    wanted = wanted if shape[0] >= shape[1] else wanted.T
    layer.weight = wanted
    assert sq.allclose(layer.weight, wanted, atol=1e-5)


def test_orthogonal_without_trivialization_and_its_errors():
    layer = parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="cayley", use_trivialization=False)
    assert sq.allclose(layer.weight @ layer.weight.T, sq.eye(3), atol=1e-5)
    with pytest.raises(NotImplementedError, match="use_trivialization"):
        layer.weight = sq.eye(3)
    with pytest.raises(ValueError, match="one of"):
        parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="other")
    with pytest.raises(ValueError, match="1 dimensions"):
        parametrizations.orthogonal(nn.Linear(3, 3), "bias")


def test_parametrizations_are_handed_over():
    a = parametrizations.weight_norm(nn.Linear(2, 3))
    b = parametrize.transfer_parametrizations_and_params(a, nn.Linear(2, 3))
    assert sq.allclose(a.weight, b.weight)
    with pytest.raises(ValueError, match="no parametrization"):
        parametrize.transfer_parametrizations_and_params(nn.Linear(2, 3), b)


def test_sequences_back_from_padding_and_packing():
    parts = [sq.rand(n, 2) for n in (2, 4, 1)]
    padded = rnn.pad_sequence(parts)
    for made, part in zip(rnn.unpad_sequence(padded, sq.tensor([2, 4, 1])), parts, strict=True):
        assert made.equal(part)
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    for made, part in zip(rnn.unpack_sequence(packed), parts, strict=True):
        assert made.equal(part)
    order = sq.tensor([2, 0, 1])
    assert order[rnn.invert_permutation(order)].tolist() == [0, 1, 2]
    assert rnn.invert_permutation(None) is None
    with pytest.raises(ValueError, match="expected 3 lengths"):
        rnn.unpad_sequence(padded, [2])


def test_stacked_modules_run_under_vmap():
    models = [nn.Linear(2, 3) for _ in range(4)]
    parameters, _ = sq.func.stack_module_state(models)
    x = sq.rand(5, 2)
    made = sq.vmap(lambda p, v: sq.func.functional_call(models[0], p, v), in_dims=(0, None))(parameters, x)
    for one, model in zip(made, models, strict=True):
        assert sq.allclose(one, model(x), atol=1e-6)
    assert parameters["weight"].requires_grad and parameters["weight"].is_leaf
    with pytest.raises(RuntimeError, match="same class"):
        sq.func.stack_module_state([nn.Linear(1, 1), nn.ReLU()])
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm2d(2)))
    sq.func.replace_all_batch_norm_modules_(net)
    assert net[1][0].running_var is None and not net[0].track_running_stats


def test_checkpointed_chains_have_the_same_gradients():
    net = nn.Sequential(*[nn.Linear(3, 3) for _ in range(5)])
    x = sq.rand(2, 3)
    net(x).sum().backward()
    wanted = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    sq.func.checkpoint_sequential(net, 2, x.requires_grad_()).sum().backward()
    for parameter, grad in zip(net.parameters(), wanted, strict=True):
        assert sq.allclose(parameter.grad, grad)
    with pytest.raises(RuntimeError, match="6 segments"):
        sq.func.checkpoint_sequential(net, 6, x)


def test_modules_without_drawn_weights_use_no_random_numbers():
    sq.manual_seed(0)
    before = sq.get_rng_state()
    layer = nn.utils.skip_init(nn.Linear, 3, 2)
    assert sq.get_rng_state().equal(before)
    assert layer.weight.shape == (2, 3) and layer.weight.requires_grad
    with pytest.raises(RuntimeError, match="class of modules"):
        nn.utils.skip_init(int)


def test_lazy_buffers_and_older_names():
    buffer = nn.UninitializedBuffer()
    assert nn.is_lazy(buffer)
    buffer.materialize((2,))
    assert not nn.is_lazy(buffer) and buffer.shape == (2,)
    weight = nn.Parameter(sq.ones(1))
    weight.grad = sq.tensor([3.0])
    with pytest.warns(FutureWarning):
        nn.utils.clip_grad_norm([weight], 1.0)
    assert weight.grad.item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_spectral_norm(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="twice"):
        nn.factory_kwargs({"dtype": 1, "factory_kwargs": {"dtype": 2}})


def test_averages_of_many_in_place():
    model = nn.Linear(2, 1)
    for rule in (sq.optim.swa_utils.get_ema_multi_avg_fn(0.5), sq.optim.swa_utils.get_swa_multi_avg_fn()):
        average = sq.optim.swa_utils.AveragedModel(model, multi_avg_fn=rule)
        average.update_parameters(model)
        with sq.no_grad():
            start = model.weight.clone()
            model.weight.add_(2.0)
        average.update_parameters(model)
        assert sq.allclose(average.module.weight, start + 1.0)
