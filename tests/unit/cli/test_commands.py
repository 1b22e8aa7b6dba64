"""The command line: exit codes, messages, files, and that a run can be stopped and taken up again."""

import builtins
import io as textio
import json
import os
import signal
import sys

import numpy as np
import pytest

from squall import io
from squall.cli import main, report, training
from squall.cli.console import Console, drawing
from squall.cli.doctor import Finding
from squall.cli.predict import load_images
from squall.cli.training import Run, Settings, StoppedError

FAST = ["--model", "mlp", "--batch-size", "256"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert main(["train", *FAST, "--epochs", "2", "--out", str(folder)]) == 0
    return folder / "checkpoint.sqc"


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["train", "--epochs", "0"], ["train", "--lr", "inf"], ["train", "--model", "rnn"], ["predict"]],
)
def test_wrong_usage_is_two(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "squall" in capsys.readouterr().err


def test_help_and_version(capsys):
    for arguments in (["--help"], ["demo", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    assert "squall 0." in capsys.readouterr().out


def test_training_writes_a_checkpoint_and_ends_with_the_accuracy(tmp_path, capsys):
    assert main(["train", *FAST, "--epochs", "1", "--out", str(tmp_path / "new" / "deep")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("test accuracy: ") and out[-1].endswith(" %") and "epoch   1/1" in out[0]
    assert os.listdir(tmp_path / "new" / "deep") == ["checkpoint.sqc"]


@pytest.mark.parametrize("stop", [8, 10])
def test_resuming_gives_the_same_bits_as_going_on(stop, tmp_path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    assert main(["train", *FAST, "--epochs", "3", "--seed", "4", "--out", str(first), "--json"]) == 0
    run = Run(Settings("mlp", 3, batch_size=256, seed=4))

    def stop_in_the_second_epoch(run):
        if run.step_number == stop:
            raise StoppedError

    with pytest.raises(StoppedError):
        run.train(stop_in_the_second_epoch, lambda run: None)
    run.save(tmp_path / "middle")
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "middle"), "--out", str(second), "--json"]) == 0
    assert [r["event"] for r in lines(capsys)] == ["epoch", "epoch", "done"]
    a, b = (io.read_checkpoint(f / "checkpoint.sqc") for f in (first, second))
    for name, value in a.model.items():
        assert value.numpy().tobytes() == b.model[name].numpy().tobytes()
    assert a.extra["history"]["losses"] == b.extra["history"]["losses"] and a.step == b.step == 15


def test_resuming_takes_its_settings_from_the_checkpoint(trained, tmp_path, capsys):
    assert main(["train", "--resume", str(trained), "--lr", "0.1", "--out", str(tmp_path)]) == 1
    assert "leave out --lr" in capsys.readouterr().err
    assert main(["train", "--resume", str(trained), "--epochs", "3", "--out", str(tmp_path)]) == 0
    assert io.read_checkpoint(tmp_path / "checkpoint.sqc").step == 15


def test_ctrl_c_leaves_a_checkpoint_and_says_so(tmp_path, monkeypatch, capsys):
    original = training.Run._epoch

    def epoch(run, on_step):
        def then_interrupt(run):
            on_step(run)
            if run.step_number == 3:
                os.kill(os.getpid(), signal.SIGINT)

        original(run, then_interrupt)

    monkeypatch.setattr(training.Run, "_epoch", epoch)
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", *FAST, "--epochs", "2", "--out", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    error = capsys.readouterr().err
    path = tmp_path / "checkpoint.sqc"
    assert "stopped after step 3 of 10" in error and f"--resume {path}" in error
    assert io.read_checkpoint(path).step == 3
    monkeypatch.undo()
    assert main(["train", "--resume", str(path), "--out", str(tmp_path)]) == 0


def test_predicting_the_test_part(trained, capsys):
    assert main(["predict", str(trained), "--count", "5"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("test accuracy: ") and out.count("%") == 6
    assert main(["predict", str(trained), "--json"]) == 0
    (found,) = lines(capsys)
    assert len(found["predictions"]) == 359 and len(found["checksum"]) == 64 and found["accuracy"] > 30


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (3, 64), (2, 1, 8, 8)])
def test_predicting_a_file(trained, tmp_path, capsys, shape):
    np.save(tmp_path / "x.npy", np.full(shape, 16, np.uint8))
    assert main(["predict", str(trained), "--input", str(tmp_path / "x.npy"), "--json"]) == 0
    (found,) = lines(capsys)
    assert len(found["predictions"]) == np.zeros(shape).size // 64 and found["accuracy"] is None
    assert load_images(tmp_path / "x.npy").max().item() == 1.0


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (lambda p: np.save(p, np.zeros((3, 7, 8))), "has shape (3, 7, 8)"),
        (lambda p: np.save(p, np.full((8, 8), 17)), "expected 0 to 16"),
        (lambda p: np.save(p, np.full((8, 8), np.nan)), "expected 0 to 16"),
        (lambda p: np.save(p, np.array([["a"] * 8] * 8)), "numbers"),
        (lambda p: p.write_bytes(b"no array"), "is not a .npy file"),
        (lambda p: p.write_bytes(b""), "is not a .npy file"),
        (lambda p: None, "x.npy"),
    ],
)
def test_files_that_cannot_be_predicted(trained, tmp_path, capsys, contents, words):
    path = tmp_path / "x.npy"
    contents(path)
    assert main(["predict", str(trained), "--input", str(path)]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and error.startswith("squall: ")


def test_checkpoints_that_cannot_be_used(tmp_path, capsys):
    assert main(["predict", str(tmp_path / "none")]) == 1
    assert "there is no such file" in capsys.readouterr().err
    io.save_checkpoint(tmp_path / "other", step=1)
    assert main(["predict", str(tmp_path / "other")]) == 1
    assert "not one that `squall train` or `squall demo` wrote" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"")
    assert main(["train", *FAST, "--out", str(tmp_path / "file" / "x")]) == 1
    assert "cannot make the folder" in capsys.readouterr().err


def test_doctor(capsys):
    assert main(["doctor", "--json"]) == 0
    (found,) = lines(capsys)
    names = [f["name"] for f in found["findings"]]
    wanted = {"python", "numpy", "processor", "disk cache", "machine code", "a first program"}
    assert found["healthy"] and wanted <= set(names)
    assert main(["doctor"]) == 0
    assert "everything works" in capsys.readouterr().out


def test_doctor_says_what_does_not_work(monkeypatch, capsys):
    def _machine_code():
        raise OSError("no")

    monkeypatch.setattr("squall.cli.doctor._compiler", _machine_code)
    monkeypatch.setattr("squall.cli.doctor._cache", lambda: Finding("disk cache", False, "cannot be written"))
    assert main(["doctor", "--json"]) == 1
    (found,) = lines(capsys)
    bad = {f["name"]: f["detail"] for f in found["findings"] if not f["good"]}
    assert bad == {"machine_code": "OSError: no", "disk cache": "cannot be written"}


def without(monkeypatch, *packages):
    original = builtins.__import__

    def importing(name, *rest):
        if name.split(".")[0] in packages:
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)


