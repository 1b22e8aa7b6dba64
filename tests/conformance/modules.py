"""PyTorch's own samples of modules and optimizers, run on both sides: outputs, gradients and state.

`python -m tests.conformance.modules [--grow] [pattern]` says what agrees; `--grow` adds it to the expect file.
"""

import argparse
import copy
import re
from functools import partial

import numpy as np
import torch
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.common_optimizers import optim_db

from tests.conformance.opinfo import expect
from tests.conformance.opinfo.compare import compare_values
from tests.conformance.opinfo.convert import Converter, flatten, is_torch
from tests.conformance.opinfo.options import Options
from tests.conformance.opinfo.run import REFERENCE, load_target
from tests.conformance.opinfo.target import torch_to_numpy

EXPECT = expect.FOLDER / "squall-modules.txt"
GRAD = expect.GRAD
OPTIONS = Options(rtol=1e-4, atol=1e-4, grad_rtol=1e-3)
# Muon iterates in bfloat16: what rounds differently there differs by parts of a hundredth of a step.
# L-BFGS divides differences of gradients by each other, which magnifies their rounding.
LOOSE = {"Muon": Options(rtol=1e-3, atol=5e-3), "LBFGS": Options(rtol=1e-3, atol=1e-3)}
STEPS = 6
# Loops of hundreds of steps in the sample: one of each kind of call says the same.
MANY = {"nn.CTCLoss": 4, "nn.Transformer": 4, "nn.TransformerDecoderLayer": 6, "nn.MultiheadAttention": 20}


class Difference(Exception):
    """What one side does and the other does not."""


def names() -> list[str]:
    """Everything that has samples."""
    return [info.name for info in module_db] + ["optim." + info.name for info in optim_db]


def check(name: str, target) -> tuple[str | None, str | None]:
    """Why values and gradients of a module, or the steps of an optimizer, differ; None where they agree."""
    if name.startswith("optim."):
        info = next(info for info in optim_db if "optim." + info.name == name)
        return guarded(lambda: check_optimizer(info, target)), "an optimizer has no gradient"
    info = next(info for info in module_db if info.name == name)
    value = guarded(lambda: check_module(info, target, gradients=False))
    return value, value or guarded(lambda: check_module(info, target, gradients=True))


def guarded(run) -> str | None:
    """The message of what went wrong, or None."""
    try:
        run()
    except Difference as difference:
        return str(difference)
    except Exception as error:
        return f"{type(error).__name__}: {error}".split("\n")[0][:300]
    return None


def samples(info, training: bool) -> list:
    """The samples of a module, drawn from a fixed seed, evenly thinned where there are very many."""
    torch.manual_seed(0)
    dtype = torch.float64 if "Fractional" in info.name else torch.float32  # their draws are float64
    found = list(info.module_inputs_func(info, "cpu", dtype, True, training))
    return found[:: -(-len(found) // MANY.get(info.name, 14))]


def check_module(info, target, gradients: bool) -> None:
    """Run every sample in both modes."""
    for training in (True, False) if info.train_and_eval_differ else (True,):
        for sample in samples(info, training):
            one_sample(info, target, sample, training, gradients)


def one_sample(info, target, sample, training: bool, gradients: bool) -> None:
    """One construction and one call."""
    where = f"{sample.desc or 'default'} ({'train' if training else 'eval'})"
    made = sample.constructor_input
    torch.manual_seed(1)
    theirs = info.module_cls(*made.args, **made.kwargs).train(training)
    convert = Converter(target)
    own_class = target.resolve(info.name)
    ours = own_class(*[carry(convert, a) for a in made.args],
                     **{k: carry(convert, a) for k, a in made.kwargs.items()}).train(training)
    call = sample.forward_input
    args, kwargs = copy.deepcopy([leaf(a) for a in call.args]), copy.deepcopy(
        {k: leaf(v) for k, v in call.kwargs.items()})
    own_args, own_kwargs = [convert(a) for a in args], {k: convert(v) for k, v in kwargs.items()}
    if info.is_lazy:
        theirs(*args, **kwargs)
        ours(*own_args, **own_kwargs)
    same_keys(theirs.state_dict(), ours.state_dict(), where)
    ours.load_state_dict({k: target.tensor(v) for k, v in theirs.state_dict().items()})
    wanted, got = theirs(*args, **kwargs), ours(*own_args, **own_kwargs)
    same(flatten(wanted, is_torch), flatten(got, target.is_tensor), target, f"{where}: output")
    same(list(theirs.state_dict().values()), list(ours.state_dict().values()), target, f"{where}: state after")
    if gradients:
        same_gradients(target, where, (theirs, args, kwargs, wanted), (ours, own_args, own_kwargs, got))


def leaf(value):
    """Tensors cut from their history, still asking for gradients."""
    if is_torch(value):
        return value.detach().requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)):
        return type(value)(leaf(item) for item in value)
    return value


