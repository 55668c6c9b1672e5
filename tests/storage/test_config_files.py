"""The files of a configuration that changes, on a disk whose power may fail at any moment."""

import os
from pathlib import Path

import pytest
from crash_model import FaultyOs, materialize

from trio_fle.config import MemberConfig, load_config
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.errors import StorageError
from trio_fle.storage import DurableConfigFiles, files

SERVERS = ("server.1=h:1:2;5", "server.2=h:1:3;6", "server.3=h:1:4;7")
HEAD = "# ours\ntickTime=100\ninitLimit=10\nsyncLimit=5\nreconfigEnabled=true\n"


def ensemble(*lines: str, version: int) -> Ensemble:
    return build_ensemble(dict(line.split("=", 1) for line in lines), version)


FIRST = ensemble(*SERVERS, version=1 << 32)
SECOND = ensemble(*SERVERS, "server.4=h:1:5;8", version=(1 << 32) + 9)


def put(root: Path) -> Path:
    path = root / "zoo.cfg"
    path.write_text(f"{HEAD}dataDir={root}/data\n" + "\n".join(SERVERS) + "\n")
    return path


def names_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def load(root: Path, written: Path) -> MemberConfig:
    """What is read from ``root``, a copy of what ``written`` was."""
    path = root / "zoo.cfg"
    path.write_text(path.read_text().replace(str(written), str(root)))
    return load_config(path, myid=1)


async def test_a_proposed_and_then_committed_configuration_is_that_of_the_next_start(tmp_path: Path) -> None:
    path = put(tmp_path)
    writer = DurableConfigFiles(path)
    await writer.keep_pending(FIRST)
    config = load_config(path, myid=1)
    assert (config.ensemble.version, config.seen.version) == (0, FIRST.version)
    before = path.read_text()
    await writer.commit(FIRST, own_client=True, drop_pending=True)
    config = load_config(path, myid=1)
    assert (config.ensemble.text, config.seen.text) == (FIRST.text, FIRST.text)
    assert path.read_text() == f"{HEAD}dataDir={tmp_path}/data\ndynamicConfigFile={path}.dynamic.100000000\n"
    assert (tmp_path / "zoo.cfg.bak").read_text() == before
    assert not (tmp_path / "zoo.cfg.dynamic.next").exists()

    await writer.keep_pending(SECOND)
    await writer.commit(FIRST, own_client=True, drop_pending=False)
    assert load_config(path, myid=1).seen.text == SECOND.text
    await writer.commit(SECOND, own_client=True, drop_pending=True)
    assert load_config(path, myid=1).ensemble.text == SECOND.text
    assert (tmp_path / "zoo.cfg.bak").read_text() == before, "that of the first time"


async def test_zoo_cfg_keeps_its_mode_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = put(tmp_path / "real")
    real.chmod(0o640)
    link = tmp_path / "zoo.cfg"
    link.symlink_to(real)
    await DurableConfigFiles(link).commit(FIRST, own_client=True, drop_pending=True)
    assert link.is_symlink()
    written = (real, real.with_name("zoo.cfg.bak"))
    assert [oct(each.stat().st_mode & 0o777) for each in written] == ["0o640", "0o640"]
    assert load_config(link, myid=1).ensemble.version == FIRST.version


@pytest.mark.parametrize("pending", [False, True])
async def test_a_power_loss_leaves_the_old_configuration_or_the_new_one(
    pending: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "etc"
    root.mkdir()
    path = put(root)
    writer = DurableConfigFiles(path)
    if pending:
        await writer.keep_pending(FIRST)
    faulty = FaultyOs(root)
    monkeypatch.setattr(files, "os", faulty)
    await writer.commit(FIRST, own_client=True, drop_pending=True)
    found = []
    for moment, states in enumerate(faulty.moments):
        for number, state in enumerate(states):
            config = load(materialize(state, tmp_path / f"disk{moment}-{number}"), root)
            found.append((config.ensemble.version, config.seen.version))
    first = FIRST.version
    before = (0, first if pending else 0)
    assert set(found) == {before, (first, first)}
    assert found[0] == before
    assert found[-1] == (first, first)
    assert len(faulty.moments) > 8


async def test_a_zoo_cfg_that_is_gone_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    path = put(tmp_path)
    path.unlink()
    with pytest.raises(StorageError) as caught:
        await DurableConfigFiles(path).commit(FIRST, own_client=True, drop_pending=True)
    assert str(caught.value) == f"{path}: is gone; put it back, since the new configuration belongs into it"
    assert names_in(tmp_path) == []


async def test_a_directory_that_can_not_be_written_is_said_and_zoo_cfg_stays(tmp_path: Path) -> None:
    path = put(tmp_path)
    before = path.read_text()
    (tmp_path / "zoo.cfg.dynamic.100000000.tmp").mkdir()
    with pytest.raises(StorageError, match=r"zoo\.cfg\.dynamic\.100000000: can't be written: Is a directory"):
        await DurableConfigFiles(path).commit(FIRST, own_client=True, drop_pending=True)
    assert path.read_text() == before


async def test_a_place_where_nothing_can_be_kept_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = DurableConfigFiles(put(tmp_path))
    await writer.check()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(StorageError, match="can't be written, and reconfigEnabled=true keeps"):
        await writer.check()
