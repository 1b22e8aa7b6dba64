"""Files: PyTorch's, safetensors, NumPy's, and training checkpoints that resume to the same bits. Nothing is ever
half-written, and nothing that a file holds is ever run."""

from squall.io.atomic import atomic_write
from squall.io.checkpoint import Checkpoint, load_checkpoint, read_checkpoint, save_checkpoint
from squall.io.numpy_files import load_npy, load_npz, save_npy, save_npz
from squall.io.pickle_reader import Inert
from squall.io.retention import CheckpointFolder
from squall.io.safe_file import SafeFile, safe_open
from squall.io.tensor_files import load_safetensors, save_safetensors
from squall.io.torch_files import load, save

__all__ = [
    "Checkpoint",
    "CheckpointFolder",
    "Inert",
    "SafeFile",
    "atomic_write",
    "load",
    "load_checkpoint",
    "load_npy",
    "load_npz",
    "load_safetensors",
    "read_checkpoint",
    "safe_open",
    "save",
    "save_checkpoint",
    "save_npy",
    "save_npz",
    "save_safetensors",
]
