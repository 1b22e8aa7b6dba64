"""`sq.func`: function transforms, under PyTorch's names (`torch.func`) and where it has none JAX's."""

from squall.frontend.batching import vmap
from squall.frontend.branching import cond
from squall.frontend.checkpointing import checkpoint, checkpoint_sequential
from squall.frontend.custom_linear import custom_jvp
from squall.frontend.custom_rules import custom_vjp
from squall.frontend.ensembles import replace_all_batch_norm_modules_, stack_module_state
from squall.frontend.functional import functional_call
from squall.frontend.jacobians import hessian, jacfwd, jacrev
from squall.frontend.mapping import map
from squall.frontend.policies import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint_name,
    create_selective_checkpoint_contexts,
    save_only_these_names,
)
from squall.frontend.repeating import while_loop
from squall.frontend.scanning import scan
from squall.frontend.transforms import (
    grad,
    grad_and_value,
    hvp,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
)

__all__ = [
    "CheckpointPolicy",
    "SelectiveCheckpointContext",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_sequential",
    "cond",
    "create_selective_checkpoint_contexts",
    "custom_jvp",
    "custom_vjp",
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "map",
    "replace_all_batch_norm_modules_",
    "save_only_these_names",
    "scan",
    "stack_module_state",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
