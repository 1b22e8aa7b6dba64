"""What a training file describes: the model, data, optimizer and schedule that are made of its tables."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import squall as sq
from squall import data, io, models, nn, optim
from squall.base.errors import SquallError
from squall.cli.config import Config, Section
from squall.data import transforms

TABLES = ("model", "data", "optimizer", "schedule", "train")
LOSSES = ("cross_entropy", "mse", "l1", "bce_with_logits")
SOURCES = ("digits", "fashion_mnist", "idx", "cifar10", "cifar100", "npz")


@dataclass
class Recipe:
    """A training file, read and checked.

    Attributes:
        model, train, test, optimizer: made. schedule: made, or None. per_epoch: whether the schedule steps once an
            epoch instead of once a batch. settings: the plain values of [train]. batch_size, workers: of [data].
            values: the file's contents.
    """

    model: nn.Module
    train: Any
    test: Any
    optimizer: optim.Optimizer
    schedule: Any
    per_epoch: bool
    settings: dict[str, Any]
    batch_size: int
    workers: int
    values: dict[str, Any]


def _classes(module: Any, base: type) -> dict[str, Any]:
    """The public classes of a module below a base."""
    found = {name: getattr(module, name) for name in getattr(module, "__all__", dir(module))}
    return {n: c for n, c in found.items() if inspect.isclass(c) and issubclass(c, base) and c is not base}


def _functions(module: Any) -> dict[str, Any]:
    names = [name for name in module.__all__ if inspect.isfunction(getattr(module, name))]
    return {name: getattr(module, name) for name in names}


def _layers(section: Section) -> nn.Module:
    """A Sequential of layers, each a table with its type and arguments."""
    known, made = _classes(nn, nn.Module), []
    entries = section.take("layers", list)
    section.finish()
    for number, entry in enumerate(entries):
        path = (*section.path, "layers", number)
        if not isinstance(entry, dict):
            raise section.config.error(path, f"expected a table with the type of a layer, got {entry!r}")
        layer = Section(section.config, path, entry)
        made.append(layer.call(known[layer.take("type", str, required=True, allowed=known)]))
    return nn.Sequential(*made)


def make_model(section: Section) -> nn.Module:
    """The model: `layers`, or the `type` of one in squall.models with its arguments; `weights` are loaded into it."""
    weights, strict = section.take("weights", str), section.take("strict", bool, True)
    if "layers" in section:
        model = _layers(section)
    else:
        known = {**_classes(models, nn.Module), **_functions(models)}
        name = section.take("type", str, required=True, allowed=known)
        model = section.call(known[name])
    if weights is not None:
        try:
            state = io.load_safetensors(weights) if weights.endswith(".safetensors") else sq.load(weights)
            model.load_state_dict(state, strict=strict)
        except (SquallError, RuntimeError) as error:
            raise section.error("weights", str(error)) from None
    return model


def _augment(section: Section) -> Any:
    known = {name: value for name, value in vars(transforms).items() if inspect.isclass(value) and name[0] != "_"}
    known = {name: value for name, value in known.items() if value.__module__ == transforms.__name__}
    made = []
    for number, entry in enumerate(section.take("augment", list, [])):
        path = (*section.path, "augment", number)
        if not isinstance(entry, dict):
            raise section.config.error(path, f"expected a table with the type of a transform, got {entry!r}")
        step = Section(section.config, path, entry)
        made.append(step.call(known[step.take("type", str, required=True, allowed=known)]))
    return transforms.Compose(made) if made else None


class Augmented(data.Dataset):
    """A data set of (image, label) whose images are transformed."""

    def __init__(self, dataset: Any, transform: Any) -> None:
        self.dataset, self.transform = dataset, transform

    def __getitem__(self, index: Any) -> Any:
        image, label = self.dataset[index]
        return self.transform(image), label

    def __len__(self) -> int:
        return len(self.dataset)


def make_data(section: Section) -> tuple[Any, Any, int, int]:
    """Training and test part, batch size, and number of worker processes."""
    source = section.take("source", str, required=True, allowed=SOURCES)
    size, workers = section.take("batch_size", int, 64, least=1), section.take("workers", int, 0, least=0)
    folder, test_file = section.take("folder", str), section.take("test_file", str)
    limit, augment = section.take("limit", int, least=1), _augment(section)
    section.finish()
    if source != "digits" and folder is None:
        raise section.error("folder", f"is missing; {source} is read from it")
    try:
        train, test = _source(source, folder, test_file)
    except SquallError as error:
        raise section.error("folder" if folder else "source", str(error)) from None
    if limit is not None:
        train, test = (data.Subset(part, range(min(limit, len(part)))) for part in (train, test))
    return (Augmented(train, augment) if augment else train), test, size, workers


def _source(source: str, folder: str | None, test_file: str | None) -> tuple[Any, Any]:
    if source == "digits":
        return data.digits()
    assert folder is not None
    if source == "npz":
        return _arrays(folder), _arrays(test_file or folder)
    readers = {"fashion_mnist": data.fashion_mnist, "idx": data.idx.load, "cifar10": data.cifar10}
    return readers.get(source, data.cifar100)(folder)


def _arrays(path: str) -> data.TensorDataset:
    """The arrays "x" and "y" of a .npz file."""
    arrays = io.load_npz(path)
    if not {"x", "y"} <= set(arrays):
        raise SquallError(f"{Path(path)} holds {', '.join(arrays) or 'nothing'}; expected the arrays x and y")
    return data.TensorDataset(arrays["x"], arrays["y"])


def make_optimizer(section: Section, model: nn.Module) -> optim.Optimizer:
    """The optimizer of a type with its arguments."""
    known = _classes(optim, optim.Optimizer)
    name = section.take("type", str, "AdamW", allowed=known)
    return section.call(known[name], model.parameters())


def make_schedule(section: Section, optimizer: optim.Optimizer, steps: int, epochs: int) -> tuple[Any, bool]:
    """The schedule of a type with its arguments, and whether it steps once an epoch; None without a table.

    Lengths that are not given (`T_max`, `total_steps`, `total_iters`) are those of the whole run.
    """
    if not section.values:
        return None, False
    known = {n: c for n, c in vars(optim.lr_scheduler).items() if inspect.isclass(c) and n[0] != "_"}
    known = {n: c for n, c in known.items() if n not in ("LRScheduler", "ReduceLROnPlateau", "LambdaLR")}
    name = section.take("type", str, required=True, allowed=known)
    per_epoch = section.take("every", str, "step", allowed=("step", "epoch")) == "epoch"
    lengths = set(inspect.signature(known[name]).parameters) & {"T_max", "total_steps", "total_iters"}
    whole = {key: epochs if per_epoch else steps for key in lengths if key not in section.values}
    return section.call(known[name], optimizer, **whole), per_epoch


def read(path: Any, **changed: Any) -> Recipe:
    """Read a training file and make what it describes.

    Args:
        changed: values of [train] that stand above the file's; None for those that do not.

    Raises:
        ConfigError: naming file, line and key of what is wrong.
    """
    config = Config(path)
    config.check_sections(TABLES)
    table = config.section("train")
    settings: dict[str, Any] = {
        "epochs": table.take("epochs", int, 10, least=1),
        "seed": table.take("seed", int, 0),
        "loss": table.take("loss", str, "cross_entropy", allowed=LOSSES),
        "label_smoothing": table.take("label_smoothing", float, 0.0, least=0.0),
        "clip_norm": table.take("clip_norm", float, least=0.0),
        "compile": table.take("compile", bool, True),
        "out": table.take("out", str, "squall-run"),
        "keep_last": table.take("keep_last", int, 2, least=1),
        "keep_best": table.take("keep_best", int, 1, least=0),
    }
    table.finish()
    settings.update({key: value for key, value in changed.items() if value is not None})
    sq.manual_seed(settings["seed"])
    model = make_model(config.section("model", required=True))
    train, test, size, workers = make_data(config.section("data", required=True))
    size = min(size, len(train))
    optimizer = make_optimizer(config.section("optimizer"), model)
    steps = settings["epochs"] * (len(train) // size)
    schedule, per_epoch = make_schedule(config.section("schedule"), optimizer, steps, settings["epochs"])
    return Recipe(model, train, test, optimizer, schedule, per_epoch, settings, size, workers, config.values)


