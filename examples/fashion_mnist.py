"""Fashion-MNIST: a small convolutional network to 92.5 % and more on the test part, in minutes on two cores.

    python examples/fashion_mnist.py --folder FOLDER [--epochs 8] [--out fashion-output] [--peer]

FOLDER holds the four files of Fashion-MNIST, compressed or not; Debian's package `dataset-fashion-mnist` puts them into
its share/datasets/fashion-mnist. Each epoch prints the loss, the test accuracy and the time; at the end there are a
checkpoint, the weights as safetensors, and a plot. `--peer` trains the same network by the same recipe in PyTorch
afterwards, epoch for epoch on the same machine, and prints both times.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import squall as sq
import squall.nn.functional as F
from squall import nn, optim

BATCH, RATE, DECAY, SMOOTHING = 128, 4e-3, 0.02, 0.05
MEAN, DEVIATION = 0.2860, 0.3530
WIDTHS = (32, 64, 128)
DEFAULT_FOLDER = "/usr/share/datasets/fashion-mnist"


def network(nn: Any) -> Any:
    """The network, of squall's or PyTorch's layers: 28 x 28 -> 14 -> 7 -> 3, then the mean of each channel."""
    layers, before = [], 1
    for width in WIDTHS:
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(WIDTHS[-1] * 9, 10))


def flipped(images: Any) -> Any:
    """Each image mirrored with a probability of a half: a shoe is a shoe from either side."""
    mirror = sq.rand(images.shape[0], 1, 1, 1) < 0.5
    return sq.where(mirror, images.flip(3), images)


def scaled(images: Any) -> Any:
    """Grey values from 0 to 255 as numbers about 0 of about unit size."""
    return (images.to(sq.float32) / 255.0 - MEAN) / DEVIATION


def train_step(model: nn.Module, optimizer: optim.Optimizer, images: Any, labels: Any) -> Any:
    """One step: forward, backward and update, compiled as one program."""
    loss = F.cross_entropy(model(flipped(scaled(images))), labels, label_smoothing=SMOOTHING)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def accuracy(model: nn.Module, data: Any) -> float:
    """Percent of the images that are classified rightly."""
    model.eval()
    right = 0
    with sq.no_grad():
        for images, labels in sq.data.DataLoader(data, 500):
            right += (model(scaled(images)).argmax(1) == labels).sum().item()
    model.train()
    return 100.0 * right / len(data)


def train(options: argparse.Namespace) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train; gives the network and what happened in each epoch."""
    sq.manual_seed(options.seed)
    train_part, test_part = sq.data.fashion_mnist(options.folder, scale=False)
    if options.limit:
        train_part = sq.data.Subset(train_part, range(options.limit))
        test_part = sq.data.Subset(test_part, range(options.limit))
    loader = sq.data.DataLoader(train_part, BATCH, shuffle=True, drop_last=True)
    model = network(nn)
    optimizer = optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    steps = options.epochs * len(loader)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.2)
    step = sq.compile(train_step)
    history: list[dict[str, float]] = []
    for epoch in range(1, options.epochs + 1):
        began, total = time.perf_counter(), 0.0
        for images, labels in loader:
            total += step(model, optimizer, images, labels).item()
            schedule.step()
        seconds = time.perf_counter() - began
        found = {"loss": total / len(loader), "accuracy": accuracy(model, test_part), "seconds": seconds}
        history.append(found)
        print(
            f"epoch {epoch:2d}/{options.epochs}   loss {found['loss']:.4f}   test accuracy {found['accuracy']:.2f} %   "
            f"{seconds:.1f} s",
            flush=True,
        )
    return model, history


def plot(history: list[dict[str, float]], path: Path) -> None:
    """Draw loss and accuracy by epoch; needs matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: it needs matplotlib: pip install 'squall[cli]'")
        return
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    epochs = range(1, len(history) + 1)
    for axes, name, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("", " (percent)"), strict=True):
        axes.plot(epochs, [found[name] for found in history], marker="o")
        axes.set(title=("training " if name == "loss" else "test ") + name + unit, xlabel="epoch")
        axes.grid(alpha=0.3)
    sq.io.atomic_write(path, lambda file: figure.savefig(file, format="png"))


def peer(options: argparse.Namespace) -> list[float]:
    """Seconds of each epoch of the same recipe in PyTorch, in eager mode on the same number of threads."""
    import torch

    torch.manual_seed(options.seed)
    torch.set_num_threads(sq.get_num_threads())
    tensors = sq.data.fashion_mnist(options.folder, scale=False).train.tensors
    images, labels = (torch.from_numpy(tensor.numpy()) for tensor in tensors)
    if options.limit:
        images, labels = images[: options.limit], labels[: options.limit]
    model, times = network(torch.nn), []
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
    for epoch in range(1, options.epochs + 1):
        began, order = time.perf_counter(), torch.randperm(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            x = (images[batch].float() / 255.0 - MEAN) / DEVIATION
            x = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, x.flip(3), x)
            loss = torch.nn.functional.cross_entropy(model(x), labels[batch], label_smoothing=SMOOTHING)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
        times.append(time.perf_counter() - began)
        print(f"PyTorch epoch {epoch:2d}/{options.epochs}   {times[-1]:.1f} s", flush=True)
    return times


def main() -> None:
    """Train, save, draw."""
    parser = argparse.ArgumentParser(description="Train on Fashion-MNIST.")
    parser.add_argument("--folder", default=DEFAULT_FOLDER, help="with the four files")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="fashion-output", help="where files go")
    parser.add_argument("--limit", type=int, default=0, help="use only so many images of each part")
    parser.add_argument("--peer", action="store_true", help="train the same in PyTorch, for its times")
    options = parser.parse_args()
    began = time.perf_counter()
    model, history = train(options)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    sq.save(model.state_dict(), out / "fashion.pt")
    sq.io.save_safetensors(model.state_dict(), out / "fashion.safetensors")
    plot(history, out / "fashion.png")
    best = max(found["accuracy"] for found in history)
    took = time.perf_counter() - began
    print(f"test accuracy {history[-1]['accuracy']:.2f} % (best {best:.2f} %) after {took:.0f} s")
    if options.peer:
        mine, theirs = sum(found["seconds"] for found in history), sum(peer(options))
        print(f"squall {mine:.1f} s, PyTorch {theirs:.1f} s of training: {theirs / mine:.2f} times as fast")


if __name__ == "__main__":
    main()
