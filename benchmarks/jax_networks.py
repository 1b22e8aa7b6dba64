"""LeNet and ResNet-18 in JAX, channels last, with the weights that the other frameworks start from."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

LAYOUT = ("NHWC", "HWIO", "NHWC")


def drawn(shapes: list[tuple[int, ...]]) -> Iterator[np.ndarray]:
    """Matrices and filters as `convnets.set_weights` draws them, in the order of PyTorch's parameters."""
    draw = np.random.RandomState(0)
    for shape in shapes:
        yield (draw.standard_normal(shape) * (2.0 / np.prod(shape[1:])) ** 0.5).astype(np.float32)


def entropy(logits: Any, classes: Any) -> Any:
    """The mean cross entropy."""
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(logits), classes[:, None], 1).mean()


def convolve(x: Any, weight: Any, stride: int, padding: int) -> Any:
    """A convolution of NHWC by a filter stored as PyTorch stores it."""
    import jax

    room = ((padding, padding), (padding, padding))
    kernel = weight.transpose(2, 3, 1, 0)
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), room, dimension_numbers=LAYOUT)


def lenet() -> tuple[Callable, Any]:
    """The loss and the weights."""
    shapes = [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
    given = [(value, np.zeros(value.shape[0], np.float32)) for value in drawn(shapes)]

    def loss(values: list, x: Any, y: Any) -> Any:
        import jax
        import jax.numpy as jnp

        x = x.transpose(0, 2, 3, 1)
        for (weight, bias), padding in zip(values[:2], (2, 0), strict=True):
            x = jax.nn.relu(convolve(x, weight, 1, padding) + bias)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        for index, (weight, bias) in enumerate(values[2:]):
            x = x @ weight.T + bias
            x = jax.nn.relu(x) if index < 2 else x
        return entropy(x, y)

    return loss, given


def resnet18() -> tuple[Callable, Any]:
    """The loss and the weights, for 32 x 32 and ten classes; normalisation by the batch's own statistics."""
    plan = [(1, 64), *((2 if stage and not block else 1, 64 << stage) for stage in range(4) for block in range(2))]
    shapes, inside = [(64, 3, 3, 3)], 64
    for stride, outside in plan[1:]:
        shapes += [(outside, inside, 3, 3), (outside, outside, 3, 3)]
        shapes += [(outside, inside, 1, 1)] if stride != 1 or inside != outside else []
        inside = outside
    values = drawn([*shapes, (10, 512)])
    filters = [
        (next(values), np.ones(shape[0], np.float32), np.zeros(shape[0], np.float32)) for shape in shapes
    ]
    given = {"filters": filters, "head": (next(values), np.zeros(10, np.float32))}

    def loss(values: dict, x: Any, y: Any) -> Any:
        import jax

        layers = iter(values["filters"])

        def layer(x: Any, stride: int, padding: int) -> Any:
            weight, scale, shift = next(layers)
            x = convolve(x, weight, stride, padding)
            centred = x - x.mean((0, 1, 2))
            return centred * jax.lax.rsqrt((centred * centred).mean((0, 1, 2)) + 1e-5) * scale + shift

        x = jax.nn.relu(layer(x.transpose(0, 2, 3, 1), 1, 1))
        for stride, outside in plan[1:]:
            past = x
            x = layer(jax.nn.relu(layer(x, stride, 1)), 1, 1)
            x = jax.nn.relu(x + (layer(past, stride, 0) if past.shape[-1] != outside else past))
        weight, bias = values["head"]
        return entropy(x.mean((1, 2)) @ weight.T + bias, y)

    return loss, given
