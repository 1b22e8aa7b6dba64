"""The programs that are measured, a file for each group; `load` puts them into `harness.CASES`."""

import importlib
import pkgutil


def load() -> None:
    """Import every file here, each of which registers its cases."""
    for found in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{found.name}")
