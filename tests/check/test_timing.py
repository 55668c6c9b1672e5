"""The time-outs that follow from a configuration, and which of them are a risk."""

from pathlib import Path

import pytest
from checked import THREE, configured

from trio_fle.check.finding import Finding
from trio_fle.check.timing import timeouts, timing_findings
from trio_fle.peers.names import Names

LOOPBACK = THREE.replace("zk1", "127.0.0.1").replace("zk2", "localhost").replace("zk3", "127.0.0.1")


def found(directory: Path, extra: str, lines: str = THREE, *, limits: str = "20 10 5") -> list[Finding]:
    tick, init, sync = limits.split()
    basic = f"tickTime={tick}\ninitLimit={init}\nsyncLimit={sync}\n"
    return list(timing_findings(configured(directory, basic + extra + lines, basic=False), Names()))


def test_every_time_out_is_told_in_ms(tmp_path: Path) -> None:
    config = configured(tmp_path, THREE + "connectToLearnerMasterLimit=3\nfle.leaseMargin=2.5 %\n")
    assert timeouts(config) == {
        "tick_ms": 2000,
        "init_ms": 20_000,
        "sync_ms": 10_000,
        "connect_ms": 6000,
        "dial_ms": 5000,
        "handshake_ms": 10_000,
        "finalize_ms": 200,
        "lease_ms": 9750,
        "lease_margin_ms": 250,
    }


@pytest.mark.parametrize(
    ("limits", "extra", "expected"),
    [
        ("2000 10 5", "", []),
        ("100 10 5", "", []),
        ("99 10 5", "", ["short_sync"]),
        ("2000 4 5", "", ["init_below_sync"]),
        ("3000 30 21", "", ["long_sync"]),
        ("2000 10 5", "quorumCnxnTimeoutMs=200\n", ["short_handshake"]),
        ("2000 10 5", "cnxTimeout=100\n", ["short_dial"]),
        ("2000 10 5", "fle.leaseMargin=0 %\n", ["no_lease_margin"]),
        ("2000 10 5", "maxSessionTimeout=10000\n", ["short_session"]),
        ("2000 10 5", "maxSessionTimeout=10001\n", []),
        ("2000 10 5", "minSessionTimeout=-1\nmaxSessionTimeout=-1\n", []),
    ],
)
def test_what_is_a_risk(limits: str, extra: str, expected: list[str], tmp_path: Path) -> None:
    assert [each.code for each in found(tmp_path, extra, limits=limits)] == expected


def test_on_loopback_short_time_outs_are_fine(tmp_path: Path) -> None:
    assert found(tmp_path, "cnxTimeout=100\n", LOOPBACK, limits="20 10 5") == []
    assert [each.code for each in found(tmp_path, "", limits="20 10 5")] == ["short_sync"]
