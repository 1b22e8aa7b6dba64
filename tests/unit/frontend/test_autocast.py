"""autocast: which functions take which dtype, modes, compile, gradients, the cache of casts; GradScaler."""

import warnings

import pytest

import squall as sq
from squall.nn import functional as F

X, W = sq.rand(2, 4), sq.rand(4, 4)
HALF = sq.rand(2, 4).to(sq.bfloat16)

LOWER = {
    "matmul": lambda: X @ W,
    "mm": lambda: sq.mm(X, W),
    "bmm": lambda: sq.bmm(X[None], W[None]),
    "addmm": lambda: sq.addmm(X, X, W),
    "baddbmm": lambda: sq.baddbmm(X[None], X[None], W[None]),
    "linear": lambda: F.linear(X, W, W[0]),
    "mixed": lambda: F.linear(HALF, W, W[0]),
    "conv": lambda: F.conv2d(sq.rand(1, 1, 4, 4), sq.rand(1, 1, 2, 2), sq.rand(1)),
    "conv_transpose": lambda: F.conv_transpose1d(sq.rand(1, 1, 4), sq.rand(1, 1, 2)),
    "attention": lambda: F.scaled_dot_product_attention(X[None], X[None], X[None]),
    "einsum": lambda: sq.einsum("ij,kj->ik", X, W),
    "lstm": lambda: sq.nn.LSTM(4, 3)(X[None])[0],
    "rnn_cell": lambda: sq.nn.RNNCell(4, 3)(X),
}
FULL = {
    "mse": lambda: F.mse_loss(HALF, X),
    "cross_entropy": lambda: F.cross_entropy(HALF, sq.tensor([1, 2])),
    "prod": lambda: HALF.prod(),
    "fft": lambda: sq.fft.rfft(HALF).real,
    "inv": lambda: sq.linalg.inv(W.to(sq.bfloat16)),
    "lstsq": lambda: sq.linalg.lstsq(W.to(sq.bfloat16), W.to(sq.bfloat16)).solution,
    "pad": lambda: F.pad(HALF[None], (1, 1), mode="reflect"),
    "cat": lambda: sq.cat([HALF, X]),
}
KEPT = {
    "softmax": (lambda: HALF.softmax(-1), sq.bfloat16),
    "layer_norm": (lambda: F.layer_norm(HALF, (4,), sq.ones(4)), sq.bfloat16),
    "add": (lambda: HALF + X, sq.float32),
    "dot": (lambda: sq.dot(X[0], X[1]), sq.float32),
    "mv": (lambda: sq.mv(W, X[0]), sq.float32),
    "double": (lambda: X.double() @ W.double(), sq.float64),
    "elements": (lambda: sq.einsum("ij,ij->ij", X, X), sq.float32),
}


@pytest.mark.parametrize("name", LOWER)
@pytest.mark.parametrize("dtype", [sq.bfloat16, sq.float16], ids=str)
def test_products_take_the_lower_dtype(name, dtype):
    with sq.autocast("cpu", dtype=dtype):
        assert LOWER[name]().dtype is dtype


@pytest.mark.parametrize("name", FULL)
def test_losses_and_factorizations_take_float32(name):
    with sq.autocast("cpu"):
        assert FULL[name]().dtype is sq.float32


@pytest.mark.parametrize("name", KEPT)
def test_other_functions_keep_what_they_are_given(name):
    run, dtype = KEPT[name]
    with sq.autocast("cpu"):
        assert run().dtype is dtype


def test_values_are_those_of_casts_by_hand_and_gradients_are_float32():
    weight = sq.rand(3, 4).requires_grad_()
    with sq.autocast("cpu"):
        out = F.linear(X, weight)
    by_hand = F.linear(X.bfloat16(), weight.bfloat16())
    assert out.equal(by_hand)
    (a,) = sq.autograd.grad(out.float().sum(), weight)
    (b,) = sq.autograd.grad(by_hand.float().sum(), weight)
    assert a.dtype is sq.float32
    assert a.equal(b)


def test_the_mode_ends_with_its_block_also_by_an_error():
    with pytest.raises(ZeroDivisionError), sq.autocast("cpu"):
        assert sq.is_autocast_enabled() and sq.is_autocast_cpu_enabled()
        with sq.autocast("cpu", enabled=False):
            assert (X @ W).dtype is sq.float32
        with sq.autocast("cpu", dtype=sq.float16):
            assert sq.get_autocast_dtype("cpu") is sq.float16
        assert sq.get_autocast_dtype("cpu") is sq.bfloat16
        raise ZeroDivisionError
    assert not sq.is_autocast_enabled("cpu")
    assert (X @ W).dtype is sq.float32


def test_compiled_functions_see_the_mode():
    layer = sq.nn.Linear(4, 3)
    plain = sq.compile(lambda x: layer(x))

    @sq.compile
    def inside(x):
        with sq.autocast("cpu", dtype=sq.float16):
            half = layer(x)
        return half, layer(x)

    for _ in range(2):
        assert plain(X).dtype is sq.float32
        with sq.autocast("cpu"):
            assert plain(X).dtype is sq.bfloat16
        assert [t.dtype for t in inside(X)] == [sq.float16, sq.float32]
    assert sq.compile(sq.autocast("cpu")(layer.forward))(X).dtype is sq.bfloat16


