"""Targets: the host, cut down, and other machines."""

from __future__ import annotations

import pytest

from squall.backends.cpu.target import ISAS, _cache_bytes, host_target, named_target
from squall.base import config
from squall.base.errors import DeviceError
from squall.runtime.native import host_platform


def test_the_host():
    target = host_target()
    assert target is host_target()
    assert target.is_host
    assert target.architecture == host_platform().machine == ISAS[target.isa][0]
    assert target.lanes(4) * 4 == target.vector_bytes
    assert all(size >= 4096 for size in target.cache_bytes)
    assert "amx" not in target.code.features


@pytest.mark.skipif(host_platform().machine != "x86_64", reason="x86-64 instruction sets")
def test_the_knob_cuts_down():
    with config.options(isa="sse4"):
        target = host_target()
    assert (target.isa, target.vector_bytes, target.registers, target.code.features) == ("sse4", 16, 16, "")
    with config.options(isa="neon"), pytest.raises(DeviceError, match="neon"):
        host_target()
    with config.options(isa="mmx"), pytest.raises(DeviceError, match="avx512"):
        host_target()


def test_named_targets():
    assert [named_target(isa).vector_bytes for isa in ("sse4", "avx2", "avx512", "neon")] == [16, 32, 64, 16]
    assert "aarch64" in named_target("neon", "aarch64-apple-darwin").code.triple
    with pytest.raises(DeviceError, match="sve"):
        named_target("sve")


def test_cache_sizes_are_read_or_guessed(tmp_path):
    assert _cache_bytes(tmp_path) == (32 << 10, 512 << 10, 8 << 20)
    for number, (level, kind, size) in enumerate([("1", "Data", "48K"), ("1", "Instruction", "32K"),
                                                  ("2", "Unified", "2M"), ("3", "Unified", "nonsense")]):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        (folder / "level").write_text(level + "\n")
        (folder / "type").write_text(kind + "\n")
        (folder / "size").write_text(size + "\n")
    assert _cache_bytes(tmp_path) == (48 << 10, 2 << 20, 8 << 20)
