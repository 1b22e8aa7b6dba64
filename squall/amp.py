"""`sq.amp`: mixed precision under PyTorch's names (`torch.amp`): autocast, and scaled losses for float16."""

from squall.frontend.autocast import autocast, custom_bwd, custom_fwd, is_autocast_available
from squall.frontend.grad_scaling import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
