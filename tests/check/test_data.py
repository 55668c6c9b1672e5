"""What a check says of the data directory: what keeps a member from starting on it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trio_fle.check.data import data_findings
from trio_fle.check.finding import Severity
from trio_fle.config import load_config
from trio_fle.storage.record import RECORD_BYTES, Record, prepare_record, write_record

ZOO_CFG = "dataDir={}/data\ninitLimit=10\nsyncLimit=5\nserver.1=zk1:2888:3888\n"


def found(directory: Path) -> list[tuple[str, Severity, str]]:
    path = directory / "zoo.cfg"
    path.write_text(ZOO_CFG.format(directory))
    findings = data_findings(load_config(path, myid=1))
    return [(each.code, each.severity, each.message) for each in findings]


@contextmanager
def nobody() -> Iterator[None]:
    """Be somebody who may do nothing special, as far as ``access`` is asked."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, -1, -1)
    try:
        yield
    finally:
        os.setresuid(0, -1, -1)


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that others may look into, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def version_dir(home: Path) -> Path:
    path = home / "data" / "version-2"
    path.mkdir(parents=True)
    return path


def test_a_directory_that_is_not_there_yet_is_fine(home: Path) -> None:
    assert found(home) == []


def test_one_that_a_member_left_is_fine(home: Path, version_dir: Path) -> None:
    prepare_record(version_dir)
    write_record(version_dir, Record(1, 3, 3))
    assert found(home) == []


def test_a_damaged_record_is_an_error_and_is_named(home: Path, version_dir: Path) -> None:
    (version_dir / "fle.record").write_bytes(b"x" * RECORD_BYTES)
    ((code, severity, message),) = found(home)
    assert (code, severity) == ("data", Severity.ERROR)
    assert message.startswith(f"{version_dir / 'fle.record'}: is damaged")


def test_an_epoch_that_went_back_is_an_error(home: Path, version_dir: Path) -> None:
    (version_dir / "currentEpoch").write_text("5")
    (version_dir / "acceptedEpoch").write_text("4")
    assert [code for code, _, _ in found(home)] == ["data"]


@pytest.mark.parametrize(("mode", "lacking"), [(0o500, "write"), (0o300, "read")])
@pytest.mark.parametrize("which", [".", "version-2"])
def test_what_this_user_may_not_do_is_a_warning(
    mode: int, lacking: str, which: str, home: Path, version_dir: Path
) -> None:
    path = version_dir.parent / which
    for each in (version_dir, version_dir.parent):
        if os.geteuid() == 0:
            os.chown(each, 65534, 65534)
    path.chmod(mode)
    with nobody():
        said = found(home)
    path.chmod(0o700)
    must = f"this user can't {lacking} there; the user that the member runs as must be able to"
    assert said == [("data_access", Severity.WARNING, f"{path.resolve()}: {must}")]
