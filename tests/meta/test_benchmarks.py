"""The benchmark harness compares before it measures, and its numbers mean what the page says."""

import time

import pytest

from benchmarks import harness, report

QUICK = harness.Settings(rounds=5, sample_seconds=1e-4, warmup_seconds=0.0, warmup_calls=1)


def program(outputs, seconds=0.0):
    return lambda: harness.Program(lambda: time.sleep(seconds), lambda: outputs)


def absent():
    raise ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")


def broken():
    raise ValueError("no such thing")


def case(**contenders):
    return harness.Case("own", "own", "a case", contenders, reference=("reference",), threads=(1,))


def measure(**contenders):
    return harness.measure(case(**contenders), QUICK, lambda name: True)


def test_a_contender_with_other_outputs_gets_no_time():
    outcomes = measure(
        reference=program([1.0, 2.0]), squall=program([1.0, 2.1]), peer=program([1.0, 2.00001])
    )
    assert outcomes["squall"].status == harness.WRONG and not outcomes["squall"].samples
    assert "output 1" in outcomes["squall"].reason
    assert outcomes["peer"].status == outcomes["reference"].status == harness.MEASURED


@pytest.mark.parametrize("outputs", [[1.0], [1.0, [2.0]], [1.0, float("nan")]])
def test_missing_outputs_shapes_and_nan_are_differences(outputs):
    outcomes = measure(reference=program([1.0, 2.0]), squall=program(outputs))
    assert outcomes["squall"].status == harness.WRONG


def test_absent_and_broken_contenders_do_not_end_the_run(capsys):
    outcomes = measure(reference=program([1.0]), absent=absent, broken=broken)
    assert outcomes["absent"].status == harness.NOT_INSTALLED
    assert outcomes["broken"].status == harness.FAILED and "no such thing" in outcomes["broken"].reason
    assert len(outcomes["reference"].samples) == QUICK.rounds


def test_contenders_take_turns():
    order = []

    def noting(name):
        return lambda: harness.Program(lambda: order.append(name), lambda: [1.0])

    settings = harness.Settings(rounds=4, sample_seconds=0.0, warmup_seconds=0.0, warmup_calls=1)
    harness.measure(case(a=noting("a"), b=noting("b")), settings, lambda name: True)
    assert order == ["a", "b"] + ["a", "b", "b", "a"] * 2


def test_ratios_are_of_medians_and_above_one_where_squall_is_faster():
    entry = harness.entry(case(), 1, {
        "squall compiled": harness.Outcome(harness.MEASURED, samples=[1.0, 1.0, 4.0]),
        "squall uncompiled": harness.Outcome(harness.MEASURED, samples=[2.0, 2.0, 2.0]),
        "peer": harness.Outcome(harness.MEASURED, samples=[3.0, 3.0, 3.0]),
    })  # fmt: skip
    assert entry["own"] == "squall compiled"
    assert entry["results"]["peer"]["ratio"]["medians"] == 3.0
    assert entry["results"]["squall compiled"]["median"] == 1.0
    assert entry["results"]["squall compiled"]["mad"] == 0.0
    assert "ratio" not in entry["results"]["squall uncompiled"]
    assert "(3.00x" in report.cell(entry["results"]["peer"])


def test_durations_have_fitting_units():
    assert [report.duration(value) for value in (2.0, 0.0123, 4.5e-6, 3e-8)] == [
        "2 s",
        "12.3 ms",
        "4.5 µs",
        "30 ns",
    ]
