"""Files between PyTorch and squall, both ways: the same values, types, strides and sharing."""

import io
from collections import OrderedDict

import pytest

import squall as sq
from squall.base.errors import CheckpointError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

DTYPES = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
    "float64",
]  # fmt: skip


def same(mine, theirs, where="the object"):
    """Assert that both hold the same."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(mine, sq.Tensor) and mine.dtype.name == str(theirs.dtype).split(".")[1], where
        assert mine.requires_grad == theirs.requires_grad, where
        assert isinstance(mine, sq.nn.Parameter) == isinstance(theirs, torch.nn.Parameter), where
        assert (tuple(mine.stride()), mine.storage_offset()) == (theirs.stride(), theirs.storage_offset()), where
        raw = theirs.detach().contiguous().reshape(-1).view(torch.uint8).numpy() if theirs.numel() else b""
        assert tuple(mine.shape) == tuple(theirs.shape), where
        assert mine.detach().contiguous().numpy().tobytes() == bytes(raw), where
    elif isinstance(theirs, torch.dtype):
        assert mine.name == str(theirs).split(".")[1], where
    elif isinstance(theirs, dict):
        assert type(mine) is type(theirs) and list(mine) == list(theirs), where
        for key in theirs:
            same(mine[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs) and type(mine).__name__ == type(theirs).__name__, where
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            same(a, b, f"{where}[{i}]")
    else:
        assert mine == theirs and type(mine) is type(theirs), where


def objects():
    base = torch.arange(60.0).view(3, 4, 5)
    yield "dtypes", {name: torch.arange(6).view(2, 3).to(getattr(torch, name)) for name in DTYPES}
    yield "views", [
        base, base[1], base[:, 1:3], base.transpose(0, 2), base[::2, ::3, 1::2], base[0, 0].expand(4, 5), base[2, 3, 4],
        base.diagonal(dim1=0, dim2=1), base[:0], base.as_strided((3, 3), (7, 2), 4), base.permute(1, 2, 0)[1:, :, 1],
    ]  # fmt: skip
    tied = torch.nn.Parameter(torch.randn(3, 2))
    yield "parameters", {"a": tied, "b": tied, "frozen": torch.nn.Parameter(torch.ones(1), requires_grad=False)}
    yield "leaf", torch.ones(2, requires_grad=True)
    yield "plain", {
        "a": [1, 2**70, -3.5, 1 + 2j, None, True, "ä", b"bytes", bytearray(b"x"), (1, (2,)), {3, 4}],
        "size": torch.Size([2, 3]), "dtype": torch.bfloat16, 5: OrderedDict(x=torch.zeros(0)),
    }  # fmt: skip
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 5))
    yield "model", model.state_dict()
    optimizer = torch.optim.Adam(model.parameters())
    model[1](model[0](torch.randn(2, 3, 5, 5))).sum().backward()
    optimizer.step()
    yield "optimizer", optimizer.state_dict()
    yield "channels last", torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)
    yield "scalar", torch.tensor(3)


OBJECTS = dict(objects())


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize("mmap", [False, True])
def test_what_pytorch_saves(tmp_path, kind, layout, mmap):
    if layout == "legacy" and kind == "dtypes":
        pytest.skip("PyTorch's older layout has no names for the new unsigned dtypes")
    path = tmp_path / "x.pt"
    torch.save(OBJECTS[kind], path, _use_new_zipfile_serialization=layout == "zip")
    same(sq.load(path, mmap=mmap), torch.load(path, weights_only=True))


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("mmap", [False, True])
def test_what_squall_saves(tmp_path, kind, mmap):
    torch.save(OBJECTS[kind], tmp_path / "theirs.pt")
    mine = sq.load(tmp_path / "theirs.pt")
    sq.save(mine, tmp_path / "mine.pt")
    same(mine, torch.load(tmp_path / "mine.pt", weights_only=True, mmap=mmap))


def test_tied_weights_stay_tied_there():
    base = sq.arange(12.0).view(3, 4)
    file = io.BytesIO()
    sq.save({"base": base, "column": base[:, 1], "same": base}, file)
    got = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    got["base"].zero_()
    assert got["column"].tolist() == [0, 0, 0] and got["same"].sum() == 0


def test_numpy_values():
    import numpy

    data = {"a": numpy.arange(4.0).reshape(2, 2), "b": numpy.float32(2), "c": numpy.arange(3)[::-1].copy()}
    file = io.BytesIO()
    torch.save(data, file)
    got = sq.load(io.BytesIO(file.getvalue()))
    back = io.BytesIO()
    sq.save(got, back)
    for values in (got, torch.load(io.BytesIO(back.getvalue()), weights_only=False)):
        for name, value in data.items():
            assert values[name].dtype == value.dtype
            numpy.testing.assert_array_equal(values[name], value)


def test_a_torchscript_file_gives_the_tensors_of_its_state(tmp_path):
    inner = torch.nn.Sequential(torch.nn.Linear(2, 1))
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), inner)
    torch.jit.save(torch.jit.script(model), str(tmp_path / "x.pt"))
    got = sq.load(tmp_path / "x.pt")
    for name, value in model.state_dict().items():
        assert got[name].tolist() == value.tolist(), name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "qint8|quantized|_rebuild_qtensor"),
        (lambda: torch.ones(2).to_sparse(), "_rebuild_sparse_tensor"),
        (lambda: torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        (lambda: torch.ones(1).untyped_storage(), "torch.storage"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(make, words):
    file = io.BytesIO()
    torch.save(make(), file)
    with pytest.raises(CheckpointError, match=words):
        sq.load(io.BytesIO(file.getvalue()))
