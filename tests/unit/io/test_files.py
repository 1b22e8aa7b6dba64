"""Files are whole or absent, and what is wrong with one is named."""

import errno
import json
import os
import struct

import numpy as np
import pytest

import squall as sq
from squall import io, nn, optim
from squall.base.errors import CheckpointError
from squall.data import DataLoader, TensorDataset
from squall.io import atomic, container
from squall.io.tensor_files import safetensors_metadata


def names(folder):
    return sorted(os.listdir(folder))


def test_atomic_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    assert io.atomic_write(path, b"one") == path
    os.chmod(path, 0o640)
    io.atomic_write(path, [b"t", b"wo"])
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o640
    io.atomic_write(path, lambda file: file.write(b"three"))
    assert path.read_bytes() == b"three" and names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "error"),
    ],
)
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failed_write_says_why_and_keeps_the_old_file(tmp_path, monkeypatch, number, words, where):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, where, fail)
    with pytest.raises(CheckpointError, match=words):
        io.atomic_write(path, b"new")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def pieces():
        yield b"ne"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        io.atomic_write(path, pieces())
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(CheckpointError, match="the folder does not exist"):
        io.atomic_write(tmp_path / "none" / "file", b"")
    with pytest.raises(CheckpointError, match="it is a folder"):
        io.atomic_write(tmp_path, b"")
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(CheckpointError, match="not a folder"):
        io.atomic_write(tmp_path / "plain" / "file", b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_named_while_writing(monkeypatch, tmp_path):
    def on_full_disk(**_):
        return os.open("/dev/full", os.O_WRONLY), str(tmp_path / "absent")

    monkeypatch.setattr(atomic.tempfile, "mkstemp", on_full_disk)
    with pytest.raises(CheckpointError, match="the disk is full"):
        io.atomic_write(tmp_path / "file", b"x" * 100000)
    assert names(tmp_path) == []


DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


def test_safetensors_keep_every_dtype_and_bit(tmp_path):
    tensors = {d: (sq.arange(6) - 2).view(2, 3).to(getattr(sq, d)) for d in DTYPES}
    tensors["empty"] = sq.zeros(0, 3)
    tensors["scalar"] = sq.tensor(float("nan"))
    tensors["view"] = sq.arange(6.0).view(2, 3).T
    path = io.save_safetensors(tensors, tmp_path / "t.safetensors", {"by": "test"})
    loaded = io.load_safetensors(path)
    assert sorted(loaded) == sorted(tensors) and names(tmp_path) == ["t.safetensors"]
    for name, value in tensors.items():
        assert loaded[name].dtype is value.dtype and loaded[name].shape == value.shape
        assert loaded[name].numpy().tobytes() == np.ascontiguousarray(value.numpy()).tobytes()
    assert safetensors_metadata(path) == {"by": "test"}


def test_safetensors_written_by_the_library_itself(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"w": np.arange(3, dtype=np.float32)}, tmp_path / "w.safetensors")
    assert io.load_safetensors(tmp_path / "w.safetensors")["w"].tolist() == [0, 1, 2]
    assert safetensors_metadata(tmp_path / "w.safetensors") == {}


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:4], lambda b: b"", lambda b: b"PK" + b[2:]])
def test_damaged_safetensors(tmp_path, damage):
    path = io.save_safetensors({"w": sq.ones(4)}, tmp_path / "w.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="cannot be loaded as safetensors: "):
        io.load_safetensors(path)


def test_wrong_values_for_safetensors(tmp_path):
    with pytest.raises(TypeError, match="'w' is a str"):
        io.save_safetensors({"w": "text"}, tmp_path / "w")
    with pytest.raises(TypeError, match="metadata holds strings"):
        io.save_safetensors({"w": sq.ones(1)}, tmp_path / "w", {"epoch": 3})
    with pytest.raises(CheckpointError, match="no such file"):
        io.load_safetensors(tmp_path / "none")
    assert names(tmp_path) == []


EXTRA = {
    "none": None, "true": True, "big": 2**80, "float": 0.1, "nan": float("nan"), "inf": float("-inf"), "text": "ü\n",
    "bytes": b"\x00\xff", "tuple": (1, (2, [3])), "numbers": {1: "a", (2, 3): "b"}, "dollar": {"$tensor": 5},
    "tensor": sq.tensor([1.5, -2.0]).to(sq.bfloat16), "dtype": sq.float16,
    "array": np.arange(6, dtype=np.int16).reshape(2, 3), "empty": sq.zeros(0, 2),
}  # fmt: skip


def test_checkpoints_keep_nested_data_exactly(tmp_path):
    path = io.save_checkpoint(tmp_path / "c", extra=EXTRA, step=7)
    found = io.read_checkpoint(path)
    assert found.step == 7 and found.squall == sq.__version__ and found.model is None
    back = found.extra
    same = [k for k in EXTRA if k not in ("nan", "tensor", "array", "empty")]
    assert all(back[k] == EXTRA[k] and type(back[k]) is type(EXTRA[k]) for k in same)
    assert back["nan"] != back["nan"] and back["tensor"].dtype is sq.bfloat16 and back["tensor"].tolist() == [1.5, -2.0]
    assert back["array"].dtype == np.int16 and (back["array"] == EXTRA["array"]).all()
    assert tuple(back["empty"].shape) == (0, 2)


def test_what_cannot_be_stored_is_named_with_its_place(tmp_path):
    with pytest.raises(TypeError, match=r"checkpoint\['extra'\]\['a'\]\[1\] is a set"):
        io.save_checkpoint(tmp_path / "c", extra={"a": [1, {2}]})
    with pytest.raises(TypeError, match="dtype complex256"):
        io.save_checkpoint(tmp_path / "c", extra={"a": np.zeros(2, "clongdouble")})
    assert names(tmp_path) == []


DAMAGES = {
    "empty": (lambda b: b"", "it is empty"),
    "head cut": (lambda b: b[:20], "truncated: 20 bytes"),
    "magic cut": (lambda b: b[:5], "truncated: 5 bytes"),
    "end cut": (lambda b: b[:-1], "truncated: "),
    "longer": (lambda b: b + b"x", "1 bytes after its end"),
    "bit in the data": (lambda b: b[:-3] + bytes([b[-3] ^ 1]) + b[-2:], "its checksum does not match"),
    "bit in the header": (lambda b: b[:100] + bytes([b[100] ^ 4]) + b[101:], "its checksum does not match"),
    "newer": (lambda b: b[:8] + struct.pack("<I", 99) + b[12:], "format version 99"),
    "torch": (lambda b: b"PK\x03\x04" + b, "torch.save"),
    "pickle": (lambda b: b"\x80\x04" + b, "a pickle"),
    "numpy": (lambda b: b"\x93NUMPY" + b, ".npy"),
    "safetensors": (lambda b: struct.pack("<Q", 2) + b"{}" + b, "safetensors"),
    "text": (lambda b: b"hello world, this is text", "begins with b'hello wo'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_and_foreign_files(tmp_path, name):
    damage, words = DAMAGES[name]
    model = nn.Linear(2, 2)
    path = io.save_checkpoint(tmp_path / "c", model=model)
    path.write_bytes(damage(path.read_bytes()))
    before = model.weight.tolist()
    with pytest.raises(CheckpointError) as caught:
        io.load_checkpoint(path, model=model)
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert model.weight.tolist() == before


def test_every_truncation_is_noticed(tmp_path):
    path = io.save_checkpoint(tmp_path / "c", model=nn.Linear(1, 1))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            io.read_checkpoint(path)


def test_other_kinds_and_missing_parts(tmp_path):
    path = container.write(tmp_path / "k", {"a": 1}, "something else")
    with pytest.raises(CheckpointError, match="a something else, not a training checkpoint"):
        io.read_checkpoint(path)
    path = io.save_checkpoint(tmp_path / "c", model=nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="holds no state for the optimizer"):
        io.load_checkpoint(path, optimizer=optim.SGD([nn.Parameter(sq.ones(1))]))
    with pytest.raises(CheckpointError, match="no such file"):
        io.read_checkpoint(tmp_path / "none")
    with pytest.raises(RuntimeError, match="size mismatch"):
        io.load_checkpoint(path, model=nn.Linear(2, 1))


def test_the_header_is_readable_json(tmp_path):
    path = io.save_checkpoint(tmp_path / "c", model=nn.Linear(2, 1), step=3)
    data = path.read_bytes()
    fixed = struct.Struct("<8sIQQ32s")
    magic, version, header, body, _ = fixed.unpack_from(data)
    assert (magic, version) == (b"SQUALLCK", 1) and len(data) == fixed.size + header + body
    tree = json.loads(data[fixed.size:fixed.size + header])
    assert tree["kind"] == "training checkpoint" and tree["tree"]["step"] == 3 and len(tree["arrays"]) == 2


class Training:
    """A small run with everything random: shuffling, dropout."""

    def __init__(self):
        self.generator = sq.Generator().manual_seed(4)
        sq.manual_seed(9)
        self.model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        self.optimizer = optim.AdamW(self.model.parameters(), 0.05)
        self.schedule = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 20)
        points = sq.arange(60.0).view(20, 3) / 60
        data = TensorDataset(points, (sq.arange(20) % 2))
        self.loader = DataLoader(data, 5, shuffle=True, generator=self.generator)

    def train(self, steps):
        losses = []
        while True:
            for x, y in self.loader:
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(x), y)
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                losses.append(loss.item())
                if len(losses) == steps:
                    return losses

    def parts(self):
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.schedule, "loader": self.loader}


def test_training_resumes_to_the_same_bits(tmp_path):
    whole = Training()
    expected = whole.train(11)
    first = Training()
    losses = first.train(6)  # in the middle of the second epoch
    dropout = sq.get_rng_state()
    io.save_checkpoint(tmp_path / "c", **first.parts(), generator=first.generator, step=6, extra={"dropout": dropout})
    second = Training()
    second.train(3)
    found = io.load_checkpoint(tmp_path / "c", **second.parts(), generator=second.generator)
    sq.set_rng_state(found.extra["dropout"])
    assert losses + second.train(5) == expected
    for a, b in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
