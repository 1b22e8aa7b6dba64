"""Data sets, samplers, the loader, and the digits in the package."""

from collections import namedtuple

import numpy as np
import pytest

import squall as sq
from squall.base.errors import ShapeError, SquallError
from squall.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    digits,
    random_split,
)  # fmt: skip


class Squares(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"x": index, "y": float(index * index)}


def test_tensor_dataset_gives_rows():
    data = TensorDataset(sq.arange(6).view(3, 2), sq.tensor([0, 1, 0]))
    assert len(data) == 3
    x, y = data[1]
    assert x.tolist() == [2, 3] and y.item() == 1
    with pytest.raises(ShapeError, match=r"one first size, got shapes \[\(3,\), \(4,\)\]"):
        TensorDataset(sq.zeros(3), sq.zeros(4))


def test_parts_and_sums_of_data_sets():
    data = Squares()
    part = Subset(data, [5, 2])
    assert len(part) == 2 and part[0]["x"] == 5
    both = data + part
    assert isinstance(both, ConcatDataset) and len(both) == 9
    assert both[7]["x"] == 5 and both[-1]["x"] == 2 and both[6]["x"] == 6
    with pytest.raises(IndexError, match="out of range for 9"):
        both[9]


def test_random_split_is_a_partition_and_follows_the_generator():
    data = Squares()
    g = sq.Generator()
    parts = random_split(data, [4, 3], g.manual_seed(1))
    assert sorted(i for p in parts for i in p.indices) == list(range(7))
    again = random_split(data, [4, 3], g.manual_seed(1))
    assert [p.indices for p in parts] == [p.indices for p in again]
    assert [len(p) for p in random_split(data, [0.5, 0.5])] == [4, 3]
    with pytest.raises(ValueError, match="add up to 6, and the data set has 7"):
        random_split(data, [3, 3])


def test_samplers():
    data = Squares()
    assert list(SequentialSampler(data)) == list(range(7))
    order = list(RandomSampler(data))
    assert sorted(order) == list(range(7)) and len(RandomSampler(data)) == 7
    many = list(RandomSampler(data, num_samples=17))
    assert len(many) == 17 and sorted(many[:7]) == list(range(7))
    drawn = list(RandomSampler(data, replacement=True, num_samples=50))
    assert len(drawn) == 50 and set(drawn) <= set(range(7)) and len(set(drawn)) > 3
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]] and len(BatchSampler(range(5), 2, True)) == 2
    with pytest.raises(ValueError, match="batch_size should be a positive integer"):
        BatchSampler(range(3), 0, False)
    with pytest.raises(ValueError, match="num_samples"):
        RandomSampler(data, num_samples=-1)


def test_collate():
    Pair = namedtuple("Pair", "a b")
    assert default_collate([Pair(1, "u"), Pair(2, "v")]).a.tolist() == [1, 2]
    assert default_collate([[1, 2.0], [3, 4.0]])[1].dtype is sq.float64
    assert default_collate([np.ones(2), np.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([sq.ones(2), sq.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert default_collate([True, False]).dtype is sq.bool
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="found object"):
        default_collate([object()])


def test_loader_batches_and_collates():
    loader = DataLoader(Squares(), batch_size=3)
    batches = list(loader)
    assert len(loader) == 3 and [b["x"].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert batches[1]["y"].tolist() == [9.0, 16.0, 25.0]
    assert len(list(DataLoader(Squares(), 3, drop_last=True))) == 2
    assert [d["x"] for d in DataLoader(Squares(), batch_size=None)] == list(range(7))
    assert list(DataLoader(Squares(), 2, collate_fn=len)) == [2, 2, 2, 1]
    assert [b["x"].tolist() for b in DataLoader(Squares(), batch_sampler=[[6, 0], [1]])] == [[6, 0], [1]]


def test_loader_takes_tensors_a_batch_at_a_time_and_gives_what_single_samples_would():
    data = TensorDataset(sq.arange(10).view(5, 2), sq.arange(5))
    whole = [(x.tolist(), y.tolist()) for x, y in DataLoader(data, 2)]
    single = [(x.tolist(), y.tolist()) for x, y in DataLoader(data, 2, collate_fn=default_collate)]
    assert whole == single and whole[2] == ([[8, 9]], [4])
    part = [(x.tolist(), y.tolist()) for x, y in DataLoader(Subset(data, [3, 1, 0]), 2)]
    assert part == [([[6, 7], [2, 3]], [3, 1]), ([[0, 1]], [0])]


def epoch(loader):
    return [x.tolist() for (x,) in loader]


def test_shuffling_differs_by_epoch_and_repeats_by_seed():
    data = TensorDataset(sq.arange(20))
    loader = DataLoader(data, 4, shuffle=True, generator=sq.Generator().manual_seed(1))
    first, second = epoch(loader), epoch(loader)
    assert sorted(i for batch in first for i in batch) == list(range(20)) and first != second
    again = DataLoader(data, 4, shuffle=True, generator=sq.Generator().manual_seed(1))
    assert [epoch(again), epoch(again)] == [first, second]


def test_loader_goes_on_in_the_middle_of_an_epoch():
    data = TensorDataset(sq.arange(20))
    g = sq.Generator().manual_seed(5)
    loader = DataLoader(data, 4, shuffle=True, generator=g)
    whole = [epoch(loader), epoch(loader), epoch(loader)]
    g = sq.Generator().manual_seed(5)
    loader = DataLoader(data, 4, shuffle=True, generator=g)
    epoch(loader)
    batches = iter(loader)
    next(batches), next(batches)
    state, random = loader.state_dict(), g.get_state()
    g = sq.Generator()
    resumed = DataLoader(data, 4, shuffle=True, generator=g)
    resumed.load_state_dict(state)
    g.set_state(random)
    assert epoch(resumed) == whole[1][2:]
    assert epoch(resumed) == whole[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_workers": -1}, "0 or more"),
        ({"prefetch_factor": 2}, "only with num_workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "at least 1"),
        ({"persistent_workers": True}, "only with num_workers"),
        ({"timeout": -1}, "0 or more"),
        ({"sampler": [0], "shuffle": True}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 4}, "batch_sampler option"),
        ({"batch_size": None, "drop_last": True}, "drop_last"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_loader_options_that_exclude_each_other(options, words):
    with pytest.raises(ValueError, match=words):
        DataLoader(Squares(), **options)


def test_digits_are_split_by_class():
    train, test = digits()
    assert len(train) == 1438 and len(test) == 359
    images, labels = train.tensors
    assert images.dtype is sq.float32 and tuple(images.shape) == (1438, 1, 8, 8) and labels.dtype is sq.int64
    assert images.min().item() == 0.0 and images.max().item() == 1.0
    all_labels = np.bincount(np.concatenate([labels.numpy(), test.tensors[1].numpy()]))
    np.testing.assert_array_equal(all_labels, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(np.bincount(test.tensors[1].numpy()), np.round(all_labels / 5))
    rows = {r.tobytes() for r in images.numpy()}
    assert sum(r.tobytes() in rows for r in test.tensors[0].numpy()) == 0


def test_damaged_digits_are_noticed(monkeypatch):
    import importlib

    module = importlib.import_module("squall.data.digits")
    monkeypatch.setattr(module, "CHECKSUM", "0" * 64)
    with pytest.raises(SquallError, match="damaged"):
        digits()
