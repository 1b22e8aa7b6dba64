"""Module: what it registers, lists, saves, loads, prints, and what it tells compiled functions."""

import copy

import pytest

import squall as sq
from squall import nn
from squall.base import epoch


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False))
        self.scale = nn.Parameter(sq.ones(2))
        self.register_buffer("counter", sq.zeros(1))
        self.register_buffer("scratch", sq.zeros(1), persistent=False)

    def forward(self, x):
        return self.rest(self.norm(self.first(x))) * self.scale


KEYS = ["scale", "counter", "first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean",
        "norm.running_var", "norm.num_batches_tracked", "rest.1.weight"]  # fmt: skip


def test_state_dict_has_pytorchs_keys_in_its_order():
    assert list(Net().state_dict()) == KEYS


def test_names_of_parameters_buffers_and_modules():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "rest.1.weight"]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == [
        "counter", "scratch", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]  # fmt: skip
    assert [n for n, _ in net.named_modules()] == ["", "first", "norm", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "norm", "rest"]
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_parameter("first.bias") is net.first.bias
    with pytest.raises(AttributeError, match="no submodule `nope`"):
        net.get_submodule("rest.nope")


def test_a_shared_parameter_is_listed_once_and_saved_twice():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 1
    assert list(net.state_dict()) == ["0.weight", "1.weight"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 2


def test_loading_copies_values_into_the_same_parameters():
    a, b = Net(), Net()
    before = list(b.parameters())
    result = b.load_state_dict(a.state_dict())
    assert not result.missing_keys and not result.unexpected_keys
    assert all(p is q for p, q in zip(before, b.parameters(), strict=True))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert p.tolist() == q.tolist()
    with sq.no_grad():
        a.scale.fill_(7)
    assert b.scale.tolist() == [1.0, 1.0]


def test_loading_names_every_problem_and_changes_nothing():
    net, state = Net(), Net().state_dict()
    before = net.first.weight.tolist()
    del state["norm.bias"]
    state["extra"] = sq.zeros(1)
    state["scale"] = sq.zeros(3)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("Error(s) in loading state_dict for Net:\n\t")
    assert 'Missing key(s) in state_dict: "norm.bias".' in message
    assert 'Unexpected key(s) in state_dict: "extra".' in message
    assert "size mismatch for scale: copying a param with shape (3,) from checkpoint" in message
    assert net.first.weight.tolist() == before


def test_loading_without_strict_reports_what_differs():
    net, state = Net(), Net().state_dict()
    del state["norm.bias"]
    state["extra"] = sq.zeros(1)
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["norm.bias"] and result.unexpected_keys == ["extra"]


def test_assigning_loads_the_tensors_themselves():
    net, state = nn.Linear(2, 2), {"weight": sq.ones(2, 2), "bias": sq.ones(2)}
    net.load_state_dict(state, assign=True)
    assert isinstance(net.weight, nn.Parameter) and net.weight.requires_grad
    with sq.no_grad():
        state["bias"].fill_(3)
    assert net.bias.tolist() == [3.0, 3.0]


def test_attributes_move_between_registries():
    net = nn.Module()
    net.thing = nn.Parameter(sq.zeros(1))
    net.thing = nn.Linear(1, 1)
    assert "thing" in net._modules and "thing" not in net._parameters
    net.thing = None
    assert net.thing is None
    with pytest.raises(TypeError, match="cannot assign int as child module 'thing'"):
        net.thing = 3
    del net.thing
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'thing'"):
        net.thing


def test_a_parameter_is_not_replaced_by_a_plain_tensor():
    net = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"cannot assign Tensor as parameter 'weight' of Linear"):
        net.weight = sq.zeros(2, 2)


def test_assigning_before_init_is_explained():
    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


@pytest.mark.parametrize(("name", "error"), [("a.b", KeyError), ("", KeyError), ("forward", KeyError)])
def test_registered_names_are_checked(name, error):
    with pytest.raises(error):
        nn.Module().register_parameter(name, nn.Parameter(sq.zeros(1)))


def test_parameters_with_history_are_refused():
    with pytest.raises(TypeError):
        nn.Module().register_parameter("w", sq.ones(1, requires_grad=True) * 2)


def test_forward_must_be_defined():
    with pytest.raises(NotImplementedError, match=r'Module \[Module\] is missing the required "forward" function'):
        nn.Module()(1)


def test_train_and_eval_reach_all_submodules():
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")


def moved(change):
    before = epoch.structure
    change()
    return epoch.structure != before


def test_structure_changes_move_the_epoch_and_repetitions_do_not():
    net = Net()
    assert moved(net.eval)
    assert not moved(net.eval)
    assert moved(net.train)
    assert moved(lambda: setattr(net, "scale", nn.Parameter(sq.zeros(2))))
    assert moved(lambda: net.add_module("more", nn.ReLU()))
    assert moved(lambda: delattr(net, "more"))
    assert moved(lambda: setattr(net, "flag", 1))
    assert not moved(lambda: setattr(net, "flag", 1))
    assert moved(lambda: setattr(net, "flag", 2))
    assert moved(lambda: setattr(net, "flag", 2.0))
    assert moved(lambda: net.register_forward_hook(lambda *_: None))
    assert not moved(lambda: net(sq.ones(2, 3)))


