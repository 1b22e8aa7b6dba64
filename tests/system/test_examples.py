"""The programs in `examples/` run, on data made here."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import squall as sq

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fashion_mnist(tmp_path, monkeypatch, capsys):
    """Two classes that a glance tells apart, in files of Fashion-MNIST's names."""
    random = np.random.default_rng(0)
    for part, count in (("train", 320), ("test", 64)):
        labels = random.integers(0, 2, count).astype("u1")
        images = random.integers(0, 40, (count, 28, 28)).astype("u1")
        images[labels == 1, 8:20] += 180
        for name, array in zip(sq.data.idx._FILES[part], (images, labels), strict=True):
            sq.data.idx.write(tmp_path / name, array)
    monkeypatch.setattr(sq.data, "fashion_mnist", lambda folder, scale: sq.data.idx.load(folder, scale=scale))
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["x", "--folder", str(tmp_path), "--epochs", "2", "--out", str(out)])
    example = load("fashion_mnist")
    monkeypatch.setattr(example, "WIDTHS", (4, 4, 8))
    monkeypatch.setattr(example, "BATCH", 16)
    example.main()
    text = capsys.readouterr().out
    assert len(re.findall(r"^epoch +\d/2   loss \d\.\d+   test accuracy +[\d.]+ %   [\d.]+ s$", text, re.M)) == 2
    assert float(re.search(r"^test accuracy ([\d.]+) %", text, re.M)[1]) > 90
    weights = sq.load(out / "fashion.pt")
    assert {n: v.tolist() for n, v in weights.items()} == {
        n: v.tolist() for n, v in sq.io.load_safetensors(out / "fashion.safetensors").items()
    }
    pytest.importorskip("matplotlib")
    assert (out / "fashion.png").read_bytes().startswith(b"\x89PNG")


def test_char_gpt(tmp_path, monkeypatch, capsys):
    text = "the wind rose and the sea rose and the ship went down to the sea again; " * 60
    (tmp_path / "text.txt").write_text(text)
    out = tmp_path / "out"
    options = ["--text", str(tmp_path), "--steps", "100", "--layers", "1", "--width", "32", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["x", *options])
    load("char_gpt").main()
    said = capsys.readouterr().out
    assert float(re.search(r"^squall: held-out loss ([\d.]+)", said, re.M)[1]) < 1.5
    assert len(said.splitlines()[-1]) > 20 and set(said.splitlines()[-1]) <= set(text)
    assert (out / "char-gpt.safetensors").stat().st_size > 10_000
