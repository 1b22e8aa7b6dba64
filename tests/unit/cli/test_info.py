"""`squall info`: every kind of file, as a table and as JSON."""

import json

import numpy as np
import pytest

import squall as sq
from squall import io, nn, optim
from squall.cli import main
from squall.cli.info import amount
from tests.unit.io.torch_writer import legacy_file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    model = nn.Linear(3, 2)
    io.save_safetensors(model.state_dict(), folder / "m.safetensors", {"format": "pt"})
    sq.save({"model": model.state_dict(), "step": 3, "tags": ["a", "b"]}, folder / "m.pt")
    (folder / "old.pth").write_bytes(legacy_file(lambda t: {"w": t("FloatStorage", np.zeros((2, 3), "f4"))}))
    io.save_npz(folder / "m.npz", {"w": np.zeros((2, 3), "f4"), "c": np.zeros(2, "c8")}, compress=True)
    io.save_npy(folder / "m.npy", np.zeros((4, 2), "u2"))
    io.save_checkpoint(folder / "m.sqc", model=model, optimizer=optim.Adam(model.parameters()), step=4)
    (folder / "parts").mkdir()
    io.save_safetensors({"a": sq.zeros(2, dtype=sq.bfloat16)}, folder / "parts" / "1.safetensors")
    (folder / "parts" / "m.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "tensors", "parameters", "size"),
    [
        ("m.safetensors", "safetensors", {"weight": ([2, 3], "F32"), "bias": ([2], "F32")}, 8, 32),
        ("m.pt", "PyTorch, zip", {"model.weight": ([2, 3], "float32"), "model.bias": ([2], "float32")}, 8, 32),
        ("old.pth", "PyTorch, legacy", {"w": ([2, 3], "float32")}, 6, 24),
        ("m.npz", "npz", {"w": ([2, 3], "float32"), "c": ([2], "complex64")}, 8, 40),
        ("m.npy", "npy", {"array": ([4, 2], "uint16")}, 8, 16),
        ("parts", "safetensors", {"a": ([2], "BF16")}, 2, 4),
        ("parts/m.safetensors.index.json", "safetensors", {"a": ([2], "BF16")}, 2, 4),
    ],
)
def test_names_shapes_dtypes_and_totals(files, capsys, name, kind, tensors, parameters, size):
    assert main(["info", str(files / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == kind and found["parameters"] == parameters and found["bytes"] == size
    assert {t["name"]: (t["shape"], t["dtype"]) for t in found["tensors"]} == tensors
    assert main(["info", str(files / name)]) == 0
    out = capsys.readouterr().out
    assert all(key in out for key in tensors) and f"{parameters} elements, {size} B ({kind})" in out


def test_other_values_are_shown(files, capsys):
    assert main(["info", str(files / "m.pt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == {"step": "3", "tags": "['a', 'b']"}
    assert main(["info", str(files / "m.sqc"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "squall checkpoint" and found["values"]["step"] == "4"
    assert {"model.weight", "model.bias"} <= {t["name"] for t in found["tensors"]}
    assert main(["info", str(files / "m.safetensors")]) == 0
    assert "format" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"PK\3\4", "truncated or damaged"),
        (b"\x93NUMPY", "not a .npy"),
        (b"abc", "cannot be loaded"),
    ],
)
def test_files_that_hold_no_tensors(tmp_path, capsys, data, words):
    (tmp_path / "x").write_bytes(data)
    assert main(["info", str(tmp_path / "x")]) == 1
    error = capsys.readouterr().err
    assert words in error and error.startswith("squall: ") and error.count("\n") == 1
    assert main(["info", str(tmp_path / "none")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_amounts():
    assert [amount(n) for n in (0, 999, 1500, 2.5e6, 3e9, 4e12)] == [
        "0 B", "999 B", "1.5 KB", "2.5 MB", "3.0 GB", "4000.0 GB"
    ]  # fmt: skip
