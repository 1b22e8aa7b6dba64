"""Collections at rest: that they go on afterwards, whatever happens, and what counts as old."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from squall.base.collecting import Pause


@pytest.fixture(autouse=True)
def on():
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


def test_collections_go_on_after_an_error_and_when_a_pause_goes():
    with pytest.raises(ValueError), Pause():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()
    pause = Pause()
    assert not gc.isenabled()
    del pause
    assert gc.isenabled()


def test_pauses_within_pauses_and_where_collections_are_off():
    with Pause():
        with Pause(stays=True):
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    with Pause(stays=True):
        pass
    assert not gc.isenabled()


def test_what_stays_is_old_and_what_does_not_is_collected():
    gc.collect()
    with Pause(stays=True):
        kept = [[] for _ in range(20_000)]
        loop = []
        loop.append(loop)
        mark = id(loop)
        del loop
    assert len(gc.get_objects(generation=2)) > len(kept) > len(gc.get_objects(generation=0))
    assert gc.get_freeze_count() == 0
    assert gc.collect() > 0 and not any(id(other) == mark for other in gc.get_objects())


def test_what_the_user_froze_stays_frozen():
    gc.freeze()
    before = gc.get_freeze_count()
    with Pause(stays=True):
        kept = [[] for _ in range(1000)]
    # what is frozen still goes when nobody refers to it, for instance what another thread of the test runner held
    assert before - 100 < gc.get_freeze_count() <= before and kept


def test_importing_leaves_collections_as_they_were():
    program = "import gc, sys\nif sys.argv[1] == 'off': gc.disable()\nimport squall.nn\nprint(gc.isenabled())"
    for state in ("on", "off"):
        run = subprocess.run([sys.executable, "-c", program, state], capture_output=True, text=True, check=True)
        assert run.stdout.split() == [str(state == "on")]


def test_a_pause_interrupted_before_it_began_ends_quietly():
    Pause.__new__(Pause).end()
    assert gc.isenabled()
