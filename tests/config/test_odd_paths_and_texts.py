"""Values that a file system or a terminal can't take: still one line of a configuration error."""

from pathlib import Path

import pytest

from trio_fle.config import load_config
from trio_fle.errors import ConfigError


def load(root: Path, lines: str) -> None:
    data = root / "data"
    data.mkdir()
    (data / "myid").write_text("1")
    text = f"dataDir={data}\ninitLimit=10\nsyncLimit=5\nserver.1=h:1:2\n{lines}\n"
    (root / "zoo.cfg").write_text(text)
    load_config(root / "zoo.cfg")


@pytest.mark.parametrize("value", ["\\u0000", "/x\\u0000y"])
def test_a_data_directory_that_no_file_system_has_is_a_configuration_error(
    tmp_path: Path, value: str
) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, f"dataDir={value}")


@pytest.mark.parametrize("value", ["\\u0000", "/x\\u0000y"])
def test_a_dynamic_file_that_no_file_system_has_is_a_configuration_error(tmp_path: Path, value: str) -> None:
    (tmp_path / "zoo.cfg").write_text(f"dataDir=/x\ninitLimit=10\nsyncLimit=5\ndynamicConfigFile={value}\n")
    with pytest.raises(ConfigError):
        load_config(tmp_path / "zoo.cfg")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("tickTime=1\\n2", id="in a number"),
        pytest.param("server.2=h\\n:1:x", id="in a server line"),
        pytest.param("server.2=h\\n:1", id="in a form"),
        pytest.param("fle.advertise.a\\nb=1", id="in a key"),
        pytest.param("dataDir=/x\\ny", id="in a path"),
    ],
)
def test_a_newline_in_the_configuration_is_none_in_the_error(tmp_path: Path, lines: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, lines)
    assert "\n" not in str(caught.value)
