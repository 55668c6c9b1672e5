"""The table of configurations (table.toml): each means what it says there, or is refused in these words.

tests/interop/test_configs_with_java.py asks a real server's parser about the same table.
"""

import socket
from pathlib import Path
from typing import NoReturn

import pytest
from config_table import Case, load_table, shortened, told

from trio_fle.config import load_config
from trio_fle.errors import ConfigError

TABLE = load_table()
GOOD = [case for case in TABLE if case.error is None]
BAD = [case for case in TABLE if case.error is not None]


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration needs a name that resolves."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("looked a name up")

    for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getfqdn"):
        monkeypatch.setattr(socket, function, refuse)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.about) for case in GOOD])
def test_it_means(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    config = case.load(tmp_path)
    assert shortened(told(config), tmp_path) == case.values
    assert shortened(list(config.warnings), tmp_path) == case.warnings


@pytest.mark.parametrize("case", [pytest.param(case, id=case.about) for case in BAD])
def test_it_is_refused(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path)
    with pytest.raises(ConfigError) as caught:
        case.load(tmp_path)
    assert shortened(str(caught.value), tmp_path) == case.error


def test_names_that_nobody_knows_now_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "myid").write_text("1")
    path = tmp_path / "zoo.cfg"
    path.write_text(
        f"dataDir={tmp_path}\ninitLimit=10\nsyncLimit=5\nadmin.serverAddress=admin.invalid\n"
        "clientPort=2181\nclientPortAddress=client.invalid\nkerberos.canonicalizeHostNames=true\n"
        + "".join(f"server.{sid}=zk-{sid}.invalid:1:2;zk-{sid}.invalid:2181\n" for sid in (1, 2, 3))
    )
    config = load_config(path)
    assert config.me.addresses[0].host == "zk-1.invalid"
    assert str(config.admin.client_address) == "zk-1.invalid:2181"


def test_no_two_cases_are_about_the_same() -> None:
    assert len({case.about for case in TABLE}) == len(TABLE)


def test_whoever_differs_from_java_says_why() -> None:
    differ = {
        case.about
        for case in TABLE
        if case.java_values or (case.java != "same" if case.error is None else case.java == "accepted")
    }
    assert differ == {case.about for case in TABLE if case.reason}
