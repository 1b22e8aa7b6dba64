"""One operator: its samples tried one after the other, and what came of them as a plain record."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from tests.conformance.opinfo.calls import (
    BY_REPLAY,
    draws,
    find,
    how_to_call,
    is_random,
    run_target,
    run_torch,
)  # fmt: skip
from tests.conformance.opinfo.compare import UNSPECIFIED, all_near, compare, same_choice
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
from tests.conformance.opinfo.tolerance import TOLERANCES, USUAL, WIDER, widened


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
    record, options = new_record(op, dtype), for_dtype(options, dtype)
    try:
        if record.how != BY_REPLAY:
            find(target, op)
            record.present = True
        samples = spread(list(op.sample_inputs("cpu", dtype, requires_grad=False)), options.max_samples)
    except Missing as error:
        record.fail(f"missing {error}")
        return record
    values = lambda: (own_value(op, sample, record, target, options) for sample in samples)
    for outcome in at_once(values, options):
        count_value(outcome, record)
    differentiable = dtype.is_floating_point or dtype.is_complex
    if options.gradients and op.supports_autograd and differentiable and record.present:
        for outcome in at_once(lambda: own_gradients(op, dtype, record, target, options), options):
            count_gradient(outcome, record)
    return record


def for_dtype(options: Options, dtype: torch.dtype) -> Options:
    """The options with the tolerances of a dtype where none were chosen."""
    usual = TOLERANCES.get(dtype, USUAL)._asdict()
    return replace(options, **{name: usual[name] for name in usual if getattr(options, name) is None})


def at_once(runs: Callable[[], Iterator], options: Options) -> list:
    """The outcome of every sample: a function says what is wrong (or None), anything else is the outcome itself.

    All samples run before the first result is looked at, so a lazy module evaluates them together. When anything is
    wrong then, every sample runs again and is looked at before the next one, so that each answers for itself.
    """
    outcomes = [settled(outcome, options) for outcome in list(runs())]
    if all(outcome is None or isinstance(outcome, Unsupported) for outcome in outcomes):
        return outcomes
    return [settled(outcome, options) for outcome in runs()]


def settled(outcome, options: Options):
    """The outcome of one sample, with what it raises."""
    try:
        return outcome() if callable(outcome) else outcome
    except Exception as error:  # whatever the module raises is this sample's failure
        return failure(error, options)


def own_value(op, sample, record: Record, target: Target, options: Options):
    """What compares one sample's values; or why the sample says nothing (Unsupported) or fails (text)."""
    try:
        used = copy_sample(sample)  # an in-place operator writes to its arguments
        (wanted, calls), drew = draws(lambda: run_torch(op, used, record.how))
        random = drew and is_random(op, sample, record.how, wanted)
    except Exception:  # torch itself refuses the sample: it says nothing about the module
        return Unsupported("torch")
    shape_only = bool(UNSPECIFIED.match(op.name)) or random
    converter = Converter(target)
    try:
        if calls is not None:  # recorded calls hold the tensors that torch used
            map_originals(converter, used, sample)
        got = run_target(op, sample, calls, converter, wanted)
    except Unsupported as error:
        return error
    except Missing as error:
        return f"missing {error}"
    except Exception as error:  # whatever the module raises is this sample's failure
        return failure(error, options)
    record.present = True
    values = (wanted, got, target, options, shape_only)
    return partial(check_values, op, sample, record, values)


def check_values(op, sample, record: Record, values: tuple) -> str | None:
    """None when a sample's values agree; wider floats are the judge where they do not."""
    why = compare(op.name, *values)
    wanted, got, target, options, _ = values
    if why and "integers differ" in why and same_choice(op.name, sample, wanted, got, target):
        return None
    if why is None or "differ" not in why or getattr(torch, record.dtype) not in WIDER:
        return why
    try:
        wide = run_torch(op, widened(sample), record.how)[0]
    except Exception:  # no wider form: PyTorch's own result is the only judge
        return why
    return None if all_near(wide, wanted, got, target, options) else why


def count_value(outcome, record: Record) -> None:
    """Count one sample's values."""
    if isinstance(outcome, Unsupported):
        record.skipped += 1
        return
    record.tried += 1
    if outcome is None:
        record.passed += 1
    else:
        record.fail(outcome)


def own_gradients(op, dtype: torch.dtype, record: Record, target: Target, options: Options) -> Iterator:
    """What compares the gradients of the first few samples that have any."""
    try:
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=True))
    except Exception:  # torch cannot make differentiable samples of this operator
        return
    tried = 0
    for sample in spread(samples, 8 * options.grad_samples):
        if tried >= options.grad_samples:
            return
        try:
            outcome = check_grad(op, sample, record.how, target, options)
        except Unsupported as error:
            outcome = error
        except Exception as error:  # whatever the module raises is this sample's failure
            outcome = failure(error, options)
        tried += not isinstance(outcome, Unsupported)
        yield outcome


def count_gradient(outcome, record: Record) -> None:
    """Count one sample's gradients."""
    if isinstance(outcome, Unsupported):
        record.grads_skipped += 1
        return
    record.grads_tried += 1
    if outcome is None:
        record.grads_passed += 1
    else:
        record.fail_grad(outcome)


def failure(error: Exception, options: Options) -> str:
    """The reason to record for an exception, with its traceback printed when asked for."""
    if options.traceback:
        traceback.print_exception(error)
    return describe(error)