def carry(convert, value):
    """A constructor argument on the other side: functions of torch by name, modules by class and arguments."""
    module = getattr(value, "__module__", "") or ""
    if callable(value) and module.startswith("torch.nn") and not isinstance(value, torch.nn.Module):
        prefix = "nn.functional." if "functional" in module or module == "torch._C._nn" else "nn."
        return convert.target.resolve(prefix + value.__name__)
    if callable(value) and hasattr(torch, getattr(value, "__name__", "")) and not isinstance(value, torch.nn.Module):
        return convert.target.resolve(value.__name__)
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        own = convert.target.resolve("nn.TransformerEncoderLayer")
        attention = value.self_attn
        return own(attention.embed_dim, attention.num_heads, value.linear1.out_features, value.dropout.p,
                   batch_first=attention.batch_first, norm_first=value.norm_first,
                   bias=value.linear1.bias is not None)
    return convert(value)


def same_keys(theirs: dict, ours: dict, where: str) -> None:
    """The names of the state, in order."""
    if list(theirs) != list(ours):
        raise Difference(f"{where}: state has {list(ours)}, wanted {list(theirs)}")


def same(wanted: list, got: list, target, where: str, options: Options = OPTIONS) -> None:
    """Two lists of tensors agree."""
    if len(wanted) != len(got):
        raise Difference(f"{where}: {len(got)} values, wanted {len(wanted)}")
    for index, (x, y) in enumerate(zip(wanted, got, strict=True)):
        x, y = torch_to_numpy(x) if is_torch(x) else np.asarray(x), target.to_numpy(y)
        if x.shape != y.shape or x.dtype != y.dtype:
            raise Difference(f"{where} {index}: {y.dtype}{y.shape}, wanted {x.dtype}{x.shape}")
        if why := compare_values(x, y, options):
            raise Difference(f"{where} {index}: {why}")


def same_gradients(target, where: str, theirs: tuple, ours: tuple) -> None:
    """Gradients of parameters and inputs under one weighting of the outputs."""
    outputs = [o for o in flatten(theirs[3], is_torch) if is_torch(o)]
    own = [o for o in flatten(ours[3], target.is_tensor) if target.is_tensor(o)]
    random = np.random.default_rng(0)
    weights = [random.uniform(0.5, 1.5, tuple(o.shape)).astype(torch_to_numpy(o).dtype) for o in outputs]
    kept = [i for i, o in enumerate(outputs) if o.requires_grad]
    if not kept:
        return
    sum((outputs[i] * torch.tensor(weights[i])).sum() for i in kept).backward()
    sum((own[i] * target.module.tensor(weights[i])).sum() for i in kept).backward()
    for name, parameter in theirs[0].named_parameters():
        mine = ours[0].get_parameter(name).grad
        compare_gradient(parameter.grad, mine, target, f"{where}: gradient of {name}")
    for x, y in zip(flatten([theirs[1], theirs[2]], is_torch), flatten([ours[1], ours[2]], target.is_tensor),
                    strict=True):
        if is_torch(x) and x.requires_grad:
            compare_gradient(x.grad, y.grad, target, f"{where}: gradient of an input")


def compare_gradient(wanted, got, target, where: str) -> None:
    """Gradients agree; none is as good as zeros."""
    if wanted is None and got is None:
        return
    if wanted is None or got is None:
        there = torch_to_numpy(wanted) if got is None else target.to_numpy(got)
        if there.any():
            raise Difference(f"{where}: {'no gradient' if got is None else 'a gradient where none is wanted'}")
        return
    same([wanted], [got], target, where)


