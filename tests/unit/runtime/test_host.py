"""What LLVM says of the machine, remembered."""

from __future__ import annotations

import pytest

from squall.runtime import disk_cache, host, machine_code


@pytest.fixture
def asked(monkeypatch, cache_folder):
    """How often LLVM was asked, with nothing remembered."""
    count = []
    real = host._asked
    monkeypatch.setattr(host, "_asked", lambda: count.append(1) or real())
    host.facts.cache_clear()
    yield count
    host.facts.cache_clear()


@pytest.mark.skipif(not host._described(), reason="the system does not describe its processor")
def test_llvm_is_asked_once_a_machine(asked):
    first = host.facts()
    host.facts.cache_clear()
    assert host.facts() == first
    assert len(asked) == 1
    llvm = machine_code.binding()
    assert first.triple == llvm.get_process_triple()
    assert first.present == {name for name, on in llvm.get_host_cpu_features().items() if on}


@pytest.mark.parametrize("kept", [b"", b"[1, 2, 3, 4]", b'["a", "b"]', b"{}", b"\xff"])
def test_what_does_not_read_as_facts_is_asked_again(asked, monkeypatch, kept):
    monkeypatch.setattr(disk_cache.disk(), "get", lambda key: kept)
    assert host.facts().triple
    assert len(asked) == 1


def test_another_llvmlite_or_processor_is_asked_about(asked, monkeypatch):
    host.facts()
    for name in ("_described", "_installed"):
        host.facts.cache_clear()
        monkeypatch.setattr(host, name, lambda: "other")
        host.facts()
    assert len(asked) == 3


def test_a_system_without_description_is_asked_each_time(asked, monkeypatch):
    monkeypatch.setattr(host, "_described", lambda: "")
    host.facts()
    host.facts.cache_clear()
    host.facts()
    assert len(asked) == 2
