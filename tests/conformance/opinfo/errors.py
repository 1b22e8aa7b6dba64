"""One operator's error inputs: calls that must raise, and raise what PyTorch raises.

A sample passes when the module raises the class that OpInfo names (or one derived from it) and says something about
it: the message names the function or an argument's value, so that a reader knows which call was wrong.
"""

import warnings

from tests.conformance.opinfo.calls import BY_REPLAY, Recorder, run_target, run_torch
from tests.conformance.opinfo.checks import Record, describe, new_record
from tests.conformance.opinfo.convert import (
    Converter,
    Missing,
    Target,
    Unsupported,
    copy_sample,
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


def check_error(op, sample, record: Record, target: Target) -> None:
    """Count one error input."""
    used = copy_sample(sample.sample_input)
    try:
        run_torch(op, used, record.how)
    except sample.error_type:
        pass
    except Exception:  # another error than announced: it says nothing
        record.skipped += 1
        return
    else:
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
    given, converter = sample.sample_input, Converter(target)
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
        return None if names_the_call(op, str(error)) else f"says nothing of the call: {describe(error)}"
    except Exception as error:
        record.present = True
        return f"{describe(error)}, wanted {sample.error_type.__name__}: {sample.error_regex[:60]}"
    record.present = True
    return f"no error, wanted {sample.error_type.__name__}: {sample.error_regex[:80]}"


def names_the_call(op, message: str) -> bool:
    """Whether a message says which function or argument was wrong."""
    names = {op.name, op.name.split(".")[-1], *(alias.name for alias in op.aliases or ())}
    return any(name.strip("_").removesuffix("_") in message for name in names) or any(
        word in message for word in ("argument", "dim", "size", "shape", "dtype")
    )


def failing_calls(op, sample) -> tuple:
    """(arguments used, the torch calls of a wrapper up to the one that raises)."""
    used, recorder = copy_sample(sample), Recorder()
    try:
        with recorder:
            op.op(used.input, *used.args, **used.kwargs)
    except Exception:
        pass
    return used, [*recorder.calls, *recorder.raised]
