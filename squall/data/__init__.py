"""Data sets, samplers and the loader that makes batches, under the names of `torch.utils.data`."""

from squall.data.collate import default_collate
from squall.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from squall.data.digits import Digits, digits
from squall.data.loader import DataLoader
from squall.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "digits",
    "random_split",
]
