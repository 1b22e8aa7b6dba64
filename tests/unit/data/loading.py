"""Data sets for the tests of worker processes; a module of their own, so that spawned processes can import them."""

import os
import random
import time

import numpy as np

import squall as sq
from squall.data import Dataset, IterableDataset, get_worker_info


class Rows(Dataset):
    """Sample i is a row of i, who made it, and random numbers."""

    def __init__(self, count=20, width=3, dtype="float32"):
        self.count, self.width, self.dtype = count, width, dtype

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        info = get_worker_info()
        return {
            "x": sq.tensor(np.full(self.width, index)).to(getattr(sq, self.dtype)),
            "worker": -1 if info is None else info.id,
            "draws": np.array([random.random(), np.random.random(), sq.data.draws.uniform(None)]),
            "name": f"row {index}",
        }


class Broken(Rows):
    """Fails at one index."""

    def __init__(self, error, at=5):
        super().__init__()
        self.error, self.at = error, at

    def __getitem__(self, index):
        if index == self.at:
            if self.error == "exit":
                os._exit(3)
            if self.error == "kill":
                os.kill(os.getpid(), 9)
            if self.error == "hang":
                time.sleep(100)
            if self.error == "unpicklable":
                return lambda: 0
            raise self.error
        return super().__getitem__(index)


class LocalError(Exception):
    """Cannot be made from its message alone."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Stream(IterableDataset):
    """Numbers, shared among the workers."""

    def __init__(self, count, shared=True):
        self.count, self.shared = count, shared

    def __len__(self):
        return self.count

    def __iter__(self):
        info = get_worker_info()
        if info is None or not self.shared:
            return iter(range(self.count))
        return iter(range(info.id, self.count, info.num_workers))


class Who(Rows):
    """Which process made a sample."""

    def __getitem__(self, index):
        return os.getpid()


def note(number):
    """A `worker_init_fn` that the process remembers."""
    os.environ["STARTED"] = str(number)


class Noted(Rows):
    """What `note` left."""

    def __getitem__(self, index):
        return int(os.environ.get("STARTED", "-1"))


class Orphan:
    """Slow enough that its worker is at work when the parent is killed; writes who it is."""

    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        with open(os.path.join(self.folder, str(os.getpid())), "w"):
            pass
        time.sleep(0.05)
        return index


def iterate(folder):
    """What a process that is killed was doing."""
    for _ in sq.data.DataLoader(Orphan(folder), num_workers=2):
        pass
