"""Transforms of images: values, kinds that are kept, and that a seed repeats what is random."""

import numpy as np
import pytest

import squall as sq
from squall.base.errors import ShapeError
from squall.data import transforms as T

IMAGE = np.arange(2 * 4 * 6, dtype="f4").reshape(2, 4, 6) / 48


def seeded(seed=1):
    return sq.Generator().manual_seed(seed)


def test_images_become_tensors():
    grey = T.ToTensor()(np.array([[0, 255], [51, 102]], "u1"))
    assert grey.dtype is sq.float32 and grey.tolist() == [[[0.0, 1.0], [np.float32(0.2), np.float32(0.4)]]]
    colour = T.ToTensor()(np.zeros((5, 7, 3), "f8"))
    assert tuple(colour.shape) == (3, 5, 7) and colour.dtype is sq.float32
    with pytest.raises(ShapeError, match="2 or 3 dimensions"):
        T.ToTensor()(np.zeros(3))


@pytest.mark.parametrize("kind", [np.array, sq.tensor])
def test_fixed_transforms_and_the_kinds_they_keep(kind):
    image = kind(IMAGE)

    def check(transform, want):
        got = transform(image)
        assert isinstance(got, type(image))
        got = np.asarray(got.tolist(), "f4")
        np.testing.assert_allclose(got, want, atol=1e-6)

    check(T.Normalize([0.5, 0.25], [0.5, 2]), (IMAGE - np.array([[[0.5]], [[0.25]]])) / np.array([[[0.5]], [[2]]]))
    check(T.Pad(1), np.pad(IMAGE, [(0, 0), (1, 1), (1, 1)]))
    check(T.Pad((1, 2), 3), np.pad(IMAGE, [(0, 0), (2, 2), (1, 1)], constant_values=3))
    check(T.Pad((1, 2, 3, 0), mode="reflect"), np.pad(IMAGE, [(0, 0), (2, 0), (1, 3)], "reflect"))
    check(T.CenterCrop((2, 3)), IMAGE[:, 1:3, 1:4])
    check(T.Resize((2, 3), "nearest"), IMAGE[:, ::2, ::2])
    check(T.Resize((8, 12), "nearest"), IMAGE.repeat(2, 1).repeat(2, 2))
    check(T.Resize((4, 6)), IMAGE)
    check(T.Resize((2, 3), antialias=False), IMAGE.reshape(2, 2, 2, 3, 2).mean((2, 4)))
    check(T.RandomHorizontalFlip(1.0), IMAGE[:, :, ::-1])
    check(T.RandomVerticalFlip(1.0), IMAGE[:, ::-1])
    check(T.RandomHorizontalFlip(0.0), IMAGE)
    check(T.Compose([T.Pad(1), T.CenterCrop((4, 6))]), IMAGE)


def test_sizes_in_proportion():
    assert T.Resize(2)(IMAGE).shape == (2, 2, 3)
    assert T.Resize(8)(IMAGE.transpose(0, 2, 1)).shape == (2, 12, 8)
    assert T.Resize((3, 5))(np.full((4, 6), 200, "u1")).tolist() == [[200] * 5] * 3
    flat = T.Resize((2, 2))(np.eye(4, dtype="f4"))
    np.testing.assert_allclose(flat.sum(), 1.0, atol=0.35)
    assert np.allclose(T.Resize((1, 1))(IMAGE)[:, 0, 0], IMAGE.mean((1, 2)), atol=0.05)


def test_crops_lie_inside_and_everywhere():
    crop, seen = T.RandomCrop(2, generator=seeded()), set()
    for _ in range(300):
        got = crop(IMAGE)
        assert got.shape == (2, 2, 2)
        place = np.argwhere(IMAGE[0] == got[0, 0, 0])[0]
        np.testing.assert_array_equal(got, IMAGE[:, place[0] : place[0] + 2, place[1] : place[1] + 2])
        seen.add(tuple(place))
    assert len(seen) == 3 * 5
    assert T.RandomCrop((6, 8), padding=1)(IMAGE).shape == (2, 6, 8)
    with pytest.raises(ShapeError, match="smaller than the size"):
        T.RandomCrop(5)(IMAGE)


RANDOM = [
    lambda g: T.RandomCrop(3, padding=2, generator=g), lambda g: T.RandomHorizontalFlip(generator=g),
    lambda g: T.ColorJitter(0.4, 0.4, 0.4, generator=g), lambda g: T.RandomErasing(0.7, generator=g),
]  # fmt: skip


@pytest.mark.parametrize("make", RANDOM)
def test_a_seed_repeats_and_other_seeds_differ(make):
    def run(transform):
        return [transform(IMAGE).tobytes() for _ in range(8)]

    first = run(make(seeded(4)))
    assert run(make(seeded(4))) == first != run(make(seeded(5)))
    sq.manual_seed(4)
    assert run(make(None)) == first, "the default generator is the default"
    assert len(set(first)) > 1


def test_colours_stay_in_range_and_change_as_told():
    image = np.random.default_rng(0).random((3, 5, 5)).astype("f4")
    bright = T.ColorJitter(brightness=0.5, generator=seeded())
    factors = [(bright(image * 0.5) / (image * 0.5)).mean() for _ in range(50)]
    assert 0.5 <= min(factors) < 0.7 and 1.3 < max(factors) <= 1.5
    for _ in range(20):
        got = T.ColorJitter(2.0, 2.0, 2.0, generator=seeded(3))(image)
        assert got.min() >= 0 and got.max() <= 1
    grey = T.ColorJitter(saturation=1.0, generator=seeded())(np.full((3, 2, 2), 0.5, "f4"))
    np.testing.assert_allclose(grey, 0.5, atol=1e-3)
    assert T.ColorJitter(0.5)(np.full((3, 2, 2), 100, "u1")).dtype == np.uint8
    assert T.ColorJitter()(image).tobytes() == image.tobytes()


def test_rectangles_are_blanked():
    got = T.RandomErasing(1.0, (0.2, 0.3), value=-1.0, generator=seeded())(np.ones((1, 20, 20), "f4"))
    assert 0.1 < (got == -1).mean() < 0.4
    rows, columns = np.nonzero(got[0] == -1)
    assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == (got == -1).sum()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: T.Normalize([0], [0]), "std is zero"), (lambda: T.Pad((1, 2, 3)), "expected 1, 2 or 4"),
        (lambda: T.Pad(-1), "not negative"), (lambda: T.Pad(1, mode="wrap"), "mode='wrap'"),
        (lambda: T.CenterCrop(0), "at least 1"), (lambda: T.RandomHorizontalFlip(2), "between 0 and 1"),
        (lambda: T.Resize(3, "cubic"), "mode='cubic'"), (lambda: T.ColorJitter(-1), "brightness=-1 is negative"),
        (lambda: T.RandomErasing(scale=(0, 1)), "0 < scale"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(make, words):
    with pytest.raises(ValueError, match=words):
        make()
    with pytest.raises(TypeError, match="floating point"):
        T.Normalize([0], [1])(np.zeros((1, 2, 2), "u1"))
    with pytest.raises(ShapeError, match="rows, columns"):
        T.Pad(1)(np.zeros(3))