def test_everything_is_said_without_rich_too(trained, monkeypatch, capsys):
    without(monkeypatch, "rich", "matplotlib", "safetensors")
    console = Console()
    assert console._rich is None
    console.table("title", [("a", 1), ("long", 22)], ("x", "y"))
    with console.progress(3) as advance:
        advance("x")
    assert capsys.readouterr().out.splitlines() == ["title", "  x     y", "  a     1", "  long  22"]
    from squall.cli.plot import save_plot

    assert save_plot(training.History(), 1, trained) is False


def test_the_plot_is_an_image(tmp_path):
    pytest.importorskip("matplotlib")
    from squall.cli.plot import save_plot

    assert save_plot(training.History([2.0, 1.0], [1.0, 1.0], [50.0]), 2, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG") and os.listdir(tmp_path) == ["p.png"]


def test_digits_are_drawn_with_what_the_terminal_can_show(monkeypatch):
    image = np.zeros((1, 8, 8))
    image[0, 0, 0] = 1.0
    assert drawing(image, ["seven"])[0] == "  ██" + " " * 14
    monkeypatch.setattr(sys, "stdout", textio.TextIOWrapper(textio.BytesIO(), encoding="ascii"))
    assert drawing(image, ["seven"])[0] == "  @@" + " " * 14
    assert drawing(image, ["seven"])[8].strip() == "seven"


def test_jitter_moves_scans_by_at_most_a_pixel():
    import squall as sq

    scan = np.zeros((200, 1, 8, 8), np.float32)
    scan[:, 0, 4, 4] = 1.0
    moved = training.jittered(sq.tensor(scan)).numpy()[:, 0]
    places = {tuple(np.argwhere(m)[0]) for m in moved}
    assert places == {(i, j) for i in (3, 4, 5) for j in (3, 4, 5)}


def test_the_report_counts_what_was_compiled():
    rows = dict(report.compiled())
    assert int(rows["plans"]) > 0 and "misses" in rows["disk cache"]
