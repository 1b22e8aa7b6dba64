"""Readers of IDX files and of CIFAR's binaries, on files made here; and on Fashion-MNIST itself where it is."""

import gzip
import hashlib
import os

import numpy as np
import pytest

import squall as sq
from squall.data import DataFileError, cifar, cifar10, cifar100, fashion_mnist, idx

SUFFIXES = ["", ".gz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_every_type_of_numbers(tmp_path, suffix, dtype):
    array = (np.arange(24).reshape(2, 3, 4) - 5).astype(dtype)
    path = idx.write(tmp_path / f"x{suffix}", array)
    got = idx.read(path)
    assert got.numpy().dtype == array.dtype and got.numpy().tolist() == array.tolist()
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == bool(suffix)
    assert idx.read(idx.write(tmp_path / "s", sq.tensor(3, dtype=sq.int32))).item() == 3


def test_types_that_the_format_lacks(tmp_path):
    with pytest.raises(TypeError, match="dtype int64 is none of uint8"):
        idx.write(tmp_path / "x", np.arange(3))


WHOLE = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an IDX file"), (b"\0\0\x07\x01" + WHOLE[4:], "not an IDX file"), (b"PK\3\4", "not an IDX file"),
        (WHOLE[:6], "truncated"), (WHOLE[:-1], "has 10 bytes, and 11 belong to shape"), (WHOLE + b"x", "has 12 bytes"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "belong to shape"), (b"\0\0\x08\xff", "not an IDX file"),
        (gzip.compress(WHOLE, mtime=0)[:-9], "truncated"), (gzip.compress(WHOLE, mtime=0)[:-8] + bytes(8), "damaged"),
        (b"\x1f\x8b" + bytes(20), "damaged"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, data, words):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DataFileError, match=words) as caught:
        idx.read(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)


def test_missing_files_and_bombs(tmp_path):
    with pytest.raises(DataFileError, match="cannot read"):
        idx.read(tmp_path / "none")
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(5_000_000), mtime=0))
    with pytest.raises(DataFileError, match="more than 1000 bytes"):
        idx.contents(tmp_path / "bomb", 1000)
    (tmp_path / "two").write_bytes(gzip.compress(WHOLE[:4], mtime=0) + gzip.compress(WHOLE[4:]))
    assert idx.read(tmp_path / "two").tolist() == [7, 8, 9]


def mnist_folder(folder, suffix="", dotted=False):
    random = np.random.default_rng(0)
    sums = {}
    for names, count in ((idx._FILES["train"], 7), (idx._FILES["test"], 3)):
        arrays = random.integers(0, 256, (count, 4, 5)), random.integers(0, 10, count)
        for name, array in zip(names, arrays, strict=True):
            plain = idx.write(folder / "plain", array.astype("u1"))
            sums[name] = hashlib.sha256(plain.read_bytes()).hexdigest()
            plain.unlink()
            idx.write(folder / (name.replace("-idx", ".idx") + suffix if dotted else name + suffix), array.astype("u1"))
    return sums


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dotted", [False, True])
def test_the_four_files_of_mnist(tmp_path, suffix, dotted):
    sums = mnist_folder(tmp_path, suffix, dotted)
    train, test = idx.load(tmp_path, sums)
    images, labels = train.tensors
    assert tuple(images.shape) == (7, 1, 4, 5) and images.dtype is sq.float32 and labels.dtype is sq.int64
    assert images.min().item() >= 0 and images.max().item() <= 1 and len(test) == 3
    raw = idx.load(tmp_path, scale=False).train.tensors[0]
    assert raw.dtype is sq.uint8 and np.allclose(raw.numpy() / 255, images.numpy(), atol=1e-6)
    with pytest.raises(DataFileError, match=r"expected 000"):
        idx.load(tmp_path, {**sums, "t10k-labels-idx1-ubyte": "000"})
    with pytest.raises(DataFileError, match="another file"):
        fashion_mnist(tmp_path)


def test_folders_without_the_files(tmp_path):
    with pytest.raises(DataFileError, match=r"holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte\.gz"):
        fashion_mnist(tmp_path)
    with pytest.raises(DataFileError, match="there is no folder"):
        fashion_mnist(tmp_path / "none")
    mnist_folder(tmp_path)
    idx.write(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(4, "u1"))
    with pytest.raises(DataFileError, match=r"labels of shape \(4,\)"):
        idx.load(tmp_path)


def samples(count, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count).astype("u1")
    pixels = random.integers(0, 256, (count, 3072)).astype("u1")
    coarse = [] if classes == 10 else [np.zeros((count, 1), "u1")]
    return np.concatenate([*coarse, labels[:, None], pixels], 1).tobytes(), labels, pixels


def test_cifar_10(tmp_path):
    parts = [samples(2, 10, seed) for seed in range(6)]
    for name, part in zip((*cifar.TRAIN_10, *cifar.TEST_10), parts, strict=True):
        (tmp_path / name).write_bytes(part[0])
    packed = tmp_path / "data_batch_3.bin"
    (tmp_path / "data_batch_3.bin.gz").write_bytes(gzip.compress(packed.read_bytes(), mtime=0))
    packed.unlink()
    train, test = cifar10(tmp_path, scale=False)
    assert tuple(train.tensors[0].shape) == (10, 3, 32, 32) and len(test) == 2
    assert train.tensors[1].tolist() == [label for _, labels, _ in parts[:5] for label in labels.tolist()]
    assert train.tensors[0][4].numpy().reshape(-1).tolist() == parts[2][2][0].tolist()
    assert cifar10(tmp_path).test.tensors[0].max().item() <= 1
    good = {"test_batch.bin": hashlib.sha256(parts[5][0]).hexdigest()}
    assert len(cifar10(tmp_path, good).test) == 2
    with pytest.raises(DataFileError, match="expected bad"):
        cifar10(tmp_path, {"test_batch.bin": "bad"})
    (tmp_path / "test_batch.bin").write_bytes(parts[5][0][:-1])
    with pytest.raises(DataFileError, match="no whole number of samples of 3073 bytes"):
        cifar10(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" + parts[5][0][1:])
    with pytest.raises(DataFileError, match="the class 10 at byte 0; there are 10"):
        cifar10(tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(DataFileError, match="cannot read"):
        cifar10(tmp_path)


def test_cifar_100(tmp_path):
    data, labels, pixels = samples(4, 100)
    (tmp_path / "train.bin").write_bytes(data)
    (tmp_path / "test.bin").write_bytes(data)
    train, _ = cifar100(tmp_path, scale=False)
    assert train.tensors[1].tolist() == labels.tolist()
    assert train.tensors[0].numpy().reshape(4, -1).tolist() == pixels.tolist()


@pytest.mark.big
def test_fashion_mnist_itself():
    folder = os.environ.get("SQUALL_FASHION_MNIST", "/usr/share/datasets/fashion-mnist")
    if not os.path.isdir(folder):
        pytest.skip("SQUALL_FASHION_MNIST names no folder, and Debian's package dataset-fashion-mnist is not installed")
    train, test = fashion_mnist(folder, scale=False)
    assert tuple(train.tensors[0].shape) == (60000, 1, 28, 28) and len(test) == 10000
    for part, count in ((train, 6000), (test, 1000)):
        assert np.bincount(part.tensors[1].numpy()).tolist() == [count] * 10
    assert train.tensors[0].double().mean().item() == pytest.approx(72.94, abs=0.01)
