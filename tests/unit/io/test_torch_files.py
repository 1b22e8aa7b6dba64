"""Saving and loading in PyTorch's layouts, without PyTorch: what comes back, and what is shared."""

import io as textio
import pickle
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

import squall as sq
from squall import io, nn, optim
from squall.base.errors import CheckpointError
from squall.io.storages import KINDS, Storage, rebuild
from tests.unit.io.torch_writer import legacy_file, zip_file

DTYPES = [
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
    "float64",
]  # fmt: skip


def again(value, **options):
    file = textio.BytesIO()
    sq.save(value, file)
    return sq.load(textio.BytesIO(file.getvalue()), **options)


def test_plain_data_comes_back_with_its_types():
    metadata = OrderedDict(a=1)
    metadata._metadata = {"": {"version": 1}}
    data = {
        "none": None, "flags": [True, False], "int": [0, -1, 2**31, -(2**40), 2**100], "float": [0.1, float("inf")],
        "complex": 1 - 2j, "text": ["", "ä€😀", "a" * 300], "bytes": b"\x00\xff", "array": bytearray(b"ab"),
        "tuple": ((), (1,), (1, (2, 3))), "set": {1, "b", (2, 3)}, "frozen": frozenset({1}), 7: "key", (1, 2): "pair",
        "counter": Counter("aab"), "ordered": metadata, "dtype": sq.bfloat16, "size": sq.zeros(2, 3).shape,
        "device": sq.device("cpu"),
    }  # fmt: skip
    got = again(data)
    assert got == data and list(got) == list(data)
    for name in ("flags", "int", "counter", "ordered", "size", "tuple", "frozen", "array"):
        assert type(got[name]) is type(data[name])
    assert got["flags"][0] is True and got["ordered"]._metadata == {"": {"version": 1}}


def test_numpy_arrays_and_scalars_come_back():
    data = [
        np.arange(6, dtype="f4").reshape(2, 3), np.arange(6).reshape(2, 3).T, np.zeros((0, 2)), np.array(3, ">i2"),
        np.array(["ab", "c"]), np.float64(0.5), np.int32(-7), np.array([1 + 2j]), np.array([True, False]),
    ]  # fmt: skip
    for value, got in zip(data, again(data), strict=True):
        assert got.dtype == value.dtype.newbyteorder("=") and np.shape(got) == np.shape(value)
        np.testing.assert_array_equal(got, value)
    with pytest.raises(TypeError, match="object"):
        sq.save(np.array([object()]), textio.BytesIO())


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_bit_for_bit(dtype, tmp_path):
    x = (sq.arange(24) * 3).to(getattr(sq, dtype)).view(2, 3, 4)
    sq.save([x, x[0, 0, 0].clone(), x[:0]], tmp_path / "x.pt")
    for mmap in (False, True):
        whole, scalar, empty = sq.load(tmp_path / "x.pt", mmap=mmap)
        assert whole.dtype is x.dtype and whole.shape == x.shape and scalar.shape == ()
        assert whole.numpy().tobytes() == x.numpy().tobytes() and tuple(empty.shape) == (0, 3, 4)


@pytest.mark.parametrize("mmap", [False, True])
def test_memory_that_was_shared_is_shared_again(tmp_path, mmap):
    base = sq.arange(24.0).view(4, 6)
    views = {
        "base": base, "same": base.detach(), "row": base[1], "columns": base[:, 2:4], "turned": base.t(),
        "steps": base[::2, 1::3], "wide": base[0].expand(3, 6), "other": base.clone(),
    }  # fmt: skip
    sq.save(views, tmp_path / "v.pt")
    with zipfile.ZipFile(tmp_path / "v.pt") as file:
        assert sum("/data/" in name for name in file.namelist()) == 2 and file.testzip() is None
    got = sq.load(tmp_path / "v.pt", mmap=mmap)
    for name, value in views.items():
        assert got[name].stride() == value.stride() and got[name].storage_offset() == value.storage_offset(), name
        assert got[name].tolist() == value.tolist()
    got["columns"].fill_(-1.0)
    assert got["base"][2].tolist() == [12.0, 13.0, -1.0, -1.0, 16.0, 17.0]
    assert got["same"][2, 3].item() == -1.0 and got["turned"][3, 0].item() == -1.0 and got["row"][2].item() == -1.0
    assert got["other"][2].tolist() == base[2].tolist()
    assert sq.load(tmp_path / "v.pt")["base"].tolist() == base.tolist(), "a mapped file is not written"


