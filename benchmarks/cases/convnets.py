"""Convolutional networks: train steps and inference, and the single layers they are made of, forward and backward."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import peers
from benchmarks.apart import kept_heap
from benchmarks.cases.frameworks import Framework, framework, train_step, training
from benchmarks.harness import Case, Program, register

BATCHES = 4
LAYOUTS = {"torch eager": False, "torch channels-last": True}


def set_weights(own: Framework, model: Any) -> None:
    """Equal weights in every framework, of a scale that keeps activations in range without training."""
    draw = np.random.RandomState(0)
    with own.package.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if name.endswith("bias"):
                parameter.copy_(own.package.zeros(shape))
            elif len(shape) > 1:
                value = draw.standard_normal(shape) * (2.0 / np.prod(shape[1:])) ** 0.5
                parameter.copy_(own.package.tensor(value.astype(np.float32)))


# ---------------------------------------------------------------- networks
def lenet(own: Framework) -> Any:
    """Two 5 x 5 convolutions with pooling and three linear layers, for 28 x 28."""
    nn = own.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def resnet(own: Framework, counts: tuple, bottleneck: bool, small: bool, classes: int) -> Any:
    """A ResNet as it is usually written; `small` is the stem for 32 x 32."""
    nn = own.nn
    wide = 4 if bottleneck else 1

    class Block(nn.Module):
        def __init__(self, inside: int, width: int, stride: int):
            super().__init__()
            shapes = ([(inside, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)] if bottleneck
                      else [(inside, width, 3, stride), (width, width, 3, 1)])  # fmt: skip
            layers = []
            for a, b, size, step in shapes:
                convolution = nn.Conv2d(a, b, size, step, size // 2, bias=False)
                layers += [convolution, nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
            self.body = nn.Sequential(*layers[:-1])
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride != 1 or inside != wide * width:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inside, wide * width, 1, stride, bias=False), nn.BatchNorm2d(wide * width)
                )

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + self.shortcut(x))

    stem = nn.Conv2d(3, 64, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    layers = [stem, nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    inside = 64
    for stage, count in enumerate(counts):
        for number in range(count):
            stride = 2 if stage and number == 0 else 1
            layers.append(Block(inside, 64 << stage, stride))
            inside = wide * (64 << stage)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


def resnet18_small(own: Framework) -> Any:
    """ResNet-18 for 32 x 32, ten classes."""
    return resnet(own, (2, 2, 2, 2), False, True, 10)


def resnet18(own: Framework) -> Any:
    """ResNet-18 for 224 x 224."""
    return resnet(own, (2, 2, 2, 2), False, False, 1000)


def resnet50(own: Framework) -> Any:
    """ResNet-50 for 224 x 224."""
    return resnet(own, (3, 4, 6, 3), True, False, 1000)


# ---------------------------------------------------------------- ways to run them
def pictures(shape: tuple, classes: int) -> list:
    """Batches of noise with random classes."""
    draw = np.random.RandomState(5)
    return [
        (draw.standard_normal(shape).astype(np.float32), draw.randint(0, classes, shape[0]))
        for _ in range(BATCHES)
    ]


def prepared(name: str, make: Callable, channels_last: bool = False) -> tuple[Framework, Any]:
    """A framework and a model in it."""
    own = framework(name)
    model = make(own)
    set_weights(own, model)
    if channels_last:
        model = model.to(memory_format=own.package.channels_last)
    return own, model


def tensors(own: Framework, batch: tuple, channels_last: bool) -> tuple:
    """A batch as tensors of a framework."""
    x, y = (own.package.tensor(part) for part in batch)
    return (x.contiguous(memory_format=own.package.channels_last) if channels_last else x), y


def train_contenders(make: Callable, shape: tuple, classes: int) -> dict[str, Callable]:
    """One train step: squall compiled and not, PyTorch in both layouts and compiled."""

    def build(name: str, channels_last: bool = False, compiled: bool = False) -> Program:
        own, model = prepared(name, make, channels_last)
        batches = [tensors(own, batch, channels_last) for batch in pictures(shape, classes)]

        def loss_of(x: Any, y: Any) -> Any:
            return own.functional.cross_entropy(model(x), y)

        options = {"fused": True} if name == "torch" else {}
        if compiled and name == "torch":
            return training(train_step(own, own.package.compile(loss_of), model, **options), batches)
        step = train_step(own, loss_of, model, **options)
        return training(own.package.compile(step) if compiled else step, batches)

    return {
        "squall compiled": lambda: build("squall", compiled=True),
        "squall uncompiled": lambda: build("squall"),
        **{key: lambda last=last: build("torch", last) for key, last in LAYOUTS.items()},
        "torch compile": lambda: build("torch", True, True),
        "torch channels-last, kept heap": kept_heap(lambda: build("torch", True)),
    }


def inference_contenders(make: Callable, shape: tuple) -> dict[str, Callable]:
    """The scores of a batch, without gradients."""

    def build(name: str, channels_last: bool = False, compiled: bool = False, **options: Any) -> Program:
        own, model = prepared(name, make, channels_last)
        model.eval()
        x, _ = tensors(own, pictures(shape, 10)[0], channels_last)
        run = own.package.compile(model, **options) if compiled else model

        def call() -> np.ndarray:
            with own.package.no_grad():
                return run(x).numpy()

        return Program(call, lambda: [call()])

    def exported() -> Program:
        own, model = prepared("torch", make)
        run = peers.onnx_call(model, tensors(own, pictures(shape, 10)[0], False)[:1])
        return Program(run, lambda: [run()[0]])

    return {
        "squall compiled": lambda: build("squall", compiled=True),
        "squall frozen": lambda: build("squall", compiled=True, freeze=True),
        **{key: lambda last=last: build("torch", last) for key, last in LAYOUTS.items()},
        "torch compile": lambda: build("torch", True, True),
        "onnxruntime": exported,
    }


class Layer(NamedTuple):
    """A convolution: batch, channels, size, filters, kernel, stride, groups."""

    batch: int
    channels: int
    size: int
    filters: int
    kernel: int
    stride: int = 1
    groups: int = 1


def layer_values(layer: Layer) -> tuple[np.ndarray, ...]:
    """The input, weight and gradient of the output of a layer."""
    draw = np.random.RandomState(3)
    x = draw.standard_normal((layer.batch, layer.channels, layer.size, layer.size)).astype(np.float32)
    w = draw.standard_normal((layer.filters, layer.channels // layer.groups, layer.kernel, layer.kernel))
    w = (w / (w[0].size) ** 0.5).astype(np.float32)
    out = (layer.size + 2 * (layer.kernel // 2) - layer.kernel) // layer.stride + 1
    return x, w, draw.standard_normal((layer.batch, layer.filters, out, out)).astype(np.float32)


def layer_contenders(layer: Layer, part: str) -> dict[str, Callable]:
    """One layer: its `part` is "forward", "data" or "weight", the gradients given that of the output."""
    padding = layer.kernel // 2

    def program(own: Framework) -> Callable:
        convolve = own.functional.conv2d
        options = {"stride": layer.stride, "padding": padding, "groups": layer.groups}
        if part == "forward":
            return lambda x, w, g: convolve(x, w, **options)

        def gradient(x: Any, w: Any, g: Any) -> Any:
            leaf = (x if part == "data" else w).detach().requires_grad_()
            y = convolve(leaf, w, **options) if part == "data" else convolve(x, leaf, **options)
            return own.package.autograd.grad(y, leaf, g)[0]

        return gradient

    def squall(channels_last: bool) -> Program:
        own = framework("squall")
        kept, moved = (0, 2, 3, 1), (0, 3, 1, 2)
        function = program(own)

        def last(x: Any, w: Any, g: Any) -> Any:  # pictures lie in memory with their channels last
            y = function(x.permute(moved), w, g.permute(moved))
            return y if part == "weight" else y.permute(kept)

        run = own.package.compile(last if channels_last else function)
        turn = kept if channels_last else (0, 1, 2, 3)
        x, w, g = layer_values(layer)
        pictures = [own.package.tensor(np.ascontiguousarray(value.transpose(turn))) for value in (x, g)]
        given = (pictures[0], own.package.tensor(w), pictures[1])
        back = moved if channels_last and part != "weight" else (0, 1, 2, 3)
        return Program(lambda: run(*given).numpy(), lambda: [run(*given).numpy().transpose(back)])

    def torch(channels_last: bool) -> Program:
        own = framework("torch")
        given = tuple(tensors(own, (value, value), channels_last)[0] for value in layer_values(layer))
        if part == "forward":
            run = program(own)
        else:
            mask = [part == "data", part == "weight", False]
            backward, pair = own.package.ops.aten.convolution_backward, [padding] * 2

            def run(x: Any, w: Any, g: Any) -> Any:  # without the forward pass
                found = backward(g, x, w, None, [layer.stride] * 2, pair, [1, 1], False, [0, 0], layer.groups, mask)
                return found[0] if part == "data" else found[1]

        return Program(lambda: run(*given), lambda: [run(*given).numpy()])

    return {
        "squall compiled": lambda: squall(False),
        "squall channels-last": lambda: squall(True),
        **{key: lambda last=last: torch(last) for key, last in LAYOUTS.items()},
    }


TRAINED = {
    "lenet-train": (lenet, (64, 1, 28, 28), 10, "LeNet, AdamW step, 28 x 28, batch 64", False),
    "resnet18-train": (resnet18_small, (32, 3, 32, 32), 10, "ResNet-18 for 32 x 32, AdamW step, batch 32", False),
    "resnet50-train": (resnet50, (8, 3, 224, 224), 1000, "ResNet-50, AdamW step, 224 x 224, batch 8", True),
}
INFERRED = {
    "resnet18-infer-1": (resnet18, (1, 3, 224, 224), "ResNet-18, 224 x 224, one picture", False),
    "resnet18-infer-32": (resnet18, (32, 3, 224, 224), "ResNet-18, 224 x 224, 32 pictures", True),
    "resnet50-infer-1": (resnet50, (1, 3, 224, 224), "ResNet-50, 224 x 224, one picture", False),
    "resnet50-infer-8": (resnet50, (8, 3, 224, 224), "ResNet-50, 224 x 224, 8 pictures", True),
}
LAYERS = {
    "3x3-64x56": Layer(8, 64, 56, 64, 3),
    "3x3-128x28": Layer(8, 128, 28, 128, 3),
    "3x3-256x14": Layer(8, 256, 14, 256, 3),
    "3x3-512x7": Layer(8, 512, 7, 512, 3),
    "3x3-128x56-stride2": Layer(8, 128, 56, 128, 3, 2),
    "1x1-64to256x56": Layer(8, 64, 56, 256, 1),
    "1x1-256to64x56": Layer(8, 256, 56, 64, 1),
    "1x1-1024to256x14": Layer(8, 1024, 14, 256, 1),
    "7x7-3to64x224-stride2": Layer(8, 3, 224, 64, 7, 2),
    "depthwise-32x112": Layer(8, 32, 112, 32, 3, 1, 32),
    "depthwise-192x28": Layer(8, 192, 28, 192, 3, 1, 192),
    "depthwise-96x112-stride2": Layer(8, 96, 112, 96, 3, 2, 96),
}

# Rounding grows from step to step: the losses of ResNet-50's first steps on one batch, 9.0, 4.7, 1.7, 0.3 and 0.07,
# differ by up to 0.015 among PyTorch's own layouts and float64.
TRAINED_TOLERANCE = {"resnet50-train": 1e-2}
for key, (make, shape, classes, about, full) in TRAINED.items():
    register(Case(key, "convnets", about, train_contenders(make, shape, classes),
                  tolerance=TRAINED_TOLERANCE.get(key, 2e-3), full=full))  # fmt: skip
for key, (make, shape, about, full) in INFERRED.items():
    register(Case(key, "convnets", about, inference_contenders(make, shape), full=full))
for key, layer in LAYERS.items():
    for part in ("forward", "data", "weight"):
        register(Case(
            f"conv-{key}-{part}", "convolutions", f"batch {layer.batch}, {key.replace('-', ' ')}, {part}",
            layer_contenders(layer, part),
        ))  # fmt: skip
