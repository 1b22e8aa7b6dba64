"""Data sets, samplers, transforms, and the loader that makes batches, under the names of `torch.utils.data`."""

from squall.data import cifar, idx, transforms
from squall.data.cifar import cifar10, cifar100
from squall.data.collate import default_collate, default_convert
from squall.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from squall.data.digits import Digits, digits
from squall.data.idx import DataFileError, ImageSets, fashion_mnist
from squall.data.loader import DataLoader
from squall.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from squall.data.sampling import (
    BucketBatchSampler,
    DistributedSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from squall.data.worker import WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler",
    "BucketBatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataFileError",
    "DataLoader",
    "Dataset",
    "Digits",
    "DistributedSampler",
    "ImageSets",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "cifar",
    "cifar10",
    "cifar100",
    "default_collate",
    "default_convert",
    "digits",
    "fashion_mnist",
    "get_worker_info",
    "idx",
    "random_split",
    "transforms",
]
