"""safetensors opened lazily and in parts, NumPy's files, and folders of checkpoints."""

import json

import numpy as np
import pytest

import squall as sq
from squall import io, nn
from squall.base.errors import CheckpointError
from squall.io import retention


@pytest.fixture
def weights(tmp_path):
    tensors = {"a": sq.arange(12.0).view(3, 4), "b": sq.arange(3).to(sq.bfloat16)}
    tensors |= {"c": sq.tensor(True), "e": sq.zeros(0, 2)}
    return io.save_safetensors(tensors, tmp_path / "w.safetensors", {"format": "pt"}), tensors


@pytest.mark.parametrize("mmap", [True, False])
def test_names_and_shapes_without_reading_and_slices_of_one(weights, mmap):
    path, tensors = weights
    with io.safe_open(path, "pt", mmap=mmap) as file:
        assert sorted(file.keys()) == sorted(tensors) and len(file) == 4 and "a" in list(file)
        assert file.metadata() == {"format": "pt"} and file.entry("b").dtype == "BF16"
        part = file.get_slice("a")
        assert part.get_shape() == [3, 4] and part.get_dtype() == "F32"
        assert part[1:, ::2].tolist() == [[4.0, 6.0], [8.0, 10.0]] and part[2].tolist() == [8, 9, 10, 11]
        kept = file.get_tensor("a")
        with pytest.raises(CheckpointError, match="holds no Tensor 'x'"):
            file.get_tensor("x")
    assert kept.tolist() == tensors["a"].tolist(), "a Tensor outlives the file"
    kept.zero_()
    assert io.load_safetensors(path)["a"].tolist() == tensors["a"].tolist(), "the file is not written"


def test_a_large_file_is_not_read_before_it_is_touched(tmp_path):
    """A file with a hole of 8 GB opens at once, and one row of it costs one row."""
    rows, width = 1 << 20, 2048
    header = json.dumps({"w": {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, 4 * rows * width]}}).encode()
    header += b" " * (-len(header) % 8)  # writers align the first Tensor; one that lies askew has to be copied
    with open(tmp_path / "big", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4 * rows * width)
    with io.safe_open(tmp_path / "big") as file:
        assert file.get_slice("w")[rows - 1, :3].tolist() == [0, 0, 0]
        tensor = file.get_tensor("w")
    assert tuple(tensor.shape) == (rows, width) and tensor[7, 5].item() == 0.0


