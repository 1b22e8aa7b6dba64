"""The Tensor class against PyTorch's: printing, strides, indexing, promotion, conversions and errors."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest

import squall as sq
from tests.conformance import indices

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

INF, NAN = math.inf, math.nan
DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]

PRINTED = [
    "L.tensor(1.5)",
    "L.tensor(3)",
    "L.tensor(True)",
    "L.tensor(-0.0)",
    "L.tensor(float('nan'))",
    "L.tensor(1e10)",
    "L.tensor(1e-7)",
    "L.tensor([])",
    "L.zeros(0, 3)",
    "L.zeros(2, 0)",
    "L.tensor([], dtype=L.int64)",
    "L.tensor([1, 2, 3])",
    "L.tensor([1, -2, 300])",
    "L.tensor([True, False])",
    "L.tensor([1.0, 2.0])",
    "L.tensor([1.0, 2.5, -3.25])",
    "L.tensor([1e-5, 1.0])",
    "L.tensor([1e5, 1.0])",
    "L.tensor([1e9, 1.0])",
    "L.tensor([float('inf'), 1.0, float('nan')])",
    "L.tensor([float('inf')])",
    "L.tensor([0.1, 1000.5, 2.0])",
    "L.tensor([[1, 2], [3, 4]])",
    "L.tensor([[1.5, 2], [3, -4]])",
    "L.arange(24).reshape(2, 3, 4)",
    "L.arange(24.0).reshape(2, 3, 4) / 7",
    "L.arange(2000)",
    "L.arange(2000.0)",
    "L.arange(1200.0).reshape(30, 40)",
    "L.arange(40000).reshape(200, 200)",
    "L.arange(50.0) * 0.37",
    "L.arange(30) * 12345",
    "L.zeros(2, 2, dtype=L.float64)",
    "L.ones(3, dtype=L.float16) / 3",
    "L.ones(3, dtype=L.bfloat16) / 3",
    "L.ones(3, dtype=L.uint8)",
    "L.ones(2, dtype=L.int32)",
    "L.zeros(1, 1, 1, 1)",
    "L.tensor([1.0, 2.0], requires_grad=True)",
    "L.tensor([1.0, 2.0], requires_grad=True) * 2",
    "L.tensor([1.0], requires_grad=True).sum()",
    "L.tensor([1.0], requires_grad=True).exp()",
    "L.arange(6.0).reshape(2, 3).T",
    "L.arange(1001.0)",
    "L.arange(1000.0)[::7]",
    "L.tensor([123456.789, 0.001])",
    "L.tensor([99999.0, 0.5])",
    "L.tensor([1e-4, 1e-3])",
    "L.tensor([[1e-8, 1.0], [2.0, 3.0]])",
    "L.tensor([1e38, -1e38])",
    "L.arange(8).reshape(2, 2, 2) > 3",
    "L.linspace(0, 1, 7)",
    "L.eye(3)",
    "L.ones(1100, 2).sum(1)",
    "L.arange(3000).reshape(3, 10, 100)",
]


@pytest.mark.parametrize("expression", PRINTED)
def test_prints_as_in_pytorch(expression):
    ours, theirs = (repr(eval(expression, {"L": library})) for library in (sq, torch))
    assert ours.replace("squall.", "torch.") == theirs


def test_sizes_dtypes_and_devices_print_as_in_pytorch():
    assert repr(sq.zeros(2, 3).shape).replace("squall", "torch") == repr(torch.zeros(2, 3).shape)
    assert repr(sq.float32).replace("squall", "torch") == repr(torch.float32)
    assert repr(sq.zeros(1).device) == repr(torch.zeros(1).device) and str(sq.zeros(1).device) == "cpu"
    assert f"{sq.tensor(2.5):.2f}" == f"{torch.tensor(2.5):.2f}"


STRIDED = [
    "x",
    "x.T",
    "x[1]",
    "x[:, 1]",
    "x[::2]",
    "x[:, ::2]",
    "x[1:, 1:3]",
    "x.view(24)",
    "x.view(2, 12)",
    "x.view(4, 3, 2, 1)",
    "x.transpose(0, 2)",
    "x.permute(2, 0, 1)",
    "x.unsqueeze(0)",
    "x.unsqueeze(1)",
    "x.unsqueeze(-1)",
    "x[0].expand(5, 3, 4)",
    "x[:, :1].expand(2, 6, 4)",
    "x.diagonal()",
    "x.diagonal(1, 1, 2)",
    "x.narrow(1, 1, 2)",
    "x.select(2, 1)",
    "x.unfold(2, 2, 1)",
    "x.unfold(1, 2, 2)",
    "x.squeeze()",
    "x[:1].squeeze()",
    "x[:1].squeeze(0)",
    "x.flatten()",
    "x.flatten(1)",
    "x.reshape(6, 4)",
    "x.transpose(0, 1).reshape(6, 4)",
    "x.transpose(1, 2).reshape(2, 12)",
    "x.movedim(0, 2)",
    "x.T.T",
    "x[..., None]",
    "x[None, 1]",
    "x.contiguous()",
    "x.transpose(0, 2).contiguous()",
    "x.split(2, 1)[1]",
    "x.chunk(2, 2)[1]",
    "x.unbind(1)[2]",
    "x.swapaxes(0, 1)",
    "x[:, None, 1:2]",
    "x[1:1]",
    "x.view(1, 2, 1, 3, 4)",
    "x[0, 0, 0]",
    "x.unflatten(2, (2, 2))",
    "x.mT",
    "x[:, 0].t()",
    "x.detach()[1]",
    "x.expand(2, 3, 4)",
    "x.expand(3, -1, -1, -1)",
    "x[0:1].expand(4, 3, 4)[2]",
    "x.transpose(0, 2).view(4, 3, 2)",
    "x.view(-1, 8)[1]",
]


@pytest.mark.filterwarnings("ignore:The use of `x.T`")
@pytest.mark.parametrize("expression", STRIDED)
def test_strides_as_in_pytorch(expression):
    found = []
    for library in (sq, torch):
        t = eval(expression, {"x": library.arange(24).reshape(2, 3, 4)})
        found.append((tuple(t.shape), t.stride(), t.storage_offset(), t.is_contiguous(), t.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "expression",
    ["x.T.view(24)", "x.transpose(0, 1).view(6, 4)", "x[:, ::2].view(16)", "x.view(5, 5)", "x.view(-1, 7)"],
)
def test_views_that_cannot_be_raise_as_in_pytorch(expression):
    for library in (sq, torch):
        with pytest.raises(RuntimeError):
            eval(expression, {"x": library.arange(24).reshape(2, 3, 4)})


@pytest.mark.parametrize("seed", range(40))
def test_indexing_as_in_pytorch(seed):
    for number in range(10):
        case = indices.Case(seed * 10 + number)
        ours, theirs = case.read(sq), case.read(torch)
        assert ours == theirs, f"{case}: {ours} instead of {theirs}"
        ours, theirs = case.write(sq), case.write(torch)
        assert ours == theirs, f"{case} written: {ours} instead of {theirs}"


def name_of(dtype):
    return str(dtype).split(".")[-1]


OPERATIONS = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "gt": lambda a, b: a > b,
    "where": lambda a, b: (a == a).where(a == a, b) if False else a * 0 + b,
}


def result(operation, a, b):
    try:
        return name_of(operation(a, b).dtype)
    except (RuntimeError, TypeError, ValueError) as error:
        return type(error).__mro__[-3].__name__ if False else "error"


@pytest.mark.parametrize("first", DTYPES)
def test_promotion_of_two_tensors_as_in_pytorch(first):
    shapes = [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())]
    for second, (s, t), (name, operation) in itertools.product(DTYPES, shapes, OPERATIONS.items()):
        ours, theirs = (
            result(operation, lib.ones(s, dtype=getattr(lib, first)), lib.ones(t, dtype=getattr(lib, second)))
            for lib in (sq, torch)
        )
        assert ours == theirs, (name, first, s, second, t)


@pytest.mark.parametrize("first", DTYPES)
def test_promotion_with_numbers_as_in_pytorch(first):
    numbers = [True, 2, 2.5, np.float32(2), np.float64(2), np.int64(2)]
    for number, shape, (name, operation) in itertools.product(numbers, [(2,), ()], OPERATIONS.items()):
        for flip in (False, True):
            ours, theirs = (
                result(
                    operation,
                    *(lambda t: (number, t) if flip else (t, number))(
                        lib.ones(shape, dtype=getattr(lib, first))
                    ),
                )
                for lib in (sq, torch)
            )
            if flip and isinstance(number, np.generic):
                continue  # NumPy asks PyTorch's tensor for an array first
            assert ours == theirs, (name, first, shape, number, flip)


@pytest.mark.parametrize(
    "function",
    [
        "sum",
        "mean",
        "prod",
        "cumsum",
        "max",
        "argmax",
        "any",
        "exp",
        "sqrt",
        "abs",
        "neg",
        "relu",
        "sigmoid",
        "floor",
        "sign",
        "logical_not",
        "bitwise_not",
        "isnan",
        "square",
        "var",
        "round",
    ],
)
def test_result_dtypes_of_functions_as_in_pytorch(function):
    for dtype in DTYPES:
        found = []
        for lib in (sq, torch):
            t = lib.ones(2, 2, dtype=getattr(lib, dtype))
            try:
                found.append(
                    name_of(
                        (getattr(t, function)(0) if function == "cumsum" else getattr(t, function)()).dtype
                    )
                )
            except (RuntimeError, TypeError, IndexError):
                found.append("error")
        assert found[0] == found[1], (function, dtype)


CREATED = [
    "L.tensor([1, 2])",
    "L.tensor([1, 2.5])",
    "L.tensor([True])",
    "L.tensor(3)",
    "L.tensor(np.arange(3, dtype='int16'))",
    "L.tensor(np.float64(2))",
    "L.tensor([np.float64(2)])",
    "L.tensor(np.ones(2))",
    "L.tensor([[1], [2]])",
    "L.tensor([L.tensor(1), L.tensor(2)])",
    "L.full((2,), 3)",
    "L.full((2,), 3.0)",
    "L.full((2,), True)",
    "L.arange(3)",
    "L.arange(3.0)",
    "L.arange(0, 1, 0.25)",
    "L.arange(5, 1, -2)",
    "L.linspace(0, 1, 5)",
    "L.eye(2)",
    "L.zeros_like(L.ones(2, dtype=L.int8))",
    "L.ones(2).new_zeros(3)",
    "L.ones(2, dtype=L.int8).new_tensor([1.5])",
    "L.as_tensor([1.0])",
    "L.ones(())",
    "L.zeros((2, 3))",
    "L.empty(2, 0)",
    "L.tensor([])",
    "L.Tensor([1, 2])",
    "L.ones(2).long()",
    "L.ones(2).bool()",
    "L.tensor([1.7, -1.7]).int()",
    "L.tensor([300, -1]).to(L.uint8)",
    "L.tensor([0.1]).double().float()",
    "L.ones(2).type(L.int16)",
    "L.ones(2).to(L.zeros(1, dtype=L.float64))",
    "L.ones(2).to('cpu', L.int32)",
    "L.tensor([2.5, 3.5, -2.5]).round()",
    "L.tensor([7, -7]) // 2",
    "L.tensor([7, -7]) % 3",
    "L.tensor([7.0, -7.0]) % 3",
    "-L.tensor([1, 2])",
    "~L.tensor([True, False])",
    "~L.tensor([1, 2])",
    "L.tensor([1, 2]) ** 2",
    "L.tensor([1, 2]) ** 2.0",
    "2 ** L.tensor([1, 2])",
    "L.tensor([5]) << 2",
    "L.tensor([1.0]) / 0",
    "1 - L.tensor([3])",
    "L.tensor([1, 2]) / 2",
    "L.tensor([True]) + L.tensor([True])",
    "L.tensor(3) @ L.tensor(3) if False else L.tensor([1, 2]) @ L.tensor([3, 4])",
]


@pytest.mark.parametrize("expression", CREATED)
def test_values_and_dtypes_as_in_pytorch(expression):
    ours, theirs = (eval(expression, {"L": library, "np": np}) for library in (sq, torch))
    assert name_of(ours.dtype) == name_of(theirs.dtype) and tuple(ours.shape) == tuple(theirs.shape)
    if "empty" not in expression:
        assert np.allclose(np.array(ours.tolist(), dtype=float), np.array(theirs.tolist(), dtype=float), equal_nan=True)


ERRORS = [
    "L.ones(2) + L.ones(3)",
    "L.ones(2, 3) @ L.ones(2, 3)",
    "L.ones(2)[5]",
    "L.ones(2)[0, 0]",
    "L.ones(2, 2).sum(2)",
    "L.ones(2).view(3)",
    "L.ones(2).item()",
    "bool(L.ones(2))",
    "int(L.ones(2))",
    "len(L.tensor(1))",
    "list(L.tensor(1))",
    "L.tensor(1)[0]",
    "L.ones(2, 2).T.view(4)",
    "L.tensor([[1], [2, 3]])",
    "L.tensor(['a'])",
    "L.tensor(None)",
    "L.cat([])",
    "L.cat([L.ones(2), L.ones(2, 2)])",
    "L.stack([L.ones(2), L.ones(3)])",
    "L.ones(2).reshape(-1, -1)",
    "L.ones(3).reshape(2, -1)",
    "L.ones(2).expand(3)",
    "L.ones(2, 3).permute(0, 0)",
    "L.ones(2, 3).permute(0)",
    "L.ones(2).squeeze(3)",
    "L.ones(2).transpose(0, 1)",
    "L.ones(2)[L.tensor([1.0])]",
    "L.ones(2)[[0, 5]].tolist()",
    "L.ones(3)[L.tensor([True, False])]",
    "L.ones(2) @ L.ones(2, dtype=L.int64)",
    "L.ones(2).mean(dtype=L.int64)",
    "L.tensor([1]).mean()",
    "L.tensor([1]).softmax(0)",
    "L.ones(2)['a']",
    "L.ones(2)[1.5]",
    "L.ones(4)[::-1]",
    "L.ones(2) + 'a'",
    "L.ones(2) + None",
    "L.ones(0).max()",
    "L.ones(0).argmax()",
    "L.ones(2).gather(0, L.tensor([3])).tolist()",
    "L.ones(2).gather(0, L.tensor([0.5]))",
    "L.ones(2).to('nonsense')",
    "L.tensor([1]) ** -1",
    "L.ones(2).split(0)",
    "L.ones(2).chunk(0)",
    "L.arange(0, 3, -1)",
    "L.arange(0, 3, 0)",
    "L.zeros(2).index_add_(0, L.tensor([0]), L.ones(2))",
    "L.ones(2).unsqueeze(4)",
    "L.ones(2, 2).diagonal(0, 1, 1)",
    "L.ones(3).narrow(0, 2, 2)",
    "L.ones(2).requires_grad_().numpy()",
    "L.ones(3)[0:2].copy_(L.ones(3))",
    "L.ones(2).clamp()",
    "L.ones(2).var(5)",
    "L.tensor([1, 2]).sqrt_()",
    "L.ones(2).backward()",
    "L.ones(2) < 'b'",
    "L.ones(2).scatter_(0, L.tensor([0]), L.ones(1, dtype=L.int64))",
    "L.ones(2).fill_(L.ones(2))",
    "L.ones(2, 2)[L.tensor([0, 2])].tolist()",
    "L.ones(2).repeat()",
    "L.ones(2).topk(3)",
    "L.zeros(-1)",
    "L.ones(2).flip(2)",
    "float('1') + L.ones(2)[None][3]",
    "L.ones(2).__index__()",
]


@pytest.mark.parametrize("expression", ERRORS)
def test_errors_are_of_the_classes_pytorch_raises(expression):
    raised = []
    for library in (sq, torch):
        with pytest.raises(Exception) as info:
            eval(expression, {"L": library})
        raised.append(info.value)
    ours, theirs = raised
    builtin = next(c for c in type(theirs).__mro__ if c.__module__ == "builtins")
    assert isinstance(ours, builtin), f"{type(ours).__mro__} {ours} instead of {builtin.__name__}: {theirs}"
    assert len(str(ours)) > 10, "a message that says what was wrong"


def test_dlpack_both_ways_with_pytorch():
    t = sq.arange(6.0).reshape(2, 3)
    p = torch.from_dlpack(t)
    p[0, 0] = 9
    assert t[0, 0].item() == 9 and p.shape == (2, 3)
    q = torch.arange(4, dtype=torch.float32)[::2]
    s = sq.from_dlpack(q)
    s += 1
    assert q.tolist() == [1, 3] and s.stride() == (2,)
    for name in ("bfloat16", "float16", "int8", "bool", "uint8", "float64"):
        a = torch.ones(3, dtype=getattr(torch, name))
        assert name_of(sq.from_dlpack(a).dtype) == name and sq.from_dlpack(a).tolist() == a.tolist()
        b = sq.ones(3, dtype=getattr(sq, name))
        assert torch.from_dlpack(b).tolist() == b.tolist() and name_of(torch.from_dlpack(b).dtype) == name


def test_pickle_copy_and_conversions_keep_what_pytorch_keeps():
    for library in (sq, torch):
        w = library.arange(6.0).reshape(2, 3).T.requires_grad_()
        (w * 2).sum().backward()
        for made in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w)):
            assert made.requires_grad and made.is_leaf and made.tolist() == w.tolist() and made is not w
        assert copy.deepcopy(w).grad.tolist() == w.grad.tolist()
        with pytest.raises(RuntimeError):
            copy.deepcopy(w * 2)
        pair = copy.deepcopy([w, w])
        assert pair[0] is pair[1]
        for name in ("bfloat16", "int8", "bool"):
            t = library.ones(2).to(getattr(library, name))
            assert pickle.loads(pickle.dumps(t)).dtype == t.dtype
        assert (
            int(library.tensor(2.7)) == 2
            and float(library.tensor(3)) == 3.0
            and bool(library.tensor([0.0])) is False
        )
        assert [x.item() for x in library.arange(3)] == [0, 1, 2] and list(range(library.tensor(3))) == [0, 1, 2]
        assert 2.0 in library.tensor([1.0, 2.0]) and "abc"[library.tensor(1)] == "b"
        assert np.asarray(library.ones(2)).dtype == np.float32 and hash(w) == hash(w) and len({w, w}) == 1
