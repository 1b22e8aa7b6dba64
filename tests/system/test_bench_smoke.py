"""The gate against lost speed: what it lets through, and what not. What it measures is CI's business."""

from __future__ import annotations

import json

import pytest

from benchmarks import smoke


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(smoke, "PAUSE", 0.0)


def measuring(*values):
    """A measurement that gives these values one after another, and how often it was asked for how many rounds."""
    asked = []

    def measure(name, rounds):
        asked.append(rounds)
        return values[min(len(asked), len(values)) - 1]

    return measure, asked


def test_what_is_as_fast_as_before_passes_at_once():
    measure, asked = measuring(1.14)
    assert smoke.check(["product"], {"product": 1.0}, 7, measure) == {"product": (1.14, True)}
    assert asked == [7]


def test_what_is_worse_is_measured_again_for_longer_and_then_fails():
    measure, asked = measuring(1.3, 1.25, 1.2)
    assert smoke.check(["product"], {"product": 1.0}, 3, measure) == {"product": (1.2, False)}
    assert asked == [3, 6, 12, 24, 48]


def test_one_good_measurement_is_enough():
    measure, asked = measuring(2.0, 1.6, 1.1)
    assert smoke.check(["product"], {"product": 1.0}, 3, measure) == {"product": (1.1, True)}
    assert len(asked) == 3


def test_nothing_committed_is_nothing_compared():
    measure, _ = measuring(50.0)
    assert smoke.check(["product"], {}, 3, measure) == {"product": (50.0, True)}


def test_every_case_has_a_committed_ratio():
    for processor, ratios in json.loads(smoke.COMMITTED.read_text()).items():
        assert set(ratios) == set(smoke.CASES), processor
        assert all(0 < ratio < 100 for ratio in ratios.values())


def test_updating_and_failing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(smoke, "COMMITTED", tmp_path / "smoke.json")
    monkeypatch.setattr(smoke.sq, "set_num_threads", lambda count: None)
    speed = [2.0]
    monkeypatch.setattr(smoke.check, "__defaults__", (lambda name, rounds: speed[0],))
    assert smoke.main(["product"]) == 0
    assert "nothing is compared" in capsys.readouterr().out
    assert smoke.main(["product", "--update"]) == 0
    assert json.loads(smoke.COMMITTED.read_text()) == {smoke.processor(): {"product": 2.0}}
    speed[0] = 2.4
    assert smoke.main(["product"]) == 1
    assert "WORSE BY MORE THAN 15 %" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        smoke.main(["no_such_case"])


@pytest.mark.parametrize("name", smoke.CASES)
def test_cases_run(name):
    own, reference = smoke.CASES[name]()
    own()
    reference()