def test_forward_hooks_see_and_change_arguments_and_results():
    layer, seen = nn.Identity(), []
    before = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    after = layer.register_forward_hook(lambda module, args, output: seen.append(args[0].item()) or output * 10)
    assert layer(sq.tensor(1.0)).item() == 20.0 and seen == [2.0]
    before.remove()
    assert layer(sq.tensor(1.0)).item() == 10.0
    after.remove()
    after.remove()
    assert layer(sq.tensor(1.0)).item() == 1.0


def test_hooks_with_keywords_and_order():
    class Sum(nn.Module):
        def forward(self, x, *, y=0):
            return x + y

    layer, order = Sum(), []
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"y": 5}), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, out: order.append("second"), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, out: order.append("first"), prepend=True)
    assert layer(1) == 6 and order == ["first", "second"]


def test_state_dict_hooks_rename_entries():
    net = nn.Linear(2, 2)
    net.register_state_dict_post_hook(lambda module, state, prefix, meta: state.update({"old": state.pop("weight")}))

    def back(module, state, prefix, meta, strict, missing, unexpected, errors):
        state["weight"] = state.pop("old")

    net.register_load_state_dict_pre_hook(back)
    state = net.state_dict()
    assert list(state) == ["bias", "old"]
    net.load_state_dict(state)
    assert "old" in state  # the caller's dictionary is not changed


def test_to_converts_floating_values_and_keeps_parameters():
    net = Net()
    weight = net.first.weight
    assert net.double() is net and net.first.weight is weight
    assert weight.dtype is sq.float64 and net.norm.num_batches_tracked.dtype is sq.int64
    assert net.half().scale.dtype is sq.float16
    assert net.to(dtype=sq.float32).scale.dtype is sq.float32
    with pytest.raises(TypeError, match="floating point"):
        net.to(sq.int64)


def test_gradients_after_a_conversion_have_the_new_dtype():
    layer = nn.Linear(2, 1).double()
    layer(sq.ones(3, 2, dtype=sq.float64)).sum().backward()
    assert layer.weight.grad.dtype is sq.float64 and layer.weight.grad.tolist() == [[3.0, 3.0]]


def test_zero_grad_and_requires_grad():
    layer = nn.Linear(2, 1)
    layer(sq.ones(1, 2)).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0.0, 0.0]]
    layer.zero_grad()
    assert layer.weight.grad is None
    layer.requires_grad_(False)
    assert not layer(sq.ones(1, 2)).requires_grad


def test_apply_visits_children_first():
    seen = []
    nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())).apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["ReLU", "Tanh", "Sequential", "Sequential"]


def test_deepcopy_shares_nothing():
    net = Net()
    twin = copy.deepcopy(net)
    assert isinstance(twin.scale, nn.Parameter)
    with sq.no_grad():
        twin.scale.fill_(5)
        twin.norm.running_mean.fill_(5)
    assert net.scale.tolist() == [1.0, 1.0] and net.norm.running_mean.tolist() == [0.0] * 4


def test_buffers_by_assignment():
    net = nn.Module()
    net.kept = nn.Buffer(sq.ones(2))
    net.dropped = nn.Buffer(sq.ones(2), persistent=False)
    assert list(net.state_dict()) == ["kept"] and len(list(net.buffers())) == 2
    net.kept = sq.zeros(2)
    assert net.state_dict()["kept"].tolist() == [0.0, 0.0]


def test_repr_is_pytorchs():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.1)))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
        "  (1): Sequential(\n"
        "    (0): ReLU(inplace=True)\n"
        "    (1): Dropout(p=0.1, inplace=False)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Linear(2, 3)) == "Linear(in_features=2, out_features=3, bias=True)"
    assert repr(nn.Parameter(sq.zeros(1))).startswith("Parameter containing:\ntensor([0.]")


def test_containers_behave_like_their_builtins():
    net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert isinstance(net[-1], nn.Sigmoid) and len(net[1:]) == 2 and list(net[1:]._modules) == ["1", "2"]
    net.insert(0, nn.GELU()).append(nn.SiLU())
    assert [type(m).__name__ for m in net] == ["GELU", "ReLU", "Tanh", "Sigmoid", "SiLU"]
    del net[1]
    assert list(net._modules) == ["0", "1", "2", "3"]
    with pytest.raises(IndexError, match="out of range for 4"):
        net[4]
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers += [nn.Linear(1, 2)]
    assert [n for n, _ in layers.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    named = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    assert "a" in named and list(named) == ["a", "b"] and isinstance(named.pop("a"), nn.ReLU) and len(named) == 1
