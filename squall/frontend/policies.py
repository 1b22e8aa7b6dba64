"""What `checkpoint` keeps all the same: policies under PyTorch's and JAX's names."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Iterable
from typing import Any

from squall.frontend.core import Handle
from squall.frontend.state import local
from squall.ir.op import Op


class CheckpointPolicy(enum.Enum):
    """What a policy says of one op's result: keep it, or compute it again. PREFER and MUST mean the same."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3


class SelectiveCheckpointContext:
    """What a policy function gets first, as in PyTorch.

    Attributes:
        is_recompute: whether this is the second run; policies are asked in the first.
    """

    def __init__(self, *, is_recompute: bool):
        self.is_recompute = is_recompute


class Policy:
    """Which results are kept.

    Args:
        decide: `decide(context, op, *operands)` giving a CheckpointPolicy or a bool; for names that
            `checkpoint_name` gave the op is the name.
    """

    def __init__(self, decide: Callable):
        self.decide = decide
        self.context = SelectiveCheckpointContext(is_recompute=False)

    def saves(self, op: Op | str, read: tuple) -> bool:
        """Whether the result of an op is kept, given the Tensors and Nodes it read."""
        answer = self.decide(self.context, op, *(() if isinstance(op, str) else read[0]))
        if isinstance(answer, CheckpointPolicy):
            return answer in (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)
        return bool(answer)


DOTS = frozenset(("matmul", "linear", "contract", "einsum", "convolution", "convolution_transpose"))


def _has_batch(operands: tuple) -> bool:
    """Whether both factors of a product have dimensions before the matrix."""
    return all(len(t.node.shape) > 2 for t in operands[:2])


_NAMED: dict[str, Callable] = {
    "nothing_saveable": lambda context, op, *operands: False,
    "everything_saveable": lambda context, op, *operands: True,
    "dots_saveable": lambda context, op, *operands: isinstance(op, Op) and op.name in DOTS,
    "dots_with_no_batch_dims_saveable": lambda context, op, *operands: (
        isinstance(op, Op) and op.name in DOTS and not _has_batch(operands)
    ),
}


def _name_of(op: Any) -> str:
    name = op if isinstance(op, str) else getattr(op, "name", None) or getattr(op, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(
            f"checkpoint: expected ops by name or as functions of squall, got {type(op).__name__}"
        )
    return {"mm": "matmul", "bmm": "matmul"}.get(name, name)


def named_policy(policy: Any) -> Policy | None:
    """A policy as users give it.

    Raises:
        ValueError: for a name there is not. TypeError: for what is no policy.
    """
    if policy is None or isinstance(policy, Policy):
        return policy
    if isinstance(policy, str):
        if policy not in _NAMED:
            raise ValueError(
                f"checkpoint: policy must be one of {', '.join(sorted(_NAMED))}, names of ops in a list, or "
                f"a function, got {policy!r}"
            )
        return Policy(_NAMED[policy])
    if isinstance(policy, Iterable):
        kept = frozenset(map(_name_of, policy))
        return Policy(lambda context, op, *operands: isinstance(op, Op) and op.name in kept)
    if callable(policy):
        return Policy(policy)
    raise TypeError(f"checkpoint: expected a policy's name, ops, or a function, got {type(policy).__name__}")


def save_only_these_names(*names: str) -> Policy:
    """A policy that keeps the values which `checkpoint_name` gave these names, and nothing else.

    Example:
        >>> import squall as sq
        >>> def block(x):
        ...     return sq.func.checkpoint_name(x.exp(), "hidden").sin()
        >>> policy = sq.func.save_only_these_names("hidden")
        >>> sq.func.grad(lambda x: sq.checkpoint(block, x, policy=policy))(sq.tensor(0.0)).item() > 0
        True
    """
    kept = frozenset(names)
    return Policy(lambda context, op, *operands: op in kept if isinstance(op, str) else False)


def checkpoint_name(x: Any, name: str) -> Any:
    """The Tensor, which gets a name that a policy of `checkpoint` may keep.

    Args:
        x: a Tensor. name: see `save_only_these_names`.
    """
    if not isinstance(x, Handle):
        raise TypeError(f"checkpoint_name: argument 'x' must be a Tensor, got {type(x).__name__}")
    trace = local.state.trace
    if hasattr(trace, "named"):
        trace.named(x, name)
    return x


class _Selective(contextlib.nullcontext):
    """A context that carries a policy."""

    def __init__(self, policy: Policy | None):
        super().__init__()
        self.policy = policy


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False
) -> tuple:
    """Contexts for `checkpoint(context_fn=...)` that keep the results of chosen ops, as in PyTorch.

    Args:
        policy_fn_or_list: as `checkpoint`'s `policy`. allow_cache_entry_mutation: accepted for PyTorch's sake: kept
            values never change.

    Example:
        >>> import functools, squall as sq
        >>> keep = functools.partial(sq.func.create_selective_checkpoint_contexts, ["matmul"])
        >>> x = sq.ones(2, 2, requires_grad=True)
        >>> sq.checkpoint(lambda v: (v @ v).exp().sum(), x, context_fn=keep).backward()
        >>> x.grad.shape
        squall.Size([2, 2])
    """
    policy = named_policy(policy_fn_or_list)
    return _Selective(policy), _Selective(policy)