def test_dtypes_that_squall_lacks_are_listed_and_refused_when_read(tmp_path):
    header = json.dumps({"q": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "q").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    file = io.safe_open(tmp_path / "q")
    assert file.keys() == ["q"] and file.entry("q").shape == (4,)
    with pytest.raises(CheckpointError, match="dtype F8_E8M0, which squall does not have"):
        file.get_tensor("q")


def test_a_model_in_parts(tmp_path):
    io.save_safetensors({"a": sq.ones(2)}, tmp_path / "m-1.safetensors", {"part": "1"})
    io.save_safetensors({"b": sq.zeros(3)}, tmp_path / "m-2.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    where = {"a": "m-1.safetensors", "b": "m-2.safetensors"}
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    for place in (index, tmp_path):
        got = io.load_safetensors(place)
        assert got["a"].tolist() == [1, 1] and got["b"].tolist() == [0, 0, 0]
    assert io.safe_open(index).metadata() == {"part": "1"}
    index.write_text(json.dumps({"weight_map": {**where, "b": "m-1.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"says that 'b' is in m-1\.safetensors"):
        io.safe_open(index)
    index.write_text(json.dumps({"weight_map": {**where, "b": "m-3.safetensors"}}))
    with pytest.raises(CheckpointError, match="no such file"):
        io.safe_open(index)
    index.write_text("[")
    with pytest.raises(CheckpointError, match="not JSON"):
        io.safe_open(index)
    index.unlink()
    with pytest.raises(CheckpointError, match="holds 2 safetensors files without an index"):
        io.safe_open(tmp_path)


ARRAYS = [
    np.arange(6, dtype="f4").reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.array(2.5),
    np.zeros((0, 3)), np.arange(4, dtype=">i4"), np.array([True, False]), np.arange(3, dtype="f2"),
    np.arange(3, dtype="u1"),
]  # fmt: skip


@pytest.mark.parametrize("mmap", [False, True])
def test_arrays_written_by_numpy(tmp_path, mmap):
    for array in ARRAYS:
        np.save(tmp_path / "x.npy", array)
        got = io.load_npy(tmp_path / "x.npy", mmap=mmap)
        assert got.numpy().dtype == array.dtype.newbyteorder("=") and tuple(got.shape) == array.shape
        np.testing.assert_array_equal(got.numpy(), array)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", first=ARRAYS[0], second=ARRAYS[1])
        got = io.load_npz(tmp_path / "x.npz", mmap=mmap)
        assert list(got) == ["first", "second"]
        np.testing.assert_array_equal(got["second"].numpy(), ARRAYS[1])


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_read_by_numpy(tmp_path, compress):
    io.save_npy(tmp_path / "x.npy", sq.arange(6).view(2, 3).t())
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.arange(6).reshape(2, 3).T)
    io.save_npz(tmp_path / "x.npz", {"w": sq.ones(1000), "a/b": np.arange(2), "n": 3}, compress)
    with np.load(tmp_path / "x.npz") as file:
        assert file["w"].sum() == 1000 and file["a/b"].tolist() == [0, 1] and file["n"] == 3
    assert ((tmp_path / "x.npz").stat().st_size < 2000) == compress
    with pytest.raises(TypeError, match=r"'w' has dtype bfloat16.*\.float\(\)"):
        io.save_npz(tmp_path / "y.npz", {"w": sq.ones(1, dtype=sq.bfloat16)})
    with pytest.raises(TypeError, match="names are strings"):
        io.save_npz(tmp_path / "y.npz", {1: sq.ones(1)})
    assert not (tmp_path / "y.npz").exists()


def test_the_last_and_the_best_checkpoints_stay(tmp_path):
    model = nn.Linear(1, 1)
    folder = io.CheckpointFolder(tmp_path / "run", keep_last=2, keep_best=1, metric="accuracy", mode="max")
    assert folder.latest() is None and folder.best() is None and folder.resume(model=model) is None
    for step, value in enumerate([0.1, 0.9, float("nan"), 0.3, 0.2]):
        folder.save(step, model=model, metrics={"accuracy": value}, extra={"note": step})
    assert folder.steps() == [1, 3, 4] and folder.best() == folder.path(1) and folder.latest() == folder.path(4)
    again = io.CheckpointFolder(tmp_path / "run", keep_last=1, keep_best=1, metric="accuracy", mode="max")
    assert again.best() == folder.path(1)
    (tmp_path / "run" / retention.INDEX).unlink()
    assert io.CheckpointFolder(tmp_path / "run", metric="accuracy", mode="max").best() == folder.path(1)
    again.save(5, model=model, metrics={"accuracy": 0.0})
    assert again.steps() == [1, 5]
    assert again.resume(model=model).step == 5


def test_resuming_skips_damaged_checkpoints(tmp_path):
    model = nn.Linear(1, 1)
    folder = io.CheckpointFolder(tmp_path)
    for step in (1, 2):
        folder.save(step, model=model)
    folder.path(2).write_bytes(folder.path(2).read_bytes()[:-5])
    with pytest.warns(UserWarning, match="is skipped: .*truncated"):
        assert folder.resume(model=model).step == 1
    folder.path(1).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the 2"), pytest.warns(UserWarning):
        folder.resume(model=model)


def test_folders_of_checkpoints_say_what_is_missing(tmp_path):
    for options in ({"keep_last": 0}, {"mode": "most"}, {"keep_best": 1}):
        with pytest.raises(ValueError, match="CheckpointFolder"):
            io.CheckpointFolder(tmp_path, **options)
    with pytest.raises(ValueError, match="must hold 'loss'"):
        io.CheckpointFolder(tmp_path, keep_best=1, metric="loss").save(1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot make the folder"):
        io.CheckpointFolder(tmp_path / "file")
