"""Files: safetensors, and training checkpoints that resume to the same bits. Nothing is ever half-written
or unpickled."""

from squall.io.atomic import atomic_write
from squall.io.checkpoint import Checkpoint, load_checkpoint, read_checkpoint, save_checkpoint
from squall.io.tensor_files import load_safetensors, save_safetensors

__all__ = [
    "Checkpoint",
    "atomic_write",
    "load_checkpoint",
    "load_safetensors",
    "read_checkpoint",
    "save_checkpoint",
    "save_safetensors",
]
