"""Plan keys: what has to tell two graphs apart does."""

import pytest

import squall as sq
from squall.base import config
from squall.engine.keys import signature


def key_of(made):
    return signature([made.node]).key


@pytest.mark.parametrize("knob", sorted(k.name for k in config.KNOBS.values() if k.changes_code))
def test_a_knob_that_changes_code_changes_the_key(knob):
    x = sq.ones(3, 4)
    now = config.get(knob)
    other = not now if isinstance(now, bool) else now + 1 if isinstance(now, int) else f"{now}other"
    before = key_of(x + x)
    config._values[knob] = other  # as an environment variable would: values a setter refuses serve as well
    config._code_key[0] = None
    try:
        assert key_of(x + x) != before
    finally:
        config._values[knob] = now
        config._code_key[0] = None
    assert key_of(x + x) == before


def test_the_instruction_set_and_the_backend_are_among_them():
    assert {"isa", "backend"} <= {name for name, _ in config.code_values()}


def test_what_may_be_overwritten_is_part_of_the_key():
    x = sq.ones(3, 4)
    sq.flush()
    made = x + 1
    kept = key_of(made)
    del x
    given = key_of(made)
    assert (kept[2], given[2]) == ((False,), (True,))
    assert (kept[:2], kept[3]) == (given[:2], given[3])
