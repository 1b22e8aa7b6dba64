"""Data sets put together, and the orders that samplers give."""

import numpy as np
import pytest

import squall as sq
from squall.data import (
    BatchSampler,
    BucketBatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    StackDataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    draws,
)  # fmt: skip


def seeded(seed=1):
    return sq.Generator().manual_seed(seed)


class Numbers(IterableDataset):
    def __init__(self, *numbers):
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    def __iter__(self):
        return iter(self.numbers)


def test_chains_and_stacks():
    chain = Numbers(1, 2) + Numbers(3)
    assert isinstance(chain, ChainDataset) and list(chain) == [1, 2, 3] and len(chain) == 3 and list(chain) == [1, 2, 3]
    with pytest.raises(TypeError, match="only supports IterableDataset, got list"):
        ChainDataset([[1]])
    with pytest.raises(TypeError, match="ChainDataset does"):
        ConcatDataset([Numbers(1)])
    with pytest.raises(TypeError, match=r"define __iter__\(\)"):
        list(IterableDataset())
    stack = StackDataset(range(3), "abc")
    assert stack[1] == (1, "b") and len(stack) == 3 and stack.__getitems__([2, 0]) == [(2, "c"), (0, "a")]
    named = StackDataset(x=TensorDataset(sq.arange(4)), y=range(4))
    assert [b["y"].tolist() for b in DataLoader(named, 3)] == [[0, 1, 2], [3]]
    assert [b["x"][0].tolist() for b in DataLoader(named, 3)] == [[0, 1, 2], [3]]
    with pytest.raises(ValueError, match="different lengths"):
        StackDataset(range(2), range(3))
    for wrong in (lambda: StackDataset(), lambda: StackDataset(range(2), a=range(2))):
        with pytest.raises(ValueError, match="by position or by name"):
            wrong()


def test_subsets_in_random_order():
    sampler = SubsetRandomSampler([5, 7, 9], seeded())
    assert sorted(sampler) == [5, 7, 9] and len(sampler) == 3
    assert list(SubsetRandomSampler(range(50), seeded())) == list(SubsetRandomSampler(range(50), seeded()))
    assert list(SubsetRandomSampler(range(50), seeded())) != list(range(50))


