"""`sq.random`: the default generator's state under PyTorch's names (`torch.random`)."""

from squall.frontend.random import default_generator, get_rng_state, manual_seed, seed, set_rng_state
from squall.frontend.settings import fork_rng, initial_seed

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
