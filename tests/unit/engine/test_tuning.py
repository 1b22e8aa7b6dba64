"""`sq.tune` and `SQUALL_TUNE=1`: winners are kept and used, with the same bits; damaged and foreign files are not."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import squall as sq
from squall.base import config
from squall.base.errors import SquallError
from squall.compiler import contract, nest, tuned
from squall.compiler.nest.variants import Asked, Variant, default, variants, vary
from squall.compiler.tuned import Winner
from squall.engine import resplit, tuning
from squall.runtime import disk_cache
from tests.unit.compiler.nest_support import Problem, host_isas
from tests.unit.frontend.native_code import load

ISA = host_isas()[0]


@pytest.fixture(autouse=True)
def folder(tmp_path):
    """A folder of timings of its own."""
    threads = sq.get_num_threads()
    with config.options(cache_dir=str(tmp_path)):
        disk_cache.reopen_disk()
        tuned.forget()
        yield tmp_path
    disk_cache.reopen_disk()
    tuned.forget()
    resplit.renew_all()
    sq.set_num_threads(threads)


def asked(m=65, n=130, k=40, **options):
    given = {"isa": ISA, "threads": 1, "epilogue": False, "prepacked": False, **options}
    return Asked(nest.matmul(m, n, k, "f32", transpose_b=True), **given)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(1, 300, 64), (7, 300, 64), (65, 130, 800), (300, 20, 33)])
def test_every_variant_gives_the_same_bits(shape, threads):
    for b in (False, True):
        contraction = nest.matmul(*shape, "f32", transpose_b=b)
        problem, wanted = Problem(contraction, 5), None
        ways = variants(Asked(contraction, ISA, threads, False, False))
        assert len(ways) > 4
        for variant, choice in ways.items():
            got = problem.run(nest.assemble(contraction, nest.ISAS[choice.isa or ISA], choice), split=3)
            wanted = got if wanted is None else wanted
            np.testing.assert_array_equal(got, wanted, err_msg=str(variant))


def test_what_does_not_fit_is_no_variant():
    assert vary(asked(), Variant("neon")) is None
    assert vary(asked(epilogue=True), Variant(swapped=True)) is None
    assert vary(asked(), Variant(rows=-1)) is None and vary(asked(), Variant(rows=10**6)) is None
    assert vary(asked(), Variant(packed=True)) is None or default(asked()).b_mode != 2
    assert all(v in (Variant(),) or vary(asked(), v) == c for v, c in variants(asked()).items())


def test_the_winner_is_used_kept_and_found_by_another_process(folder, monkeypatch):
    load()
    sq.set_num_threads(1)
    model = sq.nn.Linear(40, 130).requires_grad_(False)
    f, x = sq.compile(model), sq.randn(64, 40)
    wanted = [f(x).numpy() for _ in range(12)][-1]
    bound = f.bind(x)
    assert "tuned" not in sq.explain(f, x)
    chosen = Variant(rows=8)
    monkeypatch.setattr(tuning, "_compete", lambda runs: {v: 0.5 if v == chosen else 1.0 for v in runs.images})
    monkeypatch.setattr(tuning, "variants", lambda a: {Variant(): default(a), chosen: vary(a, chosen)})
    (found,) = sq.tune(f, x)
    assert found.variant == {"rows": 8} and found.before == 1.0 and found.after == 0.5
    assert sq.tune(f, x) == [] and len(sq.tune(f, x, again=True)) == 1
    units = [s.units for b in resplit._bindings if b.plan is f.programs[0].executable.plan
             for image in b.segments for s in image.steps]
    fast, slow = vary(asked(64, 130, 40), chosen), default(asked(64, 130, 40))
    assert units == [fast.units] != [slow.units], "the plan that was compiled before runs the winner"
    np.testing.assert_array_equal(f(x).numpy(), wanted)
    np.testing.assert_array_equal(bound(), wanted)
    assert "tuned (2.00 times as fast as untuned)" in " ".join(sq.explain(f, x).split())
    tuned.forget()
    assert tuned.lookup(_only(folder)) == Winner(chosen, 2.0), "read from the file"


def test_a_module_with_parameters_that_want_gradients(folder, monkeypatch):
    monkeypatch.setattr(tuning, "_compete", lambda runs: dict.fromkeys(runs.images, 1.0))
    (found,) = sq.tune(sq.nn.Linear(24, 48), sq.ones(8, 24))
    assert found.contraction.startswith("f32") and found.before == found.after == 1.0


def _only(folder):
    """What the only entry of the file speaks of."""
    (file,) = (folder / "tuning").iterdir()
    held = json.loads(file.read_text())
    (key,) = held["entries"]
    return type("Key", (), {"key": key})


def test_timing_really_finds_one_of_the_variants(folder):
    sq.set_num_threads(1)
    found = tuning.measure(asked(33, 50, 20, epilogue=True))
    assert found.winner.variant in variants(asked(33, 50, 20, epilogue=True)) and found.winner.gain >= 1
    assert tuned.lookup(asked(33, 50, 20, epilogue=True)) == found.winner
    assert tuned.lookup(asked(33, 50, 20)) is None and tuned.lookup(asked(33, 50, 20, threads=2)) is None


def test_a_variant_that_no_longer_fits_is_passed_over():
    tuned.keep({asked().key: Winner(Variant("neon"), 2.0)})
    planned = contract._planned(asked().contraction, ISA, 1, False, "")
    assert planned.choice == default(asked())


def test_files_are_merged(folder):
    tuned.keep({"one": Winner(Variant(), 1.0)})
    tuned.forget()
    tuned.keep({"two": Winner(Variant(rows=16), 1.5)})
    held = json.loads(tuned.path().read_text())
    assert held["entries"] == {"one": {"gain": 1.0}, "two": {"gain": 1.5, "rows": 16}}
    assert [p.name for p in (folder / "tuning").iterdir()] == [tuned.path().name], "nothing half-written is left"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', "\x00\xff", "entries", "rows", "unknown"])
def test_a_damaged_file_is_ignored_with_a_warning(damage):
    key = asked().key
    tuned.keep({key: Winner(Variant(rows=16), 1.5)})
    file = tuned.path()
    held = json.loads(file.read_text())
    if damage == "entries":
        held["entries"] = 5
    elif damage == "rows":
        held["entries"][key]["rows"] = "16"
    elif damage == "unknown":
        held["entries"][key]["columnar"] = 1
    whole = json.dumps(held) if damage in ("entries", "rows", "unknown") else damage
    file.write_bytes(whole.encode("latin-1"))
    tuned.forget()
    with pytest.warns(RuntimeWarning, match="are not used"):
        assert tuned.lookup(asked()) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tuned.lookup(asked()) is None, "once"


def test_another_machines_file_is_not_used(monkeypatch):
    tuned.keep({asked().key: Winner(Variant(rows=16), 1.5)})
    here, file = tuned.machine(), tuned.path()
    monkeypatch.setattr(tuned, "machine", lambda: "x86_64 another 00")
    tuned.forget()
    assert tuned.path() != file and tuned.lookup(asked()) is None
    file.rename(tuned.path())
    tuned.forget()
    with pytest.warns(RuntimeWarning, match="another machine's"):
        assert tuned.lookup(asked()) is None
    assert here in tuned.path().read_text()


def test_what_comes_with_squall_is_valid_and_holds_for_its_machine(monkeypatch):
    tables = json.loads(tuned._SHIPPED.read_text())["machines"]
    assert tables
    for machine, entries in tables.items():
        monkeypatch.setattr(tuned, "machine", lambda name=machine: name)
        assert len(tuned._shipped()) == len(entries)
        for winner in tuned._shipped().values():
            assert winner.gain >= 1 and (not winner.variant.tiles or winner.variant.tiles in nest.ISAS)
    monkeypatch.setattr(tuned, "machine", lambda: "nobody's")
    assert tuned._shipped() == {}


def test_a_folder_that_cannot_be_written_costs_a_warning(folder, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert not tuned.keep({"one": Winner(Variant(), 1.0)})
    assert tuned._state.winners["one"].gain == 1.0, "used by this process all the same"


def test_the_knob_times_what_is_met_first(folder):
    program = (
        "import squall as sq\nfrom squall.compiler import tuned\nf = sq.compile(lambda a, b: a @ b)\n"
        "f(sq.ones(40, 30), sq.ones(30, 50)).sum().item()\nprint(len(tuned._state.winners), tuned.path())"
    )
    environment = {**os.environ, "SQUALL_TUNE": "1", "SQUALL_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=True,
                          env=environment)
    count, path = done.stdout.split()
    with open(path, encoding="utf-8") as file:
        assert int(count) >= 1 and any("m40" in key for key in json.load(file)["entries"])


def test_only_machine_code_is_timed():
    with config.options(backend="python"), pytest.raises(SquallError, match="as machine code"):
        sq.tune(lambda a: a @ a, sq.ones(3, 3))


def test_train_steps_are_tuned_too():
    sq.set_num_threads(1)
    model = sq.nn.Linear(40, 30)
    optimizer = sq.optim.AdamW(model.parameters(), lr=1e-3)

    def step(x):
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    found = sq.tune(step, sq.randn(50, 40))
    assert any("m50" in t.contraction or "k50" in t.contraction for t in found)
