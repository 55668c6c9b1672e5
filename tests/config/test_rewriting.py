"""What a new configuration makes of zoo.cfg, and of the dynamic file beside it."""

from pathlib import Path

import pytest

from trio_fle.config.rewriting import dynamic_path, dynamic_text, next_path, read_pending, static_text
from trio_fle.ensemble import Ensemble, build_ensemble, parse_ensemble
from trio_fle.errors import ConfigError

DYNAMIC = Path("/etc/zk/zoo.cfg.dynamic.100000000")
POINTER = f"dynamicConfigFile={DYNAMIC}\n"


def ensemble(*lines: str, version: int = 0) -> Ensemble:
    return build_ensemble(dict(line.split("=", 1) for line in lines), version)


def test_the_dynamic_file_holds_all_lines_but_the_version_sorted_and_no_newline_at_the_end() -> None:
    text = dynamic_text(
        ensemble("server.3=c:1:2", "server.10=a:1:2:observer;2181", "server.1=b:1:2;h:3", "group.1=1:3",
                 "weight.10=0", version=5)
    )  # fmt: skip
    assert text == (
        "group.1=1:3\nserver.10=a:1:2:observer;0.0.0.0:2181\nserver.1=b:1:2:participant;h:3\n"
        "server.3=c:1:2:participant\nweight.10=0\nweight.1=1\nweight.3=1"
    )


def test_the_pending_file_holds_the_version_too() -> None:
    assert dynamic_text(ensemble("server.1=b:1:2", version=1 << 32), with_version=True) == (
        "server.1=b:1:2:participant\nversion=100000000"
    )


@pytest.mark.parametrize(("version", "name"), [(0, "0"), (1 << 32, "100000000"), (-1, "ffffffffffffffff")])
def test_the_name_of_the_dynamic_file_ends_in_the_version(version: int, name: str) -> None:
    assert dynamic_path(Path("/etc/zk/zoo.cfg"), version) == Path(f"/etc/zk/zoo.cfg.dynamic.{name}")
    assert next_path(Path("/etc/zk/zoo.cfg")) == Path("/etc/zk/zoo.cfg.dynamic.next")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tickTime=1\nserver.1=h:1:2\n", "tickTime=1\n" + POINTER),
        ("tickTime=1\nserver.1=h:1:2", "tickTime=1\n" + POINTER),
        ("tickTime=1", "tickTime=1\n" + POINTER),
        ("server.1=h:1:2\n# mine\n! too\n\n tickTime : 1\n", "# mine\n! too\n\n tickTime : 1\n" + POINTER),
        ("group.1=1\nweight.1=2\npeerType=observer\nversion=1\na=b\n", "a=b\n" + POINTER),
        ("dynamicConfigFile=/old\n# kept\n", POINTER + "# kept\n"),
        ("dynamicConfigFile=/old\na=b\ndynamicConfigFile=/older\n", POINTER + "a=b\n"),
        ("a=b\r\nserver.1=h:\\\r\n  1:2\r\nc=d\r\n", "a=b\r\nc=d\r\n" + POINTER),
        ("serverCnxnFactory=x\nclientPort=1\n", "serverCnxnFactory=x\nclientPort=1\n" + POINTER),
        ("name=\u00e9\\u20ac\n", "name=\u00e9\\u20ac\n" + POINTER),
        ("", POINTER),
    ],
)
def test_zoo_cfg_names_the_dynamic_file_and_stays_as_it_was_otherwise(before: str, after: str) -> None:
    assert static_text(before, DYNAMIC, without_client=False) == after
    assert static_text(after, DYNAMIC, without_client=False) == after


def test_the_client_port_goes_where_the_own_server_line_has_one() -> None:
    before = "clientPort=1\nclientPortAddress=h\nsecureClientPort=2\n"
    assert static_text(before, DYNAMIC, without_client=True) == "secureClientPort=2\n" + POINTER


def test_a_pending_configuration_counts_where_it_is_newer(tmp_path: Path) -> None:
    path, current = tmp_path / "zoo.cfg", ensemble("server.1=h:1:2", version=7)
    assert read_pending(path, current) is current
    for version, is_pending in ((6, False), (7, False), (8, True)):
        pending = ensemble("server.1=h:1:2", "server.2=h:1:3", version=version)
        next_path(path).write_text(dynamic_text(pending, with_version=True))
        found = read_pending(path, current)
        assert found == (parse_ensemble(pending.text) if is_pending else current)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server.1=h:1\nversion=1", 'server.1: "h:1" is not of the form'),
        ("server.1=h:1:2\nversion=zz", 'version "zz" is not a signed 64-bit hexadecimal number'),
    ],
)
def test_a_pending_configuration_that_is_none_is_named(text: str, message: str, tmp_path: Path) -> None:
    next_path(tmp_path / "zoo.cfg").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_pending(tmp_path / "zoo.cfg", ensemble("server.1=h:1:2"))
    assert str(caught.value).startswith(f"{tmp_path}/zoo.cfg.dynamic.next: {message}")