SHAPES = [(4, 3), (5,), (2, 3, 2), ()]


def check_optimizer(info, target) -> None:
    """A few steps of every configuration on the same gradients, then the state."""
    for sample in info.optim_inputs_func(device="cpu"):
        random = np.random.default_rng(0)
        shapes = [(4, 3), (3, 5)] if info.name == "Muon" else SHAPES
        starts = [random.normal(size=s).astype(np.float32) for s in shapes]
        theirs = [torch.nn.Parameter(torch.tensor(v)) for v in starts]
        ours = [target.module.nn.Parameter(target.module.tensor(v)) for v in starts]
        convert = Converter(target)
        optimizer = info.optim_cls(theirs, **sample.kwargs)
        own = target.resolve("optim." + info.name)(
            ours, **{k: float(v) if is_torch(v) else convert(v) for k, v in sample.kwargs.items()})
        for _ in range(STEPS):
            gradients = [random.normal(size=s).astype(np.float32) for s in shapes]
            for p, q, g in zip(theirs, ours, gradients, strict=True):
                p.grad, q.grad = torch.tensor(g), target.module.tensor(g)
            closure = info.step_requires_closure
            optimizer.step(partial(quadratic, torch, theirs) if closure else None)
            own.step(partial(quadratic, target.module, ours) if closure else None)
        same(theirs, ours, target, f"{sample.desc or 'default'}: parameter", LOOSE.get(info.name, OPTIONS))
        same_state(optimizer.state_dict(), own.state_dict(), target, sample.desc, LOOSE.get(info.name, OPTIONS))


def quadratic(module, parameters):
    """A loss with a minimum, and its gradients, for rules that ask for it again."""
    for p in parameters:
        p.grad = None
    loss = sum(((p - 0.3) * (p - 0.3)).sum() for p in parameters)
    loss.backward()
    return loss


def same_state(theirs: dict, ours: dict, target, where: str, options: Options) -> None:
    """State dictionaries have the same keys and numbers."""
    for index, entries in theirs["state"].items():
        mine = ours["state"].get(index, {})
        if set(entries) != set(mine):
            raise Difference(f"{where}: state of parameter {index} has {sorted(mine)}, wanted {sorted(entries)}")
        for key, value in entries.items():
            if is_torch(value):
                own = mine[key] if target.is_tensor(mine[key]) else target.module.tensor(float(mine[key]))
                same([value.float()], [own.float()], target, f"{where}: state {key} of parameter {index}", options)
    for group, mine in zip(theirs["param_groups"], ours["param_groups"], strict=True):
        if set(group) != set(mine):
            raise Difference(f"{where}: a group has {sorted(mine)}, wanted {sorted(group)}")


def passing(name: str, target) -> tuple[set[str], list[str]]:
    """The keys of what agrees, and what was found otherwise."""
    value, gradient = check(name, target)
    keys = set() if value else {name}
    if not value and not gradient:
        keys.add(name + GRAD)
    optimizer = name.startswith("optim.")
    found = [f"{name}: {value}"] if value else [] if optimizer or not gradient else [f"{name}{GRAD}: {gradient}"]
    return keys, found


def main() -> None:
    """Report, and with `--grow` write what agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--grow", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = load_target("squall")
    listed = [name for name in names() if re.search(options.pattern, name)]
    good = set()
    for name in listed:
        keys, found = passing(name, target)
        good |= keys
        for line in found:
            print(line)
    modules = [n for n in listed if n.startswith("nn.")]
    optimizers = [n for n in listed if not n.startswith("nn.")]
    print(f"{sum(n in good for n in modules)} of {len(modules)} modules, "
          f"{sum(n + GRAD in good for n in modules)} with gradients; "
          f"{sum(n in good for n in optimizers)} of {len(optimizers)} optimizers")
    if options.grow:
        header = f"# Modules and optimizers that agree with {REFERENCE} on its own samples. Only ever add lines."
        EXPECT.write_text("\n".join([header, *sorted(good | expect.read(EXPECT))]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
