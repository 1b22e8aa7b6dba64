"""Optimizers and learning-rate schedules under PyTorch's names: `from squall import optim`."""

from squall.optim import lr_scheduler, swa_utils
from squall.optim.adafactor import Adafactor
from squall.optim.adam import Adam, AdamW
from squall.optim.adam_relatives import Adamax, NAdam, RAdam
from squall.optim.adaptive import ASGD, Adadelta, Adagrad, RMSprop, Rprop
from squall.optim.lbfgs import LBFGS
from squall.optim.muon import Muon
from squall.optim.optimizer import Optimizer
from squall.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]