def test_casts_of_leaves_are_kept_until_the_outermost_block_ends():
    weight = sq.rand(3, 4).requires_grad_()
    casts = []

    def cast_of(out):
        return out._edge.edges[1]

    with sq.autocast("cpu"):
        with sq.autocast("cpu"):
            casts.append(cast_of(F.linear(X, weight)))
        casts.append(cast_of(F.linear(X, weight)))
        sq.clear_autocast_cache()
        casts.append(cast_of(F.linear(X, weight)))
    with sq.autocast("cpu", cache_enabled=False):
        assert not sq.is_autocast_cache_enabled()
        assert cast_of(F.linear(X, weight)) is not cast_of(F.linear(X, weight))
    assert casts[0] is casts[1] is not casts[2]
    assert casts[0].op.name == "cast"
    assert sq.is_autocast_cache_enabled()


def test_a_written_leaf_is_cast_anew():
    weight = sq.ones(3, 4).requires_grad_()
    with sq.autocast("cpu"):
        before = F.linear(X, weight)
        with sq.no_grad():
            weight.mul_(2)
        after = F.linear(X, weight)
    assert after.equal(before * 2)


def test_what_there_is_not_turns_it_off_with_a_warning():
    for arguments in (("cuda",), ("cpu", sq.float64)):
        with pytest.warns(UserWarning, match="autocast"), sq.autocast(*arguments):
            assert (X @ W).dtype is sq.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with sq.autocast("cuda", enabled=False):
            pass
    with pytest.raises(RuntimeError, match="'tpu'"):
        sq.autocast("tpu")


def test_settings_by_function():
    sq.set_autocast_enabled("cpu", True)
    try:
        assert (X @ W).dtype is sq.bfloat16
        sq.set_autocast_dtype("cpu", sq.float16)
        assert (X @ W).dtype is sq.float16
        assert sq.get_autocast_cpu_dtype() is sq.float16
    finally:
        sq.set_autocast_cpu_dtype(sq.bfloat16)
        sq.set_autocast_cpu_enabled(False)
    assert sq.autocast_increment_nesting() == 1
    assert sq.autocast_decrement_nesting() == 0
    assert sq.amp.is_autocast_available("cpu") and not sq.amp.is_autocast_available("cuda")
    with pytest.raises(RuntimeError, match="bfloat16 or float16"):
        sq.set_autocast_dtype("cpu", sq.float64)


def test_custom_functions_cast_their_inputs_and_remember_the_mode():
    seen = []

    class Product(sq.autograd.Function):
        @staticmethod
        @sq.amp.custom_fwd(device_type="cpu", cast_inputs=sq.float32)
        def forward(ctx, a, b):
            seen.append((a.dtype, sq.is_autocast_enabled()))
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @sq.amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            seen.append(sq.is_autocast_enabled())
            a, b = ctx.saved_tensors
            return grad @ b.T, a.T @ grad

    x = HALF.clone().requires_grad_()
    with sq.autocast("cpu"):
        out = Product.apply(x, W)
        out.sum().backward()
    assert seen == [(sq.float32, False), False]
    assert out.dtype is sq.float32
    assert x.grad.dtype is sq.bfloat16


# ---------------------------------------------------------------- GradScaler
def training(scaler, gradient=1.0):
    weight = sq.ones(2).requires_grad_()
    optimizer = sq.optim.SGD([weight], lr=0.5)
    scaler.scale((weight * gradient).sum()).backward()
    return weight, optimizer


def test_a_step_is_the_one_without_scaling():
    scaler = sq.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    weight, optimizer = training(scaler)
    assert weight.grad.tolist() == [4.0, 4.0]
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [1.0, 1.0]
    scaler.step(optimizer)
    assert weight.tolist() == [0.5, 0.5]
    scaler.update()
    assert scaler.get_scale() == 8.0


def test_a_step_with_inf_is_left_out_and_the_scale_shrinks():
    scaler = sq.GradScaler("cpu", init_scale=4.0)
    weight, optimizer = training(scaler, float("inf"))
    assert scaler.step(optimizer) is None
    scaler.update()
    assert weight.tolist() == [1.0, 1.0]
    assert scaler.get_scale() == 2.0


def test_the_order_of_calls_is_checked():
    scaler = sq.amp.GradScaler("cpu")
    _, optimizer = training(scaler)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(AssertionError, match="no step"):
        sq.amp.GradScaler("cpu").update()
    with pytest.raises(RuntimeError, match="growth_factor"):
        sq.amp.GradScaler("cpu", growth_factor=0.5)


def test_state_is_kept_and_a_scaler_can_be_off():
    scaler = sq.amp.GradScaler("cpu", init_scale=2.0, growth_interval=7)
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.25)
    other = sq.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    assert (other.get_growth_factor(), other.get_backoff_factor(), other.get_growth_interval()) == (3.0, 0.25, 7)
    off = sq.amp.GradScaler("cpu", enabled=False)
    assert off.scale(3.0) == 3.0 and off.get_scale() == 1.0 and off.state_dict() == {}
    nested = sq.amp.GradScaler("cpu", init_scale=2.0).scale([sq.ones(1), {"a": sq.ones(2)}])
    assert nested[1]["a"].tolist() == [2.0, 2.0]
