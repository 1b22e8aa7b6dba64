"""One operator: its samples tried one after the other, and what came of them as a plain record."""

import traceback
import warnings
from dataclasses import dataclass

import torch

from tests.conformance.opinfo.calls import (
    BY_REPLAY,
    find,
    how_to_call,
    is_random,
    run_target,
    run_torch,
)  # fmt: skip
from tests.conformance.opinfo.compare import UNSPECIFIED, compare
from tests.conformance.opinfo.convert import (
    Converter,
    Missing,
    Target,
    Unsupported,
    copy_sample,
    map_originals,
)
from tests.conformance.opinfo.gradients import check_grad
from tests.conformance.opinfo.options import Options


@dataclass
class Record:
    """What came of one operator in one dtype; counts are of samples."""

    name: str
    variant: str
    dtype: str
    how: str
    present: bool = False
    tried: int = 0
    passed: int = 0
    skipped: int = 0
    grads_tried: int = 0
    grads_passed: int = 0
    grads_skipped: int = 0
    error: str | None = None
    grad_error: str | None = None

    @property
    def key(self) -> str:
        """The operator's name in expect files: `add:float32`, `std.unbiased:float32`."""
        return self.name + (f".{self.variant}" if self.variant else "") + ":" + self.dtype

    @property
    def passes(self) -> bool:
        """Whether every sample gave torch's values."""
        return self.present and self.tried > 0 and self.passed == self.tried

    @property
    def grad_passes(self) -> bool:
        """Whether every sample tried gave torch's gradients."""
        return self.grads_tried > 0 and self.grads_passed == self.grads_tried

    def fail(self, why: str) -> None:
        """Keep the first reason why a value was wrong."""
        self.error = self.error or why

    def fail_grad(self, why: str) -> None:
        """Keep the first reason why a gradient was wrong."""
        self.grad_error = self.grad_error or why


def new_record(op, dtype: torch.dtype, **fields) -> Record:
    """An empty record of an operator."""
    return Record(op.name, op.variant_test_name, str(dtype).removeprefix("torch."), how_to_call(op), **fields)


def spread(samples: list, count: int) -> list:
    """At most `count` samples, evenly from all of them; 0 means all."""
    if count <= 0 or len(samples) <= count:
        return samples
    return [samples[(index * len(samples)) // count] for index in range(count)]


def describe(error: BaseException) -> str:
    """An exception in one short line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:160]


def one_op(op, dtype: torch.dtype, target: Target, options: Options) -> Record:
    """Try an operator's samples, and its gradients where it is present."""
    warnings.simplefilter("ignore")
    record = new_record(op, dtype)
    try:
        if record.how != BY_REPLAY:
            find(target, op)
            record.present = True
        samples = spread(list(op.sample_inputs("cpu", dtype, requires_grad=False)), options.max_samples)
    except Missing as error:
        record.fail(f"missing {error}")
        return record
    for sample in samples:
        check_sample(op, sample, record, target, options)
    if options.gradients and op.supports_autograd and dtype.is_floating_point and record.present:
        check_gradients(op, dtype, record, target, options)
    return record


def check_sample(op, sample, record: Record, target: Target, options: Options) -> None:
    """Compare one sample's values and count the outcome."""
    try:
        torch.manual_seed(0)
        used = copy_sample(sample)  # an in-place operator writes to its arguments
        wanted, calls = run_torch(op, used, record.how)
        random = is_random(op, sample, record.how, wanted)
    except Exception:  # torch itself refuses the sample: it says nothing about the module
        record.skipped += 1
        return
    shape_only = bool(UNSPECIFIED.match(op.name)) or random
    converter = Converter(target)
    try:
        if calls is not None:  # recorded calls hold the tensors that torch used
            map_originals(converter, used, sample)
        got = run_target(op, sample, calls, converter, wanted)
        record.present = True
        why = compare(op.name, wanted, got, target, options, shape_only)
    except Unsupported:
        record.skipped += 1
        return
    except Missing as error:
        why = f"missing {error}"
    except Exception as error:  # whatever the module raises is this sample's failure
        why = failure(error, options)
    record.tried += 1
    if why is None:
        record.passed += 1
    else:
        record.fail(why)


def check_gradients(op, dtype: torch.dtype, record: Record, target: Target, options: Options) -> None:
    """Compare the gradients of the first few samples that have any."""
    try:
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=True))
    except Exception:  # torch cannot make differentiable samples of this operator
        return
    for sample in spread(samples, 8 * options.grad_samples):
        if record.grads_tried >= options.grad_samples:
            return
        try:
            why = check_grad(op, sample, record.how, target, options)
        except Unsupported:
            record.grads_skipped += 1
            continue
        except Exception as error:  # whatever the module raises is this sample's failure
            why = failure(error, options)
        record.grads_tried += 1
        if why is None:
            record.grads_passed += 1
        else:
            record.fail_grad(why)


def failure(error: Exception, options: Options) -> str:
    """The reason to record for an exception, with its traceback printed when asked for."""
    if options.traceback:
        traceback.print_exception(error)
    return describe(error)
