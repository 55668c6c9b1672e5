"""The container file, read as far as that goes without an engine."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from trio_fle import __version__
from trio_fle.cli.run import run

ROOT = Path(__file__).parents[2]
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = (ROOT / "deploy" / "container" / "Containerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        found.append((name, rest.strip()))
    return found


def stages() -> list[list[Instruction]]:
    stages: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(instruction)
    return stages


def final(name: str) -> list[str]:
    """What the instructions of that name say in the last stage: the image."""
    return [rest for each, rest in stages()[-1] if each == name]


def pairs(name: str) -> dict[str, str]:
    return dict(word.split("=", 1) for rest in final(name) for word in shlex.split(rest))


def test_it_is_slim_and_brings_nothing_of_the_build_along() -> None:
    assert ("ARG", "PYTHON=3.13-slim") in instructions()
    assert final("FROM") == ["docker.io/library/python:${PYTHON}"]
    assert final("RUN") == []
    assert final("ADD") == []
    assert all(rest.startswith("--from=build ") for rest in final("COPY"))


def test_it_runs_as_a_number_that_is_not_root() -> None:
    assert final("USER") == ["65532:65532"]


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD", "VOLUME"])
def test_no_shell_comes_between(name: str) -> None:
    (value,) = final(name)
    words = json.loads(value)
    assert words
    assert all(isinstance(word, str) for word in words)
    assert all(rest.startswith("[") for stage in stages() for each, rest in stage if each == "RUN")


def test_the_entry_point_is_the_command_in_the_virtual_environment_that_was_copied() -> None:
    (entry,) = json.loads(final("ENTRYPOINT")[0])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert Path(entry).name in scripts
    (made,) = [json.loads(rest)[-1] for name, rest in stages()[0] if name == "RUN" and '"venv"' in rest]
    assert Path(entry).parent == Path(made) / "bin"
    assert f"--from=build {made} {made}" in final("COPY")


def test_it_starts_a_member_whose_data_is_on_the_one_volume() -> None:
    command, *rest = json.loads(final("CMD")[0])
    assert command == "run"
    with run.make_context("run", rest) as context:
        assert [context.params["data_dir"]] == json.loads(final("VOLUME")[0])
        assert context.params["log_format"] == "json"


def test_the_volume_belongs_to_the_user_of_the_image() -> None:
    (volume,) = json.loads(final("VOLUME")[0])
    assert f"--from=build --chown=65532:65532 /empty {volume}" in final("COPY")


def test_what_it_copies_is_there() -> None:
    for name, rest in stages()[0]:
        if name == "COPY":
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources)


def test_python_writes_nothing_and_holds_nothing_back_and_the_image_says_what_it_is() -> None:
    environment = pairs("ENV")
    assert environment["PYTHONUNBUFFERED"] == environment["PYTHONDONTWRITEBYTECODE"] == "1"
    labels = {name.removeprefix("org.opencontainers.image.") for name in pairs("LABEL")}
    assert labels == {"title", "description", "licenses", "version", "revision", "created"}
    assert final("STOPSIGNAL") == ["SIGTERM"]


def test_the_image_has_the_version_of_the_package() -> None:
    assert f"VERSION={__version__}" in final("ARG")
