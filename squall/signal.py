"""`sq.signal`: windows of signals under PyTorch's names (`torch.signal`)."""

from squall.frontend import signal_windows as windows

__all__ = ["windows"]
