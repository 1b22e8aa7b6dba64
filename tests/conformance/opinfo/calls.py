"""Running one sample: in torch, and in the module under test by name or by replaying recorded calls."""

import torch
from torch.overrides import TorchFunctionMode, resolve_name

from tests.conformance.opinfo.convert import (
    Converter,
    Missing,
    Target,
    Unsupported,
    copy_sample,
    flatten,
    is_torch,
)

BY_NAME, BY_REPLAY = "name", "replay"


class Recorder(TorchFunctionMode):
    """Keeps the torch calls made while it is active: function, arguments and result."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.raised = []  # the call that raised, if one did

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.raised = self.raised or [(func, args, kwargs, None)]
            raise
        self.calls.append((func, args, kwargs, result))
        return result


def dotted_name(func) -> str:
    """The public name behind a torch function: `nn.functional.relu`, `Tensor.add`, `linalg.inv`."""
    name = resolve_name(func)
    if not name:
        module = getattr(func, "__module__", None)
        own = getattr(func, "__qualname__", getattr(func, "__name__", "?"))
        name = f"{module}.{own}" if module else own
    for prefix in ("torch.", "functional.", "_TensorBase.", "_C."):
        name = name.removeprefix(prefix)
    if name.startswith("aten."):
        name = "ops." + name
    name = name.replace("_C._nn.", "nn.functional.").replace("_C._linalg.linalg_", "linalg.")
    return name.replace("TensorBase.", "Tensor.")


def torch_named(name: str):
    """`torch.<name>`, or None."""
    value = torch
    for part in name.split("."):
        value = getattr(value, part, None)
        if value is None:
            return None
    return value


def how_to_call(op) -> str:
    """By name when the operator's callable is `torch.<name>` itself, else by replaying what it calls."""
    named = torch_named(op.name)
    if named is not None and (named is op.op or getattr(op.op, "__wrapped__", None) is named):
        return BY_NAME
    return BY_REPLAY


def find(target: Target, op):
    """The module's function of the same name or alias, else its tensors' method of that name."""
    for name in [op.name] + [alias.name for alias in (op.aliases or ())]:
        try:
            return target.resolve(name)
        except Missing:
            continue
    if "." not in op.name and target.has_method(op.name):
        return getattr(target.tensor_class, op.name)
    raise Missing(op.name)


def run_torch(op, sample, how: str):
    """The reference result, and the calls it consisted of when they are to be replayed."""
    if how == BY_NAME:
        return op.op(sample.input, *sample.args, **sample.kwargs), None
    recorder = Recorder()
    with recorder:
        result = op.op(sample.input, *sample.args, **sample.kwargs)
    return result, recorder.calls


def run_target(op, sample, calls, converter: Converter, reference):
    """The module's result for the same sample; `calls` is what `run_torch` recorded, or None."""
    if calls is None:
        function = find(converter.target, op)
        arguments = [converter(value) for value in (sample.input, *sample.args)]
        return function(*arguments, **{key: converter(value) for key, value in sample.kwargs.items()})
    result = replay(converter, calls)
    return result if reference is None else rebuild(converter, reference)


def replay(converter: Converter, calls):
    """Repeat recorded torch calls in the module; gives its counterpart of the last one."""
    result = None
    for func, args, kwargs, reference in calls:
        name = dotted_name(func)
        own_args = [converter(value) for value in args]
        own_kwargs = {key: converter(value) for key, value in kwargs.items()}
        result = replay_one(converter.target, name, own_args, own_kwargs)
        converter.link(reference, result)
    return result


def replay_one(target: Target, name: str, args: list, kwargs: dict):
    """One recorded call: an attribute read or written, a method, or a function."""
    if name.endswith(".__get__"):
        return getattr(args[0], name.split(".")[-2])
    if name.endswith(".__set__"):
        setattr(args[0], name.split(".")[-2], args[1])
        return None
    if name.startswith("Tensor."):
        owner, method = target.tensor_class, name.split(".", 1)[1]
        if target.is_tensor(args[0]) or owner is None:
            owner, args = args[0], args[1:]
        if not hasattr(owner, method):  # of the class: a method that was given something else in place of its tensor
            raise Missing(name)
        return getattr(owner, method)(*args, **kwargs)
    return target.resolve(name)(*args, **kwargs)


def rebuild(converter: Converter, reference):
    """The tree a wrapper returned, which may combine several calls, with the module's values in it."""
    if is_torch(reference):
        if id(reference) not in converter.memo:
            raise Unsupported("result not traced")
        return converter.memo[id(reference)]
    if isinstance(reference, list | tuple):
        return [rebuild(converter, item) for item in reference]
    return reference


# Samples of random operators seed themselves with a constant; shifting every seed in a second reference run
# shows which ones they are.
_seed_shift = 0
_seedings = 0


def seed(value: int) -> torch.Generator:
    """Seed torch's generator of this machine; `torch.manual_seed` also records a stack for each absent device."""
    global _seedings
    _seedings += 1
    return torch.default_generator.manual_seed(int(value) + _seed_shift)


def install_seed_shift() -> None:
    """Put the shift into `torch.manual_seed`; needed once before samples are judged random or not."""
    torch.manual_seed = torch.random.manual_seed = seed


def draws(run) -> tuple:
    """What `run()` gives, and whether it touched torch's generator or seeded it: what does neither is not random."""
    seed(0)
    before, seedings = torch.default_generator.get_state(), _seedings
    result = run()
    return result, seedings != _seedings or not torch.equal(before, torch.default_generator.get_state())


def is_random(op, sample, how: str, reference) -> bool:
    """Whether other seeds give other results; worth asking of what touched the generator only."""
    global _seed_shift
    try:
        for _seed_shift in (1, 2, 3):
            seed(0)
            if not same(reference, run_torch(op, copy_sample(sample), how)[0]):
                return True
        return False
    finally:
        _seed_shift = 0


def same(one, other) -> bool:
    """Whether two torch results have the same shapes and values; what cannot be compared counts as same."""
    ones, others = flatten(one, is_torch), flatten(other, is_torch)
    if len(ones) != len(others):
        return False
    for x, y in zip(ones, others, strict=True):
        if not (is_torch(x) and is_torch(y)):
            continue
        if x.shape != y.shape:
            return False
        try:
            if not torch.allclose(x, y, equal_nan=True):
                return False
        except (RuntimeError, TypeError):
            continue
    return True