def test_tied_weights_stay_tied_and_parameters_are_parameters():
    first = nn.Parameter(sq.ones(2, 2))
    frozen = nn.Parameter(sq.ones(1), requires_grad=False)
    leaf = sq.ones(2, requires_grad=True)
    got = again({"a": first, "b": first, "c": first.detach(), "frozen": frozen, "leaf": leaf, "result": leaf * 2})
    assert got["a"] is got["b"] and isinstance(got["a"], nn.Parameter) and got["a"].requires_grad
    assert isinstance(got["frozen"], nn.Parameter) and not got["frozen"].requires_grad
    assert got["leaf"].requires_grad and not isinstance(got["leaf"], nn.Parameter)
    assert not got["result"].requires_grad
    with sq.no_grad():
        got["a"].zero_()
    assert got["c"].tolist() == [[0, 0], [0, 0]]


def test_state_dictionaries_of_a_module_and_an_optimizer(tmp_path):
    def made():
        sq.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        return model, optim.AdamW(model.parameters(), lr=0.1)

    def step(model, optimizer):
        model(sq.ones(5, 3) * sq.arange(5.0).view(5, 1)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = made()
    step(model, optimizer)
    sq.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
    other, theirs = made()
    saved = sq.load(tmp_path / "run.pt")
    other.load_state_dict(saved["model"])
    theirs.load_state_dict(saved["optimizer"])
    step(model, optimizer), step(other, theirs)
    for name, value in model.state_dict().items():
        assert value.numpy().tobytes() == other.state_dict()[name].numpy().tobytes()


def test_containers_may_refer_to_themselves():
    loop: list = [1]
    loop.append(loop)
    got = again(loop)
    assert got[0] == 1 and got[1] is got
    shared = ["x"]
    got = again([shared, shared])
    assert got[0] is got[1]


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"the object\['a'\]\[1\] is a object"):
        sq.save({"a": [1, object()]}, tmp_path / "x")
    deep: list = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(TypeError, match="containers deep"):
        sq.save(deep, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    with pytest.raises(CheckpointError, match="no such file"):
        sq.load(tmp_path / "x")
    with pytest.raises(CheckpointError, match="the folder does not exist"):
        sq.save(1, tmp_path / "none" / "x")


def test_equal_contents_make_equal_files_that_are_aligned(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        sq.save({"w": sq.ones(3), "v": sq.zeros(5)}, tmp_path / name / "x.pt")
    data = (tmp_path / "a" / "x.pt").read_bytes()
    assert data == (tmp_path / "b" / "x.pt").read_bytes()
    members = io.zip_files.ZipReader(data).members
    assert set(members) == {"x/data.pkl", "x/byteorder", "x/data/0", "x/data/1", "x/version"}
    assert all(member.start % 64 == 0 for member in members.values())


def test_map_location(tmp_path):
    for location in (None, "cpu", sq.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage):
        assert again(sq.ones(1), map_location=location).tolist() == [1.0]
    with pytest.raises(RuntimeError, match="'cuda' is not available"):
        again(sq.ones(1), map_location="cuda")


# ---------------------------------------------------------------- files as PyTorch writes them
W = np.arange(6, dtype="f4").reshape(2, 3)


def state(tensor):
    return OrderedDict(w=tensor("FloatStorage", W), b=tensor("LongStorage", np.arange(2)))


@pytest.mark.parametrize("make", [zip_file, legacy_file])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("mmap", [False, True])
def test_both_layouts_in_both_byte_orders(tmp_path, make, order, mmap):
    (tmp_path / "x.pth").write_bytes(make(state, order))
    got = sq.load(tmp_path / "x.pth", mmap=mmap)
    assert type(got) is OrderedDict and got["w"].tolist() == W.tolist() and got["b"].tolist() == [0, 1]
    got["w"][0, 0] = 9.0
    assert sq.load(tmp_path / "x.pth")["w"].tolist() == W.tolist()


@pytest.mark.parametrize("make", [zip_file, legacy_file])
def test_complex_numbers_load(make):
    data = make(lambda tensor: [tensor("ComplexFloatStorage", np.array([1 + 2j, 3], "c8"))])
    assert sq.load(textio.BytesIO(data))[0].tolist() == [1 + 2j, 3]


@pytest.mark.parametrize("make", [zip_file, legacy_file])
def test_dtypes_that_squall_lacks_are_named(make):
    data = make(lambda tensor: [tensor("QInt8Storage", np.ones(2, "i1"))])
    with pytest.raises(CheckpointError, match="dtype qint8, which squall does not have"):
        sq.load(textio.BytesIO(data))


@pytest.mark.parametrize("make", [zip_file, legacy_file])
def test_cuda_storages_come_to_the_processor(make):
    data = make(lambda tensor: tensor("FloatStorage", W, location="cuda:1"))
    assert sq.load(textio.BytesIO(data)).tolist() == W.tolist()


def test_bytes_of_booleans_are_made_true_or_false():
    storage = Storage(KINDS["BoolStorage"], 3, lambda: bytearray([0, 1, 255]))
    assert rebuild(storage, 0, (3,), (1,)).to(sq.int64).tolist() == [0, 1, 1]


def test_every_layout_of_strides_is_that_of_as_strided():
    values = np.arange(60, dtype="f4")
    random, checked = np.random.default_rng(0), 0
    for _ in range(250):
        rank = int(random.integers(0, 5))
        shape = tuple(int(n) for n in random.integers(1, 5, rank))
        strides = tuple(int(n) for n in random.integers(0, 14, rank))
        offset = int(random.integers(0, 20))
        storage = Storage(KINDS["FloatStorage"], 60, lambda: bytearray(values.tobytes()))
        if offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) >= 60:
            with pytest.raises(CheckpointError, match="its storage has 60"):
                rebuild(storage, offset, shape, strides)
            continue
        got = rebuild(storage, offset, shape, strides)
        want = np.lib.stride_tricks.as_strided(values[offset:], shape, [4 * s for s in strides])
        np.testing.assert_array_equal(got.numpy(), want)
        assert got.storage_offset() == offset
        assert all(a == b for a, b, n in zip(got.stride(), strides, shape, strict=True) if n > 1)
        checked += 1
    assert checked > 150


def test_torchscript_gives_its_tensors():
    class Holder:
        """Pickled under a name of a TorchScript module."""

    Holder.__module__, Holder.__qualname__ = "__torch__.net", "Model"

    def model(tensor):
        inner, outer = Holder(), Holder()
        inner.weight, inner.training = tensor("FloatStorage", W), True
        outer.layers, outer.bias = inner, tensor("LongStorage", np.arange(2))
        return outer

    data = zip_file(model, extra={"constants.pkl": pickle.dumps((), 2), "code/x.py": b""}, classes=[Holder])
    got = sq.load(textio.BytesIO(data))
    assert list(got) == ["layers.weight", "bias"] and got["layers.weight"].tolist() == W.tolist()


def test_objects_of_unknown_classes_are_refused_or_inert():
    class Custom:
        """Of a program that is not here."""

    Custom.__module__, Custom.__qualname__ = "program.model", "Custom"

    def saved(tensor):
        custom = Custom()
        custom.size, custom.weight = 3, tensor("FloatStorage", W)
        return {"model": custom}

    data = zip_file(saved, classes=[Custom])
    with pytest.raises(CheckpointError, match=r"'program\.model\.Custom'"):
        sq.load(textio.BytesIO(data))
    inert = sq.load(textio.BytesIO(data), weights_only=False)["model"]
    assert isinstance(inert, io.Inert) and inert.name == "program.model.Custom"
    assert inert.state["size"] == 3 and inert.state["weight"].tolist() == W.tolist()


def test_defaultdicts_of_plain_factories():
    data = zip_file(lambda tensor: defaultdict(list, a=[1]))
    got = sq.load(textio.BytesIO(data))
    assert type(got) is defaultdict and got == {"a": [1]} and got["new"] == []
    data = zip_file(lambda tensor: defaultdict(np.zeros, a=[1]))
    with pytest.raises(CheckpointError, match="numpy"):
        sq.load(textio.BytesIO(data))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_of_pickle(protocol):
    value = {
        "a": [1, -5, 2**40, True, None, 0.25, "text\n'\\ü", b"bytes", (1, 2, 3, 4), {}, [], ()], "b": {1, 2},
        "c": bytearray(b"x"), "d": complex(1, 2), "e": frozenset([3]),
    }  # fmt: skip
    if protocol < 2:  # there sets and the like are made by copyreg, which is not data
        value = {"a": value["a"][:7] + value["a"][8:]}
    assert sq.load(textio.BytesIO(zip_file(lambda tensor: value, protocol=protocol))) == value


def test_foreign_files_are_told_apart(tmp_path):
    io.save_safetensors({"w": sq.ones(1)}, tmp_path / "s")
    io.save_checkpoint(tmp_path / "c")
    io.save_npy(tmp_path / "n", sq.ones(1))
    io.save_npz(tmp_path / "z", {"a": sq.ones(1)})
    (tmp_path / "p").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "e").write_bytes(b"")
    (tmp_path / "t").write_bytes(b"storages" + bytes(249) + b"ustar" + bytes(300))
    for name, words in {
        "s": "load_safetensors", "c": "load_checkpoint", "n": "load_npy", "z": "without data.pkl", "p": "begins with",
        "e": "it is empty", "t": "tar archive",
    }.items():  # fmt: skip
        with pytest.raises(CheckpointError, match=words):
            sq.load(tmp_path / name)
