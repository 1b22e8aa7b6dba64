"""What the commands take."""

from __future__ import annotations

import argparse

import squall as sq

MODELS = ("cnn", "mlp")
EPOCHS, RATE, BATCH = 15, 3e-3, 32
FOLDER = "squall-run"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _training(command: argparse.ArgumentParser, out: str | None) -> None:
    """The options that training commands share."""
    command.add_argument(
        "--epochs", type=_positive, metavar="N", help=f"passes over the training part (default {EPOCHS})"
    )
    command.add_argument(
        "--lr", type=_rate, metavar="RATE", help=f"learning rate at the start (default {RATE})"
    )
    command.add_argument("--batch-size", type=_positive, metavar="N", help=f"scans a step (default {BATCH})")
    command.add_argument("--seed", type=int, metavar="N", help="of all random numbers (default 0)")
    command.add_argument(
        "--threads", type=_positive, metavar="N", help="of the pool; default: all cores; changes no result"
    )
    command.add_argument("--out", default=out, metavar="FOLDER", help=f"where files go (default {out or FOLDER})")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(prog="squall", description="Deep learning that compiles itself.")
    whole.add_argument("--version", action="version", version=f"squall {sq.__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="command")

    command = commands.add_parser(
        "demo", help="train a network on handwritten digits, save it, reload it, predict"
    )
    _training(command, "demo-output")

    command = commands.add_parser("train", help="train as a TOML file says, or on the handwritten digits")
    command.add_argument(
        "config", nargs="?", metavar="FILE.toml", help="model, data, optimizer and schedule; default: the digits"
    )
    command.add_argument("--model", choices=MODELS, help="convolutional network or perceptron (default cnn)")
    _training(command, None)
    command.add_argument(
        "--resume", nargs="?", const="latest", metavar="CHECKPOINT",
        help="go on where a checkpoint stands, with its settings; default: the newest of the folder",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="one JSON object a line instead of text")

    command = commands.add_parser("predict", help="classify digits with a trained network")
    command.add_argument("checkpoint", help="a file that train or demo wrote")
    command.add_argument(
        "--input",
        metavar="FILE.npy",
        help="scans of shape (8, 8), (n, 8, 8) or (n, 64), values 0 to 16; "
        "default: the test part of the digits",
    )
    command.add_argument(
        "--count", type=_positive, default=8, metavar="N", help="how many to show (default 8)"
    )
    command.add_argument("--threads", type=_positive, metavar="N", help="of the pool")
    command.add_argument("--json", action="store_true", help="all predictions as one JSON object")

    command = commands.add_parser("info", help="what a file of tensors holds")
    command.add_argument("file", help="safetensors (or the folder or index of one in parts), .pt, .npz, .npy, .sqc")
    command.add_argument("--json", action="store_true", help="as one JSON object")

    command = commands.add_parser("doctor", help="check this installation and machine")
    command.add_argument("--json", action="store_true", help="the findings as one JSON object")
    return whole
