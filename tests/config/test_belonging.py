"""The ensemble that a member last belonged to, and those that it refuses to form."""

from pathlib import Path

import pytest

from trio_fle.config import load_config
from trio_fle.config.belonging import belonging_path, belonging_text, why_refused
from trio_fle.ensemble import Ensemble, build_ensemble
from trio_fle.errors import ConfigError

V1, V2 = 1 << 32, 2 << 32


def ensemble(voters: str, *lines: str, version: int = 0, observers: str = "") -> Ensemble:
    properties = {f"server.{sid}": f"h{sid}:1:2" for sid in voters}
    properties |= {f"server.{sid}": f"h{sid}:1:2:observer" for sid in observers}
    return build_ensemble(properties | dict(line.split("=", 1) for line in lines), version)


def oracle(voters: str, version: int = 0) -> Ensemble:
    return build_ensemble({f"server.{sid}": f"h{sid}:1:2" for sid in voters}, version, oracle=True)


MISS = "a quorum of it and a quorum of these servers need have no server in common"


@pytest.mark.parametrize(
    ("last", "now"),
    [
        (ensemble("123"), ensemble("123")),
        (ensemble("123"), ensemble("1234")),
        (ensemble("1"), ensemble("12")),
        (ensemble("123"), ensemble("123", observers="45")),
        (ensemble("123", observers="4"), ensemble("123")),
        (ensemble("123", observers="4"), ensemble("1234")),
        (ensemble("123", version=V1), ensemble("12", version=V2)),
        (ensemble("12", version=V1), ensemble("123", version=V2)),
        (oracle("12"), oracle("12")),
        (oracle("12"), ensemble("12")),
        (ensemble("123", version=V1), ensemble("123")),
    ],
)
def test_what_is_accepted(last: Ensemble, now: Ensemble) -> None:
    assert why_refused(last, now) is None


@pytest.mark.parametrize(
    ("last", "now", "why"),
    [
        (ensemble("123"), ensemble("12"), "of its voters 3 is missing"),
        (ensemble("123"), ensemble("1"), "of its voters 2, 3 are missing"),
        (ensemble("123"), ensemble("12", observers="3"), "of its voters 3 is missing"),
        (ensemble("123"), ensemble("456"), "of its voters 1, 2, 3 are missing"),
        (
            ensemble("123"),
            ensemble("12345"),
            MISS,
        ),
        (
            ensemble("123"),
            ensemble("123", "group.1=1", "group.2=2:3", "weight.1=1", "weight.2=0", "weight.3=0"),
            MISS,
        ),
        (ensemble("123", version=V1), ensemble("1", version=V2), MISS),
        (ensemble("123", version=V1), ensemble("789", version=V2), MISS),
        (oracle("12"), ensemble("123"), MISS),
        (oracle("12", version=V1), ensemble("123", version=V2), MISS),
        (
            ensemble("1234", version=V2),
            ensemble("123", version=V1),
            (
                "version 100000000 is older than 200000000, which it lived under (a dynamic file that is to "
                "come after that has a version above 200000000 at the end of its name)"
            ),
        ),
    ],
)
def test_what_is_refused_unless_it_is_told_to(last: Ensemble, now: Ensemble, why: str) -> None:
    assert why_refused(last, now) == why


def write(root: Path, voters: str, last: str | None, *lines: str) -> Path:
    data = root / "data"
    (data / "version-2").mkdir(parents=True)
    (data / "myid").write_text("1")
    if last is not None:
        belonging_path(data).write_text(last)
    servers = [f"server.{sid}=h{sid}:1:2" for sid in voters]
    path = root / "zoo.cfg"
    path.write_text("\n".join([f"dataDir={data}", "initLimit=10", "syncLimit=5", *servers, *lines]) + "\n")
    return path


def test_a_zoo_cfg_that_was_cut_short_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path, "1", ensemble("123").text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == (
        f"{path}: these servers are not the ensemble that this member last belonged to "
        f"({tmp_path}/data/version-2/fle.ensemble): of its voters 2, 3 are missing, so that there could be "
        "two leaders; correct the server lines, or, where the change is meant, start it once with "
        "--set fle.acceptNewEnsemble=true"
    )
    told = load_config(path, overrides={"fle.acceptNewEnsemble": "true"})
    assert told.ensemble.voters == {1}


@pytest.mark.parametrize("last", [None, ensemble("123").text, ensemble("123", version=V1).text])
def test_the_same_servers_start_whatever_their_version(last: str | None, tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "123", last)).ensemble.voters == {1, 2, 3}


@pytest.mark.parametrize("rubbish", ["version=zz", "\x00", "server.1=h:1"])
def test_a_file_of_rubbish_is_named_and_what_to_do(rubbish: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "123", rubbish))
    assert str(caught.value).startswith(f"{tmp_path}/data/version-2/fle.ensemble: ")
    assert str(caught.value).endswith("; remove it if zoo.cfg is right")


def test_a_start_in_the_middle_of_a_change_finds_either(tmp_path: Path) -> None:
    before, after = ensemble("123", version=V1), ensemble("4567", version=V2)
    for number, (voters, accepted) in enumerate([("123", True), ("456", False), ("12", False)]):
        root = tmp_path / str(number)
        root.mkdir()
        path = write(root, voters, belonging_text(before, after), "version=100000000")
        if accepted:
            assert load_config(path).ensemble.version == V1
        else:
            with pytest.raises(ConfigError):
                load_config(path, myid=int(voters[0]))
    path = write(tmp_path / "0" / "x", "4567", belonging_text(before, after), "version=200000000")
    assert load_config(path, myid=4).ensemble.version == V2


def test_whether_there_was_an_oracle_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "12", belonging_text(oracle("12")), "oraclePath=/o")
    assert load_config(path).ensemble == oracle("12")
    path.write_text(path.read_text().replace("oraclePath=/o\n", "server.3=h3:1:2\n"))
    with pytest.raises(ConfigError, match=MISS):
        load_config(path)


def test_a_mistyped_server_line_is_named_where_its_server_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "12", ensemble("123").text, "sever.3=h3:1:2")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert f"correct the server lines ({path}:6: sever.3: unknown key; did you mean server.3?), or" in str(
        caught.value
    )
