"""Other forms of calls that PyTorch takes: other names, older positions, batches of cotangents, printing options."""

import numpy as np
import pytest

import squall as sq


def test_other_names_of_arguments():
    x = sq.tensor([1.0, 2.0])
    assert sq.pow(self=2, exponent=x).tolist() == [2.0, 4.0]
    assert sq.float_power(self=2, exponent=x).tolist() == [2.0, 4.0]
    assert sq.isin(element=1.0, test_elements=x).item() is True
    assert x.expand(size=(2, 2)).tolist() == [[1.0, 2.0]] * 2
    assert x.repeat(repeats=(2,)).tolist() == [1.0, 2.0, 1.0, 2.0]
    assert x.clone().copy_(other=x * 2).tolist() == [2.0, 4.0]
    assert sq.arange(end=3).tolist() == [0, 1, 2]
    assert sq.result_type(scalar=2.5, tensor=sq.tensor(1)) is sq.float32
    with pytest.raises(TypeError, match="both 'input' and 'self'"):
        sq.pow(input=x, self=x, exponent=2)


@pytest.mark.parametrize(("call", "missing"), [
    (lambda: sq.xlogy(sq.ones(2)), "other"), (lambda: sq.float_power(sq.ones(2)), "exponent"),
    (lambda: sq.arange(), "end"), (lambda: sq.randint(3), "size"),
    (lambda: sq.while_loop(lambda c: c < 1, lambda c: c), "init"),
])  # fmt: skip
def test_what_is_left_out_is_named(call, missing):
    with pytest.raises(TypeError, match=missing):
        call()


def test_scalars_in_positions_of_their_own():
    a, b = sq.tensor([1.0, 2.0]), sq.tensor([3.0, 5.0])
    assert sq.add(a, 2, b).tolist() == [7.0, 12.0]
    assert sq.sub(a, 2, b).tolist() == [-5.0, -8.0]
    assert sq.addcmul(a, 2, a, b).tolist() == [7.0, 22.0]
    m = sq.eye(2)
    assert sq.addmm(0.5, m, 3, m, m).tolist() == [[3.5, 0.0], [0.0, 3.5]]
    assert sq.addmv(0.5, a, m, b).tolist() == [3.5, 6.0]
    with pytest.raises(TypeError, match="alpha"):
        sq.add(a, 2, b, alpha=3)
    with pytest.raises(TypeError, match="beta"):
        sq.addmm(0.5, m, 3, m, m, beta=2)


def test_numbers_one_by_one_are_positions():
    x = sq.arange(8).reshape(2, 4)
    assert [v.shape for v in x.hsplit(1, 3)] == [(2, 1), (2, 2), (2, 1)]
    assert x.count_nonzero(0, 1).item() == 7


def test_a_batch_of_cotangents():
    x, y = sq.tensor([1.0, 2.0], requires_grad=True), sq.ones(2, requires_grad=True)
    units = sq.eye(2)
    jacobian, none = sq.autograd.grad(x**3, (x, y), units, is_grads_batched=True, allow_unused=True)
    assert jacobian.tolist() == [[3.0, 0.0], [0.0, 12.0]] and none is None
    _, zeros = sq.autograd.grad(x**3, (x, y), units, is_grads_batched=True, materialize_grads=True)
    assert zeros.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(RuntimeError, match="not have been used"):
        sq.autograd.grad(x**3, (x, y), units, is_grads_batched=True)


def test_gradcheck_of_batched_tangents():
    x = sq.tensor([0.5, 1.5], dtype=sq.float64, requires_grad=True)
    assert sq.autograd.gradcheck(lambda v: (v.sin(), v.prod()), x, check_batched_forward_grad=True)
    assert sq.autograd.gradgradcheck(sq.sin, x, gen_non_contig_grad_outputs=True)


def test_profiles_and_exponents_of_printing():
    try:
        sq.set_printoptions(profile="short")
        assert str(sq.tensor([1.234])) == "tensor([1.23])"
        sq.set_printoptions(profile="full")
        assert "..." not in str(sq.zeros(1001))
        sq.set_printoptions(profile="default", sci_mode=False)
        assert str(sq.tensor([1e10, 2.25])) == "tensor([10000000000.0000,           2.2500])"
        sq.set_printoptions(sci_mode=True)
        assert str(sq.tensor([1.0, 2.0])) == "tensor([1.0000e+00, 2.0000e+00])"
        with pytest.raises(ValueError, match="profile"):
            sq.set_printoptions(profile="huge")
    finally:
        sq.set_printoptions(profile="default")


