"""Training from a TOML file: what it makes, that it goes on to the same bits, and mistakes named by file and line."""

import json
import os
import signal

import numpy as np
import pytest

import squall as sq
from squall import io
from squall.cli import main, recipe, recipe_run
from squall.cli.config import Config, ConfigError

GOOD = """
# a small network on the digits
[model]
layers = [
    {type = "Conv2d", in_channels = 1, out_channels = 4, kernel_size = 3, padding = 1},
    {type = "ReLU"},
    {type = "Flatten"},
    {type = "Linear", in_features = 256, out_features = 10},
]

[data]
source = "digits"
batch_size = 32
limit = 96
augment = [{type = "RandomCrop", size = 8, padding = 1}]

[optimizer]
type = "AdamW"
lr = 0.01

[schedule]
type = "CosineAnnealingLR"

[train]
epochs = 3
label_smoothing = 0.1
clip_norm = 1.0
"""


def written(folder, text=GOOD):
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_run_from_a_file(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["train", written(tmp_path), "--out", str(out), "--json"]) == 0
    events = lines(capsys)
    assert [e["event"] for e in events] == ["epoch"] * 3 + ["done"]
    assert events[2]["loss"] < events[0]["loss"] and 0 <= events[-1]["accuracy"] <= 100
    assert sorted(os.listdir(out))[0] == "checkpoints.json" and events[-1]["checkpoint"].endswith("step-00000009.sqc")
    assert main(["train", written(tmp_path), "--out", str(out)]) == 1
    assert "holds checkpoints of a run; go on with --resume" in capsys.readouterr().err
    assert main(["train", written(tmp_path), "--out", str(out), "--resume", "--epochs", "4"]) == 0
    text = capsys.readouterr().out
    assert "going on after step 9" in text and "epoch   4/4" in text and "accuracy" in text


def final(folder):
    return io.read_checkpoint(io.CheckpointFolder(folder).latest())


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("stop", [2, 3, 4])
def test_going_on_gives_the_same_bits(tmp_path, capsys, monkeypatch, workers, stop):
    text = GOOD.replace("limit = 96", f"limit = 96\nworkers = {workers}")
    text = text.replace("epochs = 3", "epochs = 2")
    written(tmp_path, text + "compile = false\n")  # compiled or not, the bits are the same
    assert main(["train", str(tmp_path / "run.toml"), "--out", str(tmp_path / "whole")]) == 0
    path = written(tmp_path, text)

    class Interrupted(recipe_run.RecipeRun):
        """Ctrl-C after some steps."""

        def train_batch(self, inputs, target):
            if self.step == stop - 1 and os.environ.get("STOP"):
                os.kill(os.getpid(), signal.SIGINT)
            return super().train_batch(inputs, target)

    monkeypatch.setattr(recipe_run, "RecipeRun", Interrupted)
    monkeypatch.setenv("STOP", "1")
    assert main(["train", path, "--out", str(tmp_path / "parts")]) == 130
    assert f"stopped after step {stop}; go on with --resume" in capsys.readouterr().err
    monkeypatch.delenv("STOP")
    assert main(["train", path, "--out", str(tmp_path / "parts"), "--resume"]) == 0
    whole, parts = final(tmp_path / "whole"), final(tmp_path / "parts")
    assert whole.step == parts.step == 6
    for name, value in whole.model.items():
        assert value.numpy().tobytes() == parts.model[name].numpy().tobytes()


def test_another_file_cannot_go_on(tmp_path, capsys):
    assert main(["train", written(tmp_path), "--out", str(tmp_path / "o"), "--epochs", "1"]) == 0
    changed = written(tmp_path, GOOD.replace("lr = 0.01", "lr = 0.02"))
    assert main(["train", changed, "--out", str(tmp_path / "o"), "--resume"]) == 1
    assert "another [optimizer] than the training file has now" in capsys.readouterr().err
    assert main(["train", changed, "--out", str(tmp_path / "empty"), "--resume"]) == 1
    assert "no checkpoint to go on from" in capsys.readouterr().err


