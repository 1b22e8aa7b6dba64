"""The benchmark harness compares before it measures, and its numbers mean what the page says."""

import fnmatch
import time

import pytest

from benchmarks import apart, floors, harness, limits, report

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


def measured(**medians):
    """An entry whose contenders took exactly these seconds."""
    return harness.entry(case(), 1, {
        name.replace("_", " "): harness.Outcome(harness.MEASURED, samples=[seconds] * 3)
        for name, seconds in medians.items()
    })  # fmt: skip


def test_a_floor_is_held_against_the_best_peer():
    floor = floors.Floor("own", ("own",), floor=1.2, least=1.1)
    verdict = floors.verdict(floor, measured(squall=1.0, slow=5.0, quick=1.15))
    assert (verdict.peer, verdict.held) == ("quick", True) and verdict.ratio == pytest.approx(1.15)
    assert floors.together(floor, [verdict]) == (pytest.approx(1.15), False)
    assert not floors.verdict(floor, measured(squall=1.0, quick=1.05)).held


def test_near_the_machines_limit_a_floor_holds_whatever_the_ratio():
    floor = floors.Floor("own", ("own",), floor=2.0)
    found = floors.verdict(floor, measured(squall=1.0, peer=1.1, machine_limit=0.9))
    assert found.held and found.peer == "peer" and found.limit == pytest.approx(0.9)
    assert not floors.verdict(floor, measured(squall=1.0, peer=1.1, machine_limit=0.8)).held


def test_floors_of_one_way_of_seconds_and_of_a_rate():
    entry = measured(squall_compiled=1.0, squall_uncompiled=2.0, torch_eager=3.0)
    way = floors.verdict(floors.Floor("own", ("own",), floor=1.4, way="squall uncompiled"), entry)
    assert way.ratio == pytest.approx(1.5) and way.spread == pytest.approx((1.5, 1.5)) and way.held
    assert floors.verdict(floors.Floor("own", ("own",), seconds=1.0), entry).held
    assert not floors.verdict(floors.Floor("own", ("own",), rate=10.0, samples=9), entry).held
    assert floors.verdict(floors.Floor("own", ("own",), way="squall by hand"), entry) is None


def test_contenders_that_do_other_work_are_no_peers():
    entry = measured(squall=1.0, torch_eager=0.5, onnxruntime=4.0) | {"case": "call-100-parameters"}
    (floor,) = [f for f in floors.FLOORS if f.cases == ("call-100-parameters",)]
    verdict = floors.verdict(floor, entry)
    assert (verdict.peer, verdict.ratio, verdict.held) == ("onnxruntime", pytest.approx(4.0), True)
    assert "PyTorch eager" in report.standing([entry])


def test_the_page_shows_losing_rows():
    entry = measured(squall=1.0, torch_eager=0.5) | {"case": "gpt2-decode"}
    assert "0.50" in report.standing([entry]) and "**not held**" in report.standing([entry])


def test_every_case_has_a_group_of_the_page():
    from benchmarks.cases import load

    load()
    assert not {case.group for case in harness.CASES.values()} - set(report.GROUPS)


def test_every_floor_is_of_cases_that_exist():
    from benchmarks.cases import load

    load()
    patterns = {pattern for floor in floors.FLOORS for pattern in floor.cases}
    assert not {pattern for pattern in patterns if not fnmatch.filter(harness.CASES, pattern)} - {"gemm-int8-*"}


def test_a_contender_apart_answers_fails_and_is_stopped(monkeypatch):
    answers = "import sys, json\nfor line in sys.stdin:\n    "
    programs = {
        "good": answers + "print(json.dumps(['done', [1.0]]), flush=True)",
        "bad": answers + "print(json.dumps(['error', 'ValueError: no']), flush=True)",
        "absent": answers + "print(json.dumps(['missing', 'elsewhere']), flush=True)",
        "slow": "import time; time.sleep(60)",
        "gone": "pass",
    }
    start = apart.subprocess.Popen

    def child(name):
        monkeypatch.setattr(
            apart.subprocess, "Popen", lambda command, **rest: start([command[0], "-c", programs[name]], **rest)
        )
        return apart.Remote("own", name, {}, 120.0 if name != "slow" else 0.2)

    good = child("good")
    assert good.outputs() == [1.0]
    good.close()
    for name, error in (("bad", RuntimeError), ("absent", ModuleNotFoundError), ("slow", apart.StoppedError),
                        ("gone", apart.StoppedError)):  # fmt: skip
        remote = child(name)
        with pytest.raises(error):
            remote.ask("build")
        remote.close()


def test_a_contender_that_fails_while_it_is_measured_leaves():
    calls = []

    def failing():
        calls.append(1)
        if len(calls) > 2:
            raise ValueError("later")

    outcomes = measure(reference=program([1.0]), squall=lambda: harness.Program(failing, lambda: [1.0]))
    assert outcomes["squall"].status == harness.FAILED and outcomes["reference"].samples


def test_the_machines_limit_is_the_larger_of_its_two_parts(monkeypatch):
    monkeypatch.setattr(limits, "rate", lambda work: 1e9)
    monkeypatch.setattr(limits, "copying", lambda nbytes: (None, nbytes))
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: {0, 1})
    assert limits.seconds(4e9, 1e9) == 2.0 and limits.seconds(2e9, 3e9) == 3.0


def test_copying_moves_every_byte_it_counts():
    run, moved = limits.copying(1 << 20)
    run()
    assert moved == 1 << 20 and limits.rate((run, moved)) > 0