def test_weights_decide_how_often():
    weights = [0.0, 1.0, 2.0, 0.0, 5.0, 0.0]
    drawn = list(WeightedRandomSampler(weights, 20_000, generator=seeded()))
    shares = np.bincount(drawn, minlength=6) / 20_000
    np.testing.assert_allclose(shares, np.array(weights) / 8, atol=0.015)
    for give in (lambda: sq.tensor(weights), lambda: np.array(weights)):
        assert list(WeightedRandomSampler(give(), 20_000, generator=seeded())) == drawn
    once = [list(WeightedRandomSampler(weights, 2, False, seeded(seed))) for seed in range(300)]
    assert all(len(set(pair)) == 2 and set(pair) <= {1, 2, 4} for pair in once)
    assert 0.5 < np.mean([pair[0] == 4 for pair in once]) < 0.75  # 5 / 8
    assert len(WeightedRandomSampler(weights, 3, False)) == 3
    for wrong in ([], [-1.0, 2.0], [0.0], [float("nan")], [[1.0]]):
        with pytest.raises(ValueError, match="weights should be"):
            WeightedRandomSampler(wrong, 1)
    with pytest.raises(ValueError, match="3 weights are not zero"):
        WeightedRandomSampler(weights, 4, False)
    with pytest.raises(ValueError, match="num_samples"):
        WeightedRandomSampler(weights, 0)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_shares_of_several_processes(count, drop, shuffle):
    samplers = [DistributedSampler(range(count), 4, rank, shuffle, 7, drop) for rank in range(4)]
    shares = [list(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    together = [i for share in shares for i in share]
    if drop:
        assert len(set(together)) == len(together) == count // 4 * 4
    else:
        assert set(together) == set(range(count)) and len(together) - count < 4
    if shuffle and count == 12:
        samplers[0].set_epoch(1)
        assert list(samplers[0]) != shares[0]
        samplers[0].set_epoch(0)
        assert list(samplers[0]) == shares[0]


def test_a_rank_outside_of_the_processes():
    for rank in (-1, 2):
        with pytest.raises(ValueError, match=r"Invalid rank -?\d, rank should be in the interval \[0, 1\]"):
            DistributedSampler(range(3), 2, rank)


@pytest.mark.parametrize("by_elements", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_buckets_put_like_lengths_together(by_elements, drop_last):
    lengths = np.random.default_rng(0).integers(1, 60, 997)
    size = 240 if by_elements else 8
    options = {"by_elements": by_elements, "drop_last": drop_last, "pool": 10}
    sampler = BucketBatchSampler(lengths, size, generator=seeded(), **options)
    estimate = len(sampler)
    batches = list(sampler)
    assert len(sampler) == len(batches) and abs(estimate - len(batches)) < 30
    seen = [i for batch in batches for i in batch]
    assert len(set(seen)) == len(seen) and (drop_last or len(seen) == 997)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    shuffled = np.random.default_rng(1).permutation(997)
    plain = sum(8 * lengths[shuffled[i : i + 8]].max() for i in range(0, 997, 8))
    assert padded < 1.12 * lengths[seen].sum() < 0.75 * plain
    if by_elements:
        assert all(len(batch) * lengths[batch].max() <= size for batch in batches)
    else:
        assert all(len(batch) <= size for batch in batches)
    assert list(BucketBatchSampler(lengths, size, generator=seeded(), **options)) == batches
    assert list(BucketBatchSampler(lengths, size, generator=seeded(2), **options)) != batches
    ordered = list(BucketBatchSampler(lengths, size, False, **options))
    assert [lengths[b].max() for b in ordered] == sorted(lengths[b].max() for b in ordered)


def test_buckets_that_make_no_sense():
    with pytest.raises(ValueError, match="length 9, and a batch holds 5"):
        BucketBatchSampler([9], 5, by_elements=True)
    with pytest.raises(ValueError, match="at least 1"):
        BucketBatchSampler([9], 0)
    assert list(BucketBatchSampler([], 3)) == [] and len(BucketBatchSampler([], 3)) == 0


class Sentences(Dataset):
    lengths = (3, 1, 2, 3)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return sq.full((self.lengths[index],), index)


def test_samplers_in_a_loader():
    def padded(samples):
        width = max(len(s) for s in samples)
        return [s.tolist() + [-1] * (width - len(s)) for s in samples]

    loader = DataLoader(Sentences(), batch_sampler=BucketBatchSampler(Sentences.lengths, 2, False), collate_fn=padded)
    assert list(loader) == [[[1, -1], [2, 2]], [[0, 0, 0], [3, 3, 3]]] and len(loader) == 2
    loader = DataLoader(TensorDataset(sq.arange(10)), 2, sampler=DistributedSampler(range(10), 2, 1, False))
    assert [b[0].tolist() for b in loader] == [[1, 3], [5, 7], [9]]
    batches = BatchSampler(WeightedRandomSampler([0.0, 1.0], 3), 2, False)
    assert list(batches) == [[1, 1], [1]]


def test_draws_are_the_bits_of_rand_and_move_the_generator_on():
    g = seeded(9)
    first = draws.words(g, 3)
    h = seeded(9)
    assert [int(v * 2**24) for v in sq.rand(3, generator=h).tolist()] == [w >> 8 for w in first]
    assert g.get_state().tolist() == h.get_state().tolist()
    many = draws.array(seeded(2), (4000,))
    assert 0.47 < many.mean() < 0.53 and many.min() >= 0 and many.max() < 1
    assert {draws.below(g, 3) for _ in range(50)} == {0, 1, 2}


def test_collating_keeps_types_and_says_what_does_not_fit():
    class Pair(dict):
        """A mapping of one's own."""

    got = default_collate([Pair(a=np.float32(1)), Pair(a=np.float32(2))])
    assert type(got) is Pair and got["a"].dtype is sq.float32
    assert default_collate([(1, "a"), (2, "b")])[1] == ["a", "b"]
    assert default_collate([np.array([1], ">i4"), np.array([2], ">i4")]).tolist() == [[1], [2]]
    assert default_collate([sq.ones(1), sq.ones(1, dtype=sq.float64)]).dtype is sq.float64
    x = sq.ones(2, requires_grad=True)
    default_collate([x, x * 2]).sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(TypeError, match="found an array of <U1"):
        default_collate([np.array(["a"])])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([np.ones(1), np.ones(2)])
    with pytest.raises(RuntimeError):
        default_collate([sq.ones(1), sq.ones(2)]).tolist()
    with pytest.raises(KeyError):
        default_collate([{"a": 1}, {"b": 1}])


def test_converting_single_samples():
    got = default_convert({"x": [np.arange(2), "s"], "n": 3, "t": (np.float64(0.5), sq.ones(1))})
    assert got["x"][0].tolist() == [0, 1] and got["x"][1] == "s" and got["n"] == 3
    assert got["t"][0].dtype is sq.float64 and got["t"][1].tolist() == [1]