# What is changed into what, the key that is named, and words of the message; the line is that of the change.
MISTAKES = [
    ("lr = 0.01", "lr = 'fast'", "optimizer.lr", "expected a number, got 'fast'"),
    ("lr = 0.01", "rate = 0.01", "optimizer.rate", "is no argument of AdamW (allowed: amsgrad"),
    ("lr = 0.01", "lr = -1.0", "optimizer.lr", "AdamW: Invalid learning rate"),
    ('type = "AdamW"', 'type = "Adamw"', "optimizer.type", "did you mean 'AdamW'?"),
    ('source = "digits"', 'source = "digit"', "data.source", "did you mean 'digits'? (allowed: cifar10"),
    ('source = "digits"', 'source = "idx"', "data.folder", "idx is read from it"),
    ('source = "digits"', 'source = "idx"; folder = "none"', "data.folder", "there is no folder none"),
    ("batch_size = 32", "batch_size = 0", "data.batch_size", "must be at least 1, got 0"),
    ("batch_size = 32", "batch_size = 3.5", "data.batch_size", "expected a whole number, got 3.5"),
    ("batch_size = 32", "batchsize = 32", "data.batchsize", "did you mean 'batch_size'?"),
    ("epochs = 3", "epoch = 3", "train.epoch", "did you mean 'epochs'?"),
    ("epochs = 3", 'loss = "mae"', "train.loss", "(allowed: bce_with_logits, cross_entropy, l1, mse)"),
    ("[schedule]", "[scheduler]", "scheduler", "did you mean 'schedule'?"),
    ('type = "CosineAnnealingLR"', 'type = "CosineLR"', "schedule.type", "CosineAnnealingLR"),
    ('type = "ReLU"', 'type = "Relu"', "model.layers.1.type", "did you mean 'ReLU'?"),
    ("in_features = 256", "in_feature = 256", "model.layers.3.in_feature", "did you mean 'in_features'?"),
    ("in_features = 256, ", "", "model.layers.3.in_features", "is missing; Linear needs it"),
    ("out_channels = 4", "out_channels = 4, stride = 'x'", "model.layers.0.stride", "expected a whole number, got 'x'"),
    ('type = "RandomCrop"', 'type = "Crop"', "data.augment.0.type", "RandomCrop"),
    ("layers = [", "layers = 3\nother = [", "model.layers", "expected a list, got 3"),
    ("[data]", "[data", "", "Expected"),
    ("lr = 0.01", "lr =", "", "Invalid value"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "words"), MISTAKES)
def test_mistakes_are_named_by_line_and_key(tmp_path, capsys, old, new, key, words):
    number = GOOD[: GOOD.index(old)].count("\n") + 1
    path = written(tmp_path, GOOD.replace(old, new.replace("; ", "\n")))
    assert main(["train", path, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    near = [f"squall: {path}:{n}:" for n in (number - 1, number, number + 1)]
    exact = key != "data.folder"  # which is not there, or a line below
    assert error.startswith(near[1] if exact else tuple(near)), error
    assert f" {key}: " in error or not key, error
    assert words in error and not (tmp_path / "out").exists(), error


def test_files_that_are_missing_or_lack_a_table(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none.toml")]) == 2
    assert "there is no such file" in capsys.readouterr().err
    (tmp_path / "x.toml").write_text("[data]\nsource = 'digits'\n")
    assert main(["train", str(tmp_path / "x.toml")]) == 2
    assert "x.toml:1: [model] is missing" in capsys.readouterr().err
    assert main(["train", written(tmp_path), "--lr", "0.1"]) == 2
    assert "--lr is what" in capsys.readouterr().err


def test_lines_of_keys(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('a = 1\n[b.c]\n"d e" = 2\nf.g = 3\n[[h]]\ni = 1\n[[h]]\ni = 2\n[[h.j]]\nk = 4\n')
    config = Config(path)
    paths = (("a",), ("b", "c", "d e"), ("b", "c", "f", "g"), ("h", 0, "i"), ("h", 1, "i"))
    assert [config.line(path) for path in paths] == [1, 3, 4, 6, 8]
    assert config.line(("h", 1, "none")) == 7 and config.line(("none",)) == 1
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config(path)


def test_models_by_name_weights_and_arrays_of_ones_own(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 4)).astype("f4")
    io.save_npz(tmp_path / "d.npz", {"x": x, "y": x[:, :1]})
    sq.manual_seed(0)
    weights = sq.models.MLP(4, (8,), 1).state_dict()
    sq.save(weights, tmp_path / "w.pt")
    text = f"""
[model]
type = "MLP"
in_features = 4
hidden = [8]
out_features = 1
weights = "{tmp_path}/w.pt"
[data]
source = "npz"
folder = "{tmp_path}/d.npz"
batch_size = 16
[optimizer]
type = "SGD"
lr = 0.05
[schedule]
type = "StepLR"
step_size = 1
every = "epoch"
[train]
loss = "mse"
"""
    made = recipe.read(written(tmp_path, text))
    for name, value in made.model.state_dict().items():
        assert value.numpy().tobytes() == weights[name].numpy().tobytes()
    assert made.per_epoch and made.settings["loss"] == "mse" and len(made.train) == 40
    assert main(["train", written(tmp_path, text), "--epochs", "2", "--out", str(tmp_path / "o")]) == 0
    with pytest.raises(ConfigError, match=r"run\.toml:7: model\.weights: .*no such file"):
        recipe.read(written(tmp_path, text.replace("w.pt", "none.pt")))
    (tmp_path / "d.npz").unlink()
    with pytest.raises(ConfigError, match=r"run\.toml:10: data\.folder: .*no such file"):
        recipe.read(written(tmp_path, text))
