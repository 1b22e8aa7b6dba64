"""Addresses, storages, set_, typed constructors, names of types."""

import pytest

import squall as sq


def test_addresses_tell_what_shares_memory():
    x = sq.arange(12.0).reshape(3, 4).clone()
    other = x.clone()
    assert x.data_ptr() == x.T.data_ptr() == x[0].data_ptr() == x.view(-1).data_ptr() == x.detach().data_ptr()
    assert x[1, 2].data_ptr() - x.data_ptr() == 24
    assert other.data_ptr() != x.data_ptr()
    assert sq.empty(0).data_ptr() == 0
    assert sq.ones(2).const_data_ptr()


def test_storages():
    x = sq.tensor([1, 2], dtype=sq.uint8)
    whole = x.untyped_storage()
    assert whole == x[1:].untyped_storage() != sq.ones(2).untyped_storage()
    assert (whole.nbytes(), len(whole), whole.size(), whole.tolist()) == (2, 2, 2, [1, 2])
    assert whole.data_ptr() == x.data_ptr() == x[1:].untyped_storage().data_ptr()
    assert sq.is_storage(whole) and not sq.is_storage(x)
    assert str(whole.device) == "cpu"
    with pytest.raises(TypeError, match="untyped_storage"):
        sq.UntypedStorage(x)


def test_set_shows_the_memory_of_another():
    x, z = sq.arange(6.0), sq.empty(0)
    assert z.set_(x) is z
    z[0] = 9.0
    assert x[0].item() == 9.0
    assert z.is_set_to(x) and not z.is_set_to(x[1:]) and not z.is_set_to(x.clone())
    z.set_(x.untyped_storage(), 1, (2, 2), (2, 1))
    assert z.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    z.set_(x, 0, 3)
    assert z.tolist() == [9.0, 1.0, 2.0]
    assert z.set_().shape == (0,)
    with pytest.raises(NotImplementedError, match="float64"):
        z.set_(x.double())
    with pytest.raises(RuntimeError, match="requires grad"):
        sq.ones(2).requires_grad_().set_(x)


def test_as_strided_in_place():
    x = sq.arange(6.0)
    assert x.as_strided_((2, 2), (2, 1), 1).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert x.shape == (2, 2)


def test_constructors_by_type():
    assert sq.LongTensor([1, 2]).dtype is sq.int64
    assert sq.FloatTensor(2, 3).shape == (2, 3)
    assert sq.Tensor(2, 3).shape == (2, 3) and sq.Tensor().shape == (0,)
    assert sq.Tensor([2, 3]).tolist() == [2.0, 3.0]
    assert sq.DoubleTensor(sq.ones(1).double().shape).shape == (1,)
    assert isinstance(sq.ones(1), sq.FloatTensor) and not isinstance(sq.ones(1), sq.LongTensor)
    assert sq.ones(1).double().new([1, 2]).dtype is sq.float64
    with pytest.raises(TypeError, match="float64"):
        sq.FloatTensor(sq.ones(1).double())
    with pytest.raises(TypeError, match="sizes or one sequence"):
        sq.FloatTensor([1.0], [2.0])


def test_names_of_types():
    x = sq.ones(2)
    assert x.type() == sq.typename(x) == "squall.FloatTensor"
    assert x.type("torch.LongTensor").dtype is x.type(sq.LongTensor).dtype is x.type(sq.int64).dtype is sq.int64
    assert sq.typename(3) == "int" and sq.typename(sq.nn.Linear).endswith("Linear")
    sq.set_default_tensor_type(sq.DoubleTensor)
    try:
        assert sq.ones(1).dtype is sq.float64
    finally:
        sq.set_default_tensor_type("torch.FloatTensor")
    with pytest.raises(RuntimeError, match="floating"):
        sq.set_default_tensor_type("torch.LongTensor")


def test_small_methods():
    x = sq.tensor([[1.0, -0.2], [0.3, -4.0]])
    assert x.hardshrink().equal(sq.nn.functional.hardshrink(x))
    assert x.prelu(sq.tensor([0.5])).equal(sq.where(x > 0, x, x * 0.5))
    assert list(reversed(sq.arange(3)).tolist()) == [2, 1, 0]
    y = sq.tensor([1, 2])
    y <<= 2
    assert y.tolist() == [4, 8]
    y >>= 1
    assert y.tolist() == [2, 4]
    assert sq.zeros(2).map2_(sq.ones(2), sq.tensor([2.0, 3.0]), lambda a, b, c: a + b * c).tolist() == [2.0, 3.0]
    assert x.to_dense() is x and x.to_dense(dtype=sq.float64).dtype is sq.float64

    class Mine(sq.Tensor):
        __slots__ = ()

    mine = x.as_subclass(Mine)
    assert type(mine) is Mine and mine.equal(x)
    with pytest.raises(TypeError, match="subclass of Tensor"):
        x.as_subclass(int)
    signal = sq.rand(64)
    spectrum = signal.stft(16, return_complex=True)
    assert sq.allclose(spectrum, sq.stft(signal, 16, return_complex=True))
    assert sq.allclose(spectrum.istft(16, length=64), signal, atol=1e-5)


def test_random_constructors_take_pytorchs_keywords():
    out = sq.empty(3, dtype=sq.float64)
    assert sq.rand(3, out=out) is out and bool((out > 0).any())
    assert sq.eye(2, out=sq.empty(0)).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert sq.arange(3, out=sq.empty(3)).tolist() == [0.0, 1.0, 2.0]
    assert sq.linspace(0, 1, 2, layout=sq.strided, pin_memory=False).tolist() == [0.0, 1.0]
    for kind in (sq.rand, sq.randn):
        made = kind(2000, dtype=sq.complex64)
        assert made.dtype is sq.complex64 and made.imag.std().item() > 0.2
    assert 0.9 < sq.randn(20000, dtype=sq.complex64).abs().square().mean().item() < 1.1
    with pytest.raises(RuntimeError, match="pin_memory"):
        sq.rand(3, pin_memory=True)
    with pytest.raises(NotImplementedError, match="floating"):
        sq.rand(3, dtype=sq.int64)


def test_fork_rng_goes_back():
    sq.manual_seed(3)
    with sq.random.fork_rng():
        a = sq.rand(3)
    with sq.random.fork_rng(enabled=False):
        b = sq.rand(3)
    assert a.equal(b) and not sq.rand(3).equal(b)
    with pytest.raises(RuntimeError, match="cuda"), sq.random.fork_rng(devices=["cuda:0"]):
        pass
