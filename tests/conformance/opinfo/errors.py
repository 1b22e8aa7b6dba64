"""One operator's error inputs: calls that must raise, and raise what PyTorch raises.

A sample passes when the module raises the class that OpInfo names (or one derived from it) and says something about
it: the message names the function or an argument's value, so that a reader knows which call was wrong.
"""

import warnings

import torch

from tests.conformance.opinfo.calls import BY_REPLAY, Recorder, dotted_name, run_target, run_torch
from tests.conformance.opinfo.checks import Record, describe, new_record
from tests.conformance.opinfo.convert import (
    Converter,
    Missing,
    Target,
    Unsupported,
    copy_sample,
    is_torch,
    map_originals,
)
from tests.conformance.opinfo.options import Options

ERROR = "error"  # in the place of a dtype


def one_op(op, dtype: str, target: Target, options: Options) -> Record:
    """Try an operator's error inputs."""
    warnings.simplefilter("ignore")
    record = new_record(op, dtype)
    try:
        samples = list(op.error_inputs("cpu"))
    except Exception:  # torch cannot make them here
        return record
    for sample in samples:
        check_error(op, sample, record, target)
    return record


class SharingConverter(Converter):
    """Carries tensors over as views of one storage where torch's are: what may share memory is among the errors."""

    def __init__(self, target: Target):
        super().__init__(target)
        self.storages = {}

    def __call__(self, value):
        if is_torch(value) and id(value) not in self.memo and value.layout is torch.strided and value.numel():
            storage = value.untyped_storage()
            if storage.nbytes() != value.nbytes or storage.data_ptr() in self.storages:
                self.put(value, self._view(value, storage))
            else:
                self.storages[storage.data_ptr()] = super().__call__(value)
        return super().__call__(value)

    def _view(self, value: torch.Tensor, storage):
        whole = self.storages.get(storage.data_ptr())
        if whole is None:
            count = storage.nbytes() // value.element_size()
            whole = self.target.tensor(value.detach().as_strided((count,), (1,), 0))
            self.storages[storage.data_ptr()] = whole
        kept = [1 if stride == 0 else size for size, stride in zip(value.shape, value.stride(), strict=True)]
        start, shown = value.storage_offset(), value.as_strided(kept, value.stride())
        if not shown.is_contiguous():
            return self.target.tensor(value)
        return whole.reshape(-1)[start : start + shown.numel()].view(*kept).expand(*value.shape)


def raises_in_torch(op, sample, how: str) -> bool:
    """Whether torch raises what OpInfo announces; arguments that share memory do so only as they are, uncopied."""
    for used in (copy_sample(sample.sample_input), sample.sample_input):
        try:
            run_torch(op, used, how)
        except sample.error_type:
            return True
        except Exception:  # another error than announced: it says nothing
            return False
    return False


def check_error(op, sample, record: Record, target: Target) -> None:
    """Count one error input."""
    if not raises_in_torch(op, sample, record.how):
        record.skipped += 1
        return
    try:
        why = own_error(op, sample, record, target)
    except Unsupported:
        record.skipped += 1
        return
    record.tried += 1
    if why is None:
        record.passed += 1
    else:
        record.fail(why)


def own_error(op, sample, record: Record, target: Target) -> str | None:
    """None when the module raises the class and says which call was wrong, else what it does instead."""
    given, converter = sample.sample_input, SharingConverter(target)
    used, calls = failing_calls(op, given) if record.how == BY_REPLAY else (None, None)
    if calls:
        map_originals(converter, used, given)
    elif target.has_method(op.name):  # the method itself refuses its first argument, before torch sees the call
        calls = None
    try:
        got = run_target(op, given, calls, converter, None)
        for leaf in got if isinstance(got, list | tuple) else [got]:
            if target.is_tensor(leaf):
                target.to_numpy(leaf)  # what can be known only from values is raised when they are asked for
    except (Unsupported, Missing) as error:
        if isinstance(error, Unsupported):
            raise
        return f"missing {error}"
    except sample.error_type as error:
        record.present = True
        last = dotted_name(calls[-1][0]) if calls else op.name
        return None if names_the_call(op, last, str(error)) else f"says nothing of the call: {describe(error)}"
    except Exception as error:
        record.present = True
        return f"{describe(error)}, wanted {sample.error_type.__name__}: {sample.error_regex[:60]}"
    record.present = True
    return f"no error, wanted {sample.error_type.__name__}: {sample.error_regex[:80]}"


def names_the_call(op, called: str, message: str) -> bool:
    """Whether a message says which function or argument was wrong."""
    names = {op.name, op.name.split(".")[-1], called.split(".")[-1], *(alias.name for alias in op.aliases or ())}
    return any(name.strip("_").removesuffix("_") in message for name in names) or any(
        word in message for word in ("argument", "dim", "size", "shape", "dtype")
    )


def failing_calls(op, sample) -> tuple:
    """(arguments used, the torch calls of a wrapper up to the one that raises)."""
    for used in (copy_sample(sample), sample):
        recorder = Recorder()
        try:
            with recorder:
                op.op(used.input, *used.args, **used.kwargs)
        except Exception:
            return used, [*recorder.calls, *recorder.raised]
    return sample, []