def test_dlpack_with_a_copy():
    array = np.zeros(2, "float32")
    shared, apart = sq.from_dlpack(array), sq.from_dlpack(array, copy=True)
    array[0] = 5
    assert shared.tolist() == [5.0, 0.0] and apart.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="cuda"):
        sq.from_dlpack(array, device="cuda")


def test_bags_by_the_kernels_arguments():
    table = sq.tensor([[1.0, 9.0], [2.0, 1.0], [4.0, 3.0]])
    index, offsets = sq.tensor([0, 2, 1]), sq.tensor([0, 2, 2])
    made, owner, counts, best = sq.embedding_bag(table, index, offsets, False, 2)
    assert made.tolist() == [[4.0, 9.0], [0.0, 0.0], [2.0, 1.0]]
    assert owner.tolist() == [0, 0, 2] and counts.tolist() == [2, 0, 1]
    assert best.tolist() == [[2, 0], [0, 0], [1, 1]]
    with pytest.raises(ValueError, match="mode"):
        sq.embedding_bag(table, index, offsets, False, 3)


def test_loops_with_several_carried_inputs():
    found = sq.while_loop(lambda a, b: a < 10, lambda a, b: (a + b, b), carried_inputs=(sq.tensor(1), sq.tensor(4)))
    assert [v.item() for v in found] == [13, 4]
    with pytest.raises(ValueError, match="not both"):
        sq.while_loop(lambda a: a < 10, lambda a: (a,), (sq.tensor(1),), carried_inputs=(sq.tensor(1),))


def test_compile_that_is_switched_off():
    def twice(x):
        return x * 2

    assert sq.compile(twice, disable=True) is twice
    assert sq.compile(disable=True)(twice) is twice


def test_devices_by_kind_and_number():
    assert repr(sq.device("cpu", 0)) == repr(sq.device(type="cpu", index=0)) == "device(type='cpu', index=0)"
    with pytest.raises(TypeError):
        sq.device()
    with pytest.raises(ValueError, match="number already"):
        sq.device("cpu:0", 1)


def test_the_order_of_dimensions_may_be_ambiguous():
    assert sq.zeros(2, 3).dim_order(ambiguity_check=True) == (0, 1)
    with pytest.raises(RuntimeError, match="several orders"):
        sq.zeros(1, 3).dim_order(ambiguity_check=True)


def test_outermost_eigenvalues():
    random = np.random.default_rng(0)
    a = random.standard_normal((2, 7, 7))
    a, b = a @ a.transpose(0, 2, 1), np.diag(np.arange(1.0, 8.0))
    values, vectors = sq.lobpcg(sq.tensor(a), 2, sq.tensor(b).expand(2, 7, 7))
    whole = np.sort(np.linalg.eigvals(np.linalg.solve(b, a)).real)[:, ::-1]
    assert np.allclose(values.tolist(), whole[:, :2])
    v = np.asarray(vectors.tolist())
    assert np.allclose(a @ v, b @ v * np.asarray(values.tolist())[:, None])
    assert np.allclose(v.transpose(0, 2, 1) @ b @ v, np.eye(2))
    smallest, _ = sq.lobpcg(sq.tensor(a), X=sq.ones(7, 2), largest=False)
    assert np.allclose(smallest.tolist(), np.linalg.eigvalsh(a)[:, :2])
    with pytest.raises(RuntimeError, match="3 times"):
        sq.lobpcg(sq.tensor(a), 3)


def test_choices_of_devices_and_kernels_have_no_effect():
    model = sq.nn.DataParallel(sq.nn.Linear(2, 3), device_ids=[0])
    x = sq.ones(4, 2)
    assert model(x).tolist() == model.module(x).tolist()
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    attention = sq.nn.attention
    q = sq.rand(1, 1, 3, 4)
    plain = sq.nn.functional.scaled_dot_product_attention(q, q, q).tolist()
    with attention.sdpa_kernel([attention.SDPBackend.FLASH_ATTENTION, attention.SDPBackend.MATH], set_priority=True):
        assert sq.nn.functional.scaled_dot_product_attention(q, q, q).tolist() == plain
    with pytest.raises(TypeError, match="backends"), attention.sdpa_kernel("math"):
        pass
